"""A trial as curves and stretches of time, for people who look: error by lead, bands by month, weeks as they were foretold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.forecast.calendar import WEEK_H, at_hour
from scheduler.core.forecast.trial import DAY_AHEAD, Trial
from scheduler.domain.time import BoolArray, FloatArray, IntArray

# Below so many hours a mean says more about chance than about the forecast.
LEAST_HOURS = 30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """Errors by lead, each (leads,); NaN where fewer than `LEAST_HOURS` hours can be judged. lead_h: 1, 2, ..."""

    lead_h: IntArray
    mae: FloatArray
    persistence: FloatArray
    last_week: FloatArray
    week_mean: FloatArray
    above_p10: FloatArray | None
    below_p90: FloatArray | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DayAhead:
    """Hours of a trial as they were foretold a day ahead, each (n,), in order of time; NaN: not judged.

    Every hour is told by the latest origin that lies at least 12 hours before it.
    """

    hour: IntArray
    predicted: FloatArray
    actual: FloatArray
    last_week: FloatArray
    low: FloatArray | None
    high: FloatArray | None

    @property
    def error(self) -> FloatArray:
        """Absolute error, (n,)."""
        return np.abs(self.predicted - self.actual)


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A calendar month (UTC) of hours foretold a day ahead."""

    month: str
    hours: int
    mean: float
    mae: float
    last_week_mae: float
    above_p10: float | None
    below_p90: float | None


def curves(trial: Trial) -> Curves:
    """Mean errors and coverage at each lead."""
    both = trial.judged
    banded = trial.low is not None and trial.high is not None
    return Curves(
        lead_h=np.arange(1, trial.actual.shape[1] + 1),
        mae=by_column(np.abs(trial.predicted - trial.actual), both),
        persistence=by_column(np.abs(trial.persistence - trial.actual), both),
        last_week=by_column(np.abs(trial.last_week - trial.actual), both),
        week_mean=by_column(np.abs(trial.week_mean - trial.actual), both),
        above_p10=by_column(trial.actual >= trial.low, both) if banded and trial.low is not None else None,
        below_p90=by_column(trial.actual <= trial.high, both) if banded and trial.high is not None else None,
    )


def by_column(values: FloatArray | BoolArray, use: BoolArray) -> FloatArray:
    """Mean of the used values of each column; NaN where there are too few."""
    hours = use.sum(axis=0)
    total = np.where(use, values, 0.0).sum(axis=0)
    return np.asarray(np.where(hours >= LEAST_HOURS, total / np.maximum(hours, 1), np.nan))


def day_ahead(trial: Trial) -> DayAhead:
    """Every hour that some origin tells at least 12 hours before."""
    least, leads = DAY_AHEAD[0] - 1, trial.actual.shape[1]
    hour = np.arange(trial.origin_h[0] + least, trial.origin_h[-1] + leads)
    row = np.searchsorted(trial.origin_h, hour - least, side="right") - 1
    column = hour - trial.origin_h[row]
    told = column < leads
    hour, row, column = hour[told], row[told], column[told]
    unknown = ~trial.judged[row, column]

    def path(values: FloatArray) -> FloatArray:
        return np.where(unknown, np.nan, values[row, column])

    return DayAhead(
        hour=hour,
        predicted=path(trial.predicted),
        actual=path(trial.actual),
        last_week=path(trial.last_week),
        low=None if trial.low is None else path(trial.low),
        high=None if trial.high is None else path(trial.high),
    )


def telling_weeks(told: DayAhead) -> list[tuple[str, slice]]:
    """The week with the smallest error, the middle one and the one with the largest, as ranges of the hours.

    Weeks follow each other from the first hour; one that is not known for four days of its seven does not count.
    """
    starts = range(0, len(told.hour) - WEEK_H + 1, WEEK_H)
    weeks = [slice(start, start + WEEK_H) for start in starts]
    known = [week for week in weeks if np.isfinite(told.error[week]).sum() > WEEK_H * 4 // 7]
    ranked = sorted(known, key=lambda week: float(np.nanmean(told.error[week])))
    if len(ranked) < 3:
        return [("week", week) for week in ranked]
    return [("easiest week", ranked[0]), ("middle week", ranked[len(ranked) // 2]), ("hardest week", ranked[-1])]


def months(told: DayAhead) -> list[Month]:
    """Errors and coverage by calendar month; months with few hours are left out."""
    stamp = np.asarray([f"{at_hour(int(hour)):%Y-%m}" for hour in told.hour])
    known = np.isfinite(told.error)
    found = []
    for month in np.unique(stamp):
        use = known & (stamp == month)
        if use.sum() < LEAST_HOURS:
            continue
        found.append(
            Month(
                month=str(month),
                hours=int(use.sum()),
                mean=float(told.actual[use].mean()),
                mae=float(told.error[use].mean()),
                last_week_mae=float(np.abs(told.last_week - told.actual)[use].mean()),
                above_p10=None if told.low is None else float((told.actual >= told.low)[use].mean()),
                below_p90=None if told.high is None else float((told.actual <= told.high)[use].mean()),
            )
        )
    return found
