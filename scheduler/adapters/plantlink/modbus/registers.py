"""The register map, as data: server, client and `docs/reference/modbus.md` are all made from it.

Addresses are those of the protocol, from 0 (the input register that the old counting calls 30001 is 0). Numbers are whole
and carry decimals: 2 decimals of degrees C mean counts of 0.01. Within a register the high byte comes first; of values longer
than one the high word does, unless the server was set up for the other order, which `PROBE` tells. What is not known reads as
all ones, in signed registers as 0x8000.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, IntEnum

from scheduler.core.publishing.message import MAX_INTERVALS, Kind
from scheduler.domain.plantlink import AckVerdict, LinkMode, ScheduleState

LAYOUT = 2
MAGIC = 0x4844
PROBE = 0x01020304
TEXT_WORDS = 32
# A request carries at most so many registers, by the standard.
MAX_READ, MAX_WRITE = 125, 123


class Form(Enum):
    """How a value lies in its words: their number, and whether the highest bit is a sign."""

    U16 = (1, False)
    I16 = (1, True)
    U32 = (2, False)
    U64 = (4, False)
    TEXT = (0, False)

    @property
    def words(self) -> int:
        """Registers of one value; 0: as many as the text was given."""
        return self.value[0]

    @property
    def signed(self) -> bool:
        """Whether it may be negative."""
        return self.value[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """One value: where it lies, how it is written and what it says.

    offset: of its first word, from the start of its block. words: registers it takes. unit: of one whole; decimals: how many of
    them its count carries. codes: what the numbers of an enumeration stand for.
    """

    name: str
    offset: int
    form: Form
    words: int
    says: str
    unit: str = ""
    decimals: int = 0
    codes: Mapping[int, str] | None = None

    @property
    def end(self) -> int:
        """Offset of the register after it."""
        return self.offset + self.words


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Registers that belong together; `start`: address of offset 0."""

    name: str
    start: int
    registers: tuple[Register, ...]

    @property
    def words(self) -> int:
        """Registers from its first to its last."""
        return self.registers[-1].end

    @property
    def end(self) -> int:
        """Address of the register after it."""
        return self.start + self.words

    def at(self, name: str) -> Register:
        """The register of a name.

        Raises:
            KeyError: when there is none.
        """
        for one in self.registers:
            if one.name == name:
                return one
        raise KeyError(name)

    def address(self, name: str) -> int:
        """Address of a register's first word."""
        return self.start + self.at(name).offset


class ModeCode(IntEnum):
    """Who decides about the heat, as a number; 0 is never sent, so that an empty register is no mode."""

    AUTO = 1
    MANUAL = 2
    FALLBACK = 3


class BitAddress(IntEnum):
    """Discrete inputs. All are normally energised: 1 is good, so that 0, a cut cable and silence all mean the worse."""

    NO_BOILER_NEEDED = 0
    HEAT_GOES_TO_YOU = 1
    AUTOMATIC = 2
    NO_CRITICAL_ALARM = 3
    NO_ALARM = 4
    OPERATOR_HEARD = 5


class ResultCode(IntEnum):
    """What became of the letter of a commit."""

    NONE = 0
    ACCEPTED = 1
    REFUSED = 2


MODE_CODES = {LinkMode.AUTO: ModeCode.AUTO, LinkMode.MANUAL: ModeCode.MANUAL, LinkMode.FALLBACK: ModeCode.FALLBACK}
KIND_CODES = {kind: i for i, kind in enumerate(Kind, start=1)}
VERDICT_CODES = {AckVerdict.ACCEPTED: 1, AckVerdict.PARTIAL: 2, AckVerdict.REJECTED: 3}
STATE_CODES = {state: i for i, state in enumerate(ScheduleState, start=1)}
SCHEDULE_MODE_CODES = {"advisory": 1, "dispatch": 2}
BIT_SAYS: Mapping[BitAddress, str] = {
    BitAddress.NO_BOILER_NEEDED: "our heat can be counted on: the boiler may stay off; 0: start the boiler",
    BitAddress.HEAT_GOES_TO_YOU: "0: our heat goes to the dry coolers (bypass)",
    BitAddress.AUTOMATIC: "0: a person at the plant has taken over, or the contract's fallback holds",
    BitAddress.NO_CRITICAL_ALARM: "0: a critical alarm is on",
    BitAddress.NO_ALARM: "0: some alarm is on",
    BitAddress.OPERATOR_HEARD: "0: our operator was not heard lately, the schedule may be true no more",
}


