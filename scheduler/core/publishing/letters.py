"""What a plant may say: from the JSON that REST and MQTT carry to nouns, and whether it is believed.

A letter that was sent without a credential may only reduce or withdraw heat. None ever starts, stops or caps compute: letters
are inputs of the next plan, within the plug's and the contract's limits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.core.publishing.message import number, parsed
from scheduler.domain.plantlink import (
    Acknowledgement,
    AckVerdict,
    Board,
    DemandForecast,
    HeatRequest,
    Letter,
    LetterBody,
    MaintenanceNotice,
    ManualOverride,
    MeterReading,
    NetworkState,
    PlantHeartbeat,
    Receipt,
    TankState,
)

MAX_POINTS = 1344
MAX_TEXT = 200
MAX_KW = 1e6
MAX_KWH = 1e12
COUNTERS = 2**32
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
MIN_STEP_S, MAX_STEP_S = 300, 86400
# A clock of the plant may be so wrong; what is older says nothing about now.
AHEAD_S, OLD_S = 120.0, 86400.0
FARTHEST_DAYS = 400


class NotALetter(ValueError):
    """The payload is none; says which field, and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterLimits:
    """What is plausible of one offtake: its largest heat, kW, and the tank's capacity, kWh; None: there is no tank."""

    max_heat_kw: float
    tank_kwh: float | None


