"""Prometheus: /api/v1/query_range {status, data: {resultType: "matrix", result: [{metric, values: [[s, "text"]]}]}}."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from signal_peer import Page, Routes

from scheduler.domain.observed import HEAT_DEMAND
from signal_pages.made import json_page, slots, wave

OPTIONS: dict[str, dict[str, str]] = {
    HEAT_DEMAND: {"expression": "avg_over_time(plant_heat_kilowatts[15m])", "unit": "kW", "grade": "measured"}
}
CREDENTIALS: dict[str, str] = {}
UNITS = {HEAT_DEMAND: "kW"}
STEP_S = 900


def value_at(quantity: str, at_utc: datetime) -> float:
    return wave(at_utc, STEP_S, middle=9000.0, swing=4000.0)


def routes(now_utc: datetime) -> Routes:
    def query_range(query: Mapping[str, str]) -> Page:
        start, end = (datetime.fromtimestamp(int(query[name]), tz=UTC) for name in ("start", "end"))
        # A value at a time is the mean of the quarter hour that ends then.
        values = [
            [int(at.timestamp()) + STEP_S, repr(value_at(HEAT_DEMAND, at))]
            for at in slots(start, end, int(query["step"]))
            if at.timestamp() + STEP_S <= now_utc.timestamp()
        ]
        labels = {"job": "plant", "instance": "plant:9100"}
        return json_page(
            {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": labels, "values": values}]}}
        )

    return {"/api/v1/query_range": query_range}
