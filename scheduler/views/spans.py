"""Long runs on a page: means by the day for the whole of it, and telling weeks of it in full."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from scheduler.units import S_PER_DAY

# A run up to here is drawn as it is: its plots have a point per slot.
PLAIN_DAYS = 21
WEEK_DAYS = 7

Series = Mapping[str, Any]


def per_day(series: Series) -> int:
    """Steps of a day."""
    return max(1, int(S_PER_DAY) // int(series.get("step_s", 900)))


def is_long(series: Series) -> bool:
    """True when a run is too long to be drawn step by step."""
    return len(series["time_utc"]) > PLAIN_DAYS * per_day(series)


def by_day(series: Series) -> dict[str, Any]:
    """The same series as means over whole days from its start, and of what is left."""
    many = per_day(series)
    starts = range(0, len(series["time_utc"]), many)
    return each_column(series, lambda values: [round(fmean(values[at : at + many]), 2) for at in starts], many)


def week_from(series: Series, day: int) -> dict[str, Any]:
    """Seven days of a series, step by step."""
    many = per_day(series)
    part = slice(day * many, (day + WEEK_DAYS) * many)
    return each_column(series, lambda values: list(values[part]), 1, part)


def each_column(
    series: Series, change: Callable[[Sequence[float]], list[float]], many: int, part: slice = slice(None)
) -> dict[str, Any]:
    """A series with every column changed; one instant in `many` is kept of `part`."""
    strategies = {name: {key: change(values) for key, values in one.items()} for name, one in series["strategies"].items()}
    return {
        "step_s": many * int(series.get("step_s", 900)),
        "time_utc": list(series["time_utc"][part][::many]),
        "price_eur_per_mwh": change(series["price_eur_per_mwh"]),
        "demand_kw": change(series["demand_kw"]),
        "strategies": strategies,
    }


def telling_weeks(series: Series, days: int) -> list[tuple[str, dict[str, Any]]]:
    """The weeks of most and of least heat demand within the first `days`, before the drain, each with its title."""
    daily = by_day(series)["demand_kw"][:days]
    weeks = {day: fmean(daily[day : day + WEEK_DAYS]) for day in range(len(daily) - WEEK_DAYS + 1)}
    if not weeks:
        return []
    most, least = max(weeks, key=lambda day: weeks[day]), min(weeks, key=lambda day: weeks[day])
    named = [("The week of most heat demand", most), ("The week of least heat demand", least)]
    return [(f"{title} (UTC)", week_from(series, day)) for title, day in named]
