"""HeatSchedule: the one canonical message to a heat plant, as a plain dictionary, and the check that it is one.

Every protocol carries this payload. Sequences rise strictly; a repeat of a sequence is idempotent, a lower one is dropped;
after `validUntil` the plant falls back to its contract. Times are UTC, intervals are quarter hours.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from scheduler.domain.plan import Offer
from scheduler.units import S_PER_H

SCHEMA_VERSION = "1.0"
RESOLUTION = "PT15M"
RESOLUTION_S = 900
MAX_INTERVALS = 288
DIGITS = 3
# Water at about 60 degrees C: 983 kg/m3 * 4.185 kJ/(kg K).
WATER_KJ_PER_M3_K = 4114.0

HEADER = (
    "schemaVersion", "siteId", "plugId", "offtakeId", "meterPointId", "messageId", "sequence", "supersedes", "issuedAt",
    "validFrom", "validUntil", "resolution", "kind", "mode", "intervals", "boilerRequestKw", "reason",
)  # fmt: skip
INTERVAL = (
    "start", "heatKw", "p10", "p90", "firmKw", "maxKw", "minKw", "supplyC", "returnMaxC", "flowM3h", "probShortfall",
    "gco2PerKwhHeat",
)  # fmt: skip


class Kind(StrEnum):
    """What a message is: a first plan, one that makes heat binding, an update, a withdrawal, or the contract's fallback."""

    PLAN = "plan"
    FIRM = "firm"
    UPDATE = "update"
    CANCEL = "cancel"
    FALLBACK = "fallback"


