"""What a plan does and costs, recounted from the raw problem: the second opinion behind the checker and the rule-based plan.

Nothing here is shared with the optimising model. Units: kW, kWh, EUR, hours; arrays over pools, slots or steps as named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scheduler.domain.plan import Plan, PlannedJob, RunOption
from scheduler.domain.problem import PlanJob, PlanPlug, PlanProblem
from scheduler.domain.time import FloatArray, IntArray
from scheduler.units import h_from_s, kw_from_w

# A heat pump below this is off, kW.
OFF_KW = 1e-6
# Share of the price of lateness that is charged on the q95 of the run time (docs/formulation.md).
TAIL_SHARE = 0.1
# A start after the end of a hold costs, per hour, the price of lateness but at least this many times that of waiting.
OVERDUE_WAITING = 10.0
# ... and at least this much per GPU: the end of a hold is hard even for a job that nobody put a price on.
OVERDUE_EUR_PER_GPU_H = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loads:
    """What the planned runs put on the pools inside the horizon, shape (pools, slots).

    gpus: GPUs held; a run holds its GPUs through its whole last slot. draw_kw: mean GPU draw above idle.
    """

    gpus: FloatArray
    draw_kw: FloatArray


def step_means(problem: PlanProblem, per_slot: FloatArray) -> FloatArray:
    """Mean over the slots of each step, along the last axis."""
    starts = np.concatenate([[0], np.cumsum(problem.step_slots)[:-1]])
    means: FloatArray = np.add.reduceat(per_slot, starts, axis=-1) / problem.step_slots
    return means


def step_hours(problem: PlanProblem) -> FloatArray:
    """Length of each step in hours."""
    return np.asarray(problem.step_slots * problem.grid.slot_h, dtype=np.float64)


def slot_shares(option: RunOption) -> FloatArray:
    """Part of each slot of a run in which it runs: 1, and `last_slot_fraction` in the last."""
    shares = np.ones(len(option.points))
    shares[-1:] = option.last_slot_fraction
    return shares


def speeds(job: PlanJob, option: RunOption) -> FloatArray:
    """Relative speed in each slot of a run."""
    return np.array([point.speed for point in job.points])[option.points]


def draws_kw(problem: PlanProblem, job: PlanJob, option: RunOption) -> FloatArray:
    """GPU draw above idle while the run runs, kW in each of its slots."""
    idle_w = problem.pools[option.pool].idle_w
    levels = np.array([kw_from_w(job.gpus * (point.draw_w - idle_w)) for point in job.points])
    return levels[option.points]


def work_done_s(problem: PlanProblem, job: PlanJob, option: RunOption) -> float:
    """Seconds of uncapped running that a run amounts to: sum of share * speed * slot."""
    return float((slot_shares(option) * speeds(job, option)).sum()) * problem.grid.slot_s


def work_needed_s(job: PlanJob, planned: PlannedJob) -> float:
    """Work left, plus what a stop makes it do again."""
    return job.work_s + (job.resume_work_s if planned.stopped else 0.0)


def run_end_s(problem: PlanProblem, option: RunOption) -> float:
    """End of a run in seconds from the grid's start."""
    return (option.end_slot - 1 + option.last_slot_fraction) * problem.grid.slot_s


def runs(problem: PlanProblem, planned_jobs: tuple[PlannedJob, ...]) -> Iterator[tuple[PlanJob, PlannedJob, RunOption]]:
    """Every option of every planned job beside its job."""
    jobs = {job.job_id: job for job in problem.jobs}
    for planned in planned_jobs:
        for option in planned.options:
            yield jobs[planned.job_id], planned, option


def loads_of(problem: PlanProblem, planned_jobs: tuple[PlannedJob, ...]) -> Loads:
    """Add up the runs, each with its weight."""
    shape = (len(problem.pools), problem.grid.slots)
    gpus, draw_kw = np.zeros(shape), np.zeros(shape)
    for job, _, option in runs(problem, planned_jobs):
        end = min(option.end_slot, problem.grid.slots)
        inside = slice(option.start_slot, end)
        gpus[option.pool, inside] += option.weight * job.gpus
        load = slot_shares(option) * draws_kw(problem, job, option)
        draw_kw[option.pool, inside] += option.weight * load[: max(0, end - option.start_slot)]
    return Loads(gpus=gpus, draw_kw=draw_kw)


