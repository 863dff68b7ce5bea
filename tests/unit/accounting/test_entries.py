"""Corrections and closed gaps, as the ledger takes them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.accounting.entries import corrected, entry_id, missing_entries, missing_entry
from scheduler.core.accounting.slots import gaps, refusal
from scheduler.domain.ledger import Quality
from scheduler.domain.time import utc
from scheduler.simulate.memory_ledger import MemoryLedger

START = utc("2026-01-14T10:00:00+00:00")


def test_an_id_follows_from_what_is_booked() -> None:
    assert entry_id("north", START) == "north-20260114T100000Z-0"


def test_a_correction_is_the_next_revision_of_its_slot() -> None:
    first = missing_entry("north", START, 900)
    second = corrected(first, heat_sold_kwh=3.0, quality=Quality.ESTIMATED)
    third = corrected(second, heat_sold_kwh=3.1, quality=Quality.METERED)
    assert (second.revision, third.revision) == (1, 2)
    ledger = MemoryLedger()
    assert asyncio.run(ledger.append((first, second, third))) == 3
    assert asyncio.run(ledger.entries("north", START, START + timedelta(hours=1))) == (third,)
    assert first.heat_sold_kwh is None


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, 11)), st.sampled_from([300, 900, 3600]))
def test_every_gap_is_closed_and_nothing_overlaps(booked: set[int], slot_s: int) -> None:
    end = START + timedelta(hours=3)
    known = [missing_entry("north", START + timedelta(minutes=15 * slot), 900) for slot in sorted(booked)]
    new = missing_entries("north", known, START, end, slot_s)
    assert refusal(new, known) == ""
    everything = sorted([*known, *new], key=lambda one: one.start_utc)
    assert gaps(everything, START, end) == ()
    assert sum(one.duration_s for one in everything) == 3 * 3600
