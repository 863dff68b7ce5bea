"""A heat plant that exists only in memory: the physics of `core/thermal/plant` fed by a virtual cluster, with outages."""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.core.thermal.capture import captured_kw, lag_end_kw, lagged_kw
from scheduler.core.thermal.host import node_kw
from scheduler.core.thermal.plant import (
    NO_LIMIT,
    PlantFlows,
    PlantLoad,
    PlantMemory,
    PlantModel,
    PlantRequest,
    initial_memory,
    plant_model,
    step_plant,
)
from scheduler.domain.site import Plug, Pool, Site
from scheduler.domain.snapshot import PlantState
from scheduler.simulate.faults import Outage
from scheduler.simulate.invariants import InvariantLog
from scheduler.simulate.record import PlugRecord
from scheduler.units import h_from_s, kw_from_w


def heat_of_pools(plug: Plug, pools: Iterable[Pool], extra_draw_kw: dict[str, float]) -> tuple[float, float]:
    """(IT power, captured heat) in kW of the pools behind a plug; `extra_draw_kw` is GPU draw above idle by pool."""
    it_kw, heat_kw = 0.0, 0.0
    for pool in pools:
        draw_kw = pool.gpus * kw_from_w(pool.power.gpu_idle_w) + extra_draw_kw[pool.pool_id]
        wall_kw = node_kw(pool.power, pool.gpus, draw_kw)
        it_kw += wall_kw
        heat_kw += captured_kw(plug, draw_kw, wall_kw)
    return it_kw, heat_kw


class VirtualPlant:
    """One plug: steps through slots, remembers tank and pump, writes its record and checks conservation."""

    def __init__(self, site: Site, plug: Plug, slot_s: int, log: InvariantLog, outages: Iterable[Outage] = ()) -> None:
        """Begin at rest with the tank at its initial level."""
        self.plug, self.slot_s, self.log = plug, slot_s, log
        self.pools = tuple(pool for pool in site.pools if pool.plug_id == plug.plug_id)
        self.model: PlantModel = plant_model(plug, site.offtakes)
        self.memory: PlantMemory = initial_memory(plug)
        self.loop_kw: float | None = None  # captured heat at the end of the last slot; None before the first
        self.outages = tuple(one for one in outages if one.plug_id == plug.plug_id)
        self.record = PlugRecord()
        self.sold_kw: tuple[float, ...] = (0.0,) * len(self.model.offtakes)

    def available_kw(self, now_s: float) -> float:
        """What outages leave at an instant."""
        return min((one.available_kw for one in self.outages if one.start_s <= now_s < one.end_s), default=NO_LIMIT)

    def state(self, now_s: float) -> PlantState:
        """What the plant tells about itself now."""
        left_kw = self.available_kw(now_s)
        return PlantState(
            plug_id=self.plug.plug_id,
            tank_level_kwh=self.memory.tank_kwh,
            heat_pump_on=self.memory.pump_on,
            heat_pump_heat_kw=self.memory.delivered_kw,
            sold_kw=sum(self.sold_kw),
            available_heat_kw=None if left_kw == NO_LIMIT else left_kw,
        )

    def step(self, now_s: float, extra_draw_kw: dict[str, float], demand_kw: tuple[float, ...], request: PlantRequest) -> float:
        """Pass one slot; returns the IT power of the plug's pools in kW."""
        it_kw, target_kw = heat_of_pools(self.plug, self.pools, extra_draw_kw)
        lag_s = self.plug.capture_lag_s
        before_kw = target_kw if self.loop_kw is None else self.loop_kw
        load = PlantLoad(
            captured_kw=lagged_kw(before_kw, target_kw, lag_s, self.slot_s),
            it_kw=it_kw,
            demand_kw=demand_kw,
            available_kw=self.available_kw(now_s),
            caught_kw=target_kw,
        )
        self.loop_kw = lag_end_kw(before_kw, target_kw, lag_s, self.slot_s)
        level_kwh = self.memory.tank_kwh
        flows, self.memory = step_plant(self.model, self.memory, load, request, h_from_s(self.slot_s))
        self.sold_kw = flows.sold_kw
        self._write(flows, flows.pump_started)
        self._check(flows, level_kwh, load)
        self._check_loop(load, self.loop_kw - before_kw)
        return it_kw

    def _write(self, flows: PlantFlows, started: bool) -> None:
        """Append the slot to the record."""
        record = self.record
        record.captured_kw.append(flows.captured_kw)
        record.recovered_kw.append(flows.recovered_kw)
        record.delivered_kw.append(flows.delivered_kw)
        record.pump_kw_el.append(flows.pump_kw_el)
        record.charge_kw.append(flows.charge_kw)
        record.discharge_kw.append(flows.discharge_kw)
        record.tank_kwh.append(self.memory.tank_kwh)
        record.dumped_kw.append(flows.dumped_kw)
        record.rejected_kw.append(flows.rejected_kw)
        record.room_kw.append(flows.room_heat_kw)
        record.handed_over_kw.append(flows.total_sold_kw)
        record.pump_starts.append(float(started))

    def _check_loop(self, load: PlantLoad, rise_kw: float) -> None:
        """What enters the loop leaves it or stays in its water: lag * rise of the captured heat."""
        held_kw = self.plug.capture_lag_s * rise_kw / self.slot_s
        name = f"plug {self.plug.plug_id} slot {len(self.record.captured_kw)}"
        self.log.equal(load.caught_kw or 0.0, load.captured_kw + held_kw, f"{name}: heat in the loop")

    def _check(self, flows: PlantFlows, before_kwh: float, load: PlantLoad) -> None:
        """Conservation of design invariant 8, sale within demand, level within the tank."""
        log, hours, name = self.log, h_from_s(self.slot_s), f"plug {self.plug.plug_id} slot {len(self.record.captured_kw)}"
        log.equal(flows.captured_kw, flows.recovered_kw + flows.rejected_kw, f"{name}: captured heat")
        log.equal(load.it_kw, (load.caught_kw or 0.0) + flows.room_heat_kw, f"{name}: IT power")
        stored = flows.charge_kw - flows.discharge_kw
        out_kw = flows.total_sold_kw + stored + flows.pipe_loss_kw + flows.dumped_kw
        log.equal(flows.recovered_kw + flows.pump_kw_el, out_kw, f"{name}: delivered heat")
        log.equal(self.memory.tank_kwh, before_kwh + stored * hours - flows.tank_loss_kwh, f"{name}: tank")
        for sold, demand in zip(flows.sold_kw, load.demand_kw, strict=True):
            log.at_most(sold, demand, f"{name}: sold above demand")
        tank = self.plug.tank
        if tank is not None:
            log.at_most(self.memory.tank_kwh, tank.capacity_kwh, f"{name}: tank too full")
            log.at_most(min(tank.min_kwh, before_kwh), self.memory.tank_kwh + 1e-6, f"{name}: tank too empty", 1e-3)
