"""The last look at a plan before anyone acts on it: every promise of the model, checked against the raw problem alone.

Nothing is imported from the model. A violation is a sentence; an empty tuple means that the plan may be used. Every elastic
row may be broken by as much as the plan itself admits in a named slack, and by no more.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scheduler.core.planning.recount import (
    Loads,
    captured_kw,
    delivered_per_recovered,
    flow_terms,
    it_kw,
    loads_of,
    of_plug,
    pump_kw_el,
    site_kw,
    step_hours,
    step_means,
    work_done_s,
    work_needed_s,
)
from scheduler.domain.plan import Plan, PlannedJob, PlugFlows, RunOption
from scheduler.domain.problem import PlanJob, PlanPlug, PlanProblem
from scheduler.domain.time import FloatArray

# Solver tolerances: 1e-6 on scaled rows and weights.
WEIGHT_TOLERANCE = 1e-5
RELATIVE = 1e-6
LEAST_KW = 1e-3
LEAST_EUR = 1e-4
# Seconds of work that rounding of the last slot may lose.
WORK_TOLERANCE_S = 1.0


def check_plan(problem: PlanProblem, plan: Plan) -> tuple[str, ...]:
    """Return every violation of the problem by the plan, in words; empty when there is none.

    Args:
        problem: what was to be planned.
        plan: what was planned, fresh or rule-based, on the same grid.
    """
    shape = tuple(_shape(problem, plan))
    if shape:
        return shape
    loads = loads_of(problem, plan.jobs)
    return (
        *_jobs(problem, plan),
        *_capacity(problem, plan, loads),
        *(text for index in range(len(problem.plugs)) for text in _plug(problem, plan, index, loads)),
        *_sale(problem, plan),
        *_site(problem, plan, loads),
        *_costs(problem, plan, loads),
    )


def _shape(problem: PlanProblem, plan: Plan) -> Iterator[str]:
    """Same grid, same jobs, same plugs and customers, finite numbers: without these nothing else can be read."""
    if (plan.grid, tuple(plan.step_slots)) != (problem.grid, tuple(problem.step_slots)):
        yield "the plan is on another grid than the problem"
    known, planned = [job.job_id for job in problem.jobs], [job.job_id for job in plan.jobs]
    if sorted(known) != sorted(planned):
        yield f"jobs differ: {sorted(set(known) ^ set(planned)) or 'one is planned twice'}"
    if [flows.plug_id for flows in plan.flows] != [plug.plug_id for plug in problem.plugs]:
        yield "plugs differ"
    if set(plan.sold_kw) != {offtake.offtake_id for offtake in problem.offtakes}:
        yield "customers differ"
    arrays = [plan.it_kw, *plan.sold_kw.values(), *(getattr(flows, name) for flows in plan.flows for name in _FLOW_FIELDS)]
    steps = len(problem.step_slots)
    if any(array.shape != (steps,) or not bool(np.isfinite(array).all()) for array in arrays):
        yield "a flow has the wrong length or is not a number"
    for option in (option for job in plan.jobs for option in job.options):
        if (
            not 0 <= option.pool < len(problem.pools)
            or not 0 <= option.start_slot < problem.grid.slots
            or not len(option.points)
        ):
            yield "a run has no pool, no slot or no length"


_FLOW_FIELDS = tuple(name for name in PlugFlows.__dataclass_fields__ if name != "plug_id")


def _slack(plan: Plan, family: str) -> float:
    """What the plan admits to break in one family, in the slack's own unit."""
    return sum(slack.amount for slack in plan.slacks if family in slack.name)


def _worst(name: str, excess: FloatArray, allowed: float = LEAST_KW) -> Iterator[str]:
    """One sentence for the worst entry of an array of excesses."""
    if excess.size and float(excess.max()) > allowed:
        at = int(np.unravel_index(int(excess.argmax()), excess.shape)[-1])
        yield f"{name}: {float(excess.max()):.6g} too much at {at}"


# --- jobs


