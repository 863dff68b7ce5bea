"""What the operator asked of the API server and how well it sees it, for Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from scheduler.adapters.clock import WallClock
from scheduler.adapters.kubernetes.runtime.caches import CacheAge
from scheduler.adapters.kubernetes.runtime.reflector import LIST_REASONS
from scheduler.adapters.kubernetes.runtime.writer import WriteCounts
from scheduler.adapters.metrics.registry import Metrics

WATCH, DONE, FENCED = "watch", "done", "fenced"


class Counting:
    """Counts requests as they happen; writes and lists are counted elsewhere and brought up to date when somebody asks."""

    def __init__(self, metrics: Metrics, clock: WallClock) -> None:
        """Count into `metrics`."""
        self.writes = WriteCounts()
        self._metrics, self._clock = metrics, clock
        self._told: dict[tuple[str, ...], int] = {}
        self._lock = threading.Lock()

    def request(self, verb: str, code: int, took_s: float) -> None:
        """One request to the API server was answered after so many seconds (code 0: was not)."""
        self._metrics.add("api_requests_total", verb=verb, code=str(code))
        if verb != WATCH:
            self._metrics.observe("api_request_duration_seconds", took_s, verb=verb)

    def gauges(self, ages: Iterable[CacheAge]) -> None:
        """Writes so far, and of each kind when it was heard of; a kind that this cluster does not have says nothing."""
        with self._lock:
            for (verb, plural, outcome), number in self.writes.all().items():
                if outcome == DONE:
                    self._up_to("api_writes_total", number, {"kind": plural, "verb": verb})
                if outcome == FENCED:
                    self._up_to("api_writes_fenced_total", self._fenced(plural), {"kind": plural})
            heard: dict[tuple[str, ...], float] = {}
            for age in ages:
                for reason in LIST_REASONS:
                    self._up_to("store_relists_total", age.lists.get(reason, 0), {"kind": age.name, "reason": reason})
                if not age.missing:
                    heard[(age.name,)] = self._clock.now_utc().timestamp() - age.event_s
            self._metrics.replace("store_last_event_timestamp_seconds", heard)

    def _fenced(self, plural: str) -> int:
        """Writes of a kind that were not sent, whatever they were."""
        counts = self.writes.all()
        return sum(number for (_, kind, outcome), number in counts.items() if kind == plural and outcome == FENCED)

    def _up_to(self, name: str, total: int, labels: Mapping[str, str]) -> None:
        """Bring a counter up to what was counted."""
        key = (name, *labels.values())
        self._metrics.add(name, total - self._told.get(key, 0), **labels)
        self._told[key] = total
