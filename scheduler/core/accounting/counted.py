"""Cumulative counters become slot means as time goes on: `slot_energies` a little at a time, with the same result.

What a counter says of a stretch is settled once the reading after it is known (a single wrong value shows by that), so a slot
is told when settled stretches cover it, or when no reading has come for `max_gap_s`. Only metered slots are known here: what
was spread over a gap is fit for a settlement that says so, not for learning from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from scheduler.core.accounting.metering import MeterRule, Reading, slot_energies, stretches
from scheduler.core.accounting.past import known_part
from scheduler.domain.ledger import Quality
from scheduler.domain.observed import QUARTER_S
from scheduler.domain.time import Series, TimeGrid
from scheduler.units import h_from_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """Readings that are still needed, and the end of the last told slot; None before the first reading."""

    readings: tuple[Reading, ...] = ()
    told_utc: datetime | None = None


def counted(
    counter: Counter, readings: Iterable[Reading], now_utc: datetime, rule: MeterRule, *, unit: str = "kW"
) -> tuple[Counter, Series | None]:
    """Take new readings; returns the counter to keep, and mean kW of the slots that are settled since the last call, if any.

    A reading that is not newer than the last one is left out, as is one from further ahead than `max_gap_s`; when the kept ones
    are from there, our clock has fallen back, and the counter starts anew. Resets, gaps and wrong values are judged by
    `metering.stretches`; a slot that is not metered whole is NaN.
    """
    ahead_utc = now_utc + timedelta(seconds=rule.max_gap_s)
    if counter.readings and counter.readings[-1].at_utc > ahead_utc:
        counter = Counter()
    kept = list(counter.readings)
    for one in readings:
        if np.isfinite(one.counter_kwh) and one.at_utc <= ahead_utc and (not kept or one.at_utc > kept[-1].at_utc):
            kept.append(one)
    if not kept:
        return counter, None
    start_utc = counter.told_utc or _quarter(kept[0].at_utc)
    known = stretches(kept, rule)
    waited = (now_utc - kept[-1].at_utc).total_seconds() > rule.max_gap_s
    settled = known if waited else known[:-1]
    stop_utc = _quarter(settled[-1].end_utc if settled else start_utc)
    if stop_utc <= start_utc:
        return replace(counter, readings=tuple(kept), told_utc=start_utc), None
    grid = TimeGrid(start_utc=start_utc, slot_s=QUARTER_S, slots=int((stop_utc - start_utc).total_seconds()) // QUARTER_S)
    energies = slot_energies(kept, grid, rule)
    metered = [one.energy_kwh if one.quality is Quality.METERED else None for one in energies]
    values = np.asarray([np.nan if energy is None else energy for energy in metered]) / h_from_s(QUARTER_S)
    needed = max((one.start_utc for one in known if one.start_utc <= stop_utc), default=kept[0].at_utc)
    after = Counter(readings=tuple(one for one in kept if one.at_utc >= needed), told_utc=stop_utc)
    return after, known_part(Series(grid=grid, values=values, unit=unit, source="meter"))


def _quarter(at_utc: datetime) -> datetime:
    """Start of the quarter hour of an instant."""
    return datetime.fromtimestamp(0, tz=UTC) + timedelta(seconds=at_utc.timestamp() // QUARTER_S * QUARTER_S)
