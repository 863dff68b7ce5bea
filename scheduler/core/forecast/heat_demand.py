"""Heat demand of an offtake: its own past carried on, shifted by what a weather forecast changes, with its band.

    demand = f[day type, hour] * direct(demand / f, change / f),    change = signature(T told) - signature(T carried on)

f is the usual shape of a working day, a Saturday and a Sunday. The direct regression already holds the weather that its past
leads one to expect, so a weather forecast counts with its difference to that alone. Without one there is no change.
On a year of a city's demand this beats a signature corrected by its latest errors, with and without a weather forecast.

The band is that of the hindcasts. Where weather is told they are told the weather that came, and the band is narrower; what a
weather forecast itself may err is added to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.forecast.calendar import DAY_H, DAY_TYPES, LocalHours
from scheduler.core.forecast.direct import DirectSettings, Paths, direct, origins
from scheduler.core.forecast.fill import seasonal
from scheduler.core.forecast.quantiles import band, spread
from scheduler.core.forecast.signature import carried_on, fit_signature, smoothed
from scheduler.domain.snapshot import Band
from scheduler.domain.time import BoolArray, FloatArray, IntArray

SETTINGS = DirectSettings(decay_h=90.0)
MIN_SIGNATURE_H = 72
SIGNATURE_HALF_LIFE_H = 24.0 * 21
SHAPE_SHRINK_DAYS = 4.0
# Relative half width of the band at 1 hour and far out while there is nothing to learn it from.
PRIOR_WIDTH_NEAR, PRIOR_WIDTH_FAR = 0.08, 0.25
# Residuals of the hindcast know the coefficients already and are too small; set on a year of rolling forecasts.
WIDEN = 1.15
BAND_HALF_LIFE_H = 24.0 * 12
# A demand below this share of the mean is taken for that much where residuals are scaled.
LEAST_SHARE = 0.05
# Standard deviations from the middle of a normal distribution to its p90.
P90_SIGMA = 1.2816


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weather:
    """Outdoor temperature for a demand: measured hours of the past (n,), our own projections and what a forecast tells.

    expected_c: projections from every one of the m `origins` of the past, the present one last, (m, leads). told_c: (leads,),
    carried on where nobody tells anything. spoken: where somebody does, (leads,).
    """

    past_c: FloatArray
    expected_c: FloatArray
    told_c: FloatArray
    spoken: BoolArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Told:
    """What told weather does to a demand in kW: `change_kw` from every origin, the present one last, (m, leads).

    error_kw: how much the present change may be wrong (one standard deviation) since the forecast may, (leads,).
    """

    change_kw: FloatArray
    error_kw: FloatArray


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


def own_paths(values_kw: FloatArray, local: LocalHours, leads: int, told: Told | None = None) -> Paths:
    """Hindcasts and forecast in kW from the demand's own past, and from what is told of the weather."""
    count = len(values_kw)
    cell = local.day_cell
    shape = day_shape(values_kw, cell[:count])
    factor = shape[cell[origins(count, SETTINGS)[:, None] + np.arange(1, leads + 1)]]
    change = None if told is None else told.change_kw / factor
    flat = direct(values_kw / shape[cell[:count]], leads, SETTINGS, change)
    return Paths(
        origin=flat.origin,
        predicted=np.maximum(0.0, flat.predicted * factor),
        actual=flat.actual * factor,
        weight=flat.weight,
    )


