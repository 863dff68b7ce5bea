"""Energi Data Service: {total, filters, sort, limit, dataset, records}, asked for by Danish dates; TimeUTC has no offset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from signal_peer import Page, Routes

from scheduler.domain.observed import PRICE
from signal_pages.made import json_page, published_until, slots, wave

OPTIONS: dict[str, dict[str, str]] = {PRICE: {"area": "DK2"}}
CREDENTIALS: dict[str, str] = {}
UNITS = {PRICE: "EUR/MWh"}
STEP_S, ZONE = 900, ZoneInfo("Europe/Copenhagen")
DKK_PER_EUR = 7.46


def value_at(quantity: str, at_utc: datetime) -> float:
    return wave(at_utc, STEP_S, middle=70.0, swing=55.0)


def routes(now_utc: datetime) -> Routes:
    def day_ahead(query: Mapping[str, str]) -> Page:
        start, end = (datetime.fromisoformat(query[name]).replace(tzinfo=ZONE).astimezone(UTC) for name in ("start", "end"))
        (area,) = json.loads(query["filter"])["PriceArea"]
        limit = int(query.get("limit", "100"))
        records = [
            {
                "TimeUTC": f"{at:%Y-%m-%dT%H:%M:%S}",
                "TimeDK": f"{at.astimezone(ZONE):%Y-%m-%dT%H:%M:%S}",
                "PriceArea": area,
                "DayAheadPriceEUR": value_at(PRICE, at),
                "DayAheadPriceDKK": round(value_at(PRICE, at) * DKK_PER_EUR, 6),
            }
            for at in slots(start, min(end, published_until(now_utc, ZONE)), STEP_S)
        ][::-1][:limit]
        return json_page({"total": len(records), "limit": limit, "dataset": "DayAheadPrices", "records": records})

    return {"/dataset/DayAheadPrices": day_ahead}
