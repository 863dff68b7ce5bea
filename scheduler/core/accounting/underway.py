"""What has come of the promises whose period is under way, so that nobody asks for a whole period again in the middle of it.

Up to an instant, with v_i measured in the slots i of the period and u seconds of it that nobody measured:

    delivered = sum_i v_i * |slot i| + (1 - d) * promised * u

What is not measured counts as just what was owed of it (d is the contract's tolerance): then the rest of the period owes its
own share, no more for what nobody saw missing and no less. Where the customer takes less than was promised (L_i, by his own
word), only that much is owed: `promised` above is min(promised, L_i), by quarter hours, as it is settled (`reports.firm_heat`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from scheduler.core.accounting.meter_series import metered_slots
from scheduler.domain.plantlink import MeterReading
from scheduler.domain.settlement import MeterPlate
from scheduler.domain.site import Offtake
from scheduler.domain.snapshot import Commitment, TakeLimit
from scheduler.domain.time import Series, TimeGrid
from scheduler.units import S_PER_MIN, WH_PER_KWH, h_from_s, kwh_from_kw_s

MINUTE_S = int(S_PER_MIN)
# No delivery period is longer than an hour; a gateway may have kept readings to itself for a while.
METERED_BACK = timedelta(hours=2)
QUARTER = timedelta(minutes=15)


def with_delivered(
    promises: Iterable[Commitment],
    offtakes: Sequence[Offtake],
    measured_kw: Mapping[str, Series],
    until_utc: datetime,
    limits: Sequence[TakeLimit] = (),
) -> tuple[Commitment, ...]:
    """Promises with what has come of those under way; the others as they are.

    Args:
        promises: what binds.
        offtakes: customers; only those with a firm rule are owed anything.
        measured_kw: heat that each was given, by offtake id, as far as it is known.
        until_utc: up to where it is reckoned: the beginning of the plan that has to deliver the rest.
        limits: what customers take at most.
    """
    rules = {one.offtake_id: one.firm for one in offtakes}
    found = []
    for one in promises:
        rule = rules.get(one.offtake_id)
        if rule is not None and one.start_utc < until_utc < one.end_utc:
            measured, share = measured_kw.get(one.offtake_id), 1.0 - rule.tolerance_fraction
            came = [
                delivered_kwh(share * part.firm_kw, part.start_utc, min(part.end_utc, until_utc), measured)
                for part in owed_parts(one, limits)
                if part.start_utc < until_utc
            ]
            found.append(replace(one, delivered_kwh=sum(came)))
        else:
            found.append(one)
    return tuple(found)


def owed_parts(promise: Commitment, limits: Iterable[TakeLimit], step: timedelta = QUARTER) -> tuple[Commitment, ...]:
    """A promise in parts of its time, each with what its customer takes: a step that a limit touches counts as a whole."""
    mine = [
        one
        for one in limits
        if one.offtake_id == promise.offtake_id
        and one.start_utc < promise.end_utc
        and (one.end_utc is None or one.end_utc > promise.start_utc)
    ]
    found: list[Commitment] = []
    start_utc = promise.start_utc
    while start_utc < promise.end_utc:
        end_utc = min(start_utc + step, promise.end_utc)
        inside = [one.heat_kw for one in mine if one.start_utc < end_utc and (one.end_utc is None or one.end_utc > start_utc)]
        firm_kw = max(0.0, min([promise.firm_kw, *inside]))
        if found and found[-1].firm_kw == firm_kw:
            found[-1] = replace(found[-1], end_utc=end_utc)
        else:
            found.append(replace(promise, start_utc=start_utc, end_utc=end_utc, firm_kw=firm_kw))
        start_utc = end_utc
    return tuple(found)


def delivered_kwh(owed_kw: float, start_utc: datetime, until_utc: datetime, measured_kw: Series | None) -> float:
    """Heat between two instants: as it was measured, and `owed_kw` where it was not."""
    length_s = (until_utc - start_utc).total_seconds()
    if measured_kw is None:
        return kwh_from_kw_s(owed_kw, length_s)
    grid, known = measured_kw.grid, np.isfinite(measured_kw.values)
    edges_s = (grid.start_utc - start_utc).total_seconds() + np.arange(grid.slots + 1, dtype=np.float64) * grid.slot_s
    inside_s = np.where(known, np.diff(np.clip(edges_s, 0.0, length_s)), 0.0)
    came_kwh = float(np.where(known, np.maximum(0.0, measured_kw.values), 0.0) @ inside_s) * h_from_s(1.0)
    return came_kwh + kwh_from_kw_s(owed_kw, length_s - float(inside_s.sum()))


def metered_kw(readings: Iterable[MeterReading], plate: MeterPlate, now_utc: datetime) -> Series | None:
    """Heat by the readings of one meter point, minute by minute up to now; None when they tell nothing.

    Args:
        readings: of this meter point, in the order in which they came.
        plate: what can be behind the meter.
        now_utc: present instant.
    """
    end_utc = now_utc.replace(second=0, microsecond=0)
    grid = TimeGrid(start_utc=end_utc - METERED_BACK, slot_s=MINUTE_S, slots=int(METERED_BACK.total_seconds()) // MINUTE_S)
    slots = metered_slots(readings, grid, plate).slots
    kwh = [np.nan if one.heat_wh is None else one.heat_wh / WH_PER_KWH for one in slots]
    values = np.asarray(kwh, dtype=np.float64) / grid.slot_h
    return Series(grid=grid, values=values, unit="kW", source="meter") if np.isfinite(values).any() else None
