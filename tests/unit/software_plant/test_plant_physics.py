"""The software plant's heat balance, tank, boiler and weather."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.simulate.plant.boiler import Boiler, fired
from scheduler.simulate.plant.flows import Orders, Store, Weather, flows_of, weather_at
from scheduler.simulate.plant.network import demand_kw, supply_c
from scheduler.simulate.plant.spec import BoilerSpec, NetworkSpec, PlantSpec, TankSpec, sized_for
from scheduler.simulate.plant.tank import standing_loss_kw

NOON_UTC = datetime(2026, 1, 12, 12, tzinfo=UTC)
SPEC = sized_for("town", 400.0)
SPARE = BoilerSpec(max_kw=500.0, min_kw=100.0, start_s=600.0)


def weather(demand: float) -> Weather:
    return Weather(outdoor_c=0.0, supply_c=70.0, return_c=40.0, demand_kw=demand)


def test_the_demand_of_a_cold_noon_is_hot_water_and_heating() -> None:
    # At -10: all of the peak times the factor of 12:00, 0.97. At 17 and above: hot water alone.
    network = NetworkSpec(peak_kw=400.0)
    assert demand_kw(network, -10.0, NOON_UTC) == pytest.approx(400.0 * 0.97)
    assert demand_kw(network, 25.0, NOON_UTC) == pytest.approx(400.0 * 0.2 * 0.97)
    # Half way down from 17 to -10: 0.2 + 0.8 / 2.
    assert demand_kw(network, 3.5, NOON_UTC) == pytest.approx(400.0 * 0.6 * 0.97)


def test_water_is_hotter_in_the_cold() -> None:
    network = NetworkSpec()
    assert [supply_c(network, outdoor) for outdoor in (-5.0, 0.0, 5.0, 10.0, 20.0)] == [75.0, 75.0, 70.0, 65.0, 65.0]


def test_weather_is_the_same_however_time_is_stepped() -> None:
    assert weather_at(SPEC, NOON_UTC) == weather_at(SPEC, NOON_UTC)
    assert weather_at(SPEC, NOON_UTC) != weather_at(sized_for("town", 400.0, seed=2), NOON_UTC)


def test_a_tank_loses_what_the_two_zone_formula_says() -> None:
    # U 0.25 W/m2K, D 3.5 m, 75/45/15 degrees: beta = 4 * 0.00025 / (3.5 * 4114) per s = 6.945e-8; full: Q + Q_N * 30/30
    # = 1600 kWh, * beta * 3600 = 0.400 kW. Ends: 0.00025 * pi * 3.5^2 / 4 * (60 + 30) = 0.2165 kW.
    tank = TankSpec(capacity_kwh=800.0)
    assert standing_loss_kw(tank, 800.0) == pytest.approx(0.400 + 0.2165, abs=0.002)
    assert standing_loss_kw(tank, 0.0) == 0.0
    assert standing_loss_kw(TankSpec(capacity_kwh=0.0), 0.0) == 0.0


def test_a_cold_boiler_gives_heat_after_its_start() -> None:
    # 600 s to start: nothing in 300 s, then half of the next 600 s at 200 kW.
    first = fired(Boiler(), SPARE, True, 200.0, 0.0, 300.0)
    assert (first.heat_kw, first.cold_s, first.hot) == (0.0, 300.0, False)
    second = fired(first, SPARE, True, 200.0, 0.0, 600.0)
    assert (second.heat_kw, second.cold_s, second.hot) == (100.0, 0.0, True)
    assert fired(second, SPARE, False, 200.0, 0.0, 600.0) == Boiler()


def test_a_boiler_fires_below_its_least_load_only_into_a_tank() -> None:
    hot = Boiler(wanted=True)
    assert fired(hot, SPARE, True, 60.0, 0.0, 60.0).heat_kw == 0.0
    assert fired(hot, SPARE, True, 60.0, 50.0, 60.0).heat_kw == 100.0
    assert fired(hot, SPARE, True, 900.0, 0.0, 60.0).heat_kw == 500.0
    assert fired(hot, SPARE, True, 0.0, 500.0, 60.0).heat_kw == 0.0


@settings(max_examples=150, deadline=None)
@given(
    level=st.floats(0.0, 800.0),
    demand=st.floats(0.0, 900.0),
    offered=st.floats(0.0, 900.0),
    most=st.floats(0.0, 900.0),
    on=st.booleans(),
    cold_s=st.floats(0.0, 600.0),
    step_s=st.floats(1.0, 3600.0),
)
def test_heat_is_conserved(
    level: float, demand: float, offered: float, most: float, on: bool, cold_s: float, step_s: float
) -> None:
    spec = PlantSpec(offtake_id="town", tank=TankSpec(capacity_kwh=800.0), boiler=SPARE)
    before = Store(level_kwh=level, boiler=Boiler(wanted=on, cold_s=cold_s if on else 0.0))
    flows, after = flows_of(spec, before, Orders(take_at_most_kw=most, boiler_on=on), weather(demand), offered, step_s)
    assert flows.taken_kw + flows.boiler_kw + flows.discharge_kw == pytest.approx(flows.served_kw + flows.charge_kw, abs=1e-6)
    assert flows.offered_kw == pytest.approx(flows.taken_kw + flows.dry_cooler_kw)
    assert flows.served_kw + flows.unserved_kw == pytest.approx(demand, abs=1e-9)
    moved_kwh = (flows.charge_kw - flows.discharge_kw - flows.loss_kw) * step_s / 3600.0
    assert after.level_kwh == pytest.approx(level + moved_kwh, abs=1e-6)
    assert -1e-9 <= after.level_kwh <= 800.0 + 1e-9
    assert flows.taken_kw <= most + 1e-9
    assert min(flows.taken_kw, flows.boiler_kw, flows.charge_kw, flows.discharge_kw, flows.unserved_kw, flows.loss_kw) >= 0.0


def test_an_empty_tank_calls_for_the_boiler_by_itself() -> None:
    orders = Orders(take_at_most_kw=0.0, boiler_on=False)
    full, _ = flows_of(SPEC, Store(level_kwh=400.0, boiler=Boiler()), orders, weather(200.0), 0.0, 900.0)
    assert (full.boiler_kw, full.unserved_kw) == (0.0, 0.0)
    _, after = flows_of(SPEC, Store(level_kwh=40.0, boiler=Boiler()), orders, weather(200.0), 0.0, 300.0)
    assert after.boiler.wanted
    assert after.boiler.cold_s == pytest.approx(300.0)


def test_two_steps_of_weather_differ_little() -> None:
    temperatures = [weather_at(SPEC, NOON_UTC + timedelta(minutes=10 * i)).outdoor_c for i in range(200)]
    assert max(abs(b - a) for a, b in zip(temperatures, temperatures[1:], strict=False)) < 1.0
    assert max(temperatures) - min(temperatures) > 2.0
