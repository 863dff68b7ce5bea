"""A customer's account in the ledger: what is booked reads back to the same whole numbers, and corrections are new entries."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.accounting.booking import (
    account_of,
    booked_prices_micro,
    booked_revenue_micro,
    corrected_by_hand,
    heat_entry,
    promises_of,
    slots_of,
    to_book,
)
from scheduler.core.accounting.slots import malformed, refusal
from scheduler.core.accounting.whole import cents, divided, kwh_from_wh, wh_from_kwh, wh_of
from scheduler.domain.ledger import LedgerEntry, Quality
from scheduler.domain.settlement import HeatSlot, Promise
from scheduler.domain.time import utc

START = utc("2026-01-14T10:00:00+00:00")


def slot(index: int, heat_wh: int | None, quality: Quality = Quality.METERED) -> HeatSlot:
    start_utc = START + timedelta(minutes=15 * index)
    known = Quality.MISSING if heat_wh is None else quality
    return HeatSlot(start_utc=start_utc, duration_s=900, heat_wh=heat_wh, quality=known)


def entry(index: int, heat_wh: int | None, quality: Quality = Quality.METERED, firm_w: int = 40_000) -> LedgerEntry:
    return heat_entry("network", slot(index, heat_wh, quality), planned_kwh=9.0, firm_w=firm_w, price_micro=45_123)


def test_what_is_booked_reads_back_to_the_same_numbers() -> None:
    entries = [entry(0, 10_001), entry(1, None), entry(2, 0)]
    assert [one.heat_wh for one in slots_of(entries)] == [10_001, None, 0]
    assert promises_of(entries)[0] == Promise(start_utc=START, end_utc=START + timedelta(minutes=15), firm_w=40_000)
    assert entries[0].plug_id == account_of("network") == "offtake:network"
    assert entries[0].heat_firm_kwh == 10.0
    # 10.001 kWh x 0.045123 = 0.451275...
    assert booked_revenue_micro(entries) == 451_275
    assert booked_prices_micro(entries, "Europe/Copenhagen") == {date(2026, 1, 14): 45_123}
    assert not refusal(entries, [])
    assert not malformed(entries[1])


def test_only_what_is_new_or_has_changed_is_booked() -> None:
    booked = [entry(0, 10_000), entry(1, None), entry(2, 7000)]
    fresh = [entry(0, 10_000), entry(1, 5000, Quality.ESTIMATED), entry(2, None), entry(3, 1)]
    found = to_book(booked, fresh)
    # The second was not known; the third stays, as nothing better is known now; the fourth is new.
    assert [(one.start_utc, one.revision, one.heat_sold_kwh) for one in found] == [
        (booked[1].start_utc, 1, 5.0),
        (START + timedelta(minutes=45), 0, 0.001),
    ]
    assert to_book([booked[0], found[0], booked[2], found[1]], fresh) == ()


def test_what_a_person_corrected_stays() -> None:
    by_hand = corrected_by_hand(entry(0, 10_000), 9000, "read from the display", 45_123)
    assert (by_hand.revision, by_hand.heat_sold_kwh, by_hand.plan_id) == (1, 9.0, "corrected: read from the display")
    assert by_hand.eur["heat_revenue"] == pytest.approx(-9.0 * 0.045123)
    assert to_book([by_hand], [entry(0, 10_000)]) == ()
    with_terms = replace(entry(0, 10_000), eur={"heat_pump": 1.0, "heat_revenue": -2.0})
    assert corrected_by_hand(with_terms, 9000, "so", 1_000_000).eur == {"heat_pump": 1.0, "heat_revenue": -9.0}


@pytest.mark.parametrize(("number", "by", "expected"), [(5, 10, 1), (-5, 10, -1), (4, 10, 0), (-4, 10, 0), (15, 10, 2)])
def test_halves_go_away_from_zero(number: int, by: int, expected: int) -> None:
    assert divided(number, by) == expected


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**12), st.integers(-(10**7), 10**7))
def test_whole_numbers_survive_floats_and_money_is_rounded_once(energy_wh: int, price_micro: int) -> None:
    assert wh_from_kwh(kwh_from_wh(energy_wh)) == energy_wh
    # A cent is 1e7 Wh * millionths per kWh; never further away than half of it.
    assert abs(cents(energy_wh, price_micro) * 10**7 - energy_wh * price_micro) <= 5 * 10**6
    assert cents(energy_wh, -price_micro) == -cents(energy_wh, price_micro)


def test_power_over_time() -> None:
    # 40.001 kW for a quarter hour is 10.00025 kWh.
    assert wh_of(40_001, 900) == 10_000
    assert wh_of(40_002, 900) == 10_001
