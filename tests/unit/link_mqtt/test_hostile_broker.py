"""A broker that is none: silence, noise, lengths that would fill our memory. We hang up, wait, and come again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from link_world import CITY, World, until

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.mqtt import session
from scheduler.adapters.plantlink.mqtt.client import MqttInterface
from scheduler.domain.link_options import MqttOptions

ACCEPTED = b"\x20\x02\x00\x00"
# A PUBLISH of 256 MiB, and one of a topic that is not UTF-8.
ENDLESS = b"\x30\xff\xff\xff\x7f"
NO_TOPIC = b"\x30\x05\x00\x02\xff\xfeX"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    del reader, writer


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    del writer
    while await reader.read(4096):
        pass


async def talks_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
    await writer.drain()


async def announces_too_much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)
    writer.write(ACCEPTED + ENDLESS + b"x" * 100_000)
    await says_nothing(reader, writer)


async def names_no_topic(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)
    writer.write(ACCEPTED + NO_TOPIC * 3)
    await says_nothing(reader, writer)


async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)
    writer.write(b"\x20\x02\x00\x05")
    await writer.drain()


@pytest.mark.parametrize(
    ("talk", "why"),
    [
        (hangs_up, "hung up"),
        (says_nothing, "timed out"),
        (talks_nonsense, ""),
        (announces_too_much, "far too long"),
        (names_no_topic, "timed out"),
        (refuses, "Not authorized"),
    ],
)
def test_whatever_a_broker_does_we_stay_and_say_why(
    talk: Talk, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session, "ANSWER_S", 0.4)
    visits = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            # The test is over: asyncio would log that it has cut a stream off.
            pass
        finally:
            writer.close()

    async def story() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        world = World()
        options = MqttOptions(host="127.0.0.1", port=port, version=4, plain=True, listens=True, offtakes=(CITY,))
        link = MqttInterface(options, world, SystemClock())
        task = asyncio.create_task(link.run())
        try:
            await until(lambda: visits >= 2 and link.trouble() != "")
            assert why in link.trouble()
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            server.close()
            await server.wait_closed()

    asyncio.run(story())
    assert not [one for one in caplog.records if one.exc_info or one.levelno > logging.WARNING]
    assert len([one for one in caplog.records if one.levelno == logging.WARNING]) <= 1


def test_nobody_there_at_all_is_trouble_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        options = MqttOptions(host="127.0.0.1", port=1, plain=True, offtakes=(CITY,))
        link = MqttInterface(options, World(), SystemClock())
        task = asyncio.create_task(link.run())
        await until(lambda: "refused" in link.trouble())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(story())
    assert not [one for one in caplog.records if one.exc_info]
