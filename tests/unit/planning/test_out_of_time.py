"""Whenever the time runs out, a plan comes of what is known by then: whole, without a violation, better than the rule."""

from __future__ import annotations

import pytest

from scheduler.core.planning.checker import check_plan
from scheduler.core.planning.fallback import rule_plan
from scheduler.core.planning.instances import instance
from scheduler.core.planning.solve import solve
from scheduler.domain.settings import SolveBudget


class Ends:
    """A brake that bites from one of the times at which it is asked."""

    def __init__(self, asks: int) -> None:
        """Let so many pass."""
        self.left = asks

    def __call__(self, share: float = 1.0) -> bool:
        """Count."""
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize(("jobs", "asks"), [(60, 0), (60, 3), (60, 30), (400, 0), (400, 3), (400, 30), (400, 70)])
def test_a_plan_that_runs_out_of_time_is_whole_and_better_than_the_rule(jobs: int, asks: int) -> None:
    problem = instance(jobs, 3)
    plan = solve(problem, SolveBudget(), out_of_time=Ends(asks))
    assert plan.report.clock_bit
    assert not check_plan(problem, plan)
    rule = rule_plan(problem, digest="").report
    ours_eur = plan.report.objective_eur - plan.report.base_eur
    assert ours_eur < rule.objective_eur - rule.base_eur
