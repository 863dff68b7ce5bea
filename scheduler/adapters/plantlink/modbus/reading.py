"""Registers as a plant understands them: the heartbeat, and the HeatSchedule that they carry."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from scheduler.adapters.plantlink.modbus.registers import (
    HEADER,
    HEARTBEAT,
    IDENTITY,
    INTERVAL,
    KIND_CODES,
    LAYOUT,
    MAGIC,
    MODE_CODES,
    PROBE,
    SCHEDULE_MODE_CODES,
    SEAL,
    STATE_CODES,
)
from scheduler.adapters.plantlink.modbus.words import Value, block_values, count_of
from scheduler.core.publishing.message import MAX_INTERVALS, RESOLUTION, stamp
from scheduler.domain.plantlink import AlarmLevel, Heartbeat, LinkMode, ScheduleState

KINDS = {code: kind.value for kind, code in KIND_CODES.items()}
SCHEDULE_MODES = {code: name for name, code in SCHEDULE_MODE_CODES.items()}
MODES = {int(code): mode for mode, code in MODE_CODES.items()}
STATES = {code: state for state, code in STATE_CODES.items()}
ALARMS: dict[int | None, AlarmLevel] = {int(level): level for level in AlarmLevel}
LARGEST_COUNTER = 2**32 - 1
VERSION_SHIFT = 256


class NotOurMap(ValueError):
    """These registers are none of ours; says what they said."""


class Torn(ValueError):
    """The registers do not belong to one schedule: it changed while they were read, or was read wrongly."""


def low_word_first(identity: Sequence[int]) -> bool:
    """The order of words, from the registers of the identity.

    Raises:
        NotOurMap: this is another device's map, or one that is older than this program knows.
    """
    magic, layout = identity[0], identity[1]
    if magic != MAGIC or layout < LAYOUT:
        raise NotOurMap(f"register 0 is 0x{magic:04X}, register 1 is {layout}: not our map")
    at = IDENTITY.at("probe").offset
    high, low = identity[at], identity[at + 1]
    if (high << 16) + low == PROBE:
        return False
    if (low << 16) + high == PROBE:
        return True
    raise NotOurMap(f"registers {at} and {at + 1} are 0x{high:04X} 0x{low:04X}: bytes are swapped on the way")


def heartbeat_of(words: Sequence[int], offtake_id: str, swapped: bool) -> Heartbeat:
    """The sign of life that the registers of `HEARTBEAT` are; what cannot be understood means: start the boiler."""
    told = block_values(HEARTBEAT, words, swapped)
    counter = told["counter"]
    return Heartbeat(
        offtake_id=offtake_id,
        counter=counter if isinstance(counter, int) else LARGEST_COUNTER,
        at_utc=_instant(told["at"]) or datetime.fromtimestamp(0, UTC),
        last_sequence=_whole(told["lastSequence"]),
        mode=MODES.get(_whole(told["mode"]) or 0, LinkMode.FALLBACK),
        bypass=told["bypass"] != 0,
        boiler_on=told["noBoilerNeeded"] != 1,
        boiler_kw=_number(told["boilerKw"]),
        alarm=ALARMS.get(_whole(told["alarm"]), AlarmLevel.CRITICAL),
        alarm_text=str(told["alarmText"]),
        operator_silent=told["operatorSilent"] != 0,
        state=STATES.get(_whole(told["scheduleState"]) or 0, ScheduleState.NONE),
    )


def intervals_in(header: Sequence[int], swapped: bool) -> int:
    """How many intervals follow a header.

    Raises:
        Torn: more than there is room for.
    """
    count = _whole(block_values(HEADER, header, swapped)["intervals"])
    if count is None or count > MAX_INTERVALS:
        raise Torn(f"{count} intervals have no place")
    return count


def schedule_of(
    identity: Sequence[int], header: Sequence[int], rows: Sequence[int], seal: Sequence[int], swapped: bool
) -> dict[str, object] | None:
    """The HeatSchedule that was read; None when there is none.

    Args:
        identity: registers of the block of this name.
        header: the same.
        rows: registers of the intervals that are used.
        seal: registers of the block of this name.
        swapped: low word first.

    Raises:
        Torn: the checksum or the second sequence does not fit.
    """
    sequence = block_values(HEADER, header, swapped)["sequence"]
    if block_values(SEAL, seal, swapped)["committed"] != sequence:
        raise Torn("the schedule changed while it was read")
    # A checksum may be all ones, which elsewhere means that it is not known.
    told = block_values(SEAL, seal, swapped)["crc"]
    words = (*header, *rows)
    if zlib.crc32(struct.pack(f">{len(words)}H", *words)) != count_of(SEAL.at("crc"), told if isinstance(told, int) else None):
        raise Torn("the checksum does not fit")
    if sequence is None:
        return None
    ids = block_values(IDENTITY, identity, swapped)
    step = INTERVAL.words
    return {
        **_header(block_values(HEADER, header, swapped)),
        **{key: ids[key] for key in ("siteId", "plugId", "offtakeId")},
        "resolution": RESOLUTION,
        "intervals": [_interval(rows[at : at + step], swapped) for at in range(0, len(rows), step)],
    }


def _header(told: Mapping[str, Value]) -> dict[str, object]:
    version = _whole(told["schemaVersion"]) or 0
    return {
        "schemaVersion": f"{version // VERSION_SHIFT}.{version % VERSION_SHIFT}",
        **{key: told[key] for key in ("sequence", "supersedes", "messageId", "meterPointId", "reason", "boilerRequestKw")},
        **{key: _stamp(told[key]) for key in ("issuedAt", "validFrom", "validUntil")},
        "kind": KINDS.get(_whole(told["kind"]) or 0),
        "mode": SCHEDULE_MODES.get(_whole(told["mode"]) or 0),
    }


def _interval(words: Sequence[int], swapped: bool) -> dict[str, object]:
    told = block_values(INTERVAL, words, swapped)
    return {**told, "start": _stamp(told["start"])}


def _stamp(value: Value) -> str | None:
    at_utc = _instant(value)
    return None if at_utc is None else stamp(at_utc)


def _instant(value: Value) -> datetime | None:
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int) else None


def _whole(value: Value) -> int | None:
    return value if isinstance(value, int) else None


def _number(value: Value) -> float | None:
    return None if isinstance(value, str) else value
