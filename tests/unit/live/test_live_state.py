"""What is kept of a cycle for the live page."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from live_world import JOBS, PROMISED, a_state, promising_site, seen
from small_world import ACTING, NOW, queued, snapshot

from scheduler.adapters.live.store import LiveStore
from scheduler.core.reports.live import AHEAD_S, BACK_S, MOST_JOBS, Seen, live_state, on_grid
from scheduler.domain.errors import Retryable
from scheduler.domain.plan import PlanStatus
from scheduler.domain.settings import Mode
from scheduler.domain.time import TimeGrid
from scheduler.loop.decide import decide, decide_degraded

MEASURED = ("delivered_kw", "demand_kw")
PLANNED = ("demand_p50_kw", "planned_kw", "planned_p10_kw", "planned_p90_kw", "firm_kw", "gpus_expected")


def test_measured_lies_before_now_and_planned_after() -> None:
    series = a_state().series
    back = BACK_S // 900
    assert series.now_slot == back
    assert series.grid.time_of(back) == NOW
    assert series.grid.slots == back + AHEAD_S // 900
    for name in MEASURED:
        values = getattr(series, name)
        assert np.isfinite(values[:back]).all()
        assert np.isnan(values[back:]).all()
    for name in PLANNED:
        values = getattr(series, name)
        assert np.isnan(values[:back]).all()
        assert np.isfinite(values[back:]).all()
    assert np.isfinite(series.price_eur_per_kwh).all()


def test_plan_and_promise_are_those_of_the_offer() -> None:
    cycle = seen()
    series = live_state("hall", cycle).series
    offer = cycle.decision.offers[0]
    ahead = series.planned_kw[series.now_slot :]
    assert ahead == pytest.approx(offer.p50_kw[: len(ahead)], abs=1e-4)
    firm = series.firm_kw[series.now_slot :]
    promised = int((PROMISED.end_utc - NOW).total_seconds() // 900)
    assert firm[:promised] == pytest.approx(np.full(promised, 6.0))
    assert (series.planned_p10_kw <= series.planned_p90_kw)[series.now_slot :].all()


def test_waiting_jobs_are_told_with_their_reason_and_insulated_ones_are_not() -> None:
    state = a_state()
    assert {one.job_id for one in state.jobs} <= {"early", "late"}
    assert state.counts.waiting == 2
    assert state.counts.running == 1
    assert state.counts.insulated == 1
    assert state.counts.gpus_busy == 8
    told = {one.job_id: one.text for one in seen().decision.plan.explanations}
    assert {one.job_id: one.text for one in state.jobs if one.text} == told
    assert told


def test_of_many_that_wait_the_most_urgent_are_listed_and_all_are_counted() -> None:
    cycle = seen(())
    many = [queued(f"job-{index:03d}", hours=1.0) for index in range(MOST_JOBS + 20)]
    many = [
        replace(one, job=replace(one.job, deadline_utc=NOW + timedelta(minutes=(index * 37) % 120)))
        for index, one in enumerate(many)
    ]
    state = live_state("hall", replace(cycle, snapshot=replace(cycle.snapshot, jobs=tuple(many))))
    assert len(state.jobs) == MOST_JOBS
    assert state.counts.waiting == MOST_JOBS + 20
    ends = [one.deadline_utc for one in state.jobs if one.deadline_utc is not None]
    assert ends == sorted(one.job.deadline_utc for one in many if one.job.deadline_utc is not None)[:MOST_JOBS]


def test_levels_that_were_measured_before_go_on_to_be_shown() -> None:
    first = a_state()
    later = NOW + timedelta(hours=1)
    world = snapshot(JOBS, site=promising_site())
    state = live_state("hall", seen(world=replace(world, observed_utc=later), before=first))
    before = state.series.tank_kwh[: state.series.now_slot]
    known = np.isfinite(before)
    # The hour between the two cycles, as the first one planned it, but for its end, which was measured.
    assert known[-4:].all()
    assert before[-1] == pytest.approx(0.4 * 51.2)
    assert before[-4:-1] == pytest.approx(first.series.tank_kwh[first.series.now_slot :][:3])


def test_a_let_go_shows_demand_and_no_heat() -> None:
    cycle = seen()
    gone = decide_degraded(cycle.site, cycle.snapshot, ACTING, last=None, reason="the solver fell over")
    assert gone.plan.status is PlanStatus.LET_GO
    state = live_state("hall", replace(cycle, decision=gone))
    assert state.status == "letGo"
    assert state.degraded_reason
    series = state.series
    assert np.isfinite(series.demand_p50_kw[series.now_slot :]).all()
    assert np.nan_to_num(series.planned_kw).max() == 0.0
    assert state.rolling_gap is None or state.rolling_gap >= 0.0


def test_an_observing_policy_shows_its_plan_though_nothing_is_offered() -> None:
    settings = replace(ACTING, mode=Mode.OBSERVE)
    cycle = seen(settings=settings)
    assert cycle.decision.offers == ()
    series = live_state("hall", cycle).series
    assert np.isfinite(series.planned_kw[series.now_slot :]).all()
    assert np.isnan(series.firm_kw).all()


def test_a_site_of_which_nothing_is_known_yet_can_be_shown() -> None:
    site = promising_site()
    bare = snapshot((), site=site)
    nothing = replace(bare.history, heat_demand_kw={}, delivered_kw={}, captured_kw={}, insulated_gpus=None, arrived_gpu_h={})
    world = replace(bare, history=nothing, plants=(), freshness=())
    decision = decide(site, world, ACTING)
    state = live_state("hall", Seen(site=site, settings=ACTING, snapshot=world, decision=decision))
    assert np.isnan(state.series.delivered_kw).all()
    assert state.tank_level_kwh is None
    assert any("heat_demand" in note for note in state.notes)


def test_a_state_comes_back_from_the_database_as_it_was(tmp_path: Path) -> None:
    store = LiveStore(str(tmp_path / "books.db"))
    state = a_state()
    store.keep(a_state("other"))
    store.keep(state)
    found = {one.policy: one for one in store.states()}
    assert set(found) == {"hall", "other"}
    for name in ("jobs", "counts", "customers", "sources", "at_utc", "mode", "plan_id", "notes"):
        assert getattr(found["hall"], name) == getattr(state, name)
    assert np.array_equal(found["hall"].series.planned_kw, state.series.planned_kw, equal_nan=True)
    # What has not changed is the same object: by that the page knows.
    assert store.states()[0] is found["hall"]
    store.drop(["other"])
    assert [one.policy for one in store.states()] == ["hall"]
    store.close()


def test_a_state_of_another_version_is_waited_out(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    store = LiveStore(str(path))
    store.keep(a_state())
    with store._transaction() as connection:
        connection.exec_driver_sql("UPDATE history_memo SET content = replace(content, '\"version\":1', '\"version\":999')")
    with pytest.raises(Retryable, match="another version"):
        store.states()
    store.keep(a_state())
    assert len(store.states()) == 1
    store.close()


def test_values_on_another_grid_are_not_made_up_beyond_its_ends() -> None:
    own = TimeGrid(start_utc=NOW, slot_s=3600, slots=2)
    grid = TimeGrid(start_utc=NOW - timedelta(minutes=30), slot_s=900, slots=12)
    found = on_grid(np.array([1.0, 2.0]), own, grid)
    assert np.isnan(found[:2]).all()
    assert found[2:10].tolist() == [1.0] * 4 + [2.0] * 4
    assert np.isnan(found[10:]).all()
