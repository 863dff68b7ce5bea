"""A plan as plain JSON: what `heat-dispatch plan --json` writes and the plan page draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from scheduler.domain.action import Action, HoldJob, SetCap, StartJob, StopJob
from scheduler.domain.plan import Plan, PlannedJob, RunOption
from scheduler.domain.problem import PlanJob, PlanProblem
from scheduler.domain.time import FloatArray, TimeGrid
from scheduler.units import KWH_PER_MWH


def plan_report(plan: Plan, problem: PlanProblem, actions: Sequence[Action], class_of: Mapping[str, str]) -> dict[str, Any]:
    """Everything a reader wants of one plan; `class_of` maps job ids to class names."""
    jobs = {job.job_id: job for job in problem.jobs}
    report = plan.report
    return {
        "plan_id": plan.plan_id,
        "input_digest": plan.input_digest,
        "start_utc": iso(plan.grid.start_utc),
        "slot_s": plan.grid.slot_s,
        "slots": plan.grid.slots,
        "status": plan.status.value,
        "degraded_reason": plan.degraded_reason,
        "report": {
            "method": report.method,
            "objective_eur": report.objective_eur,
            "bound_eur": finite_or_none(report.bound_eur),
            "rolling_gap": finite_or_none(report.rolling_gap),
            "rounded_gap": report.rounded_gap,
            "stage_s": {name: round(seconds, 4) for name, seconds in report.stage_s.items()},
            "clock_bit": report.clock_bit,
        },
        "cost_eur": {name: round(value, 4) for name, value in plan.cost_eur.items()},
        "counts": counts(actions),
        "series": plan_series(plan, problem),
        "jobs": [planned_row(plan, planned, jobs[planned.job_id], class_of) for planned in plan.jobs if planned.job_id in jobs],
        "explanations": [
            {
                "job_id": one.job_id,
                "reason": one.reason.value,
                "text": one.text,
                "start_utc": iso_or_none(one.start_utc),
                "latest_start_utc": iso_or_none(one.latest_start_utc),
                "saves_eur": round(one.saves_eur, 6),
                "may_move": one.may_move,
            }
            for one in plan.explanations
        ],
        "slacks": [{"name": one.name, "amount": one.amount, "unit": one.unit, "cost_eur": one.cost_eur} for one in plan.slacks],
    }


def counts(actions: Sequence[Action]) -> dict[str, int]:
    """How many jobs each lever touches; a job capped twice counts once."""
    return {
        "start": len({one.job_id for one in actions if isinstance(one, StartJob)}),
        "hold": len({one.job_id for one in actions if isinstance(one, HoldJob)}),
        "stop": len({one.job_id for one in actions if isinstance(one, StopJob)}),
        "capped": len({one.job_id for one in actions if isinstance(one, SetCap)}),
    }


def plan_series(plan: Plan, problem: PlanProblem) -> dict[str, Any]:
    """Step means of price, demand, sale, firm, IT power and the tank's level at the end of each step."""
    price = problem.spot_eur_per_kwh + problem.adder_eur_per_kwh + problem.carbon_eur_per_kwh
    demand = sum((offtake.demand_kw for offtake in problem.offtakes), np.zeros(problem.grid.slots))
    firm = np.zeros(problem.grid.slots)
    for promise in problem.commitments:
        hours = (promise.end_slot - promise.start_slot) * problem.grid.slot_h
        firm[promise.start_slot : promise.end_slot] += promise.required_kwh / hours if hours > 0 else 0.0
    zero = np.zeros(len(plan.step_slots))
    return {
        "time_utc": [iso(plan.grid.time_of(int(slot))) for slot in plan.step_start],
        "price_eur_per_mwh": rounded(step_mean(price, plan) * KWH_PER_MWH),
        "demand_kw": rounded(step_mean(demand, plan)),
        "firm_kw": rounded(step_mean(firm, plan)),
        "sold_kw": rounded(sum(plan.sold_kw.values(), zero)),
        "it_kw": rounded(plan.it_kw),
        "tank_kwh": rounded(sum((flows.tank_kwh for flows in plan.flows), zero)),
    }


def step_mean(values: FloatArray, plan: Plan) -> FloatArray:
    """Means of slot values over the plan's steps, shape [steps]."""
    return np.asarray(np.add.reduceat(values, plan.step_start) / plan.step_slots, dtype=np.float64)


def planned_row(plan: Plan, planned: PlannedJob, job: PlanJob, class_of: Mapping[str, str]) -> dict[str, Any]:
    """One job of the Gantt: its most likely run as stretches of one cap level."""
    main = planned.main
    return {
        "job_id": job.job_id,
        "class_name": class_of.get(job.job_id, ""),
        "gpus": job.gpus,
        "running": job.running_pool is not None,
        "stopped": planned.stopped,
        "decided": planned.decided,
        "segments": segments(main, job, plan.grid) if main else [],
    }


def segments(option: RunOption, job: PlanJob, grid: TimeGrid) -> list[dict[str, Any]]:
    """Stretches of equal cap level of one run."""
    points = np.asarray(option.points)
    cuts = [0, *(np.flatnonzero(np.diff(points)) + 1).tolist(), len(points)]
    tail_s = timedelta(seconds=(1.0 - option.last_slot_fraction) * grid.slot_s)
    out: list[dict[str, Any]] = []
    for first, after in zip(cuts[:-1], cuts[1:], strict=True):
        end = grid.time_of(option.start_slot + after) - (tail_s if after == len(points) else timedelta(0))
        level = job.points[int(points[first])].level
        out.append({"start_utc": iso(grid.time_of(option.start_slot + first)), "end_utc": iso(end), "level": level})
    return out


def rounded(values: FloatArray, digits: int = 3) -> list[float]:
    """Plain floats, rounded for people."""
    return [round(float(value), digits) for value in values]


def finite_or_none(value: float) -> float | None:
    """A number, or None where nothing was proven (a plan by rule has no bound)."""
    return value if math.isfinite(value) else None


def iso(at: datetime) -> str:
    """UTC instant with Z."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_or_none(at: datetime | None) -> str | None:
    """UTC instant with Z, or None."""
    return None if at is None else iso(at)
