"""WattTime v3: /login {token} for basic authorization; /v3/forecast and /v3/historical {data: [{point_time, value}], meta}."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from signal_peer import Page, Routes

from scheduler.domain.observed import CARBON
from signal_pages.made import json_page, slots, wave

OPTIONS: dict[str, dict[str, str]] = {CARBON: {"region": "CAISO_NORTH", "horizonHours": "24"}}
CREDENTIALS: dict[str, str] = {"user": "somebody", "password": "watttime-password"}
UNITS = {CARBON: "lb/MWh"}
STEP_S = 300
TOKEN = "a-token-that-lasts-half-an-hour"


def value_at(quantity: str, at_utc: datetime) -> float:
    return wave(at_utc, STEP_S, middle=870.0, swing=300.0)


def data(start_utc: datetime, end_utc: datetime) -> list[dict[str, object]]:
    instants = slots(start_utc, end_utc, STEP_S)
    return [{"point_time": f"{at:%Y-%m-%dT%H:%M:%S}+00:00", "value": value_at(CARBON, at)} for at in instants]


def meta(query: Mapping[str, str]) -> dict[str, object]:
    return {
        "data_point_period_seconds": STEP_S,
        "region": query["region"],
        "warnings": [{"type": "EXAMPLE_WARNING", "message": "an example"}],
        "signal_type": query["signal_type"],
        "model": {"date": "2026-03-01"},
        "units": "lbs_co2_per_mwh",
    }


def routes(now_utc: datetime) -> Routes:
    made_utc = datetime.fromtimestamp(int(now_utc.timestamp()) // STEP_S * STEP_S, tz=now_utc.tzinfo)

    def login(query: Mapping[str, str]) -> Page:
        return json_page({"token": TOKEN})

    def forecast(query: Mapping[str, str]) -> Page:
        end_utc = made_utc + timedelta(hours=int(query["horizon_hours"]))
        about = meta(query)
        about.update(generated_at=f"{made_utc:%Y-%m-%dT%H:%M:%S}+00:00", generated_at_period_seconds=STEP_S)
        return json_page({"data": data(made_utc, end_utc), "meta": about})

    def historical(query: Mapping[str, str]) -> Page:
        start, end = (datetime.fromisoformat(query[name]) for name in ("start", "end"))
        return json_page({"data": data(start, min(end, made_utc)), "meta": meta(query)})

    return {"/login": login, "/v3/forecast": forecast, "/v3/historical": historical}
