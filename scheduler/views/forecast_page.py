"""The page of `forecast evaluate`, from the JSON that it writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scheduler.views.forecast_plots import error_by_lead, reliability, week
from scheduler.views.forecast_tables import (
    MONTH_HEADER,
    SCORE_HEADER,
    month_rows,
    number,
    score_caption,
    score_rows,
    score_title,
    signed,
    told_columns,
    weather_words,
)
from scheduler.views.page import Html, cards, figure, heading, page, paragraph, table
from scheduler.views.tables import percent

DAY_AHEAD = "day ahead"


def forecast_page(report: Mapping[str, Any]) -> str:
    """A self-contained page."""
    parts = [headline(report), paragraph(score_caption(report))]
    for index, quantity in enumerate(report["quantities"]):
        parts += section(index, quantity)
    lead = (
        f"{report['forecasts']} forecasts, one each {report['every_h']} h, made of nothing but what was known then and judged "
        f"by what came. Hours are UTC; days and holidays are those of {place_of(report)}. {weather_words(report)}"
    )
    title = f"Forecasts of {report['series']}, {report['start_utc'][:10]} to {report['end_utc'][:10]}"
    return page(title, lead, parts, f"heat-dispatch forecast evaluate · {report['wall_s']:.0f} s")


def place_of(report: Mapping[str, Any]) -> str:
    """Whose days: the zone, and the country if one was named."""
    return f"{report['time_zone']}, {report['country']}" if report["country"] else str(report["time_zone"])


def day_ahead_of(quantity: Mapping[str, Any]) -> Mapping[str, Any]:
    """Score of the day ahead; of all leads where the forecasts end before it."""
    return next((score for score in quantity["scores"] if score["label"] == DAY_AHEAD), quantity["scores"][-1])


def headline(report: Mapping[str, Any]) -> Html:
    """The day ahead of every quantity: its error, and its skill over last week."""
    items = []
    for quantity in report["quantities"]:
        score = day_ahead_of(quantity)
        error = percent(score["mape_fraction"]) if quantity["weather"] else f"{number(score['mae'])} {quantity['unit']}"
        what = score_title(quantity).partition(" (")[0]
        measure = "mean error" if quantity["weather"] else "mean absolute error"
        items.append((error, f"{what}: {measure} {score['label']}, {signed(score['against_last_week'])} over last week"))
    return cards(items)


def section(index: int, quantity: Mapping[str, Any]) -> list[Html]:
    """Scores, error by lead, reliability, weeks and months of one quantity."""
    rows = score_rows(quantity)
    marks = {row: "strong" for row, cells in enumerate(rows) if cells[0] == DAY_AHEAD}
    figures = {
        "lead": error_by_lead(quantity),
        "reliable-lead": reliability(quantity, "lead"),
        "reliable-month": reliability(quantity, "month"),
        **{f"week-{place}": week(quantity, one) for place, one in enumerate(quantity["weeks"])},
    }
    return [
        heading(score_title(quantity)),
        table(*told_columns(SCORE_HEADER, rows), marks),
        *(figure(f"{name}-{index}", spec) for name, spec in figures.items() if spec is not None),
        table(*told_columns(MONTH_HEADER, month_rows(quantity))),
    ]
