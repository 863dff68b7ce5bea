"""What each request is answered with: boards in, letters out, no socket in sight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scheduler.adapters.plantlink.keeping import SOON_S, kept
from scheduler.adapters.plantlink.modbus.frames import (
    ExceptionCode,
    FunctionCode,
    NotBelieved,
    Read,
    Refused,
    Write,
    bits_pdu,
    registers_pdu,
    written_pdu,
)
from scheduler.adapters.plantlink.modbus.image import bits_of, live_bytes, schedule_bytes
from scheduler.adapters.plantlink.modbus.peers import per_min
from scheduler.adapters.plantlink.modbus.registers import HEADER, INPUTS_END, RECEIPT, SCHEDULE_START, SEAL, WRITES_START, Block
from scheduler.adapters.plantlink.modbus.words import Value
from scheduler.adapters.plantlink.modbus.writes import Incomplete, Mailbox, Mailboxes, block_at, body_of
from scheduler.core.publishing.shown import shown_of
from scheduler.domain.link_options import ModbusOptions
from scheduler.domain.plantlink import Board, Letter, LinkProtocol, Receipt, Sender
from scheduler.ports import Clock, PlantDesk

# A schedule that a client has begun to read stays whole for it so long, or until it has read its end.
PIN_S = 10.0
# PLCs wait seconds for an answer, not longer.
KEEP_S = SOON_S


@dataclass(slots=True)
class Caller:
    """One connection: whose it is, and which schedules it is in the middle of reading, by unit, with when that ends."""

    address: str
    pins: dict[int, tuple[bytes, float]] = field(default_factory=dict)


class Answers:
    """Answers requests for the units that are set up."""

    def __init__(self, options: ModbusOptions, desk: PlantDesk, clock: Clock, monotonic_s: Callable[[], float]) -> None:
        """Nothing is read and nothing written yet."""
        self._options, self._desk, self._clock, self._now_s = options, desk, clock, monotonic_s
        self._boxes = Mailboxes()
        self._writes = per_min(options.writes_per_min, monotonic_s)
        self._schedules: dict[str, tuple[bytes, bytes]] = {}

    async def pdu(self, caller: Caller, unit: int, request: Read | Write, boards: Mapping[str, Board]) -> bytes:
        """The answer to one request.

        Raises:
            Refused: with the exception code that is its answer.
        """
        board = self._board(unit, boards)
        if isinstance(request, Write):
            return await self._written(caller, unit, request, board)
        if request.function is FunctionCode.READ_BITS:
            bits = bits_of(board, self._clock.now_utc())
            _inside(request.address, request.count, 0, len(bits))
            return bits_pdu(bits[request.address : request.address + request.count])
        if request.function is FunctionCode.READ_HOLDING and request.address >= WRITES_START:
            return registers_pdu(request.function, self._held(caller, unit, request))
        return registers_pdu(request.function, self._shown(caller, unit, request, board))

    def _board(self, unit: int, boards: Mapping[str, Board]) -> Board:
        offtake = self._options.units.get(unit)
        if offtake is None:
            raise Refused(ExceptionCode.GATEWAY_PATH, f"unit {unit} is not set up")
        board = boards.get(offtake)
        if board is None:
            raise Refused(ExceptionCode.GATEWAY_TARGET, f"unit {unit}: there is no offtake {offtake}")
        return board

    # Reading.

    def _shown(self, caller: Caller, unit: int, read: Read, board: Board) -> bytes:
        """Input registers, which are holding registers too for clients that read no others."""
        _inside(read.address, read.count, 0, INPUTS_END)
        first, last = read.address, read.address + read.count
        data = b""
        if first < SCHEDULE_START:
            options = self._options
            now_utc = self._clock.now_utc()
            live = live_bytes(board, now_utc, writable=options.writable, low_word_first=options.low_word_first)
            data = live[2 * first : 2 * last]
        if last > SCHEDULE_START:
            schedule = self._pinned(caller, unit, read, board)
            data += schedule[2 * max(0, first - SCHEDULE_START) : 2 * (last - SCHEDULE_START)]
        return data

    def _pinned(self, caller: Caller, unit: int, read: Read, board: Board) -> bytes:
        """The schedule that this client is reading; a new one from its first register on, which ends with its last."""
        now_s = self._now_s()
        schedule, until_s = caller.pins.pop(unit, (b"", now_s))
        begins = read.address <= HEADER.start < read.address + read.count
        if begins or until_s <= now_s:
            schedule, until_s = self._schedule(board), (now_s + PIN_S if begins else now_s)
        if until_s > now_s and read.address + read.count < SEAL.end:
            caller.pins[unit] = (schedule, until_s)
        return schedule

    def _schedule(self, board: Board) -> bytes:
        """The newest schedule as registers, made once."""
        known, shown = self._schedules.get(board.offtake_id), shown_of(board, self._clock.now_utc())
        if known is None or known[0] != shown.schedule_json:
            known = shown.schedule_json, schedule_bytes(shown.schedule, low_word_first=self._options.low_word_first)
            self._schedules[board.offtake_id] = known
        return known[1]

    def _held(self, caller: Caller, unit: int, read: Read) -> bytes:
        """What this client has written, and its receipt."""
        if not self._options.writable:
            raise Refused(ExceptionCode.ILLEGAL_ADDRESS, "writing is off")
        _inside(read.address, read.count, WRITES_START, RECEIPT.end)
        box = self._boxes.of(unit, caller.address)
        held = b"".join(word.to_bytes(2, "big") for word in box.words).ljust(2 * (RECEIPT.start - WRITES_START), b"\0")
        held += box.receipt_bytes(self._options.low_word_first)
        first = read.address - WRITES_START
        return held[2 * first : 2 * (first + read.count)]

    # Writing.

    async def _written(self, caller: Caller, unit: int, write: Write, board: Board) -> bytes:
        if not self._options.writable:
            raise Refused(ExceptionCode.ILLEGAL_FUNCTION, "writing is off")
        if not self._writes.takes(caller.address):
            raise Refused(ExceptionCode.DEVICE_BUSY, "too many writes")
        if block_at(write.address, len(write.words)) is None:
            raise Refused(ExceptionCode.ILLEGAL_ADDRESS, f"no letter lies at {write.address}")
        box = self._boxes.of(unit, caller.address)
        letter = box.put(write.address, write.words)
        if letter is not None:
            receipt = await self._settled(caller, box, letter, board)
            if not receipt.accepted:
                raise NotBelieved(ExceptionCode.DEVICE_BUSY if receipt.again else ExceptionCode.ILLEGAL_VALUE, receipt.reason)
        return written_pdu(write)

    async def _settled(self, caller: Caller, box: Mailbox, block: Block, board: Board) -> Receipt:
        """Hand in the letter that is complete, and note what became of it.

        Raises:
            Refused: it is none.
        """
        now_utc = self._clock.now_utc()
        values = box.values(block, self._options.low_word_first)
        number = values.get("commit", 0)
        try:
            body = body_of(block, values, shown_of(board, now_utc).schedule, now_utc)
        except Incomplete as fault:
            box.settle(_whole(number), Receipt(accepted=False, reason=str(fault)))
            raise Refused(ExceptionCode.ILLEGAL_VALUE, str(fault)) from None
        sender = Sender(name=caller.address, protocol=LinkProtocol.MODBUS, authenticated=False)
        letter = Letter(offtake_id=board.offtake_id, sender=sender, received_utc=now_utc, body=body)
        receipt = await kept(self._desk, letter, KEEP_S)
        box.settle(_whole(number), receipt)
        return receipt


def _whole(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _inside(address: int, count: int, first: int, end: int) -> None:
    """Whether registers have a place.

    Raises:
        Refused: illegal address.
    """
    if address < first or address + count > end:
        raise Refused(ExceptionCode.ILLEGAL_ADDRESS, f"no registers {address} to {address + count - 1}")
