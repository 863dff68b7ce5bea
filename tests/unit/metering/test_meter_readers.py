"""Meters read over real sockets: an M-Bus gateway that is nothing but bytes, and pymodbus as the meter."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from scheduler.adapters.metering.mbus import MbusMeter
from scheduler.adapters.metering.mbus_frames import RSP_UD, long_frame
from scheduler.adapters.metering.modbus import ModbusMeter, value_of
from scheduler.adapters.metering.polling import MeterInterface, reader_for
from scheduler.adapters.metering.reader import Unread
from scheduler.adapters.plantlink.memory import MemoryDesk
from scheduler.core.publishing.letters import LetterLimits
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import MeterOptions, MeterRegister
from scheduler.domain.plantlink import LinkProtocol, MeterReading

NOW = datetime(2026, 1, 14, 10, tzinfo=UTC)
HEAD = bytes.fromhex("78563412 2D2C 01 04 55 00 0000")
FIRST = long_frame(RSP_UD, 5, 0x72, HEAD + bytes.fromhex("0406D2040000 1F"))
LAST = long_frame(RSP_UD, 5, 0x72, HEAD + bytes.fromhex("0259B41A 025D9411"))
OPTIONS = MeterOptions(meter_point_id="hall", offtake_id="town", host="127.0.0.1", protocol="mbus", address=5, timeout_s=20.0)
REGISTERS = (
    MeterRegister(quantity="energy_kwh", address=0, kind="uint32", value_per_count=0.1),
    MeterRegister(quantity="heat_kw", address=2, kind="float32", low_word_first=True),
    MeterRegister(quantity="supply_c", address=4, kind="int16", value_per_count=0.01),
)


@dataclass
class SetClock:
    def now_utc(self) -> datetime:
        return NOW


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def gateway(talk: Talk) -> AsyncIterator[MeterOptions]:
    async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(held, "127.0.0.1", 0)
    async with server:
        yield replace(OPTIONS, port=server.sockets[0].getsockname()[1])


def answering(*frames: bytes) -> Talk:
    """Acknowledges, then gives one frame for each request whose frame count bit has changed, else the last one again."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        given, last = 0, 0
        while request := await reader.read(5):
            if request == bytes.fromhex("1040054516"):
                writer.write(b"\xe5")
                continue
            given += int(request[1] != last)
            last = request[1]
            writer.write(frames[min(given, len(frames)) - 1])

    return talk


def read(talk: Talk, **more: Any) -> MeterReading:
    async def once() -> MeterReading:
        async with gateway(talk) as options:
            return await MbusMeter(replace(options, **more)).read(NOW)

    return asyncio.run(once())


def test_all_telegrams_of_an_mbus_meter_are_one_reading() -> None:
    found = read(answering(FIRST, LAST))
    assert found == MeterReading(
        meter_point_id="hall", at_utc=NOW, energy_kwh=1234.0, supply_c=68.36, return_c=45.0, meter_id="12345678"
    )


def test_a_meter_that_never_ends_is_asked_no_further() -> None:
    assert read(answering(FIRST)).energy_kwh == 1234.0


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def hangs_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def babbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(5)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await reader.read()


@pytest.mark.parametrize(
    ("talk", "told"),
    [
        (hangs_up, "hung up"),
        (babbles, "does not acknowledge"),
        (answering(b"\x68\x03\x04\x68" + LAST[4:]), "does not begin as an M-Bus answer"),
        (answering(LAST[:-2] + bytes((LAST[-2] ^ 1, 0x16))), "its sum is wrong"),
        (answering(long_frame(RSP_UD, 6, 0x72, HEAD)), "meter 6 answered instead"),
        (answering(long_frame(RSP_UD, 5, 0x78, HEAD)), "is not understood"),
    ],
)
def test_what_is_no_meter_is_unread_and_says_why(talk: Talk, told: str) -> None:
    with pytest.raises(Unread, match=told):
        read(talk)


def test_who_does_not_answer_is_left_in_time() -> None:
    with pytest.raises(Unread, match="did not answer in time"):
        read(silent, timeout_s=0.2)
    with pytest.raises(Unread, match="127.0.0.1:1"):
        asyncio.run(MbusMeter(replace(OPTIONS, port=1)).read(NOW))


