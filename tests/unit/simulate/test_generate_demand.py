"""Made-up demand: each sink has the shape that its customers have, and a site's series add up to its contract's year."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from scheduler.domain.site import DemandSource, SinkKind, Site
from scheduler.domain.time import FloatArray, TimeGrid, utc
from scheduler.simulate.demo_site import BATH, TOWN, demo_site
from scheduler.simulate.generate import BEFORE_DAYS, site_series
from scheduler.simulate.generate_demand import Hours, dawn_h, digester, greenhouse, pool, sun_height, trailing_mean
from scheduler.simulate.generate_series import made

NEW_YEAR = utc("2025-12-31T23:00:00+00:00")
JULY_DAYS, JANUARY_DAYS = range(181, 212), range(31)


def days_of(sink: SinkKind, seed: int = 1) -> FloatArray:
    """A year's demand over its mean, shape (days, 24 local hours); Copenhagen's winter hours all year."""
    grid = TimeGrid(start_utc=NEW_YEAR, slot_s=3600, slots=365 * 24)
    demand = made(grid, seed, "Etc/GMT-1", sink).demand
    return np.asarray((demand / demand.mean()).reshape(-1, 24))


def mild(hours: int = 48, weekday: int = 1, day: int = 80) -> Hours:
    """Hours of 10 degrees C from midnight on."""
    local = np.arange(hours, dtype=np.int64) % 24
    same = np.ones(hours, dtype=np.int64)
    return Hours(hour=local, weekday=weekday * same, day=day * same, outdoor_c=np.full(hours, 10.0))


def test_a_bath_is_nearly_constant_and_steps_at_its_opening_hours() -> None:
    one, sunday = pool(mild()), pool(mild(weekday=7))
    # Open: 0.6 + 0.15 + 0.25 x 18 / 20 = 0.975; closed: 0.6 x 0.52 / 0.75 + 0.225 = 0.641.
    assert one[12] == pytest.approx(0.975)
    assert one[3] == pytest.approx(0.641)
    assert (one[7], one[6], one[20], one[21]) == pytest.approx((0.975, 0.641, 0.975, 0.641))
    assert (sunday[7], sunday[9], sunday[19]) == pytest.approx((0.641, 0.975, 0.641))
    year = days_of(SinkKind.POOL)
    # January over July is a matter of a third, not of five as in a heat network.
    assert 1.1 < year[JANUARY_DAYS].mean() / year[JULY_DAYS].mean() < 1.6


def test_a_digester_is_fed_every_four_hours_summer_and_winter() -> None:
    one = digester(mild())
    # Feed at 10 degrees C: 28 / 23 = 1.2174, one and a half times it for two hours, half of it for two; walls 0.62.
    assert one[:8] == pytest.approx([2.4461, 2.4461, 1.2287, 1.2287] * 2, abs=1e-4)
    year = days_of(SinkKind.DIGESTER)
    assert year[JULY_DAYS].mean() > 0.5
    assert year[JANUARY_DAYS].mean() < 1.5


def test_a_greenhouse_wants_heat_at_night_at_dawn_and_in_winter() -> None:
    year = days_of(SinkKind.GREENHOUSE)
    spring = year[90:120].mean(axis=0)
    assert year[JANUARY_DAYS].mean() > 5.0 * year[JULY_DAYS].mean()
    assert spring[[22, 23, 0, 1, 2]].mean() > 2.0 * spring[11:14].mean()
    # In July the leaves are dried at dawn, and at noon nothing is taken.
    july = year[JULY_DAYS].mean(axis=0)
    assert july[4] > 0.1
    assert july[12] < 0.05
    # By day the grower's own boiler makes CO2: at the same 10 degrees C an hour of weak sun takes less than the night.
    assert greenhouse(mild())[17] < greenhouse(mild())[22]


def test_the_sun_at_the_equinox() -> None:
    noon, day = np.asarray([12], dtype=np.int64), np.asarray([81], dtype=np.int64)
    # 90 - 55 = 35 degrees high at noon, and it rises at six.
    assert sun_height(noon, day)[0] == pytest.approx(np.sin(np.deg2rad(35.0)), abs=0.01)
    assert sun_height(noon - 12, day)[0] == 0.0
    assert dawn_h(day)[0] == pytest.approx(6.0, abs=0.05)


def test_a_trailing_mean_takes_the_first_value_for_what_came_before() -> None:
    assert trailing_mean(np.asarray([1.0, 4.0, 7.0]), 3) == pytest.approx([1.0, 2.0, 4.0])


def on_sink(sink: SinkKind, max_heat_kw: float) -> Site:
    """The demonstration's site, its town replaced by another customer."""
    site = demo_site(gpus=32)
    offtakes = tuple(
        replace(one, sink=sink, max_heat_kw=max_heat_kw) if one.offtake_id == TOWN else one for one in site.offtakes
    )
    return replace(site, offtakes=offtakes)


@pytest.mark.parametrize("sink", [SinkKind.POOL, SinkKind.DIGESTER, SinkKind.GREENHOUSE, SinkKind.DISTRICT_HEATING])
def test_a_site_s_series_take_what_the_contract_says_in_a_year(sink: SinkKind) -> None:
    series = site_series(on_sink(sink, 1e6), 3, NEW_YEAR, 365, annual_kwh=100_000.0)
    inside = series.heat_demand_kw.values[BEFORE_DAYS * 24 : (BEFORE_DAYS + 365) * 24]
    # Another year of the same climate: its weather differs, by some percent of the heat.
    assert inside.sum() == pytest.approx(100_000.0, rel=0.1)
    assert series.heat_demand_kw.grid.start_utc == NEW_YEAR - timedelta(days=BEFORE_DAYS)
    assert (inside >= 0.0).all()


def test_nobody_takes_more_than_the_contract_s_largest_heat() -> None:
    values = site_series(on_sink(SinkKind.GREENHOUSE, 20.0), 3, NEW_YEAR, 7, annual_kwh=100_000.0).heat_demand_kw.values
    assert values.max() == 20.0
    assert (values == 20.0).sum() > 24


def test_a_site_of_constants_alone_still_gets_a_world() -> None:
    site = demo_site(gpus=32)
    bath = next(one for one in site.offtakes if one.offtake_id == BATH)
    assert bath.demand_source is DemandSource.CONSTANT
    series = site_series(replace(site, offtakes=(bath,)), 3, NEW_YEAR, 2, annual_kwh=None)
    assert len(series.price_eur_per_kwh.values) == series.heat_demand_kw.grid.slots
