"""Plotly figures as plain dicts, from the plain numbers of a report. All times UTC, prices in EUR/MWh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.views.style import (
    BOUND,
    DEMAND,
    FIRM,
    GPU,
    GRID,
    HEAT,
    MUTED,
    PRICE,
    STRATEGY_COLOURS,
    STRATEGY_NAMES,
    TANK,
    TERM_COLOURS,
    TERM_NAMES,
    layout,
)

Figure = dict[str, Any]
Values = Sequence[float | None]


def step_line(name: str, x: Sequence[str], y: Values, colour: str, **more: Any) -> Figure:
    """A line that holds each value over its interval."""
    line = {"color": colour, "width": 1.8, "shape": "hv"}
    return {"type": "scatter", "mode": "lines", "name": name, "x": list(x), "y": list(y), "line": line, **more}


def area(name: str, x: Sequence[str], y: Values, colour: str, **more: Any) -> Figure:
    """A filled step line."""
    trace = step_line(name, x, y, colour, fill="tozeroy", **more)
    trace["line"] = {"color": colour, "width": 0.8, "shape": "hv"}
    return trace


def panes(title: str, labels: Sequence[str], height_px: int = 190) -> Figure:
    """Layout with stacked panes that share the time axis; `labels` name the y axes from top to bottom."""
    count = len(labels)
    gap = 0.05
    share = (1.0 - gap * (count - 1)) / count
    out = layout(title, height=height_px * count + 110)
    out["legend"] = {"orientation": "h", "y": -0.5 / (height_px * count / 110), "x": 0.0, "yanchor": "top"}
    for index, label in enumerate(labels):
        top = 1.0 - index * (share + gap)
        out[axis("yaxis", index)] = {
            "domain": [max(0.0, top - share), top],
            "title": {"text": label, "font": {"size": 12}},
            "gridcolor": GRID,
            "rangemode": "tozero",
            "zerolinecolor": MUTED,
        }
    out["xaxis"] = {"gridcolor": GRID, "anchor": ref("y", count - 1), "type": "date"}
    return out


def axis(kind: str, index: int) -> str:
    """Layout key of pane `index`: yaxis, yaxis2, ..."""
    return kind if index == 0 else f"{kind}{index + 1}"


def ref(letter: str, index: int) -> str:
    """Trace reference of pane `index`: y, y2, ..."""
    return letter if index == 0 else f"{letter}{index + 1}"


def cost_bars(strategies: Mapping[str, Mapping[str, Any]], bound_eur: float | None) -> Figure:
    """Stacked cost terms per strategy with the proven bound as a line; revenue goes below zero."""
    names = [name for name in STRATEGY_NAMES if name in strategies]
    labels = [STRATEGY_NAMES[name] for name in names]
    data: list[Figure] = []
    for term, label in TERM_NAMES.items():
        y = [round(float(strategies[name]["cost_eur"].get(term, 0.0)), 2) for name in names]
        if any(abs(value) > 0.005 for value in y):
            data.append({"type": "bar", "name": label, "x": labels, "y": y, "marker": {"color": TERM_COLOURS[term]}})
    totals = [round(float(strategies[name]["cost_eur"]["total"]), 2) for name in names]
    marker = {"symbol": "line-ew", "size": 34, "line": {"width": 3, "color": BOUND}}
    text = [f"{value:,.0f}" for value in totals]
    data.append(
        {"type": "scatter", "mode": "markers+text", "name": "Total", "x": labels, "y": totals, "marker": marker,
         "text": text, "textposition": "top center", "textfont": {"size": 12}}
    )  # fmt: skip
    spec = layout("Cost by term, EUR", height=460, barmode="relative")
    if bound_eur is not None:
        line = {"color": HEAT, "dash": "dot", "width": 2}
        spec["shapes"] = [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": bound_eur, "y1": bound_eur, "line": line}]
        spec["annotations"] = [
            {"xref": "paper", "yref": "paper", "x": 1.0, "y": 1.0, "text": f"dotted: no policy below {bound_eur:,.0f} EUR",
             "showarrow": False, "yanchor": "bottom", "xanchor": "right", "font": {"color": HEAT, "size": 12}}
        ]  # fmt: skip
    return {"data": data, "layout": spec}


def unless_zero(values: Values) -> Values:
    """Values with gaps for zeros: a promise that was not made is no promise of nothing."""
    return [value or None for value in values]


def closed_loop(series: Mapping[str, Any], first: str, second: str, title: str = "The run (UTC)") -> Figure:
    """Price, heat, GPUs and tank of two strategies over the run.

    `series` has time_utc, price_eur_per_mwh, demand_kw and strategies[name] with sold_kw, promised_kw, gpus_busy,
    it_kw and tank_kwh, all of one length.
    """
    x = series["time_utc"]
    a, b = series["strategies"][first], series["strategies"][second]
    name_a, name_b = STRATEGY_NAMES.get(first, first), STRATEGY_NAMES.get(second, second)
    colour_b = STRATEGY_COLOURS.get(second, MUTED)
    data = [
        step_line("Spot price", x, series["price_eur_per_mwh"], PRICE, yaxis="y"),
        area("Heat demand", x, series["demand_kw"], DEMAND, yaxis="y2", opacity=0.7),
        step_line(f"Heat sold, {name_b}", x, b["sold_kw"], colour_b, yaxis="y2"),
        step_line(f"Heat sold, {name_a}", x, a["sold_kw"], HEAT, yaxis="y2"),
        step_line(f"Promised, {name_a}", x, unless_zero(a["promised_kw"]), FIRM, yaxis="y2"),
        step_line(f"IT power, {name_b}", x, b["it_kw"], colour_b, yaxis="y3", showlegend=False),
        step_line(f"IT power, {name_a}", x, a["it_kw"], GPU, yaxis="y3"),
        *tank_line(f"Tank, {name_a}", x, a["tank_kwh"]),
    ]
    return {"data": data, "layout": panes(title, pane_labels(a["tank_kwh"]), 165)}


def tank_line(name: str, x: Sequence[str], tank_kwh: Values) -> list[Figure]:
    """The tank's level in a pane of its own, the fourth; nothing for a tank that is not there or never holds anything."""
    return [step_line(name, x, tank_kwh, TANK, yaxis="y4")] if any(tank_kwh) else []


