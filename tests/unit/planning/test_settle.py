"""Runs that change hands among equal jobs: owners read the same start again, and nothing that is counted changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.planning.checker import check_plan
from scheduler.core.planning.settle import settled
from scheduler.core.planning.solve import solve
from scheduler.core.planning.toy import toy_job, toy_pool, toy_problem
from scheduler.domain.plan import Plan, PlannedJob
from scheduler.domain.problem import PlanJob, PlanProblem
from scheduler.domain.settings import SolveBudget

SLOTS, NAMES = 12, "abcdef"
# Cheap and dear in turn, so that jobs are spread over the day.
PRICE = np.array([0.30, 0.05, 0.20, 0.06, 0.30, 0.07, 0.25, 0.08, 0.30, 0.09, 0.30, 0.10])


def problem_of(jobs: list[PlanJob], gpus: float = 2.0) -> PlanProblem:
    return toy_problem(PRICE, tuple(jobs), pools=(toy_pool(SLOTS, gpus),))


def places(plan: tuple[PlannedJob, ...]) -> dict[str, int]:
    return {one.job_id: one.main.start_slot for one in plan if one.main is not None}


def dealt(plan: Plan, order: list[int]) -> Plan:
    """The same runs in other hands."""
    return replace(plan, jobs=tuple(replace(plan.jobs[to], options=plan.jobs[of].options) for to, of in enumerate(order)))


def test_equal_jobs_keep_the_starts_they_had() -> None:
    problem = problem_of([toy_job(name, hours=1.0) for name in NAMES])
    plan = solve(problem, SolveBudget())
    assert len(set(places(plan.jobs).values())) > 1
    last = dealt(plan, [5, 3, 4, 1, 2, 0])
    assert places(settled(problem, plan.jobs, last)) == places(last.jobs)


def test_a_start_that_is_new_goes_to_whoever_has_lost_his() -> None:
    problem = problem_of([toy_job(name, hours=1.0) for name in NAMES])
    plan = solve(problem, SolveBudget())
    had = dealt(plan, [1, 2, 3, 4, 5, 0])
    # One had a start that nobody has any more.
    gone = replace(had.jobs[2], options=(replace(had.jobs[2].options[0], start_slot=0),))
    last = replace(had, jobs=(*had.jobs[:2], gone, *had.jobs[3:]))
    found = places(settled(problem, plan.jobs, last))
    kept = {name: start for name, start in places(had.jobs).items() if name != gone.job_id}
    assert {name: found[name] for name in kept} == kept
    assert Counter(found.values()) == Counter(places(plan.jobs).values())


def test_a_time_that_has_passed_is_taken_into_account() -> None:
    """The last plan began two slots ago."""
    problem = problem_of([toy_job(name, hours=1.0) for name in NAMES])
    plan = solve(problem, SolveBudget())
    last = dealt(plan, [5, 4, 3, 2, 1, 0])
    wanted = places(last.jobs)
    earlier = replace(problem.grid, start_utc=problem.grid.time_of(-2))
    moved = tuple(
        replace(one, options=(replace(one.options[0], start_slot=one.options[0].start_slot + 2),)) for one in last.jobs
    )
    assert places(settled(problem, plan.jobs, replace(last, grid=earlier, jobs=moved))) == wanted


@pytest.mark.parametrize(
    "other",
    [
        {"gpus": 2},
        {"hours": 2.0},
        {"waiting_eur_per_h": 0.5},
        {"due_s": 2.0 * 3600.0},
        {"latest_start_slot": 1},
        {"release_slot": 3},
    ],
    ids=str,
)
def test_unequal_jobs_keep_their_own(other: dict[str, float]) -> None:
    """Another size, length or price; a deadline, an end of the hold or a submission that the other's run does not meet."""
    late, early = toy_job("late", hours=1.0), toy_job("early", **{"hours": 1.0, **other})  # type: ignore[arg-type] # mixed kinds
    problem = problem_of([late, early], gpus=3.0)
    plan = solve(problem, SolveBudget())
    at = {"late": 1, "early": 3} if "release_slot" in other else {"late": 3, "early": 1}
    jobs = tuple(replace(one, options=(replace(one.options[0], start_slot=at[one.job_id]),)) for one in plan.jobs)
    last = dealt(replace(plan, jobs=jobs), [1, 0])
    assert settled(problem, jobs, last) == jobs


def test_without_a_last_plan_nothing_changes() -> None:
    problem = problem_of([toy_job(name) for name in NAMES])
    plan = solve(problem, SolveBudget())
    assert settled(problem, plan.jobs, None) == plan.jobs


@given(
    st.lists(st.tuples(st.integers(1, 2), st.integers(0, 3), st.integers(4, 12), st.integers(3, 12)), min_size=2, max_size=5),
    st.randoms(use_true_random=False),
)
@settings(max_examples=15, deadline=None)
def test_nothing_that_is_counted_changes(shapes: list[tuple[int, int, int, int]], drawn: object) -> None:
    """Size, submission, end of the hold and deadline at random: the plan stays valid, with the same costs."""
    jobs = [
        toy_job(
            str(number), gpus=gpus, release_slot=release, latest_start_slot=latest, due_s=due * 3600.0, waiting_eur_per_h=0.01
        )
        for number, (gpus, release, latest, due) in enumerate(shapes)
    ]
    problem = problem_of(jobs)
    plan = solve(problem, SolveBudget())
    order = list(range(len(jobs)))
    drawn.shuffle(order)  # type: ignore[attr-defined] # hypothesis gives random.Random, whose module is banned here
    last = dealt(plan, order)
    found = settled(problem, plan.jobs, last)
    same = replace(plan, jobs=found)
    assert check_plan(problem, same) == ()
    kept = sum(places(last.jobs).get(name) == start for name, start in places(found).items())
    assert kept >= sum(places(last.jobs).get(name) == start for name, start in places(plan.jobs).items())
