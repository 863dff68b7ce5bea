"""Energy signature: what a heat demand is at a given weather and hour of the week.

demand = (a + b * max(0, T_base - T_eff)) * f[hour of week], T_eff the exponentially smoothed outdoor temperature
(buildings feel yesterday's cold). T_base and the smoothing constant are picked from small grids, a and b by least squares.

It tells what a *change* of weather does to a demand. What the demand is at unchanged weather its own past tells better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.forecast.calendar import WEEK_H
from scheduler.core.forecast.sums import dot
from scheduler.domain.time import FloatArray, IntArray

T_BASES_C = (12.0, 13.5, 15.0, 16.5, 18.0, 20.0)
SMOOTHINGS_H = (4.0, 10.0, 20.0, 36.0, 60.0)
SHRINK_WEEKS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Signature:
    """A fitted signature: base_kw = a, slope_kw_per_k = b, t_base_c, smoothing_h of T_eff, factor per hour of week (168,)."""

    base_kw: float
    slope_kw_per_k: float
    t_base_c: float
    smoothing_h: float
    factor: FloatArray

    def demand_kw(self, t_eff_c: FloatArray, hour_of_week: IntArray) -> FloatArray:
        """Demand at smoothed temperatures (any shape) and hours of week (broadcastable)."""
        heating_k = np.maximum(0.0, self.t_base_c - t_eff_c)
        return np.asarray((self.base_kw + self.slope_kw_per_k * heating_k) * self.factor[hour_of_week])


def fade_of(smoothing_h: float) -> float:
    """What an hourly exponential smoother keeps of its last state."""
    return float(np.exp(-1.0 / smoothing_h))


def smoothed(outdoor_c: FloatArray, smoothing_h: float) -> FloatArray:
    """Exponential smoothing of complete hourly temperatures, (n,), as a convolution over five time constants."""
    length = min(len(outdoor_c), int(5 * smoothing_h) + 1)
    kernel = fade_of(smoothing_h) ** np.arange(length)
    total = np.convolve(outdoor_c, kernel)[: len(outdoor_c)]
    mass = np.cumsum(kernel)
    return np.asarray(total / mass[np.minimum(np.arange(len(outdoor_c)), length - 1)])


def carried_on(start_c: FloatArray, outdoor_c: FloatArray, smoothing_h: float) -> FloatArray:
    """Carry T_eff on from its states (m,) along hourly temperatures (m, leads)."""
    keep = fade_of(smoothing_h)
    out = np.empty_like(outdoor_c)
    state = start_c
    for lead in range(outdoor_c.shape[1]):
        state = keep * state + (1.0 - keep) * outdoor_c[:, lead]
        out[:, lead] = state
    return out


def straight_line(x: FloatArray, y: FloatArray, weight: FloatArray) -> tuple[float, float, float]:
    """Weighted least squares y = a + b x with b >= 0: (a, b, weighted squared error)."""
    total = float(weight.sum())
    x_mean, y_mean = dot(weight, x) / total, dot(weight, y) / total
    x_dev, y_dev = x - x_mean, y - y_mean
    variance = dot(weight, x_dev * x_dev)
    slope = max(0.0, dot(weight, x_dev * y_dev) / variance) if variance > 1e-9 * total else 0.0
    error = y_dev - slope * x_dev
    return y_mean - slope * x_mean, slope, dot(weight, error * error)


def week_factor(ratio: FloatArray, weight: FloatArray, hour_of_week: IntArray) -> FloatArray:
    """Mean ratio per hour of week, (168,), drawn to the mean of its hour of day, that to 1, each by `SHRINK_WEEKS`."""
    phase = hour_of_week % 24
    day_weight = np.bincount(phase, weights=weight, minlength=24)
    day = (np.bincount(phase, weights=weight * ratio, minlength=24) + SHRINK_WEEKS) / (day_weight + SHRINK_WEEKS)
    week_weight = np.bincount(hour_of_week, weights=weight, minlength=WEEK_H)
    week = np.bincount(hour_of_week, weights=weight * ratio, minlength=WEEK_H)
    return np.asarray((week + SHRINK_WEEKS * np.tile(day, 7)) / (week_weight + SHRINK_WEEKS))


def fit_signature(demand_kw: FloatArray, outdoor_c: FloatArray, hour_of_week: IntArray, weight: FloatArray) -> Signature:
    """Fit to hourly demand (NaN: left out) and complete temperatures, all (n,); weight (n,) is recency.

    Two rounds: line, factors, line again on demand / factor. At least one demand must be known.
    """
    use = np.isfinite(demand_kw) & (weight > 0.0)
    y, w, phase = demand_kw[use], weight[use], hour_of_week[use]
    candidates = [(s, t, np.maximum(0.0, t - smoothed(outdoor_c, s)[use])) for s in SMOOTHINGS_H for t in T_BASES_C]
    fits = [straight_line(x, y, w) for _, _, x in candidates]
    best = min(range(len(fits)), key=lambda i: fits[i][2])
    (smoothing_h, t_base_c, x), (a, b, _) = candidates[best], fits[best]
    factor = np.ones(WEEK_H)
    for _ in range(2):
        line = a + b * x
        floor = 0.05 * max(dot(w, y) / float(w.sum()), 1e-9)
        factor = week_factor(y / np.maximum(line, floor), w, phase)
        a, b, _ = straight_line(x, y / np.maximum(factor[phase], 0.05), w)
    return Signature(base_kw=a, slope_kw_per_k=b, t_base_c=t_base_c, smoothing_h=smoothing_h, factor=factor)
