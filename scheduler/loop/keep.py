"""When a plan may stay in force because nothing that matters has changed: a year of backtest need not solve every hour anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.core.planning.expected import is_expected
from scheduler.core.planning.work import Work
from scheduler.domain.plan import Plan, PlannedJob, PlanStatus
from scheduler.domain.problem import PlanProblem
from scheduler.domain.settings import Settings
from scheduler.domain.time import FloatArray


def basis_of(problem: PlanProblem) -> FloatArray:
    """What a plan rests on, (rows, slots): all-in price, demand and tariff of each customer, free GPUs of each pool."""
    rows = [problem.spot_eur_per_kwh + problem.adder_eur_per_kwh + problem.carbon_eur_per_kwh]
    rows += [offtake.demand_kw for offtake in problem.offtakes]
    rows += [offtake.price_eur_per_kwh for offtake in problem.offtakes]
    rows += [pool.gpus_free for pool in problem.pools]
    return np.stack([np.asarray(row, dtype=np.float64) for row in rows])


def may_keep(last: Plan, problem: PlanProblem, works: Sequence[Work], settings: Settings) -> bool:
    """True when the last plan still holds: good, in its commit window, jobs as it expects them, inputs within tolerance.

    Relative change of a row = largest absolute difference over the shared slots / mean absolute value of the old row.
    """
    elapsed = last.grid.slot_of(problem.grid.start_utc)
    if settings.replan_tolerance <= 0.0 or last.status is not PlanStatus.FRESH or last.basis is None:
        return False
    window = max(1, settings.cycle_s // settings.slot_s)
    if last.grid.slot_s != problem.grid.slot_s or elapsed < 0 or elapsed + window > last.commit_slots:
        return False
    basis = basis_of(problem)
    if basis.shape != last.basis.shape or not _as_expected(last, works, elapsed):
        return False
    shared = basis.shape[1] - elapsed
    old, new = last.basis[:, elapsed:], basis[:, :shared]
    scale = np.maximum(np.mean(np.abs(old), axis=1), 1e-9)
    return bool(np.all(np.max(np.abs(new - old), axis=1) <= settings.replan_tolerance * scale))


def _as_expected(last: Plan, works: Sequence[Work], elapsed: int) -> bool:
    """True when exactly the jobs are there that the plan expects now, running where it says so and waiting where it says so."""
    planned = {job.job_id: job for job in last.jobs if not is_expected(job.job_id)}
    present = {work.state.job.job_id: work for work in works}
    if not present.keys() <= planned.keys():
        return False
    for job_id, job in planned.items():
        work = present.get(job_id)
        if work is None and not _ended(job, elapsed):
            return False
        if work is not None and work.running != _runs(job, elapsed):
            return False
    return True


def _ended(job: PlannedJob, elapsed: int) -> bool:
    """True when the plan has the job end by now."""
    return job.main is not None and job.main.end_slot <= elapsed


def _runs(job: PlannedJob, elapsed: int) -> bool:
    """True when the plan has the job running just before now."""
    return job.main is not None and job.main.start_slot < elapsed < job.main.end_slot
