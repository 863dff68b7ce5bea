"""Keeps one store true: list by pages, watch from there, and list anew whenever there is doubt."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.kubernetes.runtime.backoff import Backoff, Uniform
from scheduler.adapters.kubernetes.runtime.client import ALL, PAGE_SIZE, KubeClient, Selection, Watch, WatchEvent
from scheduler.adapters.kubernetes.runtime.errors import ApiError, Gone, NotFound, TooManyRequests, Unreachable
from scheduler.adapters.kubernetes.runtime.frozen import Obj, version_of
from scheduler.adapters.kubernetes.runtime.outage import Outage
from scheduler.adapters.kubernetes.runtime.store import Store
from scheduler.adapters.logs import Teller

LIST_REASONS = START, GONE, SILENCE, FAULT = "start", "gone", "silence", "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectorOptions:
    """How patient a reflector is.

    `silence_s`: a watch without a byte for this long is dead (an API server sends a bookmark about every minute).
    `missing_s`: a kind that was there and has been "not found" for this long has been uninstalled and its store is emptied; a
    starting API server says 404 of custom kinds for a moment. `absent_s`: the same for a kind that never was there, so that
    a cluster without Kueue keeps nobody waiting.
    """

    page_size: int = PAGE_SIZE
    watch_s: float = 300.0
    silence_s: float = 90.0
    missing_s: float = 30.0
    absent_s: float = 2.0
    shortest_watch_s: float = 1.0
    backoff: Backoff = field(default_factory=Backoff)


def reading_outage(clock: MonotonicClock) -> Outage:
    """What is told when the cluster cannot be read."""
    meanwhile = "what was seen last counts, nothing but the end of a hold is written on it; read again at least every 30 s"
    return Outage(Teller("runtime.reflector"), "reading the cluster", clock, meanwhile)


class Reflector:
    """One thread per kind. Level-triggered: the store is right in the end, whatever was missed on the way."""

    def __init__(
        self,
        client: KubeClient,
        store: Store,
        clock: MonotonicClock,
        uniform: Uniform,
        *,
        selection: Selection = ALL,
        options: ReflectorOptions | None = None,
    ) -> None:
        """Reflect the selected objects of `store.kind`; time and chance are injected."""
        self.store = store
        self._client = client
        self._clock = clock
        self._uniform = uniform
        self._selection = selection
        self._options = options or ReflectorOptions()
        self._tell = Teller("runtime.reflector")
        self.outage = reading_outage(clock)
        self.failures = 0
        self._stopping, self._hurried = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._watch: Watch | None = None
        self._version = ""
        # The last watch was cut off as soon as it was open: one that opens proves nothing then.
        self._cut = False
        self._missing_since_s: float | None = None
        self._last_event_s = self._last_turn_s = clock.monotonic_s()
        # Why the list was read so often; the first time for the start alone.
        self._lists: Counter[str] = Counter()
        self._doubt = START
        self._misses = 0

    # What others ask.

    @property
    def name(self) -> str:
        """Plural of the kind."""
        return self.store.kind.plural

    @property
    def missing(self) -> bool:
        """True while the API server does not know the kind."""
        return self._missing_since_s is not None

    @property
    def doubtful(self) -> bool:
        """True from a fault until the list after it: what the store has may be long past."""
        return not self._version

    @property
    def relists(self) -> int:
        """How often the whole list was read."""
        return self._lists.total()

    @property
    def lists(self) -> Mapping[str, int]:
        """How often it was read by reason: start, gone (the version is no longer known), silence, fault."""
        return dict(self._lists)

    def age_of_last_event_s(self) -> float:
        """Seconds since the API server last told us anything, a bookmark included: how old our picture may be."""
        return self._clock.monotonic_s() - self._last_event_s

    def age_of_last_turn_s(self) -> float:
        """Seconds since this thread last did anything, a failed try included: whether it lives."""
        return self._clock.monotonic_s() - self._last_turn_s

    # Life.

    def start(self) -> None:
        """Begin in a thread of its own.

        Raises:
            RuntimeError: when it has been started before.
        """
        if self._thread is not None:
            raise RuntimeError(f"reflector of {self.name} was started before")
        self._thread = threading.Thread(target=self.run, name=f"reflect-{self.name}", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the thread, also while it waits for the next byte."""
        self._stopping.set()
        self._hurried.set()
        watch = self._watch
        if watch is not None:
            watch.stop()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def run(self) -> None:
        """List and watch until stopped; no exception ends it."""
        while not self._stopping.is_set():
            self._hurried.clear()
            wait_s = self.turn()
            if not self._stopping.is_set():
                self._hurried.wait(wait_s)

    def hurry(self) -> None:
        """Try again at once if it failed and waits."""
        if self.failures:
            self._hurried.set()

    def turn(self) -> float:
        """List if there is doubt, then watch once; returns how many seconds to wait before the next turn."""
        try:
            if not self._version:
                self._list()
            self._watch_once()
        except ApiError as error:
            return self._failed(error)
        except Exception as error:  # a bug in a listener or a trim must not silence a kind for ever
            self._tell.error("reflector fault", fault=error, kind=self.name)
            return self._failed(error)
        self._turned()
        self._worked()
        return 0.0

    def _list(self) -> None:
        """Read the whole list and swap it in; a list that outlives its version is read again in one piece."""
        try:
            version, objects = self._read_list(self._options.page_size)
        except Gone:
            version, objects = self._read_list(0)
        self.store.replace(objects)
        self._version = version
        self._missing_since_s = None
        self._lists[self._doubt] += 1
        self._heard()
        self._tell.debug("listed", kind=self.name, objects=len(objects), version=version)

    def _read_list(self, page_size: int) -> tuple[str, list[Obj]]:
        objects: list[Obj] = []
        version = ""
        for page in self._client.pages(self.store.kind, self._selection, page_size):
            objects += [self.store.frozen(item) for item in page.items]
            version = page.resource_version
            self._heard()
        if not version:
            raise Unreachable(f"list of {self.name}: no resourceVersion in the answer")
        return version, objects

    def _watch_once(self) -> None:
        """Follow one watch to its end.

        Raises:
            Unreachable: when it ends at once and empty: something between us and the server cuts watches off.
        """
        began_s = self._clock.monotonic_s()
        # Spread over +-20 % so that the watches of all kinds and replicas do not end together.
        watch_s = self._options.watch_s * (0.8 + 0.4 * self._uniform())
        watch = self._client.watch(
            self.store.kind, self._version, self._selection, timeout_s=watch_s, silence_s=self._options.silence_s
        )
        self._watch = watch
        events = 0
        if not self._cut:
            # It answers; the first thing that it says may be a bookmark in a minute.
            self._worked()
        try:
            if self._stopping.is_set():
                watch.stop()
            for event in watch:
                self._take(event)
                events += 1
        except Unreachable:
            # An API server sends no bookmark of a kind of which it never saw an object: there silence is no fault.
            quiet_s = self._clock.monotonic_s() - began_s
            if events or self.store.count() or quiet_s < self._options.silence_s:
                raise
            self._version, self._doubt = "", SILENCE
            return
        finally:
            self._watch = None
            self._cut = not events and self._clock.monotonic_s() - began_s < self._options.shortest_watch_s
        if self._stopping.is_set() or events:
            return
        if self._cut:
            raise Unreachable(f"watch of {self.name}: ended at once")

    def _take(self, event: WatchEvent) -> None:
        version = version_of(event.object)
        if event.type == "BOOKMARK":
            pass
        elif event.type == "DELETED":
            self.store.remove(self.store.frozen(event.object))
        else:
            self.store.put(self.store.frozen(event.object))
        self._version = version or self._version
        self._heard()
        self._worked()

    def _worked(self) -> None:
        self.failures = 0
        self.outage.worked(self.name)

    def _heard(self) -> None:
        self._last_event_s = self._clock.monotonic_s()
        self._turned()

    def _turned(self) -> None:
        self._last_turn_s = self._clock.monotonic_s()

    def _failed(self, error: Exception) -> float:
        """Doubt: the next turn lists anew. Returns how long to wait before it."""
        self._version = ""
        if self._lists:
            self._doubt = GONE if isinstance(error, Gone) else FAULT
        self._turned()
        if isinstance(error, NotFound):
            self._not_installed()
        if isinstance(error, NotFound) and not self.relists:
            # Never there so far: Kueue need not be installed. It is looked for again and again.
            self._worked()
            self._misses += 1
            return self._options.backoff.wait_s(self._misses, self._uniform)
        self.failures += 1
        if isinstance(error, NotFound) and not self.store.count():
            # Told as not installed.
            self.outage.worked(self.name)
        elif not isinstance(error, Gone):
            # A version that is no longer known is no fault of anybody; the list that follows mends it.
            self.outage.failed(self.name, error)
        wait_s = self._options.backoff.wait_s(self.failures, self._uniform)
        asked_s = error.after_s if isinstance(error, TooManyRequests) else 0.0
        return max(wait_s, asked_s)

    def _not_installed(self) -> None:
        """A kind that stays unknown has no objects: classes and policies that are gone must not go on ruling."""
        now_s = self._clock.monotonic_s()
        if self._missing_since_s is None:
            self._missing_since_s = now_s
        patience_s = self._options.missing_s if self.store.synced else self._options.absent_s
        if now_s - self._missing_since_s >= patience_s and (self.store.count() or not self.store.synced):
            tell = self._tell.warning if self.relists else self._tell.info
            tell("kind is not installed", kind=self.name)
            self.store.replace(())
