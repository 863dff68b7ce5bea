"""Looks, one after the other: a key from the queue, the job as it is now, one write, and when to look again."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from scheduler.adapters.clock import Clocks
from scheduler.adapters.kubernetes.actions import let_go
from scheduler.adapters.kubernetes.admission_check import answer
from scheduler.adapters.kubernetes.jobs import JobView, Lever, Surroundings
from scheduler.adapters.kubernetes.marks import POOL
from scheduler.adapters.kubernetes.objects import controller_of, name_of, namespace_of, text, uid_of
from scheduler.adapters.kubernetes.operator.counts import JobCounts, JobKey
from scheduler.adapters.kubernetes.operator.reconcile import SENT, Desk, Look, look, send
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.operator.view import NO_POOL
from scheduler.adapters.kubernetes.runtime.errors import Conflict, NotFound, Unreachable
from scheduler.adapters.kubernetes.runtime.events import WARNING, EventRecorder
from scheduler.adapters.kubernetes.runtime.fence import Fenced
from scheduler.adapters.kubernetes.runtime.frozen import Obj
from scheduler.adapters.kubernetes.runtime.kinds import JOBS, PODS, WORKLOADS
from scheduler.adapters.kubernetes.runtime.outage import Outage
from scheduler.adapters.kubernetes.runtime.queue import WorkQueue
from scheduler.adapters.kubernetes.runtime.store import Change
from scheduler.adapters.kubernetes.runtime.writer import OutOfReach, Writer
from scheduler.adapters.kubernetes.stale import views
from scheduler.adapters.kubernetes.why import ADVICE
from scheduler.adapters.kubernetes.writes import Effect, Write
from scheduler.adapters.logs import Teller
from scheduler.adapters.metrics.registry import Metrics
from scheduler.domain.errors import HeatDispatchError, Retryable

# Surroundings are worked out anew this often; what a look does is checked against the job itself and the guard all the same.
AROUND_S = 2.0
# A picture in doubt is listed anew within moments, or the API server is away; only what lets a job go does not wait for it.
DOUBT_S = 1.0
# Somebody else wrote first: usual. So often in a row that the wait has grown to this: worth telling.
LOSES_S = 4.0
# A write that cannot be mended by waiting (refused as invalid) is tried again after this long, in case somebody mended it.
REFUSED_S = 300.0

WriterOf = Callable[[Desk | None], Writer | None]
"""What may write for a policy, or where there is none; None for a standby."""
UNGOVERNED = "no DispatchPolicy is at work"
BETWEEN_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


class NotNow(HeatDispatchError):
    """Nothing was sent: nobody leads here, or what we know is in doubt; asked again `after_s` seconds later, if at all."""

    def __init__(self, after_s: float | None = None) -> None:
        """Remember when to look again."""
        super().__init__("nothing may be written now")
        self.after_s = after_s


class Hands:
    """Carries wishes out, with as many threads as call `run`; two never work on one job."""

    def __init__(
        self, stores: Stores, queue: WorkQueue[JobKey], writer: WriterOf, events: EventRecorder, clock: Clocks, metrics: Metrics
    ) -> None:
        """Begin without a policy."""
        self._stores, self._queue, self._writer = stores, queue, writer
        self._events, self._clock, self._metrics = events, clock, metrics
        self._counts = JobCounts(metrics, clock)
        self._desks: tuple[Desk, ...] = ()
        self._around: dict[str, tuple[float, Surroundings]] = {}
        self._lock = threading.Lock()
        self._judging = threading.Lock()
        self._doubt: Callable[[], bool] = lambda: False
        self._tell = Teller("operator.hands")
        meanwhile = "tried again, later each time and within 30 s; other jobs go on"
        self._outage = Outage(self._tell, "writing to jobs", clock, meanwhile)
        for store in (stores.jobs, stores.pods, stores.workloads):
            store.subscribe(self.changed)

    def doubting(self, doubt: Callable[[], bool]) -> None:
        """Ask this before anything but the end of a hold is written: whether what we know of the cluster is in doubt."""
        self._doubt = doubt

    # What deserves a look.

    def seat(self, desks: Sequence[Desk]) -> None:
        """Work for these policies from now on, and look at every job once."""
        with self._lock:
            self._desks, self._around = tuple(desks), {}
        self.look_at_all()

    def look_at_all(self) -> None:
        """Look at every job once."""
        for store in (self._stores.jobs, self._stores.workloads):
            for obj in store.all():
                self._queue.add((store.kind.plural, namespace_of(obj), name_of(obj)))

    def wake(self, job_ids: Iterable[str]) -> None:
        """Look at jobs that a decision speaks of."""
        for job_id in job_ids:
            namespace, _, rest = job_id.partition("/")
            name = rest.rpartition("@")[0]
            there = self._stores.jobs.get(name, namespace) is not None
            self._queue.add(((JOBS if there else WORKLOADS).plural, namespace, name))

    def changed(self, change: Change) -> None:
        """Look at the job that a changed object belongs to."""
        obj = change.new or change.old
        if obj is None:
            return
        if text(obj, "kind") == JOBS.kind:
            self._noted((JOBS.plural, *change.key), change)
            # A new job, whose owner waits for a word, comes before a thousand others whose planned start has moved.
            self._queue.add((JOBS.plural, *change.key), first=change.old is None)
            return
        owner = controller_of(obj)
        if text(owner, "kind") == JOBS.kind:
            self._queue.add((JOBS.plural, change.key[0], text(owner, "name")))
        elif text(obj, "kind") != PODS.kind:
            self._queue.add((WORKLOADS.plural, *change.key))

    def _noted(self, key: JobKey, change: Change) -> None:
        """Count a job that came or went while we lead; with several policies nobody knows whose one that is gone was."""
        desks = self._desks
        if not desks or self._writer(desks[0]) is None:
            return
        if change.old is None and change.new is not None:
            self._counts.came(key, change.new)
        elif change.new is None and change.old is not None:
            self._counts.went(key, change.old, desks[0].governance.policy if len(desks) == 1 else "")

    # Work.

    def run(self, stopping: threading.Event, within_s: float = 1.0, *, slow: bool = False) -> None:
        """Work until stopped: the target of a thread; one of them takes the slow ones."""
        while not stopping.is_set():
            self.work(within_s, slow=slow)

    def work(self, within_s: float = 0.0, *, slow: bool = False) -> bool:
        """Take one key and look; False when none was due in time."""
        key = self._queue.take(within_s, slow=slow)
        if key is None:
            return False
        fault: Retryable | None = None
        again_s, job = None, f"{key[1]}/{key[2]}"
        try:
            again_s = self._look(key)
            self._outage.worked(job)
        except NotNow as error:
            again_s = error.after_s
        except (Fenced, OutOfReach):
            pass  # Counted by the writer.
        except Retryable as error:
            fault = error
            self._metrics.add("queue_retries_total", reason=type(error).__name__)
        except NotFound:
            self._outage.worked(job)
        except HeatDispatchError as error:
            again_s = REFUSED_S
            self._tell.warning("a write was refused", job=job, why=error)
        except Exception as error:  # a bug in one job's look must not stop the looks at all others
            again_s = REFUSED_S
            self._tell.error("look failed", fault=error, job=job)
        wait_s = self._queue.done(key, failed=fault is not None, unanswered=isinstance(fault, Unreachable))
        if fault is not None and (not isinstance(fault, Conflict) or wait_s >= LOSES_S):
            self._outage.failed(job, fault)
        if again_s is not None:
            self._queue.add(key, again_s)
        return True

    def _look(self, key: JobKey) -> float | None:
        """One look; returns in how many seconds the next one is due, None for when something changes."""
        now_utc = self._clock.now_utc()
        found = self._place(key, now_utc)
        if found is None:
            return None if self._desks else self._let_go(key, now_utc)
        desk, view = found
        began_s, known = self._clock.monotonic_s(), desk.book.wish(view.job_id) is not None
        with self._judging:
            # Two threads must not give the same room away: it is taken with the very judgement that it is there.
            done = look(view, desk, now_utc)
            takes = done.outcome == SENT and _takes_room(done.write, view)
            if takes:
                desk.placed(view, _place_of(done.write, view))
        decided, took_s = desk.book.wish(view.job_id) is not None, self._clock.monotonic_s() - began_s
        priced_s = took_s if decided and not known else None
        self._counts.looked(key, view, desk.governance.policy, decided=decided, priced_s=priced_s)
        if done.drop is not None:
            self._metrics.add("actions_refused_total", policy=desk.governance.policy, reason=done.drop.value)
        if done.advice:
            self._events.say(view.job or view.workload, ADVICE, done.advice)
        if done.outcome == SENT:
            try:
                self._send(done, desk, view)
            except Unreachable:
                # It may have been done all the same: the room stays taken until its pods would be there.
                raise
            except Exception:
                if takes:
                    desk.unplaced(view)
                raise
        return None if done.again_utc is None else max(0.0, (done.again_utc - now_utc).total_seconds())

    def _let_go(self, key: JobKey, now_utc: datetime) -> float | None:
        """End a hold, and answer Kueue, where no policy is left that would: it, or what it needs, was deleted or is refused."""
        writer, of_job = self._writer(None), key[0] == JOBS.plural
        obj = (self._stores.jobs if of_job else self._stores.workloads).get(key[2], key[1])
        if writer is None or obj is None:
            return None
        jobs, workload = ((obj,), self._stores.workload_of(uid_of(obj))) if of_job else ((), obj)
        for view in views(jobs, (workload,) if workload else (), now_utc):
            write = let_go(view, UNGOVERNED, now_utc) if view.held else answer(view, self._stores.checks.all(), now_utc)
            if write is not None:
                send(write, writer)
                self._metrics.add("actions_total", policy="", action=write.effect.value, outcome="done")
                self._counts.wrote(write, view, "", now_utc)
                self._told(view, write, "")
        return None

    def _told(self, view: JobView, write: Write, policy: str) -> None:
        """Say what was done, in the log and on the job; what a check says was said on the job when it was held."""
        done = BETWEEN_WORDS.sub(" ", write.reason).lower()
        self._tell.info(done, job=f"{write.namespace}/{write.name}", policy=policy, why=write.text)
        if write.effect is not Effect.CHECK_TELL:
            self._events.say(view.job or view.workload, write.reason, write.text)

    def _send(self, done: Look, desk: Desk, view: JobView) -> None:
        """Write if that may be done now, say so in an Event, count."""
        assert done.write is not None
        writer = self._writer(desk)
        if writer is None:
            raise NotNow
        if self._doubt() and not done.write.lets_go:
            raise NotNow(DOUBT_S)
        policy, effect = desk.governance.policy, done.write.effect.value
        try:
            send(done.write, writer)
        except Conflict:
            self._metrics.add("actions_total", policy=policy, action=effect, outcome="conflict")
            raise
        self._metrics.add("actions_total", policy=policy, action=effect, outcome="done")
        self._counts.wrote(done.write, view, policy, self._clock.now_utc())
        self._told(view, done.write, policy)

    def _place(self, key: JobKey, now_utc: datetime) -> tuple[Desk, JobView] | None:
        """The policy that a job belongs to, and the job as that policy sees it.

        The first policy (by name) with a pool that may hold it; without one the first policy, for which it is insulated.
        """
        first: tuple[Desk, JobView] | None = None
        for desk in self._desks:
            around = self._surroundings(desk, now_utc)
            one = desk.reader.one if key[0] == JOBS.plural else desk.reader.foreign
            view = one(key[1], key[2], around)
            if view is None:
                continue
            if not any(problem.reason == NO_POOL for problem in view.problems):
                return desk, view
            first = first or (desk, view)
        return first

    def _surroundings(self, desk: Desk, now_utc: datetime) -> Surroundings:
        """What jobs of a policy are read against; classes and nodes may be two seconds old, the instant is now."""
        now_s, policy = self._clock.monotonic_s(), desk.governance.policy
        with self._lock:
            made_s, around = self._around.get(policy, (-AROUND_S, None))
        if around is None or now_s - made_s >= AROUND_S:
            around = desk.reader.around(now_utc)
            with self._lock:
                self._around[policy] = (now_s, around)
        return replace(around, now_utc=now_utc)


def _takes_room(write: Write | None, view: JobView) -> bool:
    """Whether a write lets pods start that take their room before anybody sees them there."""
    return write is not None and write.effect is Effect.RELEASE and view.lever is Lever.SUSPEND


def _place_of(write: Write | None, view: JobView) -> str | None:
    """The pool that a release is for; None: wherever its owner lets it."""
    pool_id = (None if write is None else write.annotations.get(POOL)) or view.marks.pool_id
    return pool_id if isinstance(pool_id, str) else None


def problem_events(views: Mapping[str, JobView], say: Callable[[Obj, str, str, str], None]) -> None:
    """Tell owners of jobs that wished for something and are insulated what to mend."""
    for view in views.values():
        for problem in view.problems:
            say(view.job or view.workload, problem.reason, problem.text, WARNING)
