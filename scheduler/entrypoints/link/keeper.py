"""Keeps one interface running: what ends or fails is started anew, later each time, and none of the others notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from scheduler.adapters.clock import Clocks
from scheduler.adapters.logs import Episode, Teller
from scheduler.domain.errors import HeatDispatchError
from scheduler.entrypoints.link.interfaces import Planned
from scheduler.ports import PlantDesk, PlantInterface

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
# Whoever ran so long has worked: the next pause is the first again.
WORKED_S = 60.0


class Keeper:
    """One interface and its troubles."""

    def __init__(self, planned: Planned, desk: PlantDesk, clock: Clocks, pause_s: float = FIRST_PAUSE_S) -> None:
        """Run nothing yet."""
        self.name, self.failures = planned.name, 0
        self._planned, self._desk, self._clock, self._first_pause_s = planned, desk, clock, pause_s
        self._running: PlantInterface | None = None
        self._why = "has not been started"
        self._episode = Episode(Teller("plantlink"), f"interface {planned.name}")

    def trouble(self) -> str:
        """Why it does not work now; empty when it does."""
        if self._running is None:
            return self._why
        try:
            return self._running.trouble()
        except Exception as error:  # an interface that cannot even say so is in trouble
            return f"{type(error).__name__}: {error}"

    async def run(self, pause: Callable[[float], object] = asyncio.sleep) -> None:
        """Run until cancelled."""
        pause_s = self._first_pause_s
        while True:
            began_s = self._clock.monotonic_s()
            self._why = await self._once()
            self._running = None
            self.failures += 1
            if self._clock.monotonic_s() - began_s > WORKED_S:
                pause_s = self._first_pause_s
                self._episode.worked()
            self._episode.failed(self._why, again_in_s=pause_s)
            waiting = pause(pause_s)
            if asyncio.iscoroutine(waiting):
                await waiting
            pause_s = min(2.0 * pause_s, LONGEST_PAUSE_S)

    async def _once(self) -> str:
        """Run it once; why it ended."""
        try:
            self._running = self._planned.make(self._desk, self._clock)
            await self._running.run()
        except HeatDispatchError as error:
            return str(error)
        except (OSError, asyncio.IncompleteReadError) as error:
            return f"{type(error).__name__}: {error}"
        except Exception as error:  # a fault of ours in one protocol is no reason to be silent in the others
            Teller("plantlink").error("an interface failed", fault=error, interface=self.name)
            return f"{type(error).__name__}: {error}"
        return "it ended by itself"
