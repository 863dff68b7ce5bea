"""What any plan must obey, whatever the site: bounds, monotonicity and no delay without a reason, on generated problems.

A plan has a gap, so quantities are compared with e = cost - bound of both plans. A relaxed problem is tested by its bound:
it may never lie above the cost of any plan of the problem that it relaxes.

All laws are tried on the same problems, numbered from 0, each of which is planned once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from scheduler.core.planning.aggregate import Prices, base_load_eur
from scheduler.core.planning.brute import brute_optimum
from scheduler.core.planning.checker import check_plan
from scheduler.core.planning.digest import digest_of
from scheduler.core.planning.fallback import rule_plan
from scheduler.core.planning.instances import instance
from scheduler.core.planning.pricing import Pricing
from scheduler.core.planning.solve import solve
from scheduler.core.planning.toy import FULL, HALF_POWER, per_slot, toy_job, toy_offtake, toy_plug, toy_pool, toy_problem
from scheduler.core.planning.toy import toy_promise as promise
from scheduler.domain.plan import Plan
from scheduler.domain.problem import PlanJob, PlanOfftake, PlanPlug, PlanProblem
from scheduler.domain.settings import SolveBudget
from scheduler.units import S_PER_H

SLOTS = 6
QUICK = SolveBudget(bundle_steps=20, master_rounds=1, mip_nodes=20, dive_batches=20)
NEAR_EUR = 1e-6

Relaxation = Callable[[PlanProblem], PlanProblem]


@cache
def tiny(seed: int) -> PlanProblem:
    """Two pools on one plug with or without a heat pump, a tank, one customer, three or four jobs, six hours, all integral."""
    rng = np.random.default_rng(seed)
    pools = tuple(
        toy_pool(
            SLOTS,
            float(rng.integers(4, 7)),
            pool_id=name,
            base_it_kw=np.full(SLOTS, 2.0),
            base_captured_kw=rng.uniform(0.0, 2.0, SLOTS),
            it_kw_per_draw_kw=float(rng.uniform(1.0, 1.3)),
            captured_kw_per_draw_kw=float(rng.uniform(0.6, 1.0)),
        )
        for name in ("a", "b")
    )
    jobs = tuple(_job(rng, f"j{index}") for index in range(int(rng.integers(3, 5))))
    return toy_problem(
        rng.uniform(-0.02, 0.35, SLOTS),
        jobs,
        pools=pools,
        plugs=(_plug(rng),),
        offtakes=(toy_offtake(SLOTS, rng.uniform(0.0, 6.0, SLOTS).tolist(), rng.uniform(0.02, 0.1, SLOTS).tolist()),),
        commitments=(promise(1, 3, 2.0),) if rng.random() < 0.5 else (),
        adder_eur_per_kwh=per_slot(0.025, SLOTS),
        carbon_eur_per_kwh=rng.uniform(0.0, 0.03, SLOTS),
        overhead_fraction=0.05,
        site_limit_kw=per_slot(14.0 if rng.random() < 0.5 else np.inf, SLOTS),
    )


def _job(rng: np.random.Generator, name: str) -> PlanJob:
    """One to four GPUs for half an hour to three; every other job has a due time, some run and may be stopped."""
    runs = rng.random() < 0.25
    gpus, hours = int(rng.integers(1, 5)), float(rng.uniform(0.5, 3.0))
    return toy_job(
        name,
        hours,
        gpus,
        points=(FULL, HALF_POWER) if rng.random() < 0.7 else (FULL,),
        pools=(0, 1) if rng.random() < 0.7 else (int(rng.integers(2)),),
        release_slot=0 if runs else int(rng.integers(0, 3)),
        due_s=float(rng.uniform(2.0, 6.0)) * S_PER_H if rng.random() < 0.5 else None,
        running_pool=int(rng.integers(2)) if runs else None,
        running_point=0 if runs else None,
        stoppable=runs and rng.random() < 0.7,
        resume_work_s=300.0,
        preemption_eur=0.1 * gpus,
        waiting_eur_per_h=0.01 * gpus,
        lateness_eur_per_h=0.2 * gpus,
        slowdown_eur_per_h=float(rng.choice([0.0, 0.05])) * gpus,
    )


def _plug(rng: np.random.Generator) -> PlanPlug:
    """Direct use or a heat pump, half of the pumps with a minimum load; a tank that is a quarter full."""
    pump = rng.random() < 0.6
    return toy_plug(
        SLOTS,
        float(rng.uniform(2.0, 8.0)),
        cop=rng.uniform(2.5, 5.0, SLOTS) if pump else None,
        min_load_fraction=0.3 if pump and rng.random() < 0.5 else 0.0,
        start_cost_eur=0.02 if pump else 0.0,
        tank_capacity_kwh=4.0,
        tank_level_kwh=1.0,
        tank_end_kwh=0.5,
        max_charge_kw=2.0,
        max_discharge_kw=2.0,
        tank_loss_per_h_fraction=0.01,
        rejection_kw_per_kw=0.03,
    )


@cache
def medium(seed: int) -> PlanProblem:
    """A dozen jobs on two dozen GPUs, two days of quarter hours and hours, two plugs, four customers, firm heat."""
    return instance(12, seed)


@cache
def planned(problem: PlanProblem) -> Plan:
    """A quick plan, made once of each problem."""
    return solve(problem, QUICK)


@cache
def best_eur(problem: PlanProblem) -> float:
    """What the best plan costs, by trying all."""
    return brute_optimum(problem).cost_eur


def gap_eur(plan: Plan) -> float:
    """By how much the plan may be dearer than the best one."""
    return plan.report.objective_eur - plan.report.bound_eur


def near_eur(plan: Plan) -> float:
    """Rounding of sums of the plan's terms."""
    return NEAR_EUR * (1.0 + sum(abs(value) for value in plan.cost_eur.values()))