def _named(codes: Iterable[tuple[str, int]]) -> dict[int, str]:
    """Codes the other way round, for people."""
    return {int(code): str(name) for name, code in codes}


def _u16(name: str, says: str, unit: str = "", decimals: int = 0, codes: Mapping[int, str] | None = None) -> Register:
    return Register(name=name, offset=0, form=Form.U16, words=1, says=says, unit=unit, decimals=decimals, codes=codes)


def _u32(name: str, says: str, unit: str = "", decimals: int = 0) -> Register:
    return Register(name=name, offset=0, form=Form.U32, words=2, says=says, unit=unit, decimals=decimals)


def _kw(name: str, says: str) -> Register:
    """Heat: three decimals of a kW, which is whole watts, as exact as the message itself."""
    return _u32(name, says, "kW", 3)


def _utc(name: str, says: str) -> Register:
    return _u32(name, says, "s since 1970-01-01 UTC")


def _u64(name: str, says: str) -> Register:
    return Register(name=name, offset=0, form=Form.U64, words=4, says=says)


def _celsius(name: str, says: str) -> Register:
    return Register(name=name, offset=0, form=Form.I16, words=1, says=says, unit="°C", decimals=2)


def _text(name: str, says: str, words: int = TEXT_WORDS) -> Register:
    return Register(name=name, offset=0, form=Form.TEXT, words=words, says=says)


def _block(name: str, start: int, registers: Iterable[Register]) -> Block:
    """Registers one after another, without gaps."""
    placed: list[Register] = []
    for one in registers:
        placed.append(replace(one, offset=placed[-1].end if placed else 0))
    return Block(name=name, start=start, registers=tuple(placed))


INTERVAL = _block("interval", 0, (
    _utc("start", "start of the quarter hour"),
    _kw("heatKw", "median of our heat"),
    _kw("p10", "with 90 % probability at least so much"),
    _kw("p90", "with 90 % probability at most so much"),
    _kw("firmKw", "promised"),
    _kw("minKw", "least we can deliver while we deliver"),
    _kw("maxKw", "most we could deliver"),
    _celsius("supplyC", "supply temperature"),
    _celsius("returnMaxC", "highest return temperature we can use"),
    _u32("flowM3h", "flow at the median", "m³/h", 3),
    _u16("probShortfall", "probability that the firm heat is missed", "", 3),
    _u16("gco2PerKwhHeat", "of our heat", "g CO2/kWh", 1),
))  # fmt: skip

IDENTITY = _block("identity", 0, (
    _u16("magic", f"0x{MAGIC:04X} (the letters HD): this is our map"),
    _u16("layout", f"version of this map: {LAYOUT}; a larger one only adds"),
    _u32("probe", f"0x{PROBE:08X}: when it reads 0x03040102, the low word comes first"),
    _u16("writable", "1: the holding registers may be written", codes={0: "no", 1: "yes"}),
    _u16("capacity", f"intervals that have a place: {MAX_INTERVALS}"),
    _u16("resolution", "length of an interval", "s"),
    _u16("intervalWords", f"registers of an interval: {INTERVAL.words}"),
    _text("siteId", "our site"),
    _text("plugId", "our heat export interface"),
    _text("offtakeId", "your contract"),
))  # fmt: skip

HEARTBEAT = _block("heartbeat", 110, (
    _u32("counter", "rises by one with every heartbeat (10 s), also over our restarts; after the largest comes 0"),
    _utc("at", "when that was"),
    _u64("lastSequence", "of the newest schedule"),
    _u16("mode", "who decides about the heat; 0 is never sent", codes=_named(MODE_CODES.items())),
    _u16("bypass", "1: our heat goes to the dry coolers, none to you", codes={0: "no", 1: "yes"}),
    _u16("noBoilerNeeded", "1: our heat can be counted on; 0: start the boiler", codes={0: "start", 1: "not needed"}),
    _u16("alarm", "our worst alarm", codes={0: "none", 1: "warning", 2: "critical"}),
    _u16("operatorSilent", "1: our operator was not heard lately, the schedule may be true no more", codes={0: "no", 1: "yes"}),
    _u16("age", "how long ago the heartbeat was, when you read this", "s"),
    _kw("boilerKw", "heat that the boiler should make ready; not known: as much as you need"),
    _text("alarmText", "what is wrong"),
    _u16("scheduleState", "what the newest schedule is worth", codes=_named(STATE_CODES.items())),
))  # fmt: skip

