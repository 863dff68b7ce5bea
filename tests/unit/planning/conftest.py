"""Solve a small problem, have it checked, and compare with the pencil and with brute force."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduler.core.planning.brute import brute_optimum
from scheduler.core.planning.checker import check_plan
from scheduler.core.planning.digest import digest_of
from scheduler.core.planning.solve import solve
from scheduler.domain.plan import Plan, RunOption
from scheduler.domain.problem import PlanProblem
from scheduler.domain.settings import SolveBudget

Best = Callable[[PlanProblem, float], Plan]


@pytest.fixture(scope="session")
def best() -> Best:
    """Plan of a problem whose optimum is known: solver and brute force must both find it, and the checker must agree."""

    def run(problem: PlanProblem, cost_eur: float) -> Plan:
        assert brute_optimum(problem).cost_eur == pytest.approx(cost_eur, abs=1e-7)
        plan = solve(problem, SolveBudget(), digest=digest_of(problem))
        assert check_plan(problem, plan) == ()
        assert plan.report.bound_eur <= plan.report.objective_eur + 1e-7
        assert plan.report.objective_eur == pytest.approx(cost_eur, abs=1e-5)
        return plan

    return run


@pytest.fixture(scope="session")
def run_of() -> Callable[[Plan, str], RunOption]:
    """The one run that a plan decided for a job."""

    def find(plan: Plan, job_id: str) -> RunOption:
        planned = next(one for one in plan.jobs if one.job_id == job_id)
        assert planned.decided
        assert planned.main is not None
        return planned.main

    return find
