"""SMARD: index_RESOLUTION.json {timestamps} and one file per week {meta_data: {version, created}, series: [[ms, price]]}."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from signal_peer import Page, Route, Routes

from scheduler.domain.observed import PRICE
from signal_pages.made import json_page, midnight, published_until, slots, wave

OPTIONS: dict[str, dict[str, str]] = {PRICE: {"area": "DE-LU"}}
CREDENTIALS: dict[str, str] = {}
UNITS = {PRICE: "EUR/MWh"}
STEP_S, ZONE = 900, ZoneInfo("Europe/Berlin")
WEEKS = 10
FOLDER = "/app/chart_data/4169/DE"


def value_at(quantity: str, at_utc: datetime) -> float:
    return wave(at_utc, STEP_S, middle=75.0, swing=65.0)


def milliseconds(at_utc: datetime) -> int:
    return int(at_utc.timestamp()) * 1000


def mondays(now_utc: datetime) -> list[datetime]:
    """The local midnights at which the last weeks begin, that of tomorrow's prices too."""
    last = published_until(now_utc) - timedelta(minutes=1)
    days_since = last.astimezone(ZONE).weekday()
    return [midnight(last, ZONE, -days_since - 7 * back) for back in reversed(range(WEEKS))]


def routes(now_utc: datetime) -> Routes:
    def index(query: Mapping[str, str]) -> Page:
        return json_page({"timestamps": [milliseconds(at) for at in mondays(now_utc)]})

    def week(monday: datetime, query: Mapping[str, str]) -> Page:
        known = published_until(now_utc)
        pairs = [
            [milliseconds(at), value_at(PRICE, at) if at < known else None]
            for at in slots(monday, midnight(monday, ZONE, 7), STEP_S)
        ]
        return json_page({"meta_data": {"version": 1, "created": milliseconds(now_utc) - 123_456}, "series": pairs})

    files: dict[str, Route] = {
        f"{FOLDER}/4169_DE_quarterhour_{milliseconds(monday)}.json": partial(week, monday) for monday in mondays(now_utc)
    }
    return {f"{FOLDER}/index_quarterhour.json": index, **files}
