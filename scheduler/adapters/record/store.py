"""Write a cycle to a file, read it back, decide it again."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler.adapters.record.codec import Unreadable, decode, encode
from scheduler.adapters.record.digest import plan_digest
from scheduler.domain.decision import CycleRecord, Decision
from scheduler.domain.errors import Misconfigured
from scheduler.domain.plan import Plan
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot
from scheduler.loop.decide import decide

FORMAT = "heat-dispatch/cycle"
VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredCycle:
    """All that a decision was made of, and what it was."""

    site: Site
    settings: Settings
    snapshot: Snapshot
    last: Plan | None
    decision: Decision
    plan_digest: str


def stored(site: Site, settings: Settings, last: Plan | None, record: CycleRecord) -> StoredCycle:
    """A cycle with its inputs: the site, the settings and the plan that it started from."""
    return StoredCycle(
        site=site,
        settings=settings,
        snapshot=record.snapshot,
        last=last,
        decision=record.decision,
        plan_digest=plan_digest(record.decision.plan),
    )


def write_cycle(path: Path, cycle: StoredCycle) -> None:
    """Write as JSON, compressed when the name ends in `.gz`; the file appears whole or not at all."""
    document = {"format": FORMAT, "version": VERSION, **encode(StoredCycle, cycle)}
    data = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    whole = path.with_name(path.name + ".part")
    # mtime 0: the same cycle gives the same bytes.
    whole.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    whole.replace(path)


def read_cycle(path: Path) -> StoredCycle:
    """Read what `write_cycle` wrote.

    Raises:
        Misconfigured: when the file is not such a cycle.
    """
    document = _document(path)
    if document.pop("format", None) != FORMAT:
        raise Misconfigured("not a recorded cycle", where=str(path), expected=f'"format": "{FORMAT}"')
    if document.pop("version", None) != VERSION:
        raise Misconfigured("written by another version", where=str(path), expected=f'"version": {VERSION}')
    try:
        return decode(StoredCycle, document)
    except Unreadable as wrong:
        raise Misconfigured(str(wrong), where=str(path), expected="a recorded cycle") from wrong


def _document(path: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    try:
        raw = path.read_bytes()
        found = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    except (OSError, EOFError, ValueError) as wrong:
        raise Misconfigured(f"cannot be read: {wrong}", where=str(path), expected="a recorded cycle") from wrong
    if not isinstance(found, dict):
        raise Misconfigured("not a JSON object", where=str(path), expected="a recorded cycle")
    return found


def replay(path: Path) -> Decision:
    """Decide a recorded cycle again: the same plan id and the same plan digest, on any machine."""
    cycle = read_cycle(path)
    return decide(cycle.site, cycle.snapshot, cycle.settings, last=cycle.last)
