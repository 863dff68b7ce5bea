"""Measured series made ready for a forecast: on whole hours, checked, short gaps filled, the rest named.

A long gap is never filled here: it stays NaN and carries a reason. Whoever forecasts leaves such hours out of the fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.forecast.calendar import DAY_H, HOUR_S, WEEK_H
from scheduler.domain.time import FloatArray, Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Plausible:
    """What a value of this kind can be: limits in the series' own unit, and after how many equal hours it is frozen.

    frozen_h None: may stand still (a price can). Zero is never called frozen: no demand in summer is a measurement.
    """

    low: float
    high: float
    frozen_h: int | None


# Day-ahead limits of the European coupling are -0.5 and 4 EUR/kWh; the rest is what can happen on Earth, widely drawn.
PRICE = Plausible(low=-2.0, high=10.0, frozen_h=None)
CARBON = Plausible(low=0.0, high=2500.0, frozen_h=48)
OUTDOOR = Plausible(low=-60.0, high=60.0, frozen_h=24)
HEAT_KW = Plausible(low=0.0, high=np.inf, frozen_h=24)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hourly:
    """A series on whole hours from hour number `first`; NaN is "not known". `reasons` names what is wrong with it now."""

    first: int
    values: FloatArray
    reasons: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """True when at least one hour has a value."""
        return bool(np.any(np.isfinite(self.values)))


def hourly(series: Series, first: int, stop: int) -> FloatArray:
    """Means over the hours [first, stop), shape (stop - first,): of what is known in an hour; NaN where nothing is.

    A series coarser than an hour is read as step-constant.
    """
    grid = series.grid
    if grid.slots == 0 or stop <= first:
        return np.full(max(0, stop - first), np.nan)
    start_s = int(grid.start_utc.timestamp())
    if grid.slot_s > HOUR_S:
        slot = ((first + np.arange(stop - first)) * HOUR_S - start_s) // grid.slot_s
        inside = (slot >= 0) & (slot < grid.slots)
        return np.where(inside, series.values[np.clip(slot, 0, grid.slots - 1)], np.nan)
    low = max(0, (first * HOUR_S - start_s) // grid.slot_s)
    high = min(grid.slots, -((start_s - stop * HOUR_S) // grid.slot_s))
    if high <= low:
        return np.full(stop - first, np.nan)
    values = series.values[low:high]
    hour = (start_s + np.arange(low, high, dtype=np.int64) * grid.slot_s) // HOUR_S - first
    known = np.isfinite(values) & (hour >= 0) & (hour < stop - first)
    count = np.bincount(hour[known], minlength=stop - first)
    total = np.bincount(hour[known], weights=values[known], minlength=stop - first)
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def runs(flag: FloatArray) -> list[tuple[int, int]]:
    """Half-open index ranges in which a 0/1 array is 1."""
    edges = np.diff(np.concatenate([[0.0], flag, [0.0]]))
    return list(zip(np.flatnonzero(edges > 0).tolist(), np.flatnonzero(edges < 0).tolist(), strict=True))


def fill_short(values: FloatArray, max_hours: int) -> FloatArray:
    """Fill inner gaps of at most `max_hours` by a straight line, such gaps at the end by the last value; keep the rest."""
    out = values.copy()
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return out
    for low, high in runs((~np.isfinite(values)).astype(np.float64)):
        if low == 0 or high - low > max_hours:
            continue
        out[low:high] = np.interp(np.arange(low, high), known, values[known])
    return out


def plausible(values: FloatArray, limits: Plausible) -> FloatArray:
    """Values with NaN for what cannot be; same shape."""
    with np.errstate(invalid="ignore"):
        return np.where((values < limits.low) | (values > limits.high), np.nan, values)


def without_frozen(name: str, values: FloatArray, limits: Plausible) -> tuple[FloatArray, list[str]]:
    """Drop the tail of a series that has stood still at one non-zero value for longer than a living source would."""
    known = np.flatnonzero(np.isfinite(values))
    if limits.frozen_h is None or len(known) <= limits.frozen_h:
        return values, []
    other = np.flatnonzero(values[known] != values[known[-1]])
    still = known[other[-1] + 1 :] if len(other) else known
    if len(still) <= limits.frozen_h or values[known[-1]] == 0.0:
        return values, []
    out = values.copy()
    out[still[1:]] = np.nan
    return out, [f"{name}: frozen ({len(still)} h at {values[known[-1]]:g})"]


def ready(name: str, series: Series | None, *, now: int, past_h: int, max_fill_s: float, limits: Plausible) -> Hourly:
    """Return the last `past_h` hours before hour number `now`, checked and filled, with what is wrong as named reasons.

    Reasons begin with `name` and one of: missing, implausible, frozen, stale, gap. A gap is named while it is younger than
    a week; an older one only leaves its hours out of the fits.
    """
    first = now - past_h
    values = np.full(past_h, np.nan) if series is None else hourly(series, first, now)
    if not np.any(np.isfinite(values)):
        return Hourly(first=first, values=values, reasons=(f"{name}: missing",))
    reasons: list[str] = []
    checked = plausible(values, limits)
    wrong = np.isfinite(values) & ~np.isfinite(checked)
    reasons += [f"{name}: implausible ({int(wrong[-WEEK_H:].sum())} h)"] if np.any(wrong[-WEEK_H:]) else []
    if not np.any(np.isfinite(checked)):
        return Hourly(first=first, values=checked, reasons=(*reasons, f"{name}: missing"))
    values = checked
    values, frozen = without_frozen(name, values, limits)
    max_hours = int(max_fill_s // HOUR_S)
    filled = fill_short(values, max_hours)
    gaps = [(low, high) for low, high in runs((~np.isfinite(filled)).astype(np.float64)) if low > 0]
    tail_h = sum(high - low for low, high in gaps if high == len(filled))
    inner_h = sum(high - low for low, high in gaps if high < len(filled) and high > len(filled) - WEEK_H)
    reasons += frozen
    reasons += [f"{name}: stale ({tail_h} h)"] if tail_h and not frozen else []
    reasons += [f"{name}: gap ({inner_h} h)"] if inner_h else []
    return Hourly(first=first, values=filled, reasons=tuple(reasons))


def seasonal(values: FloatArray) -> FloatArray:
    """Complete hourly values without NaN, same shape, as input of a regression only (never as a target).

    What is missing becomes the mean of the same hour of day, where no such hour is known the mean of all.
    With nothing known at all the result is zero: callers must have refused that case by name.
    """
    out = values.copy()
    hole = ~np.isfinite(out)
    if not np.any(hole):
        return out
    phase = np.arange(len(values)) % DAY_H
    count = np.bincount(phase[~hole], minlength=DAY_H)
    total = np.bincount(phase[~hole], weights=out[~hole], minlength=DAY_H)
    overall = float(total.sum() / max(1, count.sum()))
    mean = np.where(count > 0, total / np.maximum(count, 1), overall)
    out[hole] = mean[phase[hole]]
    return out
