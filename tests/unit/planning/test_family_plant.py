"""Sale, heat pump, tank, ramp: one family at a time, each optimum worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scheduler.core.planning.plant_families import TIE_EUR_PER_KWH, priority_bonus
from scheduler.core.planning.solve import solve
from scheduler.core.planning.toy import per_slot, toy_job, toy_offtake, toy_plug, toy_pool, toy_problem, toy_promise
from scheduler.domain.plan import Plan, RunOption
from scheduler.domain.problem import PlanProblem
from scheduler.domain.settings import SolveBudget

Best = Callable[[PlanProblem, float], Plan]
RunOf = Callable[[Plan, str], RunOption]


def warm_pool(slots: int, captured_kw: float) -> object:
    """A pool whose base load gives heat for nothing."""
    return toy_pool(slots, base_captured_kw=np.full(slots, captured_kw))


def test_a_job_waits_for_the_demand_and_sells_no_more_than_that(best: Best, run_of: RunOf) -> None:
    # 2 kW at 0.1 = 0.20 in either slot; in slot 1 the town takes 1 of the 2 kW for 0.08: 0.12.
    problem = toy_problem(
        [0.1, 0.1], [toy_job("a", gpus=2)], plugs=(toy_plug(2, 10.0),), offtakes=(toy_offtake(2, [0.0, 1.0], 0.08),)
    )
    plan = best(problem, 0.12)
    assert run_of(plan, "a").start_slot == 1
    assert plan.sold_kw["town"] == pytest.approx([0.0, 1.0])


def test_the_exchanger_limits_what_is_delivered(best: Best) -> None:
    # 2 kW caught, 1.5 kW rated, 5 kW wanted at 0.1.
    problem = toy_problem([0.1], pools=(warm_pool(1, 2.0),), plugs=(toy_plug(1, 1.5),), offtakes=(toy_offtake(1, 5.0, 0.1),))
    assert best(problem, -0.15).sold_kw["town"] == pytest.approx([1.5])


def test_the_better_price_is_served_first_when_priorities_are_equal(best: Best) -> None:
    # 1.5 kW for two customers of 1 kW: 1 * 0.08 + 0.5 * 0.05.
    offtakes = (toy_offtake(1, 1.0, 0.05, "cheap"), toy_offtake(1, 1.0, 0.08, "dear"))
    problem = toy_problem([0.1], pools=(warm_pool(1, 1.5),), plugs=(toy_plug(1, 10.0),), offtakes=offtakes)
    plan = best(problem, -0.105)
    assert plan.sold_kw["cheap"] == pytest.approx([0.5])


@pytest.mark.parametrize("first", [0, 1])
def test_at_equal_prices_the_first_priority_is_served_first(best: Best, first: int) -> None:
    # 1.5 kW for two customers of 1 kW at 0.08, named in either order: the tie-break costs nothing, 1.5 * 0.08 = 0.12 is earned.
    two = [toy_offtake(1, 1.0, 0.08, "early", priority=1), toy_offtake(1, 1.0, 0.08, "late", priority=7)]
    problem = toy_problem([0.1], pools=(warm_pool(1, 1.5),), plugs=(toy_plug(1, 10.0),), offtakes=(two[first], two[1 - first]))
    plan = best(problem, -0.12)
    assert plan.sold_kw["early"] == pytest.approx([1.0])
    assert plan.sold_kw["late"] == pytest.approx([0.5])


def test_a_better_price_outweighs_priority(best: Best) -> None:
    # The late one pays a hundredth of a cent more: 1 * 0.0801 + 0.5 * 0.08.
    offtakes = (toy_offtake(1, 1.0, 0.08, "early", priority=1), toy_offtake(1, 1.0, 0.0801, "late", priority=2))
    problem = toy_problem([0.1], pools=(warm_pool(1, 1.5),), plugs=(toy_plug(1, 10.0),), offtakes=offtakes)
    plan = best(problem, -0.1201)
    assert plan.sold_kw["early"] == pytest.approx([0.5])
    assert plan.sold_kw["late"] == pytest.approx([1.0])


def test_firm_heat_outweighs_priority(best: Best) -> None:
    # Both pay 0.08, 1 kWh is promised to the late one (customer 0) at 0.16 per kWh missing: 1.5 * 0.08, nothing falls short.
    offtakes = (toy_offtake(1, 1.0, 0.08, "late", priority=2), toy_offtake(1, 1.0, 0.08, "early", priority=1))
    problem = toy_problem(
        [0.1], pools=(warm_pool(1, 1.5),), plugs=(toy_plug(1, 10.0),), offtakes=offtakes, commitments=(toy_promise(0, 1, 1.0),)
    )
    plan = best(problem, -0.12)
    assert plan.sold_kw["late"] == pytest.approx([1.0])
    assert plan.sold_kw["early"] == pytest.approx([0.5])


def test_the_tie_break_counts_the_customers_of_a_plug_alone() -> None:
    # Plug 0 has the numbers 1, 4, 4: one number behind the first. Plug 1 has one customer: nothing to break.
    given = [(0, 4), (0, 1), (0, 4), (1, 9)]
    offtakes = tuple(replace(toy_offtake(1, 1.0, 0.1, f"{i}", priority), plug=plug) for i, (plug, priority) in enumerate(given))
    problem = toy_problem([0.1], plugs=(toy_plug(1), toy_plug(1, plug_id="other")), offtakes=offtakes)
    assert priority_bonus(problem) == pytest.approx([0.0, TIE_EUR_PER_KWH, 0.0, 0.0])


def test_a_heat_pump_lifts_heat_while_its_margin_is_positive(best: Best) -> None:
    # COP 3: 2 kW caught give 2 * 3 / 2 = 3 kW delivered for 1 kW of power: 0.05 - 3 * 0.08 = -0.19.
    problem = pump_problem(0.05)
    plan = best(problem, -0.19)
    assert plan.flows[0].pump_kw_el == pytest.approx([1.0])
    assert plan.flows[0].delivered_kw == pytest.approx([3.0])


def test_a_heat_pump_rests_when_power_costs_more_than_cop_times_the_tariff(best: Best) -> None:
    # 0.08 * 3 = 0.24 < 0.25.
    assert best(pump_problem(0.25), 0.0).sold_kw["town"] == pytest.approx([0.0])


def test_a_heat_pump_runs_for_its_power_alone_while_power_is_paid_for(best: Best) -> None:
    # Nobody takes heat, but 3 kW delivered and thrown away use 1 kW of power at -0.05, for a start of 0.01.
    idle_town = (toy_offtake(1, 0.0, 0.08),)
    plan = best(replace(pump_problem(-0.05, start_cost_eur=0.01), offtakes=idle_town), -0.04)
    assert plan.flows[0].dumped_kw == pytest.approx([3.0])


def test_a_start_to_come_is_paid_by_the_share_of_the_heat_that_is_of_use() -> None:
    # Hour 1 is relaxed: 3 of at most 5 useful kW are 0.6 of a start of 0.20, not 0.3 of it as 3 of 10 rated kW were.
    hours = 2
    problem = toy_problem(
        [0.05] * hours,
        pools=(toy_pool(hours, base_captured_kw=np.array([0.0, 2.0])),),
        plugs=(toy_plug(hours, 10.0, cop=np.full(hours, 3.0), start_cost_eur=0.2),),
        offtakes=(toy_offtake(hours, 5.0, 0.08),),
        commit_slots=1,
    )
    plan = solve(problem, SolveBudget())
    assert plan.cost_eur["pump_start"] == pytest.approx(0.6 * 0.2)
    assert plan.report.objective_eur == pytest.approx(0.05 - 3 * 0.08 + 0.12)


def test_a_heat_pump_below_its_minimum_load_stays_off(best: Best) -> None:
    # Minimum load 0.5 * 10 kW = 5 kW, but 2 kW caught make 3 kW.
    best(pump_problem(0.05, min_load_fraction=0.5), 0.0)


@pytest.mark.parametrize(("pump_on", "cost_eur"), [(False, 0.0), (True, -0.19)])
def test_a_start_must_pay_for_itself(best: Best, pump_on: bool, cost_eur: float) -> None:
    # A start costs 0.20, the hour earns 0.19.
    best(pump_problem(0.05, start_cost_eur=0.2, pump_on=pump_on), cost_eur)


def pump_problem(price_eur_per_kwh: float, **changes: object) -> PlanProblem:
    """One hour, 2 kW caught, a heat pump of 10 kW with COP 3, a town that takes 5 kW at 0.08."""
    return toy_problem(
        [price_eur_per_kwh],
        pools=(warm_pool(1, 2.0),),
        plugs=(toy_plug(1, 10.0, cop=per_slot(3.0, 1), **changes),),
        offtakes=(toy_offtake(1, 5.0, 0.08),),
    )


@pytest.mark.parametrize(("loss", "sold_kw"), [(0.0, 2.0), (0.1, 1.9)])
def test_a_tank_carries_heat_to_the_hour_that_wants_it(best: Best, loss: float, sold_kw: float) -> None:
    # 1 kWh charged in slot 0 is 1 kWh or 0.9 kWh at the end of slot 1; with the 1 kW caught then: 2 or 1.9 kW sold at 0.1.
    problem = toy_problem(
        [0.1, 0.1],
        pools=(warm_pool(2, 1.0),),
        plugs=(tank_plug(2, rated_kw=1.0, tank_loss_per_h_fraction=loss),),
        offtakes=(toy_offtake(2, [0.0, 2.0], 0.1),),
    )
    plan = best(problem, -0.1 * sold_kw)
    assert plan.sold_kw["town"] == pytest.approx([0.0, sold_kw])
    assert plan.flows[0].tank_kwh == pytest.approx([1.0, 0.0], abs=1e-6)


def tank_plug(slots: int, rated_kw: float, **changes: object) -> object:
    """A plug for direct use with a tank of 5 kWh, 1 kW in and out."""
    return toy_plug(slots, rated_kw, tank_capacity_kwh=5.0, max_charge_kw=1.0, max_discharge_kw=1.0, **changes)


def test_a_full_tank_takes_no_more(best: Best) -> None:
    # Level 4.5 of 5: half a kWh fits, so 0.5 + 2 * 1 kWh reach slots 1 and 2 beside the 4.5: discharge 1 kW each.
    problem = toy_problem(
        [0.1, 0.1, 0.1],
        pools=(warm_pool(3, 1.0),),
        plugs=(tank_plug(3, rated_kw=1.0, tank_level_kwh=4.5),),
        offtakes=(toy_offtake(3, [0.0, 3.0, 3.0], 0.1),),
    )
    plan = best(problem, -0.4)
    assert float(plan.flows[0].tank_kwh.max()) <= 5.0 + 1e-6


@pytest.mark.parametrize(("heat_eur_per_kwh", "cost_eur", "level_kwh"), [(0.1, 0.0, 1.0), (0.3, -0.3 + 0.2, 0.0)])
def test_the_end_level_is_kept_unless_heat_is_worth_more(
    best: Best, heat_eur_per_kwh: float, cost_eur: float, level_kwh: float
) -> None:
    # 1 kWh in the tank, 1 kWh wanted at the end; a missing kWh costs 0.2.
    problem = toy_problem(
        [0.1],
        plugs=(tank_plug(1, rated_kw=1.0, tank_level_kwh=1.0, tank_end_kwh=1.0),),
        offtakes=(toy_offtake(1, 1.0, heat_eur_per_kwh),),
    )
    plan = best(problem, cost_eur)
    assert plan.flows[0].tank_kwh[-1] == pytest.approx(level_kwh, abs=1e-6)


def test_delivery_rises_no_faster_than_the_ramp(best: Best) -> None:
    # 3 kW caught, nothing delivered so far, 1 kW per hour: 1 + 2 + 3 kWh at 0.1.
    problem = toy_problem(
        [0.1, 0.1, 0.1],
        pools=(warm_pool(3, 3.0),),
        plugs=(toy_plug(3, 10.0, ramp_kw_per_h=1.0, delivered_kw=0.0),),
        offtakes=(toy_offtake(3, 3.0, 0.1),),
    )
    assert best(problem, -0.6).sold_kw["town"] == pytest.approx([1.0, 2.0, 3.0])


def test_heat_that_nobody_wants_is_rejected_and_paid_for(best: Best) -> None:
    # The job must run in the only slot; no demand: 1 kW at 0.1 and 0.08 kW of fans.
    problem = toy_problem([0.1], [toy_job("a")], plugs=(toy_plug(1, 5.0, rejection_kw_per_kw=0.08),))
    plan = best(problem, 0.108)
    assert plan.flows[0].rejected_kw == pytest.approx([1.0])


def test_cooling_of_a_base_load_that_rises_with_the_price_is_priced_alike_in_plan_and_bound() -> None:
    """Slot 0 is a step, slots 1 to 3 are one; half a kW of cooling per kW caught, and everything is caught.

    IT by the slot: 0.1 * 1 + 0.1 * 1 + 0.3 * 3 + 0.2 * 2 = 1.5.
    Cooling by the step: 0.5 * 1 * 0.1 + 0.5 * 2 * 3 h * 0.2 = 0.65.
    By the slot it would be 0.75: a bound of 2.25 EUR above a plan of 2.15 EUR.
    """
    base_kw = per_slot([1.0, 1.0, 3.0, 2.0], 4)
    problem = toy_problem(
        [0.1, 0.1, 0.3, 0.2],
        step_slots=np.array([1, 3]),
        commit_slots=1,
        pools=(toy_pool(4, base_it_kw=base_kw, base_captured_kw=base_kw),),
        plugs=(toy_plug(4, rejection_kw_per_kw=0.5),),
    )
    plan = solve(problem, SolveBudget())
    assert plan.report.objective_eur == pytest.approx(2.15)
    assert plan.report.bound_eur == pytest.approx(2.15)
