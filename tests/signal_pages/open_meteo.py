"""Open-Meteo: /v1/forecast {latitude, longitude, utc_offset_seconds, hourly_units, hourly: {time: [s], temperature_2m}}."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta

from signal_peer import Page, Routes

from scheduler.domain.observed import OUTDOOR
from signal_pages.made import json_page, slots, wave

OPTIONS: dict[str, dict[str, str]] = {OUTDOOR: {"latitude": "55.6761", "longitude": "12.5683"}}
CREDENTIALS: dict[str, str] = {}
UNITS = {OUTDOOR: "degC"}
STEP_S = 3600


def value_at(quantity: str, at_utc: datetime) -> float:
    return wave(at_utc, STEP_S, middle=4.0, swing=6.0)


def routes(now_utc: datetime) -> Routes:
    def forecast(query: Mapping[str, str]) -> Page:
        today = datetime.combine(now_utc.date(), time.min, UTC)
        start = today - timedelta(days=int(query["past_days"]))
        instants = list(slots(start, today + timedelta(days=int(query["forecast_days"])), STEP_S))
        return json_page(
            {
                "latitude": 55.68,
                "longitude": 12.58,
                "generationtime_ms": 0.05,
                "utc_offset_seconds": 0,
                "timezone": "GMT",
                "timezone_abbreviation": "GMT",
                "elevation": 9.0,
                "hourly_units": {"time": "unixtime", "temperature_2m": "°C"},
                "hourly": {
                    "time": [int(at.timestamp()) for at in instants],
                    "temperature_2m": [value_at(OUTDOOR, at) for at in instants],
                },
            }
        )

    return {"/v1/forecast": forecast}
