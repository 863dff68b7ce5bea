"""What is wanted of a job at an instant, from the actions of a decision."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.acting.intents import intents_of
from scheduler.domain.action import Action, HoldJob, ReleaseCap, SetCap, StartJob, StopJob
from scheduler.domain.time import utc

NOW = utc("2026-11-02T10:00Z")


def at(minutes: float) -> timedelta:
    return timedelta(minutes=minutes)


def start(minutes: float, cap_w: float | None = None) -> StartJob:
    return StartJob(job_id="a", pool_id="p", at_utc=NOW + at(minutes), cap_w=cap_w)


def stop(minutes: float) -> StopJob:
    return StopJob(job_id="a", at_utc=NOW + at(minutes), resume_by_utc=NOW + at(minutes + 600))


def hold(minutes: float) -> HoldJob:
    return HoldJob(job_id="a", until_utc=NOW + at(minutes), planned_start_utc=None, reason="CheaperPower", text="waits")


def cap(minutes: float, cap_w: float) -> SetCap:
    return SetCap(job_id="a", cap_w=cap_w, at_utc=NOW + at(minutes), lease_s=120.0)


def uncap(minutes: float) -> ReleaseCap:
    return ReleaseCap(job_id="a", at_utc=NOW + at(minutes))


def test_a_job_is_held_until_its_start_comes() -> None:
    intent = intents_of([hold(300), start(30)])["a"]
    assert intent.wanted(NOW) == hold(300)
    assert intent.wanted(NOW + at(29.9)) == hold(300)
    assert intent.wanted(NOW + at(30)) == start(30)
    assert intent.wanted(NOW + at(500)) == start(30)
    assert intent.next_utc(NOW) == NOW + at(30)
    assert intent.next_utc(NOW + at(30)) == NOW + at(300)
    assert intent.next_utc(NOW + at(300)) is None


def test_a_hold_ends_by_itself() -> None:
    intent = intents_of([hold(15)])["a"]
    assert intent.wanted(NOW + at(14)) == hold(15)
    assert intent.wanted(NOW + at(15)) is None


def test_a_stop_and_a_resumption_take_turns() -> None:
    intent = intents_of([start(45), stop(0)])["a"]
    assert [type(intent.wanted(NOW + at(minutes))) for minutes in (0, 44, 45)] == [StopJob, StopJob, StartJob]


def test_a_cap_holds_until_the_next_word_about_it() -> None:
    intent = intents_of([cap(15, 400.0), uncap(45), cap(30, 500.0)])["a"]
    assert [intent.cap_w(NOW + at(minutes), 650.0) for minutes in (0, 15, 30, 45)] == [650.0, 400.0, 500.0, None]


def test_a_start_brings_its_cap_and_a_word_at_the_same_instant_corrects_it() -> None:
    assert intents_of([start(0, 500.0)])["a"].cap_w(NOW, None) == 500.0
    assert intents_of([start(0)])["a"].cap_w(NOW, 400.0) is None
    assert intents_of([start(0, 500.0), cap(0, 400.0)])["a"].cap_w(NOW, None) == 400.0


def test_jobs_do_not_mix() -> None:
    other = StartJob(job_id="b", pool_id="p", at_utc=NOW, cap_w=None)
    intents = intents_of([hold(60), other])
    assert set(intents) == {"a", "b"}
    assert intents["b"].hold is None


@given(st.permutations([hold(240), stop(10), start(25, 450.0), cap(40, 400.0), uncap(55)]))
def test_the_order_of_a_decision_does_not_matter(actions: list[Action]) -> None:
    """Hypothesis: any order of the same actions asks for the same at every instant, and only at `next_utc` anything changes."""
    intent = intents_of(actions)["a"]
    assert intent == intents_of([hold(240), stop(10), start(25, 450.0), cap(40, 400.0), uncap(55)])["a"]
    for minute in range(260):
        now = NOW + at(minute)
        change = intent.next_utc(now)
        if change is None or change > now + at(1):
            later = now + at(0.99)
            assert (intent.wanted(now), intent.cap_w(now, 1.0)) == (intent.wanted(later), intent.cap_w(later, 1.0))