class Verdict(StrEnum):
    """What a receiver does with a sequence number."""

    NEW = "new"
    REPEAT = "repeat"
    OLD = "old"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Who speaks, about what, and where the message stands in the conversation."""

    site_id: str
    meter_point_id: str
    sequence: int
    supersedes: int | None = None
    kind: Kind = Kind.PLAN
    reason: str = ""


def stamp(at_utc: datetime) -> str:
    """ISO 8601 in UTC with a Z, whole seconds."""
    return at_utc.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parsed(text: object) -> datetime | None:
    """Instant of a stamp; None unless it is text in UTC."""
    if not isinstance(text, str) or not text.endswith("Z"):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    # "2026-01-31Z" is taken for a day without a zone.
    return found if found.tzinfo is not None else None


def rounded(value: float) -> float:
    """A number as it is sent: three digits, no negative zero."""
    return round(float(value), DIGITS) + 0.0


def flow_m3_per_h(heat_kw: float, supply_c: float, return_c: float) -> float | None:
    """Volume flow that carries a heat between two temperatures; None when the return is not colder than the supply."""
    spread_k = supply_c - return_c
    return rounded(heat_kw * S_PER_H / (WATER_KJ_PER_M3_K * spread_k)) if spread_k > 0.0 else None


def message_id(envelope: Envelope, offer: Offer) -> str:
    """Same content, same id: a hash of who, what and which sequence."""
    text = "|".join((envelope.site_id, offer.plug_id, offer.offtake_id, str(envelope.sequence), offer.plan_id))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def interval(offer: Offer, slot: int, part: int) -> dict[str, object]:
    """One quarter hour of an offer: part `part` of slot `slot`."""
    start_utc = offer.grid.time_of(slot) + timedelta(seconds=part * RESOLUTION_S)
    carbon = offer.heat_g_per_kwh
    heat_kw, supply_c = float(offer.p50_kw[slot]), float(offer.supply_c[slot])
    return {
        "start": stamp(start_utc),
        "heatKw": rounded(heat_kw),
        "p10": rounded(float(offer.p10_kw[slot])),
        "p90": rounded(float(offer.p90_kw[slot])),
        "firmKw": rounded(float(offer.firm_kw[slot])),
        "maxKw": rounded(float(offer.max_kw[slot])),
        "minKw": rounded(float(offer.min_kw[slot])),
        "supplyC": rounded(supply_c),
        "returnMaxC": rounded(offer.return_max_c),
        "flowM3h": flow_m3_per_h(heat_kw, supply_c, offer.return_max_c),
        "probShortfall": rounded(float(offer.shortfall_probability[slot])),
        "gco2PerKwhHeat": None if carbon is None else rounded(float(carbon[slot])),
    }


def heat_schedule(offer: Offer, envelope: Envelope) -> dict[str, object]:
    """The payload of one offer; slots longer than a quarter hour are repeated, at most 288 intervals are sent.

    Raises:
        ValueError: when the slots are no whole number of quarter hours.
    """
    parts, rest = divmod(offer.grid.slot_s, RESOLUTION_S)
    if rest or not parts:
        raise ValueError(f"heat_schedule: slots of {offer.grid.slot_s} s are no whole number of quarter hours")
    intervals = [interval(offer, slot, part) for slot in range(offer.grid.slots) for part in range(parts)]
    return {
        "schemaVersion": SCHEMA_VERSION,
        "siteId": envelope.site_id,
        "plugId": offer.plug_id,
        "offtakeId": offer.offtake_id,
        "meterPointId": envelope.meter_point_id,
        "messageId": message_id(envelope, offer),
        "sequence": envelope.sequence,
        "supersedes": envelope.supersedes,
        "issuedAt": stamp(offer.issued_utc),
        "validFrom": stamp(offer.grid.start_utc),
        "validUntil": stamp(offer.valid_until_utc),
        "resolution": RESOLUTION,
        "kind": envelope.kind.value,
        "mode": "advisory" if offer.advisory else "dispatch",
        "intervals": intervals[:MAX_INTERVALS],
        "boilerRequestKw": rounded(offer.boiler_request_kw),
        "reason": envelope.reason,
    }


def verdict(last_sequence: int | None, sequence: int) -> Verdict:
    """What to do with a message whose sequence follows `last_sequence`."""
    if last_sequence is None or sequence > last_sequence:
        return Verdict.NEW
    return Verdict.REPEAT if sequence == last_sequence else Verdict.OLD


def number(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def header_problems(payload: Mapping[str, object]) -> list[str]:
    """What is wrong outside the intervals."""
    found = [f"{key}: missing" for key in HEADER if key not in payload]
    found += [f"{key}: unknown field" for key in payload if key not in HEADER and key != "signature"]
    if payload.get("schemaVersion") != SCHEMA_VERSION:
        found.append(f"schemaVersion: {payload.get('schemaVersion')!r} is not {SCHEMA_VERSION!r}")
    sequence, before = payload.get("sequence"), payload.get("supersedes")
    if isinstance(sequence, bool) or not isinstance(sequence, int) or not 0 <= sequence < 2**64:
        found.append("sequence: must be an unsigned 64 bit integer")
    elif before is not None and (not isinstance(before, int) or before >= sequence):
        found.append("supersedes: must be lower than sequence")
    if str(payload.get("kind")) not in set(Kind):
        found.append(f"kind: {payload.get('kind')!r} is not one of {', '.join(Kind)}")
    if str(payload.get("mode")) not in {"advisory", "dispatch"}:
        found.append("mode: must be advisory or dispatch")
    if payload.get("resolution") != RESOLUTION:
        found.append(f"resolution: must be {RESOLUTION}")
    times = {key: parsed(payload.get(key)) for key in ("issuedAt", "validFrom", "validUntil")}
    found += [f"{key}: must be UTC, as 2026-01-31T23:45:00Z" for key, value in times.items() if value is None]
    issued, until = times["issuedAt"], times["validUntil"]
    if issued is not None and until is not None and until <= issued:
        found.append("validUntil: must be after issuedAt")
    boiler_kw = number(payload.get("boilerRequestKw"))
    if boiler_kw is None or boiler_kw < 0.0:
        found.append("boilerRequestKw: must be a number >= 0")
    return found


def interval_problems(where: str, row: Mapping[str, object]) -> list[str]:
    """What is wrong with one interval."""
    found = [f"{where}.{key}: missing" for key in INTERVAL if key not in row]
    required = [key for key in INTERVAL if key not in {"start", "flowM3h", "gco2PerKwhHeat"}]
    values = {key: number(row.get(key)) for key in required}
    found += [f"{where}.{key}: must be a finite number" for key, value in values.items() if value is None]
    if found:
        return found
    kw = {key: value or 0.0 for key, value in values.items()}
    if not 0.0 <= kw["p10"] <= kw["heatKw"] <= kw["p90"]:
        found.append(f"{where}: 0 <= p10 <= heatKw <= p90 must hold")
    if not 0.0 <= kw["minKw"] <= kw["maxKw"]:
        found.append(f"{where}: 0 <= minKw <= maxKw must hold")
    if not 0.0 <= kw["firmKw"] <= kw["maxKw"]:
        found.append(f"{where}: 0 <= firmKw <= maxKw must hold")
    if not 0.0 <= kw["probShortfall"] <= 1.0:
        found.append(f"{where}.probShortfall: must be a probability")
    return found


def problems(payload: Mapping[str, object]) -> tuple[str, ...]:
    """Everything that keeps a payload from being a HeatSchedule, each with the field it concerns; empty when it is one."""
    found = header_problems(payload)
    rows = payload.get("intervals")
    if not isinstance(rows, list) or not rows:
        return (*found, "intervals: must be a list of at least one interval")
    if len(rows) > MAX_INTERVALS:
        found.append(f"intervals: {len(rows)} are more than {MAX_INTERVALS}")
    expected: datetime | None = parsed(payload.get("validFrom"))
    for i, row in enumerate(rows):
        where = f"intervals[{i}]"
        if not isinstance(row, Mapping):
            found.append(f"{where}: must be an object")
            continue
        found += interval_problems(where, row)
        start = parsed(row.get("start"))
        if start is None or (expected is not None and start != expected):
            found.append(f"{where}.start: must follow the interval before without gap or overlap")
        expected = None if start is None else start + timedelta(seconds=RESOLUTION_S)
    return tuple(found)
