"""Electricity Maps: /carbon-intensity/history {zone, history: [...]}, /latest, /forecast {zone, forecast: [...], updatedAt}."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from signal_peer import Page, Routes

from scheduler.domain.observed import CARBON
from signal_pages.made import json_page, slots, wave

OPTIONS: dict[str, dict[str, str]] = {CARBON: {"zone": "DK-DK2"}}
CREDENTIALS: dict[str, str] = {"token": "electricity-maps-token"}
UNITS = {CARBON: "g/kWh"}
STEP_S = 3600
# The newest hours are estimated at first.
ESTIMATED = timedelta(hours=3)


def value_at(quantity: str, at_utc: datetime) -> float:
    return wave(at_utc, STEP_S, middle=180.0, swing=90.0)


def text(at_utc: datetime) -> str:
    return f"{at_utc:%Y-%m-%dT%H:%M:%S}.000Z"


def record(at_utc: datetime, now_utc: datetime) -> dict[str, object]:
    estimated = at_utc > now_utc - ESTIMATED
    return {
        "zone": "DK-DK2",
        "carbonIntensity": value_at(CARBON, at_utc),
        "datetime": text(at_utc),
        "updatedAt": text(now_utc - timedelta(minutes=10)).replace(".000Z", ".123Z"),
        "createdAt": text(at_utc + timedelta(hours=1)),
        "emissionFactorType": "lifecycle",
        "isEstimated": estimated,
        "estimationMethod": "TIME_SLICER_AVERAGE" if estimated else None,
    }


def routes(now_utc: datetime) -> Routes:
    past = list(slots(now_utc - timedelta(hours=24), now_utc, STEP_S))

    def history(query: Mapping[str, str]) -> Page:
        return json_page({"zone": query["zone"], "history": [record(at, now_utc) for at in past]})

    def latest(query: Mapping[str, str]) -> Page:
        return json_page(record(past[-1], now_utc))

    def forecast(query: Mapping[str, str]) -> Page:
        ahead = slots(past[-1] + timedelta(hours=1), now_utc + timedelta(hours=24), STEP_S)
        values = [{"carbonIntensity": value_at(CARBON, at), "datetime": text(at)} for at in ahead]
        return json_page({"zone": query["zone"], "forecast": values, "updatedAt": text(now_utc - timedelta(minutes=30))})

    return {f"/carbon-intensity/{route.__name__}": route for route in (history, latest, forecast)}
