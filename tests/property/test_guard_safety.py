"""Whatever is asked of the guard, what it lets pass is safe: design 4.1, 4.2, 4.9 and 4.11 as properties."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import ACTING, NOW, queued, running, small_site, snapshot

from scheduler.core.acting.guard import guard
from scheduler.core.forecast.durations import learn_durations
from scheduler.core.planning.work import Work, flexible_class, works
from scheduler.core.thermal.host import capped_draw_w, speed_at
from scheduler.domain.action import Action, HoldJob, ReleaseCap, SetCap, StartJob, StopJob
from scheduler.domain.job import Flexibility, JobPhase, JobState
from scheduler.domain.settings import Mode
from scheduler.domain.snapshot import Freshness, Snapshot

SITE = small_site(gpus=32)
CLASSES = ("insulated", "deferrable", "preemptible", "who-knows")
NAMES = ("a", "b", "c", "d", "e", "not-there")
STRANGE = st.sampled_from([float("nan"), float("inf"), -1.0, 0.0, 1e9])
TIMES = st.integers(-300, 6000).map(lambda minutes: NOW + timedelta(minutes=minutes))


@st.composite
def states(draw: st.DrawFn, name: str) -> JobState:
    """A job in any phase, of any class, with any past."""
    class_name = draw(st.sampled_from(CLASSES))
    gpus, hours, ran_h = draw(st.integers(1, 40)), draw(st.floats(0.2, 80.0)), draw(st.floats(0.0, 60.0))
    if draw(st.booleans()):
        state = running(name, class_name, gpus=gpus, hours=hours, ran_h=ran_h)
        state = replace(state, cap_w=draw(st.one_of(st.none(), st.floats(200.0, 700.0), STRANGE)))
    else:
        state = queued(name, class_name, gpus=gpus, hours=hours, submitted_h=draw(st.floats(-5.0, 90.0)))
    if state.phase is JobPhase.QUEUED and draw(st.booleans()):
        state = replace(state, phase=JobPhase.PAUSED, pool_id="pool-0", pause_start_utc=NOW - timedelta(hours=1), preemptions=1)
    deadline = draw(st.one_of(st.none(), TIMES))
    return replace(
        state,
        job=replace(state.job, deadline_utc=deadline),
        preemptions=draw(st.integers(0, 3)),
        paused_s=draw(st.floats(0.0, 1e5)),
        owner_suspended=draw(st.sampled_from([False, False, False, True])),
    )


ACTIONS: st.SearchStrategy[Action] = st.one_of(
    st.builds(
        HoldJob,
        job_id=st.sampled_from(NAMES),
        until_utc=TIMES,
        planned_start_utc=st.one_of(st.none(), TIMES),
        reason=st.just("r"),
        text=st.just("t"),
    ),
    st.builds(
        StartJob,
        job_id=st.sampled_from(NAMES),
        pool_id=st.sampled_from(["pool-0", "nowhere"]),
        at_utc=TIMES,
        cap_w=st.one_of(st.none(), st.floats(100.0, 800.0), STRANGE),
    ),
    st.builds(StopJob, job_id=st.sampled_from(NAMES), at_utc=TIMES, resume_by_utc=TIMES),
    st.builds(
        SetCap,
        job_id=st.sampled_from(NAMES),
        cap_w=st.one_of(st.floats(100.0, 800.0), STRANGE),
        at_utc=TIMES,
        lease_s=st.one_of(st.just(120.0), STRANGE),
    ),
    st.builds(ReleaseCap, job_id=st.sampled_from(NAMES), at_utc=TIMES),
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Snapshot, tuple[Work, ...], tuple[Action, ...]]:
    """A snapshot with up to five jobs and any wishes about them."""
    seen = tuple(draw(states(name)) for name in NAMES[: draw(st.integers(1, 5))])
    snap = snapshot(seen, site=SITE)
    if draw(st.booleans()):
        age = draw(st.one_of(st.none(), st.floats(0.0, 300.0)))
        snap = replace(snap, freshness=(Freshness(source="jobs", age_s=age, max_age_s=120.0),))
    believed = works(SITE, seen, learn_durations((), ()), {}, ACTING)
    return snap, believed, tuple(draw(st.lists(ACTIONS, max_size=12)))


def speed(state: JobState, cap_w: float) -> float:
    """Throughput of a job under a cap, from the curve alone."""
    natural_w = state.job.natural_power_w_per_gpu or 0.0
    return speed_at(SITE.caps, capped_draw_w(SITE.caps, cap_w, natural_w) / natural_w)


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_what_passes_is_safe(world: tuple[Snapshot, tuple[Work, ...], tuple[Action, ...]]) -> None:
    snap, believed, wanted = world
    jobs = {state.job.job_id: state for state in snap.jobs}
    ends = {work.state.job.job_id: work.hold_until_utc for work in believed}
    passed, refused = guard(SITE, snap, ACTING, believed, wanted)
    assert len(passed) + len(refused) == len(wanted)
    assert all(reason for _, reason in refused)
    blind = any(fresh.age_s is None or fresh.age_s > fresh.max_age_s for fresh in snap.freshness)
    for action in passed:
        state = jobs[action.job_id]
        job_class = flexible_class(SITE, state)
        assert job_class is not None, "an insulated, unknown, ended or owner-suspended job was touched"
        assert state.job.submit_utc <= NOW
        if isinstance(action, HoldJob):
            assert not blind
            assert state.phase is not JobPhase.RUNNING
            assert NOW < action.until_utc <= ends[action.job_id]
        elif isinstance(action, StopJob):
            assert not blind
            assert job_class.flexibility is Flexibility.PREEMPTIBLE
            assert state.preemptions < job_class.max_preemptions
            assert state.run_s + max(0.0, (action.at_utc - NOW).total_seconds()) >= job_class.min_runtime_s
            assert action.resume_by_utc > action.at_utc
        elif isinstance(action, SetCap):
            assert not blind
            assert 0.0 < action.lease_s <= ACTING.lease_s
            assert 200.0 <= action.cap_w <= 700.0
            assert speed(state, action.cap_w) >= 1.0 - job_class.max_slowdown_fraction - 1e-9
        elif isinstance(action, StartJob):
            assert action.pool_id == "pool-0"
            assert state.job.gpus <= 32
            assert action.cap_w is None or speed(state, action.cap_w) >= 1.0 - job_class.max_slowdown_fraction - 1e-9


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_what_starts_now_fits_now(world: tuple[Snapshot, tuple[Work, ...], tuple[Action, ...]]) -> None:
    snap, believed, wanted = world
    jobs = {state.job.job_id: state for state in snap.jobs}
    passed, _ = guard(SITE, snap, ACTING, believed, wanted)
    room = 32 - sum(state.job.gpus for state in snap.jobs if state.phase is JobPhase.RUNNING)
    for kind in (StartJob, StopJob):
        told = [action.job_id for action in passed if isinstance(action, kind)]
        assert len(told) == len(set(told)), "a job was started or stopped twice"
    for action in passed:
        if isinstance(action, StopJob) and action.at_utc <= NOW:
            room += jobs[action.job_id].job.gpus
        if isinstance(action, StartJob) and action.at_utc <= NOW:
            room -= jobs[action.job_id].job.gpus
            assert room >= 0


@settings(max_examples=100, deadline=None)
@given(worlds(), st.sampled_from([Mode.OBSERVE, Mode.ADVISE]))
def test_only_dispatch_writes(world: tuple[Snapshot, tuple[Work, ...], tuple[Action, ...]], mode: Mode) -> None:
    snap, believed, wanted = world
    passed, refused = guard(SITE, snap, replace(ACTING, mode=mode), believed, wanted)
    assert passed == ()
    assert tuple(action for action, _ in refused) == wanted


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_it_only_weakens(world: tuple[Snapshot, tuple[Work, ...], tuple[Action, ...]]) -> None:
    """What passes is as asked, a hold or resumption that ends earlier, or a start without its cap; and once is enough."""
    snap, believed, wanted = world
    passed, _ = guard(SITE, snap, ACTING, believed, wanted)
    rest = list(wanted)
    for action in passed:
        while rest and not weakened(rest[0], action):
            rest.pop(0)
        assert rest, f"{action} was never asked for"
        rest.pop(0)
    again, refused = guard(SITE, snap, ACTING, believed, passed)
    assert again == passed
    assert refused == ()


def weakened(asked: Action, got: Action) -> bool:
    """True when `got` is `asked` or a safer form of it."""
    if isinstance(asked, HoldJob) and isinstance(got, HoldJob):
        same = replace(asked, until_utc=got.until_utc, planned_start_utc=got.planned_start_utc) == got
        return same and got.until_utc <= asked.until_utc
    if isinstance(asked, StopJob) and isinstance(got, StopJob):
        return replace(asked, resume_by_utc=got.resume_by_utc) == got and got.resume_by_utc <= asked.resume_by_utc
    if isinstance(asked, StartJob) and isinstance(got, StartJob):
        return asked == got or replace(asked, cap_w=None) == got
    return asked == got
