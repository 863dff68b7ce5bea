"""Gaps and the last word on a slot, by hand."""

from __future__ import annotations

from datetime import timedelta

from scheduler.core.accounting.slots import gaps, latest_revisions
from scheduler.domain.ledger import LedgerEntry, Quality
from scheduler.domain.time import utc

START = utc("2026-01-14T10:00:00+00:00")


def entry(minute: int, minutes: int = 15, revision: int = 0) -> LedgerEntry:
    return LedgerEntry(
        entry_id=f"{minute}/{revision}",
        plug_id="plug",
        start_utc=START + timedelta(minutes=minute),
        duration_s=minutes * 60,
        revision=revision,
        plan_id="",
        quality=Quality.ESTIMATED,
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


def minutes_of(entries: list[LedgerEntry], end: int) -> list[tuple[float, float]]:
    found = gaps(entries, START, START + timedelta(minutes=end))
    return [((a - START).total_seconds() / 60, (b - START).total_seconds() / 60) for a, b in found]


def test_gaps_lie_before_between_and_after() -> None:
    # Slots 15..30, 30..45 and 60..75 of the 90 minutes: 0..15, 45..60 and 75..90 are missing.
    assert minutes_of([entry(15), entry(30), entry(60)], 90) == [(0, 15), (45, 60), (75, 90)]


def test_nothing_booked_is_one_gap_and_everything_booked_is_none() -> None:
    assert minutes_of([], 60) == [(0, 60)]
    assert minutes_of([entry(0, 60)], 60) == []
    assert minutes_of([entry(-15, 90)], 60) == []


def test_a_gap_ends_with_the_period() -> None:
    assert minutes_of([entry(120)], 60) == [(0, 60)]


def test_the_highest_revision_wins_whatever_the_order() -> None:
    found = latest_revisions([entry(15), entry(0, revision=2), entry(0), entry(0, revision=1)])
    assert [(one.entry_id, one.revision) for one in found] == [("0/2", 2), ("15/0", 0)]
