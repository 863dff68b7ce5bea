"""Two agreements, two books: heat that had to be there, and jobs that had to be left alone.

    availability = 1 - bad minutes / contracted minutes

contracted: minutes of slots with firm heat; bad: of those whose heat was below (1 - tolerance) of the promise or too cold.
Slots that the customer relieved us of, and slots that no meter knows, are in neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scheduler.core.accounting.whole import PPM, divided, share, wh_of
from scheduler.core.reports.firm_heat import FirmSlot
from scheduler.domain.settlement import ComputeAgreement, ComputeRecord, SettlementTerms, ThermalAvailability
from scheduler.units import MIN_PER_H, S_PER_MIN


def thermal_availability(slots: Iterable[FirmSlot], terms: SettlementTerms) -> ThermalAvailability:
    """Minutes of a month by what became of them."""
    contracted_s = bad_s = relieved_s = unknown_s = cold_s = 0
    for one in slots:
        duration_s = one.slot.duration_s
        if one.owed_w < one.promised_w:
            relieved_s += duration_s
            continue
        if one.slot.heat_wh is None:
            unknown_s += duration_s
            continue
        contracted_s += duration_s
        cold = terms.supply_min_c is not None and one.slot.supply_c is not None and one.slot.supply_c < terms.supply_min_c
        least_wh = share(wh_of(one.promised_w, duration_s), PPM - terms.tolerance_ppm_count)
        cold_s += duration_s if cold else 0
        bad_s += duration_s if cold or one.slot.heat_wh < least_wh else 0
    contracted_min = _minutes(contracted_s)
    promised = terms.availability_ppm_count
    return ThermalAvailability(
        contracted_min=contracted_min,
        bad_min=_minutes(bad_s),
        relieved_min=_minutes(relieved_s),
        unknown_min=_minutes(unknown_s),
        cold_min=_minutes(cold_s),
        allowed_min=None if promised is None else share(contracted_min, PPM - promised),
    )


def penalty_cents(found: ThermalAvailability, terms: SettlementTerms) -> int:
    """What minutes beyond the allowed ones cost us; not negative."""
    if found.allowed_min is None:
        return 0
    return divided(max(0, found.bad_min - found.allowed_min) * terms.penalty_cents_per_h, int(MIN_PER_H))


def compute_agreement(records: Sequence[ComputeRecord]) -> ComputeAgreement:
    """How jobs fared. Insulated ones are touched by any hold, stop or cap; others may be, within what their class allows."""
    breaches: list[str] = []
    insulated = [one for one in records if one.insulated]
    touched = [one for one in insulated if one.held_s > 0.0 or one.capped_s > 0.0 or one.stops]
    breaches += [f"{one.job_id}: insulated, and was held, stopped or capped" for one in touched]
    dated = [one for one in records if one.deadline_utc is not None]
    missed = [one for one in dated if one.deadline_utc is not None and one.ended_utc > one.deadline_utc]
    held = [one for one in missed if one.held_s > 0.0 or one.stops or one.capped_s > 0.0]
    breaches += [f"{one.job_id}: ended after its deadline, and we had held, stopped or capped it" for one in held]
    slowed = [one for one in records if not one.insulated and one.slowdown_fraction > one.allowed_slowdown_fraction + 1e-9]
    breaches += [
        f"{one.job_id}: slowed by {one.slowdown_fraction:.1%}, its class allows {one.allowed_slowdown_fraction:.1%}"
        for one in slowed
    ]
    stopped = [one for one in records if not one.insulated and one.stops > one.allowed_stops]
    breaches += [f"{one.job_id}: stopped {one.stops} times, its class allows {one.allowed_stops}" for one in stopped]
    return ComputeAgreement(
        jobs=len(records),
        insulated=len(insulated),
        insulated_touched=len(touched),
        with_deadline=len(dated),
        missed=len(missed),
        missed_after_hold=len(held),
        slowed_too_much=len(slowed),
        stopped_too_often=len(stopped),
        breaches=tuple(breaches),
    )


def _minutes(duration_s: int) -> int:
    return divided(duration_s, int(S_PER_MIN))
