"""A stretch of heat sold to one customer, with everything that is written down about it: the material of a settlement.

Invented and seeded: gates that promise a share of what is expected, messages that carry it, deliveries that sometimes fall
short, a meter that is read in its own rhythm, is exchanged, restarts, falls silent and has its clock set back, and a customer
who rejects, accepts in part, asks for less, overrides and maintains. The truth in whole Wh is kept beside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.core.publishing.message import Envelope, Kind, heat_schedule
from scheduler.domain.plan import Offer
from scheduler.domain.plantlink import (
    Acknowledgement,
    AckVerdict,
    HeatRequest,
    Letter,
    LetterBody,
    LinkProtocol,
    MaintenanceNotice,
    ManualOverride,
    MeterReading,
    Sender,
)
from scheduler.domain.snapshot import Commitment
from scheduler.domain.time import FloatArray, TimeGrid
from scheduler.units import S_PER_DAY, WH_PER_KWH, h_from_s

SLOT_S = 900
MESSAGE_SLOTS = 160
GATE_SLOT = 42
TURNS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How often things go wrong, per day; all of them 0: nothing does."""

    meter_silent: float = 0.3
    meter_exchanged: float = 0.02
    meter_restarted: float = 0.02
    clock_back: float = 0.05
    plant_says_less: float = 0.3
    short: float = 0.2


