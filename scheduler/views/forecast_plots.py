"""Figures of judged forecasts as plain dicts, from the plain numbers of `forecast evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.views.style import DEMAND, GPU, GRID, HEAT, INK, MUTED, PRICE, TANK, layout

Figure = dict[str, Any]
REFERENCES = (
    ("persistence", "Last day", MUTED, "dot"),
    ("last_week", "Last week", PRICE, "dash"),
    ("week_mean", "Hour of week", TANK, "dashdot"),
)
# Calibrated is 90 %; three points to each side are shaded.
NOMINAL, TOLERANCE = 0.9, 0.03


def line(name: str, x: Sequence[Any], y: Sequence[float | None] | None, colour: str, **style: Any) -> Figure:
    """A thin line; `style` goes to plotly's line."""
    return {
        "type": "scatter", "mode": "lines", "name": name, "x": list(x), "y": list(y or []),
        "line": {"color": colour, "width": 1.8, **style},
    }  # fmt: skip


def week(quantity: Mapping[str, Any], one: Mapping[str, Any]) -> Figure:
    """A week as it was foretold a day ahead: truth, forecast with its band, last week."""
    x, unit = one["time_utc"], quantity["unit"]
    data = []
    if one["low"] is not None and one["high"] is not None:
        edge = {"width": 0.0, "color": DEMAND}
        low = {**line("p10", x, one["low"], DEMAND), "line": edge, "showlegend": False, "hoverinfo": "skip"}
        high = {**line("p10 to p90", x, one["high"], DEMAND), "line": edge, "fill": "tonexty", "hoverinfo": "skip"}
        data += [low, {**high, "fillcolor": "rgba(242,181,167,0.45)"}]
    data += [
        line("Last week", x, one["last_week"], MUTED, dash="dot", width=1.2),
        line("Forecast of the day before", x, one["forecast"], HEAT),
        line("What came", x, one["actual"], INK),
    ]
    text = f"{one['label'].capitalize()}, from {one['start_utc'][:10]}: MAE {one['mae']:,.3g} {unit}"
    spec = layout(text, height=300)
    spec["yaxis"] = {**spec["yaxis"], "title": {"text": unit}}
    spec["xaxis"] = {**spec["xaxis"], "type": "date"}
    return {"data": data, "layout": spec}


def error_by_lead(quantity: Mapping[str, Any]) -> Figure | None:
    """Mean absolute error at each lead beside the references; None where too few hours are known at every lead."""
    curves = quantity["by_lead"]
    if all(value is None for value in curves["mae"]):
        return None
    data = [line(label, curves["lead_h"], curves[key], colour, dash=dash) for key, label, colour, dash in REFERENCES]
    data.append(line("Forecast", curves["lead_h"], curves["mae"], HEAT, width=2.6))
    spec = layout("Error by lead", height=320)
    spec["yaxis"] = {**spec["yaxis"], "title": {"text": f"MAE, {quantity['unit']}"}, "rangemode": "tozero"}
    spec["xaxis"] = {**spec["xaxis"], "title": {"text": "hours ahead", "standoff": 6}, "dtick": 6}
    spec["legend"]["y"] = -0.24
    return {"data": data, "layout": spec}


def reliability(quantity: Mapping[str, Any], by: str) -> Figure | None:
    """Share of the hours above p10 and below p90, by "lead" or by "month"; None without a band."""
    if by == "lead":
        curves = quantity["by_lead"]
        x, above, below = curves["lead_h"], curves["above_p10"], curves["below_p90"]
    else:
        rows = quantity["by_month"]
        x, above, below = ([row[key] for row in rows] for key in ("month", "above_p10", "below_p90"))
    if not above or not below or all(value is None for value in above):
        return None
    data = [line("Above p10", x, above, PRICE, width=2.2), line("Below p90", x, below, GPU, width=2.2)]
    if by == "month":
        data = [{**trace, "mode": "lines+markers"} for trace in data]
    where = "Reliability by hours ahead" if by == "lead" else "Reliability by month, a day ahead"
    spec = layout(where, height=300)
    spec["yaxis"] = {"gridcolor": GRID, "tickformat": ".0%", "range": [0.7, 1.0], "zeroline": False}
    spec["xaxis"] = {**spec["xaxis"], **({"dtick": 6} if by == "lead" else {"type": "category"})}
    spec["shapes"] = [
        {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": NOMINAL - TOLERANCE, "y1": NOMINAL + TOLERANCE,
         "fillcolor": GRID, "opacity": 0.7, "line": {"width": 0}, "layer": "below"},
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": NOMINAL, "y1": NOMINAL,
         "line": {"color": MUTED, "width": 1, "dash": "dot"}, "layer": "below"},
    ]  # fmt: skip
    return {"data": data, "layout": spec}