SEEN = _block("heard of you", 160, (
    _u32("plantCounter", "your counter, as we last heard it"),
    _utc("heardAt", "when we last heard anything of you"),
    _u16("overridden", "1: your manual override is latched; only our operator clears it", codes={0: "no", 1: "yes"}),
    _u16("verdict", "your last answer to a schedule", codes=_named(VERDICT_CODES.items())),
    _u64("answered", "sequence of that schedule"),
    _kw("overrideKw", "limit of the override"),
    _kw("requestKw", "your last request for less heat"),
    _utc("requestStart", "from when it holds"),
    _utc("requestEnd", "until when it holds"),
))  # fmt: skip

HEADER = _block("schedule", 300, (
    _u64("sequence", "of this schedule; the first word of what belongs together"),
    _u64("supersedes", "sequence whose place it takes"),
    _utc("issuedAt", "when we made it"),
    _utc("validFrom", "start of the first interval"),
    _utc("validUntil", "after this your contract's fallback holds"),
    _u16("kind", "what it is", codes=_named(KIND_CODES.items())),
    _u16("mode", "advisory: nothing is promised", codes=_named(SCHEDULE_MODE_CODES.items())),
    _u16("intervals", "how many follow; 0: there is no schedule"),
    _u16("schemaVersion", "of the message: high byte major, low byte minor"),
    _kw("boilerRequestKw", "heat that the boiler should make ready"),
    _text("messageId", "same content, same id", 16),
    _text("meterPointId", "where the heat is metered"),
    _text("reason", "why it was sent"),
))  # fmt: skip

INTERVALS_START = 400
SEAL = _block("seal", INTERVALS_START + MAX_INTERVALS * INTERVAL.words, (
    _u32("crc", "CRC-32 of the registers from `sequence` to the last interval that is used"),
    _u64("committed", "the sequence again, last of all: differs from the first while you read over a change"),
))  # fmt: skip

# What a plant writes: one block for each letter, whose last register sends it off.
BEAT = _block("heartbeat", 7000, (_u32("counter", "any number that changes, every 10 s"),))
REQUEST = _block("request", 7010, (
    _kw("heatKw", "you want at most so much heat"),
    _utc("start", "from when; 0: from now on"),
    _utc("end", "until when; 0: to the end of the schedule"),
    _u16("commit", "1 to 65534, written last: the request is taken"),
))  # fmt: skip
OVERRIDE = _block("override", 7020, (
    _kw("limitKw", "a person at the plant takes at most so much, until our operator clears it; not written: nothing"),
    _u16("commit", "1 to 65534, written last: the override is latched"),
))  # fmt: skip
ANSWER = _block("answer", 7030, (
    _u64("sequence", "schedule that you answer"),
    _kw("acceptedKw", "with partial: the most you take in any hour of it"),
    _u16("verdict", "your answer; to accept, use an interface that knows you", codes={2: "partial", 3: "rejected"}),
    _u16("commit", "1 to 65534, written last: the answer is taken"),
))  # fmt: skip
LETTERS = (BEAT, REQUEST, OVERRIDE, ANSWER)

RECEIPT = _block("receipt", 7040, (
    _u16("number", "what your address wrote as `commit` last; 0: it was a heartbeat"),
    _u16("result", "what became of it", codes={0: "nothing yet", 1: "accepted", 2: "refused"}),
    _text("reason", "why it was refused"),
))  # fmt: skip

WRITES_START, WRITES_END = LETTERS[0].start, LETTERS[-1].end
INPUTS = (IDENTITY, HEARTBEAT, SEEN, HEADER, SEAL)
INPUTS_END = SEAL.end
SCHEDULE_START = HEADER.start
BITS = len(BitAddress)


def interval_start(index: int) -> int:
    """Address of an interval's first register."""
    return INTERVALS_START + index * INTERVAL.words
