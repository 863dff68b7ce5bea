"""Several readings of one quantity in one series: each slot from the most trusted source that knows it, and told by whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from scheduler.core.signals.intervals import Intervals
from scheduler.core.signals.resample import resampled
from scheduler.domain.observed import QUARTER_S, Origin, Origins, SourceReading
from scheduler.domain.time import FloatArray, IntArray, Series, TimeGrid

NOBODY = -1


def stitched(readings: Sequence[SourceReading], main: int = 0) -> SourceReading:
    """One reading of what several say of one quantity, the most trusted first; NaN is what a source does not say.

    Later sources fill what earlier ones leave open. The series is on the grid that all share, else on quarter hours. Its
    source, times, basis and whether it is assumed are those of reading number `main`: the one that tells the present.

    Raises:
        ValueError: without readings, or with readings of several quantities.
    """
    if len({one.quantity for one in readings}) != 1:
        raise ValueError(f"stitched() needs readings of one quantity, not of {[one.quantity for one in readings]}")
    if len(readings) == 1 and len(readings[0].origins.slots) == readings[0].series.grid.slots:
        return readings[0]
    slot_s = _common_slot_s(readings)
    laid = [_laid(one, slot_s) for one in readings]
    first = min(start for start, _, _ in laid)
    stop = max(start + len(values) for start, values, _ in laid)
    values, slots = np.full(stop - first, np.nan), np.full(stop - first, NOBODY, dtype=np.int64)
    parts: list[Origin] = []
    for reading, (start, told, places) in zip(readings, laid, strict=True):
        own = reading.origins.parts or (Origin(source=reading.source),)
        window = slice(start - first, start - first + len(told))
        fills = ~np.isfinite(values[window]) & np.isfinite(told)
        values[window][fills] = told[fills]
        slots[window][fills] = places[fills] + len(parts)
        parts += own
    grid = TimeGrid(start_utc=datetime.fromtimestamp(first * slot_s, tz=UTC), slot_s=slot_s, slots=stop - first)
    now = readings[main]
    series = Series(grid=grid, values=values, unit=now.series.unit, source=now.source, issued_utc=now.series.issued_utc)
    return replace(now, series=series, origins=_only_used(parts, slots))


def _common_slot_s(readings: Sequence[SourceReading]) -> int:
    """The length of everybody's slots where their edges agree, else a quarter of an hour."""
    lengths = {one.series.grid.slot_s for one in readings if one.series.grid.slots}
    if len(lengths) != 1:
        return QUARTER_S
    (slot_s,) = lengths
    on_edge = all(one.series.grid.start_utc.timestamp() % slot_s == 0 for one in readings)
    return slot_s if on_edge else QUARTER_S


def _laid(reading: SourceReading, slot_s: int) -> tuple[int, FloatArray, IntArray]:
    """A reading on slots of a length: number of the first since 1970, values, and places in its own origins."""
    grid, values = reading.series.grid, reading.series.values
    start_s = int(grid.start_utc.timestamp())
    places = reading.origins.slots if len(reading.origins.slots) == grid.slots else np.zeros(grid.slots, dtype=np.int64)
    if start_s % slot_s == 0 and grid.slot_s % slot_s == 0:
        times = grid.slot_s // slot_s
        return start_s // slot_s, np.repeat(values, times), np.repeat(places, times)
    told = np.isfinite(values)
    begin_s = start_s + np.flatnonzero(told) * grid.slot_s
    count = len(begin_s)
    # Places ride where ranks do: of the pieces of a slot the last place in `parts` is kept.
    found = Intervals(
        starts_s=begin_s,
        ends_s=begin_s + grid.slot_s,
        values=values[told],
        issued_s=np.zeros(count),
        rank=places[told],
        instant=np.zeros(count, dtype=np.bool_),
    )
    slots = resampled(found, slot_s, start_s, start_s + grid.slots * grid.slot_s)
    return slots.first, slots.values, slots.rank


def _only_used(parts: Sequence[Origin], slots: IntArray) -> Origins:
    """Origins that say at least one slot, each once."""
    used = [place for place in np.unique(slots).tolist() if place != NOBODY]
    once = tuple(dict.fromkeys(parts[place] for place in used))
    place_of = np.full(len(parts) + 1, NOBODY, dtype=np.int64)
    for place in used:
        place_of[place] = once.index(parts[place])
    return Origins(parts=once, slots=place_of[slots])
