"""What a run cost, term by term, from its meters; the same rule for every strategy.

Cash: electricity (IT and overhead at the energy price), heat_pump (its electricity and start cost), rejection (dry cooler and
room cooling), network (adder on all electricity), heat_revenue (negative; a tank that ends below its start buys the missing
heat at the highest tariff of the window), capacity_payment (negative), shortfall. Shadow: waiting (GPU-hours between submit
and first start, and pauses), lateness (GPU-hours past the deadline), preemption (redone GPU-hours), slowdown (extra GPU-hours
on GPUs because of caps), carbon. total = sum of all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.domain.time import FloatArray
from scheduler.simulate.invariants import InvariantLog
from scheduler.simulate.promises import Hour
from scheduler.simulate.record import Record, column
from scheduler.simulate.virtual_job import VirtualJob
from scheduler.simulate.world import World
from scheduler.units import h_from_s, kg_from_g

CASH = ("electricity", "heat_pump", "rejection", "network", "heat_revenue", "capacity_payment", "shortfall")
SHADOW = ("waiting", "lateness", "preemption", "slowdown", "carbon")
TERMS = CASH + SHADOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A run in numbers: EUR by term, energy in kWh, jobs, firm heat, share of slots in which limits bind."""

    cost_eur: dict[str, float]
    energy: dict[str, float]
    jobs: dict[str, float]
    firm: dict[str, float]
    binding_share: dict[str, float | None]
    drained_s: float

    @property
    def total_eur(self) -> float:
        """Sum of all terms."""
        return self.cost_eur["total"]


def score(world: World) -> Score:
    """Score a run up to now."""
    hours = world.promises.settle_hours(world.now_utc, world.sold())
    kwh = energy_kwh(world)
    cost = cash_eur(world, kwh, hours) | shadow_eur(list(world.cluster.jobs.values())) | {"carbon": carbon_eur(world, kwh)}
    ordered = {term: float(cost[term]) for term in TERMS}
    ordered["cash"] = sum(ordered[term] for term in CASH)
    ordered["shadow"] = sum(ordered[term] for term in SHADOW)
    ordered["total"] = ordered["cash"] + ordered["shadow"]
    check_score(world.log, world, ordered, kwh)
    return Score(
        cost_eur=ordered,
        energy=energy_totals(world, kwh),
        jobs=job_numbers(list(world.cluster.jobs.values())),
        firm={
            "promised_kwh": sum(hour.promised_kwh for hour in hours),
            "delivered_kwh": sum(min(hour.promised_kwh, hour.delivered_kwh) for hour in hours),
            "shortfall_kwh": sum(hour.shortfall_kwh for hour in hours),
        },
        binding_share=binding_share(world),
        drained_s=max((job.end_s or 0.0 for job in world.cluster.jobs.values()), default=0.0),
    )


def energy_kwh(world: World) -> dict[str, FloatArray]:
    """Electricity per slot in kWh by use: it (with overhead), heat_pump, rejection (dry cooler and room)."""
    slot_h = h_from_s(world.clockwork.slot_s)
    record, overhead = world.record, world.site.overhead_fraction_of_it
    pump, cooling = np.zeros(record.slots), np.zeros(record.slots)
    for plug in world.site.plugs:
        one = record.plugs[plug.plug_id]
        pump += column(one.pump_kw_el)
        cooling += plug.rejection_electric_fraction * (column(one.rejected_kw) + column(one.dumped_kw))
        cooling += plug.room_electric_fraction * column(one.room_kw)
    it = column(record.it_kw) * (1.0 + overhead)
    return {"it": it * slot_h, "heat_pump": pump * slot_h, "rejection": cooling * slot_h}


