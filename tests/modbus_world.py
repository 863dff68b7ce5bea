"""A desk behind a Modbus server on a free port of this machine, and a client that is nothing but a socket."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from scheduler.adapters.logs import Teller
from scheduler.adapters.plantlink.memory import MemoryDesk
from scheduler.adapters.plantlink.modbus.server import ModbusInterface
from scheduler.core.publishing.letters import LetterLimits
from scheduler.core.publishing.message import stamp
from scheduler.domain.link_options import ModbusOptions
from scheduler.domain.plantlink import Board

START = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
SITE, PLUG, OFFTAKE, OTHER = "school", "basement", "town", "pool"
UNIT, OTHER_UNIT, EMPTY_UNIT = 1, 2, 3
WAIT_S = 20.0


@dataclass
class SetClock:
    """A clock that stands until it is set."""

    at_utc: datetime = START

    def now_utc(self) -> datetime:
        return self.at_utc

    def passes(self, seconds: float) -> None:
        self.at_utc += timedelta(seconds=seconds)


class Desk(MemoryDesk):
    """Two customers; may stand aside, as that of a replica that is not in charge."""

    def __init__(self, clock: SetClock) -> None:
        limits = {name: LetterLimits(max_heat_kw=500.0, tank_kwh=None) for name in (OFFTAKE, OTHER)}
        super().__init__(SITE, limits, dict.fromkeys(limits, PLUG), clock)
        self.in_charge = True

    def boards(self) -> Mapping[str, Board]:
        return super().boards() if self.in_charge else {}


class Told(Teller):
    """Keeps what is told as our fault."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.errors: list[str] = []

    def error(self, event: str, *, fault: BaseException | None = None, **facts: object) -> None:
        self.errors.append(f"{event}: {fault!r}")


def schedule(sequence: int, slots: int = 8, heat_kw: float = 100.0, offtake_id: str = OFFTAKE) -> dict[str, object]:
    """A HeatSchedule from `START` on, each interval a little different."""
    rows = [
        {
            "start": stamp(START + timedelta(minutes=15 * i)), "heatKw": heat_kw + i, "p10": heat_kw - 9.999 + i,
            "p90": heat_kw + 10.5 + i, "firmKw": heat_kw - 20.0 + i, "maxKw": heat_kw + 400.0, "minKw": 0.0, "supplyC": 70.25,
            "returnMaxC": -1.5, "flowM3h": None if i == 1 else 2.345, "probShortfall": 0.012,
            "gco2PerKwhHeat": 31.5 if i else None,
        }
        for i in range(slots)
    ]  # fmt: skip
    return {
        "schemaVersion": "1.0", "siteId": SITE, "plugId": PLUG, "offtakeId": offtake_id, "meterPointId": "m-7",
        "messageId": f"{sequence:032x}"[-32:], "sequence": sequence, "supersedes": sequence - 1 if sequence else None,
        "issuedAt": stamp(START), "validFrom": stamp(START), "validUntil": stamp(START + timedelta(hours=3)),
        "resolution": "PT15M", "kind": "plan", "mode": "dispatch", "intervals": rows, "boilerRequestKw": 0.0,
        "reason": "Wärme",
    }  # fmt: skip


def options(**changes: Any) -> ModbusOptions:
    """A server for this machine's clients alone, on any free port."""
    units = {UNIT: OFFTAKE, OTHER_UNIT: OTHER, EMPTY_UNIT: "nobody"}
    return replace(ModbusOptions(port=0, units=units, writable=True, writes_per_min=6000.0), **changes)


@dataclass
class Served:
    """A server that listens."""

    interface: ModbusInterface
    desk: Desk
    clock: SetClock
    told: list[str]
    clients: list[RawClient] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.interface.port

    async def raw(self) -> RawClient:
        """Another bare client, which is closed when the server is."""
        self.clients.append(await RawClient.at(self.port))
        return self.clients[-1]


@asynccontextmanager
async def served(made: type[Desk] = Desk, **changes: Any) -> AsyncIterator[Served]:
    """A server and its desk, of the kind that is given, until the block ends."""
    clock = SetClock()
    desk = made(clock)
    tell = Told("plantlink.modbus")
    interface = ModbusInterface(options(**changes), desk, clock, tell)
    world = Served(interface, desk, clock, tell.errors)
    task = asyncio.create_task(interface.run())
    try:
        async with asyncio.timeout(WAIT_S):
            while interface.trouble():
                if task.done():
                    task.result()
                await asyncio.sleep(0)
        yield world
    finally:
        for client in world.clients:
            await client.close()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class RawClient:
    """Modbus TCP by hand: what a PLC would send, and what it never should."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.transaction = 0

    @classmethod
    async def at(cls, port: int) -> RawClient:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, pdu: bytes, unit: int = UNIT) -> bytes:
        """Send one request; returns the answer's PDU, empty when the server hung up."""
        self.transaction = (self.transaction + 1) % 65536
        await self.send(struct.pack(">HHHB", self.transaction, 0, len(pdu) + 1, unit) + pdu)
        return await self.answer(unit)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with suppress(ConnectionError):
            await self.writer.drain()

    async def answer(self, unit: int = UNIT) -> bytes:
        try:
            async with asyncio.timeout(WAIT_S):
                head = await self.reader.readexactly(7)
                transaction, protocol, length, of = struct.unpack(">HHHB", head)
                assert (transaction, protocol, of) == (self.transaction, 0, unit)
                return await self.reader.readexactly(length - 1)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def registers(self, address: int, count: int, unit: int = UNIT, function: int = 4) -> list[int]:
        """Registers that must be there."""
        pdu = await self.ask(struct.pack(">BHH", function, address, count), unit)
        assert pdu[:2] == bytes((function, 2 * count)), pdu[:2].hex()
        return list(struct.unpack(f">{count}H", pdu[2:]))

    async def write(self, address: int, *words: int, unit: int = UNIT) -> bytes:
        return await self.ask(struct.pack(f">BHHB{len(words)}H", 16, address, len(words), 2 * len(words), *words), unit)

    async def rest(self) -> bytes:
        """All that comes until the server ends this connection."""
        with suppress(ConnectionError):
            async with asyncio.timeout(WAIT_S):
                return await self.reader.read()
        return b""

    async def hung_up(self) -> bool:
        """Whether the server ended this connection."""
        try:
            async with asyncio.timeout(WAIT_S):
                return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()
