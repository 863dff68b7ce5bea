"""Design section 4 at the level of a whole decision, on generated snapshots: 1, 2, 4, 5, 6, 9 and 11, and that it repeats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_world import ACTING, NOW, PREEMPTIBLE, history, hourly_series, queued, running, small_site, snapshot

from scheduler.adapters.record.digest import plan_digest
from scheduler.adapters.record.store import read_cycle, replay, stored, write_cycle
from scheduler.core.forecast.durations import still_running
from scheduler.core.forecast.outlook import outlook
from scheduler.core.planning.problem import build_problem, plan_grid
from scheduler.core.planning.work import flexible_class, works
from scheduler.domain.action import HoldJob, SetCap, StartJob, StopJob
from scheduler.domain.decision import CycleRecord
from scheduler.domain.job import JobState
from scheduler.domain.plan import PlanStatus
from scheduler.domain.settings import Levers, Mode, Settings
from scheduler.domain.snapshot import Freshness, Snapshot
from scheduler.loop.cycle import cycle_entry
from scheduler.loop.decide import decide

SITE = small_site(gpus=32)
START = NOW - timedelta(hours=24 * 14)


@st.composite
def jobs(draw: st.DrawFn) -> tuple[JobState, ...]:
    """Some running jobs that fit, some waiting ones."""
    found: list[JobState] = []
    room = 32
    for index in range(draw(st.integers(0, 8))):
        class_name = draw(st.sampled_from(["insulated", "deferrable", "preemptible", "who-knows"]))
        gpus, hours = draw(st.integers(1, 12)), draw(st.floats(0.3, 30.0))
        if draw(st.booleans()) and gpus <= room:
            room -= gpus
            state = running(f"j{index}", class_name, gpus=gpus, hours=hours, ran_h=draw(st.floats(0.0, 30.0)))
            state = replace(state, cap_w=draw(st.sampled_from([None, 595.0, 490.0])), preemptions=draw(st.integers(0, 2)))
        else:
            state = queued(f"j{index}", class_name, gpus=gpus, hours=hours, submitted_h=draw(st.floats(0.0, 60.0)))
        due = draw(st.one_of(st.none(), st.floats(0.5, 60.0)))
        deadline = None if due is None else NOW + timedelta(hours=due)
        found.append(
            replace(state, job=replace(state.job, deadline_utc=deadline), owner_suspended=draw(st.integers(0, 9)) == 0)
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a snapshot is made of, short enough to be printed."""

    jobs: tuple[JobState, ...]
    demand_kw: float
    wrong: str
    plants_known: bool

    def seen(self) -> Snapshot:
        """The snapshot."""
        past = history(demand_kw=self.demand_kw)
        if self.wrong == "price":
            past = replace(past, price=hourly_series(np.full(24 * 14, np.nan), "EUR/kWh", START))
        elif self.wrong == "demand":
            past = replace(past, heat_demand_kw={})
        elif self.wrong == "carbon":
            past = replace(past, carbon=hourly_series(np.full(24 * 14, -5.0), "g/kWh", START))
        snap = snapshot(self.jobs, site=SITE, past=past)
        if self.wrong == "jobs":
            snap = replace(snap, freshness=(Freshness(source="jobs", age_s=1e5, max_age_s=120.0),))
        return snap if self.plants_known else replace(snap, plants=())


SCENES = st.builds(
    Scene,
    jobs=jobs(),
    demand_kw=st.floats(1.0, 60.0),
    wrong=st.sampled_from(["", "", "", "price", "demand", "carbon", "jobs"]),
    plants_known=st.integers(0, 5).map(bool),
)


def with_levers(levers: Levers) -> Settings:
    """Acting settings with some levers."""
    return replace(ACTING, levers=levers)