class _Fields:
    """A payload, read field by field; what nobody asked for is an error in the end."""

    def __init__(self, payload: object) -> None:
        if not isinstance(payload, Mapping):
            raise NotALetter("must be an object")
        self._payload = payload
        self._known: set[str] = set()

    def raw(self, key: str) -> object:
        self._known.add(key)
        return self._payload.get(key)

    def kw(self, key: str, low: float = 0.0, high: float = MAX_KW) -> float:
        value = self.maybe(key, low, high)
        if value is None:
            raise NotALetter(f"{key}: is missing")
        return value

    def maybe(self, key: str, low: float, high: float) -> float | None:
        raw = self.raw(key)
        return None if raw is None else _within(key, raw, low, high)

    def count(self, key: str, most: int) -> int:
        value = self.raw(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < most:
            raise NotALetter(f"{key}: must be a whole number from 0 to {most - 1}")
        return value

    def instant(self, key: str) -> datetime:
        value = parsed(self.raw(key))
        if value is None:
            raise NotALetter(f"{key}: must be UTC, as 2026-01-31T23:45:00Z")
        return value

    def text(self, key: str) -> str:
        value = self.raw(key)
        if value is None:
            return ""
        if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
            raise NotALetter(f"{key}: must be printable text of at most {MAX_TEXT} characters")
        return value

    def name(self, key: str) -> str:
        value = self.raw(key)
        if not isinstance(value, str) or not NAME.fullmatch(value):
            raise NotALetter(f"{key}: must be a name of letters, digits and . _ : / -")
        return value

    def done(self) -> None:
        unknown = sorted(str(key) for key in self._payload if key not in self._known)
        if unknown:
            # Whatever a key holds, it is told in plain letters: some of it no log and no database takes.
            name = unknown[0][:40] if NAME.fullmatch(unknown[0]) else ascii(unknown[0][:40])
            raise NotALetter(f"{name}: unknown field (expected {', '.join(sorted(self._known))})")


def _within(key: str, raw: object, low: float, high: float) -> float:
    value = number(raw)
    if value is None or not low <= value <= high:
        raise NotALetter(f"{key}: must be a number from {low:g} to {high:g}")
    return value


def body_of(kind: str, payload: object) -> LetterBody:
    """A letter's body from JSON that was parsed already.

    Args:
        kind: one of `KINDS`.
        payload: the parsed document.

    Raises:
        NotALetter: with the field that is wrong and what was expected.
    """
    read = KINDS.get(kind)
    if read is None:
        raise NotALetter(f"kind: must be one of {', '.join(KINDS)}")
    fields = _Fields(payload)
    body = read(fields)
    fields.done()
    return body


def _demand(fields: _Fields) -> DemandForecast:
    raw = fields.raw("heatKw")
    if not isinstance(raw, list) or not 0 < len(raw) <= MAX_POINTS:
        raise NotALetter(f"heatKw: must be a list of 1 to {MAX_POINTS} numbers or nulls")
    values = tuple(None if one is None else _within(f"heatKw[{i}]", one, 0.0, MAX_KW) for i, one in enumerate(raw))
    step_s = fields.count("stepSeconds", MAX_STEP_S + 1)
    if step_s < MIN_STEP_S:
        raise NotALetter(f"stepSeconds: must be at least {MIN_STEP_S}")
    issued_utc = None if fields.raw("issuedAt") is None else fields.instant("issuedAt")
    return DemandForecast(start_utc=fields.instant("start"), step_s=step_s, heat_kw=values, issued_utc=issued_utc)


def _request(fields: _Fields) -> HeatRequest:
    body = HeatRequest(heat_kw=fields.kw("heatKw"), start_utc=fields.instant("start"), end_utc=fields.instant("end"))
    _in_order(body.start_utc, body.end_utc)
    return body


def _network(fields: _Fields) -> NetworkState:
    return NetworkState(
        at_utc=fields.instant("at"),
        supply_c=fields.maybe("supplyC", -20.0, 200.0),
        return_c=fields.maybe("returnC", -20.0, 200.0),
        wanted_supply_c=fields.maybe("wantedSupplyC", -20.0, 200.0),
        flow_m3_per_h=fields.maybe("flowM3h", 0.0, 1e5),
        heat_kw=fields.maybe("heatKw", 0.0, MAX_KW),
    )


def _tank(fields: _Fields) -> TankState:
    return TankState(at_utc=fields.instant("at"), level_kwh=fields.kw("levelKwh", 0.0, MAX_KWH))


def _acknowledgement(fields: _Fields) -> Acknowledgement:
    verdict = fields.raw("verdict")
    if not isinstance(verdict, str) or verdict not in set(AckVerdict):
        raise NotALetter(f"verdict: must be one of {', '.join(AckVerdict)}")
    found = AckVerdict(str(verdict))
    accepted_kw = fields.maybe("acceptedKw", 0.0, MAX_KW)
    if (accepted_kw is not None) != (found is AckVerdict.PARTIAL):
        raise NotALetter("acceptedKw: belongs to the verdict partial, and to it alone")
    return Acknowledgement(
        sequence=fields.count("sequence", 2**64), verdict=found, reason=fields.text("reason"), accepted_kw=accepted_kw
    )


def _maintenance(fields: _Fields) -> MaintenanceNotice:
    body = MaintenanceNotice(
        notice_id=fields.name("id"),
        start_utc=fields.instant("start"),
        end_utc=fields.instant("end"),
        available_kw=fields.kw("availableKw"),
        reason=fields.text("reason"),
    )
    _in_order(body.start_utc, body.end_utc)
    return body


def _override(fields: _Fields) -> ManualOverride:
    return ManualOverride(limit_kw=fields.maybe("limitKw", 0.0, MAX_KW) or 0.0, reason=fields.text("reason"))


def _heartbeat(fields: _Fields) -> PlantHeartbeat:
    return PlantHeartbeat(counter=fields.count("counter", COUNTERS))


def _meter(fields: _Fields) -> MeterReading:
    return MeterReading(
        meter_point_id=fields.name("meterPointId"),
        at_utc=fields.instant("at"),
        energy_kwh=fields.maybe("energyKwh", 0.0, MAX_KWH),
        volume_m3=fields.maybe("volumeM3", 0.0, MAX_KWH),
        heat_kw=fields.maybe("heatKw", -MAX_KW, MAX_KW),
        flow_m3_per_h=fields.maybe("flowM3h", 0.0, 1e5),
        supply_c=fields.maybe("supplyC", -20.0, 200.0),
        return_c=fields.maybe("returnC", -20.0, 200.0),
        meter_id=fields.text("meterId"),
        error=fields.text("error"),
    )


KINDS: Mapping[str, Callable[[_Fields], LetterBody]] = {
    "demand": _demand,
    "request": _request,
    "network": _network,
    "tank": _tank,
    "acknowledgement": _acknowledgement,
    "maintenance": _maintenance,
    "override": _override,
    "heartbeat": _heartbeat,
    "meter": _meter,
}


def _in_order(start_utc: datetime, end_utc: datetime) -> None:
    if end_utc <= start_utc:
        raise NotALetter("end: must be after start")


def judged(letter: Letter, board: Board, limits: LetterLimits) -> Receipt:
    """Whether a letter is believed, and why not."""
    why = _wrong(letter, board, limits)
    return Receipt(accepted=not why, reason=why)


def _wrong(letter: Letter, board: Board, limits: LetterLimits) -> str:
    body, now_utc = letter.body, letter.received_utc
    if not letter.sender.authenticated and not reduces(body, board):
        return "without a credential heat may only be reduced or withdrawn"
    if isinstance(body, NetworkState | TankState | MeterReading):
        age_s = (now_utc - body.at_utc).total_seconds()
        if age_s < -AHEAD_S:
            return "at: lies in the future (are the clocks in step?)"
        if age_s > OLD_S and not isinstance(body, MeterReading):
            return "at: is more than a day old"
    if isinstance(body, TankState) and body.level_kwh > (limits.tank_kwh or 0.0) * 1.05:
        return "levelKwh: more than the tank holds" if limits.tank_kwh else "levelKwh: there is no tank"
    if isinstance(body, Acknowledgement):
        sent = None if board.schedule is None else board.schedule.get("sequence")
        if not isinstance(sent, int) or body.sequence > sent:
            return "sequence: was never sent"
    if isinstance(body, HeatRequest | MaintenanceNotice):
        if body.end_utc <= now_utc:
            return "end: is past"
        if body.end_utc - now_utc > timedelta(days=FARTHEST_DAYS):
            return f"end: is more than {FARTHEST_DAYS} days away"
    if isinstance(body, DemandForecast):
        return _forecast_wrong(body, now_utc, limits)
    return ""


def _forecast_wrong(body: DemandForecast, now_utc: datetime, limits: LetterLimits) -> str:
    # Before anything is added to it: the last instant of the calendar can be said too.
    if body.start_utc - now_utc > timedelta(days=FARTHEST_DAYS):
        return "start: is too far away"
    end_utc = body.start_utc + timedelta(seconds=body.step_s * len(body.heat_kw))
    if end_utc <= now_utc:
        return "heatKw: ends in the past"
    largest_kw = max((one for one in body.heat_kw if one is not None), default=math.nan)
    if largest_kw > 10.0 * limits.max_heat_kw:
        return f"heatKw: {largest_kw:g} kW cannot be of a contract of {limits.max_heat_kw:g} kW"
    return ""


def reduces(body: LetterBody, board: Board) -> bool:
    """Whether a letter can only reduce or withdraw heat, or tells nothing that heat depends on."""
    if isinstance(body, Acknowledgement):
        return body.verdict is not AckVerdict.ACCEPTED
    if isinstance(body, ManualOverride):
        before = board.seen.override
        return before is None or body.limit_kw <= before.limit_kw
    if isinstance(body, HeatRequest):
        return _asks_less(body, board)
    # A stranger's counter must not make a plant look alive that shows its credential with its own.
    return isinstance(body, PlantHeartbeat) and not board.seen.counter_authenticated


def _asks_less(body: HeatRequest, board: Board) -> bool:
    """Whether a request is below all that is expected while it holds, as far as is known, and raises none before it."""
    before = board.seen.requested
    if before is not None and before.end_utc > body.start_utc and body.heat_kw > before.heat_kw:
        return False
    rows = board.schedule.get("intervals") if board.schedule is not None else None
    if not isinstance(rows, list):
        return False
    quarter = timedelta(minutes=15)
    held = [(parsed(row.get("start")), number(row.get("heatKw"))) for row in rows if isinstance(row, Mapping)]
    inside = [kw for at_utc, kw in held if at_utc is not None and body.start_utc < at_utc + quarter and at_utc < body.end_utc]
    covered = [at_utc + quarter for at_utc, _ in held if at_utc is not None]
    if not covered or body.end_utc > max(covered):
        return False
    return bool(inside) and all(kw is not None and body.heat_kw <= kw for kw in inside)
