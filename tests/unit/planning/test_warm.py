"""What the plan of hundreds of jobs hands on to the next solve: prices of its bound, runs of its relaxation's basis."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from scheduler.adapters.record.codec import decode, encode
from scheduler.core.planning import solve as solving
from scheduler.core.planning.checker import check_plan
from scheduler.core.planning.fallback import shift_plan
from scheduler.core.planning.instances import instance, perturbed
from scheduler.core.planning.pricing import Pricing
from scheduler.core.planning.warm import handed_on, last_runs, shifted_prices
from scheduler.domain.plan import Plan, WarmStart
from scheduler.domain.problem import PlanProblem
from scheduler.domain.settings import SolveBudget

JOBS, SEED = 60, 3
BUDGET = SolveBudget(bundle_steps=40, master_rounds=2, dive_batches=20, mip_nodes=0)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """A plan that was found as those of hundreds of jobs are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solving, "SMALL", JOBS - 1)
        return solving.solve(instance(JOBS, SEED), BUDGET)


@pytest.fixture(scope="module")
def later() -> PlanProblem:
    return perturbed(instance(JOBS, SEED), SEED)


def warm_of(plan: Plan) -> WarmStart:
    assert plan.warm is not None
    return plan.warm


def places(plan: Plan, problem: PlanProblem) -> set[tuple[str, int, int]]:
    """Job, start and pool of the runs that a solve would begin with."""
    pricing = Pricing(problem)
    columns = last_runs(plan, problem, pricing, pricing.prices(np.zeros(2 * pricing.shape[0] * pricing.shape[1])))
    jobs = (problem.jobs[job].job_id for job in columns.job.tolist())
    return set(zip(jobs, columns.start.tolist(), columns.pool.tolist(), strict=True))


def handed(warm: WarmStart) -> set[tuple[str, int, int]]:
    return set(zip(warm.job_ids, warm.start_slot.tolist(), warm.pool.tolist(), strict=True))


def planned(plan: Plan) -> set[tuple[str, int, int]]:
    return {(job.job_id, run.start_slot, run.pool) for job in plan.jobs for run in job.options}


def test_a_solve_begins_with_the_runs_of_the_plan_and_with_those_it_hands_on(plan: Plan, later: PlanProblem) -> None:
    warm, here = warm_of(plan), {job.job_id for job in later.jobs}
    assert len(handed(warm) - planned(plan)) > 10
    assert places(plan, later) == {one for one in handed(warm) | planned(plan) if one[0] in here}
    assert places(replace(plan, warm=None), later) == {one for one in planned(plan) if one[0] in here}


def test_what_is_handed_on_is_what_the_relaxation_uses() -> None:
    pricing = Pricing(instance(JOBS, SEED))
    prices = pricing.prices(np.full(2 * pricing.shape[0] * pricing.shape[1], 0.02))
    columns = pricing.columns(prices, 2)
    used = np.arange(columns.count) % 3 == 0
    duals = solving.solve(pricing.problem, BUDGET).duals
    warm = handed_on(pricing.problem, duals, columns, used)
    index = np.nonzero(used)[0].tolist()
    assert [*zip(warm.job_ids, warm.start_slot.tolist(), warm.pool.tolist(), strict=True)] == [
        (pricing.problem.jobs[columns.job[one]].job_id, int(columns.start[one]), int(columns.pool[one])) for one in index
    ]


def test_runs_of_unknown_jobs_and_pools_are_left_out_and_late_starts_too(plan: Plan, later: PlanProblem) -> None:
    job_id = next(job.job_id for job in later.jobs if job.running_pool is None)
    wrong = WarmStart(
        duals=plan.duals,
        job_ids=("gone", job_id, job_id),
        start_slot=np.array([0, 0, 10_000]),
        pool=np.array([0, len(later.pools), 0]),
    )
    assert places(replace(plan, warm=wrong), later) == places(replace(plan, warm=None), later)


def test_prices_handed_on_come_before_those_of_the_plan(plan: Plan, later: PlanProblem) -> None:
    pricing, warm = Pricing(later), warm_of(plan)
    told = replace(plan, warm=replace(warm, duals=replace(plan.duals, gpu_eur_per_gpu_h=plan.duals.gpu_eur_per_gpu_h + 1.0)))
    mine, first = shifted_prices(told, later, pricing), shifted_prices(replace(plan, warm=None), later, pricing)
    assert mine is not None
    assert first is not None
    assert mine.gpu_eur_per_gpu_h == pytest.approx(first.gpu_eur_per_gpu_h + 1.0)
    assert mine.draw_eur_per_kwh == pytest.approx(first.draw_eur_per_kwh)


def test_after_a_plan_that_hands_on_there_is_no_bundle(plan: Plan, later: PlanProblem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solving, "SMALL", JOBS - 1)
    found = solving.solve(later, BUDGET, last=plan)
    without = solving.solve(later, BUDGET, last=replace(plan, warm=None))
    assert not check_plan(later, found)
    assert (found.report.bundle_steps, without.report.bundle_steps > 0) == (0, True)
    assert found.warm is not None
    assert 0.0 <= found.report.rolling_gap < without.report.rolling_gap + 0.01


def test_few_jobs_hand_nothing_on_and_neither_does_a_plan_that_has_moved(plan: Plan) -> None:
    assert solving.solve(instance(JOBS, SEED), BUDGET).warm is None
    assert shift_plan(plan, 0).warm is plan.warm
    assert shift_plan(plan, 3).warm is None


def test_it_outlives_a_file(plan: Plan) -> None:
    found = warm_of(decode(Plan, json.loads(json.dumps(encode(Plan, plan), allow_nan=False))))
    assert handed(found) == handed(warm_of(plan))
    assert np.array_equal(found.duals.draw_eur_per_kwh, warm_of(plan).duals.draw_eur_per_kwh)
