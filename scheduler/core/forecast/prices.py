"""Spot prices: what is published as it is, beyond it the profile of the last days at their recent level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.forecast.calendar import HOUR_S, LocalHours
from scheduler.domain.time import FloatArray, Series, TimeGrid

PROFILE_DAYS = 10
LEVEL_DECAY_DAYS = 1.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Level:
    """Daily means: `recent` of the last published day, `usual` of the last days."""

    recent: float
    usual: float


def hour_profile(values: FloatArray, local: LocalHours, days: int) -> tuple[FloatArray, float]:
    """Deviation from the day's mean by (weekend, hour), (2, 24), and the usual difference of a weekend day's mean.

    From the last `days` days of `values` (n,), NaN left out; weekends and working days are each drawn to all days.
    """
    low = max(0, len(values) - 24 * days)
    y, hour, weekend = values[low:], local.hour[low : len(values)], local.weekend[low : len(values)].astype(np.int64)
    known = np.isfinite(y)
    y, hour, weekend = y[known], hour[known], weekend[known]
    mean = float(y.mean())
    every = (np.bincount(hour, weights=y - mean, minlength=24)) / np.maximum(1, np.bincount(hour, minlength=24))
    shape = np.empty((2, 24))
    for kind in (0, 1):
        chosen = weekend == kind
        count = np.bincount(hour[chosen], minlength=24)
        own_mean = float(y[chosen].mean()) if np.any(chosen) else mean
        total = np.bincount(hour[chosen], weights=y[chosen] - own_mean, minlength=24)
        shape[kind] = (total + 2.0 * every) / (count + 2.0)
    both = np.any(weekend == 1) and np.any(weekend == 0)
    gap = float(y[weekend == 1].mean() - y[weekend == 0].mean()) if both else 0.0
    return shape - shape.mean(axis=1, keepdims=True), gap


def price_path(values: FloatArray, local: LocalHours, leads: int) -> FloatArray:
    """Forecast the `leads` hours after the last published one, (leads,); `local` covers past and future.

    price = level of the day + weekend difference + shape[weekend, hour]; the level fades from that of the last 24 published
    hours to that of the last week.
    """
    shape, gap = hour_profile(values, local, PROFILE_DAYS)
    count = len(values)
    weekend = local.weekend[: count + leads].astype(np.float64)
    flat = values - gap * weekend[:count]
    recent, usual = float(np.nanmean(flat[-24:])), float(np.nanmean(flat[-24 * 7 :]))
    lead_days = np.arange(1, leads + 1) / 24.0
    level = usual + (recent - usual) * np.exp(-lead_days / LEVEL_DECAY_DAYS)
    ahead = slice(count, count + leads)
    return np.asarray(level + gap * weekend[ahead] + shape[local.weekend[ahead].astype(np.int64), local.hour[ahead]])


def published(price: Series, grid: TimeGrid) -> FloatArray:
    """Published prices on the slots of `grid`, NaN where none is published; a coarser series is step-constant."""
    start_s = (grid.start_utc - price.grid.start_utc).total_seconds()
    index = np.floor((start_s + np.arange(grid.slots) * grid.slot_s) / price.grid.slot_s).astype(np.int64)
    inside = (index >= 0) & (index < price.grid.slots)
    values = np.full(grid.slots, np.nan)
    values[inside] = price.values[index[inside]]
    return values


def published_stop_h(price: Series) -> int:
    """Hour number after the last published price; the first hour of the series when nothing is published."""
    known = np.flatnonzero(np.isfinite(price.values))
    last = int(known[-1]) + 1 if len(known) else 0
    return int(-(-(price.grid.start_utc.timestamp() + last * price.grid.slot_s) // HOUR_S))
