"""What a plant's receiver gets from us: a real HTTP server that verifies signatures, and goes wrong in the usual ways."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from link_receiver import Receiver, receiver
from link_world import CITY, POOL, World, until

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink import patience
from scheduler.adapters.plantlink.webhook.push import WebhookInterface
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import Credential, WebhookOptions

SECRET, NEXT_SECRET = "first-secret-of-the-plant-0123456789", "second-secret-of-the-plant-012345678"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow one another in hundredths of a second; how they spread is `test_patience`'s."""
    monkeypatch.setattr(patience._SPREAD, "random", lambda: -0.98)


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver([SECRET.encode()]) as found:
        yield found


def options_for(folder: Path, url: str, secret: str = SECRET, **changed: object) -> WebhookOptions:
    (folder / "secret").write_text(secret + "\n")
    credential = Credential(name="plant", secret_file=str(folder / "secret"), offtakes=(CITY,))
    return replace(WebhookOptions(credential=credential, url=url), **changed)  # type: ignore[arg-type]  # fields by name


@asynccontextmanager
async def pushing(options: WebhookOptions, world: World) -> AsyncIterator[WebhookInterface]:
    made = WebhookInterface(options, world, SystemClock())
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        found = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)


def test_schedules_and_boiler_changes_arrive_signed(there: Receiver, tmp_path: Path) -> None:
    async def story() -> None:
        world = World()
        async with pushing(options_for(tmp_path, there.url), world) as link:
            await until(lambda: [beat["boilerOn"] for beat in there.of("heartbeat")] == [True])
            first = await world.plan(1)
            await until(lambda: there.of("schedule") == [first])
            await until(lambda: there.of("heartbeat")[-1]["boilerOn"] is False)
            await world.plan(9, POOL)
            second = await world.plan(2, boilerRequestKw=75.0)
            await until(lambda: there.of("schedule") == [first, second])
            await until(lambda: there.of("heartbeat")[-1]["boilerKw"] == 75.0)
            await world.post(CITY, None)
            await until(lambda: there.of("schedule") == [first, second, None])
            await until(lambda: there.of("heartbeat")[-1]["boilerOn"] is True)
            assert link.trouble() == ""
        assert there.wrong == []

    asyncio.run(story())


def test_a_schedule_that_holds_again_is_no_repeat_that_a_receiver_drops(there: Receiver, tmp_path: Path) -> None:
    async def story() -> None:
        world = World()
        async with pushing(options_for(tmp_path, there.url), world):
            first = await world.plan(1)
            await until(lambda: there.of("schedule") == [first])
            world.alive = False
            await world.beat()
            await until(lambda: there.of("schedule") == [first, None])
            world.alive = True
            await world.beat()
            await until(lambda: there.of("schedule") == [first, None, first])
        assert there.wrong == []
        assert len(set(there.ids)) == len(there.ids)

    asyncio.run(story())


@pytest.mark.parametrize("faults", [[500, 503, 429, 404], ["redirect", "redirect"], ["hang up", "hang up"], ["slow", "slow"]])
def test_what_was_not_taken_is_tried_again_under_the_same_id(there: Receiver, tmp_path: Path, faults: list[int | str]) -> None:
    async def story() -> None:
        world = World()
        world.in_charge = False
        async with pushing(options_for(tmp_path, there.url, timeout_s=0.5), world) as link:
            made = await world.plan(1)
            there.faults = list(faults)
            world.in_charge = True
            await until(lambda: there.of("schedule") == [made] and there.of("heartbeat") != [])
            assert there.knocks >= len(faults) + 2
            await until(lambda: link.trouble() == "")
        assert len(there.of("schedule")) == 1

    asyncio.run(story())


def test_a_redirect_is_told_and_never_followed(there: Receiver, tmp_path: Path) -> None:
    async def story() -> None:
        there.faults = ["redirect"] * 10_000
        world = World()
        async with pushing(options_for(tmp_path, there.url), world) as link:
            await until(lambda: "redirects are not followed" in link.trouble())
            assert there.news == []

    asyncio.run(story())


