"""Design invariants 4 and 8: heat is conserved, rejecting is always possible, nothing is sold that nobody asked for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
