from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from forecast_world import NOW, series

from scheduler.core.forecast.calendar import hour_number
from scheduler.core.forecast.own_heat import (
    OwnHeatLimits,
    OwnHeatRecord,
    PastMedian,
    own_heat_kw,
    ratio_quantile,
    remember,
    rule_median_kw,
    settle,
)
from scheduler.domain.time import FloatArray

FIRST = hour_number(NOW)


def limits(capability: float = 1e9, demand: float = 1e9, floor: float = 0.0, hours: int = 4) -> OwnHeatLimits:
    return OwnHeatLimits(
        capability_kw=np.full(hours, capability), demand_kw=np.full(hours, demand), floor_kw=np.full(hours, floor)
    )


def median(value: float = 100.0, hours: int = 4) -> FloatArray:
    return np.full(hours, value)


def seasoned(ratio: float, count: int = 1000) -> OwnHeatRecord:
    return OwnHeatRecord(entries=tuple(PastMedian(hour=i, median_kw=50.0, delivered_kw=50.0 * ratio) for i in range(count)))


def test_without_experience_the_prior_says_sixty_per_cent() -> None:
    assert own_heat_kw(median(), OwnHeatRecord(), limits()).tolist() == [60.0] * 4


def test_experience_replaces_the_prior() -> None:
    # Always exactly 90 % of the median: the prior's 36 h hardly count beside 1,000 h (half life two weeks: about 485).
    assert own_heat_kw(median(), seasoned(0.9), limits())[0] == pytest.approx(90.0, abs=1.0)


def test_an_open_hour_says_nothing() -> None:
    record = OwnHeatRecord(entries=(PastMedian(hour=1, median_kw=50.0),))
    assert ratio_quantile(record, 0.1) == 0.6


def test_plug_and_demand_bound_the_promise() -> None:
    assert own_heat_kw(median(), seasoned(1.0), limits(capability=30.0)).tolist() == [30.0] * 4
    assert own_heat_kw(median(), seasoned(1.0), limits(demand=20.0)).tolist() == [20.0] * 4


def test_idle_heat_is_a_floor_but_never_more_than_the_median() -> None:
    assert own_heat_kw(median(), OwnHeatRecord(), limits(floor=70.0)).tolist() == [70.0] * 4
    assert own_heat_kw(median(50.0), OwnHeatRecord(), limits(floor=70.0)).tolist() == [50.0] * 4


def test_an_unknown_median_promises_nothing() -> None:
    assert own_heat_kw(median(float("nan")), OwnHeatRecord(), limits()).tolist() == [0.0] * 4


def test_record_keeps_the_first_median_and_settles_with_what_came() -> None:
    record = remember(OwnHeatRecord(), FIRST, np.asarray([10.0, 20.0, float("nan"), 40.0]))
    record = remember(record, FIRST, np.asarray([99.0, 99.0, 99.0, 99.0, 50.0]))
    assert [(one.hour - FIRST, one.median_kw) for one in record.entries] == [(0, 10.0), (1, 20.0), (3, 40.0), (4, 50.0)]
    delivered = series(np.asarray([8.0, float("nan")]), end=NOW + timedelta(hours=2))
    record = settle(record, delivered)
    assert [one.delivered_kw for one in record.entries] == [8.0, None, None, None]


def test_a_rule_s_median_repeats_its_own_day_at_its_recent_level() -> None:
    day = np.concatenate([np.full(12, 10.0), np.full(12, 30.0)])
    delivered = series(np.tile(day, 7))
    found = rule_median_kw(delivered, FIRST, 24, FIRST, "UTC")
    # Mean 20; seven days of +-10 drawn to zero by one: +-8.75.
    assert found.tolist() == pytest.approx([11.25] * 12 + [28.75] * 12)


def test_a_rule_that_never_delivered_has_no_median() -> None:
    assert np.isnan(rule_median_kw(None, FIRST, 24, FIRST, "UTC")).all()
    assert np.isnan(rule_median_kw(series(np.full(10, float("nan"))), FIRST, 24, FIRST, "UTC")).all()
