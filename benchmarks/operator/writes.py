"""What the operator wrote, read from the API server's audit log: how many, how fast, and nothing twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.operator.world import REPLICAS
from scheduler.adapters.devcluster.audit import COMPLETE, AuditEvent, event

MINUTE_S = 60.0
# What the issue sets aside: who leads, and the one object that every cycle replaces.
ASIDE = ("leases", "dispatchplans")


def written(path: Path, start_byte: int = 0) -> list[AuditEvent]:
    """Accepted writes of the operator since a place in the log, in the order in which they ended."""
    return sorted((one for one, _ in _asked(path, start_byte) if one.writes and one.accepted), key=lambda one: one.at_utc)


def follow(path: Path, start_byte: int) -> tuple[list[AuditEvent], int]:
    """The same, with the place up to which it was read; each byte is read once by whoever goes on from there."""
    found: list[AuditEvent] = []
    end_byte = start_byte
    for one, behind_byte in _asked(path, start_byte):
        found += [one] if one.writes and one.accepted else []
        end_byte = behind_byte
    return found, end_byte


def _asked(path: Path, start_byte: int) -> Iterator[tuple[AuditEvent, int]]:
    """Requests of the replicas with the place behind each; other lines, of which there are many more, are not parsed."""
    marks = [f'"username":"{user}"'.encode() for user in REPLICAS]
    with path.open("rb") as file:
        file.seek(start_byte)
        end_byte = start_byte
        for line in file:
            if not line.endswith(b"\n"):
                return
            end_byte += len(line)
            if any(mark in line for mark in marks):
                record = json.loads(line)
                if record.get("stage") == COMPLETE and "objectRef" in record:
                    yield event(record), end_byte


def counted(writes: Sequence[AuditEvent]) -> list[AuditEvent]:
    """Those that count against the limit."""
    return [one for one in writes if one.resource not in ASIDE]


def busiest_per_s(writes: Sequence[AuditEvent], window_s: float = MINUTE_S) -> float:
    """Mean rate over the busiest stretch of `window_s` (all of the time, when it is shorter)."""
    at_s = [one.at_utc.timestamp() for one in counted(writes)]
    if not at_s:
        return 0.0
    first, most = 0, 0
    for last, now_s in enumerate(at_s):
        while now_s - at_s[first] >= window_s:
            first += 1
        most = max(most, last - first + 1)
    return most / min(window_s, max(1.0, at_s[-1] - at_s[0]))


def by_kind(writes: Sequence[AuditEvent]) -> dict[str, int]:
    """How many of what."""
    return dict(Counter(f"{one.verb} {one.resource}{'/' + one.subresource if one.subresource else ''}" for one in writes))


def about_jobs(writes: Sequence[AuditEvent]) -> list[AuditEvent]:
    """Decisions that were carried out."""
    return [one for one in writes if one.resource == "jobs"]


def doubled(writes: Sequence[AuditEvent]) -> list[str]:
    """Jobs of which the same was written twice in a row, or that were released twice without a hold in between."""
    last: dict[str, tuple[bool | None, Any]] = {}
    found: list[str] = []
    for one in about_jobs(writes):
        body = one.body if isinstance(one.body, dict) else {}
        said = body.get("metadata", {}).get("annotations")
        suspend = body.get("spec", {}).get("suspend")
        before = last.get(one.name)
        if before is not None and (before == (suspend, said) or (suspend is False and before[0] is False)):
            found.append(one.name)
        last[one.name] = (suspend, said)
    return found
