"""What is counted of jobs on their way: how soon a new one is decided, what its pricing took, how holds end."""

from __future__ import annotations

import threading
from datetime import datetime

from scheduler.adapters.clock import Clocks
from scheduler.adapters.kubernetes.actions import LET_GO
from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.marks import HELD_BY, HeldBy
from scheduler.adapters.kubernetes.objects import Obj, created_utc, text
from scheduler.adapters.kubernetes.stale import over_because
from scheduler.adapters.kubernetes.writes import Effect, Write
from scheduler.adapters.metrics.registry import Metrics
from scheduler.domain.job import JobPhase

JobKey = tuple[str, str, str]
"""Plural of the kind, namespace, name."""

# A job that is older when it is first seen was there before us: a start, or a list that was read anew.
NEW_S = 60.0
# So many that nobody has decided are remembered; the others are not measured.
MOST = 10_000
ENDS = PLANNED, HOLD_OVER, ENDED_ALL, OWNER, DELETED = "planned", "HoldOver", "LetGo", "owner", "deleted"


class JobCounts:
    """Numbers of jobs for Prometheus, from any thread."""

    def __init__(self, metrics: Metrics, clock: Clocks) -> None:
        """Count into `metrics`."""
        self._metrics, self._clock = metrics, clock
        self._new: dict[JobKey, float] = {}
        self._lock = threading.Lock()

    def came(self, key: JobKey, obj: Obj) -> None:
        """The API server tells of an object that was not known before."""
        made_utc = created_utc(obj)
        if made_utc is None or (self._clock.now_utc() - made_utc).total_seconds() > NEW_S:
            return
        with self._lock:
            if len(self._new) < MOST:
                self._new.setdefault(key, self._clock.monotonic_s())

    def looked(self, key: JobKey, view: JobView, policy: str, *, decided: bool, priced_s: float | None) -> None:
        """A look at a job is over. decided: something is wanted of it now; priced_s: what that took, if this look did it."""
        if priced_s is not None:
            self._metrics.observe("admission_duration_seconds", priced_s, policy=policy)
        if not decided and not view.insulated and view.state.phase is not JobPhase.DONE:
            return
        with self._lock:
            came_s = self._new.pop(key, None)
        if decided and came_s is not None:
            self._metrics.observe("job_decided_seconds", self._clock.monotonic_s() - came_s, policy=policy)

    def wrote(self, write: Write, view: JobView, policy: str, now_utc: datetime) -> None:
        """A write was taken: it may have ended a hold."""
        why = ended(write, view, now_utc)
        if why:
            self._metrics.add("holds_ended_total", policy=policy, reason=why)

    def went(self, key: JobKey, obj: Obj, policy: str) -> None:
        """An object is gone, perhaps one that was held."""
        with self._lock:
            self._new.pop(key, None)
        if text(obj, "metadata", "annotations", HELD_BY) in (HeldBy.ADMISSION.value, HeldBy.OPERATOR.value):
            self._metrics.add("holds_ended_total", policy=policy, reason=DELETED)


def ended(write: Write, view: JobView, now_utc: datetime) -> str:
    """How a write ends the hold of a job; empty when it does not, or there was none."""
    if write.effect is Effect.MARK:
        return OWNER
    if not view.held or write.effect is not Effect.RELEASE:
        return ""
    if write.reason != LET_GO:
        return PLANNED
    return HOLD_OVER if over_because(view, now_utc) else ENDED_ALL
