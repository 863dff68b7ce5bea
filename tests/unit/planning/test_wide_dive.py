"""The dive of many jobs: it keeps the optimum it starts from, decides everything, and stops when too dear."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.core.planning.dive import Decision
from scheduler.core.planning.instances import instance
from scheduler.core.planning.master import STRETCHES, Master, Solved, early, skeleton
from scheduler.core.planning.pricing import Pricing
from scheduler.core.planning.wide_dive import OPEN_RISES, OPEN_STEPS, WideDive, gangs, kept_eur, narrowed, with_fallbacks

JOBS, SEED = 60, 3


@pytest.fixture(scope="module")
def relaxed() -> tuple[Pricing, Master, Solved]:
    """A master with runs at two prices, solved."""
    problem = instance(JOBS, SEED)
    pricing = Pricing(problem)
    flat = pricing.prices(np.full(2 * pricing.shape[0] * pricing.shape[1], 0.02))
    frame = skeleton(problem, pricing.frame, pricing.table, pricing.envelope)
    master = Master(frame, pricing.columns(flat, 99))
    solved = master.solve()
    assert solved.prices is not None
    master.add(pricing.columns(solved.prices, 99))
    return pricing, master, master.solve(grown=True)


def test_a_narrowed_master_stands_at_the_same_optimum(relaxed: tuple[Pricing, Master, Solved]) -> None:
    pricing, master, solved = relaxed
    small = narrowed(master, solved, pricing.problem.commit_slots)
    assert small.columns.count < master.columns.count
    assert small.solve().objective_eur == pytest.approx(solved.objective_eur, rel=1e-9)


def test_jobs_of_the_window_get_a_run_in_every_stretch_of_starts(relaxed: tuple[Pricing, Master, Solved]) -> None:
    pricing, master, solved = relaxed
    commit = pricing.problem.commit_slots
    small = narrowed(master, solved, commit)
    now = early(small.columns, commit)
    jobs = np.unique(small.columns.job[now & (small.reduced_eur(solved) < kept_eur(solved, now))])
    assert len(jobs)
    columns = with_fallbacks(pricing, small, solved, commit).columns
    pairs = pricing.oracle.pairs
    for job in jobs:
        # Runs are looked for once after slot 128, so the last two stretches count as one.
        offered = np.searchsorted(STRETCHES[:-1], pairs.start[pairs.job == job], side="right")
        found = np.searchsorted(STRETCHES[:-1], columns.start[columns.job == job], side="right")
        assert set(offered) <= set(found)


def test_fallbacks_leave_the_relaxation_solved(relaxed: tuple[Pricing, Master, Solved]) -> None:
    pricing, master, solved = relaxed
    small = narrowed(master, solved, pricing.problem.commit_slots)
    before = small.columns.count
    with_fallbacks(pricing, small, solved, pricing.problem.commit_slots)
    assert small.columns.count > before
    assert small.solve(grown=True).objective_eur == pytest.approx(solved.objective_eur, rel=1e-9)


def test_a_dive_leaves_no_run_of_the_window_divided(relaxed: tuple[Pricing, Master, Solved]) -> None:
    pricing, master, solved = relaxed
    small = narrowed(master, solved, pricing.problem.commit_slots)
    dive = WideDive(small, pricing.problem, 0.001 * abs(solved.objective_eur))
    found = dive.run(small.solve(), 150, lambda: False)
    now = found.weight[early(small.columns, pricing.problem.commit_slots)]
    assert np.all((now < 1e-6) | (now > 1.0 - 1e-6))
    assert found.objective_eur >= solved.objective_eur - 1e-6 * abs(solved.objective_eur)


def test_small_jobs_that_begin_later_rest_where_the_relaxation_has_them(relaxed: tuple[Pricing, Master, Solved]) -> None:
    pricing, master, solved = relaxed
    small = narrowed(master, solved, pricing.problem.commit_slots)
    start = small.solve()
    job, now = small.columns.job, early(small.columns, pricing.problem.commit_slots)
    size = np.arange(JOBS) % 3
    resting = (size == 2) & ~np.isin(np.arange(JOBS), job[now & (start.weight > 1e-9)])
    assert resting.any()
    assert (size == 2).sum() > resting.sum()
    found = WideDive(small, pricing.problem, 0.001 * abs(solved.objective_eur), size=size).run(start, 150, lambda: False)
    assert np.abs(found.weight - start.weight)[resting[job]].max() < 1e-9
    assert np.abs(found.weight - start.weight)[~resting[job]].max() > 0.1


def test_no_solve_goes_on_above_its_limit(relaxed: tuple[Pricing, Master, Solved]) -> None:
    pricing, master, solved = relaxed
    small = narrowed(master, solved, pricing.problem.commit_slots)
    # Every job whole at once later: dearer than the relaxation by far more than a cent.
    now = np.nonzero(early(small.columns, pricing.problem.commit_slots) & ~pricing.table.running[small.columns.job])[0]
    small.bound_columns(now, np.zeros(len(now)), np.zeros(len(now)))
    assert small.try_below(solved.objective_eur + 0.01) is None
    again = small.try_below(np.inf)
    assert again is not None
    assert again.objective_eur > solved.objective_eur + 0.01


def test_a_job_that_comes_too_late_is_decided_before_smaller_ones(relaxed: tuple[Pricing, Master, Solved]) -> None:
    pricing, master, solved = relaxed
    small = narrowed(master, solved, pricing.problem.commit_slots)
    dive = WideDive(small, pricing.problem, 0.001 * abs(solved.objective_eur))
    sizes = pricing.table.gpus
    waiting = np.nonzero(~pricing.table.running)[0]
    large, little = int(waiting[np.argmax(sizes[waiting])]), int(waiting[np.argmin(sizes[waiting])])
    for job in (large, little):
        dive._bound([Decision(job=job, column=None, clear=1.0)], fix=True)
    assert dive._make_room(large)
    assert list(dive._decided) == [large]
    # Nothing is as small as the other one, and no job comes first twice.
    assert not dive._make_room(little)
    dive._bound([Decision(job=little, column=None, clear=1.0)], fix=True)
    assert not dive._make_room(large)


def test_open_jobs_are_placed_beside_whole_ones_without_more_gpus_than_there_are(
    relaxed: tuple[Pricing, Master, Solved],
) -> None:
    pricing, master, solved = relaxed
    small = narrowed(master, solved, pricing.problem.commit_slots)
    start = small.solve()
    dive = WideDive(small, pricing.problem, 0.001 * abs(solved.objective_eur))
    opened = dive.open_jobs(start.weight).tolist()
    placed = dive._placed(start)
    assert opened
    assert placed is not None
    assert sorted(placed) == opened
    whole = np.nonzero(dive.window & (start.weight > 1.0 - 1e-6))[0].tolist()
    runs = small.columns.take(np.array([*whole, *(one.column for one in placed.values() if one.column is not None)]))
    used = np.zeros(pricing.shape)
    np.add.at(used, (runs.pool[runs.owner], runs.load_step), runs.load_gpus)
    free = np.array([pricing.frame.mean(pool.gpus_free) for pool in pricing.problem.pools])
    assert (used <= free + 1e-6).all()
    # Who is put off had no run with a part of it that would still fit.
    assert any(one.column is not None for one in placed.values())


def test_what_is_left_as_it_is_is_whole_and_not_dear(relaxed: tuple[Pricing, Master, Solved]) -> None:
    pricing, master, solved = relaxed
    small = narrowed(master, solved, pricing.problem.commit_slots)
    start = small.solve()
    dive = WideDive(small, pricing.problem, 0.001 * abs(solved.objective_eur))
    # Nothing is cheaper than the relaxation: all is taken back, and it stands where it stood.
    assert dive._as_it_is(start, start.objective_eur - 0.01) is None
    assert not dive._decided
    assert small.solve().objective_eur == pytest.approx(start.objective_eur, rel=1e-9)
    found = dive._as_it_is(start, np.inf)
    assert found is not None
    assert not len(dive.open_jobs(found.weight))
    assert found.objective_eur >= start.objective_eur - 1e-6


def test_a_dive_without_solves_left_leaves_all_where_it_fits(relaxed: tuple[Pricing, Master, Solved]) -> None:
    pricing, master, solved = relaxed
    small = narrowed(master, solved, pricing.problem.commit_slots)
    start = small.solve()
    dive = WideDive(small, pricing.problem, 0.001 * abs(solved.objective_eur))
    assert len(dive.open_jobs(start.weight))
    found = dive.run(start, 1, lambda: False)
    assert not len(dive.open_jobs(found.weight))
    # No GPU is taken twice, as capacity costs 80 EUR per hour.
    assert found.plant[small.frame.plant.over].max() == pytest.approx(start.plant[small.frame.plant.over].max(), abs=1e-9)


def test_a_long_dive_leaves_all_as_it_is_within_a_limit_over_the_relaxation(relaxed: tuple[Pricing, Master, Solved]) -> None:
    pricing, master, solved = relaxed
    small = narrowed(master, solved, pricing.problem.commit_slots)
    start = small.solve()

    def dive(least_eur: float, steps: int) -> WideDive:
        one = WideDive(narrowed(master, solved, pricing.problem.commit_slots), pricing.problem, least_eur)
        one.master.solve()
        one._start_eur, one._steps = start.objective_eur, steps
        return one

    as_it_is = dive(0.0, 0)._as_it_is(start, np.inf)
    assert as_it_is is not None
    dear_eur = as_it_is.objective_eur - start.objective_eur
    few, many = (dear_eur / (0.9 * rises) for rises in OPEN_RISES)
    found = dive(few, OPEN_STEPS[0] + 1)._left(start, 2)
    assert found is not None
    assert found.objective_eur == pytest.approx(as_it_is.objective_eur, rel=1e-9)
    # Not yet, not at every batch, and not at any price; after more steps at a higher one.
    assert dive(few, OPEN_STEPS[0])._left(start, 2) is None
    assert dive(few, OPEN_STEPS[0] + 1)._left(start, 3) is None
    assert dive(many, OPEN_STEPS[0] + 1)._left(start, 2) is None
    assert dive(many, OPEN_STEPS[1] + 1)._left(start, 2) is not None


def test_gangs_that_run_on_are_held_from_the_beginning(relaxed: tuple[Pricing, Master, Solved]) -> None:
    pricing, master, solved = relaxed
    small = narrowed(master, solved, pricing.problem.commit_slots)
    start = small.solve()
    dive = WideDive(small, pricing.problem, 0.001 * abs(solved.objective_eur))
    dive._hold_gangs(start)
    whole = small.columns.job[dive.window & (start.weight > 1.0 - 1e-6)]
    # What cannot be left out is what runs.
    wanted = {int(job) for job in whole if dive.gang[job] and small.must_run[job]}
    assert wanted
    assert set(dive._decided) == wanted
    assert small.solve().objective_eur == pytest.approx(start.objective_eur, rel=1e-9)


def test_gangs_hold_a_sixteenth_of_the_largest_pool() -> None:
    problem = instance(JOBS, SEED)
    # The largest pool has so many GPUs free in the first hour.
    largest = max(float(pool.gpus_free[: problem.commit_slots].max()) for pool in problem.pools)
    flags = gangs(problem)
    assert [bool(flag) for flag in flags] == [job.gpus * 16 >= largest for job in problem.jobs]
