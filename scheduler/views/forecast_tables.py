"""How good forecasts were, as tables for a terminal and a page, from the plain numbers of `forecast evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.views.tables import percent

SCORE_HEADER = (
    "leads", "MAE", "MAPE", "bias", "over last day", "over last week", "over hour of week", "above p10", "below p90",
    "width",
)  # fmt: skip
MONTH_HEADER = ("month", "mean", "MAE", "last week's MAE", "above p10", "below p90")
NOTHING = "–"
WEATHER = {"none": "no weather forecast", "told": "weather told"}


def number(value: float | None) -> str:
    """About three digits, and a thousands separator; a dash for "not known"."""
    if value is None:
        return NOTHING
    digits = 0 if abs(value) >= 100.0 else 1 if abs(value) >= 10.0 else 2
    return f"{round(value, digits) + 0.0:,.{digits}f}"


def signed(fraction: float | None) -> str:
    """A skill in per cent with its sign; a dash for "not known"."""
    return NOTHING if fraction is None else f"{round(100.0 * fraction) + 0.0:+.0f} %"


def score_title(quantity: Mapping[str, Any]) -> str:
    """What a table is about: "Heat demand, weather told (kW; mean 915)"."""
    weather = WEATHER.get(quantity["weather"] or "", "")
    name = ", ".join(part for part in (quantity["title"], weather) if part)
    return f"{name} ({quantity['unit']}; mean {number(quantity['scores'][-1]['mean'])})"


def score_rows(quantity: Mapping[str, Any]) -> list[list[str]]:
    """One row per range of leads."""
    return [
        [
            score["label"],
            number(score["mae"]),
            percent(score["mape_fraction"]),
            number(score["bias"]),
            signed(score["against_persistence"]),
            signed(score["against_last_week"]),
            signed(score["against_hour_of_week"]),
            percent(score["above_p10"]),
            percent(score["below_p90"]),
            number(score["width"]),
        ]
        for score in quantity["scores"]
    ]


def told_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """A table without the columns in which nothing is known."""
    told = [index for index in range(len(header)) if any(row[index] != NOTHING for row in rows)]
    return [header[index] for index in told], [[row[index] for index in told] for row in rows]


def month_rows(quantity: Mapping[str, Any]) -> list[list[str]]:
    """One row per month, forecasts of a day ahead."""
    return [
        [
            month["month"],
            number(month["mean"]),
            number(month["mae"]),
            number(month["last_week_mae"]),
            percent(month["above_p10"]),
            percent(month["below_p90"]),
        ]
        for month in quantity["by_month"]
    ]


def weather_words(report: Mapping[str, Any]) -> str:
    """How good the told weather is; empty where none is told."""
    if not any(quantity["weather"] == "told" for quantity in report["quantities"]):
        return ""
    error_c = report["weather_error_c"]
    return f"The told weather errs by {error_c:g} K (made up)." if error_c else "The told weather is the one that came."


def score_caption(report: Mapping[str, Any]) -> str:
    """What the columns mean, and what the quantities of this report do."""
    units = {str(quantity["unit"]) for quantity in report["quantities"]}
    parts = [
        "over X: skill, 1 - MAE / MAE of X; last day: the same hour of the last known day (persistence); last week: the same "
        "hour a week before (seasonal-naive); hour of week: its mean over eight weeks. above p10, below p90: 90 % is "
        "calibrated. width: p90 - p10. day ahead: leads of 13 to 36 h, the next local day as seen from noon."
    ]
    if any(unit.startswith("EUR") for unit in units):
        parts.append("Prices: beyond the published hours.")
    if "GPU" in units:
        parts.append(
            "Work: GPUs, if every job ran at once; of work to come last day and last week are what came after the same hour "
            "then."
        )
    return " ".join(parts)
