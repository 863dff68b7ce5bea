"""Looking at a link until something is so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from scheduler.core.reports.commission import Look
from scheduler.domain.plantlink import Heartbeat
from scheduler.ports import PlantClient
from scheduler.simulate.plant.watchdog import Watchdog

LOOKS_PER_BEAT = 10.0


@dataclass(slots=True, kw_only=True)
class Watcher:
    """A plant's eyes on the heartbeat; beat_s: how often one should come."""

    client: PlantClient
    beat_s: float

    @property
    def look_s(self) -> float:
        """Between two looks."""
        return self.beat_s / LOOKS_PER_BEAT

    async def looks(self, for_s: float) -> list[Look]:
        """What the counter showed for so long."""
        until_s, found = now_s() + for_s, list[Look]()
        while now_s() < until_s:
            heartbeat = await self.client.heartbeat()
            found.append(Look(at_s=now_s(), counter=None if heartbeat is None else heartbeat.counter))
            await asyncio.sleep(self.look_s)
        return found

    async def until(self, ready: Callable[[Heartbeat], bool], within_s: float) -> tuple[Heartbeat | None, float]:
        """The first heartbeat that is as wanted (None: none was), and how long that took."""
        began_s = now_s()
        while now_s() - began_s < within_s:
            heartbeat = await self.client.heartbeat()
            if heartbeat is not None and ready(heartbeat):
                return heartbeat, now_s() - began_s
            await asyncio.sleep(self.look_s)
        return None, now_s() - began_s

    async def until_silent(self, watchdog_s: float, within_s: float) -> tuple[float, float | None]:
        """When the counter last moved, and when a watchdog noticed that it stands (None: it does not stand)."""
        began_s = now_s()
        dog = Watchdog(timeout_s=watchdog_s, moved_s=began_s)
        while now_s() - began_s < within_s:
            heartbeat = await self.client.heartbeat()
            dog = dog.seen(None if heartbeat is None else heartbeat.counter, now_s())
            if not dog.alive(now_s()):
                return dog.moved_s or began_s, now_s()
            await asyncio.sleep(self.look_s)
        return dog.moved_s or began_s, None


def now_s() -> float:
    """Seconds on the event loop's clock."""
    return asyncio.get_running_loop().time()