def _jobs(problem: PlanProblem, plan: Plan) -> Iterator[str]:
    """Every job once, in its pools, in its time, with its work done."""
    jobs = {job.job_id: job for job in problem.jobs}
    for planned in plan.jobs:
        job = jobs[planned.job_id]
        yield from _weights(problem, job, planned)
        for option in planned.options:
            yield from _run(problem, job, planned, option)
        if job.running_pool is not None:
            yield from _running(job, planned)
        elif planned.stopped:
            yield f"{job.job_id} is stopped but does not run"
        elif not any(job.job_id in slack.name for slack in plan.slacks):
            yield from _latest_start(job, planned)


def _weights(problem: PlanProblem, job: PlanJob, planned: PlannedJob) -> Iterator[str]:
    """Weights add up to 1 with the unplaced part; what begins in the commit window is one whole decision."""
    total = sum(option.weight for option in planned.options) + planned.unplaced_fraction
    if abs(total - 1.0) > WEIGHT_TOLERANCE:
        yield f"{job.job_id}: its parts add up to {total:.6f}"
    if any(option.weight < -WEIGHT_TOLERANCE for option in planned.options) or planned.unplaced_fraction < -WEIGHT_TOLERANCE:
        yield f"{job.job_id}: a negative part"
    early = [option for option in planned.options if option.start_slot < problem.commit_slots]
    if any(abs(option.weight - 1.0) > WEIGHT_TOLERANCE for option in early):
        yield f"{job.job_id}: a start inside the commit window is not decided"


def _run(problem: PlanProblem, job: PlanJob, planned: PlannedJob, option: RunOption) -> Iterator[str]:
    """Pool, release, latest start, points and work of one run."""
    allowed = (job.running_pool,) if job.running_pool is not None else job.pools
    if option.pool not in allowed:
        yield f"{job.job_id}: runs on pool {option.pool}, which it may not use"
    if option.start_slot < job.release_slot:
        yield f"{job.job_id}: starts before its release"
    points = np.asarray(option.points)
    if int(points.min()) < 0 or int(points.max()) >= len(job.points):
        yield f"{job.job_id}: a cap level it does not have"
        return
    if not 0.0 < option.last_slot_fraction <= 1.0 + 1e-9:
        yield f"{job.job_id}: last slot used for {option.last_slot_fraction:.3f} of it"
    done, needed = work_done_s(problem, job, option), work_needed_s(job, planned)
    if abs(done - needed) > WORK_TOLERANCE_S + RELATIVE * needed:
        yield f"{job.job_id}: {done:.0f} s of work planned, {needed:.0f} s needed"


def _latest_start(job: PlanJob, planned: PlannedJob) -> Iterator[str]:
    """A hold ends at the hard latest start; one that lies before the release means "as soon as it fits"."""
    latest = job.latest_start_slot
    if latest is not None and latest >= job.release_slot:
        late = [option.start_slot for option in planned.options if option.start_slot > latest]
        if late:
            yield f"{job.job_id}: starts in slot {max(late)}, its latest start is {latest}"


def _running(job: PlanJob, planned: PlannedJob) -> Iterator[str]:
    """A running job goes on at once, or is stopped when its class allows it and its minimum run time is over."""
    goes_on = sum(option.weight for option in planned.options if option.start_slot == 0)
    if planned.stopped:
        if not job.stoppable or job.stop_slot > 0:
            yield f"{job.job_id}: is stopped although it may not be"
        if goes_on > WEIGHT_TOLERANCE:
            yield f"{job.job_id}: is stopped and goes on"
    elif goes_on < 1.0 - WEIGHT_TOLERANCE:
        yield f"{job.job_id}: runs now, but the plan neither goes on with it nor stops it"


# --- pools, plant, site


def _capacity(problem: PlanProblem, plan: Plan, loads: Loads) -> Iterator[str]:
    """GPUs held <= GPUs free: in every slot of the commit window, and as a mean over each later step."""
    free = np.array([pool.gpus_free for pool in problem.pools]).reshape(loads.gpus.shape)
    excess = np.maximum(0.0, loads.gpus - free)
    per_step = np.maximum(0.0, step_means(problem, loads.gpus) - step_means(problem, free))
    starts = np.cumsum(problem.step_slots) - problem.step_slots
    late = starts >= problem.commit_slots
    broken_gpu_h = float(excess[:, : problem.commit_slots].sum()) * problem.grid.slot_h
    broken_gpu_h += float((per_step * step_hours(problem))[:, late].sum())
    admitted = _slack(plan, "capacity")
    if broken_gpu_h > admitted * (1 + RELATIVE) + 1e-3:
        yield f"GPUs: {broken_gpu_h:.4f} GPU-h more than there are, {admitted:.4f} admitted"


