"""Octopus: {next, results: [{value_exc_vat, value_inc_vat, valid_from, valid_to, payment_method}]}, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from signal_peer import Page, Routes

from scheduler.domain.observed import PRICE
from signal_pages.made import json_page, midnight, slots, wave

OPTIONS: dict[str, dict[str, str]] = {PRICE: {"product": "AGILE-24-10-01", "region": "C"}}
CREDENTIALS: dict[str, str] = {}
UNITS = {PRICE: "GBp/kWh"}
STEP_S, ZONE = 1800, ZoneInfo("Europe/London")
PATH = "/v1/products/AGILE-24-10-01/electricity-tariffs/E-1R-AGILE-24-10-01-C/standard-unit-rates/"
VAT = 1.05
# Less than is asked for, so that pages follow each other.
MOST_PER_PAGE = 60


def value_at(quantity: str, at_utc: datetime) -> float:
    return wave(at_utc, STEP_S, middle=18.0, swing=22.0)


def rate(at: datetime) -> dict[str, object]:
    """One half hour."""
    return {
        "value_exc_vat": value_at(PRICE, at),
        "value_inc_vat": round(value_at(PRICE, at) * VAT, 4),
        "valid_from": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "valid_to": f"{at + timedelta(seconds=STEP_S):%Y-%m-%dT%H:%M:%SZ}",
        "payment_method": None,
    }


def routes(now_utc: datetime) -> Routes:
    def rates(query: Mapping[str, str]) -> Page:
        start, end = (datetime.fromisoformat(query[name]) for name in ("period_from", "period_to"))
        # The next day runs to 23:00 local time and is there after 16:00.
        known = midnight(now_utc, ZONE, 2 if now_utc.astimezone(ZONE).hour >= 16 else 1) - timedelta(hours=1)
        found = [rate(at) for at in slots(start, min(end, known), STEP_S)][::-1]
        size, page = min(MOST_PER_PAGE, int(query.get("page_size", "100"))), int(query.get("page", "1"))
        here = found[(page - 1) * size : page * size]
        # The real one gives a whole address; a page does not know its own.
        following = f"?page={page + 1}" if page * size < len(found) else None
        return json_page({"count": len(found), "next": following, "previous": None, "results": here})

    return {PATH: rates}
