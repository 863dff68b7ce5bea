"""Each key once, at the earliest time asked for, never twice at work; against a plain model by hypothesis."""

from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st
from runtime_world import FakeClock, no_jitter

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.runtime.backoff import Backoff
from scheduler.adapters.kubernetes.runtime.queue import MANY_UNANSWERED, Agenda, WorkQueue


def agenda() -> Agenda[str]:
    return Agenda(Backoff(base_s=1.0, max_s=8.0), no_jitter)


def test_a_key_is_given_once_however_often_it_is_asked_for() -> None:
    work = agenda()
    for _ in range(3):
        work.add("a", 0.0)
    assert [work.take(0.0), work.take(0.0)] == ["a", None]


def test_the_earliest_time_counts() -> None:
    work = agenda()
    work.add("a", 10.0)
    work.add("a", 5.0)
    work.add("a", 20.0)
    assert work.take(4.9) is None
    assert work.next_due_s() == 5.0
    assert work.take(5.0) == "a"
    assert work.next_due_s() is None


def test_what_is_asked_for_while_at_work_comes_after() -> None:
    work = agenda()
    work.add("a", 0.0)
    assert work.take(0.0) == "a"
    work.add("a", 0.0)
    assert work.take(1.0) is None
    work.done("a")
    assert work.take(1.0) == "a"
    work.done("a")
    assert work.take(1.0) is None


def test_failures_in_a_row_wait_longer_until_one_succeeds() -> None:
    """1, 2, 4, 8 and never more than 8 seconds."""
    work = agenda()
    waits = [work.fail("a", 0.0) for _ in range(5)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0]
    work.succeed("a")
    assert work.fail("a", 0.0) == 1.0
    work.drop("a")
    assert work.count() == 0
    assert work.take(100.0) is None


def test_a_key_that_failed_waits_whatever_happens_to_it() -> None:
    """Another client writes to it without pause: each of its writes asks for a look, and each look would lose again."""
    work = agenda()
    work.add("a", 0.0)
    assert work.take(0.0) == "a"
    work.add("a", 0.0)
    assert work.fail("a", 0.0) == 1.0
    work.done("a")
    work.add("a", 0.5)
    assert work.take(0.9) is None
    assert work.next_due_s() == 1.0
    assert work.take(1.0) == "a"
    work.succeed("a")
    work.done("a")
    work.add("a", 1.0)
    assert work.take(1.0) == "a"


