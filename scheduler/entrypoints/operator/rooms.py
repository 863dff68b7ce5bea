"""What is free on the nodes, counted at most once a second: a thousand nodes are not walked for every release."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.kubernetes.claims import Claim, after_claims, waiting_pods
from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.objects import uid_of
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.pools import NodeRoom, PoolSelector, rooms_of
from scheduler.adapters.kubernetes.quantities import Gang

FRESH_S = 1.0
# So long the Job controller may take to make the pods of a job that was just released.
BORN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Release:
    """A job that was just released: its pods may not be there yet."""

    uid: str
    gangs: tuple[Gang, ...]
    pool_id: str | None
    at_s: float


class Rooms:
    """Counts anew when the last count is a second old.

    Room is never given away twice: what waits for a node, and pods that a released job will have, are taken off.
    """

    def __init__(self, stores: Stores, clock: MonotonicClock) -> None:
        """Count in `stores`."""
        self._stores, self._clock = stores, clock
        self._counted: dict[tuple[str, ...], tuple[float, tuple[NodeRoom, ...]]] = {}
        self._released: dict[str, _Release] = {}
        self._lock = threading.Lock()

    def __call__(self, pools: Sequence[PoolSelector]) -> Sequence[NodeRoom]:
        """The nodes of some pools now."""
        key, now_s = tuple(pool.pool_id for pool in pools), self._clock.monotonic_s()
        with self._lock:
            counted = self._counted.get(key)
            released = tuple(self._released.values())
        if counted is not None and now_s - counted[0] < FRESH_S:
            return counted[1]
        pods = self._stores.pods.all()
        claims = [*waiting_pods(pods), *self._unborn(released, now_s)]
        rooms = after_claims(rooms_of(self._stores.nodes.all(), pods, pools), claims)
        with self._lock:
            # Fresh from its end on: on a busy machine counting takes longer than a count holds, and each look would count anew.
            self._counted[key] = (self._clock.monotonic_s(), rooms)
        return rooms

    def placed(self, view: JobView, pool_id: str | None) -> None:
        """A job is being released: its pods are about to take their places."""
        now_s = self._clock.monotonic_s()
        claims = [Claim(gang=gang, pool_id=pool_id) for gang in view.gangs]
        with self._lock:
            self._released = {job: one for job, one in self._released.items() if now_s - one.at_s < BORN_S}
            self._released[view.job_id] = _Release(uid=uid_of(view.job), gangs=view.gangs, pool_id=pool_id, at_s=now_s)
            # Not counted anew: that takes a tenth of a second, and hundreds may be released at once.
            self._counted = {key: (at_s, after_claims(rooms, claims)) for key, (at_s, rooms) in self._counted.items()}

    def unplaced(self, view: JobView) -> None:
        """It was not released after all."""
        with self._lock:
            self._released.pop(view.job_id, None)
            self._counted.clear()

    def _unborn(self, released: Sequence[_Release], now_s: float) -> Iterator[Claim]:
        """Pods of released jobs that their controller has not made yet; one that has ended already was made."""
        for one in released:
            missing = sum(gang.pods for gang in one.gangs) - len(self._stores.pods_of(one.uid))
            if missing > 0 and now_s - one.at_s < BORN_S:
                yield Claim(gang=replace(one.gangs[0], pods=missing), pool_id=one.pool_id)
