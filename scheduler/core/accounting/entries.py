"""Ledger entries made from others: ids, corrections, and entries that say "not known" where nobody measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from scheduler.core.accounting.slots import gaps
from scheduler.domain.ledger import LedgerEntry, Quality


def entry_id(plug_id: str, start_utc: datetime, revision: int = 0) -> str:
    """Id of an entry: it follows from what is booked, so that booking again after a crash changes nothing."""
    return f"{plug_id}-{start_utc:%Y%m%dT%H%M%SZ}-{revision}"


def corrected(entry: LedgerEntry, **changes: Any) -> LedgerEntry:
    """The next revision of a slot with some numbers changed; the earlier one stays in the ledger."""
    revision = entry.revision + 1
    return replace(entry, **changes, revision=revision, entry_id=entry_id(entry.plug_id, entry.start_utc, revision))


def missing_entry(plug_id: str, start_utc: datetime, duration_s: int) -> LedgerEntry:
    """A slot of which nothing is known: booked as such, so that it is not taken for one that is still to come."""
    return LedgerEntry(
        entry_id=entry_id(plug_id, start_utc),
        plug_id=plug_id,
        start_utc=start_utc,
        duration_s=duration_s,
        revision=0,
        plan_id="",
        quality=Quality.MISSING,
        it_energy_kwh=None,
        facility_energy_kwh=None,
        heat_captured_kwh=None,
        heat_recovered_kwh=None,
        heat_sold_kwh=None,
        heat_rejected_kwh=None,
        heat_planned_kwh=None,
        heat_firm_kwh=None,
        tank_level_kwh=None,
        emissions_g=None,
    )


def missing_entries(
    plug_id: str, booked: Sequence[LedgerEntry], start_utc: datetime, end_utc: datetime, slot_s: int
) -> tuple[LedgerEntry, ...]:
    """Entries that close every gap of [start, end) in slots of at most `slot_s`; `booked` in time order, one per slot."""
    found: list[LedgerEntry] = []
    for first, after in gaps(booked, start_utc, end_utc):
        at = first
        while at < after:
            stop = min(after, at + timedelta(seconds=slot_s))
            duration_s = int((stop - at).total_seconds())
            found.append(missing_entry(plug_id, at, duration_s))
            at = stop
    return tuple(found)
