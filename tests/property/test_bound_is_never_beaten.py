"""No schedule of a tiny window costs less than the bound, however its jobs and prices fall."""

from __future__ import annotations

import numpy as np
import pytest
from bound_world import brute_optimum_eur, tiny_job, tiny_window

from scheduler.core.planning.bound.foresight import foresight_bound
from scheduler.core.planning.bound.problem import BoundBudget, BoundProblem, RunPoint


def window(seed: int) -> BoundProblem:
    """Five hours, two or three jobs with caps, deadlines and late arrivals, scarce GPUs, dear and cheap heat."""
    rng = np.random.default_rng(seed)
    jobs = []
    for number in range(int(rng.integers(2, 4))):
        gpus = int(rng.integers(1, 6))
        points = (RunPoint(extra_kw=gpus * 0.9, speed=1.0), RunPoint(extra_kw=gpus * 0.5, speed=0.75))
        due = float(rng.integers(2, 6)) if rng.random() < 0.5 else None
        jobs.append(
            tiny_job(
                f"j{number}",
                gpus=gpus,
                points={0: points[: int(rng.integers(1, 3))]},
                submit_h=float(rng.integers(0, 2)),
                work_h=float(rng.choice([0.75, 1.0, 1.5, 2.0])),
                due_h=due,
                waiting_eur_per_h=gpus * 0.005,
                lateness_eur_per_h=gpus * 0.3,
                slowdown_eur_per_h=gpus * 0.02,
            )
        )
    price = rng.uniform(-0.05, 0.4, size=5)
    heat, start = float(rng.uniform(0.0, 0.3)), float(rng.uniform(0.0, 1.0))
    return tiny_window(price, tuple(jobs), gpus=int(rng.integers(5, 9)), heat_eur_per_kwh=heat, start_eur=start)


@pytest.mark.parametrize("seed", range(12))
def test_no_schedule_costs_less_than_the_bound(seed: int) -> None:
    """Every whole-row schedule of every job with the best whole-number plant; the bound is also not far under it."""
    problem = window(seed)
    best = brute_optimum_eur(problem)
    rough = foresight_bound(problem, BoundBudget(rounds=2, plant_nodes=0)).cost_eur
    fine = foresight_bound(problem, BoundBudget(rounds=20, plant_nodes=500)).cost_eur
    assert rough <= fine + 1e-9
    assert fine <= best + 1e-7


@pytest.mark.parametrize("seed", range(3))
def test_states_whole_together_with_the_jobs_never_lower_the_bound(seed: int) -> None:
    """The first line is that of the best prices, and every further one only excludes operations."""
    problem = window(seed)
    apart, joint = (foresight_bound(problem, BoundBudget(rounds=8, joint_rounds=rounds)).cost_eur for rounds in (0, 12))
    assert apart <= joint + 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_prices_of_pieces_give_a_bound_too(seed: int) -> None:
    """Cut into pieces of two hours, the window still has a bound that no schedule beats."""
    problem = window(seed)
    told: list[tuple[int, int]] = []
    cut = foresight_bound(problem, BoundBudget(rounds=10, whole_h=3.0, piece_h=2.0), lambda at, of: told.append((at, of)))
    assert cut.cost_eur <= brute_optimum_eur(problem) + 1e-7
    assert "pieces" in cut.method
    assert told == [(1, 2), (2, 2)]
