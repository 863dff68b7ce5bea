"""The server on a socket: who may connect, what gets which exception, and that nothing hostile ends or fools it."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable

import pytest
from modbus_hostile import attacked, attacks, wrongly
from modbus_world import (
    EMPTY_UNIT,
    OFFTAKE,
    OTHER_UNIT,
    UNIT,
    Desk,
    RawClient,
    Served,
    SetClock,
    options,
    schedule,
    served,
)

from scheduler.adapters.plantlink.modbus import answers as answering
from scheduler.adapters.plantlink.modbus import server as serving
from scheduler.adapters.plantlink.modbus.client import ModbusPlantClient
from scheduler.adapters.plantlink.modbus.registers import HEADER, INPUTS_END, INTERVALS_START, SEAL
from scheduler.adapters.plantlink.modbus.server import ModbusInterface
from scheduler.domain.errors import Misconfigured
from scheduler.domain.plantlink import Letter, LinkProtocol, Receipt


def read(function: int, address: int, count: int) -> bytes:
    return struct.pack(">BHH", function, address, count)


@pytest.mark.parametrize(
    ("pdu", "unit", "answer"),
    [
        (read(4, 0, 1), OTHER_UNIT, "04024844"),
        (read(2, 0, 6), UNIT, "020122"),
        (read(2, 5, 2), UNIT, "8202"),
        (read(1, 0, 1), UNIT, "8101"),
        (read(4, INPUTS_END - 1, 2), UNIT, "8402"),
        (read(4, 65535, 125), UNIT, "8402"),
        (read(4, 0, 126), UNIT, "8403"),
        (read(3, 6999, 1), UNIT, "8302"),
        (read(3, 7073, 2), UNIT, "8302"),
        (read(4, 7000, 1), UNIT, "8402"),
        (b"\x17" + bytes(9), UNIT, "9701"),
        (b"\x04\x00", UNIT, "8403"),
        (read(4, 0, 1), 99, "840a"),
        (read(4, 0, 1), 0, "840a"),
        (read(4, 0, 1), EMPTY_UNIT, "840b"),
    ],
)
def test_every_request_gets_its_answer(pdu: bytes, unit: int, answer: str) -> None:
    async def run() -> None:
        async with served() as world:
            client = await world.raw()
            assert (await client.ask(pdu, unit)).hex() == answer
            # The connection goes on after an exception.
            assert (await client.ask(read(4, 1, 1))).hex() == "04020002"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"units": {}}, "modbus.units"),
        ({"units": {0: "town"}}, "modbus.units"),
        ({"units": {248: "town"}}, "modbus.units"),
        ({"clients": ("0.0.0.0/0",)}, "modbus.clients"),
        ({"writes_per_min": 0.0}, "modbus.writes_per_min"),
    ],
)
def test_options_that_cannot_be(changes: dict[str, object], where: str) -> None:
    with pytest.raises(Misconfigured) as wrong:
        ModbusInterface(options(**changes), Desk(SetClock()), SetClock())
    assert wrong.value.where == where


def test_a_port_that_is_taken_is_said_so() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            interface = ModbusInterface(options(port=taken.getsockname()[1]), Desk(SetClock()), SetClock())
            with pytest.raises(Misconfigured, match="cannot listen"):
                await interface.run()
            assert "cannot listen" in interface.trouble()

    asyncio.run(run())


def test_who_is_not_listed_is_hung_up_on_and_noted() -> None:
    async def run() -> None:
        async with served(clients=("192.0.2.0/28",)) as world:
            client = await world.raw()
            assert await client.ask(read(4, 0, 1)) == b""
            assert [(one.sender, one.what, one.protocol) for one in world.desk.refusals] == [
                ("127.0.0.1", "may not connect", LinkProtocol.MODBUS)
            ]

    asyncio.run(run())


def test_stopping_hangs_up_on_everybody() -> None:
    async def run() -> RawClient:
        async with served() as world:
            client = await world.raw()
            assert await client.registers(0, 1) == [0x4844]
            world.clients.clear()
        assert await client.hung_up()
        await client.close()
        assert world.interface.trouble() == "has been stopped"
        assert world.told == []
        return client

    assert asyncio.run(run()).transaction == 1


def test_a_client_that_comes_back_too_often_loses_its_oldest_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MAX_PER_CLIENT", 3)

    async def run() -> None:
        async with served() as world:
            clients = [await world.raw() for _ in range(3)]
            for client in (clients[1], clients[2], clients[0]):
                assert await client.registers(0, 1) == [0x4844]
            newest = await world.raw()
            assert await newest.registers(0, 1) == [0x4844]
            assert await clients[1].hung_up()
            assert await clients[0].registers(0, 1) == [0x4844]

    asyncio.run(run())


def test_more_connections_than_there_is_room_for_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MAX_CONNECTIONS", 2)

    async def run() -> None:
        async with served() as world:
            for _ in range(2):
                assert await (await world.raw()).registers(0, 1) == [0x4844]
            assert await (await world.raw()).ask(read(4, 0, 1)) == b""
            assert world.desk.refusals[-1].what == "too many connections"

    asyncio.run(run())


def test_an_idle_connection_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "IDLE_S", 0.05)

    async def run() -> None:
        async with served() as world:
            assert await (await world.raw()).hung_up()
            assert not world.desk.refusals

    asyncio.run(run())


def test_half_a_frame_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "FRAME_S", 0.05)

    async def run() -> None:
        async with served() as world:
            client = await world.raw()
            await client.send(b"\x00\x01\x00\x00\x00\x06\x01\x04")
            assert await client.hung_up()
            assert [one.what for one in world.desk.refusals] == ["half a frame"]

    asyncio.run(run())


def test_a_schedule_that_is_being_read_stays_whole_until_its_seal() -> None:
    async def run() -> None:
        async with served() as world:
            await world.desk.post(OFFTAKE, schedule(7, 12, 100.0))
            reader, other = await world.raw(), await world.raw()
            assert (await reader.registers(HEADER.start, HEADER.words))[3] == 7
            await world.desk.post(OFFTAKE, schedule(8, 12, 50.0))
            # The one in the middle of it reads on in the old one, 100 kW, and its seal; then the new one, as everybody else.
            assert await reader.registers(INTERVALS_START + 2, 2) == [1, 0x86A0]
            assert await other.registers(INTERVALS_START + 2, 2) == [0, 50_000]
            assert (await reader.registers(SEAL.start, SEAL.words))[-1] == 7
            assert (await reader.registers(SEAL.start, SEAL.words))[-1] == 8

    asyncio.run(run())


def test_a_reader_that_never_ends_is_shown_the_newest_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "PIN_S", 0.0)

    async def run() -> None:
        async with served() as world:
            await world.desk.post(OFFTAKE, schedule(7, 12, 100.0))
            reader = await world.raw()
            await reader.registers(HEADER.start, HEADER.words)
            await world.desk.post(OFFTAKE, schedule(8, 12, 50.0))
            assert await reader.registers(INTERVALS_START + 2, 2) == [0, 50_000]

    asyncio.run(run())


class Failing(Desk):
    """A desk whose disk is full."""

    async def hand_in(self, letter: Letter) -> Receipt:
        raise RuntimeError("disk full")


class Slow(Desk):
    """A desk whose disk does not answer."""

    async def hand_in(self, letter: Letter) -> Receipt:
        await asyncio.Event().wait()
        raise AssertionError(letter)


def test_a_letter_that_could_not_be_kept_may_be_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "KEEP_S", 0.05)

    async def run() -> None:
        async with served(Slow) as world:
            plant = ModbusPlantClient("127.0.0.1", world.port)
            receipt = await plant.say("override", {})
            assert (receipt.accepted, receipt.again) == (False, True)
            plant.close()
            assert world.told == []
            assert not world.desk.refusals

    asyncio.run(run())


def test_a_desk_that_fails_is_our_fault_and_told_once() -> None:
    async def run() -> None:
        async with served(Failing) as world:
            client = await world.raw()
            assert await client.write(7000, 0, 1) == b"\x90\x04"
            assert await client.registers(0, 1) == [0x4844]
            assert world.told == ["answering a client failed: RuntimeError('disk full')"]

    asyncio.run(run())


# Hostile clients. benchmarks/plantlink_modbus.py sends many more.


async def _still_well(world: Served) -> None:
    client = await world.raw()
    assert await client.registers(0, 4) == [0x4844, 2, 0x0102, 0x0304]
    assert world.told == []
    assert world.interface.trouble() == ""


def _quiet(work: Awaitable[None], caplog: pytest.LogCaptureFixture) -> None:
    """Run it; nothing may reach the log."""

    async def run() -> None:
        await work

    with caplog.at_level(logging.WARNING):
        asyncio.run(run(), debug=False)
    assert caplog.records == []


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"GET / HTTP/1.1\r\nHost: plant\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\x01\x00\x00\xff\xff\x01" + bytes(70_000),
        b"\x00\x01\x00\x00\x00\x00\x01",
        b"\x00\x01\x00\x00\x00\x01\x01",
        b"\x00\x01\x00\x07\x00\x06\x01\x04\x00\x00\x00\x01",
        b"\xff" * 300,
    ],
    ids=["http", "tls", "huge", "empty", "no function", "another protocol", "ones"],
)
def test_what_is_not_modbus_ends_its_connection(bytes_sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with served() as world:
            client = await world.raw()
            await client.send(bytes_sent)
            assert await client.hung_up()
            assert len(world.desk.refusals) == 1
            await _still_well(world)

    _quiet(run(), caplog)


def test_whatever_is_sent_is_refused_and_the_next_is_served(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with served(writes_per_min=1e6) as world:
            await world.desk.post(OFFTAKE, schedule(7))
            came = await attacked(world.port, attacks(450, seed=7), at_once=4)
            assert [(one.name, answer.hex()) for one, answer in came if wrongly(answer)] == []
            assert not world.desk.letters
            await _still_well(world)

    _quiet(run(), caplog)


def test_a_flood_that_never_reads_its_answers_is_held_back_and_the_next_is_served(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with served() as world:
            flood = await world.raw()
            sent = read(4, 300, 100)
            flood.writer.write(b"".join(struct.pack(">HHHB", i, 0, 6, UNIT) + sent for i in range(5000)))
            for _ in range(20):
                await asyncio.sleep(0)
            await _still_well(world)
            flood.writer.transport.abort()

    _quiet(run(), caplog)
