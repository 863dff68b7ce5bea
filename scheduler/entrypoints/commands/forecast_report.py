"""Trials of forecasts as plain numbers, in the units that people use: what `--json` writes and the page is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from scheduler.core.forecast.calendar import at_hour
from scheduler.core.forecast.judged import DayAhead, curves, day_ahead, months, telling_weeks
from scheduler.core.forecast.trial import Trial, scores
from scheduler.domain.time import FloatArray
from scheduler.units import KWH_PER_MWH

TITLES = {
    "demand": "Heat demand",
    "price": "Spot price",
    "carbon": "Carbon intensity",
    "outdoor": "Outdoor temperature",
    "arrivals": "Work to come",
    "insulated": "Insulated work",
}
DIGITS = 6


def report_of(trials: Mapping[str, Trial]) -> list[dict[str, Any]]:
    """One entry per quantity of which anything can be judged."""
    return [quantity_of(name, for_people(trial)) for name, trial in trials.items() if np.any(trial.judged)]


def for_people(trial: Trial) -> Trial:
    """A trial in the unit that people quote: prices in EUR/MWh."""
    if trial.unit != "EUR/kWh":
        return trial
    names = ("predicted", "actual", "persistence", "last_week", "week_mean", "low", "high")
    known = {name: values for name in names if (values := getattr(trial, name)) is not None}
    return replace(trial, unit="EUR/MWh", **{name: KWH_PER_MWH * values for name, values in known.items()})


def quantity_of(name: str, trial: Trial) -> dict[str, Any]:
    """Scores by lead range, curves by lead, months and telling weeks of one quantity."""
    told = day_ahead(trial)
    about, _, _ = name.partition(" ")
    return {
        "name": name,
        "title": TITLES[about],
        "unit": trial.unit,
        "weather": None if about != "demand" else "told" if name.endswith("told") else "none",
        "scores": [rounded(asdict(score)) for score in scores(trial)],
        "by_lead": {key: listed(values) for key, values in asdict(curves(trial)).items()},
        "by_month": [rounded(asdict(month)) for month in months(told)],
        "weeks": [week_of(label, told, part) for label, part in telling_weeks(told)],
    }


def week_of(label: str, told: DayAhead, part: slice) -> dict[str, Any]:
    """Hours of a week: what came, what was said a day ahead, and what the week before was."""
    return {
        "label": label,
        "start_utc": f"{at_hour(int(told.hour[part][0])):%Y-%m-%dT%H:%MZ}",
        "mae": round(float(np.nanmean(told.error[part])), DIGITS),
        "time_utc": [f"{at_hour(int(hour)):%Y-%m-%dT%H:%MZ}" for hour in told.hour[part]],
        "actual": listed(told.actual[part]),
        "forecast": listed(told.predicted[part]),
        "last_week": listed(told.last_week[part]),
        "low": None if told.low is None else listed(told.low[part]),
        "high": None if told.high is None else listed(told.high[part]),
    }


def listed(values: FloatArray | None) -> list[float | None] | None:
    """Numbers for JSON; None is "not known"."""
    if values is None:
        return None
    return [round(float(value), DIGITS) if np.isfinite(value) else None for value in values]


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with floats in few digits."""
    return {key: round(value, DIGITS) if isinstance(value, float) else value for key, value in values.items()}
