"""MET Norway's locationforecast 2.0, /compact: GeoJSON, instants every hour for two and a half days, then every sixth."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime

from signal_peer import Page, Routes

from scheduler.domain.observed import OUTDOOR
from signal_pages.made import json_page, slots, wave

OPTIONS: dict[str, dict[str, str]] = {OUTDOOR: {"latitude": "55.6761", "longitude": "12.5683", "contact": "ops@example.org"}}
CREDENTIALS: dict[str, str] = {}
UNITS = {OUTDOOR: "degC"}
STEP_S = 3600


def value_at(quantity: str, at_utc: datetime) -> float:
    return wave(at_utc, STEP_S, middle=3.0, swing=5.0)


def routes(now_utc: datetime) -> Routes:
    def compact(query: Mapping[str, str]) -> Page:
        near, far = now_utc + timedelta(hours=60), now_utc + timedelta(days=9)
        instants = [*slots(now_utc - timedelta(hours=1), near, STEP_S), *slots(near, far, 6 * STEP_S)]
        series = [
            {
                "time": f"{at:%Y-%m-%dT%H:%M:%SZ}",
                "data": {"instant": {"details": {"air_temperature": value_at(OUTDOOR, at), "wind_speed": 2.5}}},
            }
            for at in instants
        ]
        made_utc = now_utc - timedelta(minutes=5)
        status, headers, body = json_page(
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [float(query["lon"]), float(query["lat"]), 9]},
                "properties": {
                    "meta": {
                        "updated_at": f"{made_utc:%Y-%m-%dT%H:%M:%SZ}",
                        "units": {"air_temperature": "celsius", "wind_speed": "m/s"},
                    },
                    "timeseries": series,
                },
            }
        )
        expires = format_datetime(now_utc + timedelta(minutes=30), usegmt=True)
        return status, {**headers, "Expires": expires, "Last-Modified": format_datetime(made_utc, usegmt=True)}, body

    return {"/compact": compact}
