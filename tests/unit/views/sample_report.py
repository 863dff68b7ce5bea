"""A small invented report with the shape of `heat-dispatch backtest --json`, for tests of pages and tables."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from scheduler.views.style import STRATEGY_NAMES, TERM_NAMES

HOURS = 168


def sample_report() -> dict[str, Any]:
    """Seven strategies over a week, with every optional part present."""
    start = datetime(2026, 1, 5, tzinfo=UTC)
    time_utc = [(start + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ") for hour in range(HOURS)]
    demand = [80 + 25 * math.cos(2 * math.pi * (hour - 7) / 24) for hour in range(HOURS)]
    return {
        "scenario": "sample <week>",
        "start_utc": "2026-01-05T00:00:00Z",
        "days": 7,
        "cycles": 168,
        "wall_s": 42.0,
        "strategies": {name: one_strategy(index) for index, name in enumerate(STRATEGY_NAMES)},
        "bound": {"cost_eur": 820.0, "method": "Lagrangian dual over the coupling rows."},
        "value_captured": 0.83,
        "ablation": {"plant_eur": 12.0, "shifting_eur": 31.5, "pausing_eur": -0.4, "capping_eur": 88.0},
        "binding_share": {"demand": 0.41, "heat_pump": 0.02, "tank": 0.1, "gpus": 0.33},
        "solver": {"p50_s": 0.11, "p95_s": 0.2, "max_s": 0.31, "rolling_gap_p95": 0.004, "degraded_cycles": 0},
        "invariants": {"checked": 12345, "violations": []},
        "decomposition": {
            "ours": {"cost_eur": 850.0, "value_captured": 0.83},
            "known_arrivals": {"cost_eur": 840.0, "value_captured": 0.88},
        },
        "series": {
            "time_utc": time_utc,
            "price_eur_per_mwh": [50 + 30 * math.sin(2 * math.pi * hour / 24) for hour in range(HOURS)],
            "demand_kw": demand,
            "strategies": {name: one_series(demand, share) for name, share in (("ours", 0.9), ("fifo", 0.7))},
        },
    }


def one_strategy(index: int) -> dict[str, Any]:
    """Costs that fall from strategy to strategy."""
    cost = dict.fromkeys(TERM_NAMES, 0.0) | {
        "electricity": 900.0 - 10 * index,
        "network": 300.0,
        "heat_revenue": -250.0,
        "waiting": 20.0,
    }
    cash, shadow = cost["electricity"] + 50.0, 20.0
    return {
        "cost_eur": {**cost, "cash": cash, "shadow": shadow, "total": cash + shadow},
        "heat_sold_kwh": 9000.0 + 100 * index,
        "jobs": {
            "completed": 10,
            "unfinished": 0,
            "deadline_misses": 0,
            "wait_h_mean": 0.5 * index,
            "wait_h_p95": 2.0,
            "preemptions": 1,
        },
        "firm": {"promised_kwh": 5000.0, "delivered_kwh": 5200.0, "shortfall_kwh": 3.0},
    }


def one_series(demand: list[float], share: float) -> dict[str, list[float]]:
    """Heat that follows demand."""
    sold = [share * value for value in demand]
    return {
        "sold_kw": sold,
        "promised_kw": [0.8 * value for value in sold],
        "it_kw": [1.4 * value for value in sold],
        "gpus_busy": [value for value in sold],
        "tank_kwh": [20 + 10 * math.sin(value) for value in sold],
    }
