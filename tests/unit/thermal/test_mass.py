"""Digester, pool and greenhouse by hand; a mass neither makes heat nor loses it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.thermal.mass import (
    DIGESTER_MAX_K_PER_DAY,
    broken_limits,
    fastest_swing_k,
    heat_limits_kw,
    kwh_per_k,
    rate_kw,
    shiftable,
    temperature_after_c,
    temperature_path_c,
)
from scheduler.domain.site import ThermalMass

# A pool of 25 x 12.5 x 2 m = 625 m3: 1.159 * 625 = 724.4 kWh/K; here a round 720.
POOL = ThermalMass(kwh_per_k=720.0, min_c=26.0, max_c=28.0, max_k_per_day=1.0)


def test_a_pool_and_a_digester_are_mostly_water() -> None:
    assert kwh_per_k(water_m3=625.0) == pytest.approx(724.4, abs=0.1)
    # 100 m3 of floor: 58.7 kWh/K; 5,000 m3 of greenhouse air: 1.7 kWh/K.
    assert kwh_per_k(concrete_m3=100.0, air_m3=5000.0) == pytest.approx(60.4, abs=0.1)


def test_a_digester_moves_a_kelvin_a_week() -> None:
    digester = ThermalMass(kwh_per_k=1680.0, min_c=37.0, max_c=39.0, max_k_per_day=DIGESTER_MAX_K_PER_DAY)
    # 1680 kWh/K over 168 h: 10 kW more or less than it needs, and no more.
    assert rate_kw(digester) == pytest.approx(10.0)
    # In 6 h: 60 kWh either way, far from the 1680 kWh that its two limits would leave.
    found = shiftable(digester, 38.0, 6.0)
    assert (found.early_kwh, found.late_kwh) == pytest.approx((60.0, 60.0))


def test_how_much_may_be_shifted_ends_at_the_limits() -> None:
    # Rate 720 * 1 / 24 = 30 kW: 720 kWh within a day. Half a K below the top: 360 kWh early, 1.5 K above the bottom.
    found = shiftable(POOL, 27.5, 24.0)
    assert (found.early_kwh, found.late_kwh) == pytest.approx((360.0, 720.0))
    assert shiftable(POOL, 28.5, 24.0).early_kwh == 0.0
    assert shiftable(POOL, 25.0, 24.0).late_kwh == 0.0


@pytest.mark.parametrize(
    ("temperature_c", "limits"),
    [
        (27.0, (70.0, 130.0)),  # demand 100 kW, rate 30 kW either way
        (28.0, (70.0, 100.0)),  # full: no more than holds it
        (26.0, (100.0, 130.0)),  # empty: no less
        (27.99, (70.0, 107.2)),  # 0.01 K * 720 kWh/K in one hour: 7.2 kW
        (29.0, (70.0, 70.0)),  # too warm: cool down as fast as it may
        (25.0, (130.0, 130.0)),  # too cold: warm up as fast as it may
    ],
)
def test_the_heat_of_an_hour_has_limits(temperature_c: float, limits: tuple[float, float]) -> None:
    assert heat_limits_kw(POOL, temperature_c, 100.0, 1.0) == pytest.approx(limits)


def test_heat_is_never_drawn_out_of_a_customer() -> None:
    assert heat_limits_kw(POOL, 27.0, 10.0, 1.0) == (0.0, 40.0)


def test_a_profile_is_judged_by_what_it_does() -> None:
    demand = np.full(48, 100.0)
    # 30 kW more for 24 h, 30 less for 24: 27 -> 28 -> 27, one K a day.
    fine = demand + np.repeat([30.0, -30.0], 24)
    assert temperature_path_c(POOL, 27.0, fine, demand, 1.0)[[23, 47]] == pytest.approx([28.0, 27.0])
    assert broken_limits(POOL, 27.0, fine, demand, 1.0) == ()
    assert broken_limits(POOL, 27.0, demand + np.repeat([60.0, -60.0], 24), demand, 1.0) == (
        "29.00 degC, at most 28",
        "2.00 K within a day, at most 1",
    )
    assert broken_limits(POOL, 26.5, demand - np.repeat([30.0, 0.0], 24), demand, 1.0) == ("25.50 degC, at least 26",)


def test_the_fastest_swing_looks_at_every_window() -> None:
    assert fastest_swing_k(np.asarray([0.0, 1.0, 3.0, 3.0, -1.0]), 1) == 4.0
    assert fastest_swing_k(np.asarray([0.0, 1.0, 3.0]), 2) == 3.0
    assert fastest_swing_k(np.asarray([20.0]), 4) == 0.0


MASSES = st.builds(
    lambda size, low, band, rate: ThermalMass(kwh_per_k=size, min_c=low, max_c=low + band, max_k_per_day=rate),
    st.floats(1.0, 5000.0),
    st.floats(10.0, 60.0),
    st.floats(0.1, 10.0),
    st.floats(0.05, 12.0),
)


@settings(max_examples=100, deadline=None)
@given(
    MASSES,
    st.floats(0.0, 1.0),
    st.lists(st.tuples(st.floats(0.0, 300.0), st.floats(0.0, 1.0)), min_size=1, max_size=120),
    st.sampled_from([0.25, 1.0]),
)
def test_whoever_stays_within_the_limits_of_each_slot_breaks_none_and_conserves_heat(
    mass: ThermalMass, full: float, slots: list[tuple[float, float]], slot_h: float
) -> None:
    start_c = mass.min_c + full * (mass.max_c - mass.min_c)
    temperature_c, heat = start_c, []
    for demand_kw, wish in slots:
        least, most = heat_limits_kw(mass, temperature_c, demand_kw, slot_h)
        assert 0.0 <= least <= most + 1e-9
        heat.append(least + wish * (most - least))
        temperature_c = temperature_after_c(mass, temperature_c, heat[-1], demand_kw, slot_h)
        # Demand above what is delivered cools it; only a demand that cannot be met by any heat could.
        assert temperature_c <= mass.max_c + 1e-6
        assert temperature_c >= mass.min_c - 1e-6
    demand = np.asarray([one[0] for one in slots])
    path = temperature_path_c(mass, start_c, np.asarray(heat), demand, slot_h)
    assert path[-1] == pytest.approx(temperature_c, abs=1e-6)
    stored_kwh = mass.kwh_per_k * (temperature_c - start_c)
    assert float(np.sum(heat)) * slot_h == pytest.approx(float(demand.sum()) * slot_h + stored_kwh, rel=1e-6, abs=1e-4)
    assert broken_limits(mass, start_c, np.asarray(heat), demand, slot_h) == ()


@settings(max_examples=100, deadline=None)
@given(MASSES, st.floats(0.0, 1.0), st.floats(0.0, 48.0), st.floats(0.0, 48.0))
def test_more_time_never_lets_less_be_shifted(mass: ThermalMass, full: float, a_h: float, b_h: float) -> None:
    temperature_c = mass.min_c + full * (mass.max_c - mass.min_c)
    short, long = (shiftable(mass, temperature_c, hours) for hours in sorted((a_h, b_h)))
    assert 0.0 <= short.early_kwh <= long.early_kwh
    assert 0.0 <= short.late_kwh <= long.late_kwh
    both = long.early_kwh + long.late_kwh
    assert both <= mass.kwh_per_k * (mass.max_c - mass.min_c) * (1 + 1e-9)
