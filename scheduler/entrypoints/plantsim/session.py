"""A run of the software plant: a round every few seconds of its time, until it is over or somebody ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from scheduler.core.publishing.message import stamp
from scheduler.domain.errors import HeatDispatchError, Misconfigured
from scheduler.entrypoints.plantsim.clock import PacedClock
from scheduler.entrypoints.plantsim.numbers import numbers_of
from scheduler.entrypoints.plantsim.sender import DemoSender
from scheduler.ports import Clock, PlantInterface
from scheduler.simulate.plant.summary import Summary
from scheduler.simulate.plant.talk import PlantTalk
from scheduler.units import S_PER_MIN

ROUND_S = 10.0
STARTED_WITHIN_S, CONNECTED_WITHIN_S = 60.0, 15.0
LINE_EVERY_S = 15 * S_PER_MIN


@dataclass(slots=True, kw_only=True)
class PlantSession:
    """One run. show: takes every moment as plain values. say: takes lines for people."""

    talk: PlantTalk
    clock: Clock
    speed: float
    say: Callable[[str], None]
    show: Callable[[Mapping[str, Any]], None]
    sender: DemoSender | None = None
    interface: PlantInterface | None = None
    seconds: float | None = None
    summary: Summary = field(default_factory=Summary)
    _trouble: str = ""

    async def run(self) -> Summary:
        """Until `seconds` of the plant's time have passed, or for ever.

        Raises:
            Misconfigured: our own interface could not begin, or the client cannot.
        """
        if self.sender is not None:
            await self.sender.begin(self.clock.now_utc())
        async with self._served() as served, background(self.talk.client.run()) as client:
            await self._connected()
            if isinstance(self.clock, PacedClock) and self.speed != 1.0:
                self.clock.restart()
            start_utc = self.clock.now_utc()
            turns = 0
            while True:
                for task in (client, served):
                    still_there(task)
                await self._turn(start_utc + timedelta(seconds=turns * ROUND_S))
                turns += 1
                if self.seconds is not None and turns * ROUND_S > self.seconds:
                    return self.summary
                await self._wait_until(start_utc + timedelta(seconds=turns * ROUND_S))

    async def _connected(self) -> None:
        """Give the plant of a demonstration a moment to find the link that has just begun."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + CONNECTED_WITHIN_S
        if self.sender is None:
            return
        while await self.talk.client.heartbeat() is None and loop.time() < until_s:  # noqa: ASYNC110 - no client tells of that
            await asyncio.sleep(0.05)

    async def _turn(self, at_utc: datetime) -> None:
        """One round of both sides."""
        now_utc = max(at_utc, self.clock.now_utc()) if self.sender is None else at_utc
        notes = () if self.sender is None else await self.sender.turn(now_utc)
        step = await self.talk.turn(now_utc)
        self.summary.add(step)
        for note in (*notes, *step.notes):
            self.say(f"{stamp(now_utc)}  {note}")
        trouble = self.talk.client.trouble() if self.talk.plant.reachable(now_utc) else "the network is cut"
        if trouble != self._trouble:
            self._trouble = trouble
            self.say(f"{stamp(now_utc)}  " + (f"no connection: {trouble}" if trouble else "connected"))
        self.show(numbers_of(step.view, self.talk.plant, trouble))

    async def _wait_until(self, at_utc: datetime) -> None:
        left_s = (at_utc - self.clock.now_utc()).total_seconds() / self.speed
        await asyncio.sleep(max(left_s, 0.0))

    @asynccontextmanager
    async def _served(self) -> AsyncIterator[asyncio.Task[None] | None]:
        """Our own interface, once it listens."""
        if self.interface is None:
            yield None
            return
        async with background(self.interface.run()) as task:
            await begun(self.interface, task)
            yield task


def still_there(task: asyncio.Task[None] | None) -> None:
    """Complain about a task that should run for ever and does not.

    Raises:
        HeatDispatchError: with its own reason where it has one.
    """
    if task is not None and task.done():
        task.result()
        raise HeatDispatchError("the connection ended for good")


@asynccontextmanager
async def background(work: Any) -> AsyncIterator[asyncio.Task[None]]:
    """A task that ends with the block."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Misconfigured):
            await task


async def begun(interface: PlantInterface, task: asyncio.Task[None]) -> None:
    """Wait until an interface works.

    Raises:
        Misconfigured: it cannot begin.
        HeatDispatchError: it has not begun in time.
    """
    loop = asyncio.get_running_loop()
    until_s = loop.time() + STARTED_WITHIN_S
    while interface.trouble() and loop.time() < until_s:
        if task.done():
            task.result()
        await asyncio.sleep(0.02)
    if interface.trouble():
        raise HeatDispatchError(f"the interface did not begin: {interface.trouble()}")
