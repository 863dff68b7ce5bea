"""The plant follows the setpoint of the very slot, and a pump that is to run runs: what does not fit is dumped and paid for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import pytest

from scheduler.core.thermal.plant import (
    PlantLoad,
    PlantMemory,
    PlantRequest,
    follow_request,
    plant_model,
    plant_rule,
    step_plant,
)
from scheduler.domain.decision import PlantSetpoint
from scheduler.domain.plan import Plan
from scheduler.simulate.demo_site import demo_site
from scheduler.simulate.faults import Disturbances
from scheduler.simulate.generate import weeks
from scheduler.simulate.knowledge import Knowledge
from scheduler.simulate.queueing import Discipline, OpenGate, Queue
from scheduler.simulate.world import Clockwork, World

SLOT_S = 900


class EverySecondSlot:
    """Wants heat from the tank in every second slot, and remembers when it was asked."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.asked: list[datetime] = []

    def cycle(self, world: World) -> None:
        """Decide nothing."""

    def setpoints(self, world: World) -> Mapping[str, PlantSetpoint]:
        """Take 1 kW from the tank in slots 0, 2, 4, ...; nothing in the others."""
        self.asked.append(world.now_utc)
        on = (world.now_utc.minute // 15) % 2 == 0
        return {
            plug.plug_id: PlantSetpoint(
                plug_id=plug.plug_id,
                at_utc=world.now_utc,
                duration_s=SLOT_S,
                pump_heat_kw=0.0,
                charge_kw=0.0,
                discharge_kw=1.0 if on else 0.0,
                sell_kw=1.0 if on else 0.0,
            )
            for plug in world.site.plugs
        }

    def plan(self) -> Plan | None:
        """None."""
        return None


def test_a_setpoint_holds_in_its_own_slot() -> None:
    """The clock has moved on when the meters are read; what was wanted is what was wanted when the slot began."""
    scenario = next(weeks(1, seed=2, gpus=64, days=1))
    world = World(scenario, Queue(OpenGate(), Discipline.EASY), Clockwork(), Knowledge(), Disturbances())
    steering = EverySecondSlot()
    world.run_until(steering, 8 * SLOT_S)
    assert steering.asked == [world.truth.grid.time_of(slot) for slot in range(8)]
    discharged = world.record.plugs[world.site.plugs[0].plug_id].discharge_kw
    assert [kw > 0.0 for kw in discharged] == [True, False] * 4


def test_a_pump_that_is_to_run_dumps_what_nobody_takes() -> None:
    """Least load 25 % of the rating: with a full tank and little demand the rest goes through the dry cooler."""
    site = demo_site(gpus=64)
    plug = site.plugs[0]
    model = plant_model(plug, site.offtakes[:1])
    assert plug.tank is not None
    full = PlantMemory(tank_kwh=plug.tank.capacity_kwh, pump_on=True, delivered_kw=model.min_heat_kw)
    demand = 0.2 * model.min_heat_kw
    load = PlantLoad(captured_kw=2.0 * model.min_heat_kw, it_kw=3.0 * model.min_heat_kw, demand_kw=(demand,))
    planned = PlantRequest(pump_heat_kw=model.min_heat_kw, charge_kw=0.0, discharge_kw=0.0, sell_kw=demand)
    flows, after = step_plant(model, full, load, follow_request(model, planned, load.demand_kw, 0.01), 0.25)
    assert flows.delivered_kw == pytest.approx(model.min_heat_kw)
    assert flows.total_sold_kw == pytest.approx(demand)
    room_kw = flows.charge_kw
    assert flows.dumped_kw == pytest.approx(model.min_heat_kw - plug.pipe_loss_kw - demand - room_kw)
    assert flows.rejection_kw_el == pytest.approx(plug.rejection_electric_fraction * (flows.rejected_kw + flows.dumped_kw))
    assert after.pump_on


def test_a_plan_that_rests_the_pump_dumps_nothing() -> None:
    site = demo_site(gpus=64)
    model = plant_model(site.plugs[0], site.offtakes[:1])
    request = follow_request(model, PlantRequest(pump_heat_kw=0.0, charge_kw=0.0, discharge_kw=5.0, sell_kw=5.0), (5.0,), 0.01)
    assert request.least_kw == 0.0
    assert request.pump_heat_kw == 0.0


def test_a_rule_keeps_its_pump_on_through_a_summer_day() -> None:
    """Demand far below the least load: one start, the rest dumped once the tank is full, and demand served all day."""
    site = demo_site(gpus=64)
    plug = site.plugs[0]
    model = plant_model(plug, site.offtakes[:1])
    demand = 0.2 * model.min_heat_kw
    load = PlantLoad(captured_kw=2.0 * model.min_heat_kw, it_kw=3.0 * model.min_heat_kw, demand_kw=(demand,))
    memory, starts, sold, dumped = PlantMemory(tank_kwh=0.0), 0, 0.0, 0.0
    for _ in range(96):
        flows, memory = step_plant(model, memory, load, plant_rule(model, (demand,), 0.01), 0.25)
        starts += int(flows.pump_started)
        sold, dumped = sold + flows.total_sold_kw * 0.25, dumped + flows.dumped_kw * 0.25
    assert starts == 1
    assert sold == pytest.approx(24.0 * demand)
    assert dumped > 0.0


class ChargesFirst:
    """Wants to sell 1 kW and to charge all it can, whatever is demanded."""

    def cycle(self, world: World) -> None:
        """Decide nothing."""

    def setpoints(self, world: World) -> Mapping[str, PlantSetpoint]:
        """Pump at its rating, sale 1 kW, charge without an end."""
        return {
            plug.plug_id: PlantSetpoint(
                plug_id=plug.plug_id,
                at_utc=world.now_utc,
                duration_s=SLOT_S,
                pump_heat_kw=1e6,
                charge_kw=1e6,
                discharge_kw=0.0,
                sell_kw=1.0,
            )
            for plug in world.site.plugs
        }

    def plan(self) -> Plan | None:
        """None."""
        return None


@pytest.mark.parametrize("known", [True, False])
def test_heat_that_a_plan_keeps_from_a_demand_that_it_knew_is_kept(known: bool) -> None:
    """Demand lies above 1 kW all day. Known in advance, the plan's sale is meant; else the world sells what pays."""
    scenario = next(weeks(1, seed=2, gpus=64, days=1))
    world = World(
        scenario, Queue(OpenGate(), Discipline.EASY), Clockwork(), Knowledge(true_heat_and_weather=known), Disturbances()
    )
    world.run_until(ChargesFirst(), 96 * SLOT_S)
    record = world.record.plugs[world.site.plugs[0].plug_id]
    assert max(record.handed_over_kw) > 0.0
    assert (max(record.handed_over_kw) <= 1.0 + 1e-9) == known
    assert min(max(values) for values in world.record.demand_kw.values()) > 1.0
