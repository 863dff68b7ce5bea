"""Carbon Aware SDK: /emissions/bylocations [{location, time, rating}], /emissions/forecasts/current [{forecastData}]."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from signal_peer import Page, Routes

from scheduler.domain.observed import CARBON
from signal_pages.made import json_page, slots, wave

OPTIONS: dict[str, dict[str, str]] = {CARBON: {"location": "northeurope", "basis": "marginal"}}
CREDENTIALS: dict[str, str] = {}
UNITS = {CARBON: "g/kWh"}
STEP_S = 300


def value_at(quantity: str, at_utc: datetime) -> float:
    return wave(at_utc, STEP_S, middle=450.0, swing=120.0)


def text(at_utc: datetime) -> str:
    return f"{at_utc:%Y-%m-%dT%H:%M:%S}+00:00"


def routes(now_utc: datetime) -> Routes:
    made_utc = datetime.fromtimestamp(int(now_utc.timestamp()) // STEP_S * STEP_S, tz=now_utc.tzinfo)

    def bylocations(query: Mapping[str, str]) -> Page:
        start, end = (datetime.fromisoformat(query[name]) for name in ("time", "toTime"))
        return json_page(
            [
                {"location": "IE", "time": text(at), "rating": value_at(CARBON, at), "duration": "00:05:00"}
                for at in slots(start, min(end, made_utc), STEP_S)
            ]
        )

    def current(query: Mapping[str, str]) -> Page:
        points = [
            {"location": "IE", "timestamp": text(at), "duration": 5, "value": value_at(CARBON, at)}
            for at in slots(made_utc, made_utc + timedelta(hours=24), STEP_S)
        ]
        return json_page(
            [
                {
                    "requestedAt": text(now_utc),
                    "generatedAt": text(made_utc),
                    "location": query["location"],
                    "dataStartAt": points[0]["timestamp"],
                    "dataEndAt": points[-1]["timestamp"],
                    "windowSize": 5,
                    "optimalDataPoints": [points[7]],
                    "forecastData": points,
                }
            ]
        )

    return {"/emissions/bylocations": bylocations, "/emissions/forecasts/current": current}
