"""A solution of the master as a plan: runs, flows, costs by term, slacks, prices.

The weights are cleaned first; then the plant answers to exactly the load of the cleaned runs, so that heat, power and money of
the plan belong to its runs to the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scheduler.core.planning.aggregate import Dispatch, Envelope, Fixed, Loads, Prices
from scheduler.core.planning.columns import Columns
from scheduler.core.planning.frame import Frame
from scheduler.core.planning.oracle import Oracle
from scheduler.core.planning.plant_families import PlantVars, PlugVars, Scale
from scheduler.core.planning.recount import Loads as RunLoads
from scheduler.core.planning.recount import (
    captured_kw,
    delivered_per_recovered,
    flow_terms,
    it_kw,
    loads_of,
    of_plug,
    pump_kw_el,
    step_means,
)
from scheduler.domain.plan import Duals, Plan, PlannedJob, PlanStatus, PlugFlows, Slack, SolveReport
from scheduler.domain.problem import PlanProblem
from scheduler.domain.time import FloatArray, IntArray

# Parts of a job smaller than this are dropped, the rest is scaled up.
LEAST_WEIGHT = 1e-6
LEAST_SLACK = 1e-6
PLAN_ID_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mix:
    """What the master decided: columns, their weights, unplaced shares."""

    columns: Columns
    weight: FloatArray
    unplaced: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """The plant's answer: its columns' values, where they are, and their scale."""

    values: FloatArray
    vars: PlantVars
    scale: Scale

    def of(self, index: IntArray) -> FloatArray:
        """Values in kW or kWh."""
        found: FloatArray = self.values[index] * self.scale.kw
        return found


def clean(mix: Mix) -> Mix:
    """Drop dust and make the parts of every job add up to one."""
    weight = np.where(mix.weight > LEAST_WEIGHT, mix.weight, 0.0)
    unplaced = np.where(mix.unplaced > LEAST_WEIGHT, mix.unplaced, 0.0)
    total = np.bincount(mix.columns.job, weights=weight, minlength=len(unplaced)) + unplaced
    total = np.where(total > 0.0, total, 1.0)
    return Mix(columns=mix.columns, weight=weight / total[mix.columns.job], unplaced=unplaced / total)


def planned_jobs(problem: PlanProblem, mix: Mix) -> tuple[PlannedJob, ...]:
    """Runs by job, the earliest first."""
    columns = mix.columns
    chosen = np.nonzero(mix.weight > 0.0)[0]
    order = chosen[np.lexsort((columns.start[chosen], columns.job[chosen]))]
    first = np.searchsorted(columns.job[order], np.arange(len(problem.jobs) + 1))
    found = []
    for index, job in enumerate(problem.jobs):
        mine = order[first[index] : first[index + 1]]
        options = tuple(columns.option(int(column), float(mix.weight[column])) for column in mine)
        goes_on = any(option.start_slot == 0 for option in options)
        found.append(
            PlannedJob(
                job_id=job.job_id,
                options=options,
                stopped=job.running_pool is not None and not goes_on,
                unplaced_fraction=float(mix.unplaced[index]),
            )
        )
    return tuple(found)


class Extractor:
    """Turns mixes of one problem into plans."""

    def __init__(self, problem: PlanProblem, oracle: Oracle, envelope: Envelope, digest: str) -> None:
        """Build the dispatch LP once."""
        self.problem = problem
        self.frame: Frame = oracle.frame
        self.oracle = oracle
        self.digest = digest
        self.dispatch = Dispatch(problem, self.frame, envelope)

    def plan(self, mix: Mix, prices: Prices, report: SolveReport, pumps: Fixed | None = None) -> Plan:
        """Write a plan.

        Args:
            mix: decisions.
            prices: prices of the relaxation, for explanations and for jobs that come between cycles.
            report: how it was found; its objective is replaced by the recounted one.
            pumps: pump states to keep (columns of the plant, values); None lets the LP relax them.
        """
        problem = self.problem
        mix = clean(mix)
        jobs = planned_jobs(problem, mix)
        loads = loads_of(problem, jobs)
        answer = self._answer(Loads(gpus=self.frame.mean(loads.gpus), draw_kw=self.frame.mean(loads.draw_kw)), pumps)
        flows = tuple(self._flows(index, plug, answer, loads) for index, plug in enumerate(answer.vars.plugs))
        sold = {one.offtake_id: answer.of(answer.vars.sold[index]) for index, one in enumerate(problem.offtakes)}
        plan = Plan(
            plan_id=f"plan-{self.digest[:PLAN_ID_LENGTH]}",
            input_digest=self.digest,
            grid=problem.grid,
            step_slots=problem.step_slots,
            commit_slots=problem.commit_slots,
            status=PlanStatus.FRESH,
            jobs=jobs,
            flows=flows,
            sold_kw={name: np.clip(kw, 0.0, None) for name, kw in sold.items()},
            it_kw=step_means(problem, it_kw(problem, loads).sum(axis=0)),
            cost_eur={},
            report=report,
            duals=self.duals(prices),
            slacks=tuple(slack for slack in self._slacks(answer) if slack.amount > LEAST_SLACK) + late_starts(problem, jobs),
        )
        return self._with_costs(plan, answer, loads)

    def _answer(self, loads: Loads, pumps: Fixed | None) -> Answer:
        """Dispatch the plant; states that cannot be kept at these loads are let go."""
        found = self.dispatch.cost(loads, pumps)
        return Answer(values=found[1], vars=self.dispatch.vars, scale=self.dispatch.scale)

    def _flows(self, index: int, plug: PlugVars, answer: Answer, loads: RunLoads) -> PlugFlows:
        """Heat of one plug."""
        problem = self.problem
        one = problem.plugs[index]
        steps = self.frame.steps
        captured = of_plug(problem, index, step_means(problem, captured_kw(problem, loads)))
        delivered = np.clip(answer.of(plug.delivered), 0.0, None)
        recovered = np.minimum(delivered / delivered_per_recovered(one, problem), captured)
        stored = len(plug.level) > 0
        none = np.zeros(steps)
        return PlugFlows(
            plug_id=one.plug_id,
            captured_kw=captured,
            recovered_kw=recovered,
            delivered_kw=delivered,
            pump_kw_el=pump_kw_el(one, problem, delivered),
            charge_kw=np.clip(answer.of(plug.charge), 0.0, None) if stored else none,
            discharge_kw=np.clip(answer.of(plug.discharge), 0.0, None) if stored else none,
            tank_kwh=np.clip(answer.of(plug.level), 0.0, None) if stored else none,
            dumped_kw=np.clip(answer.of(plug.dumped), 0.0, None),
            rejected_kw=np.clip(captured - recovered, 0.0, None),
        )

    def duals(self, prices: Prices) -> Duals:
        """Prices per slot; draw with its own electricity."""
        frame = self.frame
        own = self.oracle.lanes.own_eur_per_kwh[:, : frame.slots]
        return Duals(
            start_utc=self.problem.grid.start_utc,
            slot_s=self.problem.grid.slot_s,
            gpu_eur_per_gpu_h=frame.spread(prices.gpu_eur_per_gpu_h),
            draw_eur_per_kwh=own + frame.spread(prices.draw_eur_per_kwh),
        )

    def _with_costs(self, plan: Plan, answer: Answer, loads: RunLoads) -> Plan:
        """Costs by term, recounted; pump starts as the model counts them, mixed steps included."""
        problem = self.problem
        terms = flow_terms(problem, plan, loads)
        starts = [
            one.start_cost_eur * float(answer.values[plug.start].sum())
            for one, plug in zip(problem.plugs, answer.vars.plugs, strict=True)
            if len(plug.start)
        ]
        terms["pump_start"] = sum(starts)
        terms["tank_end"] = -sum(
            one.tank_end_value_eur_per_kwh * float(flows.tank_kwh[-1])
            for one, flows in zip(problem.plugs, plan.flows, strict=True)
            if len(flows.tank_kwh)
        )
        terms["slack"] = sum(slack.cost_eur for slack in plan.slacks)
        report = replace(plan.report, objective_eur=sum(terms.values()))
        return replace(plan, cost_eur=terms, report=report)

    def _slacks(self, answer: Answer) -> list[Slack]:
        """Everything that had to give way, with its size and price."""
        problem, frame, price = self.problem, self.frame, self.problem.penalties
        found: list[Slack] = []
        for index, pool in enumerate(problem.pools):
            over = float((answer.values[answer.vars.over[index]] * answer.scale.gpus * frame.hours).sum())
            found.append(_slack(f"capacity|{pool.pool_id}", over, "GPU-h", price.capacity_eur_per_gpu_h))
        for plug, parts in zip(problem.plugs, answer.vars.plugs, strict=True):
            for name, index_, eur, energy in (
                ("rejection", parts.rejection_slack, price.rejection_eur_per_kwh, True),
                ("ramp", parts.ramp_slack, price.ramp_eur_per_kwh, True),
                ("pipe", parts.pipe_slack, price.ramp_eur_per_kwh, True),
                ("tank_floor", parts.floor_slack, price.tank_end_eur_per_kwh, False),
                ("tank_end", parts.end_slack, price.tank_end_eur_per_kwh, False),
            ):
                amount = answer.of(index_)
                if len(index_):
                    held = np.broadcast_to(frame.hours, amount.shape) if energy else np.ones(amount.shape)
                    found.append(_slack(f"{name}|{plug.plug_id}", float((amount * held).sum()), "kWh", eur))
        if len(answer.vars.site_slack):
            limited = np.isfinite(frame.mean(problem.site_limit_kw))
            kwh = float((answer.of(answer.vars.site_slack) * frame.hours[limited]).sum())
            found.append(_slack("site", kwh, "kWh", price.site_eur_per_kwh))
        return found


def late_starts(problem: PlanProblem, jobs: tuple[PlannedJob, ...]) -> tuple[Slack, ...]:
    """Jobs for which there was no room before the end of their hold; what it costs is in their terms."""
    found = []
    for job, planned in zip(problem.jobs, jobs, strict=True):
        latest = job.latest_start_slot
        if latest is None or latest < job.release_slot or not planned.options or job.running_pool is not None:
            continue
        late_h = max(0, max(option.start_slot for option in planned.options) - latest) * problem.grid.slot_h
        if late_h > 0.0:
            found.append(_slack(f"latest_start|{job.job_id}", late_h, "h", 0.0))
    return tuple(found)


def _slack(name: str, amount: float, unit: str, eur_per_unit: float) -> Slack:
    """A broken wish at its price."""
    return Slack(name=name, amount=amount, unit=unit, cost_eur=amount * eur_per_unit)
