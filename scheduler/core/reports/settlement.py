"""The statement of a local month, from whole numbers: the same inputs give the same cents, whoever adds them up.

Every line is quantity times price, rounded to a cent once, halves away from zero; the sum is the sum of the lines. Slots that
no meter knows are billed nothing and keep the statement open until a correction of the ledger brings them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from scheduler.core.accounting.whole import WH_MICRO_PER_CENT, cents, divided
from scheduler.core.reports.availability import compute_agreement, penalty_cents, thermal_availability
from scheduler.core.reports.firm_heat import firm_periods, firm_slots
from scheduler.core.reports.months import Span, month_span, year_start
from scheduler.domain.ledger import Quality
from scheduler.domain.settlement import (
    CheckDay,
    FirmPeriod,
    HeatSlot,
    Line,
    LineKind,
    SettlementCase,
    SettlementTerms,
    Statement,
    TakeOrPay,
    ThermalAvailability,
)

# Temperatures above the reference of a grade are billed in tenths of a kelvin.
TENTHS = 10


def settled(case: SettlementCase, month: str) -> Statement:
    """The statement of a month.

    Args:
        case: inputs from the start of the local year on, at least to the end of the month.
        month: such as "2026-01".
    """
    span, terms = month_span(month, case.terms.time_zone), case.terms
    year = (year_start(month, terms.time_zone), span[1])
    slots = _inside(case.slots, span)
    of_year = firm_periods(firm_slots(_inside(case.slots, year), case.promises, case.reliefs), terms)
    periods = tuple(one for one in of_year if span[0] <= one.start_utc < span[1])
    reliefs = tuple(one for one in case.reliefs if one.start_utc < span[1] and span[0] < one.end_utc)
    availability = thermal_availability(firm_slots(slots, case.promises, reliefs), terms)
    position = take_or_pay(case, of_year, year, month)
    lines = (
        *energy_lines(slots, case.price_micro, terms),
        *grade_lines(slots, terms),
        *firm_lines(periods, terms),
        *availability_lines(availability, terms),
        *take_or_pay_lines(position, _inside(case.slots, year), case),
    )
    counts = {quality: sum(one.quality is quality for one in slots) for quality in Quality}
    return Statement(
        offtake_id=case.offtake_id,
        plug_id=case.plug_id,
        month=month,
        currency=terms.currency,
        start_utc=span[0],
        end_utc=span[1],
        lines=lines,
        slots=len(slots),
        metered=counts[Quality.METERED],
        estimated=counts[Quality.ESTIMATED],
        missing=counts[Quality.MISSING],
        corrected=sum(one.revision > 0 for one in slots),
        digest=digest(case, span if position is None else year),
        availability=availability,
        take_or_pay=position,
        periods=periods,
        check=check_days(slots, _inside(case.check, span), case),
        notes=tuple(one for one in case.notes if span[0] <= one.at_utc < span[1]),
        compute=None
        if case.compute is None
        else compute_agreement([one for one in case.compute if _ended_in(one.ended_utc, span)]),
        reliefs=reliefs,
        final=counts[Quality.MISSING] == 0 and covers(slots, span),
    )


def covers(slots: Sequence[HeatSlot], span: Span) -> bool:
    """Whether slots follow each other from the first instant of a span to its last."""
    reached = span[0]
    for one in slots:
        if one.start_utc != reached:
            return False
        reached += timedelta(seconds=one.duration_s)
    return reached == span[1]


def energy_lines(slots: Sequence[HeatSlot], price_micro: Mapping[date, int], terms: SettlementTerms) -> tuple[Line, ...]:
    """Heat of each local day at the price of the day."""
    by_day = wh_by_day(slots, terms.time_zone)
    return tuple(
        Line(
            kind=LineKind.ENERGY,
            day=day,
            quantity_wh=wh,
            price_micro_count=price_micro[day],
            cents=cents(wh, price_micro[day]),
        )
        for day, wh in sorted(by_day.items())
    )


def wh_by_day(slots: Iterable[HeatSlot], time_zone: str) -> dict[date, int]:
    """Known heat of each local day."""
    zone, found = ZoneInfo(time_zone), dict[date, int]()
    for one in slots:
        day = one.start_utc.astimezone(zone).date()
        found[day] = found.get(day, 0) + (one.heat_wh or 0)
    return found


def grade_lines(slots: Sequence[HeatSlot], terms: SettlementTerms) -> tuple[Line, ...]:
    """The extra price of hotter water, one line a month: sum of Wh times tenths of a kelvin above the reference."""
    if terms.grade_micro_per_k_count == 0:
        return ()
    reference = round(terms.grade_reference_c * TENTHS)
    hot = [(one.heat_wh or 0, round(one.supply_c * TENTHS) - reference) for one in slots if one.supply_c is not None]
    product = sum(wh * above for wh, above in hot if above > 0)
    return (
        Line(
            kind=LineKind.GRADE,
            day=None,
            quantity_wh=sum(wh for wh, above in hot if above > 0),
            price_micro_count=terms.grade_micro_per_k_count,
            cents=divided(product * terms.grade_micro_per_k_count, TENTHS * WH_MICRO_PER_CENT),
            text="price per kWh and kelvin",
        ),
    )


def firm_lines(periods: Sequence[FirmPeriod], terms: SettlementTerms) -> tuple[Line, ...]:
    """Capacity payment for what was promised and accepted, and what shortfall costs us."""
    if not periods:
        return ()
    paid_wh, short_wh = sum(one.paid_wh for one in periods), sum(one.shortfall_wh for one in periods)
    return (
        Line(
            kind=LineKind.CAPACITY,
            day=None,
            quantity_wh=paid_wh,
            price_micro_count=terms.capacity_micro_count,
            cents=cents(paid_wh, terms.capacity_micro_count),
        ),
        Line(
            kind=LineKind.SHORTFALL,
            day=None,
            quantity_wh=short_wh,
            price_micro_count=terms.shortfall_micro_count,
            cents=-cents(short_wh, terms.shortfall_micro_count),
        ),
    )


def availability_lines(found: ThermalAvailability, terms: SettlementTerms) -> tuple[Line, ...]:
    """The penalty for minutes beyond the allowed ones; no line where no availability was agreed."""
    if found.allowed_min is None:
        return ()
    over_min = max(0, found.bad_min - found.allowed_min)
    text = f"{found.bad_min} min bad, {found.allowed_min} allowed: {over_min} min"
    penalty = -penalty_cents(found, terms)
    return (Line(kind=LineKind.AVAILABILITY, day=None, quantity_wh=0, price_micro_count=0, cents=penalty, text=text),)


def take_or_pay(case: SettlementCase, periods: Sequence[FirmPeriod], year: Span, month: str) -> TakeOrPay | None:
    """Where the year stands at the end of the month; None where no minimum was agreed.

    What we failed to deliver of a promise counts for the customer: he could not take it.
    """
    if case.terms.take_or_pay_wh_per_year <= 0:
        return None
    taken_wh = sum(one.heat_wh or 0 for one in _inside(case.slots, year))
    not_delivered_wh = sum(one.shortfall_wh for one in periods)
    return TakeOrPay(
        minimum_wh=case.terms.take_or_pay_wh_per_year,
        taken_wh=taken_wh,
        not_delivered_wh=not_delivered_wh,
        open_wh=max(0, case.terms.take_or_pay_wh_per_year - taken_wh - not_delivered_wh),
        year_ended=month.endswith("-12"),
    )


def take_or_pay_lines(position: TakeOrPay | None, slots: Sequence[HeatSlot], case: SettlementCase) -> tuple[Line, ...]:
    """In December what was not taken, at the year's mean price of heat that was, or of its days where none was taken."""
    if position is None or not position.year_ended:
        return ()
    by_day = wh_by_day(slots, case.terms.time_zone)
    total_wh = sum(by_day.values())
    weighted = sum(wh * case.price_micro[day] for day, wh in by_day.items())
    plain = divided(sum(case.price_micro[day] for day in by_day), len(by_day)) if by_day else 0
    price = divided(weighted, total_wh) if total_wh else plain
    return (
        Line(
            kind=LineKind.TAKE_OR_PAY,
            day=None,
            quantity_wh=position.open_wh,
            price_micro_count=price,
            cents=cents(position.open_wh, price),
        ),
    )


