"""Figures and tables of judged forecasts."""

from __future__ import annotations

import json
import re
from typing import Any

from scheduler.views.forecast_page import forecast_page
from scheduler.views.forecast_plots import error_by_lead, reliability, week
from scheduler.views.forecast_tables import (
    SCORE_HEADER,
    number,
    score_caption,
    score_rows,
    score_title,
    signed,
    told_columns,
)

HOURS = [f"2026-01-05T{hour:02d}:00Z" for hour in range(24)]


def quantity(*, band: bool) -> dict[str, Any]:
    """A quantity as `forecast evaluate` writes it."""
    share = 0.9 if band else None
    score = {
        "label": "day ahead", "hours": 48, "mean": 915.0, "mae": 47.06, "mape_fraction": 0.064, "bias": -0.001,
        "against_persistence": 0.384, "against_last_week": 0.628, "against_hour_of_week": None,
        "above_p10": share, "below_p90": share, "width": 161.4 if band else None,
    }  # fmt: skip
    path: list[float | None] = [1.0 + hour for hour in range(23)] + [None]
    curve = {"lead_h": [1, 2], "mae": [1.0, 2.0], "persistence": [2.0, None], "last_week": [3.0, 3.0], "week_mean": [4.0, 4.0]}
    month = {"month": "2026-01", "hours": 24, "mean": 915.0, "mae": 47.0, "last_week_mae": 120.0}
    return {
        "name": "demand heat", "title": "Heat demand", "unit": "kW", "weather": "told" if band else None,
        "scores": [score],
        "by_lead": {**curve, "above_p10": [0.9, None] if band else None, "below_p90": [0.9, 0.9] if band else None},
        "by_month": [{**month, "above_p10": share, "below_p90": share}],
        "weeks": [{"label": "hardest week", "start_utc": HOURS[0], "mae": 47.0, "time_utc": HOURS, "actual": path,
                   "forecast": path, "last_week": path, "low": path if band else None, "high": path if band else None}],
    }  # fmt: skip


def test_figures_are_strict_json_with_and_without_a_band() -> None:
    for band in (True, False):
        one = quantity(band=band)
        one_week = week(one, one["weeks"][0])
        drawn = [error_by_lead(one), one_week, *(reliability(one, by) for by in ("lead", "month"))]
        figures = [spec for spec in drawn if spec is not None]
        assert len(figures) == (4 if band else 2)
        for spec in figures:
            json.dumps(spec, allow_nan=False)
        assert len(one_week["data"]) == (5 if band else 3)


def test_rows_say_what_is_known_and_no_column_is_empty() -> None:
    header, rows = told_columns(SCORE_HEADER, score_rows(quantity(band=True)))
    assert "over hour of week" not in header
    assert rows == [["day ahead", "47.1", "6.4 %", "0.00", "+38 %", "+63 %", "90.0 %", "90.0 %", "161"]]
    assert told_columns(SCORE_HEADER, score_rows(quantity(band=False)))[0][-1] == "over last week"
    assert score_title(quantity(band=True)) == "Heat demand, weather told (kW; mean 915)"


def test_a_caption_explains_what_is_there() -> None:
    heat = quantity(band=True)
    assert not {"Prices:", "Work:"} & set(score_caption({"quantities": [heat]}).split())
    assert "Prices:" in score_caption({"quantities": [heat, {**heat, "unit": "EUR/MWh"}]}).split()
    assert "Work:" in score_caption({"quantities": [heat, {**heat, "unit": "GPU"}]}).split()


def test_numbers_have_about_three_digits_and_no_negative_zero() -> None:
    assert [number(value) for value in (1234.5, 99.96, 0.126, -0.001, None)] == ["1,234", "100.0", "0.13", "0.00", "–"]
    assert [signed(value) for value in (0.126, -0.2, -0.001, None)] == ["+13 %", "-20 %", "+0 %", "–"]


def test_the_page_needs_no_network_and_names_the_place() -> None:
    facts = {
        "series": "a <b>.csv", "time_zone": "Europe/Copenhagen", "country": "DK", "start_utc": HOURS[0], "end_utc": HOURS[-1],
        "every_h": 7, "leads_h": 48, "weather_error_c": 0.0, "forecasts": 4, "wall_s": 1.0,
    }  # fmt: skip
    text = forecast_page({**facts, "quantities": [quantity(band=True), quantity(band=False)]})
    assert "Europe/Copenhagen, DK" in text
    assert "a &lt;b&gt;.csv" in text
    assert not re.search(r"""(src|href)="https?://|@import|url\(["']?http""", text)
    # Names of figures are unique on a page: four of the first quantity, two of the second.
    ids = re.findall(r'<div id="([^"]+)"', text)
    assert len(ids) == len(set(ids)) == 6
