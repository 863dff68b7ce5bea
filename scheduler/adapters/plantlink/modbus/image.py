"""What one plant reads: the board of its offtake as registers and discrete inputs."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from datetime import datetime

from scheduler.adapters.plantlink.modbus.registers import (
    BITS,
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
    SCHEDULE_START,
    SEAL,
    SEEN,
    STATE_CODES,
    VERDICT_CODES,
    BitAddress,
)
from scheduler.adapters.plantlink.modbus.words import Value, block_bytes, encoded
from scheduler.core.publishing.message import MAX_INTERVALS, RESOLUTION_S, number, parsed
from scheduler.core.publishing.shown import shown_of
from scheduler.domain.plantlink import AlarmLevel, Board, LinkMode

VERSION_SHIFT = 256


def epoch_s(at_utc: datetime | None) -> int | None:
    """Seconds since 1970; None stays None."""
    return None if at_utc is None else int(at_utc.timestamp())


def bits_of(board: Board, now_utc: datetime) -> tuple[bool, ...]:
    """The discrete inputs, by address."""
    shown = shown_of(board, now_utc)
    beat = shown.heartbeat
    bits = dict.fromkeys(BitAddress, False)
    bits[BitAddress.NO_BOILER_NEEDED] = not beat.boiler_on
    bits[BitAddress.HEAT_GOES_TO_YOU] = not beat.bypass
    bits[BitAddress.AUTOMATIC] = beat.mode is LinkMode.AUTO
    bits[BitAddress.NO_CRITICAL_ALARM] = beat.alarm is not AlarmLevel.CRITICAL
    bits[BitAddress.NO_ALARM] = beat.alarm is AlarmLevel.NONE
    bits[BitAddress.OPERATOR_HEARD] = not beat.operator_silent
    return tuple(bits[BitAddress(i)] and shown.fresh for i in range(BITS))


def live_bytes(board: Board, now_utc: datetime, *, writable: bool, low_word_first: bool) -> bytes:
    """The registers before the schedule: who we are, the heartbeat, what was heard of the plant."""
    image = bytearray(2 * SCHEDULE_START)
    values = ((IDENTITY, _identity(board, writable)), (HEARTBEAT, _heartbeat(board, now_utc)), (SEEN, _seen(board)))
    for block, of_block in values:
        image[2 * block.start : 2 * block.end] = block_bytes(block, of_block, low_word_first)
    return bytes(image)


def schedule_bytes(schedule: Mapping[str, object] | None, *, low_word_first: bool) -> bytes:
    """The registers from the schedule's first on: header, intervals, checksum, and the sequence once more.

    Intervals that are not used read as zeros. The checksum is CRC-32 (zlib, Ethernet) of the bytes as they go over the wire.
    """
    rows = _rows(schedule)
    header = _header(schedule, len(rows))
    told = block_bytes(HEADER, header, low_word_first) + b"".join(
        block_bytes(INTERVAL, _interval(row), low_word_first) for row in rows
    )
    room = 2 * MAX_INTERVALS * INTERVAL.words + 2 * HEADER.words
    sealed = crc_bytes(told, low_word_first) + encoded(SEAL.at("committed"), header["sequence"], low_word_first)
    return told.ljust(room, b"\0") + sealed


def crc_bytes(told: bytes, low_word_first: bool) -> bytes:
    """CRC-32 as two registers; all 32 bits may be ones, so it has no "not known"."""
    high, low = divmod(zlib.crc32(told), 1 << 16)
    return struct.pack(">HH", *((low, high) if low_word_first else (high, low)))


def _identity(board: Board, writable: bool) -> dict[str, Value]:
    return {
        "magic": MAGIC, "layout": LAYOUT, "probe": PROBE, "writable": int(writable), "capacity": MAX_INTERVALS,
        "resolution": RESOLUTION_S, "intervalWords": INTERVAL.words,
        "siteId": board.site_id, "plugId": board.plug_id, "offtakeId": board.offtake_id,
    }  # fmt: skip


def _heartbeat(board: Board, now_utc: datetime) -> dict[str, Value]:
    beat = shown_of(board, now_utc).heartbeat
    return {
        "counter": beat.counter, "at": epoch_s(beat.at_utc), "lastSequence": beat.last_sequence, "mode": MODE_CODES[beat.mode],
        "bypass": int(beat.bypass), "noBoilerNeeded": int(not beat.boiler_on), "alarm": int(beat.alarm),
        "operatorSilent": int(beat.operator_silent), "age": max(0, int((now_utc - beat.at_utc).total_seconds())),
        "boilerKw": beat.boiler_kw, "alarmText": beat.alarm_text,
        "scheduleState": STATE_CODES[beat.state],
    }  # fmt: skip


def _seen(board: Board) -> dict[str, Value]:
    seen = board.seen
    values: dict[str, Value] = {
        "plantCounter": seen.counter, "heardAt": epoch_s(seen.heard_utc), "overridden": int(seen.override is not None),
    }  # fmt: skip
    if seen.override is not None:
        values["overrideKw"] = seen.override.limit_kw
    if seen.acknowledged is not None:
        values |= {"answered": seen.acknowledged.sequence, "verdict": VERDICT_CODES[seen.acknowledged.verdict]}
    if seen.requested is not None:
        values |= {
            "requestKw": seen.requested.heat_kw, "requestStart": epoch_s(seen.requested.start_utc),
            "requestEnd": epoch_s(seen.requested.end_utc),
        }  # fmt: skip
    return values


def _rows(schedule: Mapping[str, object] | None) -> list[Mapping[str, object]]:
    found = None if schedule is None else schedule.get("intervals")
    return [row for row in found[:MAX_INTERVALS] if isinstance(row, Mapping)] if isinstance(found, list) else []


def _header(schedule: Mapping[str, object] | None, rows: int) -> dict[str, Value]:
    """Header as values; without a schedule nothing is known but that there are no intervals."""
    told = schedule or {}
    values: dict[str, Value] = {key: _whole(told.get(key)) for key in ("sequence", "supersedes")}
    values |= {key: epoch_s(parsed(told.get(key))) for key in ("issuedAt", "validFrom", "validUntil")}
    values |= {key: _text(told.get(key)) for key in ("messageId", "meterPointId", "reason")}
    kinds = {kind.value: code for kind, code in KIND_CODES.items()}
    values |= {
        "kind": kinds.get(_text(told.get("kind"))), "mode": SCHEDULE_MODE_CODES.get(_text(told.get("mode"))),
        "intervals": rows, "schemaVersion": _version(told.get("schemaVersion")),
        "boilerRequestKw": number(told.get("boilerRequestKw")),
    }  # fmt: skip
    return values


def _interval(row: Mapping[str, object]) -> dict[str, Value]:
    values: dict[str, Value] = {one.name: number(row.get(one.name)) for one in INTERVAL.registers}
    return values | {"start": epoch_s(parsed(row.get("start")))}


def _version(told: object) -> int | None:
    major, dot, minor = _text(told).partition(".")
    return int(major) * VERSION_SHIFT + int(minor) if dot and major.isdecimal() and minor.isdecimal() else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