def it_kw(problem: PlanProblem, loads: Loads) -> FloatArray:
    """IT power per pool and slot: base plus node kW per kW of extra draw."""
    base = np.array([pool.base_it_kw for pool in problem.pools]).reshape(loads.draw_kw.shape)
    slope = np.array([pool.it_kw_per_draw_kw for pool in problem.pools])
    total: FloatArray = base + slope[:, None] * loads.draw_kw
    return total


def captured_kw(problem: PlanProblem, loads: Loads) -> FloatArray:
    """Heat caught per pool and slot."""
    base = np.array([pool.base_captured_kw for pool in problem.pools]).reshape(loads.draw_kw.shape)
    slope = np.array([pool.captured_kw_per_draw_kw for pool in problem.pools])
    total: FloatArray = base + slope[:, None] * loads.draw_kw
    return total


def of_plug(problem: PlanProblem, plug: int, per_pool: FloatArray) -> FloatArray:
    """Sum of the rows of the pools on one plug."""
    rows = [index for index, pool in enumerate(problem.pools) if pool.plug == plug]
    total: FloatArray = per_pool[rows].sum(axis=0)
    return total


def delivered_per_recovered(plug: PlanPlug, problem: PlanProblem) -> FloatArray:
    """COP / (COP - 1) with a heat pump, 1 without, per step."""
    if plug.cop is None:
        return np.ones(len(problem.step_slots))
    cop = step_means(problem, plug.cop)
    ratio: FloatArray = cop / (cop - 1.0)
    return ratio


def pump_kw_el(plug: PlanPlug, problem: PlanProblem, delivered_kw: FloatArray) -> FloatArray:
    """Electricity of the heat pump per step: delivered / COP."""
    if plug.cop is None:
        return np.zeros(len(problem.step_slots))
    power: FloatArray = delivered_kw / step_means(problem, plug.cop)
    return power


def cooling_kw_el(problem: PlanProblem, plan: Plan, loads: Loads) -> FloatArray:
    """Electricity of dry coolers (heat not recovered, heat dumped) and of cooling the room, all plugs, per step."""
    it, captured = it_kw(problem, loads), captured_kw(problem, loads)
    total = np.zeros(len(problem.step_slots))
    for index, (plug, flows) in enumerate(zip(problem.plugs, plan.flows, strict=True)):
        caught = step_means(problem, of_plug(problem, index, captured))
        room = step_means(problem, of_plug(problem, index, it)) - caught
        total += plug.rejection_kw_per_kw * (caught - flows.recovered_kw + flows.dumped_kw) + plug.room_kw_per_kw * room
    return total


def pumps_kw_el(problem: PlanProblem, plan: Plan) -> FloatArray:
    """Electricity of all heat pumps per step."""
    pairs = zip(problem.plugs, plan.flows, strict=True)
    return sum((pump_kw_el(plug, problem, flows.delivered_kw) for plug, flows in pairs), np.zeros(len(problem.step_slots)))


def site_kw(problem: PlanProblem, plan: Plan, loads: Loads) -> FloatArray:
    """Import of the whole site per step: IT with overhead, heat pumps, coolers."""
    it = step_means(problem, it_kw(problem, loads).sum(axis=0))
    return (1.0 + problem.overhead_fraction) * it + pumps_kw_el(problem, plan) + cooling_kw_el(problem, plan, loads)


def job_terms(problem: PlanProblem, job: PlanJob, planned: PlannedJob) -> dict[str, float]:
    """Waiting, lateness, overdue hold, slowdown, preemption and unplaced cost of one job, each option by its weight.

    waiting: from release (or, for a stopped job, from now) to the start. overdue: from the end of the hold to the start.
    slowdown: hours of running beyond the work it does.
    """
    terms = dict.fromkeys(("waiting", "lateness", "overdue", "slowdown", "preemption", "unplaced"), 0.0)
    slot_h = problem.grid.slot_h
    for option in planned.options:
        weight = option.weight
        terms["waiting"] += weight * job.waiting_eur_per_h * max(0, option.start_slot - job.release_slot) * slot_h
        terms["lateness"] += weight * lateness_eur(job, run_end_s(problem, option))
        terms["overdue"] += weight * overdue_eur_per_h(job) * overdue_slots(job, option.start_slot) * slot_h
        run_h = float(slot_shares(option).sum()) * slot_h
        terms["slowdown"] += weight * job.slowdown_eur_per_h * max(0.0, run_h - h_from_s(job.work_s))
        if job.running_pool is not None and option.start_slot > 0:
            terms["preemption"] += weight * job.preemption_eur
    terms["unplaced"] = planned.unplaced_fraction * job.unplaced_eur
    return terms


