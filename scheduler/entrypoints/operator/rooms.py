"""What is free on the nodes, counted at most once a second: a thousand nodes are not walked for every release."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.pools import NodeRoom, PoolSelector, rooms_of

FRESH_S = 1.0


class Rooms:
    """Counts anew when the last count is a second old or when told that something was just placed."""

    def __init__(self, stores: Stores, clock: MonotonicClock) -> None:
        """Count in `stores`."""
        self._stores, self._clock = stores, clock
        self._counted: dict[tuple[str, ...], tuple[float, tuple[NodeRoom, ...]]] = {}
        self._lock = threading.Lock()

    def __call__(self, pools: Sequence[PoolSelector]) -> Sequence[NodeRoom]:
        """The nodes of some pools now."""
        key, now_s = tuple(pool.pool_id for pool in pools), self._clock.monotonic_s()
        with self._lock:
            counted = self._counted.get(key)
        if counted is not None and now_s - counted[0] < FRESH_S:
            return counted[1]
        rooms = rooms_of(self._stores.nodes.all(), self._stores.pods.all(), pools)
        with self._lock:
            self._counted[key] = (now_s, rooms)
        return rooms

    def placed(self) -> None:
        """Forget the counts: a job was just released, and its pods are about to take their places."""
        with self._lock:
            self._counted.clear()
