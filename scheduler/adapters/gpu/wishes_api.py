"""What the cluster wishes of this node's GPUs: its NodePower, the one Lease that keeps caps alive, and who its pods are.

A sign of life is a Lease whose `renewTime` changes while it is watched: it counts from the moment at which the agent sees it,
on the agent's own clock, whatever the clocks of others say. A Lease that is listed (at start, and after a fault) says what is,
not what has just happened: it counts with its age, which is the API server's `Date` less `renewTime`. So an agent that starts
anew keeps valid caps and does not revive those of an operator that is gone, and this machine's wall clock is never asked. Nor
does one revive them that was frozen, and finds signs of life that have waited for it.

While the API server is away what it said last stands, and caps end by their leases.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.gpu.kube_watch import KubeWatch, Reach, Target
from scheduler.adapters.gpu.node_power import wish_of
from scheduler.adapters.gpu.status_writer import StatusWriter, Subject
from scheduler.adapters.logs import Episode, Teller
from scheduler.domain.capping import Heard, NodeWish
from scheduler.domain.errors import HeatDispatchError, Misconfigured

POWERS = "/apis/heatdispatch.io/v1alpha1/nodepowers"
LEASE = "heat-dispatch-caps"
# A Lease may seem renewed a little after the server's own time: that is told in whole seconds, and clocks differ.
AHEAD_S = 5.0
# A sign of life that was on its way for longer is none: the Lease is listed again, and counts with its age.
LATE_S = 30.0
# An event may be so late by the network alone.
PROMPT_S = 0.5

Json = dict[str, Any]


class ApiWishes:
    """Follows the API server on threads of its own; `heard` and `report` never wait for it."""

    def __init__(self, reach: Reach, *, node: str, lease_namespace: str) -> None:
        """Hear what is wished of `node`; the Lease is where the operator runs."""
        self._power, self._life, self._pods = _Power(), _Life(reach.clock), _Pods()
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{lease_namespace}/leases"
        by_name = "metadata.name={}".format
        watch = partial(KubeWatch, reach)
        pods = Target(name="pods", path="/api/v1/pods", field_selector=f"spec.nodeName={node}", metadata_only=True)
        self._watches = (
            watch(Target(name="nodepowers", path=POWERS, field_selector=by_name(node)), self._power),
            watch(Target(name="leases", path=leases, field_selector=by_name(LEASE)), self._life),
            watch(pods, self._pods),
        )
        self._writer = StatusWriter(reach, f"{POWERS}/{node}", lambda: self._power.subject)
        self._threads: list[threading.Thread] = []

    def start(self, stopping: threading.Event) -> None:
        """Begin; the threads end after `stopping` is set."""
        runs = [(watch.target.name, watch.run) for watch in self._watches] + [("status", self._writer.run)]
        for name, run in (*runs, ("ending", self._end)):
            thread = threading.Thread(target=run, args=(stopping,), name=f"wishes-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def join(self, timeout_s: float = 5.0) -> None:
        """Wait for the threads after they were told to stop."""
        for thread in self._threads:
            thread.join(timeout_s)

    def heard(self) -> Heard:
        """What is known now."""
        wish, trouble = self._power.wish
        troubles = (trouble, *(watch.trouble for watch in self._watches))
        return Heard(
            wish=wish,
            alive_s=self._life.alive_s,
            pods=self._pods.uids,
            trouble="; ".join(text for text in troubles if text),
            begun=all(watch.begun for watch in self._watches),
        )

    def report(self, status: Mapping[str, Any]) -> None:
        """Say what is in force; written when it changes."""
        self._writer.want(status)

    @property
    def status_trouble(self) -> str:
        """Why the status could not be written; empty when it could."""
        return self._writer.trouble

    def _end(self, stopping: threading.Event) -> None:
        """Wake the others when all is to end."""
        stopping.wait()
        self._writer.wake()
        for watch in self._watches:
            watch.stop()


class _Power:
    """The node's NodePower."""

    def __init__(self) -> None:
        self.wish: tuple[NodeWish | None, str] = (None, "")
        self.subject: Subject | None = None
        self._episode = Episode(Teller("agent.wishes"), "reading the NodePower")

    def listed(self, items: tuple[Json, ...], date_utc: datetime | None) -> None:
        if not items:
            self._gone()
        for item in items:
            self._there(item)

    def changed(self, kind: str, item: Json) -> None:
        if kind == "DELETED":
            self._gone()
        else:
            self._there(item)

    def _gone(self) -> None:
        self.wish, self.subject = (None, ""), None

    def _there(self, item: Json) -> None:
        metadata, status = _part(item, "metadata"), _part(item, "status")
        uid, generation = _text(metadata, "uid"), metadata.get("generation")
        self.subject = Subject(uid=uid, status=status) if uid else None
        counted = generation if isinstance(generation, int) else None
        try:
            self.wish = wish_of(item.get("spec"), source=uid, observed_generation=counted), ""
            self._episode.worked()
        except Misconfigured as error:
            self.wish = None, f"NodePower {_text(metadata, 'name')}: {error}"
            self._episode.failed(error)