def lateness_eur(job: PlanJob, end_s: float) -> float:
    """Price of an end: 90 % on the expected end, 10 % on the end at the q95 of the work."""
    if job.due_s is None:
        return 0.0
    late_s, tail_s = end_s - job.due_s, max(0.0, job.tail_work_s - job.work_s)
    expected_h, tail_h = h_from_s(max(0.0, late_s)), h_from_s(max(0.0, late_s + tail_s))
    return job.lateness_eur_per_h * ((1.0 - TAIL_SHARE) * expected_h + TAIL_SHARE * tail_h)


def overdue_eur_per_h(job: PlanJob) -> float:
    """Price of an hour after the end of a hold."""
    return max(job.lateness_eur_per_h, OVERDUE_WAITING * job.waiting_eur_per_h, OVERDUE_EUR_PER_GPU_H * job.gpus)


def overdue_slots(job: PlanJob, start_slot: int) -> int:
    """Slots between the end of a job's hold (its release, when that is later) and a start."""
    if job.latest_start_slot is None or job.running_pool is not None:
        return 0
    return max(0, start_slot - max(job.latest_start_slot, job.release_slot))


def tail_energy_eur(problem: PlanProblem, job: PlanJob, option: RunOption) -> float:
    """Electricity of the part of a run that lies past the horizon, at the all-in tail price."""
    first = problem.grid.slots - option.start_slot
    if first >= len(option.points):
        return 0.0
    load = (slot_shares(option) * draws_kw(problem, job, option))[max(0, first) :]
    index = np.arange(len(load)) + max(0, -first)
    price = tail_prices(problem, int(index[-1]) + 1)[index]
    slope = problem.pools[option.pool].it_kw_per_draw_kw * (1.0 + problem.overhead_fraction)
    return float((load * price).sum()) * problem.grid.slot_h * slope


def tail_prices(problem: PlanProblem, slots: int) -> FloatArray:
    """All-in price of the first slots after the horizon; the last known value goes on."""
    known = problem.tail_eur_per_kwh
    if not len(known):
        known = (problem.spot_eur_per_kwh + problem.adder_eur_per_kwh + problem.carbon_eur_per_kwh)[-1:]
    prices: FloatArray = known[np.minimum(np.arange(slots), len(known) - 1)]
    return prices


def kw_el_per_draw_kw(problem: PlanProblem, pool: int) -> float:
    """Electric kW per kW of extra draw when its heat is rejected: host slope, overhead, room and dry cooler."""
    caught, slope = problem.pools[pool].captured_kw_per_draw_kw, problem.pools[pool].it_kw_per_draw_kw
    plug = problem.plugs[problem.pools[pool].plug]
    return (
        (1.0 + problem.overhead_fraction) * slope + plug.room_kw_per_kw * (slope - caught) + plug.rejection_kw_per_kw * caught
    )


def energy_prices(problem: PlanProblem) -> dict[str, FloatArray]:
    """Parts of the electricity price by the term they are booked under, EUR/kWh per slot."""
    return {"spot": problem.spot_eur_per_kwh, "network": problem.adder_eur_per_kwh, "carbon": problem.carbon_eur_per_kwh}


def electricity_terms(problem: PlanProblem, plan: Plan, loads: Loads) -> dict[str, float]:
    """Electricity, heat pump, rejection at spot; the adder on all of it as network; the shadow price of its carbon."""
    hours, slot_h = step_hours(problem), problem.grid.slot_h
    it = (1.0 + problem.overhead_fraction) * it_kw(problem, loads).sum(axis=0)
    pumps, cooling = pumps_kw_el(problem, plan), cooling_kw_el(problem, plan, loads)
    by_price = {
        name: (
            float((it * price).sum()) * slot_h,
            float((pumps * hours * step_means(problem, price)).sum()),
            float((cooling * hours * step_means(problem, price)).sum()),
        )
        for name, price in energy_prices(problem).items()
    }
    tail = sum(option.weight * tail_energy_eur(problem, job, option) for job, _, option in runs(problem, plan.jobs))
    electricity, heat_pump, rejection = by_price["spot"]
    return {
        "electricity": electricity + tail,
        "heat_pump": heat_pump,
        "rejection": rejection,
        "network": sum(by_price["network"]),
        "carbon": sum(by_price["carbon"]),
    }


