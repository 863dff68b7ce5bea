"""What jobs answer to prices, and which of their answers the linear program over known schedules may use."""

from __future__ import annotations

import numpy as np
import pytest
from bound_world import tiny_job, tiny_window

from scheduler.core.planning.bound.foresight import foresight_bound
from scheduler.core.planning.bound.master import Master, Prices, first_prices
from scheduler.core.planning.bound.oracle import Answer, Oracle
from scheduler.core.planning.bound.problem import BoundProblem

# Above every price of work that is tried: no schedule with enough work is met.
WILD_EUR_PER_GPU_H = 1e7


def a_window() -> BoundProblem:
    """Four hours, two of them cheap, and two jobs without hurry."""
    return tiny_window(np.array([0.3, 0.1, 0.1, 0.3]), (tiny_job("a", work_h=1.0), tiny_job("b", work_h=2.0)))


def wild(prices: Prices) -> Prices:
    """The same draw at prices of GPUs that nothing is worth."""
    return Prices(gpu=np.full_like(prices.gpu, WILD_EUR_PER_GPU_H), draw=prices.draw)


def cost_eur(answer: Answer, prices: Prices) -> np.ndarray:
    """What every answer costs at the prices, counted anew."""
    job = np.repeat(np.arange(len(answer.own_eur)), np.diff(answer.first))
    at = answer.pool[job], answer.row
    used_eur = answer.gpu_h * prices.gpu[at] + answer.draw_kwh * prices.draw[at]
    return answer.own_eur + np.bincount(job, weights=used_eur, minlength=len(answer.own_eur))


def test_an_answer_costs_what_is_certified() -> None:
    """At prices that can be met, the mixture attains the certified least cost and does all the work."""
    problem = a_window()
    prices = first_prices(problem)
    answer = Oracle(problem)(prices.gpu, prices.draw)
    assert cost_eur(answer, prices) == pytest.approx(answer.value_eur, rel=1e-4)
    gpu_h = np.add.reduceat(answer.gpu_h, answer.first[:-1])
    assert gpu_h == pytest.approx([job.gpus * job.work_h for job in problem.jobs])


def test_a_job_that_met_no_schedule_is_no_job_done_for_nothing() -> None:
    """Wild prices leave jobs without a schedule; the program must go on buying them, and take them once they are known."""
    problem = a_window()
    prices, oracle, master = first_prices(problem), Oracle(problem), Master(problem)
    nothing = oracle(wild(prices).gpu, prices.draw)
    assert len(nothing.gpu_h) == 0
    without = master.solve()
    assert master.add(nothing) == 0
    again = master.solve()
    assert without is not None
    assert again is not None
    assert again[0] == pytest.approx(without[0])
    assert master.add(oracle(prices.gpu, prices.draw)) == 2
    mixed = master.solve()
    assert mixed is not None
    assert mixed[0] >= foresight_bound(problem).cost_eur - 1e-6
