"""Direct regression for every lead at once: the forecast is the last row of the hindcast.

For an hourly quantity y, an origin o (the last known hour) and a lead h, the target y[o + h] is explained by what is known
at o:

    x1 = y at the same hour of the last known day             persistence by day
    x2 = mean of y at the same hour of the last 7 days        diurnal profile
    x3 = y[o] - mean of y at o's hour of the 7 days before    deviation now
    x4 = mean of the last 24 h - mean of the last 7 days      deviation of the day

One ridge regression per lead (a local projection, Jorda 2005), drawn to a prior that holds for anything with weather in it:

    y[o + h] = x2 + exp(-h / decay) * (w x3 + (1 - w) x4),    w = 0.3 + 0.7 exp(-h / quick)

The prior alone is a good forecast, so the first week is as well served as the tenth. The same matrices hold what would have
been said at every earlier origin: residual quantiles cost nothing more.

What is known of the time ahead (a weather forecast) enters as a fifth regressor, the change that it brings, drawn to count
once; the hindcasts know it as well, so that their residuals are those of a forecast that is told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.forecast.calendar import DAY_H, WEEK_H
from scheduler.core.forecast.fill import seasonal
from scheduler.domain.time import FloatArray, IntArray

PROFILE_DAYS = 7
FEATURES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectSettings:
    """decay_h, quick_h: constants of the prior. ridge_rows: weight of the prior, in rows. half_life_h: old rows count half.

    stride_h: spacing of the origins. past_h: how far back they go. smooth_leads: leads pooled to each side.
    """

    decay_h: float = 60.0
    quick_h: float = 8.0
    ridge_rows: float = 1000.0
    half_life_h: float = 24.0 * 28
    stride_h: int = 3
    past_h: int = 24 * 42
    smooth_leads: int = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Paths:
    """Forecasts from many origins, the present one last; rows are origins, column i is lead i + 1.

    origin: index of the last known hour, (m,). predicted, actual: (m, leads); actual is NaN where not known (yet).
    weight: (m,), recency.
    """

    origin: IntArray
    predicted: FloatArray
    actual: FloatArray
    weight: FloatArray

    @property
    def now(self) -> FloatArray:
        """The forecast of the present origin, shape (leads,)."""
        return np.asarray(self.predicted[-1])

    @property
    def residual(self) -> FloatArray:
        """Actual minus predicted, (m, leads), NaN where not known."""
        return np.asarray(self.actual - self.predicted)


def origins(count: int, settings: DirectSettings) -> IntArray:
    """Origin indices, the last one being the last hour of `count`, with a week of past before the first."""
    first = min(max(2 * WEEK_H, count - 1 - settings.past_h), count - 1)
    return np.arange(count - 1, first - 1, -settings.stride_h, dtype=np.int64)[::-1]


def targets(values: FloatArray, origin: IntArray, leads: int) -> FloatArray:
    """Known values at origin + lead, (m, leads); NaN beyond the end."""
    padded = np.concatenate([values, np.full(leads, np.nan)])
    return np.asarray(padded[origin[:, None] + np.arange(1, leads + 1)])


def features(past: FloatArray, origin: IntArray, leads: int) -> FloatArray:
    """Regressors x1..x4 of the module, (m, leads, 4), from complete values (no NaN)."""
    lead = np.arange(1, leads + 1)
    back = -(-lead // DAY_H) * DAY_H
    index = origin[:, None] + lead - back
    days = index[:, :, None] - DAY_H * np.arange(PROFILE_DAYS)
    profile = past[days].mean(axis=2)
    here = origin[:, None] - DAY_H * np.arange(1, PROFILE_DAYS + 1)
    total = np.concatenate([[0.0], np.cumsum(past)])
    day_mean = (total[origin + 1] - total[origin + 1 - DAY_H]) / DAY_H
    week_mean = (total[origin + 1] - total[origin + 1 - WEEK_H]) / WEEK_H
    out = np.empty((len(origin), leads, FEATURES))
    out[:, :, 0] = past[index]
    out[:, :, 1] = profile
    out[:, :, 2] = (past[origin] - past[here].mean(axis=1))[:, None]
    out[:, :, 3] = (day_mean - week_mean)[:, None]
    return out


def prior(leads: int, settings: DirectSettings) -> FloatArray:
    """Coefficients before any evidence, (leads, 4): profile plus fading deviations of the hour and of the day."""
    lead = np.arange(1, leads + 1)
    now_share = 0.3 + 0.7 * np.exp(-lead / settings.quick_h)
    fade = np.exp(-lead / settings.decay_h)
    return np.stack([np.zeros(leads), np.ones(leads), now_share * fade, (1.0 - now_share) * fade], axis=1)


def pooled(values: FloatArray, reach: int) -> FloatArray:
    """Sum over neighbouring leads (axis 0), `reach` to each side, edges shortened."""
    total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    count = len(values)
    low = np.maximum(np.arange(count) - reach, 0)
    high = np.minimum(np.arange(count) + reach + 1, count)
    return np.asarray(total[high] - total[low])


def regress(x: FloatArray, y: FloatArray, weight: FloatArray, before: FloatArray, settings: DirectSettings) -> FloatArray:
    """Ridge coefficients per lead around `before`: x (m, leads, k), y (m, leads) with NaN left out, weight (m,) -> (leads, k).

    Minimises sum_o w_o (y - x b)^2 + ridge_rows * scale_k * (b_k - before_k)^2, scale_k the mean square of regressor k.
    """
    known = np.isfinite(y)
    w = np.where(known, weight[:, None], 0.0)
    error = np.where(known, y - np.einsum("olk,lk->ol", x, before), 0.0)
    # Origins last, so that the long sums run along memory; not `@`, see `sums`.
    by_lead = np.ascontiguousarray(x.transpose(1, 2, 0))
    weighted = by_lead * w.T[:, None, :]
    normal = pooled(np.einsum("lko,ljo->lkj", weighted, by_lead), settings.smooth_leads)
    right = pooled(np.einsum("lko,lo->lk", weighted, np.ascontiguousarray(error.T)), settings.smooth_leads)
    rows = np.maximum(pooled(w.sum(axis=0)[:, None], settings.smooth_leads)[:, 0], 1.0)
    diagonal = np.einsum("lkk->lk", normal) / rows[:, None]
    size = diagonal.max(axis=1, keepdims=True)
    ridge = settings.ridge_rows * np.maximum(diagonal, 1e-6 * size + 1e-12)
    normal = normal + np.eye(x.shape[2]) * ridge[:, None, :]
    return np.asarray(before + np.linalg.solve(normal, right[:, :, None])[:, :, 0])


def row_weight(values: FloatArray, origin: IntArray, half_life_h: float) -> FloatArray:
    """Weight of each origin, (m,): halves every half life, zero before two days of the past are known."""
    known = np.flatnonzero(np.isfinite(values))
    first = int(known[0]) if len(known) else len(values)
    recency = np.exp2((origin - float(origin[-1])) / half_life_h)
    return np.asarray(np.where(origin >= first + 2 * DAY_H, recency, 0.0))


def direct(values: FloatArray, leads: int, settings: DirectSettings, change: FloatArray | None = None) -> Paths:
    """Hindcasts and forecast of hourly `values` (NaN: not known), whose last entry is the present hour; see the module.

    Needs more than two weeks of hours, known or not; one value must be known. Shifting or scaling `values` (and `change`) does
    the same to the forecast. change: what is told of the time ahead changes, (m, leads), from each of the m `origins`.
    """
    complete = seasonal(values)
    origin = origins(len(values), settings)
    mean = float(complete[-WEEK_H:].mean())
    x = features(complete - mean, origin, leads)
    y = targets(values - mean, origin, leads)
    weight = row_weight(values, origin, settings.half_life_h)
    before = prior(leads, settings)
    if change is not None:
        x = np.concatenate([x, change[:, :, None]], axis=2)
        before = np.concatenate([before, np.ones((leads, 1))], axis=1)
    coefficient = regress(x, y, weight, before, settings)
    predicted = np.einsum("olk,lk->ol", x, coefficient) + mean
    return Paths(origin=origin, predicted=predicted, actual=y + mean, weight=weight)
