"""Stale, missing, NaN, frozen or implausible input never becomes a decision: it becomes a named degraded step (design 4.6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from small_world import ACTING, NOW, history, hourly_series, price_curve, queued, running, small_site, snapshot

from scheduler.core.planning import checker
from scheduler.domain.action import HoldJob, ReleaseCap, SetCap, StartJob, StopJob
from scheduler.domain.contract import ElectricityContract, EnergyPriceKind
from scheduler.domain.decision import Decision
from scheduler.domain.plan import Plan, PlanStatus
from scheduler.domain.problem import PlanProblem
from scheduler.domain.site import DemandSource
from scheduler.domain.snapshot import Freshness, Snapshot
from scheduler.domain.time import FloatArray
from scheduler.loop import decide as room
from scheduler.loop.decide import decide

SITE = small_site()
JOBS = (queued("q"), queued("p", "preemptible"), replace(running("r"), cap_w=490.0))
PAST = history()


def seen(**changes: Any) -> Snapshot:
    """A good snapshot with some changes to its past."""
    return snapshot(JOBS, past=replace(PAST, **changes))


def flat(hours: int, value: float) -> FloatArray:
    """A constant array."""
    return np.full(hours, value)


PAST_H = 24 * 14
START = NOW - timedelta(hours=PAST_H)


def demanded(demand_kw: FloatArray) -> Snapshot:
    """A snapshot with this heat demand behind it."""
    return seen(heat_demand_kw={"town": hourly_series(demand_kw, "kW", START)})


BAD = {
    "nan price": (seen(price=hourly_series(flat(PAST_H + 37, np.nan), "EUR/kWh", START)), "price: missing"),
    "price not published": (
        seen(price=hourly_series(price_curve(PAST_H), "EUR/kWh", START)),
        "price: not published for the next hour",
    ),
    "price in EUR/MWh": (seen(price=hourly_series(1000.0 * price_curve(PAST_H + 37), "EUR/kWh", START)), "price: implausible"),
    "negative demand": (demanded(flat(PAST_H, -30.0) - np.arange(PAST_H)), "heat_demand town: missing"),
    "no demand": (seen(heat_demand_kw={}), "heat_demand town: missing"),
    "nan demand": (demanded(flat(PAST_H, np.nan)), "heat_demand town: missing"),
    "frozen demand": (demanded(flat(PAST_H, 30.0)), "heat_demand town: frozen"),
    "demand stopped": (demanded(price_curve(PAST_H - 9)), "heat_demand town: stale"),
    "stale price source": (
        replace(seen(), freshness=(Freshness(source="price", age_s=9e4, max_age_s=7200.0),)),
        "price: stale",
    ),
}


def kinds(decision: Decision) -> set[type]:
    """Kinds of actions."""
    return {type(action) for action in decision.actions}


@pytest.mark.parametrize("name", BAD)
def test_an_unfit_input_is_named_and_planned_by_rule(name: str) -> None:
    snap, reason = BAD[name]
    decision = decide(SITE, snap, ACTING)
    assert decision.plan.status is PlanStatus.RULE_BASED
    assert reason in decision.plan.degraded_reason
    # By rule nobody waits for a price: what fits starts, and caps go.
    assert kinds(decision) == {StartJob, ReleaseCap}


def test_a_young_good_plan_is_followed_first() -> None:
    good = decide(SITE, seen(), ACTING).plan
    assert good.status is PlanStatus.FRESH
    snap = replace(BAD["no demand"][0], observed_utc=NOW + timedelta(hours=1))
    decision = decide(SITE, snap, ACTING, last=good)
    assert decision.plan.status is PlanStatus.LAST_GOOD
    assert decision.plan.plan_id == good.plan_id
    old = replace(snap, observed_utc=NOW + timedelta(hours=4))
    assert decide(SITE, old, ACTING, last=good).plan.status is PlanStatus.RULE_BASED


def test_without_a_view_of_the_jobs_everything_is_let_go() -> None:
    blind = replace(seen(), freshness=(Freshness(source="jobs", age_s=None, max_age_s=120.0),))
    decision = decide(SITE, blind, ACTING)
    assert decision.plan.status is PlanStatus.LET_GO
    assert decision.plan.degraded_reason == "jobs: stale"
    assert kinds(decision) == {StartJob, ReleaseCap}
    assert decision.setpoints == ()
    assert decision.commitments == ()
    assert all(float(offer.p50_kw.max()) == 0.0 for offer in decision.offers)


def test_what_does_not_matter_is_told_and_planned_around() -> None:
    no_carbon = hourly_series(flat(PAST_H, np.nan), "g/kWh", START)
    quiet = seen(carbon=no_carbon, outdoor=hourly_series(flat(1, np.nan), "degC", START))
    priced = replace(SITE, electricity=replace(SITE.electricity, carbon_price_eur_per_tonne=50.0))
    decision = decide(priced, quiet, ACTING)
    assert decision.plan.status is PlanStatus.FRESH
    assert "carbon: missing" in decision.plan.degraded_reason


def test_what_nothing_rests_on_is_not_missed() -> None:
    no_carbon = hourly_series(flat(PAST_H, np.nan), "g/kWh", START)
    steady = tuple(replace(one, demand_source=DemandSource.CONSTANT, supply_curve=((0.0, 50.0),)) for one in SITE.offtakes)
    flat_rate = ElectricityContract(kind=EnergyPriceKind.FIXED, fixed_eur_per_kwh=0.2)
    quiet = seen(carbon=no_carbon, outdoor=hourly_series(flat(1, np.nan), "degC", START))
    decision = decide(replace(SITE, electricity=flat_rate, offtakes=steady), quiet, ACTING)
    assert (decision.plan.status, decision.plan.degraded_reason) == (PlanStatus.FRESH, "")


def test_a_fixed_price_needs_no_price_source() -> None:
    fixed = replace(SITE, electricity=ElectricityContract(kind=EnergyPriceKind.FIXED, fixed_eur_per_kwh=0.2))
    decision = decide(fixed, BAD["nan price"][0], ACTING)
    assert decision.plan.status is PlanStatus.FRESH


def test_a_solver_that_raises_costs_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(problem: PlanProblem, *args: object, **how: object) -> Plan:
        raise ArithmeticError("singular basis")

    monkeypatch.setattr(room, "solve", broken)
    decision = decide(SITE, seen(), ACTING)
    assert decision.plan.status is PlanStatus.RULE_BASED
    assert decision.plan.degraded_reason == "solver failed: ArithmeticError: singular basis"


def test_a_plan_that_the_checker_refuses_is_not_acted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def strict(problem: PlanProblem, plan: Plan) -> tuple[str, ...]:
        fresh = ("capacity: 8 too much at 3",) if plan.status is PlanStatus.FRESH else ()
        return fresh or checker.check_plan(problem, plan)

    monkeypatch.setattr(room, "check_plan", strict)
    decision = decide(SITE, seen(), ACTING)
    assert decision.plan.status is PlanStatus.RULE_BASED
    assert decision.violations == ("capacity: 8 too much at 3",)


def test_nothing_is_held_stopped_or_capped_once_let_go() -> None:
    blind = replace(seen(), freshness=(Freshness(source="cluster", age_s=1e6, max_age_s=120.0),))
    assert not kinds(decide(SITE, blind, ACTING)) & {HoldJob, StopJob, SetCap}