def pane_labels(tank_kwh: Values) -> list[str]:
    """Axes from top to bottom."""
    return ["EUR/MWh", "heat, kW", "IT power, kW", *(["tank, kWh"] if any(tank_kwh) else [])]


def bars(title: str, labels: Sequence[str], values: Values, unit: str, colour: str = PRICE) -> Figure:
    """Horizontal bars with their values written out."""
    text = ["" if value is None else f"{value:,.1f} {unit}" for value in values]
    trace = {
        "type": "bar", "orientation": "h", "x": list(values), "y": list(labels), "text": text, "textposition": "outside",
        "cliponaxis": False, "marker": {"color": colour}, "hoverinfo": "none",
    }  # fmt: skip
    spec = layout(title, height=90 + 38 * len(labels), hovermode=False, showlegend=False)
    spec["margin"] = {"l": 190, "r": 80, "t": 44, "b": 30}
    spec["yaxis"] = {"autorange": "reversed", "automargin": True}
    return {"data": [trace], "layout": spec}


def plan_panes(plan: Mapping[str, Any]) -> Figure:
    """One plan: price, heat against demand with firm and tank, GPU use; x holds step starts (`time_utc`)."""
    x = plan["time_utc"]
    data = [
        step_line("All-in price", x, plan["price_eur_per_mwh"], PRICE, yaxis="y"),
        area("Heat demand (median)", x, plan["demand_kw"], DEMAND, yaxis="y2", opacity=0.7),
        step_line("Heat sold", x, plan["sold_kw"], HEAT, yaxis="y2"),
        step_line("Firm", x, unless_zero(plan["firm_kw"]), FIRM, yaxis="y2"),
        step_line("IT power", x, plan["it_kw"], GPU, yaxis="y3"),
        *tank_line("Tank level", x, plan["tank_kwh"]),
    ]
    return {"data": data, "layout": panes("The plan (UTC)", pane_labels(plan["tank_kwh"]), 155)}


def gantt(rows: Sequence[Mapping[str, Any]], limit: int = 60) -> Figure:
    """Planned runs: one bar per stretch of one cap level.

    Each row: job_id, class_name, gpus, decided and segments[{start_utc, end_utc, level}], level 1 = uncapped.
    """
    shades = [(0.95, "#d1495b", "uncapped"), (0.8, "#e58a6f", "85 %"), (0.65, "#edae49", "70 %"), (0.0, "#5b8c5a", "57 %")]
    data: list[Figure] = []
    shown = sorted(rows, key=lambda row: str(row["segments"][0]["start_utc"]) if row["segments"] else "")[:limit]
    for index, (least, colour, label) in enumerate(shades):
        most = shades[index - 1][0] if index else 9.0
        for decided in (True, False):
            x: list[str | None] = []
            y: list[str | None] = []
            for row in shown:
                for part in row["segments"]:
                    if least <= part["level"] < most and bool(row["decided"]) is decided:
                        x += [part["start_utc"], part["end_utc"], None]
                        y += [job_label(row), job_label(row), None]
            if x:
                name = f"cap {label}" if index else label
                line = {"width": 9, "color": colour}
                data.append(
                    {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": line, "opacity": 1.0 if decided else 0.45,
                     "name": name if decided else f"{name}, may move", "connectgaps": False}
                )  # fmt: skip
    spec = layout("Jobs: planned runs and caps", height=150 + 17 * len(shown), hovermode="closest")
    labels = [job_label(row) for row in reversed(shown)]
    spec["yaxis"] = {"automargin": True, "categoryorder": "array", "categoryarray": labels, "tickfont": {"size": 10}}
    spec["legend"]["y"] = -60.0 / (150 + 17 * max(1, len(shown)))
    return {"data": data, "layout": spec}


def job_label(row: Mapping[str, Any]) -> str:
    """What names a job on an axis."""
    return f"{row['job_id']} ({row['gpus']} GPU, {row['class_name'] or 'expected'})"
