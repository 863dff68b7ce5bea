"""Cumulative counters to energy by slot: nothing that a meter counted is lost, and what was guessed is called so.

A counter (heat meter, electricity meter, a GPU's energy counter) only ever rises, except when it starts again at zero. Between
two readings a, b it counted b - a, or b after a restart (what it counted before the restart and nobody read is gone: a lower
limit, so "estimated"). Energy between readings is spread evenly over the time between them, so that slots add up to what the
counter says, however often it was read. Times are instants: a change of the clocks is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from scheduler.domain.ledger import Quality
from scheduler.domain.time import TimeGrid
from scheduler.units import kwh_from_kw_s

TOLERANCE_KWH = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a counter showed at an instant; NaN is no reading."""

    at_utc: datetime
    counter_kwh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRule:
    """What can be believed: the largest power behind the meter, and how far apart readings of a measured slot may lie."""

    max_kw: float
    max_gap_s: float = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Energy between two instants; None when nothing is known about it."""

    start_utc: datetime
    end_utc: datetime
    energy_kwh: float | None
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotEnergy:
    """Energy of one slot; None exactly when the quality is MISSING."""

    energy_kwh: float | None
    quality: Quality


def stretches(readings: Iterable[Reading], rule: MeterRule) -> tuple[Stretch, ...]:
    """What a counter says about the time between its readings, without gaps from the first believable reading to the last.

    A reading that asks for more than `max_kw` since the one before is left out, unless the reading after it goes on from it:
    then the meter was changed, and what it counted in between is not known. A single low value among rising ones is no restart.
    """
    usable = _in_order(readings)
    found: list[Stretch] = []
    before = 0
    while before < len(usable) - 1:
        after = next((one for one in range(before + 1, len(usable)) if _believable(usable, before, one, rule)), None)
        if after is None:
            break
        a, b = usable[before], usable[after]
        unknown = Stretch(start_utc=a.at_utc, end_utc=b.at_utc, energy_kwh=None, quality=Quality.MISSING)
        found.append(_stretch(a, b, rule) or unknown)
        before = after
    return tuple(found)


def _in_order(readings: Iterable[Reading]) -> list[Reading]:
    """Finite, non-negative readings by time; of two at one instant the first."""
    first: dict[datetime, Reading] = {}
    for one in readings:
        if np.isfinite(one.counter_kwh) and one.counter_kwh >= 0.0:
            first.setdefault(one.at_utc, one)
    return [first[at] for at in sorted(first)]


def _stretch(a: Reading, b: Reading, rule: MeterRule) -> Stretch | None:
    """Energy between two readings; None when it cannot be."""
    duration_s = (b.at_utc - a.at_utc).total_seconds()
    restarted = b.counter_kwh < a.counter_kwh - TOLERANCE_KWH
    energy = b.counter_kwh if restarted else max(0.0, b.counter_kwh - a.counter_kwh)
    if energy > kwh_from_kw_s(rule.max_kw, duration_s) + TOLERANCE_KWH:
        return None
    measured = not restarted and duration_s <= rule.max_gap_s
    quality = Quality.METERED if measured else Quality.ESTIMATED
    return Stretch(start_utc=a.at_utc, end_utc=b.at_utc, energy_kwh=energy, quality=quality)


def _believable(readings: Sequence[Reading], before: int, index: int, rule: MeterRule) -> bool:
    """True for a reading that follows from the one before, or that the next one goes on from."""
    here = readings[index]
    ahead = readings[index + 1] if index + 1 < len(readings) else None
    goes_on = ahead is not None and ahead.counter_kwh >= here.counter_kwh and _stretch(here, ahead, rule) is not None
    if _stretch(readings[before], here, rule) is None:
        return goes_on
    fell = here.counter_kwh < readings[before].counter_kwh - TOLERANCE_KWH
    if not fell or ahead is None or goes_on:
        return True
    return ahead.counter_kwh < readings[before].counter_kwh or _stretch(readings[before], ahead, rule) is None


def slot_energies(readings: Iterable[Reading], grid: TimeGrid, rule: MeterRule) -> tuple[SlotEnergy, ...]:
    """Energy of each slot of `grid`; a slot that is not covered whole is MISSING, whatever else is known of it."""
    energy, covered_s = np.zeros(grid.slots), np.zeros(grid.slots)
    guessed = np.zeros(grid.slots, dtype=bool)
    for one in stretches(readings, rule):
        if one.energy_kwh is None:
            continue
        begin_s = (one.start_utc - grid.start_utc).total_seconds()
        end_s = (one.end_utc - grid.start_utc).total_seconds()
        low, high = max(0, int(begin_s // grid.slot_s)), min(grid.slots, int(-(-end_s // grid.slot_s)))
        if high <= low:
            continue
        slots = np.arange(low, high)
        share_s = np.minimum(end_s, (slots + 1.0) * grid.slot_s) - np.maximum(begin_s, slots * float(grid.slot_s))
        energy[slots] += one.energy_kwh * share_s / (end_s - begin_s)
        covered_s[slots] += share_s
        guessed[slots] |= one.quality is not Quality.METERED
    whole = covered_s >= grid.slot_s - 1e-3
    return tuple(
        SlotEnergy(energy_kwh=float(energy[slot]), quality=Quality.ESTIMATED if guessed[slot] else Quality.METERED)
        if whole[slot]
        else SlotEnergy(energy_kwh=None, quality=Quality.MISSING)
        for slot in range(grid.slots)
    )
