"""What the operator tells of its decisions and of the API server: it moves with the clock, and vanishes when nobody knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from forecast_world import site
from link_offers import NOON, HandClock, letter, offer
from prometheus_client.parser import text_string_to_metric_families as families

from scheduler.adapters.kubernetes.runtime.caches import CacheAge
from scheduler.adapters.kubernetes.runtime.kinds import JOBS
from scheduler.adapters.metrics.registry import Metrics
from scheduler.domain.plantlink import NetworkState
from scheduler.domain.problem import PlanOfftake, PlanProblem
from scheduler.domain.snapshot import PlantState
from scheduler.domain.time import TimeGrid
from scheduler.entrypoints.operator.counting import Counting
from scheduler.entrypoints.operator.numbers import InForce, Numbers
from scheduler.loop.letters import states_of

KIND = JOBS.plural


def told(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Values of a metric by its labels' values, in the order of the labels' names."""
    found = (each for family in families(metrics.exposition()[0].decode()) for each in family.samples)
    return {
        tuple(value for _, value in sorted(each.labels.items())): each.value
        for each in found
        if each.name == f"heatdispatch_{name}"
    }


def problem(slots: int = 8) -> PlanProblem:
    """Power that grows by a cent each quarter hour, a demand that grows by a kilowatt."""
    grid, nothing = TimeGrid(start_utc=NOON, slot_s=900, slots=slots), np.zeros(slots)
    return PlanProblem(
        grid=grid,
        step_slots=np.ones(slots, dtype=np.int64),
        commit_slots=4,
        spot_eur_per_kwh=0.01 * np.arange(slots, dtype=np.float64),
        adder_eur_per_kwh=np.full(slots, 0.1),
        carbon_eur_per_kwh=np.full(slots, 9.0),
        tail_eur_per_kwh=nothing,
        overhead_fraction=0.0,
        site_limit_kw=nothing,
        pools=(),
        plugs=(),
        offtakes=(PlanOfftake(offtake_id="town", plug=0, demand_kw=np.arange(1.0, slots + 1.0), price_eur_per_kwh=nothing),),
        jobs=(),
    )


def known(**changed: object) -> InForce:
    fields: dict[str, object] = {"offers": (), "plants": (), "problem": problem()}
    return InForce(**(fields | changed))  # type: ignore[arg-type] # fields are named above


def test_heat_of_this_hour_is_the_sum_of_a_plugs_customers() -> None:
    metrics, ramp = Metrics(), np.arange(96) * 4.0
    numbers = Numbers(metrics)
    offers = (offer(100.0), offer(50.0, offtake_id="pool", p50_kw=ramp))
    numbers.keep("day", known(offers=offers))
    numbers.show(NOON)
    # 100 kW and the mean of 0, 4, 8 and 12 kW; firm heat is 80 and 50 kW.
    assert told(metrics, "heat_offer_watts") == {
        ("loop", "p10"): 135_000.0,
        ("loop", "p50"): 106_000.0,
        ("loop", "p90"): pytest.approx(165_000.0),
        ("loop", "firm"): 130_000.0,
    }
    numbers.show(NOON + timedelta(minutes=65))
    # The next hour is 16, 20, 24 and 28 kW.
    assert told(metrics, "heat_offer_watts")["loop", "p50"] == 122_000.0


def test_what_an_hour_has_had_already_counts_as_it_was_planned() -> None:
    """A pump that gives all its heat in the first half of an hour keeps its promise in the second."""
    metrics = Metrics()
    numbers = Numbers(metrics)
    first = np.concatenate([[120.0, 120.0, 0.0, 0.0], np.zeros(92)])
    numbers.keep("day", known(offers=(offer(p50_kw=first, firm_kw=60.0),)))
    later = NOON + timedelta(minutes=30)
    numbers.keep("day", known(offers=(offer(at_utc=later, p50_kw=np.zeros(96), firm_kw=60.0),)))
    numbers.show(later)
    found = told(metrics, "heat_offer_watts")
    assert (found["loop", "p50"], found["loop", "firm"]) == (60_000.0, 60_000.0)
    numbers.show(NOON + timedelta(hours=1))
    assert told(metrics, "heat_offer_watts")["loop", "p50"] == 0.0


def test_price_and_demand_are_those_of_the_present_slot_and_without_carbon() -> None:
    metrics = Metrics()
    numbers = Numbers(metrics)
    numbers.keep("day", known())
    numbers.show(NOON + timedelta(minutes=16))
    # 0.11 EUR/kWh are 110 EUR/MWh.
    assert told(metrics, "electricity_price_euros_per_joule")[("day",)] * 3.6e9 == pytest.approx(110.0)
    assert told(metrics, "heat_demand_watts") == {("town",): 2000.0}