def sold_kwh(problem: PlanProblem, plan: Plan) -> float:
    """Heat sold to all customers inside the horizon."""
    hours = problem.step_slots * problem.grid.slot_h
    return float(sum((kw * hours).sum() for kw in plan.sold_kw.values()))


# --- bounds


def assert_bounded(problem: PlanProblem) -> None:
    """Bound <= plan <= the plan of the simplest rule, and the checker has nothing to say about either."""
    plan, rule = planned(problem), rule_plan(problem, digest=digest_of(problem))
    assert check_plan(problem, plan) == ()
    assert check_plan(problem, rule) == ()
    assert plan.report.bound_eur <= plan.report.objective_eur
    assert plan.report.objective_eur <= rule.report.objective_eur + near_eur(rule)


@pytest.mark.parametrize("seed", range(24))
def test_a_plan_lies_between_its_bound_and_the_first_come_plan(seed: int) -> None:
    assert_bounded(tiny(seed))


@pytest.mark.parametrize("seed", [0, 2])
def test_a_longer_plan_lies_between_its_bound_and_the_first_come_plan(seed: int) -> None:
    assert_bounded(medium(seed))


@pytest.mark.parametrize("seed", range(24))
def test_no_plan_beats_brute_force_and_no_bound_exceeds_it(seed: int) -> None:
    plan, best = planned(tiny(seed)), best_eur(tiny(seed))
    assert plan.report.bound_eur <= best + near_eur(plan)
    assert plan.report.objective_eur >= best - near_eur(plan)


@pytest.mark.parametrize("seed", range(20))
def test_a_bound_holds_at_any_prices(seed: int) -> None:
    """The bound as it is computed, not as a plan reports it, which is never above its own cost."""
    problem, rng = tiny(seed), np.random.default_rng([seed, 1])
    pricing = Pricing(problem)
    base_eur = base_load_eur(problem, pricing.frame)
    guesses = [
        Prices(
            gpu_eur_per_gpu_h=rng.uniform(0.0, most, pricing.shape), draw_eur_per_kwh=rng.uniform(-most, most, pricing.shape)
        )
        for most in (0.01, 0.05, 0.2, 1.0)
    ]
    bounds = [pricing.tightened(pricing.bound(prices), 0.0) for prices in guesses]
    assert max(bound.eur for bound in bounds) + base_eur <= best_eur(problem) + NEAR_EUR * 100.0


