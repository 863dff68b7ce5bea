"""What a snapshot says when something is missing, old or only assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from small_world import ACTING, NOW, history, queued, small_site

from scheduler.core.accounting.past import on_quarters
from scheduler.core.acting.guard import stale_sources
from scheduler.domain.contract import ElectricityContract, EnergyPriceKind
from scheduler.domain.observed import (
    ARRIVED_GPU_H,
    CARBON,
    HEAT_DEMAND,
    INSULATED_GPUS,
    IT_KW,
    OUTDOOR,
    PRICE,
    EndedJob,
    Past,
    SourceReading,
    key_of,
    unit_of,
)
from scheduler.domain.plan import PlanStatus
from scheduler.domain.site import DemandSource, Site
from scheduler.domain.snapshot import FinishedJob, PlantState, Snapshot
from scheduler.domain.time import Series, TimeGrid, utc
from scheduler.loop.decide import decide
from scheduler.loop.snapshot import Seen, snapshot_of

NAN = float("nan")
SITE = small_site()
PLANT = PlantState(plug_id="plug", tank_level_kwh=20.0)


def quarters(values: Sequence[float], end_utc: datetime = NOW, key: str = PRICE) -> Series:
    grid = TimeGrid(start_utc=end_utc - timedelta(minutes=15 * len(values)), slot_s=900, slots=len(values))
    return Series(grid=grid, values=np.asarray(values, dtype=np.float64), unit=unit_of(key), source="meter")


def said(quantity: str, series: Series, *, age_s: float = 60.0, assumed: bool = False) -> SourceReading:
    heard = NOW - timedelta(seconds=age_s)
    return SourceReading(quantity=quantity, series=series, issued_utc=None, fetched_utc=heard, source="feed", assumed=assumed)


def told() -> dict[str, SourceReading]:
    past = history()
    series = {PRICE: past.price, CARBON: past.carbon, OUTDOOR: past.outdoor, HEAT_DEMAND: past.heat_demand_kw["town"]}
    return {quantity: said(quantity, one) for quantity, one in series.items()}


def seen(readings: dict[str, SourceReading] | None = None, past: Past | None = None, now_utc: datetime = NOW) -> Seen:
    return Seen(
        observed_utc=now_utc,
        sequence=7,
        jobs=(queued("a"), queued("b", "preemptible")),
        jobs_seen_utc=now_utc,
        past=past or Past(),
        readings=tuple((told() if readings is None else readings).values()),
        plants=(PLANT,),
        available_gpus={"pool-0": 64},
    )


def ages(snapshot: Snapshot) -> dict[str, float | None]:
    return {one.source: one.age_s for one in snapshot.freshness}


def test_with_every_source_speaking_a_plan_is_made() -> None:
    snapshot = snapshot_of(SITE, seen())
    assert ages(snapshot) == {"jobs": 0.0, "price": 60.0, "carbon": 60.0, "outdoor": 60.0, "heat_demand": 60.0}
    assert snapshot.sequence == 7
    assert decide(SITE, snapshot, ACTING).plan.status is PlanStatus.FRESH


def test_nothing_seen_at_all_is_a_snapshot_too_and_lets_go() -> None:
    nothing = replace(seen({}), jobs=(), jobs_seen_utc=None, plants=(), available_gpus={})
    snapshot = snapshot_of(SITE, nothing)
    assert ages(snapshot) == {"jobs": None, "price": None, "heat_demand": None}
    assert snapshot.history.price.grid.slots == snapshot.history.carbon.grid.slots == 0
    assert snapshot.history.insulated_gpus is None
    assert snapshot.peak_kw == 0.0
    assert decide(SITE, snapshot, ACTING).plan.status is PlanStatus.LET_GO


@pytest.mark.parametrize("lost", [PRICE, HEAT_DEMAND])
def test_a_lost_market_source_steps_down_by_name(lost: str) -> None:
    readings = told()
    del readings[lost]
    plan = decide(SITE, snapshot_of(SITE, seen(readings)), ACTING).plan
    assert plan.status is PlanStatus.RULE_BASED
    assert f"{lost}: stale" in plan.degraded_reason


def test_an_old_source_is_stale_and_what_it_said_of_the_past_stays() -> None:
    readings = told()
    readings[HEAT_DEMAND] = replace(readings[HEAT_DEMAND], fetched_utc=NOW - timedelta(days=2))
    snapshot = snapshot_of(SITE, seen(readings))
    assert stale_sources(snapshot) == (HEAT_DEMAND,)
    assert snapshot.history.heat_demand_kw["town"].grid.slots > 0


def test_a_silent_job_list_lets_go() -> None:
    snapshot = snapshot_of(SITE, replace(seen(), jobs_seen_utc=NOW - timedelta(seconds=901)))
    assert decide(SITE, snapshot, ACTING).plan.status is PlanStatus.LET_GO


def test_a_clock_that_fell_back_shows_as_stale() -> None:
    ahead = replace(seen(), jobs_seen_utc=NOW + timedelta(hours=1))
    assert "jobs" in stale_sources(snapshot_of(SITE, ahead))


def test_a_contract_without_spot_and_a_stated_demand_need_no_source() -> None:
    fixed = replace(SITE, electricity=ElectricityContract(kind=EnergyPriceKind.FIXED, fixed_eur_per_kwh=0.1))
    stated = replace(SITE.offtakes[0], demand_source=DemandSource.CONSTANT, constant_demand_kw=20.0)
    site: Site = replace(fixed, offtakes=(stated,))
    snapshot = snapshot_of(site, seen({}))
    assert ages(snapshot) == {"jobs": 0.0}
    assert snapshot.history.heat_demand_kw == {}
    assert decide(site, snapshot, ACTING).plan.status is PlanStatus.FRESH


def test_a_source_that_tells_little_stands_on_what_was_kept() -> None:
    kept = Past(series={PRICE: quarters([1.0, 2.0, 3.0, 4.0])})
    short = quarters([9.0, 8.0], NOW + timedelta(minutes=15))
    found = snapshot_of(SITE, seen({PRICE: said(PRICE, short)}, kept)).history.price
    # The source wins where both speak: the last quarter before now.
    assert found.values.tolist() == [1.0, 2.0, 3.0, 9.0, 8.0]
    assert found.grid.start_utc == NOW - timedelta(hours=1)


def test_what_is_assumed_only_fills() -> None:
    kept = Past(series={PRICE: quarters([1.0, NAN, 3.0])})
    table = quarters([9.0] * 4, NOW + timedelta(minutes=15))
    found = snapshot_of(SITE, seen({PRICE: said(PRICE, table, assumed=True)}, kept)).history.price
    assert found.values.tolist() == [1.0, 9.0, 3.0, 9.0]


def test_an_hourly_source_that_says_it_all_stays_hourly() -> None:
    readings = told()
    kept = Past(series={PRICE: on_quarters(readings[PRICE].series)})
    found = snapshot_of(SITE, seen(readings, kept)).history.price
    assert found.grid.slot_s == 3600
    assert np.array_equal(found.values, readings[PRICE].series.values)


def test_a_demand_of_his_own_goes_before_everybodys() -> None:
    own = said(key_of(HEAT_DEMAND, "town"), quarters([5.0] * 8))
    readings = told() | {own.quantity: own}
    assert snapshot_of(SITE, seen(readings)).history.heat_demand_kw["town"].values.tolist() == [5.0] * 8


def test_a_metered_demand_is_as_old_as_its_last_slot() -> None:
    readings = told()
    del readings[HEAT_DEMAND]
    kept = Past(series={key_of(HEAT_DEMAND, "town"): quarters([5.0, 6.0, NAN, NAN])})
    snapshot = snapshot_of(SITE, seen(readings, kept))
    assert ages(snapshot)["heat_demand"] == 1800.0
    assert snapshot.history.heat_demand_kw["town"].values[:2].tolist() == [5.0, 6.0]


def test_the_age_of_demand_is_that_of_the_customer_heard_of_longest_ago() -> None:
    both = (SITE.offtakes[0], replace(SITE.offtakes[0], offtake_id="bath"))
    site = replace(SITE, offtakes=both)
    kept = Past(
        series={key_of(HEAT_DEMAND, "town"): quarters([5.0, 6.0]), key_of(HEAT_DEMAND, "bath"): quarters([5.0, NAN, NAN])}
    )
    assert ages(snapshot_of(site, seen({}, kept)))["heat_demand"] == 1800.0
    alone = Past(series={key_of(HEAT_DEMAND, "town"): quarters([5.0, 6.0])})
    assert ages(snapshot_of(site, seen({}, alone)))["heat_demand"] is None


def test_a_job_that_ends_later_than_now_has_not_ended() -> None:
    finished = FinishedJob(
        class_name="deferrable", declared_duration_s=60.0, real_duration_s=50.0, gpus=1, natural_power_w_per_gpu=400.0
    )
    ends = [EndedJob(job_uid=f"{s}", ended_utc=NOW + timedelta(seconds=s), workload="w", finished=finished) for s in (-1, 1)]
    assert snapshot_of(SITE, seen(past=Past(ended=tuple(ends)))).history.finished == (finished,)


def test_nothing_later_than_now_is_past_and_nothing_older_than_nine_weeks_is_kept() -> None:
    long = quarters(np.arange(96.0 * 70).tolist(), NOW + timedelta(hours=2))
    kept = Past(series={INSULATED_GPUS: long, key_of(ARRIVED_GPU_H, "deferrable"): long, CARBON: long})
    past = snapshot_of(SITE, seen({}, kept)).history
    assert past.insulated_gpus is not None
    for series in (past.insulated_gpus, past.arrived_gpu_h["deferrable"], past.carbon):
        assert series.grid.end_utc == NOW
        assert series.grid.start_utc == NOW - timedelta(days=63)
        assert series.values[-1] == long.values[-9]


def test_the_weather_ahead_is_kept_and_carbon_ahead_is_not() -> None:
    ahead = quarters([1.0] * 16, NOW + timedelta(hours=2))
    past = snapshot_of(SITE, seen({OUTDOOR: said(OUTDOOR, ahead), CARBON: said(CARBON, ahead)})).history
    assert past.outdoor.grid.end_utc == NOW + timedelta(hours=2)
    assert past.carbon.grid.end_utc == NOW


def test_a_plants_forecast_counts_from_when_it_was_heard() -> None:
    name = "plant_forecast town"
    readings = told() | {name: said(name, quarters([7.0] * 8, NOW + timedelta(hours=1)), age_s=120.0)}
    found = snapshot_of(SITE, seen(readings)).plant_forecast_kw["town"]
    assert found.issued_utc == NOW - timedelta(seconds=120)


def test_the_peak_is_of_the_local_month_and_of_all_pools() -> None:
    # Midnight of 1 February in Copenhagen is 23:00 UTC of 31 January.
    now = utc("2026-01-31T23:30:00+00:00")
    first, second = quarters([90.0, 90.0, 20.0, 30.0], now), quarters([5.0, 5.0, 6.0, 7.0], now)
    kept = Past(series={key_of(IT_KW, "a"): first, key_of(IT_KW, "b"): second})
    snapshot = snapshot_of(SITE, replace(seen({}, kept), observed_utc=now))
    # 23:00 to 23:30 is of the new month: at most 30 + 7, and 6 % overhead.
    assert snapshot.peak_kw == pytest.approx(37.0 * 1.06)
    second.values[3] = NAN
    assert snapshot_of(SITE, replace(seen({}, kept), observed_utc=now)).peak_kw == pytest.approx(26.0 * 1.06)


@pytest.mark.parametrize("level_kwh", [-6.0, 57.0, 1e9, NAN])
def test_a_tank_level_that_cannot_be_is_not_known(level_kwh: float) -> None:
    """A tank of 51.2 kWh, give or take a tenth; a planner that took 1e9 for full would sell heat that is not there."""
    wild = replace(PLANT, tank_level_kwh=level_kwh, heat_pump_on=True, heat_pump_heat_kw=1e9)
    (state,) = snapshot_of(SITE, replace(seen(), plants=(wild,))).plants
    assert (state.tank_level_kwh, state.heat_pump_heat_kw, state.heat_pump_on) == (None, 0.0, True)


def test_a_level_sensor_may_read_a_little_too_much() -> None:
    full = replace(PLANT, tank_level_kwh=52.0)
    assert snapshot_of(SITE, replace(seen(), plants=(full,))).plants == (full,)
