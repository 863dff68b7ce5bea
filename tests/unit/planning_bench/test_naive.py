"""The naive model against brute force: the same optimum where no cap can change during a run, never a better one elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scheduler.core.planning.aggregate import base_load_eur
from scheduler.core.planning.brute import brute_optimum
from scheduler.core.planning.frame import frame_of
from scheduler.core.planning.naive import NaiveResult, build_naive, cbc_bound, cbc_incumbents, naive_solve
from scheduler.core.planning.solve import solve
from scheduler.core.planning.toy import (
    FULL,
    HALF_POWER,
    toy_job,
    toy_offtake,
    toy_plug,
    toy_pool,
    toy_problem,
    toy_promise,
)
from scheduler.domain.problem import PlanProblem
from scheduler.domain.settings import SolveBudget

Naive = Callable[[PlanProblem], NaiveResult]

PRICES = [0.30, 0.10, 0.25, 0.05, 0.20, 0.15]
LOG_STOPPED = """
Cbc0038I Pass   1: suminf.    1.99458 (6) obj. 511.164 iterations 472
Cbc0012I Integer solution of 707.05399 found by feasibility pump after 0 iterations and 0 nodes (11.20 seconds)
Cbc0010I After 0 nodes, 1 on tree, 707.05399 best solution, best possible 167.52687 (17.37 seconds)
Cbc0016I Integer solution of 167.92195 found by strong branching after 5373 iterations and 20 nodes (20.83 seconds)
Result - Stopped on time limit
"""
LOG_WITHIN = (
    LOG_STOPPED + "\nObjective value:                167.92194942\nLower bound:                    167.527\nGap:    0.00\n"
)
LOG_NOTHING = "Result - Stopped on time limit\n\nNo feasible solution found\nLower bound:                    -1e+50\n"


@pytest.fixture
def naive(tmp_path: Path) -> Naive:
    """Solve to the end."""

    def run(problem: PlanProblem) -> NaiveResult:
        return naive_solve(problem, 60.0, log_path=str(tmp_path / "cbc.log"), gap_fraction=0.0)

    return run


def base_eur(problem: PlanProblem) -> float:
    return base_load_eur(problem, frame_of(problem))


def total_eur(problem: PlanProblem, result: NaiveResult) -> float:
    assert result.objective_eur is not None
    return result.objective_eur + base_eur(problem)


def heat_problem(points: tuple[object, ...]) -> PlanProblem:
    """Three jobs on two GPUs beside a base load, a tank, a promise and a site limit."""
    slots = len(PRICES)
    jobs = [
        toy_job("a", hours=1.5, points=points, waiting_eur_per_h=0.01),
        toy_job("b", hours=2.0, points=points, due_s=3 * 3600.0, tail_work_s=2.5 * 3600.0, lateness_eur_per_h=0.2),
        toy_job("c", hours=1.0, gpus=2, points=points, release_slot=1, slowdown_eur_per_h=0.02),
    ]
    pool = toy_pool(slots, 2.0, base_it_kw=np.full(slots, 0.5), base_captured_kw=np.full(slots, 0.4))
    plug = toy_plug(
        slots, 3.0, tank_capacity_kwh=2.0, tank_level_kwh=1.0, tank_end_kwh=0.5, max_charge_kw=1.0, max_discharge_kw=1.0,
        tank_loss_per_h_fraction=0.01, rejection_kw_per_kw=0.1, room_kw_per_kw=0.2,
    )  # fmt: skip
    return toy_problem(
        PRICES,
        jobs,
        pools=(pool,),
        plugs=(plug,),
        offtakes=(toy_offtake(slots, [0.5, 0.5, 2.0, 2.0, 0.2, 1.0], 0.08),),
        commitments=(toy_promise(2, 4, 2.5),),
        overhead_fraction=0.05,
        site_limit_kw=np.full(slots, 2.4),
    )


def test_one_job_goes_to_the_cheapest_hour(naive: Naive) -> None:
    # 1 kW for 1 h: 0.05 EUR in slot 3.
    assert naive(toy_problem(PRICES, [toy_job("a")])).objective_eur == pytest.approx(0.05)


def test_a_run_past_the_horizon_pays_the_price_after_it(naive: Naive) -> None:
    # 2.5 h from slot 1 of [0.3, 0.1]: 0.1 + 1.5 h at the mean price 0.2 = 0.40; from slot 0: 0.3 + 0.1 + 0.5 * 0.2 = 0.50.
    problem = toy_problem([0.3, 0.1], [toy_job("a", hours=2.5)])
    assert naive(problem).objective_eur == pytest.approx(0.40)


def test_a_stop_costs_its_price_and_the_work_done_again(naive: Naive) -> None:
    # Go on: 1 h at 2.00. Stop and resume at slot 1: 1.5 h of work = 0.10 + 0.5 * 0.10 + 0.40 for the stop = 0.55.
    job = toy_job("a", running_pool=0, running_point=0, stoppable=True, resume_work_s=1800.0, preemption_eur=0.4)
    problem = toy_problem([2.0, 0.1, 0.1], [job])
    assert naive(problem).objective_eur == pytest.approx(0.55)
    assert brute_optimum(problem).cost_eur == pytest.approx(0.55)


def test_without_levels_the_optimum_is_that_of_brute_force(naive: Naive) -> None:
    problem = heat_problem((FULL,))
    assert total_eur(problem, naive(problem)) == pytest.approx(brute_optimum(problem).cost_eur, abs=1e-6)


def test_a_level_held_for_the_whole_run_never_beats_one_that_may_change(naive: Naive) -> None:
    problem = heat_problem((FULL, HALF_POWER))
    result, brute = naive(problem), brute_optimum(problem).cost_eur
    assert total_eur(problem, result) >= brute - 1e-6
    # One of the two levels is the full one, so a second level never costs anything.
    one_level = heat_problem((FULL,))
    assert total_eur(problem, result) <= total_eur(one_level, naive(one_level)) + 1e-6


def test_the_planners_bound_is_one_for_the_naive_model(naive: Naive) -> None:
    problem = heat_problem((FULL, HALF_POWER))
    assert solve(problem, SolveBudget()).report.bound_eur <= total_eur(problem, naive(problem)) + 1e-6


def test_the_size_counts_every_start_pool_and_level() -> None:
    # One job of one hour: 6 starts * 2 pools * 2 levels = 24 options, and the one that leaves it out.
    pools = (toy_pool(6), toy_pool(6, pool_id="other"))
    problem = toy_problem(PRICES, [toy_job("a", points=(FULL, HALF_POWER), pools=(0, 1))], pools=pools)
    assert build_naive(problem).binaries == 25


@pytest.mark.parametrize(("log", "optimum", "bound"), [(LOG_WITHIN, None, 167.527), (LOG_STOPPED, None, 167.52687)])
def test_the_bound_is_read_from_the_log(log: str, optimum: float | None, bound: float) -> None:
    assert cbc_bound(log, optimum) == bound


def test_without_a_printed_bound_only_a_finished_search_proves_one() -> None:
    assert cbc_bound("Result - Optimal solution found\n", 3.5) == 3.5
    assert cbc_bound("Result - Stopped on time limit\n", None) is None
    assert cbc_bound(LOG_NOTHING, None) is None


def test_plans_on_the_way_are_read_from_the_log() -> None:
    assert cbc_incumbents(LOG_STOPPED) == ((11.20, 707.05399), (20.83, 167.92195))
