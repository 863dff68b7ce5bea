"""A hall of GPUs and its heat plant, quarter hour by quarter hour: a reduced model of what the operator does with both.

Jobs: insulated ones start when they fit; the others when power is cheap, when their time has come, or when promised heat would
otherwise be short (re-planning). Plant: heat is sold up to the demand, a surplus goes to the tank, the tank serves what is
promised, and what is above its reserve serves the rest of the demand. The heat pump runs at or above its minimum load, or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from benchmarks.gates.year import GPUS, SLOT_S, SLOTS_PER_H, Year, heat_of, idle_kw
from scheduler.core.thermal.heat_pump import cop
from scheduler.domain.job import Flexibility
from scheduler.domain.world import JobTruth
from scheduler.units import kw_from_w

HOUR = 1.0 / SLOTS_PER_H
# A flexible job starts when the price is in this cheapest share of the coming day.
CHEAP_FRACTION = 0.4
# While power is cheap, one whose latest start is so near starts whatever its heat is good for.
SOON_SLOTS = 12 * SLOTS_PER_H
TANK_RESERVE_FRACTION = 0.6


@dataclass(slots=True)
class Held:
    """A job that may wait: GPUs, their draw in kW, quarter hours that it runs, and its latest start."""

    gpus: int
    draw_kw: float
    slots: int
    latest: int


@dataclass(slots=True)
class Hall:
    """State of GPUs and tank, and the sums of what came to pass."""

    year: Year
    slot: int = 0
    next_job: int = 0
    held: list[Held] = field(default_factory=list)
    urgent: list[Held] = field(default_factory=list)
    running: list[tuple[int, int, float]] = field(default_factory=list)
    level_kwh: float = 0.0
    pump_on: bool = False
    base_kw: float = 0.0
    per_kw: float = 0.0
    idle_kw: float = 0.0
    cop: float = 1.0
    least_kw: float = 0.0
    tank_charge_kw: float = 0.0

    def __post_init__(self) -> None:
        """What does not change: delivered heat = base + per_kw * draw."""
        tank, pump = self.year.plug.tank, self.year.plug.heat_pump
        assert tank is not None
        assert pump is not None
        self.base_kw = heat_of(self.year.site, 0.0)
        self.per_kw = heat_of(self.year.site, 1.0) - self.base_kw
        self.idle_kw, self.cop = idle_kw(self.year.site), cop(pump.cop)
        self.tank_charge_kw = tank.max_charge_kw
        self.least_kw = pump.min_load_fraction * pump.rated_heat_kw
        self.level_kwh = tank.initial_fraction * tank.capacity_kwh

    @property
    def busy(self) -> int:
        """GPUs with a job."""
        return sum(gpus for _, gpus, _ in self.running)

    @property
    def draw_kw(self) -> float:
        """Draw of all GPUs that run or idle; those of failed nodes draw nothing."""
        busy_kw = sum(draw for _, _, draw in self.running)
        return (busy_kw + (GPUS - self.busy) * self.idle_kw) * float(self.year.nodes_up[self.slot])

    def load_kw(self) -> float:
        """Heat that the load lets the plant deliver now."""
        return self.base_kw + self.per_kw * self.draw_kw

    def reserve(self) -> tuple[float, float]:
        """Heat in kW and kWh of work in hand that fits on free GPUs."""
        gain_kw = [(one.draw_kw - one.gpus * self.idle_kw) * self.per_kw for one in self.held]
        kwh = sum(kw * one.slots * HOUR for kw, one in zip(gain_kw, self.held, strict=True))
        gpus = sum(one.gpus for one in self.held)
        fits = min(1.0, (GPUS - self.busy) / gpus) if gpus else 0.0
        return fits * sum(gain_kw), kwh

    def take_in(self) -> None:
        """Let jobs end, and take in those that were submitted by now."""
        self.running = [one for one in self.running if one[0] > self.slot]
        jobs = self.year.jobs
        while self.next_job < len(jobs):
            truth = jobs[self.next_job]
            at = int((truth.job.submit_utc - self.year.start_utc).total_seconds() // SLOT_S)
            if at > self.slot:
                break
            self.next_job += 1
            self._queue(truth)

    def _queue(self, truth: JobTruth) -> None:
        job, site = truth.job, self.year.site
        one = Held(
            gpus=job.gpus,
            draw_kw=job.gpus * kw_from_w(job.natural_power_w_per_gpu or site.pools[0].power.gpu_max_w),
            slots=max(1, round(truth.duration_s / SLOT_S)),
            latest=self.slot,
        )
        if site.job_class(job.class_name).flexibility is Flexibility.INSULATED or job.deadline_utc is None:
            self.urgent.append(one)
            return
        end_s = (job.deadline_utc - self.year.start_utc).total_seconds()
        one.latest = max(self.slot, int((end_s - job.declared_duration_s) // SLOT_S))
        self.held.append(one)

    def start(self, short_kw: float) -> None:
        """Start what must, what is cheap now and makes heat of use, and what promised heat lacks (`short_kw`)."""
        due = [one for one in self.held if one.latest <= self.slot]
        self.held = [one for one in self.held if one.latest > self.slot]
        self.urgent = self._begin(self.urgent + due)
        ahead = self.year.price_eur_per_kwh[self.slot : self.slot + 24 * SLOTS_PER_H]
        if self.year.price_eur_per_kwh[self.slot] <= np.quantile(ahead, CHEAP_FRACTION):
            soon = self.slot + SOON_SLOTS
            pressing = [one for one in self.held if one.latest <= soon]
            self.held = self._begin(pressing) + [one for one in self.held if one.latest > soon]
            useful_kw = float(self.year.demand_kw[self.slot]) + self.tank_charge_kw - self.load_kw()
            self._begin_for(max(short_kw, useful_kw))
        else:
            self._begin_for(short_kw)

    def _begin_for(self, heat_kw: float) -> None:
        """Begin held jobs, the most pressing first, until they make so much heat."""
        first: list[Held] = []
        for one in sorted(self.held, key=lambda one: one.latest):
            if heat_kw <= 0.0:
                break
            first.append(one)
            heat_kw -= (one.draw_kw - one.gpus * self.idle_kw) * self.per_kw
        stay = {id(one) for one in self._begin(first)}
        begun = {id(one) for one in first} - stay
        self.held = [one for one in self.held if id(one) not in begun]

    def _begin(self, jobs: list[Held]) -> list[Held]:
        """Begin those that fit, in order; returns those that do not."""
        free, left = round(GPUS * float(self.year.nodes_up[self.slot])) - self.busy, []
        for one in jobs:
            if one.gpus <= free:
                free -= one.gpus
                self.running.append((self.slot + one.slots, one.gpus, one.draw_kw))
            else:
                left.append(one)
        return left

    def deliver(self, firm_kw: float, owed_kwh: float) -> tuple[float, float]:
        """Sold heat and the pump's electricity in kW over this quarter hour; the tank is kept for `owed_kwh`, promised soon."""
        tank, pump = self.year.plug.tank, self.year.plug.heat_pump
        assert tank is not None
        assert pump is not None
        self.level_kwh *= (1.0 - tank.loss_per_hour_fraction) ** HOUR
        limit_kw = self.capability_kw(self.slot)
        demand_kw = min(limit_kw, float(self.year.demand_kw[self.slot]))
        room_kw = min(tank.max_charge_kw, (tank.capacity_kwh - self.level_kwh) / HOUR)
        reach_kw = min(tank.max_discharge_kw, self.level_kwh / HOUR)
        source_kw = min(self.load_kw(), pump.rated_heat_kw)
        least_kw = self.least_kw
        made_kw = min(source_kw, demand_kw + room_kw)
        if made_kw < least_kw:
            # At its minimum load when that finds room, else off; once off it waits until the tank is half empty.
            waits = not self.pump_on and self.level_kwh > 0.5 * tank.capacity_kwh and demand_kw <= reach_kw
            made_kw = least_kw if source_kw >= least_kw and demand_kw + room_kw >= least_kw and not waits else 0.0
        elif source_kw < least_kw:
            made_kw = 0.0
        self.pump_on = made_kw > 0.0
        kept_kwh = min(TANK_RESERVE_FRACTION * tank.capacity_kwh, owed_kwh)
        spare_kw = max(0.0, min(reach_kw, (self.level_kwh - kept_kwh) / HOUR))
        promised_kw = max(0.0, min(firm_kw, demand_kw) - made_kw)
        out_kw = min(reach_kw, max(promised_kw, min(spare_kw, max(0.0, demand_kw - made_kw))))
        sold_kw = min(demand_kw, made_kw + out_kw)
        self.level_kwh += (made_kw - sold_kw) * HOUR
        return sold_kw, made_kw / self.cop

    def capability_kw(self, slot: int) -> float:
        """What the plug can hand over in a slot: nothing in an outage or a service."""
        return self.year.plug.max_heat_kw if self.year.plug_up[slot] and not self.in_service(slot) else 0.0

    def in_service(self, slot: int) -> bool:
        """Whether an announced service of the plug touches the slot."""
        begin_utc = self.year.start_utc + timedelta(seconds=slot * SLOT_S)
        end_utc = begin_utc + timedelta(seconds=SLOT_S)
        return any(one.start_utc < end_utc and begin_utc < one.end_utc for one in self.year.plug.maintenance)
