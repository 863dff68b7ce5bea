"""The virtual world: cluster, plant, promises and meters of one strategy on one scenario, moved on slot by slot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from scheduler.core.thermal.plant import PlantRequest, follow_request, margin_eur_per_kwh, plant_rule
from scheduler.domain.decision import PlantSetpoint
from scheduler.domain.errors import Misconfigured
from scheduler.domain.plan import Plan
from scheduler.domain.snapshot import Snapshot
from scheduler.domain.time import Series, TimeGrid
from scheduler.domain.world import Scenario
from scheduler.simulate.faults import Disturbances, disturbed
from scheduler.simulate.invariants import InvariantLog, check_jobs
from scheduler.simulate.knowledge import Knowledge
from scheduler.simulate.observer import VirtualObserver
from scheduler.simulate.outages import SourceLines
from scheduler.simulate.promises import PromiseBook
from scheduler.simulate.record import Record, column, readings
from scheduler.simulate.truth import Truth, truth_of
from scheduler.simulate.virtual_clock import VirtualClock
from scheduler.simulate.virtual_cluster import Queueing, VirtualCluster
from scheduler.simulate.virtual_plant import VirtualPlant
from scheduler.units import S_PER_H


class Steering(Protocol):
    """A strategy as the world meets it."""

    def cycle(self, world: World) -> None:
        """Look at the world and decide; called at the start of every cycle."""
        ...

    def setpoints(self, world: World) -> Mapping[str, PlantSetpoint]:
        """What it wants of each plug in the coming slot; a plug without one runs by the stated rule."""
        ...

    def plan(self) -> Plan | None:
        """Its present plan, if it makes any."""
        ...


@dataclass(slots=True)
class Clockwork:
    """Lengths of slot and cycle in seconds."""

    slot_s: int = 900
    cycle_s: int = 3600


class World:
    """One run of one strategy."""

    def __init__(
        self,
        scenario: Scenario,
        queueing: Queueing,
        clockwork: Clockwork,
        knowledge: Knowledge,
        disturbances: Disturbances,
    ) -> None:
        """Set the scene at the start of the period."""
        self.scenario, self.site, self.clockwork, self.disturbances = scenario, scenario.site, clockwork, disturbances
        slot_s = clockwork.slot_s
        self.truth: Truth = truth_of(scenario, slot_s)
        self.clock = VirtualClock(scenario.start_utc)
        self.log = InvariantLog()
        self.cluster = VirtualCluster(scenario.site, scenario.jobs, self.clock, queueing, slot_s, disturbances)
        self.cluster.log = self.log
        self.plants = {
            plug.plug_id: VirtualPlant(self.site, plug, slot_s, self.log, disturbances.outages) for plug in self.site.plugs
        }
        self.record = Record(
            plugs={name: plant.record for name, plant in self.plants.items()},
            sold_kw={one.offtake_id: readings() for one in self.site.offtakes},
            demand_kw={one.offtake_id: readings() for one in self.site.offtakes},
        )
        self.observer = VirtualObserver(scenario, slot_s, knowledge)
        self.lines = SourceLines(scenario=scenario, slot_s=slot_s, outages=disturbances.sources)
        self.knows_demand = knowledge.true_heat_and_weather
        window_utc = (scenario.start_utc, scenario.start_utc + timedelta(days=scenario.days))
        self.promises = PromiseBook(self.site, window_utc, slot_s, certain=knowledge.everything)

    @property
    def now_utc(self) -> datetime:
        """Present instant."""
        return self.clock.now_utc()

    @property
    def slot(self) -> int:
        """Slot that begins now."""
        return self.record.slots

    def snapshot(self) -> Snapshot:
        """What is known now, with the promises that are open."""
        seen = self.observer.observe(
            self.now_utc, self.cluster, self.record, [plant.state(self.clock.now_s) for plant in self.plants.values()]
        )
        told = replace(seen, commitments=self.promises.open(self.now_utc, self.sold()))
        if self.lines.outages:
            told = self.lines.through(told, self.record)
        return disturbed(told, self.disturbances.sensors, self.clock.now_s)

    def sold(self) -> dict[str, Series]:
        """Heat sold so far by offtake."""
        grid = TimeGrid(start_utc=self.scenario.start_utc, slot_s=self.clockwork.slot_s, slots=self.record.slots)
        return {
            name: Series(grid=grid, values=column(values), unit="kW", source="meter")
            for name, values in self.record.sold_kw.items()
        }

    def run_until(self, steering: Steering, until_s: float) -> None:
        """Run whole slots up to `until_s`."""
        while self.clock.now_s < until_s - 1e-6:
            self.run_slot(steering)

    def run_to_drain(self, steering: Steering, period_s: float) -> None:
        """Run to the end of the period and on until every job has ended, to the end of that hour."""
        self.run_until(steering, period_s)
        while not self.cluster.drained or self.clock.now_s % S_PER_H:
            self.run_slot(steering)

    def run_slot(self, steering: Steering) -> None:
        """One slot: cycle and gates at its start, then cluster, plant and meters through it."""
        slot, now_s, slot_s = self.slot, self.clock.now_s, self.clockwork.slot_s
        if slot >= self.truth.grid.slots:
            raise Misconfigured(
                f"jobs still wait or run at {self.now_utc:%Y-%m-%d %H:%M}Z, where the series end",
                where=f"scenario {self.scenario.name}",
                expected="series that go on until every job has ended, or fewer jobs",
            )
        if now_s % self.clockwork.cycle_s == 0.0:
            steering.cycle(self)
        self._answer_gates(steering)
        wanted = steering.setpoints(self) if self.lines.carries_setpoints(now_s) else {}
        self.cluster.advance(now_s)
        self.cluster.dispatch()
        self.cluster.advance(now_s + slot_s)
        self.cluster.meter_running()
        self._plants(wanted, slot, now_s)
        check_jobs(self.log, list(self.cluster.running.values()) + self.cluster.flexible_queue, self.clock.now_s)

    def _plants(self, wanted: Mapping[str, PlantSetpoint], slot: int, now_s: float) -> None:
        """Let every plug pass the slot and read the meters."""
        truth, record, cluster = self.truth, self.record, self.cluster
        electricity = float(truth.energy_eur_per_kwh[slot]) + truth.adder_eur_per_kwh
        extra_kw = {name: meter.mean(slot) for name, meter in cluster.draw_kw.items()}
        it_kw = 0.0
        for plug_id, plant in self.plants.items():
            model = plant.model
            demand = tuple(float(truth.demand_kw[one.offtake_id][slot]) for one in model.offtakes)
            price = max((float(truth.heat_eur_per_kwh[one.offtake_id][slot]) for one in model.offtakes), default=0.0)
            margin = margin_eur_per_kwh(model, price, electricity)
            asked = wanted.get(plug_id)
            if asked is None:
                request = plant_rule(model, demand, margin)
            else:
                # A plan that knew this demand and sells less has other plans for the heat.
                request = follow_request(model, request_of(asked), demand, 0.0 if self.knows_demand else margin)
            it_kw += plant.step(now_s, extra_kw, demand, request)
            for one, sold, wish in zip(model.offtakes, plant.sold_kw, demand, strict=True):
                record.sold_kw[one.offtake_id].append(sold)
                record.demand_kw[one.offtake_id].append(wish)
        busy = {name: meter.mean(slot) for name, meter in cluster.gpus_busy.items()}
        for name, gpus in busy.items():
            self.log.at_most(gpus, float(self.site_gpus(name)), f"slot {slot}: pool {name} over-allocated")
        record.it_kw.append(it_kw)
        record.gpus_busy.append(sum(busy.values()))
        record.gpus_working.append(float(sum(cluster.capacity.values())))

    def site_gpus(self, pool_id: str) -> int:
        """GPUs of a pool at full health."""
        return self.cluster.pools[pool_id].gpus

    def _answer_gates(self, steering: Steering) -> None:
        """Promise firm heat when a gate has come."""
        gates = self.promises.gates_until(self.now_utc)
        if not gates:
            return
        snapshot, sold = self.snapshot(), self.sold()
        for offtake, gate in gates:
            self.promises.answer(offtake, gate, snapshot, sold[offtake.offtake_id], steering.plan())


def request_of(setpoint: PlantSetpoint) -> PlantRequest:
    """A planned setpoint as a request to the plant."""
    return PlantRequest(
        pump_heat_kw=setpoint.pump_heat_kw,
        charge_kw=setpoint.charge_kw,
        discharge_kw=setpoint.discharge_kw,
        sell_kw=setpoint.sell_kw,
    )
