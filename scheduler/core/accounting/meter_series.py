"""Readings of a meter point to whole Wh per slot, over exchanges, restarts, roll-overs and wrong clocks of the meter.

The register is interpolated at every border of slots and rounded down to a whole Wh there; a slot is the difference of its two
borders. So the slots of a stretch add up to exactly what the register rose by, whoever cuts them. What `metering.stretches`
does not believe is heat of nobody: a slot that is not covered whole is missing, never filled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from scheduler.core.accounting.metering import TOLERANCE_KWH, MeterRule, Reading, Stretch, stretches
from scheduler.core.accounting.whole import wh_from_kwh
from scheduler.domain.ledger import Quality
from scheduler.domain.plantlink import MeterReading
from scheduler.domain.settlement import HeatSlot, MeterEvent, MeterNote, MeterPlate
from scheduler.domain.time import TimeGrid
from scheduler.units import KWH_PER_MWH, S_PER_MIN, kwh_from_kw_s

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSlots:
    """Slots of a grid in time order, and what a reader should know of the meter."""

    slots: tuple[HeatSlot, ...]
    notes: tuple[MeterNote, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Readings of one meter from its mounting to its exchange; `doubted`: spans that a wrong clock or an error touches."""

    meter_id: str
    readings: tuple[MeterReading, ...]
    doubted: tuple[tuple[datetime, datetime], ...] = ()


def metered_slots(readings: Iterable[MeterReading], grid: TimeGrid, plate: MeterPlate, time_zone: str = "UTC") -> MeterSlots:
    """Heat per slot by one meter point.

    Args:
        readings: of this meter point, in the order in which they came.
        grid: slots to fill.
        plate: what can be behind the meter, and until when it may be billed by.
        time_zone: of the calibration's last day.
    """
    notes: list[MeterNote] = []
    energy_wh, covered, guessed = [0] * grid.slots, [timedelta()] * grid.slots, [False] * grid.slots
    rule = MeterRule(max_kw=plate.max_kw, max_gap_s=plate.max_gap_s)
    runs = _runs(readings, plate.max_kw, notes)
    for run in runs:
        unrolled = _unrolled(run, plate, notes)
        found, at = stretches(unrolled, rule), {one.at_utc: one.counter_kwh for one in unrolled}
        notes += _told(unrolled, found, rule)
        for one in found:
            doubt = one.quality is not Quality.METERED or any(a < one.end_utc and one.start_utc < b for a, b in run.doubted)
            _spread(one, _total_wh(one, at), grid, doubt, energy_wh, covered, guessed)
    supply = _mean_supply_c(runs, grid)
    whole = timedelta(seconds=grid.slot_s)
    slots = tuple(
        HeatSlot(
            start_utc=grid.time_of(slot),
            duration_s=grid.slot_s,
            heat_wh=energy_wh[slot] if covered[slot] >= whole else None,
            quality=_quality(covered[slot] >= whole, guessed[slot]),
            supply_c=supply.get(slot),
        )
        for slot in range(grid.slots)
    )
    return _with_calibration(MeterSlots(slots=slots, notes=tuple(sorted(notes, key=lambda one: one.at_utc))), plate, time_zone)


def _quality(whole: bool, guessed: bool) -> Quality:
    if not whole:
        return Quality.MISSING
    return Quality.ESTIMATED if guessed else Quality.METERED


def _runs(readings: Iterable[MeterReading], max_kw: float, notes: list[MeterNote]) -> list[_Run]:
    """Readings by the meter that made them, one run from each mounting to the next exchange.

    Between two runs nothing is known: what a meter counted elsewhere, until it came back, is no heat of this place.
    """
    came = [one for one in readings if one.energy_kwh is not None]
    mounted: dict[int, list[MeterReading]] = {}
    for one, number in zip(came, _mountings(came), strict=True):
        if number is not None:
            mounted.setdefault(number, []).append(one)
    runs = [_in_time(mounted[number], max_kw, notes) for number in sorted(mounted)]
    for before, after in zip(runs[:-1], runs[1:], strict=True):
        names = f"meter {before.meter_id or '(unnamed)'} gave way to {after.meter_id or '(unnamed)'}"
        notes.append(MeterNote(event=MeterEvent.EXCHANGED, at_utc=after.readings[0].at_utc, text=names))
    return runs