def _plug(problem: PlanProblem, plan: Plan, index: int, loads: Loads) -> Iterator[str]:
    """Heat of one plug is conserved and stays inside pump, tank, ramp and dry cooler."""
    plug, flows = problem.plugs[index], plan.flows[index]
    name = plug.plug_id
    caught = of_plug(problem, index, step_means(problem, captured_kw(problem, loads)))
    size = max(1.0, float(np.abs(caught).max(initial=0.0)))
    near = LEAST_KW + RELATIVE * 10 * size
    sold = sum((plan.sold_kw[one.offtake_id] for one in problem.offtakes if one.plug == index), np.zeros(len(caught)))
    sums = {
        "captured is not what the runs give": flows.captured_kw - caught,
        "captured = recovered + rejected": flows.captured_kw - flows.recovered_kw - flows.rejected_kw,
        "delivered = recovered * COP / (COP - 1)": flows.delivered_kw
        - flows.recovered_kw * delivered_per_recovered(plug, problem),
        "pump power = delivered / COP": flows.pump_kw_el - pump_kw_el(plug, problem, flows.delivered_kw),
    }
    for what, difference in sums.items():
        yield from _worst(f"{name}: {what}", np.abs(difference), near)
    lost = flows.delivered_kw + flows.discharge_kw - sold - flows.charge_kw - flows.dumped_kw
    least = np.minimum(plug.pipe_loss_kw, flows.delivered_kw)
    yield from _worst(f"{name}: more heat sold, stored and dumped than delivered less the pipe's loss", least - lost, near)
    yield from _worst(f"{name}: heat is lost beyond the pipe's loss", lost - plug.pipe_loss_kw, near)
    rated = step_means(problem, plug.rated_heat_kw)
    yield from _worst(f"{name}: delivered above the rating", flows.delivered_kw - rated, near)
    for field in _FLOW_FIELDS:
        yield from _worst(f"{name}: {field} below zero", -getattr(flows, field), near)
    yield from _tank(problem, plug, flows, near)
    yield from _pump(problem, plug, flows, near)
    yield from _ramp(problem, plan, plug, flows)
    if plug.rejection_max_kw is not None:
        over = np.maximum(0.0, flows.rejected_kw + flows.dumped_kw - plug.rejection_max_kw)
        yield from _admitted(problem, plan, f"{name}: dry cooler", over, "rejection")


def _admitted(problem: PlanProblem, plan: Plan, what: str, over_kw: FloatArray, family: str) -> Iterator[str]:
    """Energy above a limit must be admitted by a slack."""
    broken_kwh = float((np.maximum(0.0, over_kw) * step_hours(problem)).sum())
    admitted = _slack(plan, family)
    if broken_kwh > admitted * (1 + 1e-4) + 1e-2:
        yield f"{what}: {broken_kwh:.4f} kWh over the limit, {admitted:.4f} admitted"


def _tank(problem: PlanProblem, plug: PlanPlug, flows: PlugFlows, near: float) -> Iterator[str]:
    """Level = level before * (1 - loss)^h + (charge - discharge - fixed loss) * h, within bounds; charge and discharge too.

    A tank cannot lose what it does not hold, and one that starts or falls below its minimum may not be discharged.
    """
    hours = step_hours(problem)
    before = np.concatenate([[plug.tank_level_kwh], flows.tank_kwh[:-1]])
    kept = before * (1.0 - plug.tank_loss_per_h_fraction) ** hours - plug.tank_fixed_loss_kw * hours
    after = np.maximum(0.0, kept) + (flows.charge_kw - flows.discharge_kw) * hours
    floor = np.minimum(plug.tank_min_kwh, np.maximum(0.0, kept))
    near_kwh = near + RELATIVE * 10 * plug.tank_capacity_kwh
    yield from _worst(f"{plug.plug_id}: tank level does not follow its flows", np.abs(after - flows.tank_kwh), near_kwh)
    yield from _worst(f"{plug.plug_id}: tank overfull", flows.tank_kwh - plug.tank_capacity_kwh, near_kwh)
    yield from _worst(f"{plug.plug_id}: tank below its minimum", floor - flows.tank_kwh, near_kwh)
    yield from _worst(f"{plug.plug_id}: charges too fast", flows.charge_kw - plug.max_charge_kw, near)
    yield from _worst(f"{plug.plug_id}: discharges too fast", flows.discharge_kw - plug.max_discharge_kw, near)


