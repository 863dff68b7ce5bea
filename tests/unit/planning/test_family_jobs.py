"""Starts, waiting, lateness, gangs, pools, caps and stops: one family at a time, each optimum worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from scheduler.core.planning.toy import FULL, toy_job, toy_plug, toy_pool, toy_problem
from scheduler.domain.plan import Plan, RunOption
from scheduler.domain.problem import PlanProblem, PowerPoint

Best = Callable[[PlanProblem, float], Plan]
RunOf = Callable[[Plan, str], RunOption]
# Half the speed at 60 % of the power: worth it only where power is dear.
SLOW = PowerPoint(level=0.6, cap_w=600.0, draw_w=600.0, speed=0.5)


def test_a_job_starts_in_the_cheapest_slot(best: Best, run_of: RunOf) -> None:
    # 1 kW for 1 h: 0.30, 0.10 or 0.20 EUR.
    plan = best(toy_problem([0.3, 0.1, 0.2], [toy_job("a")]), 0.1)
    assert run_of(plan, "a").start_slot == 1


def test_a_job_never_starts_before_its_release(best: Best, run_of: RunOf) -> None:
    plan = best(toy_problem([0.01, 0.2, 0.3], [toy_job("a", release_slot=1)]), 0.2)
    assert run_of(plan, "a").start_slot == 1


def test_the_hard_latest_start_ends_the_wait(best: Best, run_of: RunOf) -> None:
    # The cheapest slot (0.10) comes after the latest start.
    plan = best(toy_problem([0.3, 0.2, 0.1], [toy_job("a", latest_start_slot=1)]), 0.2)
    assert run_of(plan, "a").start_slot == 1


@pytest.mark.parametrize(("waiting_eur_per_h", "start", "cost_eur"), [(0.03, 2, 0.05 + 2 * 0.03), (0.04, 0, 0.12)])
def test_waiting_is_worth_it_while_power_falls_faster(
    best: Best, run_of: RunOf, waiting_eur_per_h: float, start: int, cost_eur: float
) -> None:
    # Start 0: 0.12; start 1: 0.10 + w; start 2: 0.05 + 2 w.  w = 0.03: 0.12, 0.13, 0.11.  w = 0.04: 0.12, 0.14, 0.13.
    job = toy_job("a", waiting_eur_per_h=waiting_eur_per_h)
    plan = best(toy_problem([0.12, 0.10, 0.05], [job]), cost_eur)
    assert run_of(plan, "a").start_slot == start


@pytest.mark.parametrize(("lateness_eur_per_h", "starts", "cost_eur"), [(0.2, {2}, 0.25), (0.3, {0, 1}, 0.30)])
def test_a_job_is_late_only_when_that_is_cheaper(
    best: Best, run_of: RunOf, lateness_eur_per_h: float, starts: set[int], cost_eur: float
) -> None:
    # Due after 2 h; in slot 2 it ends an hour late: 0.05 + 0.2 = 0.25 < 0.30, but 0.05 + 0.3 = 0.35 > 0.30.
    job = toy_job("a", due_s=7200.0, lateness_eur_per_h=lateness_eur_per_h)
    plan = best(toy_problem([0.3, 0.3, 0.05], [job]), cost_eur)
    assert run_of(plan, "a").start_slot in starts


def test_two_gangs_that_do_not_fit_together_follow_each_other(best: Best, run_of: RunOf) -> None:
    # 5 + 5 > 8 GPUs: 5 kW at 0.10 and 5 kW at 0.20.
    plan = best(toy_problem([0.1, 0.2], [toy_job("a", gpus=5), toy_job("b", gpus=5)]), 1.5)
    assert {run_of(plan, "a").start_slot, run_of(plan, "b").start_slot} == {0, 1}


def test_a_gang_larger_than_any_pool_is_left_out_and_paid_for(best: Best) -> None:
    # 16 GPUs on 8 would be 8 GPU-h of capacity slack at 80 EUR: leaving the job out costs 100.
    plan = best(toy_problem([0.1, 0.1], [toy_job("a", gpus=16)]), 100.0)
    assert plan.jobs[0].options == ()
    assert plan.jobs[0].unplaced_fraction == pytest.approx(1.0)


def test_the_pool_with_less_host_power_fills_first(best: Best, run_of: RunOf) -> None:
    # Pool b pays 1.0 kW per kW of draw, pool a 1.3; b has room for one of the two: 0.10 + 0.13.
    pools = (toy_pool(1, pool_id="a", it_kw_per_draw_kw=1.3), toy_pool(1, 1.0, pool_id="b"))
    jobs = [toy_job("one", pools=(0, 1), latest_start_slot=0), toy_job("two", pools=(0, 1), latest_start_slot=0)]
    plan = best(toy_problem([0.1], jobs, pools=pools), 0.23)
    assert sorted(run_of(plan, name).pool for name in ("one", "two")) == [0, 1]


def test_a_job_bound_to_a_pool_stays_there(best: Best, run_of: RunOf) -> None:
    pools = (toy_pool(1, pool_id="a", it_kw_per_draw_kw=1.3), toy_pool(1, pool_id="b"))
    plan = best(toy_problem([0.1], [toy_job("one", pools=(0,))], pools=pools), 0.13)
    assert run_of(plan, "one").pool == 0


def test_a_running_job_is_slowed_exactly_in_the_dear_slot(best: Best, run_of: RunOf) -> None:
    # 2.5 h of work: full, slow, full = 0.1 + 0.6 * 0.5 + 0.1 = 0.50 EUR.
    # Full, full, half a slot full: 0.1 + 0.5 + 0.05 = 0.65.  Slow, slow, full, slow: 0.06 + 0.30 + 0.10 + 0.06 = 0.52.
    job = toy_job("a", 2.5, points=(FULL, SLOW), running_pool=0, running_point=0)
    plan = best(toy_problem([0.1, 0.5, 0.1, 0.1], [job]), 0.5)
    assert run_of(plan, "a").points.tolist() == [0, 1, 0]


def test_the_value_of_gpu_time_forbids_a_cap_that_saves_less(best: Best, run_of: RunOf) -> None:
    # Slow in slot 1 saves 0.65 - 0.50 = 0.15 EUR and takes 0.5 h longer: at 0.4 EUR/h it is not worth it (0.50 + 0.20 > 0.65).
    job = toy_job("a", 2.5, points=(FULL, SLOW), running_pool=0, running_point=0, slowdown_eur_per_h=0.4)
    plan = best(toy_problem([0.1, 0.5, 0.1, 0.1], [job]), 0.65)
    assert run_of(plan, "a").points.tolist() == [0, 0, 0]
    assert run_of(plan, "a").last_slot_fraction == pytest.approx(0.5)


def test_a_cap_that_saves_no_energy_is_not_used(best: Best, run_of: RunOf) -> None:
    # Memory bound: 0.38 kW at speed 0.95 is 0.4 kWh per hour of work, as without a cap, and slowdown costs: 0.4 * 0.2 = 0.08.
    natural = PowerPoint(level=1.0, cap_w=700.0, draw_w=400.0, speed=1.0)
    capped = PowerPoint(level=0.57, cap_w=399.0, draw_w=380.0, speed=0.95)
    job = toy_job("a", points=(natural, capped), slowdown_eur_per_h=0.05, latest_start_slot=0)
    plan = best(toy_problem([0.2, 0.2], [job]), 0.08)
    assert run_of(plan, "a").points.tolist() == [0]


@pytest.mark.parametrize(("preemption_eur", "stopped", "cost_eur"), [(0.2, True, 0.35), (0.45, False, 0.5)])
def test_a_running_job_is_stopped_only_if_the_gain_pays(
    best: Best, preemption_eur: float, stopped: bool, cost_eur: float
) -> None:
    # Go on: 1 kWh at 0.5.  Stop: 1.5 h of work (0.5 h redone) at 0.1 = 0.15, plus the stop: 0.35 or 0.60.
    job = toy_job(
        "a", running_pool=0, running_point=0, stoppable=True, resume_work_s=1800.0, preemption_eur=preemption_eur, due_s=None
    )
    plan = best(toy_problem([0.5, 0.1, 0.1], [job]), cost_eur)
    assert plan.jobs[0].stopped is stopped


@pytest.mark.parametrize("changes", [{"stoppable": False}, {"stoppable": True, "stop_slot": 1}])
def test_a_job_that_may_not_be_stopped_now_goes_on(best: Best, changes: dict[str, Any]) -> None:
    job = toy_job("a", running_pool=0, running_point=0, **changes)
    plan = best(toy_problem([0.5, 0.1, 0.1], [job]), 0.5)
    assert not plan.jobs[0].stopped


def test_a_run_past_the_horizon_pays_the_price_after_it(best: Best) -> None:
    # 3 h of work from slot 1 of 2 at the latest: 0.1 + 0.2 inside and 1 h at the mean price 0.15 after, or later starts:
    # start 0: 0.1 + 0.2 + 0.15 = 0.45; start 1: 0.2 + 2 * 0.15 = 0.50.
    best(toy_problem([0.1, 0.2], [toy_job("a", 3.0)]), 0.45)


def test_every_part_of_the_power_price_counts(best: Best) -> None:
    # (0.10 spot + 0.03 adder + 0.02 carbon) * 1.06 overhead * 1.32 host slope * 1 kW.
    problem = toy_problem(
        [0.1],
        [toy_job("a")],
        pools=(toy_pool(1, it_kw_per_draw_kw=1.32),),
        adder_eur_per_kwh=toy_pool(1, 0.03).gpus_free,
        carbon_eur_per_kwh=toy_pool(1, 0.02).gpus_free,
        overhead_fraction=0.06,
    )
    plan = best(problem, 0.15 * 1.06 * 1.32)
    assert plan.cost_eur["carbon"] == pytest.approx(0.02 * 1.06 * 1.32)
    assert plan.cost_eur["network"] == pytest.approx(0.03 * 1.06 * 1.32)


def test_heat_that_is_not_caught_is_cooled_out_of_the_room_and_the_rest_rejected(best: Best) -> None:
    # 1 kW: half caught and rejected at 0.1 kW/kW, half in the room at 0.2 kW/kW: 1 + 0.05 + 0.10 = 1.15 kWh at 0.2.
    problem = toy_problem(
        [0.2],
        [toy_job("a")],
        pools=(toy_pool(1, captured_kw_per_draw_kw=0.5),),
        plugs=(toy_plug(1, rejection_kw_per_kw=0.1, room_kw_per_kw=0.2),),
    )
    best(problem, 0.23)