def check_days(slots: Sequence[HeatSlot], check: Sequence[HeatSlot], case: SettlementCase) -> tuple[CheckDay, ...]:
    """Days by our meter and by the customer's, over the slots that both know."""
    theirs = {one.start_utc: one for one in check if one.heat_wh is not None}
    both = [one for one in slots if one.heat_wh is not None and one.start_utc in theirs]
    ours_wh = wh_by_day(both, case.terms.time_zone)
    theirs_wh = wh_by_day((theirs[one.start_utc] for one in both), case.terms.time_zone)
    return tuple(
        CheckDay(
            day=day,
            ours_wh=wh,
            theirs_wh=theirs_wh[day],
            apart_too_far=abs(wh - theirs_wh[day]) > case.check_fraction * max(wh, theirs_wh[day]) + 1,
        )
        for day, wh in sorted(ours_wh.items())
    )


def digest(case: SettlementCase, span: Span) -> str:
    """Name of what a statement is made of: SHA-256 over terms, slots, promises, reliefs and prices.

    span: of the month, or of the year so far where the statement shows how much of the year's heat was taken.
    """
    zone = ZoneInfo(case.terms.time_zone)
    content = {
        "offtake": case.offtake_id,
        "terms": asdict(case.terms),
        "slots": [
            (one.start_utc.isoformat(), one.duration_s, one.heat_wh, one.quality, one.supply_c)
            for one in _inside(case.slots, span)
        ],
        "promises": [
            (one.start_utc.isoformat(), one.end_utc.isoformat(), one.firm_w)
            for one in case.promises
            if one.start_utc < span[1] and span[0] < one.end_utc
        ],
        "reliefs": [
            (one.kind, one.start_utc.isoformat(), one.end_utc.isoformat(), one.limit_w, one.unsold)
            for one in case.reliefs
            if one.start_utc < span[1] and span[0] < one.end_utc
        ],
        "prices": [
            (day.isoformat(), price)
            for day, price in sorted(case.price_micro.items())
            if span[0].astimezone(zone).date() <= day < span[1].astimezone(zone).date()
        ],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def completed(slots: Sequence[HeatSlot], span: Span, slot_s: int) -> tuple[HeatSlot, ...]:
    """Slots in time order with "not known" wherever none was booked."""
    found: list[HeatSlot] = []
    reached = span[0]
    for one in (*slots, None):
        until = span[1] if one is None else one.start_utc
        while reached < until:
            duration_s = min(slot_s, int((until - reached).total_seconds()))
            found.append(HeatSlot(start_utc=reached, duration_s=duration_s, heat_wh=None, quality=Quality.MISSING))
            reached += timedelta(seconds=duration_s)
        if one is not None:
            found.append(replace(one))
            reached = one.start_utc + timedelta(seconds=one.duration_s)
    return tuple(found)


def _inside(slots: Iterable[HeatSlot], span: Span) -> tuple[HeatSlot, ...]:
    return tuple(one for one in slots if span[0] <= one.start_utc < span[1])


def _ended_in(at_utc: datetime, span: Span) -> bool:
    return span[0] <= at_utc < span[1]