def cash_eur(world: World, kwh: dict[str, FloatArray], hours: tuple[Hour, ...]) -> dict[str, float]:
    """The cash terms."""
    truth, slots = world.truth, world.record.slots
    spot = truth.energy_eur_per_kwh[:slots]
    rules = {one.offtake_id: one.firm for one in world.site.offtakes}
    capacity = shortfall = 0.0
    for hour in hours:
        rule = rules[hour.offtake_id]
        if rule is not None:
            capacity += rule.capacity_eur_per_kwh * hour.promised_kwh
            shortfall += rule.shortfall_eur_per_kwh * hour.shortfall_kwh
    return {
        "electricity": float(spot @ kwh["it"]),
        "heat_pump": float(spot @ kwh["heat_pump"]) + start_cost_eur(world),
        "rejection": float(spot @ kwh["rejection"]),
        "network": truth.adder_eur_per_kwh * float(sum(part.sum() for part in kwh.values())),
        "heat_revenue": tank_deficit_eur(world) - revenue_eur(world),
        "capacity_payment": -capacity,
        "shortfall": shortfall,
    }


def start_cost_eur(world: World) -> float:
    """Wear of every start of a heat pump."""
    return sum(
        plug.heat_pump.start_cost_eur * sum(world.record.plugs[plug.plug_id].pump_starts)
        for plug in world.site.plugs
        if plug.heat_pump is not None
    )


def revenue_eur(world: World) -> float:
    """Heat sold at the tariff of its slot."""
    slot_h, slots = h_from_s(world.clockwork.slot_s), world.record.slots
    return sum(
        float(column(sold) @ world.truth.heat_eur_per_kwh[name][:slots]) * slot_h for name, sold in world.record.sold_kw.items()
    )


def tank_deficit_eur(world: World) -> float:
    """Heat that a tank holds less at the end than at the start, at the highest tariff of the window."""
    slots, total = world.record.slots, 0.0
    for plug in world.site.plugs:
        if plug.tank is None or not plug.tank.end_at_least_initial or not slots:
            continue
        missing = plug.tank.initial_fraction * plug.tank.capacity_kwh - world.plants[plug.plug_id].memory.tank_kwh
        mine = [one.offtake_id for one in world.site.offtakes if one.plug_id == plug.plug_id]
        dearest = max((float(world.truth.heat_eur_per_kwh[name][:slots].max()) for name in mine), default=0.0)
        total += max(0.0, missing) * dearest
    return total


def shadow_eur(jobs: list[VirtualJob]) -> dict[str, float]:
    """The shadow terms of the jobs; unfinished or unstarted ones cannot be scored and must not exist."""
    waiting = lateness = preemption = slowdown = 0.0
    for job in jobs:
        price, gpus = job.job_class, job.gpus
        start_s, end_s = job.first_start_s or 0.0, job.end_s or 0.0
        waiting += price.waiting_eur_per_gpu_h * gpus * h_from_s(start_s - job.submit_s + job.paused_s)
        if job.due_s is not None:
            lateness += price.lateness_eur_per_gpu_h * gpus * h_from_s(max(0.0, end_s - job.due_s))
        preemption += price.value_eur_per_gpu_h * gpus * h_from_s(job.redone_s)
        slowdown += price.value_eur_per_gpu_h * gpus * h_from_s(max(0.0, job.ran_s - job.work_s - job.redone_s))
    return {"waiting": waiting, "lateness": lateness, "preemption": preemption, "slowdown": slowdown}


def carbon_eur(world: World, kwh: dict[str, FloatArray]) -> float:
    """Shadow price of the carbon of all electricity."""
    return float(world.truth.carbon_eur_per_kwh[: world.record.slots] @ sum(kwh.values(), np.zeros(world.record.slots)))


