"""Plans without a solver, in the order of descent: the last plan shifted, the rule-based plan, let go.

The rule-based plan starts every flexible job as soon as it fits, in the order of release and latest start, at full power; an
earlier job is never delayed by a later one (backfilling with reservations). The plant follows `plant_rule`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scheduler.core.planning.plant_rule import plant_by_rule
from scheduler.core.planning.recount import (
    Loads,
    Room,
    cost_terms,
    it_kw,
    kw_el_per_draw_kw,
    loads_of,
    site_kw,
    step_hours,
    step_means,
)
from scheduler.domain.plan import Duals, Plan, PlannedJob, PlanStatus, PlugFlows, RunOption, Slack, SolveReport
from scheduler.domain.problem import PlanJob, PlanProblem
from scheduler.domain.time import FloatArray, IntArray, TimeGrid

NO_BOUND = -float("inf")
PLAN_ID_LENGTH = 12


def rule_plan(problem: PlanProblem, *, digest: str, reason: str = "") -> Plan:
    """Plan by rules alone; always succeeds.

    Args:
        problem: what is to be planned.
        digest: digest of the problem.
        reason: why there is no better plan.

    Returns:
        A plan with status RULE_BASED, costs by term, no bound (minus infinity) and no plan for caps.
    """
    return _plan(problem, first_come(problem), PlanStatus.RULE_BASED, digest, reason)


def let_go(problem: PlanProblem, *, digest: str, reason: str = "") -> Plan:
    """The last step down: every flexible job starts as if nobody held it, no heat is delivered and none is offered."""
    quiet = replace(problem, offtakes=tuple(replace(one, demand_kw=np.zeros_like(one.demand_kw)) for one in problem.offtakes))
    still = replace(
        quiet, plugs=tuple(replace(plug, rated_heat_kw=np.zeros_like(plug.rated_heat_kw)) for plug in problem.plugs)
    )
    return _plan(still, first_come(problem), PlanStatus.LET_GO, digest, reason)


def first_come(problem: PlanProblem) -> tuple[PlannedJob, ...]:
    """Running jobs go on; the others take the earliest slot at which they fit for their whole run, in order."""
    free = np.array([pool.gpus_free for pool in problem.pools]).reshape(len(problem.pools), problem.grid.slots).copy()
    found: dict[str, PlannedJob] = {}
    order = sorted(problem.jobs, key=lambda job: (job.running_pool is None, job.release_slot, _urgency(job), job.job_id))
    for job in order:
        found[job.job_id] = _place(problem, job, free)
    return tuple(found[job.job_id] for job in problem.jobs)


def _urgency(job: PlanJob) -> float:
    """Slot of the latest start; jobs without one come last."""
    return float("inf") if job.latest_start_slot is None else float(job.latest_start_slot)


def _place(problem: PlanProblem, job: PlanJob, free: FloatArray) -> PlannedJob:
    """One job at full power; takes its GPUs out of `free`."""
    length = job.work_s / (job.points[0].speed * problem.grid.slot_s)
    slots = max(1, int(np.ceil(length - 1e-9)))
    spot = (0, job.running_pool) if job.running_pool is not None else Room(free).earliest_fit(job, slots)
    if spot is None:
        return PlannedJob(job_id=job.job_id, options=(), unplaced_fraction=1.0)
    start, pool = spot
    free[pool, start : start + slots] -= job.gpus
    option = RunOption(
        start_slot=start,
        pool=pool,
        points=np.zeros(slots, dtype=np.int64),
        last_slot_fraction=min(1.0, max(1e-9, length - (slots - 1))),
    )
    return PlannedJob(job_id=job.job_id, options=(option,))


def _plan(problem: PlanProblem, jobs: tuple[PlannedJob, ...], status: PlanStatus, digest: str, reason: str) -> Plan:
    """Dress job decisions as a plan: plant by rule, costs, slacks, prices."""
    loads = loads_of(problem, jobs)
    flows, sold = plant_by_rule(problem, loads)
    bare = Plan(
        plan_id=f"{status.value}-{digest[:PLAN_ID_LENGTH]}",
        input_digest=digest,
        grid=problem.grid,
        step_slots=problem.step_slots,
        commit_slots=problem.commit_slots,
        status=status,
        jobs=jobs,
        flows=flows,
        sold_kw=sold,
        it_kw=step_means(problem, it_kw(problem, loads).sum(axis=0)),
        cost_eur={},
        report=SolveReport(method="rules", objective_eur=0.0, bound_eur=NO_BOUND, rolling_gap=float("inf")),
        duals=_market_duals(problem),
        degraded_reason=reason,
    )
    with_slacks = replace(bare, slacks=_slacks(problem, bare, loads))
    terms = cost_terms(problem, with_slacks, loads)
    return replace(with_slacks, cost_eur=terms, report=replace(bare.report, objective_eur=sum(terms.values())))


def _market_duals(problem: PlanProblem) -> Duals:
    """Prices without a plan: GPUs are free, draw costs its electricity with the heat rejected."""
    price = problem.spot_eur_per_kwh + problem.adder_eur_per_kwh + problem.carbon_eur_per_kwh
    factor = np.array([kw_el_per_draw_kw(problem, pool) for pool in range(len(problem.pools))])
    return Duals(
        start_utc=problem.grid.start_utc,
        slot_s=problem.grid.slot_s,
        gpu_eur_per_gpu_h=np.zeros((len(problem.pools), problem.grid.slots)),
        draw_eur_per_kwh=factor[:, None] * price,
    )


def _slacks(problem: PlanProblem, plan: Plan, loads: Loads) -> tuple[Slack, ...]:
    """What the rules break: lost GPUs under running jobs, the site limit, a full dry cooler, a tank that ends too low."""
    hours, price = step_hours(problem), problem.penalties
    found: list[Slack] = []
    for index, pool in enumerate(problem.pools):
        over = float(np.maximum(0.0, loads.gpus[index] - pool.gpus_free).sum()) * problem.grid.slot_h
        found.append(_slack(f"capacity|{pool.pool_id}", over, "GPU-h", price.capacity_eur_per_gpu_h))
    over_kw = np.maximum(0.0, site_kw(problem, plan, loads) - step_means(problem, problem.site_limit_kw))
    found.append(_slack("site", float((over_kw * hours).sum()), "kWh", price.site_eur_per_kwh))
    for plug, flows in zip(problem.plugs, plan.flows, strict=True):
        if plug.rejection_max_kw is not None:
            full = np.maximum(0.0, flows.rejected_kw + flows.dumped_kw - plug.rejection_max_kw)
            found.append(_slack(f"rejection|{plug.plug_id}", float((full * hours).sum()), "kWh", price.rejection_eur_per_kwh))
        low = max(0.0, plug.tank_end_kwh - float(flows.tank_kwh[-1])) if len(flows.tank_kwh) else 0.0
        found.append(_slack(f"tank_end|{plug.plug_id}", low, "kWh", price.tank_end_eur_per_kwh))
    found.extend(_late_starts(problem, plan))
    return tuple(slack for slack in found if slack.amount > 1e-6)


def _late_starts(problem: PlanProblem, plan: Plan) -> list[Slack]:
    """Jobs for which there was no room before their hard latest start; what it costs is in their lateness."""
    found = []
    for job, planned in zip(problem.jobs, plan.jobs, strict=True):
        latest, run = job.latest_start_slot, planned.main
        if latest is not None and latest >= job.release_slot and run is not None and run.start_slot > latest:
            found.append(_slack(f"latest_start|{job.job_id}", (run.start_slot - latest) * problem.grid.slot_h, "h", 0.0))
    return found


def _slack(name: str, amount: float, unit: str, eur_per_unit: float) -> Slack:
    """A broken wish at its price."""
    return Slack(name=name, amount=amount, unit=unit, cost_eur=amount * eur_per_unit)


def shift_plan(previous: Plan, elapsed_slots: int, *, reason: str = "") -> Plan:
    """The last plan, `elapsed_slots` later, on a grid that begins then: what was planned goes on, the end is held.

    Runs that have begun go on with the rest of their profile, finished ones drop out, announced starts come nearer. Flows
    and prices move up; their last value fills the end. Costs are those of the old plan. What it hands on beside goes.
    """
    if elapsed_slots <= 0:
        return replace(previous, status=PlanStatus.LAST_GOOD, degraded_reason=reason)
    grid = TimeGrid(start_utc=previous.grid.time_of(elapsed_slots), slot_s=previous.grid.slot_s, slots=previous.grid.slots)
    steps = previous.step_slots
    return replace(
        previous,
        grid=grid,
        status=PlanStatus.LAST_GOOD,
        jobs=tuple(job for old in previous.jobs if (job := _shifted_job(old, elapsed_slots)) is not None),
        flows=tuple(_shifted_flows(flows, steps, elapsed_slots) for flows in previous.flows),
        sold_kw={name: _shifted(kw, steps, elapsed_slots) for name, kw in previous.sold_kw.items()},
        it_kw=_shifted(previous.it_kw, steps, elapsed_slots),
        duals=replace(
            previous.duals,
            start_utc=grid.start_utc,
            gpu_eur_per_gpu_h=_moved(previous.duals.gpu_eur_per_gpu_h, elapsed_slots),
            draw_eur_per_kwh=_moved(previous.duals.draw_eur_per_kwh, elapsed_slots),
        ),
        explanations=(),
        degraded_reason=reason,
        warm=None,
    )


def _shifted_job(job: PlannedJob, elapsed: int) -> PlannedJob | None:
    """A job's runs on the new grid; None when all of it is over."""
    options = tuple(option for old in job.options if (option := _shifted_run(old, elapsed)) is not None)
    if job.options and not options:
        return None
    return replace(job, options=options, stopped=False)