def test_jitter_only_shortens() -> None:
    backoff = Backoff(base_s=1.0, max_s=8.0, jitter_fraction=0.5)
    assert backoff.wait_s(3, lambda: 0.5) == 3.0  # 4 * (1 - 0.5 * 0.5)
    assert backoff.wait_s(0, lambda: 0.5) == 0.0
    assert backoff.wait_s(10_000, no_jitter) == 8.0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abc"), st.floats(0.0, 5.0)),
        st.tuples(st.just("take"), st.just(""), st.floats(0.0, 3.0)),
        st.tuples(st.just("done"), st.sampled_from("abc"), st.just(0.0)),
        st.tuples(st.just("fail"), st.sampled_from("abc"), st.just(0.0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_against_a_plain_model(steps: list[tuple[str, str, float]]) -> None:
    """The model: a dict of due times and a set at work; what is due and not at work is given, the longest due first.

    A key that failed is not due before its wait is over, until it succeeds.
    """
    work, due, busy, now_s = agenda(), dict[str, float](), set[str](), 0.0
    floor = dict[str, float]()
    for step, key, seconds in steps:
        if step == "add":
            work.add(key, now_s + seconds)
            due[key] = min(due.get(key, float("inf")), max(now_s + seconds, floor.get(key, 0.0)))
        elif step == "done" and key in busy:
            work.succeed(key)
            floor.pop(key, None)
            work.done(key)
            busy.remove(key)
        elif step == "fail" and key in busy:
            due[key] = floor[key] = now_s + work.fail(key, now_s)
            work.done(key)
            busy.remove(key)
        elif step == "take":
            now_s += seconds
            ready = {one: at_s for one, at_s in due.items() if at_s <= now_s and one not in busy}
            given_key = work.take(now_s)
            assert (given_key is None) == (not ready)
            if given_key is not None:
                assert ready[given_key] == min(ready.values())
                del due[given_key]
                busy.add(given_key)
    assert work.count() == len(due)


def test_the_queue_wakes_a_waiting_worker() -> None:
    queue: WorkQueue[str] = WorkQueue(SystemClock(), no_jitter)
    taken: list[str | None] = []
    worker = threading.Thread(target=lambda: taken.append(queue.take(5.0)))
    worker.start()
    queue.add("a")
    worker.join(3)
    assert taken == ["a"]


def test_the_queue_waits_for_a_delayed_key() -> None:
    queue: WorkQueue[str] = WorkQueue(SystemClock(), no_jitter)
    queue.add("a", after_s=0.1)
    began_s = time.perf_counter()
    assert queue.take(3.0) == "a"
    assert time.perf_counter() - began_s >= 0.09
    assert queue.take(0.01) is None


def test_the_queue_gives_every_key_to_one_worker_at_a_time() -> None:
    queue: WorkQueue[int] = WorkQueue(SystemClock(), no_jitter)
    busy: set[int] = set()
    lock, collisions, looks = threading.Lock(), [], [0]

    def worker() -> None:
        while (key := queue.take(0.3)) is not None:
            with lock:
                collisions.extend([key] if key in busy else [])
                busy.add(key)
                looks[0] += 1
            time.sleep(0.0005)
            with lock:
                busy.discard(key)
            queue.done(key)

    workers = [threading.Thread(target=worker) for _ in range(4)]
    for one in workers:
        one.start()
    for number in range(400):
        queue.add(number % 7)
    for one in workers:
        one.join(10)
    assert not collisions
    assert 7 <= looks[0] <= 400
    assert queue.count() == 0


def test_done_with_a_failure_asks_again() -> None:
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue(clock, no_jitter, Backoff(base_s=1.0))
    queue.add("a")
    assert queue.take(0.0) == "a"
    assert queue.done("a", failed=True) == 1.0
    assert queue.take(0.0) is None
    clock.now_s = 1.0
    assert queue.take(0.0) == "a"
    assert queue.done("a") == 0.0
    queue.add("b")
    queue.drop("b")
    assert queue.count() == 0


def test_a_closed_queue_lets_everybody_go() -> None:
    queue: WorkQueue[str] = WorkQueue(SystemClock(), no_jitter)
    worker = threading.Thread(target=lambda: queue.take(60.0))
    worker.start()
    queue.close()
    worker.join(3)
    assert not worker.is_alive()
    queue.add("a")
    assert queue.count() == 0
    assert queue.done("a", failed=True) == 0.0


def test_a_key_dropped_while_waiting_is_not_given() -> None:
    work = agenda()
    work.add("a", 0.0)
    work.drop("a")
    assert work.take(1.0) is None
    work.add("a", 2.0)
    assert work.take(2.0) == "a"


def test_what_is_not_answered_has_a_lane_of_its_own_and_takes_its_namespace_along() -> None:
    queue: WorkQueue[tuple[str, str]] = WorkQueue(SystemClock(), lambda: 1.0, Backoff(base_s=0.0), lambda key: key[0])
    jobs = [("lab", str(number)) for number in range(MANY_UNANSWERED)]
    for number, key in enumerate(jobs):
        queue.add(key)
        assert queue.take(0.0) == key
        queue.done(key, failed=True, unanswered=True)
        assert queue.take(0.0) is None
        other = ("lab", f"other-{number}")
        queue.add(other)
        many = number == MANY_UNANSWERED - 1
        assert queue.take(0.0) == (None if many else other)
        if not many:
            queue.done(other)
    queue.add(("home", "1"))
    assert queue.take(0.0) == ("home", "1")
    slow = [queue.take(0.0, slow=True) for _ in range(MANY_UNANSWERED + 1)]
    assert set(slow) == {*jobs, ("lab", f"other-{MANY_UNANSWERED - 1}")}
    queue.done(jobs[0])
    queue.add(("lab", "late"))
    queue.add(jobs[0])
    assert {queue.take(0.0), queue.take(0.0)} == {("lab", "late"), jobs[0]}


def test_who_comes_first_comes_before_all_that_are_due_and_stays_first_after_a_failure() -> None:
    agenda: Agenda[str] = Agenda(Backoff(base_s=1.0, max_s=8.0, jitter_fraction=0.0), lambda: 0.0)
    for number in range(3):
        agenda.add(f"old-{number}", 0.0)
    agenda.add("new", 5.0, first=True)
    assert agenda.take(4.0) == "old-0"
    assert agenda.take(5.0) == "new"
    wait_s = agenda.fail("new", 5.0)
    agenda.done("new")
    # Its turn comes after its wait, and then before what has been due for longer.
    assert agenda.take(5.0) == "old-1"
    assert agenda.next_due_s() == 0.0
    assert agenda.take(5.0 + wait_s) == "new"
    agenda.succeed("new")
    agenda.done("new")
    agenda.add("new", 7.0)
    assert agenda.take(9.0) == "old-2"


def test_a_key_that_waits_already_moves_to_the_front_once() -> None:
    agenda: Agenda[str] = Agenda(Backoff(), lambda: 0.0)
    agenda.add("a", 0.0)
    agenda.add("b", 1.0)
    agenda.add("b", 2.0, first=True)
    assert [agenda.take(3.0), agenda.take(3.0), agenda.take(3.0)] == ["b", "a", None]
    assert agenda.count() == 0
