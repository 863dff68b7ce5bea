"""All sources of a process, polled side by side in one event loop: each at its own time, none waiting for another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from scheduler.adapters.logs import Episode, Teller
from scheduler.ports import SeriesSource

# How often a source is polled that has no times of its own: a file may have changed.
EVERY_S = 60.0


@runtime_checkable
class Timed(Protocol):
    """A source with times of its own."""

    def due_s(self, now_utc: datetime) -> float:
        """How long until it wants to be polled; 0: now."""
        ...


def due_s(source: SeriesSource, now_utc: datetime) -> float:
    """How long until a source wants to be polled, in seconds; 0 for one that has no times of its own."""
    return max(0.0, source.due_s(now_utc)) if isinstance(source, Timed) else 0.0


def _each_once(sources: Iterable[SeriesSource]) -> tuple[SeriesSource, ...]:
    """Sources without repetition, in order."""
    return tuple({id(source): source for source in sources}.values())


async def _let_go(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks and see them end."""
    going = tuple(tasks)
    for task in going:
        task.cancel()
    await asyncio.gather(*going, return_exceptions=True)


class Polling:
    """Polls what is due; for one event loop. A source that hangs stays behind alone and is not asked again meanwhile."""

    def __init__(self, sources: Sequence[SeriesSource], *, every_s: float = EVERY_S) -> None:
        """Name the sources, each once however many chains it is in; every_s: for those without times of their own."""
        self._every_s = every_s
        self._running: dict[int, asyncio.Task[None]] = {}
        self._asked_utc: dict[int, datetime] = {}
        self._tell = Teller("sources")
        self._sources = _each_once(sources)
        self._episodes: dict[int, Episode] = {}
        self._episodes = self._with_episodes()

    def next_s(self, now_utc: datetime) -> float:
        """How long until some source is due, in seconds; those that are being polled are not waited for."""
        waits_s = [self._due_s(source, now_utc) for source in self._sources if id(source) not in self._running]
        return min(waits_s, default=self._every_s)

    async def turn(self, now_utc: datetime) -> None:
        """Poll what is due; over when all of it has been answered, or when a source that is not being polled is due.

        A source that hangs is left behind after `every_s` at the latest; it goes on as long as the event loop does.
        """
        for source in self._sources:
            if id(source) not in self._running and self._due_s(source, now_utc) <= 0.0:
                self._asked_utc[id(source)] = now_utc
                self._running[id(source)] = asyncio.create_task(self._poll(source, now_utc))
        began_s = asyncio.get_running_loop().time()
        while self._running:
            passed = timedelta(seconds=asyncio.get_running_loop().time() - began_s)
            wait_s = self.next_s(now_utc + passed)
            done, _ = await asyncio.wait(self._running.values(), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            if wait_s <= 0.0 or not done:
                return

    async def seat(self, sources: Sequence[SeriesSource]) -> None:
        """Poll these from the next turn on: who stays keeps his times and what he is being asked."""
        self._sources = _each_once(sources)
        known = {id(source) for source in self._sources}
        await _let_go([task for key, task in self._running.items() if key not in known])
        self._asked_utc = {key: at_utc for key, at_utc in self._asked_utc.items() if key in known}
        self._episodes = self._with_episodes()

    async def close(self) -> None:
        """Let go of what is still being polled."""
        await _let_go(self._running.values())

    def _with_episodes(self) -> dict[int, Episode]:
        """Good and bad times of each source; those that are going on go on."""
        made = {id(source): Episode(self._tell, f"polling {source.name}") for source in self._sources}
        return {key: self._episodes.get(key, episode) for key, episode in made.items()}

    def _due_s(self, source: SeriesSource, now_utc: datetime) -> float:
        """Until a source wants to be polled; one without times of its own is due a while after the last poll."""
        if isinstance(source, Timed):
            return due_s(source, now_utc)
        asked_utc = self._asked_utc.get(id(source))
        since_s = None if asked_utc is None else (now_utc - asked_utc).total_seconds()
        # A clock that was put back makes nobody wait.
        return 0.0 if since_s is None or since_s < 0.0 else max(0.0, self._every_s - since_s)

    async def _poll(self, source: SeriesSource, now_utc: datetime) -> None:
        """Poll one source; one that breaks its promise and raises is told of, and stops nobody."""
        try:
            await source.poll(now_utc)
            self._episodes[id(source)].worked()
        except Exception as error:  # whatever a source does, the others are asked
            self._episodes[id(source)].failed(f"{type(error).__name__}: {error}")
        finally:
            self._running.pop(id(source), None)
