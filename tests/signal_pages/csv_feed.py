"""A table as German companies write them: semicolons, decimal commas, local times; at the root of the stand-in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from signal_peer import Page, Routes

from scheduler.domain.observed import HEAT_DEMAND, PRICE
from signal_pages.made import slots, wave

WRITTEN = {
    "timeColumn": "Zeit",
    "timeFormat": "%d.%m.%Y %H:%M",
    "timeZone": "Europe/Berlin",
    "separator": "semicolon",
    "decimal": "comma",
}
OPTIONS: dict[str, dict[str, str]] = {
    PRICE: {**WRITTEN, "valueColumn": "Preis", "unit": "ct/kWh", "grade": "published"},
    HEAT_DEMAND: {**WRITTEN, "valueColumn": "Wärme", "unit": "MW"},
}
CREDENTIALS: dict[str, str] = {}
UNITS = {PRICE: "ct/kWh", HEAT_DEMAND: "MW"}
STEP_S = 900
BERLIN = ZoneInfo("Europe/Berlin")


def value_at(quantity: str, at_utc: datetime) -> float:
    return wave(at_utc, STEP_S, middle=8.0, swing=5.0) if quantity == PRICE else wave(at_utc, STEP_S, middle=12.0, swing=6.0)


def routes(now_utc: datetime) -> Routes:
    def table(query: Mapping[str, str]) -> Page:
        lines = ["Zeit;Preis;Wärme;Bemerkung"]
        for at in slots(now_utc - timedelta(days=2), now_utc + timedelta(days=2), STEP_S):
            values = (f"{value_at(quantity, at):.2f}".replace(".", ",") for quantity in (PRICE, HEAT_DEMAND))
            lines.append(";".join([f"{at.astimezone(BERLIN):%d.%m.%Y %H:%M}", *values, ""]))
        return 200, {"Content-Type": "text/csv; charset=utf-8"}, "\r\n".join([*lines, ""]).encode("utf-8-sig")

    return {"/": table}
