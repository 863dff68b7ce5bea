"""Plans become actions: only what changes, only until the next cycle, each with its time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from small_world import ACTING, NOW, queued, running, small_site

from scheduler.core.acting.diff import actions_of, release_all
from scheduler.core.forecast.durations import learn_durations
from scheduler.core.planning.problem import plan_grid
from scheduler.core.planning.work import Work, works
from scheduler.domain.action import Action, HoldJob, ReleaseCap, SetCap, StartJob, StopJob
from scheduler.domain.job import JobState
from scheduler.domain.plan import Explanation, Plan, PlannedJob, PlanStatus, RunOption, WaitReason
from scheduler.loop.degrade import empty_plan

SITE = small_site()
SETTINGS = replace(ACTING, cycle_s=3600)


def believed(*states: JobState) -> tuple[Work, ...]:
    """Flexible jobs with prior durations."""
    return works(SITE, states, learn_durations((), ()), {}, SETTINGS)


def plan_of(*jobs: PlannedJob) -> Plan:
    """A fresh plan that begins now."""
    return replace(empty_plan(SITE, plan_grid(NOW, SETTINGS), ""), status=PlanStatus.FRESH, jobs=jobs)


def planned(job_id: str, start_slot: int, points: list[int], **more: bool) -> PlannedJob:
    """One job with one run on the first pool."""
    option = RunOption(start_slot=start_slot, pool=0, points=np.asarray(points, dtype=np.int64))
    return PlannedJob(job_id=job_id, options=(option,), **more)


def acts(plan: Plan, *states: JobState, minutes: int = 0) -> tuple[Action, ...]:
    """Actions `minutes` after the plan was made."""
    return actions_of(SITE, plan, believed(*states), SETTINGS, NOW + timedelta(minutes=minutes))


def test_a_start_now_is_a_start_and_nothing_else() -> None:
    assert acts(plan_of(planned("q", 0, [0] * 16)), queued("q")) == (
        StartJob(job_id="q", pool_id="pool-0", at_utc=NOW, cap_w=None, reason="Planned"),
    )


def test_a_start_later_in_the_window_carries_its_time_and_a_hold_until_then() -> None:
    start, hold = acts(plan_of(planned("q", 2, [2] * 16)), queued("q"))
    at = NOW + timedelta(minutes=30)
    assert isinstance(start, StartJob)
    assert start == StartJob(job_id="q", pool_id="pool-0", at_utc=at, cap_w=start.cap_w, reason="Planned")
    assert start.cap_w is not None
    assert 489.0 < start.cap_w < 491.0  # 70 % of 700 W
    assert isinstance(hold, HoldJob)
    assert hold.planned_start_utc == at


def test_a_start_after_the_window_is_a_hold_with_its_reason_and_its_hard_end() -> None:
    told = Explanation(
        job_id="q",
        reason=WaitReason.CHEAPER_POWER,
        text="cheaper power at 02:00",
        start_utc=None,
        latest_start_utc=None,
        saves_eur=1.0,
        may_move=True,
    )
    plan = replace(plan_of(planned("q", 40, [0] * 16)), explanations=(told,))
    (hold,) = acts(plan, queued("q"))
    assert isinstance(hold, HoldJob)
    assert (hold.reason, hold.text) == ("CheaperPower", "cheaper power at 02:00")
    assert hold.planned_start_utc == NOW + timedelta(hours=10)
    assert hold.until_utc == believed(queued("q"))[0].hold_until_utc


def test_caps_change_inside_the_window_only() -> None:
    plan = plan_of(planned("r", 0, [0, 2, 2, 1, 0, 0]))
    first, second = acts(plan, running("r"))
    assert isinstance(first, SetCap)
    assert isinstance(second, SetCap)
    assert [first.at_utc, second.at_utc] == [NOW + timedelta(minutes=15), NOW + timedelta(minutes=45)]
    assert first.cap_w < second.cap_w
    assert first.lease_s == SETTINGS.lease_s


def test_a_cap_already_in_force_is_not_set_again() -> None:
    capped = replace(running("r"), cap_w=0.7 * 700.0)
    assert acts(plan_of(planned("r", 0, [2] * 8)), capped) == ()
    assert acts(plan_of(planned("r", 0, [0] * 8)), capped) == (ReleaseCap(job_id="r", at_utc=NOW),)


def test_the_last_cap_stays_on_a_job_that_outruns_its_plan() -> None:
    capped = replace(running("r"), cap_w=0.7 * 700.0)
    assert acts(plan_of(planned("r", 0, [2])), capped) == ()


def test_a_stop_says_until_when_the_job_is_resumed_at_the_latest() -> None:
    state = running("p", "preemptible", ran_h=3.0, hours=9.0)
    (stop,) = acts(plan_of(planned("p", 20, [0] * 30, stopped=True)), state)
    assert isinstance(stop, StopJob)
    assert stop.at_utc == NOW
    assert NOW < stop.resume_by_utc <= state.job.submit_utc + timedelta(hours=72)


def test_a_stop_decided_inside_a_slot_is_a_stop_now() -> None:
    """The plan's first slot began before the decision; only a cycle at the very quarter hour finds them equal."""
    state = running("p", "preemptible", ran_h=3.0, hours=9.0)
    (stop,) = acts(plan_of(planned("p", 20, [0] * 30, stopped=True)), state, minutes=14)
    assert isinstance(stop, StopJob)
    assert stop.at_utc == NOW + timedelta(minutes=14)


@pytest.mark.parametrize("minutes", [15, 60])
def test_a_stop_of_an_older_plan_is_not_repeated(minutes: int) -> None:
    state = running("p", "preemptible", ran_h=3.0, hours=9.0)
    assert acts(plan_of(planned("p", 20, [0] * 30, stopped=True)), state, minutes=minutes) == ()


def test_a_job_that_the_plan_does_not_know_starts_at_once() -> None:
    (start,) = acts(plan_of(), queued("new"))
    assert start == StartJob(job_id="new", pool_id="pool-0", at_utc=NOW, cap_w=None, reason="NotInPlan")


def test_a_hold_that_is_over_ends_whatever_the_plan_says() -> None:
    old = queued("old", submitted_h=49.0)  # maxDelay is 48 h
    (start,) = acts(plan_of(planned("old", 40, [0] * 16)), old)
    assert isinstance(start, StartJob)
    assert (start.at_utc, start.reason) == (NOW, "HoldOver")


def test_an_older_plan_is_read_at_its_own_time() -> None:
    plan = plan_of(planned("q", 2, [0] * 16), planned("later", 5, [0] * 16))
    actions = acts(plan, queued("q"), queued("later"), minutes=60)
    starts = {action.job_id: action.at_utc for action in actions if isinstance(action, StartJob)}
    assert starts == {"q": NOW + timedelta(minutes=60), "later": NOW + timedelta(minutes=75)}


def test_an_announced_job_is_left_alone() -> None:
    assert acts(plan_of(planned("a", 12, [0] * 4)), queued("a", submitted_h=-1.0)) == ()


def test_letting_go_gives_caps_back_and_releases_everyone() -> None:
    states = (replace(running("r"), cap_w=490.0), running("free"), queued("q"), queued("p", "preemptible"))
    assert release_all(SITE, believed(*states), NOW) == (
        ReleaseCap(job_id="r", at_utc=NOW),
        StartJob(job_id="p", pool_id="pool-0", at_utc=NOW, cap_w=None, reason="Released"),
        StartJob(job_id="q", pool_id="pool-0", at_utc=NOW, cap_w=None, reason="Released"),
    )
