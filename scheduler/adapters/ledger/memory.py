"""A ledger in memory: the same promises as the SQL one, for backtests that keep nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from scheduler.adapters.ledger.slots import refuse_overlap
from scheduler.domain.errors import Permanent
from scheduler.domain.ledger import CycleEntry, LedgerEntry


class MemoryLedger:
    """Append-only, idempotent by id."""

    def __init__(self) -> None:
        """Start empty."""
        self._entries: dict[str, LedgerEntry] = {}
        self._cycles: dict[str, CycleEntry] = {}

    async def append(self, entries: Sequence[LedgerEntry]) -> int:
        """Append entries that are not there yet; all or none.

        Raises:
            Permanent: on overlapping slots, or when a slot's revision is there under another id.
        """
        fresh = {entry.entry_id: entry for entry in entries if entry.entry_id not in self._entries}
        plugs = {entry.plug_id for entry in fresh.values()}
        known = [entry for entry in self._entries.values() if entry.plug_id in plugs]
        refuse_overlap(fresh.values(), known)
        keys = [(entry.plug_id, entry.start_utc, entry.revision) for entry in [*known, *fresh.values()]]
        if len(set(keys)) != len(keys):
            raise Permanent("ledger: a slot's revision is already there under another id")
        self._entries |= fresh
        return len(fresh)

    async def append_cycle(self, entry: CycleEntry) -> None:
        """Append one cycle; a repeat changes nothing."""
        self._cycles.setdefault(entry.cycle_id, entry)

    async def entries(self, plug_id: str, start_utc: datetime, end_utc: datetime) -> tuple[LedgerEntry, ...]:
        """Latest revision of each slot in [start, end), in time order."""
        latest: dict[datetime, LedgerEntry] = {}
        for entry in self._entries.values():
            if entry.plug_id == plug_id and start_utc <= entry.start_utc < end_utc:
                kept = latest.get(entry.start_utc)
                if kept is None or entry.revision > kept.revision:
                    latest[entry.start_utc] = entry
        return tuple(latest[at] for at in sorted(latest))

    async def cycles(self, start_utc: datetime, end_utc: datetime) -> tuple[CycleEntry, ...]:
        """Cycles in [start, end), in time order."""
        found = [entry for entry in self._cycles.values() if start_utc <= entry.at_utc < end_utc]
        return tuple(sorted(found, key=lambda entry: (entry.at_utc, entry.cycle_id)))
