"""What was asked of the API server, read from its audit log: who, what, on which object, with which answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from scheduler.adapters.devcluster.arguments import WRITES

COMPLETE = "ResponseComplete"
FIRST_ERROR_CODE = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One answered request. `body` is what a write sent (never that of secrets and tokens); `code` the HTTP status.

    answer: the object as it was afterwards, for kinds whose story is told from the log (`arguments.TOLD_WHOLE`). received_utc:
    when the request came; `at_utc` is when its answer was complete. agent: the User-Agent of who asked.
    """

    at_utc: datetime
    user: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    body: Any
    query: str
    answer: Any = None
    received_utc: datetime | None = None
    agent: str = ""

    @property
    def writes(self) -> bool:
        """Whether it was meant to change something, and not a dry run."""
        return self.verb in WRITES and "dryRun=" not in self.query

    @property
    def accepted(self) -> bool:
        """Whether the server did what was asked."""
        return self.code < FIRST_ERROR_CODE

    @property
    def what(self) -> str:
        """In words: `patch jobs/status default/train`."""
        resource = self.resource + (f"/{self.subresource}" if self.subresource else "")
        return f"{self.verb} {resource} {self.namespace + '/' if self.namespace else ''}{self.name}".rstrip()


def events(path: Path, start_byte: int = 0) -> Iterator[AuditEvent]:
    """Answered requests in the order in which they ended, from a place in the file on; a line half written is left out."""
    with path.open("rb") as file:
        file.seek(start_byte)
        for line in file:
            if line.endswith(b"\n"):
                record = json.loads(line)
                if record.get("stage") == COMPLETE and "objectRef" in record:
                    yield event(record)


def end(path: Path) -> int:
    """Where the log ends now: the `start_byte` of what comes."""
    return path.stat().st_size if path.exists() else 0


def event(record: Mapping[str, Any]) -> AuditEvent:
    """An audit.k8s.io/v1 Event as one of ours. A created object has its name in the body when not in the path."""
    target, body = record["objectRef"], record.get("requestObject")
    metadata = body.get("metadata", {}) if isinstance(body, dict) else {}
    return AuditEvent(
        at_utc=datetime.fromisoformat(record["stageTimestamp"]),
        user=record["user"].get("username", ""),
        verb=record["verb"],
        group=target.get("apiGroup", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", "") or metadata.get("name", "") or metadata.get("generateName", ""),
        code=record.get("responseStatus", {}).get("code", 0),
        body=body,
        query=record.get("requestURI", "").partition("?")[2],
        answer=record.get("responseObject"),
        received_utc=datetime.fromisoformat(record["requestReceivedTimestamp"])
        if "requestReceivedTimestamp" in record
        else None,
        agent=record.get("userAgent", ""),
    )