NO_FAULTS = Faults(meter_silent=0.0, meter_exchanged=0.0, meter_restarted=0.0, clock_back=0.0, plant_says_less=0.0, short=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One thing that was written down: a message with what became firm by it, a letter, or the end of an override."""

    at_utc: datetime
    schedule: dict[str, object] | None = None
    promises: tuple[Commitment, ...] = ()
    letter: Letter | None = None
    override_cleared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeteredHeat:
    """What happened, in order of time, and what truly flowed: kW and whole Wh per slot of `grid`."""

    grid: TimeGrid
    delivered_wh: tuple[int, ...]
    firm_kw: FloatArray
    happened: tuple[Happened, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who is delivered to: names, and the meter point that counts."""

    offtake_id: str
    plug_id: str
    meter_point_id: str
    time_zone: str
    max_heat_kw: float


def metered_heat(
    customer: Customer, demand_kw: FloatArray, start_utc: datetime, seed: int, faults: Faults | None = None
) -> MeteredHeat:
    """Sell heat along a demand.

    Args:
        customer: to whom.
        demand_kw: what he would take, (slots,), mean of quarter hours from `start_utc` on.
        start_utc: a local midnight.
        seed: of everything that is left to chance.
        faults: how often things go wrong.
    """
    rng, rates = np.random.default_rng(seed), faults or Faults()
    grid = TimeGrid(start_utc=start_utc, slot_s=SLOT_S, slots=len(demand_kw))
    expected_kw = np.minimum(demand_kw, customer.max_heat_kw) * 0.9
    delivered_kw = np.clip(expected_kw * rng.normal(1.0, 0.05, grid.slots), 0.0, customer.max_heat_kw)
    for first in rng.choice(grid.slots, rng.poisson(rates.short * grid.slots * SLOT_S / S_PER_DAY), replace=True):
        delivered_kw[first : first + int(rng.integers(2, 12))] *= 0.4
    delivered_wh = tuple(int(one) for one in np.round(delivered_kw * h_from_s(SLOT_S) * WH_PER_KWH))
    happened, firm_kw = _messages(customer, grid, expected_kw)
    happened += _readings(customer, grid, delivered_wh, rng, rates)
    happened += _words(customer, happened, rng, rates)
    ordered = tuple(sorted(happened, key=lambda one: one.at_utc))
    return MeteredHeat(grid=grid, delivered_wh=delivered_wh, firm_kw=firm_kw, happened=ordered)


def _messages(customer: Customer, grid: TimeGrid, expected_kw: FloatArray) -> tuple[list[Happened], FloatArray]:
    """Schedules every six hours and at each gate, which makes the next local day firm, hour by hour."""
    zone, firm_kw = ZoneInfo(customer.time_zone), np.zeros(grid.slots)
    found: list[Happened] = []
    sequence = 0
    for slot in range(0, grid.slots, 2):
        local = grid.time_of(slot).astimezone(zone)
        gate = (local.hour, local.minute) == (10, 30)
        if not gate and (slot % 24 or local.minute):
            continue
        promises = tuple(_promised(customer, grid, slot, expected_kw, firm_kw)) if gate else ()
        sequence += 1
        kind = Kind.FIRM if gate else Kind.PLAN if sequence == 1 else Kind.UPDATE
        envelope = Envelope(
            site_id="simulated",
            meter_point_id=customer.meter_point_id,
            sequence=sequence,
            supersedes=sequence - 1 if sequence > 1 else None,
            kind=kind,
        )
        payload = heat_schedule(_offer(customer, grid, slot, expected_kw, firm_kw), envelope)
        found.append(Happened(at_utc=grid.time_of(slot), schedule=payload, promises=promises))
    return found, firm_kw


def _promised(
    customer: Customer, grid: TimeGrid, slot: int, expected_kw: FloatArray, firm_kw: FloatArray
) -> Iterator[Commitment]:
    """Hours of the next local day at 85 % of what is expected, as far as the stretch reaches."""
    zone, gate_utc = ZoneInfo(customer.time_zone), grid.time_of(slot)
    day = gate_utc.astimezone(zone).date() + timedelta(days=1)
    ends = [datetime(one.year, one.month, one.day, tzinfo=zone).astimezone(UTC) for one in (day, day + timedelta(days=1))]
    for first in range(grid.slot_of(ends[0]), min(grid.slots, grid.slot_of(ends[1])), 4):
        hour = slice(first, first + 4)
        kw = round(0.85 * float(expected_kw[hour].mean()), 3)
        firm_kw[hour] = kw
        start_utc, end_utc = grid.time_of(first), grid.time_of(first + 4)
        yield Commitment(offtake_id=customer.offtake_id, start_utc=start_utc, end_utc=end_utc, firm_kw=kw, gate_utc=gate_utc)


def _offer(customer: Customer, grid: TimeGrid, slot: int, expected_kw: FloatArray, firm_kw: FloatArray) -> Offer:
    """What is expected from a slot on."""
    part = slice(slot, min(grid.slots, slot + MESSAGE_SLOTS))
    p50_kw = expected_kw[part]
    constant = np.ones(len(p50_kw))
    at_utc = grid.time_of(slot)
    return Offer(
        offtake_id=customer.offtake_id,
        plug_id=customer.plug_id,
        plan_id=f"{at_utc:%Y%m%dT%H%M}",
        issued_utc=at_utc,
        valid_until_utc=at_utc + timedelta(hours=8),
        grid=replace(grid, start_utc=at_utc, slots=len(p50_kw)),
        p50_kw=p50_kw,
        p10_kw=0.9 * p50_kw,
        p90_kw=1.1 * p50_kw,
        firm_kw=firm_kw[part],
        min_kw=0.0 * constant,
        max_kw=customer.max_heat_kw * constant,
        supply_c=70.0 * constant,
        return_max_c=45.0,
        shortfall_probability=0.05 * constant,
        advisory=False,
    )


def _readings(
    customer: Customer, grid: TimeGrid, delivered_wh: tuple[int, ...], rng: np.random.Generator, rates: Faults
) -> list[Happened]:
    """The meter as it is read about every five minutes, in whole Wh, with all that befalls a meter."""
    borders = np.concatenate([[0], np.cumsum(delivered_wh)])
    found: list[Happened] = []
    offset_wh, number, silent_until_s, clock_s = 12_345_000.0, 1, -1.0, 0.0
    per_day = 300.0 / S_PER_DAY
    at_s, end_s = 0.0, float(grid.slots * SLOT_S)
    while at_s <= end_s:
        true_wh = float(np.interp(at_s, np.arange(grid.slots + 1) * float(SLOT_S), borders))
        if rng.random() < rates.meter_silent * per_day:
            silent_until_s = at_s + float(rng.integers(1200, 20_000))
        if rng.random() < rates.meter_exchanged * per_day:
            number, offset_wh, silent_until_s = number + 1, 500.0 - true_wh, at_s + 1800.0
        elif rng.random() < rates.meter_restarted * per_day:
            offset_wh = -true_wh
        if rng.random() < rates.clock_back * per_day:
            clock_s = float(rng.integers(60, 900)) if clock_s == 0.0 else 0.0
        if at_s > silent_until_s:
            at_utc = grid.start_utc + timedelta(seconds=at_s)
            stamped_utc = at_utc + timedelta(seconds=clock_s)
            body = MeterReading(
                meter_point_id=customer.meter_point_id,
                at_utc=stamped_utc,
                energy_kwh=int(true_wh + offset_wh) / WH_PER_KWH,
                supply_c=round(68.0 + 4.0 * rng.random(), 1),
                return_c=45.0,
                meter_id=f"HM-{number}",
            )
            found.append(_said(customer, at_utc + timedelta(seconds=1), body))
        at_s += 300.0
    return found


def _words(customer: Customer, happened: list[Happened], rng: np.random.Generator, rates: Faults) -> list[Happened]:
    """The customer answers every schedule, and now and then takes less than he was promised."""
    found: list[Happened] = []
    for one in happened:
        if one.schedule is None:
            continue
        sequence = int(str(one.schedule["sequence"]))
        turn = int(rng.integers(TURNS)) if rng.random() < rates.plant_says_less / 5.0 else TURNS
        verdict, accepted_kw = AckVerdict.ACCEPTED, None
        if turn == 0:
            verdict = AckVerdict.REJECTED
        elif turn == 1:
            verdict, accepted_kw = AckVerdict.PARTIAL, round(0.3 * customer.max_heat_kw, 1)
        at_utc = one.at_utc + timedelta(seconds=20)
        found.append(_said(customer, at_utc, Acknowledgement(sequence=sequence, verdict=verdict, accepted_kw=accepted_kw)))
        found += _lesser(customer, at_utc + timedelta(minutes=int(rng.integers(1, 300))), turn, rng)
    return found


def _lesser(customer: Customer, at_utc: datetime, turn: int, rng: np.random.Generator) -> list[Happened]:
    """A request, a maintenance or an override, by turns."""
    hours = timedelta(hours=int(rng.integers(1, 9)))
    at_utc = at_utc.replace(microsecond=0)
    less_kw = round(0.2 * customer.max_heat_kw, 1)
    if turn in {2, 3}:
        start_utc = at_utc + timedelta(minutes=10)
        return [_said(customer, at_utc, HeatRequest(heat_kw=less_kw, start_utc=start_utc, end_utc=start_utc + hours))]
    if turn in {4, 5}:
        notice = MaintenanceNotice(
            notice_id=f"m{at_utc:%m%d%H%M}", start_utc=at_utc + hours, end_utc=at_utc + 3 * hours, available_kw=0.0
        )
        return [_said(customer, at_utc, notice)]
    if turn in {6, 7}:
        override = ManualOverride(limit_kw=0.0, reason="valve")
        return [_said(customer, at_utc, override), Happened(at_utc=at_utc + hours, override_cleared=True)]
    return []


def _said(customer: Customer, at_utc: datetime, body: LetterBody) -> Happened:
    read = isinstance(body, MeterReading)
    protocol, name = (LinkProtocol.METER, "meter") if read else (LinkProtocol.REST, "plant")
    sender = Sender(name=name, protocol=protocol, authenticated=True)
    letter = Letter(offtake_id=customer.offtake_id, sender=sender, received_utc=at_utc, body=body)
    return Happened(at_utc=at_utc, letter=letter)
