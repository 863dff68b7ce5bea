"""The plant's end, by pymodbus: reads a whole schedule and the heartbeat, and writes letters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from scheduler.adapters.plantlink.modbus.asking import registers_of, why_not
from scheduler.adapters.plantlink.modbus.frames import ExceptionCode
from scheduler.adapters.plantlink.modbus.reading import (
    NotOurMap,
    Torn,
    heartbeat_of,
    intervals_in,
    low_word_first,
    schedule_of,
)
from scheduler.adapters.plantlink.modbus.registers import (
    HEADER,
    HEARTBEAT,
    IDENTITY,
    INTERVAL,
    INTERVALS_START,
    MAX_READ,
    RECEIPT,
    SEAL,
    Block,
)
from scheduler.adapters.plantlink.modbus.words import block_values
from scheduler.core.publishing.letters import NotALetter, body_of
from scheduler.domain.errors import Misconfigured
from scheduler.domain.plantlink import Heartbeat, Receipt

if TYPE_CHECKING:
    from pymodbus.client import AsyncModbusTcpClient
    from pymodbus.pdu import ModbusPDU

TIMEOUT_S = 3.0
# A schedule that changes while it is read is read again; three changes in a row are a fault.
TRIES = 3
# Whole intervals in each request.
ROWS_A_READ = MAX_READ - MAX_READ % INTERVAL.words


class Refused(Exception):
    """We were answered with an exception code."""

    def __init__(self, code: int) -> None:
        """Keep the code."""
        name = ExceptionCode(code).name.lower().replace("_", " ") if code in set(ExceptionCode) else "unknown"
        super().__init__(f"answered with exception {code} ({name})")
        self.code = code


class Unreachable(Exception):
    """No answer came."""


class _Line:
    """One connection, and whether the other end has hung up, for which pymodbus would wait as for a late answer."""

    def __init__(self, client: AsyncModbusTcpClient, ended: asyncio.Event) -> None:
        self.client, self._ended = client, ended

    async def answer(self, asked: Awaitable[ModbusPDU]) -> ModbusPDU:
        """An answer that is none of the exceptions.

        Raises:
            Refused: an exception code.
            Unreachable: silence.
        """
        from pymodbus.exceptions import ModbusException

        answer, ended = asyncio.ensure_future(asked), asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({answer, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise Unreachable("the other end has hung up")
            told = answer.result()
        except (ModbusException, OSError) as fault:
            raise Unreachable(str(fault)) from None
        finally:
            answer.cancel()
            ended.cancel()
        if told.isError():
            raise Refused(told.exception_code)
        return told


class ModbusPlantClient:
    """A `ports.PlantClient`. It connects when it has something to ask, and again when the connection broke."""

    def __init__(self, host: str, port: int = 502, unit: int = 1, timeout_s: float = TIMEOUT_S) -> None:
        """Not connected yet.

        Args:
            host: of the plant link.
            port: where its Modbus server listens.
            unit: unit id of the offtake.
            timeout_s: how long an answer may take.

        Raises:
            Misconfigured: pymodbus is not installed.
        """
        self._host, self._port, self._unit, self._timeout_s = host, port, unit, timeout_s
        self._open = _connector()
        self._line: _Line | None = None
        self._identity: list[int] = []
        self._swapped = False
        self._last: tuple[list[int], Mapping[str, object] | None] | None = None
        self._trouble = "nothing was asked yet"
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """As the port says: nothing is held here but the connection of the last question."""
        try:
            await asyncio.Event().wait()
        finally:
            self.close()

    def close(self) -> None:
        """End the connection; the next question opens one again."""
        if self._line is not None:
            self._line.client.close()
        self._line, self._identity = None, []

    def trouble(self) -> str:
        """As the port says."""
        return self._trouble

    async def schedule(self) -> Mapping[str, object] | None:
        """As the port says."""
        async with self._turn:
            for _ in range(TRIES):
                try:
                    return await self._schedule()
                except Torn as fault:
                    self._trouble = str(fault)
                except (Refused, Unreachable, NotOurMap) as fault:
                    self._fails(fault)
                    return None
            return None

    async def heartbeat(self) -> Heartbeat | None:
        """As the port says."""
        async with self._turn:
            try:
                await self._known()
                words = await self._block(HEARTBEAT)
            except (Refused, Unreachable, NotOurMap) as fault:
                self._fails(fault)
                return None
            self._trouble = ""
            offtake = str(block_values(IDENTITY, self._identity, self._swapped)["offtakeId"])
            return heartbeat_of(words, offtake, self._swapped)

    async def say(self, kind: str, payload: Mapping[str, object]) -> Receipt:
        """As the port says; one request writes all registers of a letter, the one that sends it off last."""
        try:
            body = body_of(kind, payload)
        except NotALetter as fault:
            return Receipt(accepted=False, reason=str(fault))
        if why := why_not(body):
            return Receipt(accepted=False, reason=why)
        async with self._turn:
            try:
                await self._known()
                address, words = registers_of(body, self._swapped)
                line = await self._connected()
                await line.answer(line.client.write_registers(address, words, device_id=self._unit))
            except Refused as fault:
                again = fault.code == ExceptionCode.DEVICE_BUSY
                return Receipt(accepted=False, reason=await self._reason(fault), again=again)
            except (Unreachable, NotOurMap) as fault:
                self._fails(fault)
                return Receipt(accepted=False, reason=str(fault), again=isinstance(fault, Unreachable))
            self._trouble = ""
            return Receipt(accepted=True)

    # One question.

    async def _schedule(self) -> Mapping[str, object] | None:
        """Read all of it, unless its seal is that of the one which was read last."""
        await self._known()
        seal = await self._block(SEAL)
        if self._last is not None and self._last[0] == seal:
            self._trouble = ""
            return self._last[1]
        header = await self._block(HEADER)
        end = INTERVALS_START + intervals_in(header, self._swapped) * INTERVAL.words
        rows: list[int] = []
        for at in range(INTERVALS_START, end, ROWS_A_READ):
            rows += await self._words(at, min(ROWS_A_READ, end - at))
        seal = await self._block(SEAL)
        told = schedule_of(self._identity, header, rows, seal, self._swapped)
        self._trouble, self._last = "", (seal, told)
        return told

    async def _known(self) -> None:
        """Read once per connection who answers, and in which order of words."""
        await self._connected()
        if not self._identity:
            identity = await self._block(IDENTITY)
            self._swapped = low_word_first(identity)
            self._identity = identity

    async def _connected(self) -> _Line:
        """The connection; a new one when there is none."""
        if self._line is not None and self._line.client.connected:
            return self._line
        self.close()
        line = self._open(self._host, self._port, self._timeout_s)
        if not await line.client.connect():
            line.client.close()
            raise Unreachable(f"nobody answers at {self._host}:{self._port}")
        self._line = line
        return line

    async def _block(self, block: Block) -> list[int]:
        return await self._words(block.start, block.words)

    async def _words(self, address: int, count: int) -> list[int]:
        line = await self._connected()
        answer = await line.answer(line.client.read_input_registers(address, count=count, device_id=self._unit))
        if len(answer.registers) != count:
            raise Unreachable(f"{len(answer.registers)} registers came instead of {count}")
        return list(answer.registers)

    async def _reason(self, fault: Refused) -> str:
        """Why a letter was refused, in the server's words where it left some."""
        if fault.code != ExceptionCode.ILLEGAL_VALUE:
            return str(fault)
        try:
            line = await self._connected()
            asked = line.client.read_holding_registers(RECEIPT.start, count=RECEIPT.words, device_id=self._unit)
            answer = await line.answer(asked)
        except (Refused, Unreachable):
            return str(fault)
        return str(block_values(RECEIPT, answer.registers, self._swapped)["reason"]) or str(fault)

    def _fails(self, fault: Exception) -> None:
        """Note what went wrong; after silence the connection is not used again, an answer may still be on its way."""
        self._trouble = str(fault)
        if isinstance(fault, Unreachable):
            self.close()


def _connector() -> Callable[[str, int, float], _Line]:
    """What opens connections: no retries and no reconnecting in the background, both are ours to decide.

    Raises:
        Misconfigured: pymodbus is not installed.
    """
    try:
        from pymodbus.client import AsyncModbusTcpClient
    except ImportError:
        raise Misconfigured("pymodbus is not installed", where="modbus", expected="pip install heat-dispatch[modbus]") from None
    # What goes wrong is told by `trouble`; the library would write it to the standard error, once for each try.
    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

    def opened(host: str, port: int, timeout_s: float) -> _Line:
        ended = asyncio.Event()

        def turned(connected: bool) -> None:
            if not connected:
                ended.set()

        client = AsyncModbusTcpClient(host, port=port, timeout=timeout_s, retries=0, reconnect_delay=0.0, trace_connect=turned)
        return _Line(client, ended)

    return opened
