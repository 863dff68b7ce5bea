"""What plants write: registers that wait until their letter is complete, and the letters made of them.

Every client address has its own waiting registers and its own receipt, so that what one has begun another does not send off.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from scheduler.adapters.plantlink.modbus.registers import (
    BEAT,
    LETTERS,
    OVERRIDE,
    RECEIPT,
    REQUEST,
    VERDICT_CODES,
    WRITES_END,
    WRITES_START,
    Block,
    ResultCode,
)
from scheduler.adapters.plantlink.modbus.words import Value, block_bytes, block_values
from scheduler.core.publishing.letters import MAX_KW
from scheduler.core.publishing.message import parsed
from scheduler.domain.plantlink import (
    Acknowledgement,
    AckVerdict,
    HeatRequest,
    LetterBody,
    ManualOverride,
    PlantHeartbeat,
    Receipt,
)

MAX_MAILBOXES = 64
NOT_KNOWN_WORD = 0xFFFF
LARGEST_COUNTER = 2**32 - 1


class Incomplete(ValueError):
    """Something is missing or cannot be; says which register."""


def no_words() -> list[int]:
    """Registers that nobody has written."""
    return [NOT_KNOWN_WORD] * (WRITES_END - WRITES_START)


@dataclass(slots=True)
class Mailbox:
    """Of one client at one unit: the registers it has written, and the receipt of its last letter."""

    words: list[int] = field(default_factory=no_words)
    number: int = 0
    result: ResultCode = ResultCode.NONE
    reason: str = ""

    def put(self, address: int, words: tuple[int, ...]) -> Block | None:
        """Keep words from an address on; returns the block of the letter that is complete with them."""
        first = address - WRITES_START
        self.words[first : first + len(words)] = words
        return next((one for one in LETTERS if one.end == address + len(words)), None)

    def values(self, block: Block, low_word_first: bool) -> dict[str, Value]:
        """What waits in a block, by name."""
        first = block.start - WRITES_START
        return block_values(block, self.words[first : first + block.words], low_word_first)

    def settle(self, number: int, receipt: Receipt) -> None:
        """Note what became of a letter."""
        self.number = number
        self.result = ResultCode.ACCEPTED if receipt.accepted else ResultCode.REFUSED
        self.reason = receipt.reason

    def receipt_bytes(self, low_word_first: bool) -> bytes:
        """The receipt's registers."""
        values: dict[str, Value] = {"number": self.number, "result": int(self.result), "reason": self.reason}
        return block_bytes(RECEIPT, values, low_word_first)


class Mailboxes:
    """Those of the clients that wrote last; never more than can be kept."""

    def __init__(self, most: int = MAX_MAILBOXES) -> None:
        """Empty."""
        self._most = most
        self._boxes: OrderedDict[tuple[int, str], Mailbox] = OrderedDict()

    def of(self, unit: int, client: str) -> Mailbox:
        """The one of a client at a unit; an empty one when it has none."""
        box = self._boxes.pop((unit, client), None) or Mailbox()
        self._boxes[unit, client] = box
        if len(self._boxes) > self._most:
            self._boxes.popitem(last=False)
        return box


def block_at(address: int, count: int) -> Block | None:
    """The block in which registers lie, all of them; None: there is none."""
    return next((one for one in LETTERS if one.start <= address and address + count <= one.end), None)


def body_of(block: Block, values: Mapping[str, Value], schedule: Mapping[str, object] | None, now_utc: datetime) -> LetterBody:
    """The letter that a block holds.

    Args:
        block: one of `registers.LETTERS`.
        values: its registers, by name.
        schedule: what the plant is shown; a request without an end holds as long as it.
        now_utc: a request without a start begins now.

    Raises:
        Incomplete: which register is missing or cannot be.
    """
    if block is BEAT:
        counter = values["counter"]
        return PlantHeartbeat(counter=counter if isinstance(counter, int) else LARGEST_COUNTER)
    if not values["commit"]:
        raise Incomplete("commit: must be 1 to 65534")
    if block is REQUEST:
        return _request(values, schedule, now_utc)
    if block is OVERRIDE:
        return ManualOverride(limit_kw=0.0 if values["limitKw"] is None else _kw(values, "limitKw"), reason="over Modbus")
    return _answer(values)


def _request(values: Mapping[str, Value], schedule: Mapping[str, object] | None, now_utc: datetime) -> HeatRequest:
    start_utc = _instant(values["start"]) or now_utc
    end_utc = _instant(values["end"]) or (None if schedule is None else parsed(schedule.get("validUntil")))
    if end_utc is None:
        raise Incomplete("end: there is no schedule yet whose end could be meant")
    if end_utc <= start_utc:
        raise Incomplete("end: must be after start")
    return HeatRequest(heat_kw=_kw(values, "heatKw"), start_utc=start_utc, end_utc=end_utc)


def _answer(values: Mapping[str, Value]) -> Acknowledgement:
    sequence, code = values["sequence"], values["verdict"]
    verdict = next((one for one, number in VERDICT_CODES.items() if number == code), None)
    if not isinstance(sequence, int):
        raise Incomplete("sequence: is missing")
    if verdict not in {AckVerdict.PARTIAL, AckVerdict.REJECTED}:
        raise Incomplete("verdict: must be 2 (partial) or 3 (rejected)")
    accepted_kw = _kw(values, "acceptedKw") if verdict is AckVerdict.PARTIAL else None
    return Acknowledgement(sequence=sequence, verdict=verdict, reason="over Modbus", accepted_kw=accepted_kw)


def _kw(values: Mapping[str, Value], name: str) -> float:
    value = values[name]
    if value is None or isinstance(value, str):
        raise Incomplete(f"{name}: is missing")
    if value > MAX_KW:
        raise Incomplete(f"{name}: must be at most {MAX_KW:g} kW")
    return float(value)


def _instant(value: Value) -> datetime | None:
    """An instant of a register; None for 0 and for one that nobody wrote."""
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int) and value else None
