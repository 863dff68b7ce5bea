"""The DispatchPlan object that a decision becomes: it must be one that its own schema takes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from small_world import ACTING, NOW, queued, small_site, snapshot

from scheduler.adapters.kubernetes.plan_object import hourly, plan_object, plan_status, signals, terms
from scheduler.config.kinds import DispatchPlan
from scheduler.core.acting.newcomer import counter_for
from scheduler.domain.decision import Decision
from scheduler.domain.observed import Origin, Origins, SourceReading, unit_of
from scheduler.domain.problem import PlanProblem
from scheduler.domain.signals import Grade
from scheduler.domain.time import Series, TimeGrid, utc
from scheduler.loop.decide import decide


@pytest.fixture(scope="module")
def decision() -> Decision:
    """A decision with two jobs that wait and a heat customer."""
    site = small_site()
    return decide(site, snapshot([queued("a"), queued("b", gpus=16)], site=site), ACTING)


@pytest.fixture(scope="module")
def solved(decision: Decision) -> tuple[Decision, PlanProblem]:
    """The decision, and the problem that its plan solves."""
    site = small_site()
    counter = counter_for(site, snapshot([queued("a"), queued("b", gpus=16)], site=site), ACTING, decision.plan)
    assert counter is not None
    return decision, counter.problem


def test_its_own_schema_takes_it(decision: Decision) -> None:
    made = plan_object("site", decision, ACTING, {"electricity": 12.345, "heat_revenue": -4.0})
    read = DispatchPlan.model_validate(made)
    assert read.spec.policy_ref == "site"
    assert read.status is not None
    assert read.status.plan_id == decision.plan.plan_id
    assert (read.status.held or 0) + (read.status.started or 0) >= 2
    assert [(one.term, one.eur) for one in read.status.baseline] == [("electricity", 12.35), ("heat-revenue", -4.0)]


def test_who_told_what_a_plan_rests_on(decision: Decision) -> None:
    grid = TimeGrid(start_utc=NOW, slot_s=3600, slots=4)

    def told(quantity: str, *values: float) -> SourceReading:
        series = Series(grid=grid, values=np.array(values), unit=unit_of(quantity), source="first")
        return SourceReading(quantity=quantity, series=series, issued_utc=None, fetched_utc=NOW, source="first")

    parts = (Origin(source="first", grade=Grade.PUBLISHED), Origin(source="second", grade=Grade.FORECAST))
    price = replace(told("price", 0.1, 0.2, 0.3, np.nan), origins=Origins(parts=parts, slots=np.array([0, 0, 1, -1])))
    found = signals((price, told("carbon", *[np.nan] * 4), replace(told("outdoor", 1.0, 1.0, 1.0, 2.0), assumed=True)))
    assert [one["quantity"] for one in found] == ["outdoor", "price"]
    # Three of four hours from 10:00 on are known.
    assert found[1] == {
        "quantity": "price",
        "source": "first",
        "others": ["second"],
        "heardAt": "2026-01-14T10:00:00Z",
        "knownUntil": "2026-01-14T13:00:00Z",
        "assumed": False,
    }
    made = plan_object("site", decision, ACTING, {})
    made["status"]["signals"] = found
    read = DispatchPlan.model_validate(made)
    assert read.status is not None
    assert [one.assumed for one in read.status.signals] == [True, False]


def test_a_plan_that_proves_nothing_has_no_gap(decision: Decision) -> None:
    report = replace(decision.plan.report, rolling_gap=float("inf"), rounded_gap=None)
    status = plan_status(replace(decision, plan=replace(decision.plan, report=report)), ACTING, {})
    assert not {"rollingGap", "planGap"} & status.keys()
    json.dumps(status, allow_nan=False)


def test_heat_by_hour_adds_up_to_what_is_offered(decision: Decision) -> None:
    status = plan_status(decision, ACTING, {})
    (plug,) = status["heat"]
    offer = decision.offers[0]
    # The horizon begins on the hour and ends on one, so hourly means times an hour are all the energy of the slots.
    energy_kwh = float(offer.p50_kw.sum()) * offer.grid.slot_h
    assert sum(hour["p50Kw"] for hour in plug["hours"]) == pytest.approx(energy_kwh, abs=0.05 * len(plug["hours"]))
    assert plug["hours"][0]["start"] == "2026-01-14T10:00:00Z"


def test_the_outlook_tells_the_next_day_by_pool_and_customer(solved: tuple[Decision, PlanProblem]) -> None:
    decision, problem = solved
    made = plan_object("site", decision, ACTING, {})
    made["status"] = plan_status(decision, ACTING, {}, problem)
    read = DispatchPlan.model_validate(made)
    assert read.status is not None
    assert read.status.outlook is not None
    found, plan = made["status"]["outlook"], decision.plan
    assert found["start"] == "2026-01-14T10:00:00Z"
    assert len(found["eurPerKwh"]) == 24
    # What pools draw adds up to what the plan says of the site, and sold heat is what it sells.
    it_kw = hourly(np.repeat(plan.it_kw, plan.step_slots), plan.grid)[:24]
    assert np.sum([pool["itKw"] for pool in found["pools"]], axis=0) == pytest.approx(it_kw, abs=0.2)
    (customer,) = found["offtakes"]
    sold_kw = hourly(np.repeat(plan.sold_kw[customer["offtake"]], plan.step_slots), plan.grid)[:24]
    assert customer["heatKw"] == pytest.approx(sold_kw, abs=0.06)
    assert all(heat <= asked + 0.1 for heat, asked in zip(customer["heatKw"], customer["demandKw"], strict=True))
    # Eight and sixteen GPUs of two jobs, at most all of them at once.
    assert 0.0 < max(pool["gpus"][hour] for pool in found["pools"] for hour in range(24)) <= 24.0


def test_a_plan_that_nobody_solved_has_no_outlook(decision: Decision) -> None:
    assert "outlook" not in plan_status(decision, ACTING, {})


def test_a_horizon_that_begins_between_hours_has_a_first_hour_of_fewer_slots() -> None:
    grid = TimeGrid(start_utc=utc("2026-01-14T10:30Z"), slot_s=900, slots=7)
    # 10:30 and 10:45 are 10 o'clock: (1 + 3) / 2; then four slots of 11 o'clock, one of 12 o'clock that is not known.
    assert hourly(np.array([1.0, 3.0, 4.0, 4.0, 4.0, 8.0, np.nan]), grid) == pytest.approx([2.0, 5.0, 0.0])


def test_a_decision_without_offers_tells_no_heat(decision: Decision) -> None:
    assert plan_status(replace(decision, offers=()), ACTING, {})["heat"] == []
    assert plan_status(decision, ACTING, {})["madeAt"] == NOW.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_terms_are_cents_the_largest_first() -> None:
    assert terms({"a": 0.001, "b_c": -7.129, "d": 3.0}) == [{"term": "b-c", "eur": -7.13}, {"term": "d", "eur": 3.0}]