# --- monotonicity


def dearer_heat(problem: PlanProblem, eur_per_kwh: float) -> PlanProblem:
    """Every customer pays more, at all times."""
    offtakes = tuple(replace(one, price_eur_per_kwh=one.price_eur_per_kwh + eur_per_kwh) for one in problem.offtakes)
    return replace(problem, offtakes=offtakes)


def assert_sells_no_less(problem: PlanProblem, rise_eur_per_kwh: float) -> None:
    """Q' >= Q - (e + e') / (v' - v): both plans are within their gaps of the best, and only v Q tells the problems apart."""
    dearer = dearer_heat(problem, rise_eur_per_kwh)
    plan, other = planned(problem), planned(dearer)
    slack_kwh = (gap_eur(plan) + gap_eur(other) + near_eur(plan) + near_eur(other)) / rise_eur_per_kwh
    assert sold_kwh(dearer, other) >= sold_kwh(problem, plan) - slack_kwh


@pytest.mark.parametrize(("seed", "rise_eur_per_kwh"), [(seed, (0.01, 0.05, 0.2)[seed % 3]) for seed in range(12)])
def test_a_higher_heat_price_never_gives_less_heat(seed: int, rise_eur_per_kwh: float) -> None:
    assert_sells_no_less(tiny(seed), rise_eur_per_kwh)


def test_a_higher_heat_price_never_gives_less_heat_in_two_days() -> None:
    assert_sells_no_less(medium(0), 0.05)


def more_tank(problem: PlanProblem) -> PlanProblem:
    """Twice the tank, same level now, same level wanted at the end."""
    return with_plugs(problem, lambda plug: replace(plug, tank_capacity_kwh=2.0 * plug.tank_capacity_kwh))


def faster_tank(problem: PlanProblem) -> PlanProblem:
    """Twice the flow into and out of the tank."""
    return with_plugs(
        problem,
        lambda plug: replace(plug, max_charge_kw=2.0 * plug.max_charge_kw, max_discharge_kw=2.0 * plug.max_discharge_kw),
    )


def more_pump(problem: PlanProblem) -> PlanProblem:
    """Half as much again of rated heat; the minimum load in kW stays what it was."""
    return with_plugs(
        problem,
        lambda plug: replace(plug, rated_heat_kw=1.5 * plug.rated_heat_kw, min_load_fraction=plug.min_load_fraction / 1.5),
    )


def with_plugs(problem: PlanProblem, change: Callable[[PlanPlug], PlanPlug]) -> PlanProblem:
    """Every plug changed."""
    return replace(problem, plugs=tuple(change(plug) for plug in problem.plugs))


def more_demand(problem: PlanProblem) -> PlanProblem:
    """Customers would take half as much again."""

    def more(one: PlanOfftake) -> PlanOfftake:
        return replace(one, demand_kw=1.5 * one.demand_kw)

    return replace(problem, offtakes=tuple(more(one) for one in problem.offtakes))


def more_import(problem: PlanProblem) -> PlanProblem:
    """5 kW more from the grid."""
    return replace(problem, site_limit_kw=problem.site_limit_kw + 5.0)


def more_gpus(problem: PlanProblem) -> PlanProblem:
    """Two free GPUs more in each pool, without any load of their own."""
    return replace(problem, pools=tuple(replace(pool, gpus_free=pool.gpus_free + 2.0) for pool in problem.pools))


RELAXATIONS = [more_tank, faster_tank, more_pump, more_demand, more_import, more_gpus]


# Five problems of each, others for the next.
RELAXED = [((5 * number + step) % 24, relax) for number, relax in enumerate(RELAXATIONS) for step in range(5)]


