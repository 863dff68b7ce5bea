"""The past as a value: put together, cut, resampled."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from scheduler.core.accounting.counted import Counter, counted
from scheduler.core.accounting.metering import MeterRule, Reading
from scheduler.core.accounting.past import extended, merged, on_quarters, told_past
from scheduler.domain.observed import EndedJob, Origin, Origins, Past, SourceReading
from scheduler.domain.signals import Grade
from scheduler.domain.snapshot import FinishedJob
from scheduler.domain.time import Series, TimeGrid, utc

START = utc("2026-01-14T10:00:00+00:00")
NAN = float("nan")
ALWAYS = START - timedelta(days=365)


def series(values: list[float], *, slot: int = 0, slot_s: int = 900, issued: datetime | None = None) -> Series:
    grid = TimeGrid(start_utc=START + timedelta(seconds=slot * slot_s), slot_s=slot_s, slots=len(values))
    return Series(grid=grid, values=np.asarray(values, dtype=np.float64), unit="kW", source="test", issued_utc=issued)


def ended(uid: str, second: int) -> EndedJob:
    finished = FinishedJob(
        class_name="batch", declared_duration_s=100.0, real_duration_s=90.0, gpus=1, natural_power_w_per_gpu=400.0
    )
    return EndedJob(job_uid=uid, ended_utc=START + timedelta(seconds=second), workload="w", finished=finished)


def same(found: Series, expected: list[float]) -> bool:
    return bool(np.array_equal(found.values, np.asarray(expected), equal_nan=True))


def test_what_is_known_stays_and_what_is_not_is_filled() -> None:
    found = merged(series([1.0, NAN, 3.0]), series([9.0, 9.0, 9.0, 4.0], slot=1))
    assert same(found, [1.0, 9.0, 3.0, 9.0, 4.0])
    assert same(merged(series([1.0], slot=3), series([2.0])), [2.0, NAN, NAN, 1.0])


def test_a_later_issue_revises_and_an_earlier_one_does_not() -> None:
    old = series([1.0, 2.0], issued=START)
    late, early = START + timedelta(hours=1), START - timedelta(hours=1)
    assert same(merged(old, series([5.0, NAN], issued=late)), [5.0, 2.0])
    assert same(merged(old, series([5.0, NAN], issued=early)), [1.0, 2.0])
    assert same(merged(old, series([5.0, 6.0], issued=START)), [1.0, 2.0])
    assert merged(old, series([5.0, NAN], issued=late)).issued_utc == late


def test_grids_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit together"):
        merged(series([1.0]), series([1.0], slot_s=3600))


def test_the_past_grows_and_falls_off_behind() -> None:
    past = Past(series={"a": series([1.0, 2.0, 3.0]), "b": series([7.0])}, ended=(ended("x", 0), ended("y", 1000)))
    more = Past(series={"a": series([4.0], slot=3)}, ended=(ended("z", 2000), ended("y", 1500)))
    found = extended(past, more, since_utc=START + timedelta(seconds=1000))
    # Slots that start before 1000 s go: of a two stay, of b none.
    assert same(found.series["a"], [3.0, 4.0])
    assert found.series["a"].grid.start_utc == START + timedelta(seconds=1800)
    assert "b" not in found.series
    assert [job.job_uid for job in found.ended] == ["y", "z"]
    assert extended(past, more, since_utc=ALWAYS, max_ended=1).ended[0].job_uid == "z"


def test_a_clock_that_was_years_ahead_leaves_no_long_series_behind() -> None:
    ahead = Past(series={"a": series([9.0], slot=96 * 366 * 20)})
    now = extended(ahead, Past(series={"a": series([1.0, 2.0])}), since_utc=ALWAYS)
    assert same(now.series["a"], [1.0, 2.0])


def test_hours_are_step_constant_and_minutes_give_their_mean() -> None:
    assert same(on_quarters(series([1.0, 2.0], slot_s=3600)), [1.0] * 4 + [2.0] * 4)
    minutes = series([float(i) for i in range(30)], slot_s=60)
    # 0..14 and 15..29: means 7 and 22.
    assert same(on_quarters(minutes), [7.0, 22.0])
    minutes.values[20] = NAN
    assert same(on_quarters(minutes), [7.0, NAN])


def test_parts_of_a_quarter_are_left_out() -> None:
    # 5-minute slots from 10:10 on: the first whole quarter is 10:15 to 10:30.
    shifted = series([1.0, 2.0, 3.0, 4.0, 9.0], slot=2, slot_s=300)
    found = on_quarters(shifted)
    assert same(found, [3.0])
    assert found.grid.start_utc == START + timedelta(seconds=900)


def test_hours_that_begin_off_the_quarter_hold_where_they_reach() -> None:
    grid = TimeGrid(start_utc=START + timedelta(minutes=7), slot_s=3600, slots=1)
    found = on_quarters(Series(grid=grid, values=np.asarray([5.0]), unit="kW", source="test"))
    # 10:07 to 11:07 contains 10:15, 10:30 and 10:45 whole.
    assert same(found, [5.0, 5.0, 5.0])
    assert found.grid.start_utc == START + timedelta(minutes=15)


def test_what_sources_say_is_kept_when_it_has_passed() -> None:
    told = series([1.0, 2.0, 3.0], slot_s=3600)
    readings = [
        SourceReading(quantity=name, series=told, issued_utc=None, fetched_utc=START, source="file")
        for name in ("price", "heat_demand town", "plant_forecast town")
    ]
    found = told_past(readings, START + timedelta(minutes=70), since_utc=START + timedelta(minutes=20))
    # Ended by 11:10: 10:00 to 11:00; since 10:20: 10:30 and 10:45.
    assert found.series.keys() == {"price", "heat_demand town"}
    assert same(found.series["price"], [1.0, 1.0])


def test_what_is_kept_of_a_source_carries_its_issue_and_assumptions_are_not_kept() -> None:
    def told(assumed: bool) -> Past:
        reading = SourceReading(
            quantity="price", series=series([1.0]), issued_utc=START, fetched_utc=START, source="feed", assumed=assumed
        )
        return told_past([reading], START + timedelta(hours=1), since_utc=ALWAYS)

    assert told(assumed=False).series["price"].issued_utc == START
    assert told(assumed=True).series == {}


@pytest.mark.parametrize(
    ("quantity", "kept"), [("carbon", [1.0, NAN, 3.0]), ("price", [1.0, NAN, 3.0]), ("outdoor", [1.0, 2.0, 3.0])]
)
def test_what_was_only_foretold_leaves_room_for_what_is_measured_but_for_the_weather(quantity: str, kept: list[float]) -> None:
    parts = (Origin(source="feed", grade=Grade.MEASURED), Origin(source="feed", grade=Grade.FORECAST), Origin(source="file"))
    origins = Origins(parts=parts, slots=np.array([0, 1, 2]))
    reading = SourceReading(
        quantity=quantity, series=series([1.0, 2.0, 3.0]), issued_utc=None, fetched_utc=START, source="feed", origins=origins
    )
    found = told_past([reading], START + timedelta(hours=1), since_utc=ALWAYS)
    assert same(found.series[quantity], kept)


RULE = MeterRule(max_kw=100.0)


def read(second: float, kwh: float) -> Reading:
    return Reading(at_utc=START + timedelta(seconds=second), counter_kwh=kwh)


def test_a_counter_gives_mean_power_once_the_reading_after_is_there() -> None:
    counter, told = counted(Counter(), [read(0, 5.0), read(450, 6.0), read(900, 8.0)], START + timedelta(seconds=900), RULE)
    assert told is None
    counter, told = counted(counter, [read(1000, 8.0)], START + timedelta(seconds=1000), RULE)
    # 3 kWh in a quarter of an hour: 12 kW.
    assert told is not None
    assert same(told, [12.0])
    assert counter.told_utc == START + timedelta(seconds=900)
    assert len(counter.readings) == 2


def test_a_reset_leaves_its_slot_unknown_and_nothing_else() -> None:
    readings = (
        [read(300 * i, 50.0 + i) for i in range(4)] + [read(1200, 0.5)] + [read(1500 + 300 * i, 1.5 + i) for i in range(6)]
    )
    counter, told = counted(Counter(), readings, START + timedelta(seconds=3000), RULE)
    assert told is not None
    # 1 kWh per 300 s: 12 kW; the second slot holds the restart.
    assert same(told, [12.0, NAN, 12.0])
    assert counter.told_utc == START + timedelta(seconds=2700)


def test_a_silent_counter_is_told_after_a_while_and_a_repeat_adds_nothing() -> None:
    counter, told = counted(Counter(), [read(0, 5.0), read(900, 8.0), read(900, 9.0), read(800, 9.0)], START, RULE)
    assert told is None
    _, told = counted(counter, [], START + timedelta(seconds=1801), RULE)
    assert told is not None
    assert same(told, [12.0])


def test_a_counter_read_by_a_clock_that_ran_ahead_starts_anew() -> None:
    ahead = [read(90_000, 5.0), read(90_300, 6.0)]
    counter, _ = counted(Counter(), ahead, START + timedelta(seconds=90_300), RULE)
    counter, told = counted(counter, [read(0, 6.0), read(900, 7.0), read(1000, 7.0)], START + timedelta(seconds=1000), RULE)
    assert told is not None
    assert same(told, [4.0])
    assert counter.told_utc == START + timedelta(seconds=900)
