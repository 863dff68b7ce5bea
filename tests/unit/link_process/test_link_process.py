"""The process of the plant link: interfaces that fail disturb no other, pages tell, and the end is said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import typer
from link_offers import TOWN, sign
from typer.testing import CliRunner

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.store.database import LinkStore
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import LinkOptions, LinkTimes, RestOptions
from scheduler.entrypoints.commands.plant_link import plant_link
from scheduler.entrypoints.link.interfaces import MADE_BY, Planned, interfaces_of
from scheduler.entrypoints.link.keeper import Keeper
from scheduler.entrypoints.link.process import LinkPlace, PlantLink
from scheduler.ports import Clock, PlantDesk, PlantInterface

WAIT_S = 20.0


class Listener:
    """An interface that only listens for beats, or fails."""

    def __init__(self, desk: PlantDesk, why: str) -> None:
        self.desk, self.why = desk, why
        self.boilers: list[bool] = []

    async def run(self) -> None:
        if self.why:
            raise Misconfigured(self.why)
        beats = -1
        while True:
            beats = await self.desk.beats(beats, WAIT_S)
            self.boilers += [one.heartbeat.boiler_on for one in self.desk.boards().values()]

    def trouble(self) -> str:
        return ""


def planned(made: list[Listener], name: str, why: str = "") -> Planned:
    def make(desk: PlantDesk, _clock: Clock) -> PlantInterface:
        made.append(Listener(desk, why))
        return made[-1]

    return Planned(name=name, make=make)


async def until(ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not ready():  # noqa: ASYNC110 - what is awaited changes by another task that knows nothing of us
            await asyncio.sleep(0.01)


def test_one_that_fails_disturbs_no_other_and_the_end_says_that_boilers_start(tmp_path: Path) -> None:
    made: list[Listener] = []
    url = str(tmp_path / "l.sqlite")
    operator, store, clock = LinkStore(url), LinkStore(url), SystemClock()
    place = LinkPlace(host="here", pages_port=0)
    options = LinkOptions(site_id="site", times=LinkTimes(beat_s=1.0))

    async def story() -> None:
        link = PlantLink(options, (planned(made, "good"), planned(made, "bad", "port taken")), store, clock, place)
        stop = asyncio.Event()
        running = asyncio.create_task(link.run(stop))
        operator.live(replace(sign(), at_utc=clock.now_utc()))
        await until(lambda: bool(link.desk.boards()))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{link.port}") as client:
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["speaks"]) == (200, True)
            assert ready.json()["interfaces"] == {"bad": "port taken"}
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/secrets")).status_code == 404
            assert (await client.post("/metrics")).status_code == 405
            numbers = (await client.get("/metrics")).text
        assert 'heatdispatch_link_interface_up{interface="good"} 1.0' in numbers
        assert 'heatdispatch_link_interface_up{interface="bad"} 0.0' in numbers
        assert 'heatdispatch_link_boiler_signal{offtake="town"} 1.0' in numbers
        assert TOWN.offtake_id in link.desk.boards()
        stop.set()
        await running
        assert made[0].boilers[-1]

    try:
        asyncio.run(story())
    finally:
        operator.close()
        store.close()


def test_a_failing_interface_is_tried_again_later_each_time() -> None:
    made: list[Listener] = []
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 8:
            raise asyncio.CancelledError

    keeper = Keeper(planned(made, "bad", "no"), None, SystemClock())  # type: ignore[arg-type] # the listener fails before it
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(keeper.run(pause))
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert (keeper.failures, keeper.trouble(), len(made)) == (8, "no", 8)


def test_every_protocol_has_something_that_makes_it() -> None:
    names = [one.name for one in interfaces_of(LinkOptions(site_id="s", rest=RestOptions()))]
    assert names == ["rest"]
    assert set(MADE_BY) == {"rest", "webhook", "modbus", "opcua", "mqtt"}


def test_check_says_what_is_set_up_and_ends(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(plant_link)
    config = tmp_path / "link.yaml"
    config.write_text("site: town\nmodbus: {port: 15020, units: {1: north}}\n", encoding="utf-8")
    found = CliRunner().invoke(app, ["--config", str(config), "--check", "--json", "-"])
    assert found.exit_code == 0
    assert json.loads(found.stdout)["interfaces"] == ["modbus"]
    config.write_text("site: town\nmodbas: {}\n", encoding="utf-8")
    wrong = CliRunner().invoke(app, ["--config", str(config), "--check"])
    assert wrong.exit_code == 2