def heat_revenue_eur(problem: PlanProblem, plan: Plan) -> float:
    """What the customers pay, as a negative cost."""
    hours = step_hours(problem)
    return -sum(
        float((plan.sold_kw[offtake.offtake_id] * hours * step_means(problem, offtake.price_eur_per_kwh)).sum())
        for offtake in problem.offtakes
    )


def shortfalls_kwh(problem: PlanProblem, plan: Plan) -> list[float]:
    """Promised and not sold, per commitment; a step that a window only touches counts by the slots inside it."""
    starts = np.concatenate([[0], np.cumsum(problem.step_slots)])
    missing = []
    for promise in problem.commitments:
        inside = np.clip(np.minimum(starts[1:], promise.end_slot) - np.maximum(starts[:-1], promise.start_slot), 0, None)
        sold = plan.sold_kw[problem.offtakes[promise.offtake].offtake_id]
        missing.append(max(0.0, promise.required_kwh - float((sold * inside).sum()) * problem.grid.slot_h))
    return missing


def flow_terms(problem: PlanProblem, plan: Plan, loads: Loads) -> dict[str, float]:
    """Cost terms that follow from runs and flows alone, EUR."""
    jobs = {job.job_id: job for job in problem.jobs}
    terms = electricity_terms(problem, plan, loads)
    terms["heat_revenue"] = heat_revenue_eur(problem, plan)
    prices = [promise.shortfall_eur_per_kwh for promise in problem.commitments]
    terms["shortfall"] = sum(price * kwh for price, kwh in zip(prices, shortfalls_kwh(problem, plan), strict=True))
    peak_kw = max(0.0, float(site_kw(problem, plan, loads).max(initial=0.0)) - problem.peak_kw)
    terms["demand_charge"] = problem.demand_charge_eur_per_kw * peak_kw
    for planned in plan.jobs:
        for term, value in job_terms(problem, jobs[planned.job_id], planned).items():
            terms[term] = terms.get(term, 0.0) + value
    return terms


def cost_terms(problem: PlanProblem, plan: Plan, loads: Loads) -> dict[str, float]:
    """All cost terms of a plan whose heat pumps are on or off in every step, EUR."""
    terms = flow_terms(problem, plan, loads)
    terms["pump_start"] = sum(
        plug.start_cost_eur * _starts(plug, flows.delivered_kw)
        for plug, flows in zip(problem.plugs, plan.flows, strict=True)
        if plug.cop is not None
    )
    terms["tank_end"] = -sum(
        plug.tank_end_value_eur_per_kwh * float(flows.tank_kwh[-1])
        for plug, flows in zip(problem.plugs, plan.flows, strict=True)
        if len(flows.tank_kwh)
    )
    terms["slack"] = sum(slack.cost_eur for slack in plan.slacks)
    return terms


def _starts(plug: PlanPlug, delivered_kw: FloatArray) -> int:
    """Times a heat pump goes on."""
    on = np.concatenate([[plug.pump_on], delivered_kw > OFF_KW])
    return int((on[1:] & ~on[:-1]).sum())


class Room:
    """GPUs that are free, (pools, slots), and from when on a gang fits among them; not to be changed while this is asked."""

    def __init__(self, free: FloatArray) -> None:
        """Look at free GPUs."""
        self._free, self._slots = free, np.arange(free.shape[1])
        self._short: dict[tuple[int, int], IntArray] = {}

    def earliest_fit(self, job: PlanJob, slots: int) -> tuple[int, int] | None:
        """First slot, and the pool, in which a gang fits for its whole run; None when there is none inside the horizon."""
        horizon, best = len(self._slots), None
        starts = self._slots[job.release_slot :]
        ends = np.minimum(starts + slots, horizon)
        for pool in job.pools:
            short = self._slots_short(pool, job.gpus)
            fits = np.flatnonzero(short[ends] == short[starts])
            if len(fits) and (best is None or int(starts[fits[0]]) < best[0]):
                best = (int(starts[fits[0]]), pool)
        return best

    def _slots_short(self, pool: int, gpus: int) -> IntArray:
        """Slots before each in which a pool has too few GPUs for a gang; there are few sizes of gangs."""
        if (pool, gpus) not in self._short:
            self._short[pool, gpus] = np.concatenate([[0], np.cumsum(self._free[pool] < gpus - 1e-9)])
        return self._short[pool, gpus]
