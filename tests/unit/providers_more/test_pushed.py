"""What a plant pushes: taken whole or refused with a reason, joined with what it said before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from scheduler.adapters.sources.cache import SignalCache
from scheduler.adapters.sources.pushed import PushedSource
from scheduler.domain.errors import Misconfigured
from scheduler.domain.observed import HEAT_DEMAND, PLANT_FORECAST
from scheduler.domain.time import Series, TimeGrid

NOW = datetime(2026, 1, 14, 10, 7, tzinfo=UTC)
TEN = datetime(2026, 1, 14, 10, tzinfo=UTC)


def series(
    values: list[float], start_utc: datetime = TEN, *, slot_s: int = 3600, unit: str = "kW", issued_utc: datetime | None = None
) -> Series:
    grid = TimeGrid(start_utc=start_utc, slot_s=slot_s, slots=len(values))
    return Series(grid=grid, values=np.array(values), unit=unit, source="plant", issued_utc=issued_utc)


def known(source: PushedSource) -> list[float]:
    (reading,) = source.readings(NOW)
    return [float(value) for value in reading.series.values]


def test_before_the_first_push_nothing_is_known() -> None:
    source = PushedSource("north", f"{PLANT_FORECAST} north")
    assert source.readings(NOW) == ()
    assert source.trouble() == "nothing was pushed yet"


def test_a_push_is_as_old_as_its_coming() -> None:
    source = PushedSource("north", HEAT_DEMAND)
    source.push(series([900.0, 950.0], issued_utc=TEN), NOW)
    (reading,) = source.readings(NOW + timedelta(hours=5))
    assert (reading.source, reading.quantity, reading.assumed) == ("north", HEAT_DEMAND, False)
    assert (reading.fetched_utc, reading.issued_utc) == (NOW, TEN)
    assert source.trouble() == ""


def test_a_push_replaces_what_was_said_from_its_start_on() -> None:
    source = PushedSource("north", HEAT_DEMAND)
    source.push(series([1.0, 2.0, 3.0, 4.0], TEN - timedelta(hours=2)), NOW)
    source.push(series([30.0, np.nan]), NOW)
    # 08:00 and 09:00 stay, 10:00 is new, 11:00 is taken back, and nothing is left of what was said of later.
    np.testing.assert_array_equal(known(source), [1.0, 2.0, 30.0, np.nan])
    source.push(series([5.0], TEN + timedelta(hours=3)), NOW)
    np.testing.assert_array_equal(known(source), [1.0, 2.0, 30.0, np.nan, np.nan, 5.0])
    source.push(series([7.0, 8.0], TEN - timedelta(hours=5)), NOW)
    assert known(source) == [7.0, 8.0]


def test_nine_days_are_kept() -> None:
    source = PushedSource("north", HEAT_DEMAND)
    for day in range(8, -1, -1):
        source.push(series([float(day)] * 24, TEN - timedelta(days=day)), NOW)
    assert (len(known(source)), known(source)[0]) == (9 * 24, 8.0)
    source.push(series([10.0] * 24, TEN + timedelta(days=1)), NOW)
    # Nine days behind the start of the last push, and its own 24 hours.
    assert (len(known(source)), known(source)[0]) == (9 * 24 + 24, 8.0)
    source.push(series([11.0] * 24, TEN + timedelta(days=2)), NOW)
    assert (len(known(source)), known(source)[0]) == (9 * 24 + 24, 7.0)


def test_other_slots_begin_anew() -> None:
    source = PushedSource("north", HEAT_DEMAND)
    source.push(series([1.0, 2.0], TEN - timedelta(hours=2)), NOW)
    source.push(series([3.0] * 4, slot_s=900), NOW)
    assert known(source) == [3.0] * 4


WRONG = [
    (series([1.0], unit="MW"), "unit 'MW'"),
    (series([1.0], slot_s=7200), "slots of 7200 s"),
    (series([1.0], slot_s=2400), "slots of 2400 s"),
    (series([1.0], TEN + timedelta(minutes=7)), "start 2026-01-14T10:07:00Z"),
    (series([1.0], TEN - timedelta(days=9)), "within 9 days back and 10 days ahead"),
    (series([1.0] * 300), "within 9 days back and 10 days ahead"),
    (series([1.0], issued_utc=NOW + timedelta(minutes=5)), "issued 2026-01-14T10:12:00Z"),
    (series([1.0], issued_utc=TEN - timedelta(hours=1)), "not before 2026-01-14T10:00:00Z"),
    (series([np.nan, np.nan]), "no value at all"),
    (series([]), "no value at all"),
    (series([5.0, -1.0]), "-1 in slot 1"),
    (series([5.0, np.inf]), "inf in slot 1"),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG)
def test_a_wrong_push_is_refused_and_changes_nothing(wrong: Series, words: str) -> None:
    source = PushedSource("north", HEAT_DEMAND)
    source.push(series([900.0], issued_utc=TEN), NOW)
    with pytest.raises(Misconfigured, match=words):
        source.push(wrong, NOW + timedelta(seconds=10))
    assert words in source.trouble()
    (reading,) = source.readings(NOW)
    assert (reading.fetched_utc, known(source)) == (NOW, [900.0])
    source.push(series([901.0], issued_utc=NOW), NOW)
    assert source.trouble() == ""


@pytest.mark.parametrize("slot_s", [300, 900, 3600])
def test_what_was_pushed_survives_a_restart_with_its_age(tmp_path: Path, slot_s: int) -> None:
    before = PushedSource("north", HEAT_DEMAND, cache=SignalCache(tmp_path))
    before.push(series([900.25, np.nan, 950.0], slot_s=slot_s, issued_utc=TEN), NOW)
    after = PushedSource("north", HEAT_DEMAND, cache=SignalCache(tmp_path))
    (old,), (new,) = before.readings(NOW), after.readings(NOW)
    np.testing.assert_array_equal(new.series.values, old.series.values)
    assert (new.series.grid, new.fetched_utc, new.issued_utc) == (old.series.grid, NOW, TEN)
    assert after.trouble() == "nothing was pushed since the start"
    after.push(series([1.0], slot_s=slot_s, issued_utc=NOW), NOW + timedelta(minutes=1))
    assert known(after) == [1.0]
    # Another quantity of the same name takes nothing up.
    assert PushedSource("north", PLANT_FORECAST, cache=SignalCache(tmp_path)).readings(NOW) == ()


def test_a_clock_that_was_ahead_keeps_no_later_push_out() -> None:
    source = PushedSource("north", HEAT_DEMAND)
    ahead_utc = NOW + timedelta(days=2)
    source.push(series([5.0], issued_utc=ahead_utc), ahead_utc)
    source.push(series([6.0], issued_utc=TEN), NOW)
    assert known(source)[-1] == 6.0


def test_nobody_pushes_what_nobody_asks_for() -> None:
    with pytest.raises(Misconfigured, match="quantity 'wind'"):
        PushedSource("north", "wind")


def test_pushes_from_many_threads_leave_one_whole_series() -> None:
    source = PushedSource("north", HEAT_DEMAND)

    def push(place: int) -> None:
        source.push(series([float(place)] * (1 + place % 7)), NOW)
        for reading in source.readings(NOW):
            assert len(set(reading.series.values.tolist())) == 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(push, range(400)))
    values = known(source)
    assert len(values) == 1 + int(values[0]) % 7