def test_the_newest_schedule_wins(there: Receiver, tmp_path: Path) -> None:
    async def story() -> None:
        there.faults = [503] * 10_000
        world = World()
        async with pushing(options_for(tmp_path, there.url), world) as link:
            for sequence in range(1, 6):
                made = await world.plan(sequence)
                await until(lambda: "503" in link.trouble())
            there.faults = []
            await until(lambda: there.of("schedule")[-1:] == [made])
            # One that was under way as the receiver recovered may have been taken before it.
            assert len(there.of("schedule")) <= 2

    asyncio.run(story())


def test_who_is_not_in_charge_pushes_nothing(there: Receiver, tmp_path: Path) -> None:
    async def story() -> None:
        there.faults = [503] * 10_000
        world = World()
        await world.plan(1)
        async with pushing(options_for(tmp_path, there.url), world) as link:
            await until(lambda: link.trouble() != "")
            world.in_charge = False
            await asyncio.sleep(1.5)
            there.faults, knocks = [], there.knocks
            await asyncio.sleep(0.5)
            assert (there.knocks, there.news) == (knocks, [])

    asyncio.run(story())


def test_a_secret_is_exchanged_without_a_gap(there: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def story() -> None:
        world = World()
        options = options_for(tmp_path, there.url)
        async with pushing(options, world) as link:
            made = [await world.plan(1)]
            await until(lambda: there.of("schedule") == made)
            (tmp_path / "secret").write_text(f"{NEXT_SECRET}\n{SECRET}\n")
            made.append(await world.plan(2))
            await until(lambda: there.of("schedule") == made)
            there.secrets = [NEXT_SECRET.encode()]
            (tmp_path / "secret").write_text(NEXT_SECRET)
            made.append(await world.plan(3))
            await until(lambda: there.of("schedule") == made)
            (tmp_path / "secret").write_text("")
            await world.plan(4)
            await until(lambda: "secret" in link.trouble())
        assert there.wrong == []

    asyncio.run(story())
    assert SECRET not in caplog.text
    assert NEXT_SECRET not in caplog.text


def test_after_too_long_it_is_given_up(there: Receiver, tmp_path: Path) -> None:
    async def story() -> None:
        there.faults = [500] * 10_000
        world = World()
        await world.plan(1)
        async with pushing(options_for(tmp_path, there.url, give_up_s=0.3), world):
            await until(lambda: there.knocks >= 2)
            # Three times what it takes until whoever knocked last gives up, and may only sleep a pause first.
            await asyncio.sleep(1.5)
            there.faults, knocks = [], there.knocks
            await asyncio.sleep(0.3)
            assert (there.knocks, there.news) == (knocks, [])

    asyncio.run(story())


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://plant.example/heat", "http over a network"),
        ("https://169.254.169.254/latest", "link-local"),
        ("https://user:pass@plant.example/", "user"),
        ("https://plant.example/?key=1", "query"),
        ("https://2130706433/", "unusual"),
        ("https://[fd00:ec2::254]/", "metadata"),
        ("https://0.0.0.0/", "no address of a host"),
        ("ftp://127.0.0.1/", "by ftp"),
        ("", "no host"),
    ],
)
def test_an_address_that_may_not_be_asked_is_refused_at_once(tmp_path: Path, url: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        asyncio.run(WebhookInterface(options_for(tmp_path, url), World(), SystemClock()).run())


@pytest.mark.parametrize("secret", ["", "short", "whsec_!!!", "a\nb\nc"])
def test_a_secret_that_protects_nothing_is_refused_at_once(tmp_path: Path, secret: str) -> None:
    with pytest.raises(Misconfigured, match="secret"):
        asyncio.run(WebhookInterface(options_for(tmp_path, "https://plant.example/", secret), World(), SystemClock()).run())
