"""aWATTar: {object, data: [{start_timestamp, end_timestamp, marketprice, unit}], url}, hourly, with bounds in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from signal_peer import Page, Routes

from scheduler.domain.observed import PRICE
from signal_pages.made import json_page, published_until, slots, wave

OPTIONS: dict[str, dict[str, str]] = {PRICE: {"area": "de"}}
CREDENTIALS: dict[str, str] = {}
UNITS = {PRICE: "EUR/MWh"}
STEP_S = 3600


def value_at(quantity: str, at_utc: datetime) -> float:
    return wave(at_utc, STEP_S, middle=45.0, swing=60.0)


def routes(now_utc: datetime) -> Routes:
    def marketdata(query: Mapping[str, str]) -> Page:
        start, end = (datetime.fromtimestamp(int(query[name]) // 1000, tz=UTC) for name in ("start", "end"))
        data = [
            {
                "start_timestamp": int(at.timestamp()) * 1000,
                "end_timestamp": (int(at.timestamp()) + STEP_S) * 1000,
                "marketprice": value_at(PRICE, at),
                "unit": "Eur/MWh",
            }
            for at in slots(start, min(end, published_until(now_utc, hour=14)), STEP_S)
        ]
        return json_page({"object": "list", "data": data, "url": "/at/v1/marketdata"})

    return {"/v1/marketdata": marketdata}
