"""Small jobs in a crowd: what they answer adds up, the relaxation loses next to nothing, and every job gets its runs."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from scheduler.core.planning import sizes as size_of_jobs
from scheduler.core.planning import solve as solving
from scheduler.core.planning.aggregate import Prices
from scheduler.core.planning.bundle import maximise
from scheduler.core.planning.checker import check_plan
from scheduler.core.planning.crowd import Crowd
from scheduler.core.planning.crowd_relax import relax_crowd
from scheduler.core.planning.incumbent import first_come_columns
from scheduler.core.planning.instances import instance, perturbed
from scheduler.core.planning.master import Aside, Master, Skeleton, early, skeleton
from scheduler.core.planning.pricing import Pricing
from scheduler.core.planning.sizes import SMALL_SIZE
from scheduler.core.planning.wide_relax import Steering
from scheduler.domain.plan import Plan
from scheduler.domain.settings import SolveBudget

JOBS, SEED = 90, 3
BUDGET = SolveBudget(bundle_steps=40, dive_batches=60, mip_nodes=0)


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take ninety jobs for thousands."""
    for module, name in ((size_of_jobs, "HOT_JOBS"), (solving, "HOT_JOBS"), (solving, "SMALL")):
        monkeypatch.setattr(module, name, JOBS // 3)


@pytest.fixture
def pricing() -> Pricing:
    return Pricing(instance(JOBS, SEED))


def flat(pricing: Pricing, eur_per_gpu_h: float) -> Prices:
    """The same price of GPUs everywhere."""
    return Prices(gpu_eur_per_gpu_h=np.full(pricing.shape, eur_per_gpu_h), draw_eur_per_kwh=np.zeros(pricing.shape))


def frames(pricing: Pricing, aside: Aside | None, *, by_change: bool = False) -> Skeleton:
    return skeleton(pricing.problem, pricing.frame, pricing.table, pricing.envelope, aside=aside, by_change=by_change)


def steering() -> Steering:
    return Steering(rounds=4, target_gap=0.004, brake=lambda: False, stage=lambda _: None)


def test_an_answer_is_the_cheapest_run_of_every_small_job(pricing: Pricing) -> None:
    runs = pricing.columns(flat(pricing, 0.02), 3)
    crowd = Crowd(pricing, runs, flat(pricing, 0.02))
    found = crowd.aside()
    assert (found.jobs == (size_of_jobs.sizes(pricing.table) >= SMALL_SIZE)).all()
    assert 10 < found.jobs.sum() < JOBS
    # By hand: job by job the run that costs least with its GPUs at two cents an hour.
    hours, eur, gpu_h = pricing.frame.hours, 0.0, 0.0
    for job in np.nonzero(found.jobs)[0]:
        best: tuple[float, float, float] | None = None
        for run in np.nonzero(runs.job == job)[0]:
            at = slice(runs.load_first[run], runs.load_first[run + 1])
            held = float(runs.load_gpus[at] @ hours[runs.load_step[at]])
            option = (float(runs.cost[run]) + 0.02 * held, float(runs.cost[run]), held)
            best = option if best is None or option[0] < best[0] - 1e-9 else best
        assert best is not None
        eur, gpu_h = eur + best[1], gpu_h + best[2]
    assert found.cost.sum() == pytest.approx(eur)
    assert (found.gpus * hours).sum() == pytest.approx(gpu_h)


def test_who_has_no_new_run_answers_as_before(pricing: Pricing) -> None:
    prices = flat(pricing, 0.02)
    runs = pricing.columns(prices, 3)
    crowd = Crowd(pricing, runs, prices)
    crowd.hear(runs.take(np.zeros(0, dtype=np.int64)), prices)
    found = crowd.aside()
    assert found.cost.shape[1] == 2
    np.testing.assert_allclose(found.cost[:, 0], found.cost[:, 1])
    np.testing.assert_allclose(found.gpus[:, 0], found.gpus[:, 1])


def test_who_answered_nothing_is_left_out_at_its_price(pricing: Pricing) -> None:
    prices = flat(pricing, 0.02)
    crowd = Crowd(pricing, pricing.columns(prices, 3).take(np.zeros(0, dtype=np.int64)), prices)
    found = crowd.aside()
    assert found.cost.sum() == pytest.approx(pricing.table.unplaced[found.jobs].sum())
    assert not found.gpus.any()


@pytest.mark.parametrize("by_change", [False, True])
def test_a_mixture_of_answers_is_dearer_than_the_same_runs_one_by_one(pricing: Pricing, by_change: bool) -> None:
    prices = [flat(pricing, eur) for eur in (0.0, 0.02, 0.05)]
    runs = [pricing.columns(one, 1) for one in prices]
    known = first_come_columns(pricing.problem, pricing.oracle)
    crowd = Crowd(pricing, known, prices[0])
    alone = Master(frames(pricing, None), known)
    for one, price in zip(runs, prices, strict=True):
        crowd.hear(one, price)
        alone.add(one)
    large = alone.columns.take(~crowd.jobs[alone.columns.job])
    mixed = Master(frames(pricing, crowd.aside(), by_change=by_change), large).solve()
    free = alone.solve()
    assert mixed.objective_eur >= free.objective_eur - 1e-6
    assert mixed.objective_eur <= free.objective_eur + 0.2 * abs(free.objective_eur)
    # No job that stands aside has a share of its own, nor a price.
    assert not mixed.unplaced[crowd.jobs].any()
    assert not mixed.job_eur[crowd.jobs].any()


def test_the_relaxation_with_a_crowd_comes_near_that_of_all_runs(pricing: Pricing) -> None:
    prices = pricing.prices(maximise(pricing.evaluate, pricing.vector(flat(pricing, 0.02)), 40).y)
    known = first_come_columns(pricing.problem, pricing.oracle)
    master, solved, bound_prices, resting = relax_crowd(
        pricing, partial(frames, pricing, by_change=True), [known], prices, steering()
    )
    whole = Master(frames(pricing, None), pricing.columns(prices, 99))
    best = whole.solve()
    for _ in range(8):
        assert best.prices is not None
        whole.add(pricing.columns(best.prices, 99))
        best = whole.solve(grown=True)
    assert solved.objective_eur == pytest.approx(best.objective_eur, rel=0.02)
    assert solved.objective_eur >= pricing.bound(bound_prices).eur
    # Whoever may begin now has runs of his own; the others add up to one, and begin later.
    commit = pricing.problem.commit_slots
    assert resting.aside.jobs.any()
    assert not resting.aside.jobs[master.columns.job].any()
    assert not early(resting.columns, commit).any()
    shares = np.bincount(resting.columns.job, weights=resting.weight, minlength=JOBS) + resting.unplaced
    np.testing.assert_allclose(shares, np.where(resting.aside.jobs, 1.0, 0.0), atol=1e-9)


def plan_of(last: Plan | None = None) -> Plan:
    problem = instance(JOBS, SEED)
    return solving.solve(problem if last is None else perturbed(problem, SEED), BUDGET, last=last)


def test_a_plan_with_a_crowd_holds_its_problem_and_is_the_same_twice() -> None:
    first, again = plan_of(), plan_of()
    assert not check_plan(instance(JOBS, SEED), first)
    assert first.cost_eur == again.cost_eur
    for one, other in zip(first.jobs, again.jobs, strict=True):
        assert [(run.start_slot, run.pool, run.weight) for run in one.options] == [
            (run.start_slot, run.pool, run.weight) for run in other.options
        ]
        assert all((run.points == twin.points).all() for run, twin in zip(one.options, other.options, strict=True))
    for planned in first.jobs:
        assert sum(one.weight for one in planned.options) + planned.unplaced_fraction == pytest.approx(1.0)
    assert 0.0 <= first.report.rolling_gap < 0.03


def test_a_warm_plan_with_a_crowd_holds_its_problem() -> None:
    later = perturbed(instance(JOBS, SEED), SEED)
    found = plan_of(last=plan_of())
    assert not check_plan(later, found)
    assert 0.0 <= found.report.rolling_gap < 0.03