def test_a_cycle_that_could_make_no_problem_leaves_price_and_demand_until_their_hours_are_over() -> None:
    metrics = Metrics()
    numbers = Numbers(metrics)
    numbers.keep("day", known())
    numbers.keep("day", known(problem=None))
    numbers.show(NOON + timedelta(minutes=1))
    assert told(metrics, "heat_demand_watts") == {("town",): 1000.0}
    numbers.show(NOON + timedelta(hours=3))
    assert told(metrics, "heat_demand_watts") == {}
    assert told(metrics, "electricity_price_euros_per_joule") == {}


def test_a_tank_of_which_nothing_is_known_is_no_empty_one() -> None:
    metrics = Metrics()
    numbers = Numbers(metrics)
    plants = (PlantState(plug_id="loop", tank_level_kwh=10.0), PlantState(plug_id="bare", tank_level_kwh=None))
    numbers.keep("day", known(plants=plants))
    numbers.show(NOON)
    assert told(metrics, "tank_joules") == {("loop",): 36e6}
    numbers.keep_only(())
    numbers.show(NOON)
    assert told(metrics, "tank_joules") == {}


def test_a_watch_has_no_duration_and_a_request_without_an_answer_is_counted() -> None:
    metrics = Metrics()
    counting = Counting(metrics, HandClock())
    counting.request("watch", 200, 300.0)
    counting.request("get", 200, 0.02)
    counting.request("get", 0, 4.0)
    assert told(metrics, "api_requests_total") == {("200", "watch"): 1.0, ("200", "get"): 1.0, ("0", "get"): 1.0}
    assert told(metrics, "api_request_duration_seconds_count") == {("get",): 2.0}


def test_writes_are_told_by_what_became_of_them_and_once() -> None:
    metrics = Metrics()
    counting = Counting(metrics, HandClock())
    for outcome in ("done", "done", "fenced", "unchanged", "conflict"):
        counting.writes.count("patch", JOBS, outcome)
    counting.gauges(())
    counting.gauges(())
    assert told(metrics, "api_writes_total") == {(KIND, "patch"): 2.0}
    assert told(metrics, "api_writes_fenced_total") == {(KIND,): 1.0}


def age(name: str, *, missing: bool = False) -> CacheAge:
    return CacheAge(
        name=name, objects=0, synced=True, missing=missing, event_s=30.0, turn_s=1.0, relists=3, lists={"start": 1, "gone": 2}
    )


def test_a_kind_that_a_cluster_does_not_have_does_not_age() -> None:
    """Without Kueue there are no Workloads: to page somebody for that would be wrong."""
    metrics, clock = Metrics(), HandClock()
    counting = Counting(metrics, clock)
    counting.gauges((age("jobs"), age("workloads", missing=True)))
    assert told(metrics, "store_last_event_timestamp_seconds") == {("jobs",): NOON.timestamp() - 30.0}
    assert told(metrics, "store_relists_total")["jobs", "gone"] == 2.0


def test_heat_that_was_reckoned_and_does_not_arrive_is_told_and_vanishes_with_the_measurement() -> None:
    town = site().offtakes[0]
    two = replace(site(), offtakes=(town, replace(town, offtake_id="school")))
    metrics = Metrics()
    numbers = Numbers(metrics)
    offers = tuple(offer(kw, offtake_id=name, plug_id="plug") for name, kw in (("town", 100.0), ("school", 20.0)))

    def measured(**heat_kw: float) -> tuple[PlantState, ...]:
        letters = {name: (letter(NetworkState(at_utc=NOON, heat_kw=kw), offtake_id=name),) for name, kw in heat_kw.items()}
        return states_of(two, letters, NOON)

    numbers.keep("day", known(offers=offers, plants=measured(town=60.0, school=15.0)))
    numbers.show(NOON)
    # 100 + 20 kW reckoned, 60 + 15 measured: 45 do not arrive.
    assert told(metrics, "heat_metered_watts") == {("plug",): 75_000.0}
    assert told(metrics, "heat_residual_watts") == {("plug",): 45_000.0}
    # One customer measures nothing: what the other one measures says nothing of the plug.
    numbers.keep("day", known(offers=offers, plants=measured(town=60.0)))
    numbers.show(NOON)
    assert told(metrics, "heat_metered_watts") == told(metrics, "heat_residual_watts") == {}
    # Advice: nobody has to take it.
    advice = tuple(replace(one, advisory=True) for one in offers)
    numbers.keep("day", known(offers=advice, plants=measured(town=0.0, school=0.0)))
    numbers.show(NOON)
    assert told(metrics, "heat_metered_watts") == {("plug",): 0.0}
    assert told(metrics, "heat_residual_watts") == {}
