"""The district behind the plant: weather, demand and water temperatures as functions of time, however it is stepped."""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np

from scheduler.simulate.plant.spec import NetworkSpec
from scheduler.units import H_PER_DAY, S_PER_H

# Share of the daily mean by hour (UTC): people wake, cook, and sleep.
HOURS = (
    0.86, 0.84, 0.84, 0.86, 0.93, 1.08, 1.20, 1.18, 1.10, 1.04, 1.00, 0.98,
    0.97, 0.96, 0.97, 1.00, 1.06, 1.10, 1.11, 1.08, 1.03, 0.98, 0.94, 0.89,
)  # fmt: skip
WARMEST_HOUR = 14.0
MILD_C, COLD_C = 10.0, 0.0
WEATHER, HEAT = 1, 2


def standard_noise(seed: int, of: int, at_utc: datetime, every_s: float = S_PER_H) -> float:
    """A standard normal number per hour (or `every_s`), joined by straight lines."""
    place = at_utc.timestamp() / every_s
    before = math.floor(place)
    left, right = (float(np.random.default_rng([seed, of, before + i]).standard_normal()) for i in (0, 1))
    return left + (right - left) * (place - before)


def outdoor_c(spec: NetworkSpec, seed: int, at_utc: datetime) -> float:
    """Outdoor temperature: warmest at 14:00 UTC, with weather of a few degrees that changes over half a day."""
    hour = at_utc.hour + at_utc.minute / 60.0
    swing_k = spec.daily_swing_k * math.cos(2.0 * math.pi * (hour - WARMEST_HOUR) / H_PER_DAY)
    return spec.mean_outdoor_c + swing_k + 3.0 * standard_noise(seed, WEATHER, at_utc, 12.0 * S_PER_H)


def demand_kw(spec: NetworkSpec, outdoor: float, at_utc: datetime) -> float:
    """Heat that the houses draw: hot water, and heating in proportion to the cold, by hour of the day."""
    span_k = spec.warmest_heated_c - spec.coldest_c
    cold_fraction = min(max(spec.warmest_heated_c - outdoor, 0.0) / span_k, 1.0)
    share = spec.hot_water_fraction + (1.0 - spec.hot_water_fraction) * cold_fraction
    place = at_utc.hour + at_utc.minute / 60.0
    hour = int(place)
    factor = HOURS[hour] + (HOURS[(hour + 1) % len(HOURS)] - HOURS[hour]) * (place - hour)
    return spec.peak_kw * share * factor


def supply_c(spec: NetworkSpec, outdoor: float) -> float:
    """Supply temperature: highest at 0 degrees C and below, lowest at 10 and above (research: PyPSA-Eur's curve)."""
    mild = min(max((outdoor - COLD_C) / (MILD_C - COLD_C), 0.0), 1.0)
    return spec.supply_cold_c + (spec.supply_mild_c - spec.supply_cold_c) * mild
