"""Spot prices: what is published as it is, beyond it what their own past leads one to expect.

    price = shape[day type, hour] + direct(price - shape)

The shape (working day, Saturday, Sunday, their usual difference of level included) is additive, since prices cross zero. Rare
spikes of the past count as much as the 2 % and 98 % quantiles and no more: tomorrow's spike comes at another hour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.forecast.calendar import DAY_H, DAY_TYPES, HOUR_S, LocalHours
from scheduler.core.forecast.direct import DirectSettings, direct, targets
from scheduler.core.forecast.quantiles import spread
from scheduler.domain.time import FloatArray, IntArray, Series, TimeGrid

# Prices are published by the day, so one origin a day is all there is to learn from.
SETTINGS = DirectSettings(decay_h=60.0, ridge_rows=300.0, stride_h=24)
SPIKE_PROBABILITY = 0.02
SHAPE_SHRINK_DAYS = 3.0
# Residuals of the hindcast know the coefficients already; set on a year of rolling forecasts.
WIDEN = 1.15


def without_spikes(values: FloatArray) -> FloatArray:
    """Clip to the 2 % and 98 % quantiles of what is known; NaN stays."""
    low, high = np.nanquantile(values, [SPIKE_PROBABILITY, 1.0 - SPIKE_PROBABILITY])
    return np.clip(values, low, high)


def additive_shape(values: FloatArray, cell: IntArray) -> FloatArray:
    """Usual deviation from the mean by (day type, hour), (72,), each type drawn to the mean of all days; NaN left out."""
    known = np.isfinite(values)
    deviation, cell = values[known] - float(values[known].mean()), cell[known]
    hour = cell % DAY_H
    every = np.bincount(hour, weights=deviation, minlength=DAY_H) / (np.bincount(hour, minlength=DAY_H) + 1.0)
    total = np.bincount(cell, weights=deviation, minlength=DAY_TYPES * DAY_H)
    count = np.bincount(cell, minlength=DAY_TYPES * DAY_H)
    return np.asarray((total + SHAPE_SHRINK_DAYS * np.tile(every, DAY_TYPES)) / (count + SHAPE_SHRINK_DAYS))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PriceAhead:
    """Hours after the last published one, (leads,) each: what is expected, and its p10 and p90."""

    path: FloatArray
    low: FloatArray
    high: FloatArray


def price_ahead(values: FloatArray, local: LocalHours, leads: int) -> PriceAhead:
    """Forecast the `leads` hours after the last published one, with a band of what earlier forecasts were off.

    values: hourly published prices (n,), more than two weeks of hours, at least one known; local covers them and the leads.
    Spikes count in full in the band.
    """
    count = len(values)
    calm = without_spikes(values)
    cell = local.day_cell
    shape = additive_shape(calm, cell[:count])
    paths = direct(calm - shape[cell[:count]], leads, SETTINGS)
    path = paths.now + shape[cell[count : count + leads]]
    off = paths.residual + targets(values - calm, paths.origin, leads)
    nothing = np.zeros(leads)
    low = np.minimum(0.0, WIDEN * spread(off, paths.weight, 0.1, nothing))
    high = np.maximum(0.0, WIDEN * spread(off, paths.weight, 0.9, nothing))
    return PriceAhead(path=path, low=path + low, high=path + high)


def price_path(values: FloatArray, local: LocalHours, leads: int) -> FloatArray:
    """What is expected of `price_ahead`, (leads,)."""
    return price_ahead(values, local, leads).path


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
