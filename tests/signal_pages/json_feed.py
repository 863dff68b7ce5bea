"""A plant's own JSON: records in a list in an object, at the root of the stand-in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from signal_peer import Page, Routes

from scheduler.domain.observed import HEAT_DEMAND, PLANT_FORECAST
from signal_pages.made import json_page, slots, wave

PATHS = {"records": "plants[?name=='north'] | [0].series", "time": "from", "unit": "MW"}
OPTIONS: dict[str, dict[str, str]] = {
    HEAT_DEMAND: {**PATHS, "value": "load.total", "minutes": "15"},
    PLANT_FORECAST: {**PATHS, "value": "load.total", "issued": "made"},
}
CREDENTIALS: dict[str, str] = {}
UNITS = {HEAT_DEMAND: "MW", PLANT_FORECAST: "MW"}
STEP_S = 900


def value_at(quantity: str, at_utc: datetime) -> float:
    return wave(at_utc, STEP_S, middle=14.0, swing=7.0)


def routes(now_utc: datetime) -> Routes:
    def document(query: Mapping[str, str]) -> Page:
        series = [
            {"from": at.isoformat(), "load": {"total": value_at(HEAT_DEMAND, at), "loss": 0.4}}
            for at in slots(now_utc - timedelta(days=2), now_utc + timedelta(days=2), STEP_S)
        ]
        plants = [{"name": "south", "series": []}, {"name": "north", "series": series}]
        return json_page({"made": now_utc.isoformat(), "plants": plants})

    return {"/": document}
