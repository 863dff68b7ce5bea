"""Design invariants 4 and 8: heat is conserved, rejecting is always possible, nothing is sold that nobody asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import small_site

from scheduler.core.thermal.capture import lag_end_kw, lagged_kw
from scheduler.core.thermal.plant import (
    PlantLoad,
    PlantMemory,
    PlantRequest,
    follow_request,
    plant_model,
    plant_rule,
    step_plant,
)
from scheduler.domain.contract import HeatTariff
from scheduler.domain.site import Cop, CopModel, HeatPump, Offtake, Plug, SinkKind, Tank
from scheduler.simulate.invariants import InvariantLog
from scheduler.simulate.virtual_plant import VirtualPlant

kw = st.floats(0.0, 500.0)
fraction = st.floats(0.0, 1.0)


@st.composite
def plugs(draw: st.DrawFn) -> Plug:
    cop = Cop(
        model=CopModel.FIXED, source_in_c=45, source_out_c=35, sink_in_c=45, sink_out_c=70, fixed_cop=draw(st.floats(1.2, 9.0))
    )
    rated = draw(st.floats(1.0, 300.0))
    pump = HeatPump(rated_heat_kw=rated, min_load_fraction=draw(st.floats(0.0, 0.9)), start_cost_eur=1.0, cop=cop)
    tank = Tank(
        capacity_kwh=draw(st.floats(1.0, 500.0)),
        max_charge_kw=draw(kw),
        max_discharge_kw=draw(kw),
        loss_per_hour_fraction=draw(st.floats(0.0, 0.2)),
        fixed_loss_kw=draw(st.floats(0.0, 2.0)),
        initial_fraction=draw(fraction),
    )
    return Plug(
        plug_id="p",
        max_heat_kw=draw(st.floats(1.0, 300.0)),
        capture_gpu_fraction=0.9,
        capture_other_fraction=0.3,
        pipe_loss_kw=draw(st.floats(0.0, 5.0)),
        ramp_kw_per_min=draw(st.one_of(st.none(), st.floats(0.1, 10.0))),
        heat_pump=draw(st.sampled_from([pump, None])),
        tank=draw(st.sampled_from([tank, None])),
    )


@settings(max_examples=200, deadline=None)
@given(
    plug=plugs(),
    slots=st.lists(st.tuples(kw, kw, kw, kw, st.floats(-0.05, 0.05), kw, kw), min_size=1, max_size=12),
    by_rule=st.booleans(),
    hours=st.sampled_from([0.25, 1.0]),
)
def test_every_kwh_is_accounted_for(
    plug: Plug, slots: list[tuple[float, float, float, float, float, float, float]], by_rule: bool, hours: float
) -> None:
    offtakes = tuple(
        Offtake(offtake_id=name, plug_id="p", sink=SinkKind.POOL, max_heat_kw=200.0, tariff=HeatTariff(), priority=index)
        for index, name in enumerate("ab")
    )
    model = plant_model(plug, offtakes)
    tank = plug.tank
    memory = PlantMemory(tank_kwh=0.0 if tank is None else tank.initial_fraction * tank.capacity_kwh)
    for it_kw, captured_share, demand_a, demand_b, margin, pump, charge in slots:
        captured = it_kw * captured_share / 500.0
        load = PlantLoad(captured_kw=captured, it_kw=it_kw, demand_kw=(demand_a, demand_b))
        planned = PlantRequest(pump_heat_kw=pump, charge_kw=charge, discharge_kw=0.0, sell_kw=pump)
        request = (
            plant_rule(model, load.demand_kw, margin) if by_rule else follow_request(model, planned, load.demand_kw, margin)
        )
        flows, after = step_plant(model, memory, load, request, hours)
        assert flows.captured_kw == pytest.approx(flows.recovered_kw + flows.rejected_kw, abs=1e-6)
        given_kw = flows.recovered_kw + flows.pump_kw_el
        taken_kw = flows.total_sold_kw + flows.charge_kw - flows.discharge_kw + flows.pipe_loss_kw + flows.dumped_kw
        assert given_kw == pytest.approx(taken_kw, abs=1e-6)
        change = (flows.charge_kw - flows.discharge_kw) * hours - flows.tank_loss_kwh
        assert after.tank_kwh == pytest.approx(memory.tank_kwh + change, abs=1e-6)
        assert all(sold <= demand + 1e-9 for sold, demand in zip(flows.sold_kw, load.demand_kw, strict=True))
        assert (
            min(flows.rejected_kw, flows.recovered_kw, flows.dumped_kw, flows.charge_kw, flows.discharge_kw, *flows.sold_kw)
            >= -1e-9
        )
        assert after.tank_kwh <= (0.0 if tank is None else tank.capacity_kwh) + 1e-6
        assert after.tank_kwh >= -1e-6
        assert flows.delivered_kw <= model.rated_heat_kw + 1e-9
        assert flows.delivered_kw == 0.0 or flows.delivered_kw >= model.min_heat_kw - 1e-6
        memory = after


@settings(max_examples=100, deadline=None)
@given(st.lists(kw, min_size=1, max_size=30), st.floats(0.0, 50_000.0), kw)
def test_what_enters_the_loop_leaves_it_or_stays_in_its_water(targets: list[float], lag_s: float, before_kw: float) -> None:
    slot_s, now_kw, means = 900.0, before_kw, []
    for target_kw in targets:
        means.append(lagged_kw(now_kw, target_kw, lag_s, slot_s))
        now_kw = lag_end_kw(now_kw, target_kw, lag_s, slot_s)
        assert min(*targets, before_kw) - 1e-9 <= now_kw <= max(*targets, before_kw) + 1e-9
    held = lag_s * (now_kw - before_kw) if lag_s > 0.0 else 0.0
    assert sum(means) * slot_s + held == pytest.approx(sum(targets) * slot_s, rel=1e-9, abs=1e-3)


def test_a_virtual_plant_with_a_lag_loses_nothing_and_bills_the_room_at_once() -> None:
    site = small_site(gpus=64)
    plug = replace(site.plugs[0], capture_lag_s=1800.0)
    log = InvariantLog()
    plant = VirtualPlant(site, plug, 900, log)
    for extra_kw in (0.0, 30.0, 30.0, 0.0, 0.0):
        plant.step(0.0, {"pool-0": extra_kw}, (20.0,), PlantRequest(pump_heat_kw=20.0))
    assert log.violations == 0, log.examples
    caught = plant.record.captured_kw
    # The heat of the second slot arrives late, and is still on its way in the fourth; the room has no lag.
    assert caught[0] < caught[1] < caught[2]
    assert caught[3] > caught[4] > caught[0]
    room = plant.record.room_kw
    assert room[1] == room[2] > room[3] == room[4] == room[0]