def _mountings(came: Sequence[MeterReading]) -> list[int | None]:
    """Of each reading, at how many exchanges before it another meter was mounted; None: it is not believed.

    An exchange is believed once two readings that follow each other in time name the new meter, or none follows at all. Without
    a name it is the meter that hangs there.
    """
    order = sorted(range(len(came)), key=lambda index: came[index].at_utc)
    next_names, name = dict[int, str](), ""
    for index in reversed(order):
        next_names[index] = name
        name = came[index].meter_id or name
    found: list[int | None] = [None] * len(came)
    mounted, number = "", 0
    for index in order:
        name = came[index].meter_id or mounted
        if name != mounted:
            if next_names[index] not in {"", name}:
                continue
            mounted, number = name, number + (mounted != "")
        found[index] = number
    return found


def _in_time(readings: Sequence[MeterReading], max_kw: float, notes: list[MeterNote]) -> _Run:
    """One meter's readings by time; at least one.

    A reading older than the one before it, with a lower register, came late and finds its place. With a register that has gone
    on, the meter's clock was set back: what it said of the time after is doubted, and its own later stamps are dropped, as many
    as it takes for the heat since then to be possible.
    """
    kept: list[MeterReading] = []
    doubted: list[tuple[datetime, datetime]] = []
    for one in readings:
        if kept and one.at_utc <= kept[-1].at_utc:
            if _register(one) <= _register(kept[-1]) + TOLERANCE_KWH:
                _insert(kept, one)
                continue
            wrong_utc = kept[-1].at_utc
            while kept and (kept[-1].at_utc >= one.at_utc or (len(kept) > 1 and _too_fast(kept[-1], one, max_kw))):
                kept.pop()
            text = f"its clock went back from {wrong_utc:%Y-%m-%d %H:%M:%S} UTC"
            notes.append(MeterNote(event=MeterEvent.CLOCK_BACK, at_utc=one.at_utc, text=text))
            doubted.append((kept[-1].at_utc if kept else one.at_utc, wrong_utc))
        if one.error:
            notes.append(MeterNote(event=MeterEvent.ERROR, at_utc=one.at_utc, text=f"it says: {one.error}"))
            doubted.append((kept[-1].at_utc if kept else one.at_utc, one.at_utc))
        kept.append(one)
    meter_id = next((one.meter_id for one in readings if one.meter_id), "")
    return _Run(meter_id=meter_id, readings=tuple(kept), doubted=tuple(doubted))


def _too_fast(a: MeterReading, b: MeterReading, max_kw: float) -> bool:
    """Whether the register rose by more than can be behind the meter."""
    return _register(b) - _register(a) > kwh_from_kw_s(max_kw, (b.at_utc - a.at_utc).total_seconds())


def _insert(kept: list[MeterReading], late: MeterReading) -> None:
    """Put a late reading where its time is, unless the register there contradicts it or it is there already."""
    place = sum(one.at_utc < late.at_utc for one in kept)
    if kept[place].at_utc == late.at_utc or _register(kept[place]) < _register(late) - TOLERANCE_KWH:
        return
    if place and _register(kept[place - 1]) > _register(late) + TOLERANCE_KWH:
        return
    kept.insert(place, late)


def _register(reading: MeterReading) -> float:
    return reading.energy_kwh or 0.0


def _unrolled(run: _Run, plate: MeterPlate, notes: list[MeterNote]) -> list[Reading]:
    """Register readings that go on rising where the register began again at zero because it was full."""
    found: list[Reading] = []
    added_kwh = 0.0
    for one in run.readings:
        now_kwh = _register(one) + added_kwh
        if found and plate.register_kwh is not None and now_kwh < found[-1].counter_kwh - TOLERANCE_KWH:
            duration_s = (one.at_utc - found[-1].at_utc).total_seconds()
            rise_kwh = now_kwh + plate.register_kwh - found[-1].counter_kwh
            if 0.0 <= rise_kwh <= kwh_from_kw_s(plate.max_kw, duration_s):
                added_kwh, now_kwh = added_kwh + plate.register_kwh, now_kwh + plate.register_kwh
                text = f"its register was full at {plate.register_kwh / KWH_PER_MWH:g} MWh"
                notes.append(MeterNote(event=MeterEvent.ROLLED_OVER, at_utc=one.at_utc, text=text))
        found.append(Reading(at_utc=one.at_utc, counter_kwh=now_kwh))
    return found


