"""Firm heat by delivery period: what was promised, what the customer relieved us of, what came, what is owed for the rest.

Of a period of slots i with firm power F_i, in W, and limits L_i that the customer set:

    promised  = sum F_i h_i
    paid      = sum min(F_i, L_i where he did not accept) h_i       earns the capacity payment
    owed      = sum min(F_i, L_i) h_i
    shortfall = max(0, (1 - tolerance) owed - delivered)            costs the shortfall price
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from scheduler.core.accounting.whole import PPM, divided, share
from scheduler.core.reports.months import period_start
from scheduler.domain.settlement import FirmPeriod, HeatSlot, Promise, Relief, ReliefKind, SettlementTerms
from scheduler.units import S_PER_WHOLE_H


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmSlot:
    """One slot with firm heat: promised, earning and owed power in W, and what relieved us of the difference."""

    slot: HeatSlot
    promised_w: int
    paid_w: int
    owed_w: int
    relieved_by: tuple[ReliefKind, ...] = ()


def firm_slots(slots: Sequence[HeatSlot], promises: Sequence[Promise], reliefs: Sequence[Relief]) -> tuple[FirmSlot, ...]:
    """Slots in which something was promised. Of promises that overlap the largest counts: a promise is raised, never lowered.

    A relief counts for every slot that it touches: nobody can deliver the mean of a quarter hour that was taken from him.
    """
    promised_w = _on_slots(slots, promises)
    touched = _touched(slots, reliefs)
    found = []
    for index, slot in enumerate(slots):
        firm_w = promised_w[index]
        if firm_w <= 0:
            continue
        here = [one for one in touched.get(index, ()) if one.limit_w < firm_w]
        found.append(
            FirmSlot(
                slot=slot,
                promised_w=firm_w,
                paid_w=min([firm_w, *(one.limit_w for one in here if one.unsold)]),
                owed_w=min([firm_w, *(one.limit_w for one in here)]),
                relieved_by=tuple(sorted({one.kind for one in here})),
            )
        )
    return tuple(found)


def _on_slots(slots: Sequence[HeatSlot], promises: Sequence[Promise]) -> list[int]:
    """Largest firm W in each slot; both in time order, a promise covers slots whose start lies in it."""
    found = [0] * len(slots)
    place = 0
    for one in sorted(promises, key=lambda promise: promise.start_utc):
        while place < len(slots) and slots[place].start_utc < one.start_utc:
            place += 1
        index = place
        while index < len(slots) and slots[index].start_utc < one.end_utc:
            found[index] = max(found[index], one.firm_w)
            index += 1
    return found


def _touched(slots: Sequence[HeatSlot], reliefs: Sequence[Relief]) -> dict[int, list[Relief]]:
    """Reliefs by the index of the slots that they touch."""
    found: dict[int, list[Relief]] = {}
    for one in reliefs:
        for index, slot in enumerate(slots):
            if slot.start_utc >= one.end_utc:
                break
            if slot.start_utc + timedelta(seconds=slot.duration_s) > one.start_utc:
                found.setdefault(index, []).append(one)
    return found


def firm_periods(slots: Sequence[FirmSlot], terms: SettlementTerms) -> tuple[FirmPeriod, ...]:
    """Delivery periods in time order."""
    zone = ZoneInfo(terms.time_zone)
    by_period: dict[datetime, list[FirmSlot]] = {}
    for one in slots:
        by_period.setdefault(period_start(one.slot.start_utc, zone, terms.firm_period_s), []).append(one)
    return tuple(_period(by_period[start], terms) for start in sorted(by_period))


def _period(slots: Sequence[FirmSlot], terms: SettlementTerms) -> FirmPeriod:
    owed_wh = _wh(slots, [one.owed_w for one in slots])
    known = [one.slot.heat_wh for one in slots]
    delivered_wh = None if None in known else sum(one or 0 for one in known)
    least_wh = share(owed_wh, PPM - terms.tolerance_ppm_count)
    return FirmPeriod(
        start_utc=slots[0].slot.start_utc,
        end_utc=slots[-1].slot.start_utc + timedelta(seconds=slots[-1].slot.duration_s),
        promised_wh=_wh(slots, [one.promised_w for one in slots]),
        paid_wh=_wh(slots, [one.paid_w for one in slots]),
        owed_wh=owed_wh,
        delivered_wh=delivered_wh,
        shortfall_wh=0 if delivered_wh is None else max(0, least_wh - delivered_wh),
        relieved_by=tuple(sorted({kind for one in slots for kind in one.relieved_by})),
    )


def _wh(slots: Sequence[FirmSlot], power_w: Sequence[int]) -> int:
    """Whole Wh of a period: rounded once."""
    return divided(sum(w * one.slot.duration_s for w, one in zip(power_w, slots, strict=True)), S_PER_WHOLE_H)