LEVERS = st.builds(Levers, plant=st.booleans(), shifting=st.booleans(), pausing=st.booleans(), capping=st.booleans())


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(SCENES, LEVERS)
def test_a_decision_keeps_the_invariants(scene: Scene, levers: Levers) -> None:
    snap = scene.seen()
    options = with_levers(levers)
    decision = decide(SITE, snap, options)
    states = {state.job.job_id: state for state in snap.jobs}
    ahead = outlook(SITE, snap, options, plan_grid(NOW, options))
    ends = {
        work.state.job.job_id: work.hold_until_utc
        for work in works(SITE, snap.jobs, ahead.durations, ahead.arrival_draw_w, options)
    }
    for action in decision.actions:
        state = states[action.job_id]
        job_class = flexible_class(SITE, state)
        assert job_class is not None
        if isinstance(action, HoldJob):
            assert NOW < action.until_utc <= ends[action.job_id]
        elif isinstance(action, StopJob):
            assert levers.pausing
            assert job_class == PREEMPTIBLE
            assert state.preemptions < 2
            assert state.run_s >= 7200.0
            assert action.at_utc < action.resume_by_utc <= ends[action.job_id]
        elif isinstance(action, SetCap):
            assert levers.capping
            assert action.lease_s == options.lease_s
    touched = {action.job_id for action, _ in decision.refused}
    assert all(flexible_class(SITE, states[job_id]) is not None for job_id in touched)
    held = {action.job_id for action in decision.actions if isinstance(action, HoldJob)}
    started_now = {action.job_id for action in decision.actions if isinstance(action, StartJob) and action.at_utc <= NOW}
    assert not held & started_now
    unfit = any(word in decision.plan.degraded_reason for word in ("price:", "heat_demand town:", "jobs:"))
    assert (decision.plan.status is PlanStatus.FRESH) == (not unfit)
    if decision.plan.status is PlanStatus.LET_GO:
        assert held == set()


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(SCENES, st.sampled_from([Mode.OBSERVE, Mode.ADVISE]))
def test_nothing_is_held_outside_dispatch(scene: Scene, mode: Mode) -> None:
    snap = scene.seen()
    decision = decide(SITE, snap, replace(ACTING, mode=mode))
    assert decision.actions == ()
    assert mode is Mode.ADVISE or (decision.offers, decision.setpoints, decision.commitments) == ((), (), ())
    assert all(offer.advisory for offer in decision.offers)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(SCENES)
def test_the_same_snapshot_gives_the_same_plan_here_and_from_disk(tmp_path: Path, scene: Scene) -> None:
    snap = scene.seen()
    first, second = decide(SITE, snap, ACTING), decide(SITE, snap, ACTING)
    assert plan_digest(first.plan) == plan_digest(second.plan)
    assert first.actions == second.actions
    record = CycleRecord(snapshot=snap, decision=first, outcomes=(), receipts=(), entry=cycle_entry(snap, first))
    path = tmp_path / "cycle.json.gz"
    write_cycle(path, stored(SITE, ACTING, None, record))
    again = replay(path)
    assert read_cycle(path).plan_digest == plan_digest(again.plan)
    assert again.plan.plan_id == first.plan.plan_id
    assert again.actions == first.actions


@settings(max_examples=25, deadline=None)
@given(jobs(), st.floats(0.0, 1.0))
def test_losing_the_customer_changes_no_job_that_could_run(states: tuple[JobState, ...], share: float) -> None:
    """Heat demand and plant never enter what a job may do: capacity, points, latest start are the same without them."""
    full = snapshot(states, site=SITE, past=history(demand_kw=40.0))
    less = snapshot(states, site=SITE, past=history(demand_kw=40.0 * share))
    grids = plan_grid(NOW, ACTING)
    a, b = (build_problem(SITE, snap, outlook(SITE, snap, ACTING, grids), ACTING) for snap in (full, less))
    assert a.jobs == b.jobs
    for pool_a, pool_b in zip(a.pools, b.pools, strict=True):
        np.testing.assert_array_equal(pool_a.gpus_free, pool_b.gpus_free)
        np.testing.assert_array_equal(pool_a.base_it_kw, pool_b.base_it_kw)


@settings(max_examples=50, deadline=None)
@given(st.floats(60.0, 2e5), st.floats(0.0, 4e5))
def test_survival_never_rises(told_s: float, done_s: float) -> None:
    model = outlook(SITE, snapshot(), ACTING, plan_grid(NOW, ACTING)).durations
    alive = still_running(model, "deferrable", told_s, done_s, np.arange(0.0, 2e5, 900.0))
    assert np.all((alive >= 0.0) & (alive <= 1.0))
    assert np.all(np.diff(alive) <= 1e-12)
