"""A ledger in memory: the same promises as the one in SQL, for runs that keep nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from scheduler.core.accounting.slots import latest_revisions, malformed_cycle, refusal
from scheduler.domain.errors import Permanent
from scheduler.domain.ledger import CycleEntry, LedgerEntry


class MemoryLedger:
    """Append-only, idempotent by id; behind `scheduler.ports.Ledger`."""

    def __init__(self) -> None:
        """Begin empty."""
        self._booked: dict[str, LedgerEntry] = {}
        self._by_day: dict[tuple[str, int], list[LedgerEntry]] = {}
        self._cycles: dict[str, CycleEntry] = {}

    async def append(self, entries: Sequence[LedgerEntry]) -> int:
        """Append entries that are not there yet; all or none.

        Raises:
            Permanent: on a malformed entry, overlapping slots, or when a slot's revision is there under another id.
        """
        new: dict[str, LedgerEntry] = {}
        for entry in entries:
            if entry.entry_id not in self._booked:
                new.setdefault(entry.entry_id, entry)
        wrong = refusal(list(new.values()), self._near(new.values()))
        if wrong:
            raise Permanent(wrong)
        for entry in new.values():
            self._by_day.setdefault((entry.plug_id, day_of(entry.start_utc)), []).append(entry)
        self._booked |= new
        return len(new)

    def _near(self, entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
        """Booked entries that are near enough to overlap the new ones: no slot is longer than a day."""
        around = {(entry.plug_id, day_of(entry.start_utc) + step) for entry in entries for step in (-1, 0, 1)}
        return [entry for bucket in around for entry in self._by_day.get(bucket, ())]

    async def append_cycle(self, entry: CycleEntry) -> None:
        """Append one cycle; a repeat changes nothing.

        Raises:
            Permanent: on a malformed entry.
        """
        wrong = malformed_cycle(entry)
        if wrong:
            raise Permanent(f"ledger cycle {entry.cycle_id}: {wrong}")
        self._cycles.setdefault(entry.cycle_id, entry)

    async def entries(self, plug_id: str, start_utc: datetime, end_utc: datetime) -> tuple[LedgerEntry, ...]:
        """Latest revision of each slot in [start, end), in time order."""
        return latest_revisions(
            entry
            for (owner, _), found in self._by_day.items()
            if owner == plug_id
            for entry in found
            if start_utc <= entry.start_utc < end_utc
        )

    async def cycles(self, start_utc: datetime, end_utc: datetime) -> tuple[CycleEntry, ...]:
        """Cycles in [start, end), in time order."""
        found = [entry for entry in self._cycles.values() if start_utc <= entry.at_utc < end_utc]
        return tuple(sorted(found, key=lambda entry: (entry.at_utc, entry.cycle_id)))


def day_of(at: datetime) -> int:
    """Number of the UTC day; an instant without a zone is read as it stands, since it will be refused."""
    return (at if at.tzinfo is None else at.astimezone(UTC)).toordinal()
