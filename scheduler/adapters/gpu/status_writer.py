"""Writes the status of one object when it changes: at once what somebody waits for, the rest a few seconds later."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scheduler.adapters.gpu.kube_http import KubeHttp
from scheduler.adapters.gpu.kube_watch import Reach
from scheduler.adapters.logs import Episode, Teller
from scheduler.domain.errors import HeatDispatchError

MANAGER = "heat-dispatch-agent"
EVERY_S = 5.0
"""Between two writes of what nobody waits for."""
AT_ONCE, AT_ONCE_S = 8, 20.0
"""So many writes in so long go out at once; what flaps faster waits."""
LOOK_S = 1.0
KEYS = ("lease", "observedGeneration", "conditions", "gpus")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The object as it was seen last."""

    uid: str
    status: Mapping[str, Any] = field(default_factory=dict)


class StatusWriter:
    """One thread runs `run`; any other says with `want` what is to be written."""

    def __init__(self, reach: Reach, path: str, subject: Callable[[], Subject | None]) -> None:
        """Write to `path`, the object's own; `subject` tells which object is there now."""
        self.trouble = ""
        self.writes = 0
        self._reach, self._path, self._subject = reach, path, subject
        self._http = KubeHttp(reach.access)
        self._wanted: Mapping[str, Any] = {}
        self._settled: Mapping[str, Any] | None = None
        self._news = threading.Event()
        self._uid, self._last = "", Json()
        self._written_s: deque[float] = deque(maxlen=AT_ONCE)
        self._failures, self._not_before_s = 0, 0.0
        self._episode = Episode(Teller("agent.status"), "writing the status of the NodePower")

    def want(self, status: Mapping[str, Any]) -> None:
        """Say what is so now; an empty status says nothing."""
        if status and status != self._wanted:
            self._wanted = status
            self._news.set()

    def wake(self) -> None:
        """Let the thread look around, for its end for instance."""
        self._news.set()

    def run(self, stopping: threading.Event) -> None:
        """Write until stopped; no exception ends it."""
        try:
            while not stopping.is_set():
                self._news.wait(LOOK_S)
                self._news.clear()
                if not stopping.is_set():
                    self.turn()
        finally:
            self._http.close()

    def turn(self) -> None:
        """Write if something has changed and its time has come."""
        subject, wanted = self._subject(), self._wanted
        if subject is None or not wanted:
            return
        if subject.uid != self._uid:
            # Another object than the one that was written, or the first: what it says counts.
            self._uid, self._last = subject.uid, dict(subject.status)
            self._failures, self._not_before_s = 0, 0.0
            self._settled = None
        if wanted is self._settled:
            return
        now_s = self._reach.clock.monotonic_s()
        if undated(wanted) == undated(self._last):
            self._settled = wanted
        elif now_s >= self._due_s(wanted):
            self._write(subject, wanted, now_s)

    def _due_s(self, wanted: Mapping[str, Any]) -> float:
        """When this may be written."""
        due_s = self._not_before_s
        if not self._written_s:
            return due_s
        if essence(wanted) != essence(self._last):
            full = len(self._written_s) == AT_ONCE
            return max(due_s, self._written_s[0] + AT_ONCE_S) if full else due_s
        return max(due_s, self._written_s[-1] + EVERY_S)

    def _write(self, subject: Subject, wanted: Mapping[str, Any], now_s: float) -> None:
        status = self._dated(wanted)
        change = {"metadata": {"uid": subject.uid}, "status": {key: status.get(key) for key in KEYS}}
        try:
            self._http.merge(f"{self._path}/status", change, MANAGER)
        except HeatDispatchError as error:
            self._failed(error, now_s)
        except Exception as error:  # a fault of ours must not end the only thread that writes
            self._failed(error, now_s)
        else:
            self._last, self._settled, self._failures, self.trouble = status, None, 0, ""
            self._written_s.append(now_s)
            self.writes += 1
            self._episode.worked()

    def _failed(self, error: Exception, now_s: float) -> None:
        """It is tried again, later every time."""
        self._failures += 1
        self.trouble = str(error)
        self._not_before_s = now_s + self._reach.patience.wait_s(self._failures, self._reach.uniform)
        self._episode.failed(error)

    def _dated(self, wanted: Mapping[str, Any]) -> Json:
        """A status whose conditions say since when they hold, and of which generation they speak."""
        now = self._reach.clock.now_utc().strftime("%Y-%m-%dT%H:%M:%SZ")
        before = {one.get("type"): one for one in self._last.get("conditions") or ()}
        generation = wanted.get("observedGeneration")
        conditions = []
        for one in wanted.get("conditions") or ():
            old = before.get(one["type"], {})
            since = old.get("lastTransitionTime") if old.get("status") == one["status"] else None
            dated = {**one, "lastTransitionTime": since or now}
            conditions.append(dated if generation is None else {**dated, "observedGeneration": generation})
        return {**wanted, "conditions": conditions}


def undated(status: Mapping[str, Any]) -> Json:
    """What a status says, without since when."""
    conditions = [
        {key: one.get(key) for key in ("type", "status", "reason", "message")} for one in status.get("conditions") or ()
    ]
    return {**{key: status.get(key) for key in KEYS}, "conditions": conditions, "gpus": status.get("gpus") or []}


def essence(status: Mapping[str, Any]) -> object:
    """What somebody waits for: conditions, who holds which GPU, and how it stands; not its watts."""
    conditions = [(one.get("type"), one.get("status"), one.get("reason")) for one in status.get("conditions") or ()]
    gpus = [(one.get("uuid"), one.get("podUid"), one.get("condition")) for one in status.get("gpus") or ()]
    return status.get("lease"), status.get("observedGeneration"), conditions, gpus
