"""The kept past as a value: new slots are put to it, old ones fall off, and what sources said is written down as it passes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR, PRICE, QUARTER_S, EndedJob, Past, SourceReading, name_of
from scheduler.domain.signals import Grade
from scheduler.domain.time import FloatArray, Series, TimeGrid

# Forecasts look back eight weeks; the ninth covers the days before a Monday.
KEPT = timedelta(days=63)
# Learned durations look at so many ended jobs.
MAX_ENDED = 3000
# Slots that lie further apart come from a clock that was years off; nobody makes room for the time between.
LONGEST = timedelta(days=3 * 366)
# What a source says of the past is worth keeping: it may only ever tell the last days.
TOLD_QUANTITIES = (PRICE, CARBON, OUTDOOR, HEAT_DEMAND)


def extended(past: Past, more: Past, *, since_utc: datetime, max_ended: int = MAX_ENDED) -> Past:
    """The past with new slots and ended jobs, without what is before `since_utc`.

    A known slot stays, unless the new series was issued later than the old one; a job that is there stays. Of a series that
    would be longer than `LONGEST` only the new slots stay.
    """
    series = dict(past.series)
    for key, new in more.series.items():
        old = series.get(key)
        far = old is not None and _length(old, new) > LONGEST
        series[key] = new if old is None or far else merged(old, new)
    kept = {key: since(one, since_utc) for key, one in series.items()}
    return Past(
        series={key: one for key, one in kept.items() if one.grid.slots},
        ended=with_ended(past.ended, more.ended, since_utc, max_ended),
    )


def _length(a: Series, b: Series) -> timedelta:
    """From the earlier start to the later end of two series."""
    return max(a.grid.end_utc, b.grid.end_utc) - min(a.grid.start_utc, b.grid.start_utc)


def with_ended(old: Iterable[EndedJob], new: Iterable[EndedJob], since_utc: datetime, max_ended: int) -> tuple[EndedJob, ...]:
    """Ended jobs, once each, in order of ending, the latest `max_ended` of them."""
    first: dict[str, EndedJob] = {}
    for job in (*old, *new):
        if job.ended_utc >= since_utc:
            first.setdefault(job.job_uid, job)
    return tuple(sorted(first.values(), key=lambda job: (job.ended_utc, job.job_uid)))[-max_ended:]


def is_revision(new: Series, old: Series) -> bool:
    """True when a source has issued `new` after `old`."""
    return new.issued_utc is not None and (old.issued_utc is None or new.issued_utc > old.issued_utc)


def merged(old: Series, new: Series) -> Series:
    """Both on one grid: `old` where it is known, unless `new` revises it, else `new`.

    Raises:
        ValueError: when the slots do not fit together.
    """
    return over(new, old) if is_revision(new, old) else over(old, new)


def over(top: Series, under: Series) -> Series:
    """`top` where it is known, `under` elsewhere, on the grid of both; unit, source and issue are those of `top`.

    Raises:
        ValueError: when the slots do not fit together.
    """
    grid = joined(top.grid, under.grid)
    above = laid(top, grid)
    return replace(top, grid=grid, values=np.where(np.isfinite(above), above, laid(under, grid)))


def joined(a: TimeGrid, b: TimeGrid) -> TimeGrid:
    """The grid from the earlier start to the later end.

    Raises:
        ValueError: when the slots do not fit together.
    """
    slot_s = a.slot_s
    if b.slot_s != slot_s or (b.start_utc - a.start_utc).total_seconds() % slot_s:
        raise ValueError(f"slots of {slot_s} s from {a.start_utc} and of {b.slot_s} s from {b.start_utc} do not fit together")
    start_utc, stop_utc = min(a.start_utc, b.start_utc), max(a.end_utc, b.end_utc)
    return TimeGrid(start_utc=start_utc, slot_s=slot_s, slots=int((stop_utc - start_utc).total_seconds()) // slot_s)


def laid(series: Series, grid: TimeGrid) -> FloatArray:
    """Values of a series on a grid that contains its own, NaN elsewhere, (grid.slots,)."""
    values = np.full(grid.slots, np.nan)
    first = grid.slot_of(series.grid.start_utc)
    values[first : first + series.grid.slots] = series.values
    return values


def known_part(series: Series) -> Series | None:
    """A series from its first known slot to its last; None when it has none."""
    known = np.flatnonzero(np.isfinite(series.values))
    return part(series, int(known[0]), int(known[-1]) + 1) if len(known) else None


def malformed(past: Past) -> str:
    """Why a past cannot be kept; empty when it can."""
    for key, series in past.series.items():
        if series.grid.slot_s != QUARTER_S or series.grid.start_utc.timestamp() % QUARTER_S:
            return f"{key} is not on quarter hours"
        if np.any(np.isinf(series.values)):
            return f"{key} has an infinite value"
    for job in past.ended:
        finished = job.finished
        if job.ended_utc.utcoffset() is None:
            return f"job {job.job_uid}: its end has no time zone"
        if not (math.isfinite(finished.declared_duration_s) and math.isfinite(finished.real_duration_s)):
            return f"job {job.job_uid}: its duration is no number"
    return ""


def since(series: Series, since_utc: datetime) -> Series:
    """The slots of a series from `since_utc` on; the series itself when it has no others."""
    grid = series.grid
    first = min(grid.slots, max(0, -((grid.start_utc - since_utc) // timedelta(seconds=grid.slot_s))))
    return series if first <= 0 else part(series, first, grid.slots)


def until(series: Series, until_utc: datetime) -> Series:
    """The slots of a series that have ended by `until_utc`."""
    stop = max(0, min(series.grid.slots, series.grid.slot_of(until_utc)))
    return series if stop == series.grid.slots else part(series, 0, stop)


def part(series: Series, first: int, stop: int) -> Series:
    """Slots [first, stop) of a series; a copy, so that nobody keeps a long array alive for a short piece of it."""
    grid = TimeGrid(start_utc=series.grid.time_of(first), slot_s=series.grid.slot_s, slots=stop - first)
    values = series.values[first:stop].copy()
    return Series(grid=grid, values=values, unit=series.unit, source=series.source, issued_utc=series.issued_utc)


def on_quarters(series: Series) -> Series:
    """A series in quarter hours that begin on the quarter: coarser slots are step-constant, finer ones give their mean.

    A quarter with an unknown finer slot is not known; parts of a quarter at the ends are left out.
    """
    grid = series.grid
    start_s, step_s = int(grid.start_utc.timestamp()), grid.slot_s
    if step_s == QUARTER_S and start_s % QUARTER_S == 0:
        return series
    first, stop = -(-start_s // QUARTER_S), (start_s + grid.slots * step_s) // QUARTER_S
    quarters = TimeGrid(
        start_utc=datetime.fromtimestamp(first * QUARTER_S, tz=UTC), slot_s=QUARTER_S, slots=max(0, stop - first)
    )
    if step_s >= QUARTER_S:
        values = series.values[((first + np.arange(quarters.slots)) * QUARTER_S - start_s) // step_s]
    else:
        values = _means(series, first, quarters.slots)
    return Series(grid=quarters, values=values, unit=series.unit, source=series.source, issued_utc=series.issued_utc)


def _means(series: Series, first: int, count: int) -> FloatArray:
    """Means of finer slots by quarter, weighted by the time they share with it, (count,)."""
    start_s, step_s = int(series.grid.start_utc.timestamp()), series.grid.slot_s
    edges_s = start_s + np.arange(series.grid.slots + 1, dtype=np.int64) * step_s
    known = np.isfinite(series.values)
    whole = np.concatenate([[0.0], np.cumsum(np.where(known, series.values, 0.0) * step_s)])
    sure_s = np.concatenate([[0.0], np.cumsum(known * float(step_s))])
    bounds_s = (first + np.arange(count + 1, dtype=np.int64)) * QUARTER_S
    total = np.diff(np.interp(bounds_s, edges_s, whole))
    covered_s = np.diff(np.interp(bounds_s, edges_s, sure_s))
    return np.where(covered_s >= QUARTER_S - 1e-6, total / QUARTER_S, np.nan)


def _happened(reading: SourceReading) -> Series:
    """What a source says without what it has only foretold: what was measured comes later, and has to find its place free.

    The weather stays: many tell no other, and an analysis of the hour that has just passed is near enough.
    """
    series, origins = reading.series, reading.origins
    opinions = [place for place, one in enumerate(origins.parts) if one.grade is Grade.FORECAST]
    if not opinions or reading.quantity == OUTDOOR or len(origins.slots) != series.grid.slots:
        return series
    return replace(series, values=np.where(np.isin(origins.slots, opinions), np.nan, series.values))


def told_past(readings: Iterable[SourceReading], now_utc: datetime, *, since_utc: datetime) -> Past:
    """What sources say of the time from `since_utc` to now, as slots to keep; what a rule assumes is not kept."""
    found: dict[str, Series] = {}
    for reading in readings:
        told = any(name_of(quantity, reading.quantity) is not None for quantity in TOLD_QUANTITIES)
        if told and not reading.assumed:
            one = since(until(on_quarters(_happened(reading)), now_utc), since_utc)
            if one.grid.slots:
                found[reading.quantity] = replace(one, issued_utc=reading.issued_utc)
    return Past(series=found)
