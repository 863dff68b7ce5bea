"""Events: why and until when, on the object that its owner looks at. Aggregated, limited, and never a reason to fail.

They are core/v1 Events, not events.k8s.io/v1: there the note of an Event may never change, only its count, and a series
would for ever show its first sentence. "Held until 02:15" that became "held until 03:00" must show the newest sentence in
`kubectl describe`, in one Event with a count, which core/v1 allows.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scheduler.adapters.clock import Clocks
from scheduler.adapters.kubernetes.runtime.backoff import Backoff
from scheduler.adapters.kubernetes.runtime.conditions import stamp
from scheduler.adapters.kubernetes.runtime.errors import NotFound
from scheduler.adapters.kubernetes.runtime.fence import Fenced
from scheduler.adapters.kubernetes.runtime.frozen import Obj, key_of, uid_of, version_of
from scheduler.adapters.kubernetes.runtime.kinds import EVENTS
from scheduler.adapters.kubernetes.runtime.writer import Writer
from scheduler.adapters.logs import Episode, Teller
from scheduler.domain.errors import HeatDispatchError, Retryable

COMPONENT = "heat-dispatch"
NORMAL, WARNING = "Normal", "Warning"
MAX_MESSAGE = 1024
# Where the API keeps the Events of cluster-scoped objects.
CLUSTER_NAMESPACE = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventOptions:
    """How much is said.

    `window_s`: the same reason on the same object within it is one Event with a count. `quiet_s`: an unchanged sentence is
    not sent again sooner. `keep`: objects remembered; beyond it the longest unused is forgotten, and at most a second
    Event stands beside the first. `tries`: how often one Event is tried while the API server cannot take it.
    """

    window_s: float = 3000.0
    quiet_s: float = 600.0
    keep: int = 20_000
    tries: int = 5
    backoff: Backoff = field(default_factory=lambda: Backoff(base_s=1.0, max_s=30.0, jitter_fraction=0.0))


@dataclass(slots=True)
class _Thread:
    """One running Event: what was said last, how often, and what of it the API server has."""

    about: dict[str, Any]
    kind: str
    reason: str
    text: str = ""
    count: int = 0
    first_utc: str = ""
    last_utc: str = ""
    began_s: float = 0.0
    sent_s: float = -1.0
    sent_text: str = ""
    name: str = ""
    tries: int = 0


EventKey = tuple[str, str, str, str]
"""Object, its kind, reason, type: what is one running Event."""


class EventRecorder:
    """Takes Events from any thread at once and sends them when writing has room to spare.

    `say` never blocks and never raises; `flush` sends, on whatever thread calls it (the guard's, or `run`'s own).
    """

    def __init__(
        self, writer: Callable[[], Writer | None], clock: Clocks, *, instance: str = "", options: EventOptions | None = None
    ) -> None:
        """`writer` gives the present term's writer, or None for a standby, whose Events are dropped."""
        self._writer = writer
        self._clock = clock
        self._instance = instance
        self._options = options or EventOptions()
        self._threads: OrderedDict[EventKey, _Thread] = OrderedDict()
        self._waiting: OrderedDict[EventKey, None] = OrderedDict()
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._not_before_s = clock.monotonic_s()
        self._number = 0
        self._tell = Teller("runtime.events")
        self._episode = Episode(self._tell, "sending events")
        self.dropped = 0

    def say(self, about: Obj, reason: str, text: str, *, kind: str = NORMAL) -> None:
        """Say why something was done or not done to an object: a CamelCase reason and one sentence."""
        now_s, now = self._clock.monotonic_s(), stamp(self._clock.now_utc())
        key = (uid_of(about) or "/".join(key_of(about)), str(about.get("kind", "")), reason, kind)
        with self._lock:
            thread = self._threads.get(key)
            if thread is None or now_s - thread.began_s > self._options.window_s:
                thread = _Thread(about=_reference(about), kind=kind, reason=reason, first_utc=now, began_s=now_s)
                self._threads[key] = thread
            self._threads.move_to_end(key)
            thread.text, thread.last_utc = text[:MAX_MESSAGE], now
            thread.count += 1
            if thread.text != thread.sent_text or now_s - thread.sent_s >= self._options.quiet_s:
                self._waiting[key] = None
            while len(self._threads) > self._options.keep:
                forgotten, _ = self._threads.popitem(last=False)
                self.dropped += self._waiting.pop(forgotten, self) is None

    def flush(self) -> int:
        """Send what waits, oldest first, as far as writing has room to spare; returns how many were sent."""
        sent = 0
        with self._flushing:
            while self._clock.monotonic_s() >= self._not_before_s:
                writer = self._writer()
                key = self._next(writer)
                if writer is None or key is None:
                    break
                sent += self._send(writer, key)
        return sent

    def _next(self, writer: Writer | None) -> EventKey | None:
        with self._lock:
            if writer is None:
                self.dropped += len(self._waiting)
                self._waiting.clear()
            if writer is None or not self._waiting or not writer.spare():
                return None
            return self._waiting.popitem(last=False)[0]

    def waiting(self) -> int:
        """Number of Events that wait to be sent."""
        with self._lock:
            return len(self._waiting)

    def run(self, stopping: threading.Event, every_s: float = 0.25) -> None:
        """Flush until stopped: the target of a thread."""
        while not stopping.wait(every_s):
            self.flush()

    def _send(self, writer: Writer, key: EventKey) -> int:
        """Send one Event. What the API server cannot take now is tried again a little later, a few times."""
        with self._lock:
            thread = self._threads[key]
            body = self._body(thread)
            thread.tries += 1
        try:
            self._write(writer, thread, body)
        except Exception as error:  # whatever it is: an Event is never worth a cycle
            self._failed(key, thread, error)
            return 0
        self._episode.worked()
        with self._lock:
            thread.sent_s, thread.sent_text, thread.tries = self._clock.monotonic_s(), str(body["message"]), 0
        return 1

    def _failed(self, key: EventKey, thread: _Thread, error: Exception) -> None:
        if not isinstance(error, HeatDispatchError):
            self._tell.error("event fault", fault=error)
        if isinstance(error, NotFound | Fenced):
            # Its namespace is about to go, and what it is about with it; or somebody else leads, and tells it himself.
            self._tell.debug("event not sent", why=error)
            self.dropped += 1
            return
        failures = self._episode.failed(error)
        with self._lock:
            if isinstance(error, Retryable) and thread.tries < self._options.tries:
                self._waiting[key] = None
                self._waiting.move_to_end(key, last=False)
                wait_s = max(self._options.backoff.wait_s(failures, lambda: 0.0), error.after_s)
                self._not_before_s = self._clock.monotonic_s() + wait_s
            else:
                self.dropped += 1
                thread.tries = 0

    def _write(self, writer: Writer, thread: _Thread, body: dict[str, Any]) -> None:
        """Update the running Event, or begin one: the API server forgets Events after an hour."""
        namespace = str(body["metadata"]["namespace"])
        if thread.name:
            change = {name: body[name] for name in ("message", "count", "lastTimestamp")}
            try:
                writer.event(lambda client: client.amend(EVENTS, (namespace, thread.name), change), "patch")
            except NotFound:
                thread.name = ""
            else:
                return
        with self._lock:
            self._number += 1
            unique = f"{int(self._clock.now_utc().timestamp() * 1_000_000):x}{self._number:x}"
        # An object's name may be up to 253 long, and so may the Event's: leave room for what makes it unique.
        body["metadata"]["name"] = f"{str(thread.about['name'])[:220].rstrip('.-')}.{unique}"
        writer.event(lambda client: client.create(EVENTS, body, namespace), "create")
        thread.name = str(body["metadata"]["name"])

    def _body(self, thread: _Thread) -> dict[str, Any]:
        return {
            "metadata": {"namespace": str(thread.about.get("namespace") or CLUSTER_NAMESPACE)},
            "involvedObject": thread.about,
            "type": thread.kind,
            "reason": thread.reason,
            "message": thread.text,
            "count": thread.count,
            "firstTimestamp": thread.first_utc,
            "lastTimestamp": thread.last_utc,
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
        }


def _reference(about: Obj) -> dict[str, Any]:
    namespace, name = key_of(about)
    reference = {
        "apiVersion": about.get("apiVersion"),
        "kind": about.get("kind"),
        "namespace": namespace,
        "name": name,
        "uid": uid_of(about),
        "resourceVersion": version_of(about),
    }
    return {key: value for key, value in reference.items() if value}
