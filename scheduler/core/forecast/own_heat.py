"""Quantiles of a strategy's own deliverable heat for each hour of a coming day: what a promise is made of.

A strategy says what it expects to deliver (its plan, or for a rule the mean of its own last days). How much of such a median
was really delivered earlier gives the quantile; before there is evidence a prior of stated width stands in and then fades.
The same function serves every strategy, so that promises compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.core.forecast.calendar import DAY_H, WEEK_H, hour_number, local_hours
from scheduler.core.forecast.fill import hourly
from scheduler.core.forecast.quantiles import weighted_quantile
from scheduler.domain.time import FloatArray, Series

# Delivered / median at these probabilities before a strategy has a record, worth PRIOR_HOURS of experience. Half a day ahead
# and more, the queue is unknown: one day in ten the cluster gives hardly more than half of what was expected.
PRIOR_RATIO_AT = ((0.0, 0.2), (0.025, 0.4), (0.1, 0.6), (0.25, 0.8), (0.5, 0.97), (0.75, 1.08), (0.9, 1.25), (1.0, 1.6))
PRIOR_HOURS = 36.0
HALF_LIFE_H = 24.0 * 14
MAX_RECORD = 24 * 56
# A median below this share of the largest one says nothing about ratios.
MIN_MEDIAN_FRACTION = 0.02
# Whole paths: the level of the last hours stands for so long; days looked back on; the prior's rows and its weight in days.
LEVEL_HOURS = 2
LEVEL_MEMORY_H = 12.0
PATH_DAYS = 56
WEEK_DAYS = 7
SAME_WEEKDAY_WEIGHT = 5.0
PRIOR_ROWS = 20
PRIOR_DAYS = 1.5
MAX_PATH_RATIO = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PastMedian:
    """What was expected for one hour (hour number since 1970) at the gate, and what came; None while it has not come."""

    hour: int
    median_kw: float
    delivered_kw: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnHeatRecord:
    """A strategy's past medians in order of hours: explicit state, passed in and returned."""

    entries: tuple[PastMedian, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnHeatLimits:
    """What bounds a promise, kW per hour, (hours,): the plug's capability, the demand's quantile, the sure floor.

    floor_kw: heat of idle GPUs and near-certain work as far as the plant can deliver it at all (heat pump minimum load).
    """

    capability_kw: FloatArray
    demand_kw: FloatArray
    floor_kw: FloatArray


def remember(record: OwnHeatRecord, first_hour: int, median_kw: FloatArray) -> OwnHeatRecord:
    """Add the medians of a coming day; hours already recorded keep their first median (it was the one promised from)."""
    last = record.entries[-1].hour if record.entries else None
    new = tuple(
        PastMedian(hour=first_hour + i, median_kw=float(value))
        for i, value in enumerate(median_kw)
        if np.isfinite(value) and (last is None or first_hour + i > last)
    )
    return OwnHeatRecord(entries=(record.entries + new)[-MAX_RECORD:])


def settle(record: OwnHeatRecord, delivered_kw: Series) -> OwnHeatRecord:
    """Enter what was delivered in the hours that are over; an hour without a measurement stays open."""
    waiting = [entry.hour for entry in record.entries if entry.delivered_kw is None]
    if not waiting:
        return record
    first = waiting[0]
    grid = delivered_kw.grid
    stop = min(waiting[-1] + 1, hour_number(grid.end_utc))
    values = hourly(delivered_kw, first, max(first, stop))
    entries = tuple(
        PastMedian(hour=entry.hour, median_kw=entry.median_kw, delivered_kw=float(values[entry.hour - first]))
        if entry.delivered_kw is None and first <= entry.hour < stop and np.isfinite(values[entry.hour - first])
        else entry
        for entry in record.entries
    )
    return OwnHeatRecord(entries=entries)


def rule_median_kw(delivered_kw: Series | None, first_hour: int, hours: int, now: int, time_zone: str) -> FloatArray:
    """Median of a strategy without a plan, (hours,): hour-of-day mean of its own last week, at the level of its last day.

    NaN where it has delivered nothing yet that could tell (no promise follows from that).
    """
    if delivered_kw is None:
        return np.full(hours, np.nan)
    past = hourly(delivered_kw, now - WEEK_H, now)
    if not np.any(np.isfinite(past)):
        return np.full(hours, np.nan)
    zone = ZoneInfo(time_zone)
    known = np.isfinite(past)
    hour_then = local_hours(now - WEEK_H, WEEK_H, zone).hour
    hour_ahead = local_hours(first_hour, hours, zone).hour
    mean = float(past[known].mean())
    count = np.bincount(hour_then[known], minlength=DAY_H)
    total = np.bincount(hour_then[known], weights=past[known] - mean, minlength=DAY_H)
    shape = total / (count + 1.0)
    recent = past[-DAY_H:][np.isfinite(past[-DAY_H:])]
    level = mean if not len(recent) else 0.5 * (mean + float(recent.mean()))
    return np.asarray(np.maximum(0.0, level + shape[hour_ahead]))


def ratio_quantile(record: OwnHeatRecord, quantile: float) -> float:
    """Quantile of delivered / median: experience with a half life, and the prior as `PRIOR_HOURS` of it."""
    settled = [entry for entry in record.entries if entry.delivered_kw is not None]
    largest = max((entry.median_kw for entry in settled), default=0.0)
    used = [entry for entry in settled if entry.median_kw > MIN_MEDIAN_FRACTION * largest and entry.median_kw > 0.0]
    probability, ratio = zip(*PRIOR_RATIO_AT, strict=True)
    steps = (np.arange(40) + 0.5) / 40
    prior = np.interp(steps, probability, ratio)
    if not used:
        return float(np.interp(quantile, probability, ratio))
    hour = np.asarray([entry.hour for entry in used], dtype=np.float64)
    seen = np.asarray([(entry.delivered_kw or 0.0) / entry.median_kw for entry in used])
    weight = np.exp2((hour - hour[-1]) / HALF_LIFE_H)
    values = np.concatenate([seen, prior])
    weights = np.concatenate([weight, np.full(len(prior), PRIOR_HOURS / len(prior))])
    return weighted_quantile(values, weights, quantile)


def own_heat_kw(median_kw: FloatArray, record: OwnHeatRecord, limits: OwnHeatLimits, quantile: float = 0.1) -> FloatArray:
    """Quantile of deliverable heat per hour, (hours,), in kW; zero where the median is not known.

    min(capability, demand quantile, max(floor, ratio quantile * median)); rising in `quantile`, never negative.
    """
    ratio = ratio_quantile(record, quantile)
    median = np.where(np.isfinite(median_kw), median_kw, 0.0)
    scaled = np.maximum(np.minimum(limits.floor_kw, median), np.minimum(1.0, ratio) * median)
    if quantile > 0.5:
        scaled = np.maximum(scaled, ratio * median)
    return np.asarray(np.maximum(0.0, np.minimum(np.minimum(limits.capability_kw, limits.demand_kw), scaled)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PathErrors:
    """Came over expected heat of earlier days, (days, steps) as seen from the same time of day, and the weight of each day."""

    ratio: FloatArray
    weight: FloatArray


def expected_path_kw(heat_kw: Series, first_hour: int, hours: int, now: int, time_zone: str) -> FloatArray:
    """Median of a heat flow by its own past, (hours,): the pattern of `rule_median_kw`, begun at the level of the last hours.

    path(t) = pattern(t) + (last hours - pattern of these hours) * exp(-lead / LEVEL_MEMORY_H), never negative.
    """
    back = LEVEL_HOURS
    pattern = rule_median_kw(heat_kw, now - back, back + (first_hour - now) + hours, now, time_zone)
    last = hourly(heat_kw, now - back, now)
    off = last - pattern[:back]
    level = float(off[np.isfinite(off)].mean()) if np.any(np.isfinite(off)) else 0.0
    lead_h = first_hour - now + np.arange(hours) + 0.5
    return np.asarray(np.maximum(0.0, pattern[back + first_hour - now :] + level * np.exp(-lead_h / LEVEL_MEMORY_H)))


def path_ratio(heat_kw: Series, first_hour: int, hours: int, now: int, time_zone: str) -> FloatArray | None:
    """What came over what `expected_path_kw` would have said at hour `now`, (hours,); None where that is not known."""
    expected = expected_path_kw(heat_kw, first_hour, hours, now, time_zone)
    came = hourly(heat_kw, first_hour, first_hour + hours)
    known = np.isfinite(expected) & np.isfinite(came)
    if not np.all(known) or float(expected.mean()) <= 0.0:
        return None
    least = MIN_MEDIAN_FRACTION * float(expected.max())
    return np.asarray(np.clip(came / np.maximum(expected, least), 0.0, MAX_PATH_RATIO))


def path_errors(heat_kw: Series | None, first_hour: int, hours: int, now: int, time_zone: str) -> PathErrors:
    """Errors of such a path on earlier days, by half life, and the prior of stated width as PRIOR_DAYS of experience.

    The prior opens with the lead as bands do: an hour ahead little is unknown.
    """
    rows, weights = [], []
    earliest = np.inf if heat_kw is None else hour_number(heat_kw.grid.start_utc) + WEEK_H
    for days in range(1, PATH_DAYS + 1):
        back = days * DAY_H
        if heat_kw is None or now - back < earliest:
            break
        if first_hour - back + hours > now:
            continue
        row = path_ratio(heat_kw, first_hour - back, hours, now - back, time_zone)
        if row is not None:
            rows.append(row)
            weights.append(day_weight(days))
    return with_prior(rows, weights, first_hour - now, hours)


def day_weight(days: int) -> float:
    """Weight of a day so many days ago: by half life, and more for the same weekday, whose work comes and ends alike."""
    same = SAME_WEEKDAY_WEIGHT if days % WEEK_DAYS == 0 else 1.0
    return float(same * np.exp2(-days * DAY_H / HALF_LIFE_H))


def with_prior(rows: list[FloatArray], weights: list[float], lead_h: int, hours: int) -> PathErrors:
    """Rows of experience and the prior's."""
    probability, ratio = zip(*PRIOR_RATIO_AT, strict=True)
    at = np.interp((np.arange(PRIOR_ROWS) + 0.5) / PRIOR_ROWS, probability, ratio)
    opened = 1.0 - np.exp(-(lead_h + np.arange(hours) + 0.5) / LEVEL_MEMORY_H)
    prior = 1.0 + (at[:, None] - 1.0) * opened[None, :]
    weight = np.concatenate([np.asarray(weights), np.full(PRIOR_ROWS, PRIOR_DAYS / PRIOR_ROWS)])
    return PathErrors(ratio=np.concatenate([*(row[None, :] for row in rows), prior]), weight=weight)
