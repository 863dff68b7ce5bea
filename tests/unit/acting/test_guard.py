"""What the guard lets pass, what it weakens and what it refuses, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from small_world import ACTING, DEFERRABLE, NOW, queued, running, small_site, snapshot

from scheduler.core.acting.guard import guard, stale_sources
from scheduler.core.forecast.durations import learn_durations
from scheduler.core.planning.work import works
from scheduler.domain.action import Action, HoldJob, ReleaseCap, SetCap, StartJob, StopJob
from scheduler.domain.job import JobState
from scheduler.domain.settings import Mode, Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Freshness

LATER = NOW + timedelta(hours=5)


def hold(job_id: str = "j", hours: float = 5.0) -> HoldJob:
    """A hold that ends in some hours."""
    return HoldJob(job_id=job_id, until_utc=NOW + timedelta(hours=hours), planned_start_utc=None, reason="r", text="t")


def start(job_id: str = "j", *, minutes: int = 0, cap_w: float | None = None, pool_id: str = "pool-0") -> StartJob:
    """A start."""
    return StartJob(job_id=job_id, pool_id=pool_id, at_utc=NOW + timedelta(minutes=minutes), cap_w=cap_w)


def stop(job_id: str = "j", minutes: int = 0) -> StopJob:
    """A stop."""
    return StopJob(job_id=job_id, at_utc=NOW + timedelta(minutes=minutes), resume_by_utc=LATER)


def cap(cap_w: float = 490.0, *, lease_s: float = 120.0, job_id: str = "j") -> SetCap:
    """A cap."""
    return SetCap(job_id=job_id, cap_w=cap_w, at_utc=NOW, lease_s=lease_s)


def judged(
    states: Sequence[JobState], *actions: Action, settings: Settings = ACTING, site: Site | None = None, stale: str = ""
) -> tuple[tuple[Action, ...], list[str]]:
    """Passed actions, and the reasons of the refused ones."""
    site = small_site() if site is None else site
    snap = snapshot(states, site=site)
    if stale:
        snap = replace(snap, freshness=(Freshness(source=stale, age_s=900.0, max_age_s=120.0),))
    believed = works(site, states, learn_durations((), ()), {}, settings)
    passed, refused = guard(site, snap, settings, believed, actions)
    return passed, [reason for _, reason in refused]


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.ADVISE])
def test_nothing_is_written_unless_dispatching(mode: Mode) -> None:
    passed, reasons = judged([queued("j")], hold(), start(), settings=replace(ACTING, mode=mode))
    assert passed == ()
    assert reasons == [f"mode {mode.value}: nothing is written"] * 2


@pytest.mark.parametrize("action", [hold(), start(), stop(), cap(), ReleaseCap(job_id="j", at_utc=NOW)])
@pytest.mark.parametrize("class_name", ["insulated", "no-such-class"])
def test_insulated_jobs_are_never_touched(action: Action, class_name: str) -> None:
    for state in (queued("j", class_name), running("j", class_name)):
        assert judged([state], action) == ((), ["insulated: never touched"])


@pytest.mark.parametrize("action", [hold(), start(), ReleaseCap(job_id="j", at_utc=NOW)])
def test_a_job_that_its_owner_suspended_is_his(action: Action) -> None:
    assert judged([replace(queued("j"), owner_suspended=True)], action) == ((), ["its owner suspended it"])


def test_a_job_that_is_not_there_gets_no_action() -> None:
    assert judged([], hold()) == ((), ["job is not there"])
    assert judged([queued("j", submitted_h=-1.0)], hold()) == ((), ["job is not there"])


def test_a_hold_is_shortened_to_its_hard_end_and_refused_beyond_it() -> None:
    state = queued("j", submitted_h=46.0)  # 2 h left of 48 h
    passed, _ = judged([state], hold(hours=5.0))
    assert passed == (hold(hours=2.0),)
    assert judged([queued("j", submitted_h=48.0)], hold()) == ((), ["its hold is over"])
    assert judged([running("j")], hold()) == ((), ["it runs"])


def test_only_so_many_jobs_are_held() -> None:
    states = [queued("a"), queued("b")]
    passed, reasons = judged(states, hold("a"), hold("b"), settings=replace(ACTING, max_held_jobs=1))
    assert [action.job_id for action in passed] == ["a"]
    assert reasons == ["more than 1 jobs would be held"]


def test_gangs_start_only_as_a_whole_and_after_insulated_ones() -> None:
    busy, insulated = running("busy", gpus=30), queued("i", "insulated", gpus=20)
    states = [busy, insulated, queued("a", gpus=8), queued("b", gpus=8)]
    # 64 - 30 - 20 = 14 GPUs: one gang of 8
    passed, reasons = judged(states, start("a"), start("b"))
    assert [action.job_id for action in passed] == ["a"]
    assert reasons == ["NoFit: the gang does not fit now"]
    # a start later in the window is checked when its time comes
    assert len(judged(states, start("a"), start("b", minutes=30))[0]) == 2


def test_a_stop_makes_room_for_a_start() -> None:
    states = [running("p", "preemptible", gpus=60, ran_h=3.0, hours=9.0), queued("j", gpus=10)]
    assert len(judged(states, stop("p"), start("j"))[0]) == 2
    assert judged(states, start("j"))[0] == ()


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (running("j", ran_h=3.0), "its class does not allow stops"),
        (queued("j", "preemptible"), "it does not run"),
        (replace(running("j", "preemptible", ran_h=3.0, hours=9.0), may_stop=False), "where it runs no job is stopped"),
        (replace(running("j", "preemptible", ran_h=3.0, hours=9.0), preemptions=2), "it was stopped 2 times already"),
        (running("j", "preemptible", ran_h=1.0, hours=9.0), "it ran 3600 s of at least 7200 s"),
        (running("j", "preemptible", ran_h=72.0, hours=90.0), "it could not resume in time"),
    ],
)
def test_stops_that_are_not_allowed(state: JobState, reason: str) -> None:
    assert judged([state], stop()) == ((), [reason])


def test_the_minimum_run_time_counts_up_to_the_stop() -> None:
    state = running("j", "preemptible", ran_h=1.5, hours=9.0)
    assert judged([state], stop(minutes=15))[0] == ()
    assert len(judged([state], stop(minutes=30))[0]) == 1


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (cap(lease_s=0.0), "a cap without a lease"),
        (cap(lease_s=float("nan")), "a cap without a lease"),
        (cap(lease_s=1e9), "a cap without a lease"),
        (cap(float("nan")), "the cap is not a number"),
        (cap(150.0), "150 W is outside the GPU's limits"),
        (cap(900.0), "900 W is outside the GPU's limits"),
        (cap(399.0), "399 W slows it more than its class allows"),  # 57 %: speed 0.87 at 600 W natural, allowed 0.9
    ],
)
def test_caps_that_are_not_allowed(action: SetCap, reason: str) -> None:
    assert judged([running("j")], action) == ((), [reason])


def test_caps_that_are_allowed() -> None:
    assert len(judged([running("j")], cap(490.0))[0]) == 1  # 70 %: speed 0.94
    assert len(judged([running("j", "preemptible")], cap(399.0))[0]) == 1
    assert len(judged([queued("j")], start(minutes=15), cap(490.0))[0]) == 2
    assert judged([queued("j")], cap(490.0)) == ((), ["it does not run"])


def test_a_start_loses_a_cap_that_is_not_allowed() -> None:
    assert judged([queued("j")], start(cap_w=300.0))[0] == (start(),)
    rigid = replace(small_site(), classes=(replace(DEFERRABLE, max_slowdown_fraction=0.0),))
    assert judged([queued("j")], start(cap_w=490.0), site=rigid)[0] == (start(),)


def test_a_start_needs_a_waiting_job_and_its_pool() -> None:
    assert judged([running("j")], start()) == ((), ["it runs already"])
    assert judged([queued("j")], start(pool_id="elsewhere")) == ((), ["pool elsewhere may not hold it"])


def test_blind_to_the_jobs_nothing_is_restricted_but_caps_still_go() -> None:
    states = [queued("q"), running("j")]
    passed, reasons = judged(
        states, hold("q"), cap(), start("q", cap_w=490.0), ReleaseCap(job_id="j", at_utc=NOW), stale="jobs"
    )
    assert reasons == ["stale source: jobs"] * 2
    assert passed == (start("q"), ReleaseCap(job_id="j", at_utc=NOW))


def test_numbers_that_are_none_decide_nothing() -> None:
    broken = replace(running("j"), run_s=float("nan"))
    assert judged([broken], cap()) == ((), ["its measurements are not numbers"])


def test_a_source_is_stale_when_it_never_spoke_or_speaks_of_the_future() -> None:
    ages = (("never", None), ("old", 130.0), ("fresh", 10.0), ("ahead", -5.0), ("broken", float("nan")))
    fresh = tuple(Freshness(source=name, age_s=age, max_age_s=120.0) for name, age in ages)
    assert stale_sources(replace(snapshot(), freshness=fresh)) == ("never", "old", "ahead", "broken")