@asynccontextmanager
async def modbus_meter() -> AsyncIterator[MeterOptions]:
    low_first = struct.unpack(">2H", struct.pack(">f", 151.5))[::-1]
    words = [*struct.unpack(">2H", struct.pack(">I", 123_456)), *low_first, 6836]
    device = SimDevice(1, [SimData(0, values=words, datatype=DataType.REGISTERS)])
    server: Any = ModbusTcpServer(device, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    try:
        port = server.transport.sockets[0].getsockname()[1]
        yield replace(OPTIONS, protocol="modbus", port=port, address=1, registers=REGISTERS)
    finally:
        await server.shutdown()


def test_a_modbus_meter_is_read_where_its_manual_says() -> None:
    async def run() -> None:
        async with modbus_meter() as options:
            found = await ModbusMeter(options).read(NOW)
            assert found.energy_kwh == pytest.approx(12_345.6)
            assert found.heat_kw == 151.5
            assert found.supply_c == pytest.approx(68.36)
            wrong = replace(options, registers=(MeterRegister(quantity="energy_kwh", address=500),))
            with pytest.raises(Unread, match=r"refuses input register 500 \(energy_kwh\)"):
                await ModbusMeter(wrong).read(NOW)
        with pytest.raises(Unread, match="unit 1 at 127.0.0.1"):
            await ModbusMeter(options).read(NOW)

    asyncio.run(run())


def test_words_by_hand() -> None:
    register = MeterRegister(quantity="energy_kwh", address=0, kind="int32", value_per_count=0.5)
    assert value_of([0xFFFF, 0xFFFE], register) == -1.0
    assert value_of([0xFFFE, 0xFFFF], replace(register, low_word_first=True)) == -1.0
    assert value_of([0x7FC0, 0x0000], replace(register, kind="float32")) is None
    assert value_of([0, 1, 0, 0], replace(register, kind="uint64", value_per_count=1.0)) == 4294967296.0


def test_a_reading_is_handed_in_as_a_letter_of_its_own_kind() -> None:
    async def run() -> None:
        desk = MemoryDesk("school", {"town": LetterLimits(max_heat_kw=500.0, tank_kwh=None)}, {"town": "basement"}, SetClock())
        async with gateway(answering(FIRST, LAST)) as options:
            interface = MeterInterface(options, desk, SetClock())
            await interface.once()
            assert interface.trouble() == ""
            (letter,) = desk.letters
            assert letter.sender.protocol is LinkProtocol.METER
            assert letter.sender.authenticated
            assert isinstance(letter.body, MeterReading)
            assert letter.body.energy_kwh == 1234.0
            stranger = MeterInterface(replace(options, offtake_id="pool"), desk, SetClock())
            await stranger.once()
            assert stranger.trouble() == "pool: no such customer"
        await interface.once()
        assert "127.0.0.1" in interface.trouble()
        assert len(desk.letters) == 1

    asyncio.run(run())


def test_what_cannot_be_of_a_plant_is_not_believed_of_a_meter() -> None:
    # 655.35 degC.
    hot = long_frame(RSP_UD, 5, 0x72, HEAD + bytes.fromhex("0459FFFF0000"))

    async def run() -> None:
        desk = MemoryDesk("school", {"town": LetterLimits(max_heat_kw=500.0, tank_kwh=None)}, {"town": "basement"}, SetClock())
        async with gateway(answering(hot)) as options:
            interface = MeterInterface(options, desk, SetClock())
            await interface.once()
        assert "supplyC: must be a number from -20 to 200" in interface.trouble()
        assert not desk.letters

    asyncio.run(run())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (replace(OPTIONS, protocol="iec104"), "modbus or mbus"),
        (replace(OPTIONS, protocol="modbus"), "no registers"),
        (replace(OPTIONS, protocol="modbus", registers=(MeterRegister(quantity="heat", address=0),)), "energy_kwh, volume_m3"),
        (replace(OPTIONS, protocol="modbus", registers=(replace(REGISTERS[0], kind="bcd"),)), "uint16, int16"),
        (replace(OPTIONS, protocol="modbus", registers=(replace(REGISTERS[0], table="coil"),)), "input, holding"),
        (replace(OPTIONS, protocol="modbus", registers=(replace(REGISTERS[0], address=70_000),)), "0 to 65535"),
    ],
)
def test_options_that_cannot_be(options: MeterOptions, told: str) -> None:
    with pytest.raises(Misconfigured, match=told):
        reader_for(options)
