"""What a weather forecast does to a heat demand and to its band, and holidays."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from forecast_world import DAYS, NOW, grid, heat_kw, history, outdoor_c, series, site, snapshot

from scheduler.core.forecast.calendar import SUNDAY, hour_number, local_hours
from scheduler.core.forecast.outlook import outlook
from scheduler.core.forecast.prices import price_path
from scheduler.core.forecast.skill import Foretold, rolling
from scheduler.domain.settings import Settings
from scheduler.domain.snapshot import Band, History

SURE = Settings(weather_error_c=0.0)
COPENHAGEN = ZoneInfo("Europe/Copenhagen")
AHEAD_H = 48


def whole() -> History:
    """The past, and two days after it in which the weather is known."""
    count = DAYS * 24 + AHEAD_H
    end = NOW + timedelta(hours=AHEAD_H)
    return replace(
        history(), outdoor=series(outdoor_c(count), end=end), heat_demand_kw={"town": series(heat_kw(count), end=end)}
    )


def demand(told_h: int, settings: Settings = SURE) -> Band:
    everything = whole()
    past = replace(
        everything,
        outdoor=replace(everything.outdoor, values=np.where(np.arange(DAYS * 24 + AHEAD_H) < DAYS * 24 + told_h,
                                                           everything.outdoor.values, np.nan)),
        heat_demand_kw={"town": series(everything.heat_demand_kw["town"].values[:-AHEAD_H])},
    )  # fmt: skip
    return outlook(site(), snapshot(past), settings, grid()).demand_kw["town"]


def width(band: Band, hours: slice) -> float:
    return float((band.p90 - band.p10)[::4][hours].mean())


def test_a_demand_that_is_told_the_weather_is_surer_of_itself() -> None:
    truth = whole().heat_demand_kw["town"].values[-AHEAD_H:]
    told, blind = demand(AHEAD_H), demand(0)
    assert np.abs(told.p50[::4] - truth).mean() < 0.7 * np.abs(blind.p50[::4] - truth).mean()
    assert width(told, slice(24, 48)) < 0.7 * width(blind, slice(24, 48))
    inside = (told.p10[::4] <= truth) & (truth <= told.p90[::4])
    assert inside.mean() > 0.6


def test_behind_the_last_told_hour_the_band_is_that_of_nobody_told() -> None:
    half, told, blind = demand(24), demand(AHEAD_H), demand(0)
    assert width(half, slice(0, 12)) == pytest.approx(width(told, slice(0, 12)), rel=0.15)
    assert width(half, slice(36, 48)) == pytest.approx(width(blind, slice(36, 48)), rel=0.25)


def test_a_weather_forecast_that_may_err_widens_the_band_and_moves_no_median() -> None:
    sure, unsure = demand(AHEAD_H), demand(AHEAD_H, Settings(weather_error_c=2.0))
    assert unsure.p50.tolist() == sure.p50.tolist()
    assert width(unsure, slice(24, 48)) > width(sure, slice(24, 48))
    # 4 kW per K and 2 K: 8 kW of standard deviation at most, 1.28 of it to each side.
    most_kw = 2 * 1.2816 * 8.0
    assert width(unsure, slice(0, 48)) < width(sure, slice(0, 48)) + 1.2 * most_kw


def test_foretold_weather_errs_as_much_as_it_says_from_now_on_and_the_same_way_each_time() -> None:
    outdoor = whole().outdoor
    now_h, end = DAYS * 24, outdoor.grid.end_utc
    again = [Foretold(error_c=1.5, seed=seed).outdoor(outdoor, NOW, end).values for seed in (1, 1, 2)]
    assert again[0].tobytes() == again[1].tobytes() != again[2].tobytes()
    assert again[0][:now_h].tolist() == outdoor.values[:now_h].tolist()
    errors = [Foretold(error_c=1.5, seed=seed).outdoor(outdoor, NOW, end).values - outdoor.values for seed in range(60)]
    assert np.std(np.asarray(errors)[:, now_h:]) == pytest.approx(1.5, rel=0.15)
    assert Foretold().outdoor(outdoor, NOW, NOW + timedelta(hours=5)).values.tolist() == outdoor.values[: now_h + 5].tolist()


def test_rolling_judges_no_weather_of_ours_where_it_is_told_and_says_how_far_it_is() -> None:
    said: list[tuple[int, int]] = []
    origins = [NOW - timedelta(hours=24), NOW]
    settings = Settings(slot_s=3600, horizon_slots=36)
    found = rolling(
        site(), whole(), settings, origins, weather=Foretold(), on_origin=lambda done, total: said.append((done, total))
    )
    assert set(found) == {"price", "carbon", "demand town"}
    assert said == [(1, 2), (2, 2)]
    assert found["demand town"].origin_h.tolist() == [hour_number(at) for at in origins]
    blind = rolling(site(), whole(), settings, origins)
    assert set(blind) == {"price", "outdoor", "carbon", "demand town"}
    told_error, blind_error = (one["demand town"].mae(one["demand town"].predicted) for one in (found, blind))
    assert told_error is not None
    assert blind_error is not None
    assert told_error < blind_error


def test_a_holiday_is_a_sunday_of_its_own_place() -> None:
    first = hour_number(datetime(2020, 4, 9, 12, tzinfo=UTC))
    local = local_hours(first, 48, COPENHAGEN, (date(2020, 4, 10),))
    # Local midnight of Friday the 10th is 22:00 UTC in summer: ten hours of Thursday, a day of holiday, then Saturday.
    assert local.weekday.tolist() == [3] * 10 + [SUNDAY] * 24 + [5] * 14
    assert local_hours(first, 48, COPENHAGEN).weekday.tolist() == [3] * 10 + [4] * 24 + [5] * 14


def test_a_price_of_a_holiday_follows_its_sundays() -> None:
    count, leads = 56 * 24, 24
    first = hour_number(datetime(2020, 2, 16, 23, tzinfo=UTC))
    plain = local_hours(first, count + leads, COPENHAGEN)
    values = np.where(plain.weekday[:count] == SUNDAY, 20.0, 50.0) + np.random.default_rng(1).normal(0.0, 0.5, count)
    # The series ends on a Sunday night; the Monday after it is Easter Monday or a plain one.
    easter = local_hours(first, count + leads, COPENHAGEN, (date(2020, 4, 13),))
    assert easter.day[count] == (date(2020, 4, 13) - date(1970, 1, 1)).days
    working, holiday = (price_path(values, local, leads).mean() for local in (plain, easter))
    assert holiday < working - 10.0
