from __future__ import annotations

from datetime import timedelta

import numpy as np
from forecast_world import NOW, series

from scheduler.core.forecast.calendar import hour_number
from scheduler.core.forecast.fill import HEAT_KW, OUTDOOR, PRICE, Hourly, Plausible, fill_short, hourly, ready, seasonal
from scheduler.domain.time import FloatArray

NAN = float("nan")


def checked(values: FloatArray, limits: Plausible = HEAT_KW, past_h: int = 48) -> Hourly:
    return ready("heat", series(values), now=hour_number(NOW), past_h=past_h, max_fill_s=3 * 3600.0, limits=limits)


def rising(count: int = 48) -> FloatArray:
    return np.arange(1.0, count + 1.0)


def test_a_short_inner_gap_is_a_straight_line_and_a_short_tail_the_last_value() -> None:
    # 2, ?, ?, 8: two steps of 2 in between; the tail repeats 9.
    values = np.asarray([2.0, NAN, NAN, 8.0, 9.0, NAN])
    assert fill_short(values, 3).tolist() == [2.0, 4.0, 6.0, 8.0, 9.0, 9.0]


def test_a_gap_longer_than_the_limit_stays_unknown() -> None:
    values = np.asarray([1.0, NAN, NAN, NAN, NAN, 1.0])
    assert np.isnan(fill_short(values, 3)[1:5]).all()


def test_a_leading_gap_is_never_filled() -> None:
    assert np.isnan(fill_short(np.asarray([NAN, 1.0]), 3)[0])


def test_clean_input_has_no_reason() -> None:
    assert checked(rising()).reasons == ()


def test_missing_series_is_named() -> None:
    nothing = ready("heat", None, now=hour_number(NOW), past_h=10, max_fill_s=0.0, limits=HEAT_KW)
    assert nothing.reasons == ("heat: missing",)
    assert not nothing.known


def test_all_nan_is_missing() -> None:
    assert checked(np.full(48, NAN)).reasons == ("heat: missing",)


def test_stale_tail_is_named_and_stays_unknown() -> None:
    values = rising()
    values[-5:] = NAN
    found = checked(values)
    assert found.reasons == ("heat: stale (5 h)",)
    assert np.isnan(found.values[-5:]).all()


def test_a_series_that_ends_early_is_stale() -> None:
    early = series(rising(), end=NOW - timedelta(hours=6))
    found = ready("heat", early, now=hour_number(NOW), past_h=72, max_fill_s=3 * 3600.0, limits=HEAT_KW)
    assert found.reasons == ("heat: stale (6 h)",)


def test_recent_long_gap_is_named_but_an_old_one_only_left_out() -> None:
    recent = rising()
    recent[20:30] = NAN
    assert checked(recent).reasons == ("heat: gap (10 h)",)
    old = rising(400)
    old[20:30] = NAN
    found = checked(old, past_h=400)
    assert found.reasons == ()
    assert np.isnan(found.values[20:30]).all()


def test_implausible_values_are_dropped_and_named() -> None:
    values = rising()
    values[40] = -3.0
    found = checked(values)
    assert found.reasons == ("heat: implausible (1 h)",)
    # Filled like any short gap: between 40 and 42 lies 41.
    assert found.values[40] == 41.0


def test_a_source_that_says_only_nonsense_says_nothing() -> None:
    found = checked(-rising() - 1.0)
    assert found.reasons == ("heat: implausible (48 h)", "heat: missing")
    assert not found.known


def test_a_frozen_sensor_is_named_and_not_believed() -> None:
    values = rising()
    values[-30:] = 19.0
    found = checked(values, OUTDOOR)
    assert found.reasons == ("heat: frozen (30 h at 19)",)
    assert np.isnan(found.values[-29:]).all()


def test_zero_demand_in_summer_and_a_flat_price_are_not_frozen() -> None:
    assert checked(np.zeros(48)).reasons == ()
    assert checked(np.full(48, 0.05), PRICE).reasons == ()


def test_hourly_takes_means_of_quarter_hours_and_steps_of_longer_intervals() -> None:
    quarters = series(np.asarray([1.0, 2.0, 3.0, 6.0, NAN, 4.0, NAN, NAN]), slot_s=900)
    now = hour_number(NOW)
    # (1 + 2 + 3 + 6) / 4 = 3, then the only known value of the hour.
    assert hourly(quarters, now - 2, now).tolist() == [3.0, 4.0]
    coarse = series(np.asarray([1.0, 5.0]), slot_s=7200)
    assert hourly(coarse, now - 4, now).tolist() == [1.0, 1.0, 5.0, 5.0]


def test_seasonal_completes_with_the_mean_of_the_same_hour() -> None:
    values = np.tile(np.arange(24.0), 3)
    values[30] = NAN
    # Hour 6 of the other two days is 6.
    assert seasonal(values)[30] == 6.0