class _Late(HeatDispatchError):
    """Events come much later than they happened, as after this process was frozen: what else waits there is as old."""


class _Life:
    """When the operator was last seen alive."""

    def __init__(self, clock: MonotonicClock) -> None:
        self.alive_s: float | None = None
        self._clock = clock
        self._renewed = ""
        self._seen_s = 0.0

    def listed(self, items: tuple[Json, ...], date_utc: datetime | None) -> None:
        self._renewed, self._seen_s = "", self._clock.monotonic_s()
        for item in items:
            self._renewed = _text(_part(item, "spec"), "renewTime")
            age_s = _seconds(_instant(self._renewed), date_utc)
            if age_s is not None and age_s >= -AHEAD_S:
                alive_s = self._seen_s - max(0.0, age_s)
                self.alive_s = alive_s if self.alive_s is None else max(self.alive_s, alive_s)

    def changed(self, kind: str, item: Json) -> None:
        renewed, now_s = _text(_part(item, "spec"), "renewTime"), self._clock.monotonic_s()
        if kind == "DELETED" or not renewed or renewed == self._renewed:
            return
        # Between two signs of life as much time passes here as there, unless events were held up, or a clock there was set.
        passed_s = _seconds(_instant(self._renewed), _instant(renewed))
        held_up_s = 0.0 if passed_s is None else now_s - self._seen_s - passed_s
        if held_up_s > LATE_S:
            raise _Late("what it tells is long past")
        # After a short freeze it counts from when it was given, and so does what is measured from it.
        self._renewed, self._seen_s = renewed, now_s - (held_up_s if held_up_s > PROMPT_S else 0.0)
        self.alive_s = self._seen_s if self.alive_s is None else max(self.alive_s, self._seen_s)


class _Pods:
    """Uid by (namespace, name) of the pods of this node."""

    def __init__(self) -> None:
        self.uids: Mapping[tuple[str, str], str] = {}

    def listed(self, items: tuple[Json, ...], date_utc: datetime | None) -> None:
        self.uids = dict(_pod(item) for item in items)

    def changed(self, kind: str, item: Json) -> None:
        name, uid = _pod(item)
        left = {key: value for key, value in self.uids.items() if key != name}
        if kind == "DELETED":
            # One of the same name may be there already.
            self.uids = left if self.uids.get(name) == uid else self.uids
        else:
            self.uids = {**left, name: uid}


def _pod(item: Json) -> tuple[tuple[str, str], str]:
    metadata = _part(item, "metadata")
    return (_text(metadata, "namespace"), _text(metadata, "name")), _text(metadata, "uid")


def _part(item: Mapping[str, Any], key: str) -> Json:
    found = item.get(key)
    return found if isinstance(found, dict) else {}


def _text(item: Mapping[str, Any], key: str) -> str:
    found = item.get(key)
    return found if isinstance(found, str) else ""


def _seconds(start_utc: datetime | None, end_utc: datetime | None) -> float | None:
    """Seconds between two instants, if both are known."""
    return None if start_utc is None or end_utc is None else (end_utc - start_utc).total_seconds()


def _instant(text: str) -> datetime | None:
    """An instant of the API server; None when it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
