"""Which objects need another look, and when: each key once, never two workers on one, later after every failure."""

from __future__ import annotations

import heapq
import threading
from collections import Counter
from collections.abc import Callable, Hashable
from enum import Enum, auto
from typing import Generic, TypeVar

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.kubernetes.runtime.backoff import Backoff, Uniform

K = TypeVar("K", bound=Hashable)

# So many keys of one group without an answer: the next one would not be answered either.
MANY_UNANSWERED = 8


class Lane(Enum):
    """Keys that come first, all others, and those that are only given to who takes slow ones."""

    FIRST = auto()
    USUAL = auto()
    SLOW = auto()


class Agenda(Generic[K]):
    """The rules, with time as an argument.

    A key is asked for at most once, at the earliest of the times named; a key that is being worked on waits until that is
    done, however often it is asked for meanwhile. A key that failed is not looked at before its wait is over, whatever happens
    to it meanwhile: an object that another client writes to without pause must not cost a write each time. A key that is asked
    for `first` comes before all others that are due as well, until a look at it succeeds.
    """

    def __init__(self, backoff: Backoff, uniform: Uniform, slow: Callable[[K], bool] = lambda _key: False) -> None:
        """Start empty; keys for which `slow` is true are only given to who takes slow ones."""
        self._slow = slow
        self._backoff = backoff
        self._uniform = uniform
        self._due_s: dict[K, float] = {}
        # (due, order of asking, key); an entry whose due is no longer the key's own is passed over.
        self._heaps: dict[Lane, list[tuple[float, int, K]]] = {lane: [] for lane in Lane}
        self._first: set[K] = set()
        self._asked = 0
        self._working: set[K] = set()
        self._failures: dict[K, int] = {}
        self._not_before_s: dict[K, float] = {}

    def add(self, key: K, due_s: float, *, first: bool = False) -> None:
        """Ask for a look at `due_s`, or at the earlier time that was asked for before; after a failure not before its wait."""
        due_s = max(due_s, self._not_before_s.get(key, due_s))
        asked_s = self._due_s.get(key, float("inf"))
        if first and key not in self._first:
            self._first.add(key)
            due_s = min(due_s, asked_s)
        elif asked_s <= due_s:
            return
        self._due_s[key] = due_s
        if key not in self._working:
            self._push(key, due_s)

    def take(self, now_s: float, *, slow: bool = False) -> K | None:
        """Return the key that has been due for longest, to be worked on until `done`; None when none is."""
        for lane in _lanes(slow):
            heap = self._fresh(lane)
            if heap and heap[0][0] <= now_s:
                _, _, key = heapq.heappop(heap)
                del self._due_s[key]
                self._working.add(key)
                return key
        return None

    def next_due_s(self, *, slow: bool = False) -> float | None:
        """When the next key is due; None when no key is waiting."""
        return min((heap[0][0] for heap in map(self._fresh, _lanes(slow)) if heap), default=None)

    def done(self, key: K) -> None:
        """The work on a key is over; what was asked for meanwhile is due at its time."""
        self._working.discard(key)
        if key in self._due_s:
            self._push(key, self._due_s[key])

    def fail(self, key: K, now_s: float) -> float:
        """Count one more failure in a row and ask for another look; returns in how many seconds."""
        self._failures[key] = self._failures.get(key, 0) + 1
        wait_s = self._backoff.wait_s(self._failures[key], self._uniform)
        self._not_before_s[key] = now_s + wait_s
        # What was asked for meanwhile waits as long.
        self._due_s.pop(key, None)
        self.add(key, now_s + wait_s)
        return wait_s

    def succeed(self, key: K) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)
        self._not_before_s.pop(key, None)
        self._first.discard(key)

    def drop(self, key: K) -> None:
        """Forget a key altogether: its object is gone."""
        self._due_s.pop(key, None)
        self.succeed(key)

    def count(self) -> int:
        """Number of keys that wait."""
        return len(self._due_s)

    def _push(self, key: K, due_s: float) -> None:
        self._asked += 1
        lane = Lane.SLOW if self._slow(key) else Lane.FIRST if key in self._first else Lane.USUAL
        heapq.heappush(self._heaps[lane], (due_s, self._asked, key))

    def _fresh(self, lane: Lane) -> list[tuple[float, int, K]]:
        """One of the heaps, with a true entry at its top."""
        heap = self._heaps[lane]
        while heap and (heap[0][2] in self._working or self._due_s.get(heap[0][2]) != heap[0][0]):
            heapq.heappop(heap)
        return heap