def energy_totals(world: World, kwh: dict[str, FloatArray]) -> dict[str, float]:
    """Energy and carbon of the run."""
    slot_h, record, slots = h_from_s(world.clockwork.slot_s), world.record, world.record.slots
    total = sum(kwh.values(), np.zeros(slots))
    return {
        "electricity_kwh": float(total.sum()),
        "heat_captured_kwh": sum(sum(one.captured_kw) for one in record.plugs.values()) * slot_h,
        "heat_recovered_kwh": sum(sum(one.recovered_kw) for one in record.plugs.values()) * slot_h,
        "heat_sold_kwh": sum(sum(sold) for sold in record.sold_kw.values()) * slot_h,
        "heat_rejected_kwh": sum(sum(one.rejected_kw) + sum(one.dumped_kw) for one in record.plugs.values()) * slot_h,
        "co2_kg": kg_from_g(float(world.truth.carbon_g_per_kwh[:slots] @ total)),
    }


def job_numbers(jobs: list[VirtualJob]) -> dict[str, float]:
    """How the jobs fared; waits are hours between submit and first start."""
    waits = [h_from_s(job.first_start_s - job.submit_s) for job in jobs if job.first_start_s is not None]
    done = [job for job in jobs if job.end_s is not None]
    return {
        "completed": len(done),
        "unfinished": len(jobs) - len(done),
        "deadline_misses": sum(1 for job in done if job.due_s is not None and (job.end_s or 0.0) > job.due_s),
        "wait_h_mean": float(np.mean(waits)) if waits else 0.0,
        "wait_h_p95": float(np.quantile(waits, 0.95)) if waits else 0.0,
        "preemptions": sum(job.preemptions for job in jobs),
    }


def binding_share(world: World) -> dict[str, float | None]:
    """Share of slots in which demand, pump or plug, tank (full or empty) and GPUs are at their limit; None without a tank."""
    record, near = world.record, 1e-3
    slots = max(1, record.slots)
    demand = np.zeros(record.slots, dtype=bool)
    for name, sold in record.sold_kw.items():
        demand |= column(sold) >= column(record.demand_kw[name]) - near
    pump, tank = np.zeros(record.slots, dtype=bool), np.zeros(record.slots, dtype=bool)
    for plug in world.site.plugs:
        one = record.plugs[plug.plug_id]
        pump |= column(one.delivered_kw) >= world.plants[plug.plug_id].model.rated_heat_kw - near
        if plug.tank is not None:
            level = column(one.tank_kwh)
            tank |= (level >= plug.tank.capacity_kwh - near) | (level <= plug.tank.min_kwh + near)
    gpus = column(record.gpus_busy) >= column(record.gpus_working) - near
    return {
        "demand": float(demand.sum()) / slots,
        "heat_pump": float(pump.sum()) / slots,
        "tank": None if all(plug.tank is None for plug in world.site.plugs) else float(tank.sum()) / slots,
        "gpus": float(gpus.sum()) / slots,
    }


def check_score(log: InvariantLog, world: World, cost: dict[str, float], kwh: dict[str, FloatArray]) -> None:
    """Terms add up; meters agree with what the jobs have used."""
    log.equal(sum(cost[term] for term in TERMS), cost["total"], "cost terms")
    slot_h = h_from_s(world.clockwork.slot_s)
    used_gpu_h = sum(job.gpus * h_from_s(job.ran_s) for job in world.cluster.jobs.values())
    log.equal(sum(world.record.gpus_busy) * slot_h, used_gpu_h, "GPU-hours of meters and jobs")
    log.check(all(bool(np.all(part >= -1e-9)) for part in kwh.values()), "negative electricity")
    for job in world.cluster.jobs.values():
        if job.end_s is not None:
            log.at_most(job.work_s, job.ran_s + 1e-3, f"{job.job_id}: ended before its work was done")


def record_series(record: Record) -> dict[str, FloatArray]:
    """Columns for plots, one value per slot."""
    slots = record.slots
    zero = np.zeros(slots)
    return {
        "it_kw": column(record.it_kw),
        "gpus_busy": column(record.gpus_busy),
        "sold_kw": sum((column(sold) for sold in record.sold_kw.values()), zero),
        "tank_kwh": sum((column(one.tank_kwh) for one in record.plugs.values()), zero),
        "captured_kw": sum((column(one.captured_kw) for one in record.plugs.values()), zero),
    }
