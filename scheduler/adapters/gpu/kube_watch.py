"""Follows a few objects of one kind in a thread: list, watch from there, and list anew whenever there is doubt."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from scheduler.adapters.clock import Clocks
from scheduler.adapters.gpu.kube_http import GONE, JSON, SILENCE_S, Access, KubeHttp, Refused, Silent, Unreachable
from scheduler.adapters.logs import Episode, Teller
from scheduler.domain.errors import HeatDispatchError

Json = dict[str, Any]
Uniform = Callable[[], float]
"""Draws from [0, 1)."""


class Follower(Protocol):
    """Who is told; called by the watch's thread alone."""

    def listed(self, items: tuple[Json, ...], date_utc: datetime | None) -> None:
        """All objects as they are; the server's time when it said so, if it told."""
        ...

    def changed(self, kind: str, item: Json) -> None:
        """One object has been ADDED, MODIFIED or DELETED."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is followed: a collection, and which of its objects. metadata_only: the rest of them is not wanted."""

    name: str
    path: str
    field_selector: str
    metadata_only: bool = False

    @property
    def accept(self) -> tuple[str, str]:
        """How a list and an object are to be sent."""
        if not self.metadata_only:
            return JSON, JSON
        form = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
        return form.format("List"), form.format("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long things may take.

    watch_s: one watch, spread by a fifth. silence_s: on a watch without a byte. shortest_s: a watch that ends sooner without an
    event was cut off. Waits after failures in a row double from base_s to most_s.
    """

    watch_s: float = 300.0
    base_s: float = 0.5
    most_s: float = 15.0
    silence_s: float = SILENCE_S
    shortest_s: float = 1.0

    def wait_s(self, failures: int, uniform: Uniform) -> float:
        """Seconds after so many failures in a row; half of it by chance, so that nodes do not come together."""
        full_s = min(self.most_s, self.base_s * 2.0 ** min(failures - 1, 16))
        return full_s * (1.0 - 0.5 * uniform())


def chance() -> float:
    """A number from [0, 1)."""
    return int.from_bytes(os.urandom(6), "big") / 2**48


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How the API server is reached, and by which time and chance."""

    access: Access
    clock: Clocks
    patience: Patience = Patience()
    uniform: Uniform = chance


class KubeWatch:
    """One thread that keeps a follower true."""

    def __init__(self, reach: Reach, target: Target, follower: Follower) -> None:
        """Nothing is asked yet."""
        self.target = target
        self.trouble = ""
        self.begun = False
        self._patience, self._clock, self._uniform = reach.patience, reach.clock, reach.uniform
        self._http = KubeHttp(reach.access, silence_s=self._patience.silence_s)
        self._follower = follower
        self._version = ""
        self._failures = 0
        self._tell = Teller("agent.watch")
        self._episode = Episode(self._tell, f"watch of {target.name}")

    def run(self, stopping: threading.Event) -> None:
        """List and watch until stopped; no exception ends it."""
        try:
            while not stopping.is_set():
                stopping.wait(self.turn(stopping))
        finally:
            self._http.close()

    def stop(self) -> None:
        """Wake the thread where it waits for the next byte; its event has been set."""
        self._http.stop()

    def turn(self, stopping: threading.Event) -> float:
        """List if there is doubt, then watch once; returns how many seconds to wait before the next turn."""
        try:
            if not self._version:
                self._list()
            self._watch()
        except Silent:
            # Of a kind without objects nothing ever comes. The list that follows tells whether the server is there.
            self._version = ""
            return 0.0
        except Refused as error:
            return self._failed(error, known=error.code == GONE and bool(self._version))
        except HeatDispatchError as error:
            return 0.0 if stopping.is_set() else self._failed(error)
        except Exception as error:  # a fault of ours must not end the only thread that hears of this kind
            self._tell.error("fault in a watch", fault=error, of=self.target.name)
            return self._failed(error)
        return 0.0

    def _list(self) -> None:
        found = self._http.list(self.target.path, self._query(), self.target.accept[0])
        self._follower.listed(found.items, found.date_utc)
        self._version = found.version
        self.begun = True
        self._worked()

    def _watch(self) -> None:
        patience = self._patience
        seconds = max(1, round(patience.watch_s * (0.8 + 0.4 * self._uniform())))
        query = {
            **self._query(),
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(seconds),
        }
        began_s, events = self._clock.monotonic_s(), 0
        for event in self._http.watch(self.target.path, query, self.target.accept[1]):
            events += 1
            item, kind = event["object"], event["type"]
            if kind in ("ADDED", "MODIFIED", "DELETED"):
                self._follower.changed(kind, item)
            metadata = item.get("metadata")
            version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
            if isinstance(version, str) and version:
                self._version = version
            self._worked()
        if not events and self._clock.monotonic_s() - began_s < self._patience.shortest_s:
            raise Unreachable("watches are cut off as soon as they are open")

    def _query(self) -> dict[str, str]:
        return {"fieldSelector": self.target.field_selector}

    def _worked(self) -> None:
        self._failures, self.trouble = 0, ""
        self._episode.worked()

    def _failed(self, error: Exception, *, known: bool = False) -> float:
        """The next turn lists anew. known: nobody's fault, so it is not told."""
        self._version = ""
        self._failures += 1
        if not known or self._failures > 1:
            self.trouble = f"{self.target.name}: {error}"
            self._episode.failed(error)
        return self._patience.wait_s(self._failures, self._uniform)
