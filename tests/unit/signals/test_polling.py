"""All sources side by side: each at its time, a hanging one alone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from feed_world import NOW, Line, Scripted, World, later, run, told

from scheduler.adapters.sources.blueprint import Schedule
from scheduler.adapters.sources.polling import Polling
from scheduler.domain.observed import SourceReading


@dataclass(slots=True)
class Plain:
    """A source without times of its own."""

    name: str
    polls: list[datetime] = field(default_factory=list)
    hangs: bool = False
    fails: bool = False

    async def poll(self, now_utc: datetime) -> None:
        self.polls.append(now_utc)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise RuntimeError("broke its promise")

    def readings(self, now_utc: datetime) -> tuple[SourceReading, ...]:
        return ()

    def trouble(self) -> str:
        return ""


def seconds(count: float) -> datetime:
    return NOW + timedelta(seconds=count)


def test_each_is_polled_at_its_own_time() -> None:
    feed = World(Scripted([told([1.0])], Schedule(every_s=30.0))).feed()
    file = Plain("file")
    polling = Polling([feed, file, file], every_s=60.0)

    async def turns() -> None:
        assert polling.next_s(NOW) == 0.0
        for count in (0, 10, 30, 60):
            await polling.turn(seconds(count))
        assert polling.next_s(seconds(60)) == 30.0

    run(turns())
    assert file.polls == [NOW, seconds(60)]


def test_one_that_hangs_stops_nobody_and_is_asked_once() -> None:
    hanging, other = Plain("hanging", hangs=True), Plain("other")
    polling = Polling([hanging, other], every_s=0.02)

    async def turns() -> None:
        for count in range(5):
            await asyncio.wait_for(polling.turn(seconds(count)), timeout=30.0)
        await polling.close()
        # Let go of, it may be asked again.
        await asyncio.wait_for(polling.turn(seconds(9)), timeout=30.0)
        await polling.close()

    run(turns())
    assert hanging.polls == [NOW, seconds(9)]
    assert len(other.polls) == 6


def test_who_stays_is_not_disturbed_by_who_comes_and_goes() -> None:
    slow, gone, come = Plain("slow", hangs=True), Plain("gone", hangs=True), Plain("come")
    polling = Polling([slow, gone], every_s=0.02)

    async def turns() -> None:
        await asyncio.wait_for(polling.turn(NOW), timeout=30.0)
        await polling.seat([slow, come])
        await asyncio.wait_for(polling.turn(seconds(1)), timeout=30.0)
        await polling.seat([slow, come, gone])
        await asyncio.wait_for(polling.turn(seconds(1.01)), timeout=30.0)
        await polling.close()

    run(turns())
    assert slow.polls == [NOW], "what it was asked goes on"
    assert come.polls == [seconds(1)], "its times are kept"
    assert gone.polls == [NOW, seconds(1.01)]


def test_one_that_raises_stops_nobody() -> None:
    bad, good = Plain("bad", fails=True), Plain("good")
    polling = Polling([bad, good])
    run(polling.turn(NOW))
    run(polling.turn(later(1)))
    assert len(bad.polls) == len(good.polls) == 2


def test_without_sources_there_is_nothing_to_do() -> None:
    polling = Polling([])
    run(polling.turn(NOW))
    assert polling.next_s(NOW) == 60.0


def test_a_feed_is_not_asked_twice_at_a_time() -> None:
    world = World(Scripted([told([1.0])]), line=Line(hangs=True), limit_s=0.05)
    feed = world.feed()

    async def both() -> None:
        await asyncio.gather(feed.poll(NOW), feed.poll(NOW))

    run(both())
    assert len(world.line.asked) == 1
