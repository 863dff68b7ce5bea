"""A meter point's readings to slots: by hand, and that no Wh is lost or invented whatever happens to the meter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.accounting.meter_series import MeterSlots, metered_slots
from scheduler.domain.plantlink import MeterReading
from scheduler.domain.settlement import MeterEvent, MeterPlate
from scheduler.domain.time import TimeGrid, utc

START = utc("2026-01-14T10:00:00+00:00")
GRID = TimeGrid(start_utc=START, slot_s=900, slots=4)
PLATE = MeterPlate(meter_point_id="hall", max_kw=100.0)


def read(minute: float, kwh: float | None, meter_id: str = "A", **more: object) -> MeterReading:
    reading = MeterReading(meter_point_id="hall", at_utc=START + timedelta(minutes=minute), energy_kwh=kwh, meter_id=meter_id)
    return replace(reading, **more)  # type: ignore[arg-type]  # names of fields


def told(found: MeterSlots) -> list[tuple[int | None, str]]:
    return [(one.heat_wh, one.quality.value) for one in found.slots]


def events(found: MeterSlots) -> list[MeterEvent]:
    return [one.event for one in found.notes]


def of(*readings: MeterReading, plate: MeterPlate = PLATE, grid: TimeGrid = GRID) -> MeterSlots:
    return metered_slots(readings, grid, plate)


def test_the_register_is_cut_at_the_borders_of_slots() -> None:
    # 10 -> 25 min: 9 kWh, 5 min of it in the first slot and 10 in the second: 3 + 6.
    found = of(read(0, 100), read(10, 105), read(25, 114), read(30, 115), read(45, 115), read(60, 115))
    assert told(found) == [(8000, "metered"), (7000, "metered"), (0, "metered"), (0, "metered")]
    assert events(found) == []


def test_thirds_of_a_wh_go_to_whole_wh_and_none_is_lost() -> None:
    # 1 Wh over three slots: the register passes 1/3 and 2/3 at the borders, which read 0 and 0; the last slot gets it.
    found = of(read(0, 5.0), read(45, 5.001), read(60, 5.001), plate=replace(PLATE, max_gap_s=3600.0))
    assert [one.heat_wh for one in found.slots] == [0, 0, 1, 0]


def test_an_exchange_loses_what_nobody_counted_and_says_so() -> None:
    found = of(read(0, 10), read(15, 12), read(20, 13), read(40, 700, "B"), read(45, 701, "B"), read(60, 704, "B"))
    # 20 to 40 min: neither meter. The slots that it touches are not known, the others are.
    assert told(found) == [(2000, "metered"), (None, "missing"), (None, "missing"), (3000, "metered")]
    assert events(found) == [MeterEvent.EXCHANGED]


def test_a_meter_that_was_taken_down_counts_no_more() -> None:
    # B hangs there from 15 on; what is still told of A at 30 is not believed.
    found = of(
        read(0, 10), read(14, 11), read(15, 500, "B"), read(25, 501, "B"), read(30, 12), read(45, 504, "B"), read(60, 505, "B")
    )
    # 25 to 45 min: 3 kWh, of which 5/20 are before 30: 750 Wh, 2250 after. The read gap of 20 min is an estimate.
    assert told(found) == [(None, "missing"), (1750, "estimated"), (2250, "estimated"), (1000, "metered")]
    assert events(found) == [MeterEvent.EXCHANGED, MeterEvent.GAP]


def test_of_two_meters_that_tell_by_turns_the_mounted_one_counts() -> None:
    found = of(*(read(15 * i, 10.0 + i) for i in range(5)), read(16, 500, "B"), read(31, 502, "B"), read(46, 504, "B"))
    assert told(found) == [(1000, "metered")] * 4
    assert events(found) == []


def quarters(names: Sequence[str]) -> list[MeterReading]:
    """A reading each quarter hour, 1 kWh more each time, whichever meter it is said to be of; B stands 500 kWh higher."""
    return [read(15 * i, 100.0 + i + (500.0 if name == "B" else 0.0), name) for i, name in enumerate(names)]


def sum_and_missing(names: Sequence[str]) -> tuple[int, int]:
    grid = TimeGrid(start_utc=START, slot_s=900, slots=len(names) - 1)
    slots = of(*quarters(names), grid=grid).slots
    return sum(one.heat_wh or 0 for one in slots), sum(one.heat_wh is None for one in slots)


def test_a_reading_without_a_name_is_of_the_mounted_meter() -> None:
    # 92 readings, 91 slots of 1 kWh, wherever the one without a name is.
    for place in (0, 40, 91):
        names = ["A"] * 92
        names[place] = ""
        assert sum_and_missing(names) == (91_000, 0)
    assert sum_and_missing([""] * 92) == (91_000, 0)


def test_one_stray_reading_of_another_meter_is_not_believed() -> None:
    # Without it the register is read after 30 min: 2 kWh over both slots. At either end a slot has no second reading.
    assert sum_and_missing(["A"] * 40 + ["B"] + ["A"] * 51) == (91_000, 0)
    assert sum_and_missing(["B"] + ["A"] * 91) == (90_000, 1)
    assert sum_and_missing(["A"] * 91 + ["B"]) == (90_000, 1)


def test_a_meter_that_comes_back_counts_again() -> None:
    # 30 A, 30 B, 32 A: 29 + 29 + 31 slots of 1 kWh; the two around the exchanges are not known.
    assert sum_and_missing(["A"] * 30 + ["B"] * 30 + ["A"] * 32) == (89_000, 2)
    found = of(*quarters(["A", "A", "B", "B", "A", "A"]), grid=replace(GRID, slots=5))
    assert events(found) == [MeterEvent.EXCHANGED, MeterEvent.EXCHANGED]
    assert told(found) == [(1000, "metered"), (None, "missing"), (1000, "metered"), (None, "missing"), (1000, "metered")]


def test_a_full_register_goes_on_and_a_restart_is_an_estimate() -> None:
    full = replace(PLATE, register_kwh=1000.0)
    rolled = of(read(0, 995), read(15, 999), read(30, 3), read(45, 8), read(60, 9), plate=full)
    assert told(rolled) == [(4000, "metered"), (4000, "metered"), (5000, "metered"), (1000, "metered")]
    assert events(rolled) == [MeterEvent.ROLLED_OVER]
    # Far from full, a fall is a restart: what it counted up to now is the least that there was.
    reset = of(read(0, 495), read(15, 499), read(30, 3), read(45, 8), read(60, 9), plate=full)
    assert told(reset) == [(4000, "metered"), (3000, "estimated"), (5000, "metered"), (1000, "metered")]
    assert events(reset) == [MeterEvent.RESET]


def test_a_clock_set_back_keeps_the_energy_and_doubts_the_time() -> None:
    # At 15 its clock says 50; set right, it says 20 with a register that has gone on.
    found = of(read(0, 100), read(50, 105), read(20, 106), read(30, 108), read(45, 110), read(60, 112))
    assert events(found) == [MeterEvent.CLOCK_BACK, MeterEvent.GAP]
    # 6 kWh from 0 to 20 min, 2 to 30: 4.5 + 1.5 + 2.
    assert told(found) == [(4500, "estimated"), (3500, "estimated"), (2000, "estimated"), (2000, "estimated")]


def test_a_clock_that_was_far_ahead_loses_no_heat() -> None:
    # True times 0, 5, ... with stamps 15 min ahead from 10 on, at 80 kW behind a meter of 100 kW; set right at 40.
    true = [(5 * i, 80.0 / 12.0 * i) for i in range(13)]
    readings = [read(minute + (15 if 10 <= minute < 40 else 0), 500.0 + kwh) for minute, kwh in true]
    found = of(*readings)
    assert MeterEvent.JUMP not in events(found)
    assert MeterEvent.CLOCK_BACK in events(found)
    assert sum(one.heat_wh or 0 for one in found.slots) == 80_000


def test_a_late_reading_finds_its_place_and_a_contradiction_none() -> None:
    found = of(read(0, 100), read(30, 110), read(15, 101), read(45, 111), read(60, 112))
    assert told(found) == [(1000, "metered"), (9000, "metered"), (1000, "metered"), (1000, "metered")]
    wrong = of(read(0, 100), read(30, 110), read(15, 90), read(45, 111), read(60, 112))
    assert told(wrong)[:2] == [(5000, "estimated"), (5000, "estimated")]


def test_a_jump_is_heat_of_nobody() -> None:
    # 900 kWh in 15 min asks for 3.6 MW behind a meter of 100 kW, and the register goes on from there.
    found = of(read(0, 100), read(15, 110), read(30, 1010), read(45, 1011), read(60, 1012))
    assert told(found) == [(10000, "metered"), (None, "missing"), (1000, "metered"), (1000, "metered")]
    assert events(found) == [MeterEvent.JUMP]


def test_what_a_meter_doubts_itself_is_an_estimate() -> None:
    found = of(read(0, 100), read(15, 101), read(30, 102, error="empty pipe"), read(45, 103), read(60, 104))
    assert [quality for _, quality in told(found)] == ["metered", "estimated", "metered", "metered"]
    assert events(found) == [MeterEvent.ERROR]


def test_after_its_calibration_a_meter_only_estimates() -> None:
    grid = TimeGrid(start_utc=utc("2026-01-14T22:30:00+00:00"), slot_s=900, slots=4)
    start = timedelta(hours=12, minutes=30)
    readings = [replace(read(15 * i, 10.0 + i), at_utc=START + start + timedelta(minutes=15 * i)) for i in range(5)]
    plate = replace(PLATE, calibration_due=date(2026, 1, 14))
    found = metered_slots(readings, grid, plate, "Europe/Copenhagen")
    # 23:00 UTC is midnight in Copenhagen.
    assert [quality for _, quality in told(found)] == ["metered", "metered", "estimated", "estimated"]
    assert events(found) == [MeterEvent.CALIBRATION]


def test_supply_temperatures_are_means_of_what_was_read_in_a_slot() -> None:
    found = of(read(0, 1, supply_c=60.0), read(10, 2, supply_c=64.0), read(15, 3), read(60, 4, supply_c=10.0))
    assert [one.supply_c for one in found.slots] == [62.0, None, None, None]


STEPS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 30), st.sampled_from("nnnnnrx")), min_size=1, max_size=14)


@settings(max_examples=120, deadline=None)
@given(STEPS, st.integers(0, 12))
def test_slots_add_up_to_what_the_registers_rose_by(steps: Sequence[tuple[int, int, str]], offset: int) -> None:
    """n: the register goes on. r: it restarts at zero. x: another meter. Minutes and kWh of each step."""
    minute, kwh, meter, counted = 0, 50.0, 0, 0.0
    readings = [read(0, kwh, "0")]
    for wait, rise, what in steps:
        minute += wait
        rise = min(rise, int(wait * 100 / 60))
        if what == "x":
            meter, kwh = meter + 1, 7.0
        elif what == "r":
            kwh, counted = float(rise), counted + rise
        else:
            kwh, counted = kwh + rise, counted + rise
        readings.append(read(minute, kwh, str(meter)))
    grid = TimeGrid(start_utc=START - timedelta(minutes=offset), slot_s=60, slots=minute + 30)
    # Slots of a minute lie on the readings: every stretch is covered by whole slots.
    found = metered_slots(readings, grid, PLATE)
    known = [one.heat_wh for one in found.slots if one.heat_wh is not None]
    assert all(one >= 0 for one in known)
    assert sum(known) <= counted * 1000
    if not any(one.event is MeterEvent.JUMP for one in found.notes) and "r" not in {what for _, _, what in steps}:
        assert sum(known) == counted * 1000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=3, max_size=30), st.integers(1, 7), st.integers(1, 7))
def test_how_the_slots_are_cut_changes_no_sum(rises: Sequence[int], coarse: int, fine: int) -> None:
    kwh, readings = 0.0, [read(0, 0.0)]
    for index, rise in enumerate(rises):
        kwh += rise / 7.0
        readings.append(read(7.3 * (index + 1), kwh))
    plate = replace(PLATE, max_gap_s=3600.0)
    length_s = int((readings[-1].at_utc - START).total_seconds()) // (900 * coarse * fine) * (900 * coarse * fine)
    sums = {
        sum(
            one.heat_wh or 0
            for one in metered_slots(readings, TimeGrid(start_utc=START, slot_s=slot_s, slots=length_s // slot_s), plate).slots
        )
        for slot_s in (900 * coarse, 900 * fine, 900)
    }
    assert len(sums) == 1
