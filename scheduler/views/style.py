"""One look for every figure and page: colours by meaning, the same in plots, tables and the live view."""

from __future__ import annotations

from typing import Any

INK = "#1d2733"
MUTED = "#66727f"
GRID = "#e6eaee"
PAPER = "#ffffff"
HEAT = "#d1495b"
DEMAND = "#f2b5a7"
PRICE = "#30638e"
GPU = "#5b8c5a"
TANK = "#edae49"
FIRM = "#7a3b69"
BOUND = "#1d2733"

STRATEGY_NAMES = {
    "fifo": "FIFO",
    "easy_backfill": "EASY backfill",
    "price_threshold": "Price threshold",
    "heat_greedy": "Heat greedy",
    "easy_fixed_cap": "EASY, fixed cap",
    "plant_only": "EASY, our plant",
    "ours": "heat-dispatch",
}
STRATEGY_COLOURS = {
    "fifo": "#9aa5b1",
    "easy_backfill": "#7b8794",
    "price_threshold": "#8fb8de",
    "heat_greedy": "#e4a5ad",
    "easy_fixed_cap": "#a8c9a1",
    "plant_only": "#f3d19c",
    "ours": HEAT,
}
TERM_NAMES = {
    "electricity": "IT electricity",
    "heat_pump": "Heat pump",
    "rejection": "Cooling",
    "network": "Network",
    "heat_revenue": "Heat sold",
    "capacity_payment": "Capacity payment",
    "shortfall": "Shortfall",
    "waiting": "Waiting",
    "lateness": "Lateness",
    "preemption": "Preemption",
    "slowdown": "Slowdown",
    "carbon": "Carbon (shadow)",
}
TERM_COLOURS = {
    "electricity": "#30638e",
    "heat_pump": "#5f8fb5",
    "rejection": "#9dbfd8",
    "network": "#c9dcea",
    "heat_revenue": "#d1495b",
    "capacity_payment": "#e9a3ac",
    "shortfall": "#7a3b69",
    "waiting": "#edae49",
    "lateness": "#c97b12",
    "preemption": "#8a6d3b",
    "slowdown": "#f3d19c",
    "carbon": "#6b7280",
}

LEVER_NAMES = {"plant": "Plant dispatch", "shifting": "Shifting", "pausing": "Pausing", "capping": "Capping"}
BINDING_NAMES = {"demand": "Heat demand", "heat_pump": "Heat pump or plug", "tank": "Tank", "gpus": "GPUs"}
KNOWLEDGE_NAMES = {
    "true_prices": "True prices beyond tomorrow",
    "true_heat_and_weather": "True heat demand and weather",
    "true_durations": "True durations",
    "known_arrivals": "Known arrivals",
    "all_known": "All of it",
    "best_all_known_plan": "All of it, planned to the end of the window",
    "foresight_plan": "All of it, one plan from the bound's prices",
}


def layout(title: str, height: int = 360, **more: Any) -> dict[str, Any]:
    """Plotly layout shared by all figures; `more` overrides."""
    base: dict[str, Any] = {
        "title": {"text": title, "font": {"size": 15, "color": INK}, "x": 0.0, "xanchor": "left", "y": 0.98, "yanchor": "top"},
        "height": height,
        "margin": {"l": 62, "r": 20, "t": 44, "b": 64},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif", "size": 12, "color": INK},
        "legend": {"orientation": "h", "y": -0.16, "x": 0.0, "yanchor": "top"},
        "hovermode": "x unified",
        "xaxis": {"gridcolor": GRID, "zeroline": False},
        "yaxis": {"gridcolor": GRID, "zerolinecolor": MUTED, "zerolinewidth": 1},
    }
    base.update(more)
    return base