def _told(readings: Sequence[Reading], found: Sequence[Stretch], rule: MeterRule) -> list[MeterNote]:
    """Restarts, jumps and gaps among what was believed."""
    at = {one.at_utc: one.counter_kwh for one in readings}
    notes = []
    for one in found:
        duration_s = (one.end_utc - one.start_utc).total_seconds()
        if one.energy_kwh is None:
            text = f"its register jumped from {at[one.start_utc]:.1f} to {at[one.end_utc]:.1f} kWh"
            notes.append(MeterNote(event=MeterEvent.JUMP, at_utc=one.end_utc, text=text))
        elif at[one.end_utc] < at[one.start_utc] - TOLERANCE_KWH:
            text = f"its register began again at zero after {at[one.start_utc]:.1f} kWh"
            notes.append(MeterNote(event=MeterEvent.RESET, at_utc=one.end_utc, text=text))
        elif duration_s > rule.max_gap_s:
            notes.append(
                MeterNote(event=MeterEvent.GAP, at_utc=one.end_utc, text=f"not read for {duration_s / S_PER_MIN:.0f} min")
            )
    return notes


def _total_wh(one: Stretch, at: Mapping[datetime, float]) -> int | None:
    """Whole Wh of a stretch: of the register in whole Wh at its ends, so that roundings do not add up over many stretches."""
    if one.energy_kwh is None:
        return None
    first_kwh, last_kwh = at[one.start_utc], at[one.end_utc]
    restarted = last_kwh < first_kwh - TOLERANCE_KWH
    return wh_from_kwh(last_kwh) if restarted else max(0, wh_from_kwh(last_kwh) - wh_from_kwh(first_kwh))


def _spread(
    one: Stretch,
    total_wh: int | None,
    grid: TimeGrid,
    doubt: bool,
    energy_wh: list[int],
    covered: list[timedelta],
    guessed: list[bool],
) -> None:
    """Add a stretch to the slots that it touches: whole Wh by the interpolated register at their borders."""
    length = (one.end_utc - one.start_utc) // MICROSECOND
    if total_wh is None or length <= 0:
        return
    first = max(0, grid.slot_of(one.start_utc))
    last = min(grid.slots - 1, grid.slot_of(one.end_utc - MICROSECOND))
    for slot in range(first, last + 1):
        a = max(one.start_utc, grid.time_of(slot))
        b = min(one.end_utc, grid.time_of(slot + 1))
        from_wh = total_wh * ((a - one.start_utc) // MICROSECOND) // length
        until_wh = total_wh * ((b - one.start_utc) // MICROSECOND) // length
        energy_wh[slot] += until_wh - from_wh
        covered[slot] += b - a
        guessed[slot] = guessed[slot] or doubt


def _mean_supply_c(runs: Sequence[_Run], grid: TimeGrid) -> Mapping[int, float]:
    """Mean of the supply temperatures that were read in each slot; a slot without any is left out."""
    sums: dict[int, tuple[float, int]] = {}
    for one in (reading for run in runs for reading in run.readings):
        if one.supply_c is not None:
            total, count = sums.get(grid.slot_of(one.at_utc), (0.0, 0))
            sums[grid.slot_of(one.at_utc)] = (total + one.supply_c, count + 1)
    return {slot: total / count for slot, (total, count) in sums.items()}


def _with_calibration(found: MeterSlots, plate: MeterPlate, time_zone: str) -> MeterSlots:
    """Slots after the calibration's last day are estimates, and the first of them is told."""
    if plate.calibration_due is None or not found.slots:
        return found
    zone, due = ZoneInfo(time_zone), plate.calibration_due
    late = [one for one in found.slots if one.start_utc.astimezone(zone).date() > due]
    if not late:
        return found
    slots = tuple(
        replace(one, quality=Quality.ESTIMATED)
        if one.quality is Quality.METERED and one.start_utc.astimezone(zone).date() > due
        else one
        for one in found.slots
    )
    note = MeterNote(event=MeterEvent.CALIBRATION, at_utc=late[0].start_utc, text=f"its calibration ended on {due}")
    return MeterSlots(slots=slots, notes=(*found.notes, note))
