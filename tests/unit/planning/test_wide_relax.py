"""The relaxation of many jobs: prices from a short list of runs, rounds from which dear runs leave."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.core.planning import sizes as size_of_jobs
from scheduler.core.planning.bundle import maximise
from scheduler.core.planning.instances import instance, perturbed
from scheduler.core.planning.master import Master, early, skeleton
from scheduler.core.planning.pricing import Pricing
from scheduler.core.planning.shortlist import Shortlist
from scheduler.core.planning.sizes import cheapest_few, sizes
from scheduler.core.planning.solve import solve
from scheduler.core.planning.warm import last_runs
from scheduler.core.planning.wide_relax import Steering, relax, useful
from scheduler.domain.settings import SolveBudget
from scheduler.domain.time import FloatArray

JOBS, SEED = 60, 3
ALL_BINS = 99


@pytest.fixture(scope="module")
def pricing() -> Pricing:
    return Pricing(instance(JOBS, SEED))


@pytest.fixture(scope="module")
def flat(pricing: Pricing) -> FloatArray:
    """A first guess of the prices, as the scaled vector of the bundle."""
    return np.full(2 * pricing.shape[0] * pricing.shape[1], 0.02)


def test_a_cut_of_the_short_list_is_nowhere_below_the_bound(pricing: Pricing, flat: FloatArray) -> None:
    short = Shortlist(pricing)
    short.renew(flat)
    rng = np.random.default_rng(SEED)
    here = flat + rng.normal(0.0, 0.002, len(flat))
    values, gradients = short.evaluate(here)
    assert values.sum() >= pricing.bound(pricing.prices(here)).eur - 1e-6
    for spread in (0.001, 0.01, 0.05):
        there = flat + rng.normal(0.0, spread, len(flat))
        cut = values.sum() + float(gradients.sum(axis=0) @ (there - here))
        assert cut >= pricing.bound(pricing.prices(there)).eur - 1e-6


def test_prices_of_a_short_list_are_as_good_as_those_of_all_starts(pricing: Pricing, flat: FloatArray) -> None:
    short = Shortlist(pricing)
    found = maximise(short.evaluate, flat, 60, renew=short.renew)
    every = maximise(pricing.evaluate, flat, 60)
    ours, theirs = (pricing.bound(pricing.prices(one.y)).eur for one in (found, every))
    assert ours >= theirs - 0.005 * abs(theirs)


def test_rounds_without_dear_runs_come_near_the_master_of_all_runs(pricing: Pricing, flat: FloatArray) -> None:
    frame = skeleton(pricing.problem, pricing.frame, pricing.table, pricing.envelope)
    booked: list[str] = []
    steering = Steering(rounds=8, target_gap=0.004, brake=lambda: False, stage=booked.append)
    master, solved, prices = relax(pricing, frame, [], pricing.prices(flat), steering)
    assert 2 <= len(booked) <= 9
    whole = Master(frame, pricing.columns(pricing.prices(flat), ALL_BINS))
    best = whole.solve()
    for _ in range(8):
        assert best.prices is not None
        whole.add(pricing.columns(best.prices, ALL_BINS))
        best = whole.solve(grown=True)
    assert solved.objective_eur == pytest.approx(best.objective_eur, rel=2e-3)
    assert solved.objective_eur >= pricing.bound(prices).eur
    assert master.columns.count < whole.columns.count


def test_runs_of_the_commit_window_stay_and_so_does_the_basis(pricing: Pricing, flat: FloatArray) -> None:
    frame = skeleton(pricing.problem, pricing.frame, pricing.table, pricing.envelope)
    master = Master(frame, pricing.columns(pricing.prices(flat), ALL_BINS))
    solved = master.solve()
    keep = useful(master, solved, pricing.problem.commit_slots, np.full(JOBS, master.columns.count))
    now = early(master.columns, pricing.problem.commit_slots)
    # Of a window run 0.01 % of the objective is allowed, of a later one half a per cent of the mean cost of a job.
    reduced, size = master.reduced_eur(solved), abs(solved.objective_eur)
    assert keep[now & (reduced < 1e-4 * size)].all()
    assert not keep[~now & (reduced > 0.005 * size / JOBS) & (solved.weight == 0.0) & ~master.basic()].any()
    assert keep[master.basic()].all()
    assert master.part(keep).solve().objective_eur == pytest.approx(solved.objective_eur, rel=1e-9)


def test_of_a_small_job_only_the_cheapest_few_runs_stay_and_those_in_the_basis(pricing: Pricing, flat: FloatArray) -> None:
    columns = pricing.columns(pricing.prices(flat), ALL_BINS)
    cost = np.random.default_rng(SEED).normal(size=columns.count)
    sure = np.zeros(columns.count, dtype=np.bool_)
    sure[np.argmax(np.where(columns.job == 0, cost, -np.inf))] = True
    most = np.full(JOBS, 3)
    kept = cheapest_few(columns, cost, sure, most)
    assert kept[sure].all()
    for job in range(JOBS):
        mine = np.nonzero(columns.job == job)[0]
        assert kept[mine].sum() == min(3, len(mine))
        left = kept[mine] & ~sure[mine]
        assert cost[mine][left].max(initial=-np.inf) <= cost[mine][~kept[mine]].min(initial=np.inf)


def test_the_largest_jobs_do_the_first_shares_of_the_work(pricing: Pricing, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not sizes(pricing.table).any()
    monkeypatch.setattr(size_of_jobs, "HOT_JOBS", JOBS - 1)
    found, work = sizes(pricing.table), pricing.table.gpus * pricing.table.work
    assert set(found) <= {0, 1, 2, 3}
    for size, share in enumerate(size_of_jobs.WORK_SHARES):
        larger = found <= size
        assert work[larger].sum() >= share * work.sum() > work[larger].sum() - work[larger].min()
        assert work[larger].min() >= work[~larger].max(initial=0.0)


def test_runs_of_the_last_plan_begin_where_it_had_them(pricing: Pricing, flat: FloatArray) -> None:
    last = solve(pricing.problem, SolveBudget(bundle_steps=20, master_rounds=1, dive_batches=20, mip_nodes=0))
    later = Pricing(perturbed(pricing.problem, SEED))
    columns = last_runs(last, later.problem, later, later.prices(np.zeros_like(flat)))
    index = {job.job_id: number for number, job in enumerate(later.problem.jobs)}
    wanted = {
        (index[planned.job_id], option.start_slot, option.pool)
        for planned in last.jobs
        if planned.job_id in index
        for option in planned.options
    }
    found = set(zip(columns.job.tolist(), columns.start.tolist(), columns.pool.tolist(), strict=True))
    assert len(wanted) > JOBS // 2
    assert found == wanted
    assert last_runs(replace(last, jobs=()), later.problem, later, later.prices(np.zeros_like(flat))).count == 0
