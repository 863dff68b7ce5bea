"""Counters to slots: by hand, and that nothing is lost however often and whenever a meter is read."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.accounting.metering import MeterRule, Reading, SlotEnergy, slot_energies, stretches
from scheduler.domain.ledger import Quality
from scheduler.domain.time import TimeGrid, utc

START = utc("2026-01-14T10:00:00+00:00")
GRID = TimeGrid(start_utc=START, slot_s=900, slots=4)
RULE = MeterRule(max_kw=100.0)


def read(*points: tuple[float, float]) -> list[Reading]:
    """Readings at minutes after START."""
    return [Reading(at_utc=START + timedelta(minutes=minute), counter_kwh=kwh) for minute, kwh in points]


def energies(*points: tuple[float, float]) -> list[tuple[float | None, str]]:
    return [(one.energy_kwh, one.quality.value) for one in slot_energies(read(*points), GRID, RULE)]


def test_readings_on_the_quarter_hours_are_differences() -> None:
    assert energies((0, 100), (15, 110), (30, 110), (45, 125), (60, 127)) == [
        (10.0, "metered"),
        (0.0, "metered"),
        (15.0, "metered"),
        (2.0, "metered"),
    ]


def test_a_reading_between_two_slots_is_shared_by_time() -> None:
    # 10 -> 25 min: 9 kWh, 5 min of it in the first slot and 10 in the second: 3 + 6.
    assert energies((0, 0), (10, 5), (25, 14), (30, 15), (45, 15), (60, 15))[:2] == [(8.0, "metered"), (7.0, "metered")]


def test_a_long_silence_is_spread_and_called_an_estimate() -> None:
    # 30 kWh in 45 min: 10 a slot.
    assert energies((0, 0), (45, 30), (60, 31)) == [
        (10.0, "estimated"),
        (10.0, "estimated"),
        (10.0, "estimated"),
        (1.0, "metered"),
    ]


def test_what_is_not_covered_whole_is_missing() -> None:
    assert energies((5, 0), (15, 1), (30, 3)) == [(None, "missing"), (2.0, "metered"), (None, "missing"), (None, "missing")]
    assert energies() == [(None, "missing")] * 4
    assert energies((0, 1)) == [(None, "missing")] * 4


def test_a_counter_that_starts_again_keeps_what_it_has_counted_since() -> None:
    # Restart between 15 and 30: 3 kWh since, at least.
    assert energies((0, 990), (15, 1000), (30, 3), (45, 8), (60, 9)) == [
        (10.0, "metered"),
        (3.0, "estimated"),
        (5.0, "metered"),
        (1.0, "metered"),
    ]


def test_a_stray_value_is_left_out_whether_high_or_low() -> None:
    for stray in (9e9, 0.0, math.nan, -5.0):
        assert energies((0, 990), (15, 1000), (20, stray), (30, 1006), (45, 1010), (60, 1011)) == [
            (10.0, "metered"),
            (6.0, "metered"),
            (4.0, "metered"),
            (1.0, "metered"),
        ]


def test_a_new_meter_leaves_one_unknown_stretch() -> None:
    assert energies((0, 10), (15, 20), (30, 70_000), (45, 70_005), (60, 70_009)) == [
        (10.0, "metered"),
        (None, "missing"),
        (5.0, "metered"),
        (4.0, "metered"),
    ]


def test_order_and_repeats_do_not_matter() -> None:
    points = [(0, 1), (15, 2), (30, 4), (45, 8), (60, 16)]
    assert energies(*reversed(points), (30, 5)) == energies(*points)


STEPS = st.lists(st.tuples(st.floats(0.5, 40.0), st.floats(0.0, 90.0)), min_size=1, max_size=40)


def walked(steps: list[tuple[float, float]], start_kwh: float = 0.0) -> list[tuple[float, float]]:
    """Points (minute, kWh) of a counter that runs at some kW for some minutes, from 30 min before the grid."""
    minute, kwh = -30.0, start_kwh
    points = [(minute, kwh)]
    for minutes, power_kw in steps:
        minute, kwh = minute + minutes, kwh + power_kw * minutes / 60.0
        points.append((minute, kwh))
    return points


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_slots_add_up_to_what_was_counted(steps: list[tuple[float, float]]) -> None:
    points = walked(steps)
    long = TimeGrid(start_utc=START - timedelta(hours=1), slot_s=900, slots=4 * 30)
    known = [one for one in slot_energies(read(*points), long, RULE) if one.energy_kwh is not None]
    parts = stretches(read(*points), RULE)
    assert sum(part.energy_kwh or 0.0 for part in parts) == pytest.approx(points[-1][1], abs=1e-6)
    assert all(a.end_utc == b.start_utc for a, b in zip(parts[:-1], parts[1:], strict=True))
    # The first slot begins at -60 min, the walk at -30: whole slots are those between, and they hold what was counted there.
    minutes, kwh = np.asarray(points).T
    first, last = -30.0, -30.0 + 15.0 * math.floor((minutes[-1] + 30.0 + 1e-6) / 15.0)
    expected = float(np.interp(last, minutes, kwh) - np.interp(first, minutes, kwh))
    assert sum(one.energy_kwh or 0.0 for one in known) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(STEPS, st.lists(st.floats(0.0, 1.0), max_size=20))
def test_reading_more_often_changes_no_energy(steps: list[tuple[float, float]], shares: list[float]) -> None:
    points = walked(steps)
    minutes, kwh = np.asarray(points).T
    extra = [float(minutes[0] + share * (minutes[-1] - minutes[0])) for share in shares]
    often = sorted(
        set(points) | {(minute, float(np.interp(minute, minutes, kwh))) for minute in extra if minute not in minutes}
    )
    seldom, dense = slot_energies(read(*points), GRID, RULE), slot_energies(read(*often), GRID, RULE)
    for a, b in zip(seldom, dense, strict=True):
        assert (a.energy_kwh is None) == (b.energy_kwh is None)
        assert (a.energy_kwh or 0.0) == pytest.approx(b.energy_kwh or 0.0, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(STEPS, STEPS)
def test_a_restart_never_takes_back_what_was_counted(
    before: list[tuple[float, float]], after: list[tuple[float, float]]
) -> None:
    first = walked(before, start_kwh=5000.0)
    offset = first[-1][0] + 30.0
    second = [(minute + offset, kwh) for minute, kwh in walked(after)][1:]
    parts = stretches(read(*first, *second), RULE)
    total = sum(part.energy_kwh or 0.0 for part in parts)
    assert total == pytest.approx(first[-1][1] - 5000.0 + second[-1][1], abs=1e-6)
    assert all((part.energy_kwh or 0.0) >= 0.0 for part in parts)


def test_a_slot_energy_is_known_or_missing() -> None:
    for one in slot_energies(read((0, 0), (15, 1), (50, 2)), GRID, RULE):
        assert isinstance(one, SlotEnergy)
        assert (one.energy_kwh is None) == (one.quality is Quality.MISSING)
