"""Offers, signs of life and letters for tests of the plant link's store; every number is made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from scheduler.domain.link_life import LinkedOfftake, OperatorLife
from scheduler.domain.plan import Offer
from scheduler.domain.plantlink import Letter, LetterBody, LinkProtocol, Sender
from scheduler.domain.snapshot import Commitment
from scheduler.domain.time import FloatArray, TimeGrid

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
TOWN = LinkedOfftake(offtake_id="town", plug_id="loop", max_heat_kw=500.0, tank_kwh=1000.0, meter_point_id="MP-1")
PLC = Sender(name="plc", protocol=LinkProtocol.REST, authenticated=True)
STRANGER = Sender(name="10.0.0.9", protocol=LinkProtocol.MODBUS, authenticated=False)


class HandClock:
    """Both clocks, moved by hand."""

    def __init__(self, at_utc: datetime = NOON) -> None:
        self.at_utc, self.at_s = at_utc, 1000.0

    def now_utc(self) -> datetime:
        return self.at_utc

    def monotonic_s(self) -> float:
        return self.at_s

    def pass_s(self, seconds: float) -> None:
        self.at_utc, self.at_s = self.at_utc + timedelta(seconds=seconds), self.at_s + seconds


def offer(
    heat_kw: float = 100.0, *, at_utc: datetime = NOON, slots: int = 96, firm_kw: float = 80.0, **changed: object
) -> Offer:
    """A day of the same heat in every quarter hour, from the quarter hour of `at_utc`."""
    start_utc = at_utc.replace(minute=at_utc.minute // 15 * 15, second=0, microsecond=0)

    def all_day(value: float) -> FloatArray:
        return np.full(slots, value)

    fields: dict[str, object] = {
        "offtake_id": "town",
        "plug_id": "loop",
        "plan_id": "plan-1",
        "issued_utc": at_utc,
        "valid_until_utc": at_utc + timedelta(hours=1),
        "grid": TimeGrid(start_utc=start_utc, slot_s=900, slots=slots),
        "p50_kw": all_day(heat_kw),
        "p10_kw": all_day(0.9 * heat_kw),
        "p90_kw": all_day(1.1 * heat_kw),
        "firm_kw": all_day(min(firm_kw, heat_kw)),
        "min_kw": all_day(0.0),
        "max_kw": all_day(400.0),
        "supply_c": all_day(70.0),
        "return_max_c": 45.0,
        "shortfall_probability": all_day(0.05),
        "advisory": False,
    }
    return Offer(**(fields | changed))  # type: ignore[arg-type] # fields are named above


def sign(term: int = 1, identity: str = "a", host: str = "here", at_utc: datetime = NOON) -> OperatorLife:
    """A sign of life of an operator with one customer."""
    return OperatorLife(site_id="site", identity=identity, host=host, term=term, at_utc=at_utc, offtakes=(TOWN,))


def promise(hour: int, firm_kw: float = 80.0) -> Commitment:
    """Firm heat of one hour after noon, bound at noon."""
    start_utc = NOON + timedelta(hours=hour)
    return Commitment(
        offtake_id="town", start_utc=start_utc, end_utc=start_utc + timedelta(hours=1), firm_kw=firm_kw, gate_utc=NOON
    )


def letter(body: LetterBody, *, at_utc: datetime = NOON, sender: Sender = PLC, offtake_id: str = "town") -> Letter:
    """Something that a plant says."""
    return Letter(offtake_id=offtake_id, sender=sender, received_utc=at_utc, body=body)
