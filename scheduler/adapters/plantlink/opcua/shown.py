"""What a board looks like in OPC UA: a value and a quality for every variable of the model, in the model's order."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from scheduler.adapters.plantlink.opcua.model import HEARD, HEARTBEAT, SCHEDULE, VARIABLES, Quality
from scheduler.core.publishing.message import RESOLUTION_S, number, parsed
from scheduler.core.publishing.shown import shown_of
from scheduler.domain.plantlink import Board, Heartbeat, PlantSeen, ScheduleState

Value = bool | int | float | str | datetime | list[float] | list[datetime] | None

# What a schedule that is not shown has instead of values.
INSTEAD = {
    ScheduleState.NONE: Quality.ABSENT, ScheduleState.RUN_OUT: Quality.RUN_OUT, ScheduleState.OPERATOR_SILENT: Quality.SILENT,
    ScheduleState.ENDING: Quality.ENDING, ScheduleState.STOPPED: Quality.SILENT,
}  # fmt: skip
HEADER_TIMES = {"IssuedAt": "issuedAt", "ValidFrom": "validFrom", "ValidUntil": "validUntil"}
HEADER_TEXTS = {
    "Kind": "kind", "Mode": "mode", "Reason": "reason", "MeterPointId": "meterPointId", "MessageId": "messageId",
}  # fmt: skip
ROWS = {
    "HeatKw": "heatKw", "P10": "p10", "P90": "p90", "FirmKw": "firmKw", "MaxKw": "maxKw", "MinKw": "minKw",
    "SupplyC": "supplyC", "ReturnMaxC": "returnMaxC", "FlowM3h": "flowM3h", "ProbShortfall": "probShortfall",
    "GCo2PerKwhHeat": "gco2PerKwhHeat",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shown:
    """A value and how good it is; a bad quality has no value."""

    value: Value
    quality: Quality = Quality.GOOD


ABSENT, SILENT, AWAY = (Shown(None, quality) for quality in (Quality.ABSENT, Quality.SILENT, Quality.AWAY))


def shown(board: Board | None, now_utc: datetime) -> dict[str, Shown]:
    """All variables of one offtake by their path; None: it is not ours to show."""
    if board is None:
        return {variable.path: AWAY for variable in VARIABLES}
    told = shown_of(board, now_utc)
    if not told.fresh:
        return {variable.path: SILENT for variable in VARIABLES}
    return {**_schedule(told.state, told.schedule_json), **_heartbeat(told.heartbeat), **_heard(board.seen)}


def _schedule(state: ScheduleState, as_json: bytes) -> dict[str, Shown]:
    if not as_json:
        return {variable.path: Shown(None, INSTEAD[state]) for variable in SCHEDULE}
    values = _schedule_values(as_json)
    return {variable.path: Shown(values[variable.path]) for variable in SCHEDULE}


@lru_cache(maxsize=128)
def _schedule_values(as_json: bytes) -> Mapping[str, Value]:
    """Every field of a HeatSchedule; what is null in a row is NaN. It is asked for every second, and seldom changes."""
    schedule = json.loads(as_json)
    raw = schedule.get("intervals")
    rows = [row for row in raw if isinstance(row, Mapping)] if isinstance(raw, list) else []
    starts = [parsed(row.get("start")) for row in rows]
    values: dict[str, Value] = {
        "Intervals": len(rows),
        "ResolutionS": RESOLUTION_S,
        "Start": [start for start in starts if start is not None],
        "BoilerRequestKw": number(schedule.get("boilerRequestKw")),
        "Supersedes": _count(schedule.get("supersedes")),
        "Message": as_json.decode(),
        "Sequence": _count(schedule.get("sequence")),
    }
    values |= {name: [_or_nan(row.get(key)) for row in rows] for name, key in ROWS.items()}
    values |= {name: parsed(schedule.get(key)) for name, key in HEADER_TIMES.items()}
    values |= {name: str(schedule.get(key, "")) for name, key in HEADER_TEXTS.items()}
    return {f"Schedule/{name}": value for name, value in values.items()}


def _heartbeat(heartbeat: Heartbeat) -> dict[str, Shown]:
    values: dict[str, Value] = {
        "At": heartbeat.at_utc,
        "LastSequence": heartbeat.last_sequence,
        "Mode": heartbeat.mode.value,
        "Bypass": heartbeat.bypass,
        "BoilerNeeded": heartbeat.boiler_on,
        "BoilerKw": heartbeat.boiler_kw,
        "ScheduleState": heartbeat.state.value,
        "OperatorSilent": heartbeat.operator_silent,
        "AlarmLevel": int(heartbeat.alarm),
        "AlarmText": heartbeat.alarm_text,
        "Counter": heartbeat.counter,
    }
    return {variable.path: _known(values[variable.path.removeprefix("Heartbeat/")]) for variable in HEARTBEAT}


def _heard(seen: PlantSeen) -> dict[str, Shown]:
    answer, request, override = seen.acknowledged, seen.requested, seen.override
    values: dict[str, Value] = {
        "HeardAt": seen.heard_utc,
        "HeartbeatCounter": seen.counter,
        "AcknowledgedSequence": None if answer is None else answer.sequence,
        "AcknowledgedVerdict": None if answer is None else answer.verdict.value,
        "RequestedKw": None if request is None else request.heat_kw,
        "OverrideActive": override is not None,
        "OverrideLimitKw": None if override is None else override.limit_kw,
    }
    return {variable.path: _known(values[variable.path.removeprefix("Plant/")]) for variable in HEARD}


def _known(value: Value) -> Shown:
    return ABSENT if value is None else Shown(value)


def _or_nan(value: object) -> float:
    known = number(value)
    return math.nan if known is None else known


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