def told_weather(values_kw: FloatArray, weather: Weather, local: LocalHours, error_c: float) -> Told | None:
    """What the told weather adds to the demand that the expected one would bring; None when nothing is told or known.

    error_c: standard deviation of a told temperature, taken as one error over all leads.
    """
    count, leads = len(values_kw), len(weather.told_c)
    both = np.isfinite(values_kw) & np.isfinite(weather.past_c)
    if int(both.sum()) < MIN_SIGNATURE_H or not np.any(weather.spoken):
        return None
    outdoor_c = seasonal(weather.past_c)
    recency = np.exp2((np.arange(count) - count) / SIGNATURE_HALF_LIFE_H) * np.isfinite(weather.past_c)
    phase = local.hour_of_week
    signature = fit_signature(values_kw, outdoor_c, phase[:count], recency)
    ahead = origins(count, SETTINGS)[:, None] + np.arange(1, leads + 1)
    came_c = np.concatenate([outdoor_c, weather.told_c])[np.minimum(ahead, count + leads - 1)]
    start_c = smoothed(outdoor_c, signature.smoothing_h)[ahead[:, 0] - 1]

    def demand_kw(start_c: FloatArray, path_c: FloatArray, hour_of_week: IntArray) -> FloatArray:
        return signature.demand_kw(carried_on(start_c, path_c, signature.smoothing_h), hour_of_week)

    now_c, hours = start_c[-1:], phase[ahead[-1:]]
    colder, warmer = (demand_kw(now_c, weather.told_c[None, :] + error, hours)[0] for error in (-error_c, error_c))
    return Told(
        change_kw=demand_kw(start_c, came_c, phase[ahead]) - demand_kw(start_c, weather.expected_c, phase[ahead]),
        error_kw=0.5 * np.abs(colder - warmer),
    )


def prior_width(leads: int) -> FloatArray:
    """Relative half width of the band before there are residuals, growing with the lead over a day, (leads,)."""
    grown = 1.0 - np.exp(-np.arange(1, leads + 1) / 12.0)
    return np.asarray(PRIOR_WIDTH_NEAR + (PRIOR_WIDTH_FAR - PRIOR_WIDTH_NEAR) * grown)


def demand_band(paths: Paths, residual_kw: FloatArray, error_kw: FloatArray, ceiling_kw: float) -> Band:
    """p10, p50, p90 over the leads: the forecast plus residual quantiles of the same leads, (m, leads), and `error_kw`.

    A residual counts by the root of the demand it was made at, and recent ones more than what the regression learns from: a
    band of September must not be one of August.
    """
    now_kw = paths.now
    scale = np.sqrt(np.maximum(paths.predicted, LEAST_SHARE * max(float(paths.predicted.mean()), 1e-9)))
    relative, now = residual_kw / scale, scale[-1]
    weight = np.exp2((paths.origin - float(paths.origin[-1])) / BAND_HALF_LIFE_H) * (paths.weight > 0.0)
    width = prior_width(len(now_kw)) * now_kw / now
    low = WIDEN * spread(relative, weight, 0.1, -width) * now
    high = WIDEN * spread(relative, weight, 0.9, width) * now
    return band(now_kw - wider(-low, error_kw), now_kw, now_kw + wider(high, error_kw), ceiling_kw)


def wider(width_kw: FloatArray, error_kw: FloatArray) -> FloatArray:
    """Half a band with an independent error of this standard deviation added; a half that is negative stays as it is."""
    return np.where(error_kw > 0.0, np.hypot(np.maximum(0.0, width_kw), P90_SIGMA * error_kw), width_kw)


def forecast_demand(
    values_kw: FloatArray,
    weather: Weather | None,
    local: LocalHours,
    leads: int,
    ceiling_kw: float,
    weather_error_c: float = 0.0,
) -> Band:
    """Band over the `leads` hours after the last of the hourly `values_kw` (n,), of which at least one must be known.

    local covers the past and the leads. Without weather the demand's own past alone speaks, and behind the last told hour its
    band. weather_error_c: standard deviation of a told temperature.
    """
    told = None if weather is None else told_weather(values_kw, weather, local, weather_error_c)
    paths = own_paths(values_kw, local, leads, told)
    residual_kw, error_kw = paths.residual, np.zeros(leads)
    if weather is not None and told is not None:
        error_kw = np.where(weather.spoken, told.error_kw, 0.0)
        if not np.all(weather.spoken):
            residual_kw = np.where(weather.spoken, residual_kw, own_paths(values_kw, local, leads).residual)
    return demand_band(paths, residual_kw, error_kw, ceiling_kw)