def _lanes(slow: bool) -> tuple[Lane, ...]:
    """Where somebody takes keys from, in this order."""
    return (Lane.SLOW,) if slow else (Lane.FIRST, Lane.USUAL)


class WorkQueue(Generic[K]):
    """An `Agenda` for threads, with a lane of its own for what is not answered.

    A write that a webhook keeps waiting takes its thread along for seconds. So a key whose last look got no answer goes to the
    slow lane, and with it every key of a group (a namespace) of which many are there; all others have the other threads.
    """

    def __init__(
        self,
        clock: MonotonicClock,
        uniform: Uniform,
        backoff: Backoff | None = None,
        group: Callable[[K], Hashable] = lambda key: key,
    ) -> None:
        """Start empty and open."""
        self._clock = clock
        self._group = group
        self._unanswered: set[K] = set()
        self._groups: Counter[Hashable] = Counter()
        self._agenda: Agenda[K] = Agenda(backoff or Backoff(), uniform, self._is_slow)
        self._changed = threading.Condition()
        self._closed = False

    def add(self, key: K, after_s: float = 0.0, *, first: bool = False) -> None:
        """Ask for a look, now or after a while, before others if need be; a closed queue takes nothing."""
        with self._changed:
            if not self._closed:
                self._agenda.add(key, self._clock.monotonic_s() + after_s, first=first)
                self._changed.notify_all()

    def take(self, within_s: float, *, slow: bool = False) -> K | None:
        """Wait for a key that is due, at most so long; None after that or when the queue was closed. Then call `done`."""
        end_s = self._clock.monotonic_s() + within_s
        with self._changed:
            while not self._closed:
                now_s = self._clock.monotonic_s()
                key = self._agenda.take(now_s, slow=slow)
                if key is not None or now_s >= end_s:
                    return key
                due_s = self._agenda.next_due_s(slow=slow)
                self._changed.wait(min(end_s, end_s if due_s is None else due_s) - now_s)
        return None

    def done(self, key: K, failed: bool = False, unanswered: bool = False) -> float:
        """The work on a key is over; returns in how many seconds it is looked at again because it failed (else 0)."""
        with self._changed:
            self._mark(key, unanswered)
            wait_s = 0.0
            if failed and not self._closed:
                wait_s = self._agenda.fail(key, self._clock.monotonic_s())
            elif not failed:
                self._agenda.succeed(key)
            self._agenda.done(key)
            self._changed.notify_all()
            return wait_s

    def _is_slow(self, key: K) -> bool:
        return key in self._unanswered or self._groups[self._group(key)] >= MANY_UNANSWERED

    def _mark(self, key: K, unanswered: bool) -> None:
        """Remember whether the last look at a key got an answer."""
        if unanswered == (key in self._unanswered):
            return
        group = self._group(key)
        if unanswered:
            self._unanswered.add(key)
            self._groups[group] += 1
        else:
            self._unanswered.remove(key)
            self._groups[group] -= 1
            if not self._groups[group]:
                del self._groups[group]

    @property
    def closed(self) -> bool:
        """True after `close`: a worker that is given None looks here whether to go."""
        return self._closed

    def drop(self, key: K) -> None:
        """Forget a key altogether."""
        with self._changed:
            self._agenda.drop(key)

    def count(self) -> int:
        """Number of keys that wait."""
        with self._changed:
            return self._agenda.count()

    def close(self) -> None:
        """Wake everybody and give out nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
