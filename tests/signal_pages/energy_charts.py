"""Energy-Charts: /price {license_info, unix_seconds, price, unit, deprecated}; /co2eq {unix_seconds, co2eq, co2eq_forecast}.

Where there is nothing for these days: 404 with {"detail": "no content available"}.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from signal_peer import Page, Routes

from scheduler.domain.observed import CARBON, PRICE
from signal_pages.made import json_page, published_until, slots, wave

OPTIONS: dict[str, dict[str, str]] = {PRICE: {"area": "DE-LU"}, CARBON: {"area": "de"}}
CREDENTIALS: dict[str, str] = {}
UNITS = {PRICE: "EUR/MWh", CARBON: "g/kWh"}
STEP_S = 900
# Measured values come some time after their slot.
LATE = timedelta(hours=1)


def value_at(quantity: str, at_utc: datetime) -> float:
    middle, swing = (80.0, 70.0) if quantity == PRICE else (320.0, 180.0)
    return wave(at_utc, STEP_S, middle=middle, swing=swing)


def asked(query: Mapping[str, str], now_utc: datetime) -> list[datetime]:
    start, end = (datetime.fromisoformat(query[name]) for name in ("start", "end"))
    return list(slots(start, min(end, published_until(now_utc)), STEP_S))


def routes(now_utc: datetime) -> Routes:
    def price(query: Mapping[str, str]) -> Page:
        instants = asked(query, now_utc)
        if not instants:
            return json_page({"detail": "no content available"}, 404)
        return json_page(
            {
                "license_info": "CC BY 4.0 (creativecommons.org/licenses/by/4.0) from Bundesnetzagentur | SMARD.de",
                "unix_seconds": [int(at.timestamp()) for at in instants],
                "price": [value_at(PRICE, at) for at in instants],
                "unit": "EUR / MWh",
                "deprecated": False,
            }
        )

    def co2eq(query: Mapping[str, str]) -> Page:
        instants = asked(query, now_utc)
        measured = [at < now_utc - LATE for at in instants]
        values = [value_at(CARBON, at) for at in instants]
        return json_page(
            {
                "unix_seconds": [int(at.timestamp()) for at in instants],
                "co2eq": [value if known else None for value, known in zip(values, measured, strict=True)],
                "co2eq_forecast": [None if known else value for value, known in zip(values, measured, strict=True)],
                "deprecated": False,
            }
        )

    return {"/price": price, "/co2eq": co2eq}