def _shifted_run(option: RunOption, elapsed: int) -> RunOption | None:
    """One run on the new grid, its past cut off."""
    past = max(0, elapsed - option.start_slot)
    if past >= len(option.points):
        return None
    return replace(option, start_slot=max(0, option.start_slot - elapsed), points=option.points[past:])


def _shifted(per_step: FloatArray, step_slots: IntArray, elapsed: int) -> FloatArray:
    """Step means on the same steps, `elapsed` slots later; the last value is held."""
    moved = _moved(np.repeat(per_step, step_slots), elapsed)
    starts = np.cumsum(step_slots) - step_slots
    means: FloatArray = np.add.reduceat(moved, starts) / step_slots
    return means


def _moved(per_slot: FloatArray, elapsed: int) -> FloatArray:
    """Slot values moved up along the last axis; the last value is held."""
    slots = per_slot.shape[-1]
    moved: FloatArray = per_slot[..., np.minimum(np.arange(slots) + elapsed, slots - 1)]
    return moved


def _shifted_flows(flows: PlugFlows, step_slots: IntArray, elapsed: int) -> PlugFlows:
    """Flows of one plug on the new grid."""
    names = [name for name in PlugFlows.__dataclass_fields__ if name != "plug_id"]
    return PlugFlows(plug_id=flows.plug_id, **{name: _shifted(getattr(flows, name), step_slots, elapsed) for name in names})
