"""Heat demand of an offtake: its own past carried on, shifted by what a weather forecast changes, with its band.

    demand = f[day type, hour] * direct(demand / f) + signature(T told) - signature(T carried on)

f is the usual shape of a working day, a Saturday and a Sunday. The direct regression already holds the weather that its past
leads one to expect, so a weather forecast counts with its difference to that alone. Without one the last two terms cancel.
On a year of a city's demand this beats a signature corrected by its latest errors, with and without a weather forecast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.forecast.calendar import DAY_H, DAY_TYPES, LocalHours
from scheduler.core.forecast.direct import DirectSettings, Paths, direct
from scheduler.core.forecast.fill import seasonal
from scheduler.core.forecast.quantiles import band, spread
from scheduler.core.forecast.signature import carried_on, fit_signature, smoothed
from scheduler.domain.snapshot import Band
from scheduler.domain.time import FloatArray, IntArray

SETTINGS = DirectSettings(decay_h=90.0)
MIN_SIGNATURE_H = 72
SIGNATURE_HALF_LIFE_H = 24.0 * 21
SHAPE_SHRINK_DAYS = 4.0
# Relative half width of the band at 1 hour and far out while there is nothing to learn it from.
PRIOR_WIDTH_NEAR, PRIOR_WIDTH_FAR = 0.08, 0.25
# Residuals of the hindcast know the coefficients already and are too small; set on a year of rolling forecasts.
WIDEN = 1.15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weather:
    """Outdoor temperature for a demand: measured hours of the past (n,), our own projection and what a forecast tells.

    expected_c, told_c: (leads,); told_c equals expected_c where nobody tells anything.
    """

    past_c: FloatArray
    expected_c: FloatArray
    told_c: FloatArray


def centred_day_mean(complete: FloatArray) -> FloatArray:
    """Mean over 25 hours around each hour, shortened at the ends."""
    total = np.concatenate([[0.0], np.cumsum(complete)])
    index = np.arange(len(complete))
    low, high = np.maximum(0, index - DAY_H // 2), np.minimum(len(complete), index + DAY_H // 2 + 1)
    return np.asarray((total[high] - total[low]) / (high - low))


def day_shape(values_kw: FloatArray, cell: IntArray) -> FloatArray:
    """Usual ratio of demand to its day's mean by (day type, hour), (72,), each type drawn to the mean of all days.

    values_kw, cell: (n,); NaN is left out. An hour with no demand to speak of all day has no ratio.
    """
    mean_kw = centred_day_mean(seasonal(values_kw))
    use = np.isfinite(values_kw) & (mean_kw > 0.05 * max(float(mean_kw.mean()), 1e-9))
    ratio = np.clip(values_kw[use] / mean_kw[use], 0.0, 5.0)
    hour = cell[use] % DAY_H
    every = (np.bincount(hour, weights=ratio, minlength=DAY_H) + 1.0) / (np.bincount(hour, minlength=DAY_H) + 1.0)
    count = np.bincount(cell[use], minlength=DAY_TYPES * DAY_H)
    total = np.bincount(cell[use], weights=ratio, minlength=DAY_TYPES * DAY_H)
    shape = (total + SHAPE_SHRINK_DAYS * np.tile(every, DAY_TYPES)) / (count + SHAPE_SHRINK_DAYS)
    return np.maximum(0.1, shape)


def own_paths(values_kw: FloatArray, local: LocalHours, leads: int) -> Paths:
    """Hindcasts and forecast in kW from the demand's own past."""
    count = len(values_kw)
    cell = local.day_cell
    shape = day_shape(values_kw, cell[:count])
    flat = direct(values_kw / shape[cell[:count]], leads, SETTINGS)
    factor = shape[cell[flat.origin[:, None] + np.arange(1, leads + 1)]]
    return Paths(
        origin=flat.origin,
        predicted=np.maximum(0.0, flat.predicted * factor),
        actual=flat.actual * factor,
        weight=flat.weight,
    )


def weather_shift_kw(values_kw: FloatArray, weather: Weather, local: LocalHours) -> FloatArray:
    """What the told weather adds to the demand that the expected one would bring, (leads,); zero when too little is known."""
    count, leads = len(values_kw), len(weather.told_c)
    both = np.isfinite(values_kw) & np.isfinite(weather.past_c)
    if int(both.sum()) < MIN_SIGNATURE_H or np.array_equal(weather.told_c, weather.expected_c):
        return np.zeros(leads)
    outdoor_c = seasonal(weather.past_c)
    recency = np.exp2((np.arange(count) - count) / SIGNATURE_HALF_LIFE_H) * np.isfinite(weather.past_c)
    phase = local.hour_of_week
    signature = fit_signature(values_kw, outdoor_c, phase[:count], recency)
    start_c = float(smoothed(outdoor_c, signature.smoothing_h)[-1])
    told, expected = (
        signature.demand_kw(carried_on(start_c, path_c, signature.smoothing_h), phase[count : count + leads])
        for path_c in (weather.told_c, weather.expected_c)
    )
    return np.asarray(told - expected)


def prior_width(leads: int) -> FloatArray:
    """Relative half width of the band before there are residuals, growing with the lead over a day, (leads,)."""
    grown = 1.0 - np.exp(-np.arange(1, leads + 1) / 12.0)
    return np.asarray(PRIOR_WIDTH_NEAR + (PRIOR_WIDTH_FAR - PRIOR_WIDTH_NEAR) * grown)


def demand_band(now_kw: FloatArray, paths: Paths, ceiling_kw: float) -> Band:
    """p10, p50, p90 over the leads: the forecast plus residual quantiles of the same leads."""
    width_kw = prior_width(len(now_kw)) * now_kw
    low = WIDEN * spread(paths.residual, paths.weight, 0.1, -width_kw)
    high = WIDEN * spread(paths.residual, paths.weight, 0.9, width_kw)
    return band(now_kw + low, now_kw, now_kw + high, ceiling_kw)


def forecast_demand(values_kw: FloatArray, weather: Weather | None, local: LocalHours, leads: int, ceiling_kw: float) -> Band:
    """Band over the `leads` hours after the last of the hourly `values_kw` (n,), of which at least one must be known.

    local covers the past and the leads. Without weather the demand's own past alone speaks.
    """
    paths = own_paths(values_kw, local, leads)
    shift_kw = np.zeros(leads) if weather is None else weather_shift_kw(values_kw, weather, local)
    return demand_band(np.maximum(0.0, paths.now + shift_kw), paths, ceiling_kw)
