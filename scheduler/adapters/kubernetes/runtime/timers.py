"""When things are done: cycle, guard and gates by APScheduler, on the leader only, from the moment it leads.

APScheduler's defaults skip a tick that is a second late without a word; here a tick may be as late as its interval, several
missed ones become one, and no job runs beside itself. Jobs live in memory alone: the state is in the cluster.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from scheduler.adapters.clock import Clocks
from scheduler.adapters.kubernetes.runtime.fence import Term
from scheduler.adapters.logs import Teller

# Every interval counts from here, so that 900 s means the quarter hour on every replica.
ALIGNED_TO_UTC = datetime(2020, 1, 1, tzinfo=UTC)
# The scheduler sleeps on a clock of its own; looking up this often bounds how late it notices a step or a suspended machine.
LOOK_UP_S = 5.0
CLOCK_STEP_S = 2.0
# What is asked for beside the rhythm waits so long for more of its kind: objects are often applied several at once.
SOON_S = 1.0

Job = Callable[[Term], None]
"""Does one tick's work within the term that it is given; writes go through that term's fence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """Every so many seconds, on whole multiples of them in UTC; `at_once` also when leadership begins."""

    seconds: float
    at_once: bool = False

    @property
    def grace_s(self) -> float:
        """How late a tick may be."""
        return self.seconds

    def trigger(self) -> Any:
        """The scheduler's own trigger."""
        return IntervalTrigger(seconds=self.seconds, start_date=ALIGNED_TO_UTC, timezone=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Daily:
    """Every local day at a time of day, e.g. a contract's gate at 10:30 in Europe/Copenhagen."""

    at_local: str
    zone: str
    grace_s: float = 900.0
    at_once: bool = False

    def trigger(self) -> Any:
        """The scheduler's own trigger."""
        hour, minute = (int(part) for part in self.at_local.split(":"))
        return CronTrigger(hour=hour, minute=minute, second=0, timezone=ZoneInfo(self.zone))


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """One thing that is done again and again; `name` is unique."""

    name: str
    when: Every | Daily
    job: Job


class Timers:
    """Runs timers for one term at a time: `start` and `stop` are what an election calls, and return at once."""

    def __init__(self, timers: Sequence[Timer], clock: Clocks, look_up_s: float = LOOK_UP_S) -> None:
        """Keep the timers; nothing runs yet.

        Raises:
            ValueError: when two have one name.
        """
        if len({timer.name for timer in timers}) != len(timers):
            raise ValueError("timers need unique names")
        self._timers = tuple(timers)
        self._clock = clock
        self._look_up_s = look_up_s
        self._busy = {timer.name: threading.Lock() for timer in timers}
        self._tell = Teller("runtime.timers")
        self._scheduler: Any = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._term: Term | None = None
        self._soon: set[str] = set()

    @property
    def running(self) -> bool:
        """True between `start` and `stop`."""
        return self._scheduler is not None

    def start(self, term: Term) -> None:
        """Begin to tick for a term; those with `at_once` tick now."""
        self.stop()
        pool = ThreadPoolExecutor(len(self._timers) + 1)
        fresh = BackgroundScheduler(timezone=UTC, executors={"default": pool}, daemon=True)
        fresh.add_listener(self._missed, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        for timer in self._timers:
            self._add(fresh, timer, term)
        stopping = threading.Event()
        with self._lock:
            self._scheduler, self._stopping, self._term = fresh, stopping, term
        fresh.start()
        self._now(term)
        watch = threading.Thread(target=self._watch_clock, args=(fresh, term, stopping), name="timers-clock", daemon=True)
        watch.start()

    def stop(self, _term: Term | None = None) -> None:
        """Tick no more. What is under way goes on, and finds its term's fence closed."""
        with self._lock:
            old, self._scheduler = self._scheduler, None
            self._stopping.set()
        if old is not None:
            old.shutdown(wait=False)

    def soon(self, name: str, after_s: float = SOON_S) -> None:
        """One tick of a timer beside its rhythm in a moment, for all who ask within that moment; none while nothing ticks.

        It waits for a tick that is under way, which may have missed what it is asked for.
        """
        timer = next(one for one in self._timers if one.name == name)
        with self._lock:
            if self._scheduler is None or self._term is None or name in self._soon:
                return
            self._soon.add(name)
            given = (timer, self._term, self._stopping, after_s)
        threading.Thread(target=self._tick_soon, args=given, name=f"{name}-soon", daemon=True).start()

    def _tick_soon(self, timer: Timer, term: Term, stopping: threading.Event, after_s: float) -> None:
        stopped = stopping.wait(after_s)
        with self._lock:
            self._soon.discard(timer.name)
        if not stopped:
            self._tick(timer, term, timer.when.grace_s)

    def _add(self, scheduler: Any, timer: Timer, term: Term) -> None:
        scheduler.add_job(
            self._tick,
            timer.when.trigger(),
            args=(timer, term, 0.0),
            id=timer.name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=max(1, int(timer.when.grace_s)),
        )

    def _now(self, term: Term) -> None:
        """One tick beside the rhythm for those that want it; it waits for one of an earlier term that is still under way.

        On threads of our own: APScheduler 3.11 dies of a one-off job that is due in the moment of its shutdown.
        """
        for timer in self._timers:
            if timer.when.at_once:
                given = (timer, term, timer.when.grace_s)
                threading.Thread(target=self._tick, args=given, name=f"{timer.name}-at-once", daemon=True).start()

    def _tick(self, timer: Timer, term: Term, patience_s: float) -> None:
        """Run one job, never beside itself, never for a term that is over; its faults are logged and end here."""
        if not self._busy[timer.name].acquire(timeout=patience_s):
            self._tell.warning("tick skipped, the last one is still under way", timer=timer.name)
            return
        try:
            if term.holds(0.0):
                timer.job(term)
            else:
                self._tell.info("tick dropped, the term is over", timer=timer.name, term=term.number)
        except Exception as error:  # the next tick is another chance
            self._tell.error("tick failed", fault=error, timer=timer.name)
        finally:
            self._busy[timer.name].release()

    def _missed(self, event: Any) -> None:
        self._tell.warning("tick missed", timer=event.job_id)

    def _watch_clock(self, scheduler: Any, term: Term, stopping: threading.Event) -> None:
        """Wake the scheduler often, and set it right after a step of the wall clock.

        Set back by an hour it would sleep an hour more; set forward, or after the machine was suspended, it would wake late.
        """
        offset_s = self._offset_s()
        while not stopping.wait(self._look_up_s):
            step_s = self._offset_s() - offset_s
            offset_s += step_s
            try:
                if abs(step_s) > CLOCK_STEP_S:
                    self._tell.warning("the clock was set", by_s=round(step_s, 1))
                    self._realign(scheduler, term)
                scheduler.wakeup()
            except Exception as error:  # stopped in this very moment, or a bug: the rhythm itself goes on
                if not stopping.is_set():
                    self._tell.error("timers fault", fault=error)

    def _realign(self, scheduler: Any, term: Term) -> None:
        for timer in self._timers:
            scheduler.reschedule_job(timer.name, trigger=timer.when.trigger())
        self._now(term)

    def _offset_s(self) -> float:
        since = self._clock.now_utc() - ALIGNED_TO_UTC
        return since / timedelta(seconds=1) - self._clock.monotonic_s()
