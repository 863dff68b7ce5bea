"""Heat pump states after the commit window: whole as far as `pump_slots` reaches, relaxed behind it, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.core.planning.checker import check_plan
from scheduler.core.planning.digest import digest_of
from scheduler.core.planning.solve import solve
from scheduler.core.planning.toy import toy_job, toy_offtake, toy_plug, toy_pool, toy_problem
from scheduler.domain.plan import Plan
from scheduler.domain.problem import PlanProblem
from scheduler.domain.settings import SolveBudget

# Three hours at 0.10 EUR/kWh, 1 kW caught all the time; a pump with COP 2 and 10 kW doubles recovered heat, its least load is
# 8 kW; a town pays 0.30 for all heat. Two jobs of 2 kW: one may begin in hour 1 and waits for 0.01 an hour, one only in hour 2.
BASE_EUR = 3 * 0.10


def two_jobs_one_pump(pump_slots: int, **pump: object) -> PlanProblem:
    """Together the jobs make 10 kW of heat, apart 6 kW: the pump cannot run on one of them."""
    slots = 3
    jobs = [
        toy_job("early", gpus=2, release_slot=1, waiting_eur_per_h=0.01),
        toy_job("late", gpus=2, release_slot=2, waiting_eur_per_h=0.01),
    ]
    plug = toy_plug(slots, 10.0, cop=np.full(slots, 2.0), min_load_fraction=0.8, **pump)
    pool = toy_pool(slots, base_it_kw=np.ones(slots), base_captured_kw=np.ones(slots))
    return toy_problem(
        [0.1] * slots,
        jobs,
        pools=(pool,),
        plugs=(plug,),
        offtakes=(toy_offtake(slots, 100.0, 0.3),),
        commit_slots=1,
        pump_slots=pump_slots,
    )


def planned(problem: PlanProblem) -> Plan:
    """The plan, which the checker has nothing against."""
    plan = solve(problem, SolveBudget(), digest=digest_of(problem))
    assert check_plan(problem, plan) == ()
    return plan


def test_relaxed_later_states_count_on_heat_that_no_pump_makes() -> None:
    # Hour 0 is decided: 2 kW are under the least load. Apart the jobs sell 6 + 6 kWh at 0.30 less half of it as power at 0.10:
    # 12 * (0.30 - 0.05) = 3.00; jobs 4 kWh * 0.10.
    plan = planned(two_jobs_one_pump(0))
    assert plan.report.objective_eur == pytest.approx(BASE_EUR + 0.4 - 3.0, abs=1e-6)
    assert plan.flows[0].delivered_kw == pytest.approx([0.0, 6.0, 6.0], abs=1e-6)


def test_whole_states_bring_jobs_together_for_the_least_load() -> None:
    # Both in hour 2: 1 + 4 kW caught make 10 kW, 10 * 0.25 = 2.50; one hour of waiting at 0.01.
    plan = planned(two_jobs_one_pump(3))
    assert plan.report.objective_eur == pytest.approx(BASE_EUR + 0.4 + 0.01 - 2.5, abs=1e-6)
    assert plan.flows[0].delivered_kw == pytest.approx([0.0, 0.0, 10.0], abs=1e-6)


def test_a_start_is_paid_in_full_once_states_are_whole() -> None:
    # 2.50 - 0.01 earned by waiting for the other does not pay for a start of 2.60: no heat, nobody waits.
    plan = planned(two_jobs_one_pump(3, start_cost_eur=2.6))
    assert plan.report.objective_eur == pytest.approx(BASE_EUR + 0.4, abs=1e-6)
    assert plan.flows[0].delivered_kw == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)


def test_the_bound_knows_of_whole_states_too() -> None:
    # Without jobs 2 kW are all there ever is: relaxed, hours 1 and 2 sell them for 0.25 less power, whole, nobody does.
    relaxed, whole = (planned(replace(two_jobs_one_pump(slots), jobs=())).report for slots in (0, 3))
    assert relaxed.objective_eur == pytest.approx(BASE_EUR - 4 * 0.25, abs=1e-6)
    assert whole.objective_eur == pytest.approx(BASE_EUR, abs=1e-6)
    assert whole.bound_eur == pytest.approx(BASE_EUR, abs=1e-4)


def test_states_reach_only_as_far_as_pump_slots() -> None:
    # Hour 1 whole, hour 2 relaxed: alone in hour 1 the early job makes no heat, so it goes to hour 2, where 10 kW are sold.
    plan = planned(two_jobs_one_pump(2))
    assert plan.flows[0].delivered_kw == pytest.approx([0.0, 0.0, 10.0], abs=1e-6)