def _pump(problem: PlanProblem, plug: PlanPlug, flows: PlugFlows, near: float) -> Iterator[str]:
    """A heat pump is off or above its minimum load in the commit window (later, on and off may be mixed inside a step)."""
    if plug.cop is None or plug.min_load_fraction <= 0.0:
        return
    starts = np.cumsum(problem.step_slots) - problem.step_slots
    now = starts < problem.commit_slots
    least = plug.min_load_fraction * step_means(problem, plug.rated_heat_kw)
    between = np.minimum(flows.delivered_kw, least - flows.delivered_kw)
    yield from _worst(f"{plug.plug_id}: heat pump between off and its minimum load", between[now], near)


def _ramp(problem: PlanProblem, plan: Plan, plug: PlanPlug, flows: PlugFlows) -> Iterator[str]:
    """Delivered heat rises by at most ramp * h from step to step; nothing holds back a fall."""
    if plug.ramp_kw_per_h is None:
        return
    first = flows.delivered_kw[:1] if plug.delivered_kw is None else np.array([plug.delivered_kw])
    moved = np.diff(np.concatenate([first, flows.delivered_kw]))
    yield from _admitted(problem, plan, f"{plug.plug_id}: ramp", moved - plug.ramp_kw_per_h * step_hours(problem), "ramp")


def _sale(problem: PlanProblem, plan: Plan) -> Iterator[str]:
    """0 <= sold <= demand."""
    for offtake in problem.offtakes:
        sold, demand = plan.sold_kw[offtake.offtake_id], step_means(problem, offtake.demand_kw)
        near = LEAST_KW + RELATIVE * 10 * float(demand.max(initial=0.0))
        yield from _worst(f"{offtake.offtake_id}: sold above demand", sold - demand, near)
        yield from _worst(f"{offtake.offtake_id}: sold below zero", -sold, near)


def _site(problem: PlanProblem, plan: Plan, loads: Loads) -> Iterator[str]:
    """Import <= site limit, and the reported IT power is that of the runs."""
    it = step_means(problem, it_kw(problem, loads).sum(axis=0))
    yield from _worst(
        "IT power is not what the runs draw", np.abs(plan.it_kw - it), LEAST_KW + RELATIVE * 10 * float(it.max(initial=0))
    )
    over = site_kw(problem, plan, loads) - step_means(problem, problem.site_limit_kw)
    yield from _admitted(problem, plan, "site limit", over, "site")


# --- money


def _costs(problem: PlanProblem, plan: Plan, loads: Loads) -> Iterator[str]:
    """Terms recounted from the raw problem, their sum against the objective, the bound under it."""
    size = max(1.0, sum(abs(value) for value in plan.cost_eur.values()))
    near = LEAST_EUR + RELATIVE * size
    for term, value in flow_terms(problem, plan, loads).items():
        if abs(plan.cost_eur.get(term, 0.0) - value) > near:
            yield f"{term}: {plan.cost_eur.get(term, 0.0):.6f} EUR stated, {value:.6f} EUR recounted"
    total = sum(plan.cost_eur.values())
    if abs(total - plan.report.objective_eur) > near:
        yield f"the terms add up to {total:.6f} EUR, the objective is {plan.report.objective_eur:.6f}"
    if plan.report.bound_eur > plan.report.objective_eur + near:
        yield f"the bound {plan.report.bound_eur:.6f} lies above the objective {plan.report.objective_eur:.6f}"
