"""Timers tick for one term, aligned, never beside themselves, and survive steps of the clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from runtime_world import eventually

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.runtime.fence import Term
from scheduler.adapters.kubernetes.runtime.timers import Daily, Every, Job, Timer, Timers


class SteppedClock(SystemClock):
    """The machine's clocks, the wall clock set wrong by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.step_s = 0.0

    def now_utc(self) -> datetime:
        return super().now_utc() + timedelta(seconds=self.step_s)


CLOCK = SteppedClock()


def term(number: int = 1, for_s: float = 60.0) -> Term:
    return Term(number, CLOCK, CLOCK.monotonic_s() + for_s)


@pytest.fixture
def running() -> Iterator[list[Timers]]:
    started: list[Timers] = []
    yield started
    for timers in started:
        timers.stop()


def start(running: list[Timers], job: Job, when: Every | Daily, of: Term, look_up_s: float = 5.0) -> Timers:
    timers = Timers([Timer(name="cycle", when=when, job=job)], CLOCK, look_up_s)
    running.append(timers)
    timers.start(of)
    return timers


def test_a_tick_soon_is_one_for_all_who_ask(running: list[Timers]) -> None:
    ticks: list[int] = []
    timers = start(running, lambda one: ticks.append(one.number), Every(seconds=3600.0), term(7))
    for _ in range(5):
        timers.soon("cycle", 0.1)
    assert eventually(lambda: ticks == [7])
    timers.soon("cycle", 0.0)
    assert eventually(lambda: ticks == [7, 7])
    timers.soon("cycle", 0.2)
    timers.stop()
    timers.soon("cycle", 0.0)
    time.sleep(0.4)
    assert ticks == [7, 7]


def test_a_tick_soon_waits_for_one_under_way(running: list[Timers]) -> None:
    going, ticks = threading.Event(), []

    def slow(one: Term) -> None:
        ticks.append(one.number)
        going.wait(5.0)

    timers = start(running, slow, Every(seconds=3600.0, at_once=True), term())
    assert eventually(lambda: len(ticks) == 1)
    timers.soon("cycle", 0.0)
    time.sleep(0.1)
    assert len(ticks) == 1
    going.set()
    assert eventually(lambda: len(ticks) == 2)


def test_a_tick_at_once_and_then_in_rhythm(running: list[Timers]) -> None:
    ticks: list[int] = []
    timers = start(running, lambda one: ticks.append(one.number), Every(seconds=1.0, at_once=True), term())
    assert eventually(lambda: len(ticks) >= 1, 0.9)
    assert eventually(lambda: len(ticks) >= 2)
    timers.stop()
    told = len(ticks)
    time.sleep(0.3)
    assert len(ticks) == told


def test_intervals_are_aligned_and_days_are_local() -> None:
    at_utc = datetime(2026, 7, 1, 8, 7, 3, tzinfo=UTC)
    assert Every(seconds=900.0).trigger().get_next_fire_time(None, at_utc) == datetime(2026, 7, 1, 8, 15, tzinfo=UTC)
    gate = Daily(at_local="10:30", zone="Europe/Copenhagen").trigger()
    assert gate.get_next_fire_time(None, at_utc) == datetime(2026, 7, 1, 8, 30, tzinfo=UTC)  # summer: UTC+2
    winter = datetime(2026, 12, 1, 8, 7, tzinfo=UTC)
    assert gate.get_next_fire_time(None, winter) == datetime(2026, 12, 1, 9, 30, tzinfo=UTC)  # winter: UTC+1


def test_a_term_that_is_over_gets_no_tick(running: list[Timers]) -> None:
    """A leader that was stopped past its lease wakes up to a due tick before it has noticed anything."""
    ticks: list[int] = []
    start(running, lambda one: ticks.append(one.number), Every(seconds=1.0, at_once=True), term(for_s=-1.0))
    time.sleep(0.2)
    assert not ticks


def test_a_tick_that_fails_is_followed_by_the_next(running: list[Timers]) -> None:
    ticks: list[int] = []

    def job(one: Term) -> None:
        ticks.append(one.number)
        raise RuntimeError("a bug")

    start(running, job, Every(seconds=1.0, at_once=True), term())
    assert eventually(lambda: len(ticks) >= 2)


def test_no_job_runs_beside_itself_not_even_of_another_term(running: list[Timers]) -> None:
    go, under_way, most, ran = threading.Event(), [0], [0], []

    def job(one: Term) -> None:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        go.wait(5.0)
        ran.append(one.number)
        under_way[0] -= 1

    timers = start(running, job, Every(seconds=1.0, at_once=True), term(1))
    assert eventually(lambda: under_way[0] == 1)
    timers.stop()
    timers.start(term(2))
    time.sleep(0.1)
    go.set()
    assert eventually(lambda: 2 in ran)
    assert most == [1]
    assert ran[0] == 1


@pytest.mark.parametrize("step_s", [-7200.0, 7200.0])
def test_a_step_of_the_clock_keeps_the_rhythm(running: list[Timers], step_s: float) -> None:
    ticks: list[int] = []
    start(running, lambda one: ticks.append(one.number), Every(seconds=3600.0, at_once=True), term(), look_up_s=0.05)
    assert eventually(lambda: len(ticks) == 1)
    time.sleep(0.1)
    try:
        CLOCK.step_s = step_s
        assert eventually(lambda: len(ticks) == 2)
    finally:
        CLOCK.step_s = 0.0


def test_names_are_unique() -> None:
    timer = Timer(name="guard", when=Every(seconds=30.0), job=lambda _term: None)
    with pytest.raises(ValueError, match="unique"):
        Timers([timer, timer], CLOCK)


def test_stop_without_start_is_nothing() -> None:
    timers = Timers([], CLOCK)
    timers.stop()
    assert not timers.running
