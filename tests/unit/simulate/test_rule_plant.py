"""Under a rule a pump with little to do fills the tank and rests; with enough to do it follows the stated rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.core.thermal.plant import PlantLoad, PlantMemory, PlantModel, plant_model, plant_rule, step_plant
from scheduler.simulate.demo_site import demo_site
from scheduler.simulate.rule_plant import calm_plant_rule

SLOT_H = 0.25


@pytest.fixture(scope="module")
def model() -> PlantModel:
    """A pump of 100 kW that runs from 25 kW on, a tank of 60 kWh and 40 kW, one customer."""
    site = demo_site(gpus=64)
    plug = site.plugs[0]
    assert plug.heat_pump is not None
    assert plug.tank is not None
    pump = replace(plug.heat_pump, rated_heat_kw=100.0, min_load_fraction=0.25)
    tank = replace(
        plug.tank, capacity_kwh=60.0, max_charge_kw=40.0, max_discharge_kw=40.0, loss_per_hour_fraction=0.0, min_kwh=0.0
    )
    tank = replace(tank, fixed_loss_kw=0.0)
    one = replace(site.offtakes[0], plug_id=plug.plug_id, max_heat_kw=100.0)
    return plant_model(replace(plug, heat_pump=pump, tank=tank, pipe_loss_kw=0.0, ramp_kw_per_min=None), (one,))


def runs(model: PlantModel, memory: PlantMemory, demand_kw: float, margin: float = 0.01) -> bool:
    return calm_plant_rule(model, memory, (demand_kw,), margin, SLOT_H).pump_heat_kw > 0.0


def test_a_running_pump_goes_on_while_its_surplus_fits(model: PlantModel) -> None:
    """Demand 15 leaves 10 kW of the least 25, so 2.5 kWh a slot: it fits at 57.5 kWh of 60, not at 57.6."""
    assert runs(model, PlantMemory(tank_kwh=57.5, pump_on=True), 15.0)
    assert not runs(model, PlantMemory(tank_kwh=57.6, pump_on=True), 15.0)


def test_a_resting_pump_starts_when_the_tank_cannot_serve(model: PlantModel) -> None:
    """Demand 15 takes 3.75 kWh a slot; demand 30 is above the least 25, so the stated rule holds."""
    assert not runs(model, PlantMemory(tank_kwh=3.8), 15.0)
    assert runs(model, PlantMemory(tank_kwh=3.7), 15.0)
    assert runs(model, PlantMemory(tank_kwh=50.0), 30.0)
    assert calm_plant_rule(model, PlantMemory(tank_kwh=50.0), (30.0,), 0.01, SLOT_H) == plant_rule(model, (30.0,), 0.01)


def test_heat_that_does_not_pay_is_not_made(model: PlantModel) -> None:
    assert not runs(model, PlantMemory(tank_kwh=0.0), 15.0, margin=-0.001)


def test_a_summer_day_takes_few_starts(model: PlantModel) -> None:
    """Demand 10 kW all day, 240 kWh. A filling of 60 kWh lasts 6 h, so four or five starts; the bare rule has many more."""
    load = PlantLoad(captured_kw=60.0, it_kw=80.0, demand_kw=(10.0,))
    starts = {"calm": 0, "bare": 0}
    for name in starts:
        memory, sold = PlantMemory(tank_kwh=0.0), 0.0
        for _ in range(96):
            calm = calm_plant_rule(model, memory, (10.0,), 0.01, SLOT_H)
            request = calm if name == "calm" else plant_rule(model, (10.0,), 0.01)
            flows, memory = step_plant(model, memory, load, request, SLOT_H)
            starts[name] += int(flows.pump_started)
            sold += flows.total_sold_kw * SLOT_H
        assert sold == pytest.approx(240.0)
    assert starts["calm"] <= 5
    assert starts["bare"] > 3 * starts["calm"]
