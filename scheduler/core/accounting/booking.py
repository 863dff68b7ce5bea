"""A customer's own account in the ledger: per slot what was planned, promised and metered; corrections are new entries.

It stands beside the accounts of the plugs under a name that no plug can have, and keeps the ledger's promises: slots do not
overlap, a correction is a higher revision, a repeat changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from scheduler.core.accounting.entries import corrected, entry_id, missing_entry
from scheduler.core.accounting.whole import kwh_from_wh, micro_from_unit, wh_from_kwh, whole
from scheduler.domain.ledger import LedgerEntry, Quality
from scheduler.domain.settlement import HeatSlot, Promise
from scheduler.units import MICRO_PER_UNIT, S_PER_H, W_PER_KW

PREFIX = "offtake:"
HEAT_REVENUE = "heat_revenue"
BY_HAND = "corrected: "


def account_of(offtake_id: str) -> str:
    """Where a customer's slots are booked: no object of a cluster may have a colon in its name."""
    return PREFIX + offtake_id


def heat_entry(
    offtake_id: str,
    slot: HeatSlot,
    *,
    planned_kwh: float | None = None,
    firm_w: int = 0,
    price_micro: int | None = None,
    plan_id: str = "",
) -> LedgerEntry:
    """One slot of a customer; revenue is negative, and there is none where heat or price is not known."""
    name = account_of(offtake_id)
    sold_kwh = None if slot.heat_wh is None else kwh_from_wh(slot.heat_wh)
    known = slot.heat_wh is not None and price_micro is not None
    eur = {HEAT_REVENUE: -(sold_kwh or 0.0) * (price_micro or 0) / MICRO_PER_UNIT} if known else {}
    return replace(
        missing_entry(name, slot.start_utc, slot.duration_s),
        entry_id=entry_id(name, slot.start_utc, slot.revision),
        revision=slot.revision,
        plan_id=plan_id,
        quality=slot.quality,
        heat_sold_kwh=sold_kwh,
        heat_planned_kwh=planned_kwh,
        heat_firm_kwh=firm_w * slot.duration_s / S_PER_H / W_PER_KW,
        eur=eur,
    )


def to_book(booked: Sequence[LedgerEntry], fresh: Iterable[LedgerEntry]) -> tuple[LedgerEntry, ...]:
    """Of fresh entries those that the ledger lacks, and the next revision of those whose content has changed.

    What is known is never replaced by "not known", and what a person has corrected stays as it is.
    """
    there = {one.start_utc: one for one in booked}
    found = []
    for one in fresh:
        before = there.get(one.start_utc)
        if before is None:
            found.append(one)
            continue
        revision = before.revision + 1
        next_one = replace(one, revision=revision, entry_id=entry_id(one.plug_id, one.start_utc, revision))
        same = replace(next_one, revision=before.revision, entry_id=before.entry_id) == before
        lost = one.quality is Quality.MISSING and before.quality is not Quality.MISSING
        if not same and not lost and not before.plan_id.startswith(BY_HAND):
            found.append(next_one)
    return tuple(found)


def corrected_by_hand(entry: LedgerEntry, heat_wh: int, reason: str, price_micro: int | None) -> LedgerEntry:
    """The next revision of a slot by agreement of both sides; the reason stands where else the plan is named."""
    kwh = kwh_from_wh(heat_wh)
    eur = entry.eur if price_micro is None else {**entry.eur, HEAT_REVENUE: -kwh * price_micro / MICRO_PER_UNIT}
    return corrected(entry, heat_sold_kwh=kwh, quality=Quality.ESTIMATED, plan_id=BY_HAND + reason, eur=eur)


def slots_of(entries: Iterable[LedgerEntry]) -> tuple[HeatSlot, ...]:
    """What a ledger says of sold heat, latest revisions in time order."""
    return tuple(
        HeatSlot(
            start_utc=one.start_utc,
            duration_s=one.duration_s,
            heat_wh=None if one.heat_sold_kwh is None else wh_from_kwh(one.heat_sold_kwh),
            quality=Quality.MISSING if one.heat_sold_kwh is None else one.quality,
            revision=one.revision,
        )
        for one in entries
    )


def promises_of(entries: Iterable[LedgerEntry]) -> tuple[Promise, ...]:
    """What a ledger says was firm, slot by slot, in whole W."""
    found = []
    for one in entries:
        firm_w = whole((one.heat_firm_kwh or 0.0) * S_PER_H / one.duration_s, W_PER_KW)
        if firm_w > 0:
            end_utc = one.start_utc + timedelta(seconds=one.duration_s)
            found.append(Promise(start_utc=one.start_utc, end_utc=end_utc, firm_w=firm_w))
    return tuple(found)


def booked_revenue_micro(entries: Iterable[LedgerEntry]) -> int:
    """Revenue as the ledger booked it, millionths: what a statement's energy lines must come to, but for their cents."""
    return micro_from_unit(sum(-one.eur.get(HEAT_REVENUE, 0.0) for one in entries))


def booked_prices_micro(entries: Iterable[LedgerEntry], time_zone: str) -> dict[date, int]:
    """Price of each local day as it was booked: revenue over heat of its slot with most heat, to a millionth."""
    zone, best = ZoneInfo(time_zone), dict[date, LedgerEntry]()
    for one in entries:
        day = one.start_utc.astimezone(zone).date()
        if (one.heat_sold_kwh or 0.0) > 0.0 and HEAT_REVENUE in one.eur:
            before = best.get(day)
            if before is None or (one.heat_sold_kwh or 0.0) > (before.heat_sold_kwh or 0.0):
                best[day] = one
    return {day: micro_from_unit(-one.eur[HEAT_REVENUE] / (one.heat_sold_kwh or 1.0)) for day, one in best.items()}
