"""A link that is cut off from the database that it shares with others: it says "start the boiler", and then nothing."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from link_offers import HandClock, offer, sign
from stopping_proxy import stopping_proxy

from scheduler.adapters.plantlink.store.database import LinkStore
from scheduler.adapters.plantlink.store.desk import StoredDesk
from scheduler.adapters.plantlink.store.publisher import StoredPublisher
from scheduler.domain.plantlink import Heartbeat

WAIT_S = 60.0


@asynccontextmanager
async def running(*desks: StoredDesk) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.run()) for one in desks]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def until(ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not ready():  # noqa: ASYNC110 - what is awaited changes by another task that knows nothing of us
            await asyncio.sleep(0.02)


def beat(desk: StoredDesk) -> Heartbeat:
    return desk.boards()["town"].heartbeat


def boiler_on(desk: StoredDesk) -> bool:
    return bool(desk.boards()) and beat(desk).boiler_on


def boiler_off(desk: StoredDesk) -> bool:
    return bool(desk.boards()) and not beat(desk).boiler_on


def test_of_two_links_the_one_that_is_cut_off_falls_silent(postgres_url: str) -> None:
    async def story(operator: LinkStore, ours: LinkStore, theirs: LinkStore) -> None:
        clock, other = HandClock(), HandClock()
        cut, standby = StoredDesk(ours, "site", "here", clock), StoredDesk(theirs, "site", "there", other)
        operator.take_over(sign())
        publisher = StoredPublisher(operator, clock, lambda: sign(at_utc=clock.at_utc), lambda: sign().offtakes)
        await publisher.publish([offer()], ())
        async with running(cut, standby):
            await until(lambda: boiler_off(cut))
            assert standby.boards() == {}
            before = beat(cut).counter
            proxy.stop()
            operator.take_over(sign(identity="b", host="there", at_utc=other.at_utc))
            await until(lambda: boiler_off(standby))
            # For as long as an operator may be silent, nobody can tell: then the boiler starts, and two heartbeats say so.
            clock.pass_s(41.0)
            await until(lambda: boiler_on(cut))
            assert beat(cut).counter > before
            clock.pass_s(20.0)
            await until(lambda: not cut.boards())
            assert "cannot be read" in cut.trouble()
            assert boiler_off(standby)
            # It reads again, and hears that another one speaks; when its own operator leads anew, it counts on behind that one.
            counted = beat(standby).counter
            proxy.go()
            await until(lambda: "there leads" in cut.trouble())
            operator.take_over(sign(at_utc=clock.at_utc))
            await until(lambda: bool(cut.boards()) and not standby.boards())
            assert beat(cut).counter > counted

    with stopping_proxy(postgres_url) as (proxy, url):
        stores = LinkStore(postgres_url), LinkStore(url), LinkStore(postgres_url)
        try:
            asyncio.run(story(*stores))
        finally:
            proxy.go()
            for store in stores:
                store.close()


def test_a_link_that_nobody_else_can_speak_for_goes_on_saying_that_boilers_must_start(tmp_path: Path) -> None:
    """On a file of one host: it is gone, and still the heartbeat counts."""

    async def story(operator: LinkStore, link: LinkStore) -> None:
        clock = HandClock()
        desk = StoredDesk(link, "site", "here", clock)
        operator.live(replace(sign(), at_utc=clock.at_utc))
        async with running(desk):
            await until(lambda: bool(desk.boards()))
            operator.close()
            shutil.rmtree(tmp_path / "disk")
            before = beat(desk).counter
            for _ in range(20):
                clock.pass_s(11.0)
                await until(lambda before=before: beat(desk).counter > before)  # type: ignore[misc] # bound by name
                before = beat(desk).counter
            assert (beat(desk).boiler_on, beat(desk).operator_silent) == (True, True)

    (tmp_path / "disk").mkdir()
    path = str(tmp_path / "disk" / "link.sqlite")
    operator, link = LinkStore(path), LinkStore(path)
    try:
        asyncio.run(story(operator, link))
    finally:
        link.close()
