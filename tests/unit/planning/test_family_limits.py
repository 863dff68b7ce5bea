"""Site limit, promises, demand charge and named slacks, each optimum worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduler.core.planning.toy import per_slot, toy_job, toy_offtake, toy_plug, toy_pool, toy_problem, toy_promise
from scheduler.domain.plan import Plan, RunOption
from scheduler.domain.problem import PlanProblem

Best = Callable[[PlanProblem, float], Plan]
RunOf = Callable[[Plan, str], RunOption]


def test_the_site_limit_spreads_jobs(best: Best, run_of: RunOf) -> None:
    # 1 kW at a time: 0.1 + 0.3.
    problem = toy_problem([0.1, 0.3], [toy_job("a"), toy_job("b")], site_limit_kw=per_slot(1.0, 2))
    plan = best(problem, 0.4)
    assert {run_of(plan, "a").start_slot, run_of(plan, "b").start_slot} == {0, 1}


def test_a_site_limit_that_running_work_breaks_is_a_named_slack(best: Best) -> None:
    # 1 kW runs and may not stop, 0.5 kW allowed: 0.1 + 0.5 kWh * 2 EUR.
    job = toy_job("a", running_pool=0, running_point=0)
    plan = best(toy_problem([0.1], [job], site_limit_kw=per_slot(0.5, 1)), 1.1)
    assert any("site" in slack.name for slack in plan.slacks)
    assert sum(slack.cost_eur for slack in plan.slacks) == pytest.approx(1.0)


@pytest.mark.parametrize(("shortfall_eur_per_kwh", "starts", "cost_eur"), [(0.16, {0, 1}, 0.1), (0.05, {2}, 0.07)])
def test_a_promise_is_kept_when_breaking_it_costs_more(
    best: Best, run_of: RunOf, shortfall_eur_per_kwh: float, starts: set[int], cost_eur: float
) -> None:
    # 1 kWh promised in slots 0 and 1. Run there: 0.10. Run in slot 2: 0.02 + shortfall: 0.18 or 0.07.
    problem = toy_problem(
        [0.1, 0.1, 0.02],
        [toy_job("a")],
        plugs=(toy_plug(3, 5.0),),
        offtakes=(toy_offtake(3, 1.0, 0.0),),
        commitments=(toy_promise(0, 2, 1.0, shortfall_eur_per_kwh),),
    )
    plan = best(problem, cost_eur)
    assert run_of(plan, "a").start_slot in starts
    assert plan.cost_eur["shortfall"] == pytest.approx(0.05 if starts == {2} else 0.0)


def test_a_demand_charge_flattens_the_peak(best: Best, run_of: RunOf) -> None:
    # Together: 2 * 0.1 + 2 kW * 0.5 = 1.20.  One after the other: 0.1 + 0.2 + 1 kW * 0.5 = 0.80.
    problem = toy_problem([0.1, 0.2], [toy_job("a"), toy_job("b")], demand_charge_eur_per_kw=0.5)
    plan = best(problem, 0.8)
    assert {run_of(plan, "a").start_slot, run_of(plan, "b").start_slot} == {0, 1}


def test_below_the_peak_of_the_month_power_costs_no_demand_charge(best: Best) -> None:
    best(toy_problem([0.1, 0.2], [toy_job("a"), toy_job("b")], demand_charge_eur_per_kw=0.5, peak_kw=2.0), 0.2)


def test_lost_gpus_become_a_named_slack_of_running_work(best: Best) -> None:
    # 4 GPUs run on 2 that are left: 4 kW * 0.1 + 2 GPU-h * 80.
    job = toy_job("a", gpus=4, running_pool=0, running_point=0)
    plan = best(toy_problem([0.1], [job], pools=(toy_pool(1, 2.0),)), 160.4)
    slack = next(slack for slack in plan.slacks if "capacity" in slack.name)
    assert slack.amount == pytest.approx(2.0)
    assert slack.cost_eur == pytest.approx(160.0)
