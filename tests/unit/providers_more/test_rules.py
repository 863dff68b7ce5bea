"""Heat demand by rules: an energy signature, a week that repeats; assumed, and as old as the weather behind it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from scheduler.adapters.sources.fixed import FixedSource
from scheduler.adapters.sources.rules import SignatureSource, constant, profile, signature
from scheduler.domain.errors import Misconfigured
from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR, SourceReading
from scheduler.domain.time import Series, TimeGrid

NOW = datetime(2026, 1, 14, 10, 7, tzinfo=UTC)
TEN = datetime(2026, 1, 14, 10, tzinfo=UTC)


class Weather:
    """A source that says what it was given."""

    name = "thermometer"

    def __init__(self, *readings: SourceReading, trouble: str = "") -> None:
        self._readings, self._trouble = readings, trouble

    async def poll(self, now_utc: datetime) -> None:
        """Nothing to ask."""

    def readings(self, now_utc: datetime) -> tuple[SourceReading, ...]:
        return self._readings

    def trouble(self) -> str:
        return self._trouble


def outdoor(values: list[float], start_utc: datetime = TEN, *, slot_s: int = 3600) -> SourceReading:
    grid = TimeGrid(start_utc=start_utc, slot_s=slot_s, slots=len(values))
    series = Series(grid=grid, values=np.array(values), unit="degC", source="thermometer")
    return SourceReading(
        quantity=OUTDOOR, series=series, issued_utc=TEN, fetched_utc=NOW - timedelta(minutes=3), source="thermometer"
    )


def demand(reading: SourceReading, **rule: float) -> SourceReading:
    known = {"base_kw": 100.0, "slope_kw_per_k": 50.0, "t_base_c": 15.0, **rule}
    (found,) = SignatureSource("buildings", Weather(reading), signature(**known)).readings(NOW)
    return found


def test_a_signature_at_steady_weather() -> None:
    found = demand(outdoor([5.0, 5.0, 5.0]))
    # 100 kW + 50 kW/K * (15 - 5) K
    assert found.series.values.tolist() == [600.0] * 3
    assert (found.series.unit, found.source, found.assumed) == ("kW", "buildings", True)
    assert (found.fetched_utc, found.issued_utc) == (NOW - timedelta(minutes=3), TEN)
    assert demand(outdoor([20.0, 25.0])).series.values.tolist() == [100.0] * 2


def test_buildings_feel_the_cold_late() -> None:
    found = demand(outdoor([5.0, 5.0, 5.0, -5.0]), smoothing_h=1.0)
    # The smoother of one hour weighs the last four hours 1, e^-1, e^-2, e^-3: the newest has 1 / 1.5530 of the weight.
    weights = [math.exp(-age) for age in range(4)]
    effective_c = (-5.0 * weights[0] + 5.0 * sum(weights[1:])) / sum(weights)
    assert found.series.values[3] == pytest.approx(100.0 + 50.0 * (15.0 - effective_c))


def test_quarters_become_hours_and_short_gaps_are_bridged() -> None:
    quarters = outdoor([4.0, 5.0, 6.0, 5.0] + [math.nan] * 4 + [5.0] * 4, slot_s=900)
    assert demand(quarters).series.values.tolist() == [600.0] * 3


def test_where_the_weather_is_unknown_so_is_the_demand() -> None:
    found = demand(outdoor([5.0] + [math.nan] * 4 + [5.0]))
    np.testing.assert_array_equal(found.series.values, [600.0, *[math.nan] * 4, 600.0])


def test_what_no_thermometer_says_is_not_believed() -> None:
    # 300 degC: a unit mistaken.
    found = demand(outdoor([5.0, 300.0, 300.0, 300.0, 300.0, 5.0]))
    assert not np.isfinite(found.series.values[1:5]).any()


def test_it_tells_a_day_back_and_as_far_ahead_as_the_weather() -> None:
    found = demand(outdoor([5.0] * 24 * 11, TEN - timedelta(days=9)))
    assert found.series.grid.start_utc == TEN - timedelta(hours=24)
    assert found.series.grid.end_utc == TEN + timedelta(days=2)


def test_without_weather_nothing_is_told() -> None:
    rule = signature(100.0, 50.0, 15.0)
    assert SignatureSource("buildings", Weather(), rule).readings(NOW) == ()
    silent = SignatureSource("buildings", Weather(trouble="timed out"), rule)
    assert silent.trouble() == "weather of thermometer: timed out"
    assert SignatureSource("buildings", Weather(), rule).trouble() == ""


@pytest.mark.parametrize(
    "rule",
    [
        {"base_kw": -1.0},
        {"slope_kw_per_k": math.nan},
        {"slope_kw_per_k": -5.0},
        {"t_base_c": 150.0},
        {"smoothing_h": 0.0},
    ],
)
def test_a_signature_that_no_building_has_is_refused(rule: dict[str, float]) -> None:
    with pytest.raises(Misconfigured):
        signature(**{"base_kw": 100.0, "slope_kw_per_k": 50.0, "t_base_c": 15.0, **rule})


def test_a_week_repeats_by_the_local_clock() -> None:
    level = profile([float(hour) for hour in range(168)], "Europe/Copenhagen")
    # Monday 30 March 2026, a day after clocks went forward: 00:00 UTC is 02:00 in Copenhagen, hour 2 of the week.
    monday = TimeGrid(start_utc=datetime(2026, 3, 30, tzinfo=UTC), slot_s=1800, slots=4)
    assert level(monday).tolist() == [2.0, 2.0, 3.0, 3.0]
    # The Friday before, 23:00 UTC is 00:00 of Saturday there: hour 120.
    friday = TimeGrid(start_utc=datetime(2026, 3, 27, 23, tzinfo=UTC), slot_s=3600, slots=1)
    assert level(friday).tolist() == [120.0]
    assert level(TimeGrid(start_utc=TEN, slot_s=3600, slots=0)).tolist() == []


def test_a_day_repeats_and_is_assumed() -> None:
    source = FixedSource("usual", HEAT_DEMAND, profile([100.0] * 7 + [400.0] * 17, "UTC"))
    (reading,) = source.readings(NOW)
    at = reading.series.grid.slot_of(datetime(2026, 1, 14, 6, 30, tzinfo=UTC))
    assert reading.series.values[at : at + 2].tolist() == [100.0, 400.0]
    assert reading.assumed


@pytest.mark.parametrize("values", [[], [1.0] * 23, [1.0] * 169, [math.nan] * 24])
def test_a_profile_is_a_day_or_a_week(values: list[float]) -> None:
    with pytest.raises(Misconfigured, match="168 finite values, or 24"):
        profile(values, "UTC")


def test_a_constant_is_one_too() -> None:
    (reading,) = FixedSource("flat", CARBON, constant(250.0)).readings(NOW)
    assert set(reading.series.values.tolist()) == {250.0}