@cache
def relaxed_plan(problem: PlanProblem, relax: Relaxation) -> Plan:
    """The plan of a problem with more of something."""
    return solve(relax(problem), QUICK)


def assert_costs_no_more(problem: PlanProblem, relax: Relaxation) -> None:
    """The bound of the relaxed problem is no higher than the cost of a plan of the original."""
    plan, relaxed = planned(problem), relaxed_plan(problem, relax)
    assert relaxed.report.bound_eur <= plan.report.objective_eur + near_eur(plan)


@pytest.mark.parametrize(("seed", "relax"), RELAXED)
def test_more_of_anything_never_costs_more(seed: int, relax: Relaxation) -> None:
    assert_costs_no_more(tiny(seed), relax)


@pytest.mark.parametrize(("seed", "relax"), RELAXED)
def test_the_optimum_of_a_relaxed_problem_is_no_higher(seed: int, relax: Relaxation) -> None:
    """The same without gaps: the bound of the relaxed problem against the proven optimum of the original."""
    relaxed = relaxed_plan(tiny(seed), relax)
    assert relaxed.report.bound_eur <= best_eur(tiny(seed)) + near_eur(relaxed)


@pytest.mark.parametrize("relax", RELAXATIONS)
def test_more_of_anything_never_costs_more_in_two_days(relax: Relaxation) -> None:
    assert_costs_no_more(medium(5), relax)


# --- no delay without a reason


def flat(problem: PlanProblem) -> PlanProblem:
    """The same price, carbon and COP at all times, no customer, no promise, room for everyone, no limit."""

    def roomy(free: np.ndarray) -> np.ndarray:
        return np.full_like(free, 10_000.0)

    slots = problem.grid.slots
    return replace(
        problem,
        spot_eur_per_kwh=per_slot(0.1, slots),
        adder_eur_per_kwh=per_slot(0.025, slots),
        carbon_eur_per_kwh=per_slot(0.02, slots),
        tail_eur_per_kwh=np.full_like(problem.tail_eur_per_kwh, 0.145),
        site_limit_kw=per_slot(np.inf, slots),
        pools=tuple(replace(pool, gpus_free=roomy(pool.gpus_free)) for pool in problem.pools),
        plugs=tuple(
            replace(
                plug,
                cop=None if plug.cop is None else per_slot(3.0, slots),
                rated_heat_kw=per_slot(float(plug.rated_heat_kw.max()), slots),
                rejection_max_kw=None,
            )
            for plug in problem.plugs
        ),
        offtakes=(),
        commitments=(),
        demand_charge_eur_per_kw=0.0,
    )


def assert_starts_at_release(problem: PlanProblem, plan: Plan) -> None:
    """Every job is decided and starts in its first slot."""
    for job, decided in zip(problem.jobs, plan.jobs, strict=True):
        assert decided.unplaced_fraction == pytest.approx(0.0, abs=1e-6)
        assert {option.start_slot for option in decided.options} == {job.release_slot}


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_delayed_without_a_reason(seed: int) -> None:
    problem = flat(tiny(seed))
    assert_starts_at_release(problem, planned(problem))


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_slowed_where_time_is_worth_more_than_power(seed: int) -> None:
    # At half power an hour of work takes 4/3 h at 0.5 kW: 1/3 kWh less in 1/3 h more, so an hour of delay saves 1 kWh.
    # That costs at most (0.145 EUR/kWh) * 1.3 host slope * 1.05 overhead + 3 % rejection: under 0.21 EUR; time is worth 0.3.
    problem = flat(tiny(seed))
    problem = replace(problem, jobs=tuple(replace(job, slowdown_eur_per_h=0.3 * job.gpus) for job in problem.jobs))
    plan = planned(problem)
    assert_starts_at_release(problem, plan)
    assert all(not option.points.any() for job in plan.jobs for option in job.options)


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_delayed_without_a_reason_in_two_days(seed: int) -> None:
    problem = flat(medium(seed))
    plan = planned(problem)
    assert_starts_at_release(problem, plan)
    assert plan.slacks == ()
