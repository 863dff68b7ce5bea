"""The Modbus TCP server: whoever may connect reads the board of his unit, and, where that was allowed, reduces heat.

It is written on asyncio and not on a library's server, because it listens without credentials: pymodbus' server (3.16) shows
its data store no client address, limits neither connections nor idle or half sent frames, answers a request for too many
registers with silence and logs every such frame. pymodbus is the plant's client, and so the judge of this server.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC

from scheduler.adapters.logs import Teller
from scheduler.adapters.plantlink.modbus.answers import Answers, Caller
from scheduler.adapters.plantlink.modbus.frames import (
    HEADER_BYTES,
    Envelope,
    ExceptionCode,
    FunctionCode,
    NotBelieved,
    NotModbus,
    Refused,
    envelope_of,
    exception_pdu,
    frame,
    request_of,
)
from scheduler.adapters.plantlink.modbus.peers import Allowance, may_connect, networks_of
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import ModbusOptions
from scheduler.domain.plantlink import LinkProtocol, Refusal
from scheduler.ports import Clock, PlantDesk

MAX_CONNECTIONS, MAX_PER_CLIENT = 64, 8
# A client that says nothing so long is gone; one that has begun a frame, or does not take its answer, has less time.
IDLE_S, FRAME_S = 120.0, 5.0
# A whole schedule takes 52 requests; a connection that asks more often waits for its answers.
REQUESTS_PER_S, REQUESTS_AT_ONCE = 200.0, 400.0
READ_BUFFER, WRITE_BUFFER = 512, 2048
UNITS = frozenset({*range(1, 248), 255})
WHERE = "modbus"


@dataclass(eq=False, slots=True)
class _Connection:
    """A client that is being served; heard_s: when it last asked for something."""

    caller: Caller
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    task: asyncio.Task[object] | None
    heard_s: float


class ModbusInterface:
    """A `ports.PlantInterface`. It never speaks while another replica is in charge: connections end unanswered."""

    def __init__(self, options: ModbusOptions, desk: PlantDesk, clock: Clock, tell: Teller | None = None) -> None:
        """Set up, not yet listening.

        Args:
            options: where to listen, who may connect, which offtake is which unit.
            desk: what is shown, and where letters go.
            clock: of letters and of the heartbeat's age.
            tell: where a fault of ours is told; what clients do wrong goes to the desk.

        Raises:
            Misconfigured: a unit or network that cannot be.
        """
        self._networks = networks_of(options.clients, f"{WHERE}.clients")
        _check_units(options)
        self._options, self._desk, self._clock, self._tell = options, desk, clock, tell or Teller("plantlink.modbus")
        self._connections: set[_Connection] = set()
        self._trouble = "is not listening yet"
        self.port = options.port

    async def run(self) -> None:
        """As the port says. `port` is the real one once `trouble` is empty."""
        now_s = asyncio.get_running_loop().time
        self._answers = Answers(self._options, self._desk, self._clock, now_s)
        self._pace = Allowance(REQUESTS_PER_S, REQUESTS_AT_ONCE, now_s)
        host, port = self._options.host, self._options.port
        try:
            server = await asyncio.start_server(self._connected, host, port, limit=READ_BUFFER)
        except (OSError, OverflowError) as fault:
            self._trouble = f"cannot listen on {host}:{port}: {fault}"
            expected = "a free port that this user may open (below 1024 only root or CAP_NET_BIND_SERVICE)"
            raise Misconfigured(self._trouble, where=WHERE, expected=expected) from None
        self.port, self._trouble = server.sockets[0].getsockname()[1], ""
        try:
            await asyncio.Event().wait()
        finally:
            self._trouble = "has been stopped"
            server.close()
            await self._hang_up()

    def trouble(self) -> str:
        """As the port says."""
        return self._trouble

    async def _hang_up(self) -> None:
        """End all connections at once: a plant that is cut off starts its boiler, which is right."""
        tasks = [one.task for one in self._connections if one.task is not None]
        for one in self._connections:
            one.writer.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, from its first to its last byte; whatever it does ends nothing but itself."""
        address = str((writer.get_extra_info("peername") or ("?",))[0])
        now_s = asyncio.get_running_loop().time()
        one = _Connection(Caller(address), reader, writer, asyncio.current_task(), now_s)
        try:
            if self._has_room(address):
                self._connections.add(one)
                writer.transport.set_write_buffer_limits(high=WRITE_BUFFER)
                await self._served(one)
        except NotModbus as fault:
            self._turn_away(address, str(fault))
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # The client is gone, or silent for so long that it might be, or we are: only `_hang_up` cancels this task.
        except Exception as fault:  # One connection's fault, also one of ours, must not end the others.
            self._tell.error("serving a client failed", fault=fault, client=address)
        finally:
            self._connections.discard(one)
            writer.transport.abort()

    def _has_room(self, address: str) -> bool:
        """Whether somebody may connect now; of one client's too many connections the longest idle one ends."""
        if not may_connect(address, self._networks):
            self._turn_away(address, "may not connect")
            return False
        own = [one for one in self._connections if one.caller.address == address]
        if len(own) >= MAX_PER_CLIENT:
            idle = min(own, key=lambda one: one.heard_s)
            self._connections.discard(idle)
            idle.writer.transport.abort()
        if len(self._connections) >= MAX_CONNECTIONS:
            self._turn_away(address, "too many connections")
            return False
        return True

    async def _served(self, one: _Connection) -> None:
        """Requests and answers, one after the other, until either side ends it.

        Raises:
            NotModbus: bytes that are no frame, or only half of one.
            TimeoutError: it was idle for too long.
        """
        while (asked := await self._request(one)) is not None:
            envelope, pdu = asked
            answer = await self._answer(one, envelope, pdu)
            if answer is None:
                return
            one.writer.write(frame(envelope, answer))
            async with asyncio.timeout(FRAME_S):
                await one.writer.drain()

    async def _request(self, one: _Connection) -> tuple[Envelope, bytes] | None:
        """The next frame; None when the client has ended."""
        async with asyncio.timeout(IDLE_S):
            first = await one.reader.read(1)
        if not first:
            return None
        try:
            async with asyncio.timeout(FRAME_S):
                envelope = envelope_of(first + await one.reader.readexactly(HEADER_BYTES - 1))
                pdu = await one.reader.readexactly(envelope.pdu_bytes)
        except (TimeoutError, asyncio.IncompleteReadError):
            raise NotModbus("half a frame") from None
        one.heard_s = asyncio.get_running_loop().time()
        await asyncio.sleep(self._pace.owed_s(id(one)))
        return envelope, pdu

    async def _answer(self, one: _Connection, envelope: Envelope, pdu: bytes) -> bytes | None:
        """The answer to one request; None: we are not in charge and say nothing."""
        boards = self._desk.boards()
        if not boards:
            return None
        try:
            return await self._answers.pdu(one.caller, envelope.unit, request_of(pdu), boards)
        except NotBelieved as fault:
            return exception_pdu(pdu[0], fault.code)
        except Refused as fault:
            if pdu[0] not in _READS or fault.code is ExceptionCode.ILLEGAL_VALUE:
                self._turn_away(one.caller.address, fault.why)
            return exception_pdu(pdu[0], fault.code)
        except Exception as fault:  # A desk that fails is our fault, which the client is told in its own terms.
            self._tell.error("answering a client failed", fault=fault, client=one.caller.address)
            return exception_pdu(pdu[0], ExceptionCode.DEVICE_FAILURE)

    def _turn_away(self, address: str, what: str) -> None:
        at_utc = self._clock.now_utc().astimezone(UTC)
        self._desk.refuse(Refusal(protocol=LinkProtocol.MODBUS, sender=address, at_utc=at_utc, what=what))


# Asking for a register that is not there is a mistake, not an attempt.
_READS = frozenset({FunctionCode.READ_BITS, FunctionCode.READ_HOLDING, FunctionCode.READ_INPUT})


def _check_units(options: ModbusOptions) -> None:
    """Raise Misconfigured for units that cannot be."""
    wrong = sorted(unit for unit in options.units if unit not in UNITS)
    if wrong or not options.units:
        problem = f"unit {wrong[0]} cannot be" if wrong else "no unit is set up"
        raise Misconfigured(problem, where=f"{WHERE}.units", expected="unit ids 1 to 247, or 255, each with its offtake")
    if options.writes_per_min <= 0.0:
        raise Misconfigured(f"{options.writes_per_min:g} writes", where=f"{WHERE}.writes_per_min", expected="more than 0")
