"""One slot of a plug by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler.core.thermal.limits import promisable_kw, rated_heat_kw
from scheduler.core.thermal.plant import (
    PlantLoad,
    PlantMemory,
    PlantRequest,
    follow_request,
    initial_memory,
    margin_eur_per_kwh,
    plant_model,
    plant_rule,
    step_plant,
)
from scheduler.domain.contract import HeatTariff
from scheduler.domain.site import Cop, CopModel, HeatPump, Maintenance, Offtake, Plug, RedundancyClass, SinkKind, Tank
from scheduler.domain.time import TimeGrid, utc

FIXED_5 = Cop(model=CopModel.FIXED, source_in_c=45, source_out_c=35, sink_in_c=45, sink_out_c=70, fixed_cop=5.0)
PLUG = Plug(
    plug_id="p",
    max_heat_kw=100,
    capture_gpu_fraction=0.9,
    capture_other_fraction=0.3,
    heat_pump=HeatPump(rated_heat_kw=100, min_load_fraction=0.25, start_cost_eur=2.0, cop=FIXED_5),
    tank=Tank(capacity_kwh=100, max_charge_kw=50, max_discharge_kw=50, loss_per_hour_fraction=0.01, initial_fraction=0.4),
)


def customer(name: str, priority: int, plug_id: str = "p", most: float = 1000.0) -> Offtake:
    return Offtake(
        offtake_id=name,
        plug_id=plug_id,
        sink=SinkKind.DISTRICT_HEATING,
        max_heat_kw=most,
        tariff=HeatTariff(),
        priority=priority,
    )


ONE = (customer("a", 1),)


def test_surplus_is_charged_and_the_rest_rejected() -> None:
    """Captured 80 kW could deliver 100; demand 60, charge limit 50: 100 delivered, 60 sold, 40 charged, nothing rejected."""
    model = plant_model(PLUG, ONE)
    request = plant_rule(model, (60.0,), margin=0.01)
    flows, after = step_plant(
        model, initial_memory(PLUG), PlantLoad(captured_kw=80, it_kw=100, demand_kw=(60.0,)), request, 1.0
    )
    assert flows.delivered_kw == pytest.approx(100.0)
    assert flows.pump_kw_el == pytest.approx(20.0)
    assert flows.sold_kw == (60.0,)
    assert flows.charge_kw == pytest.approx(40.0)
    assert flows.rejected_kw == pytest.approx(0.0)
    # 40 kWh lose 1 % = 0.4, then gain 40: 79.6.
    assert after.tank_kwh == pytest.approx(79.6)
    assert flows.room_kw_el == pytest.approx(0.15 * 20.0)
    assert flows.pump_started


def test_deficit_comes_from_the_tank() -> None:
    """Captured 24 -> 30 kW delivered, demand 60: 30 from the tank, 40 - 0.4 - 30 = 9.6 kWh left."""
    model = plant_model(PLUG, ONE)
    load = PlantLoad(captured_kw=24, it_kw=30, demand_kw=(60.0,))
    flows, after = step_plant(model, initial_memory(PLUG), load, plant_rule(model, (60.0,), 0.01), 1.0)
    assert flows.total_sold_kw == pytest.approx(60.0)
    assert flows.discharge_kw == pytest.approx(30.0)
    assert after.tank_kwh == pytest.approx(9.6)


def test_below_minimum_load_the_pump_stands_and_heat_is_rejected() -> None:
    """Captured 16 kW would deliver 20 < 25: off, the dry cooler takes 16 kW at 8 %."""
    model = plant_model(PLUG, ONE)
    load = PlantLoad(captured_kw=16, it_kw=20, demand_kw=(60.0,))
    flows, after = step_plant(model, PlantMemory(tank_kwh=0.0, pump_on=True), load, plant_rule(model, (60.0,), 0.01), 0.25)
    assert flows.delivered_kw == 0.0
    assert flows.rejection_kw_el == pytest.approx(1.28)
    assert not after.pump_on


def test_the_rule_stops_the_pump_when_heat_does_not_pay() -> None:
    """Heat 10, power 60 EUR/MWh, COP 5: 10 - 60 * (0.2 - 0.08 * 0.8) = 1.84 > 0; at 80: -0.88."""
    model = plant_model(PLUG, ONE)
    assert margin_eur_per_kwh(model, 0.010, 0.060) == pytest.approx(0.00184)
    assert margin_eur_per_kwh(model, 0.010, 0.080) == pytest.approx(-0.00088)
    assert plant_rule(model, (50.0,), -0.001).pump_heat_kw == 0.0


def test_customers_are_served_in_order() -> None:
    model = plant_model(PLUG, (customer("b", 2), customer("a", 1, most=30.0)))
    load = PlantLoad(captured_kw=80, it_kw=100, demand_kw=(50.0, 90.0))
    flows, _ = step_plant(model, PlantMemory(tank_kwh=0.0), load, PlantRequest(pump_heat_kw=80.0, charge_kw=0.0), 1.0)
    # a first: its 50 kW are cut to its maximum of 30; b takes the other 50.
    assert flows.sold_kw == (30.0, 50.0)


def test_following_a_plan_keeps_the_tank_on_its_path() -> None:
    """Planned 70 = 60 sold + 10 charged; demand turns out 80: 80 sold, 10 charged, 90 from the pump."""
    model = plant_model(PLUG, ONE)
    planned = PlantRequest(pump_heat_kw=70.0, charge_kw=10.0, discharge_kw=0.0, sell_kw=60.0)
    request = follow_request(model, planned, (80.0,), margin=0.02)
    flows, _ = step_plant(model, initial_memory(PLUG), PlantLoad(captured_kw=80, it_kw=100, demand_kw=(80.0,)), request, 1.0)
    assert (flows.total_sold_kw, flows.charge_kw, flows.delivered_kw) == pytest.approx((80.0, 10.0, 90.0))


def test_missing_heat_takes_from_charging_then_from_the_tank() -> None:
    """Planned 70 = 60 + 10, but only 40 kW can be captured (50 delivered): 50 sold from the pump, 10 from the tank."""
    model = plant_model(PLUG, ONE)
    planned = PlantRequest(pump_heat_kw=70.0, charge_kw=10.0, discharge_kw=0.0, sell_kw=60.0)
    request = follow_request(model, planned, (60.0,), margin=0.02)
    flows, _ = step_plant(model, initial_memory(PLUG), PlantLoad(captured_kw=40, it_kw=50, demand_kw=(60.0,)), request, 1.0)
    assert (flows.total_sold_kw, flows.charge_kw, flows.discharge_kw) == pytest.approx((60.0, 0.0, 10.0))


def test_direct_use_needs_no_electricity() -> None:
    model = plant_model(replace(PLUG, heat_pump=None, tank=None), ONE)
    load = PlantLoad(captured_kw=80, it_kw=100, demand_kw=(60.0,))
    flows, _ = step_plant(model, PlantMemory(tank_kwh=0.0), load, PlantRequest(pump_heat_kw=60.0), 1.0)
    assert (flows.delivered_kw, flows.recovered_kw, flows.pump_kw_el, flows.rejected_kw) == pytest.approx(
        (60.0, 60.0, 0.0, 20.0)
    )


def test_a_ramp_holds_rising_heat_back() -> None:
    """0.5 kW/min for 15 min from 40 kW: at most 47.5 kW."""
    model = plant_model(replace(PLUG, ramp_kw_per_min=0.5), ONE)
    memory = PlantMemory(tank_kwh=0.0, pump_on=True, delivered_kw=40.0)
    load = PlantLoad(captured_kw=80, it_kw=100, demand_kw=(90.0,))
    flows, _ = step_plant(model, memory, load, PlantRequest(pump_heat_kw=90.0), 0.25)
    assert flows.delivered_kw == pytest.approx(47.5)


def test_maintenance_lowers_the_slots_it_touches() -> None:
    grid = TimeGrid(start_utc=utc("2026-01-05T00:00Z"), slot_s=900, slots=8)
    window = Maintenance(
        start_utc=grid.time_of(2) + timedelta(minutes=5), end_utc=grid.time_of(4), available_kw=30.0, reason="pump service"
    )
    plug = replace(PLUG, maintenance=(window,), firm_heat_kw=60.0)
    assert rated_heat_kw(plug, grid).tolist() == [100, 100, 30, 30, 100, 100, 100, 100]


def test_the_redundancy_class_says_what_may_be_promised() -> None:
    # N says nothing about failures and keeps nothing back; one of two units is left with N+1; 2N is there twice.
    promised = {one: promisable_kw(100.0, one) for one in RedundancyClass}
    assert promised == {RedundancyClass.N: 100.0, RedundancyClass.N_PLUS_1: 50.0, RedundancyClass.TWO_N: 100.0}
