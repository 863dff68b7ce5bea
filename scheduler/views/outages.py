"""What outages of the sources cost and how the loop met them: a table, a page's section, and their figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.views import plots
from scheduler.views.page import Html, figure, heading, paragraph, table
from scheduler.views.style import GPU, HEAT, MUTED, PRICE, STRATEGY_NAMES, TANK, layout
from scheduler.views.tables import baseline_of, money, percent

# How the loop calls its steps, and what a reader is told.
STEP_NAMES = {"fresh": "planned around it", "lastGood": "last good plan", "ruleBased": "by rule", "letGo": "let go"}
STEP_COLOURS = {"fresh": GPU, "lastGood": TANK, "ruleBased": HEAT, "letGo": "#7a3b69"}
OUTAGE_HEADER = ("outage of", "for", "how", "EUR more", "more", "what the loop did")
OUTAGE_CAPTION = (
    "EUR more than the same run without the outage, and as a share of its total; "
    "each step of the loop with the number of cycles that took it"
)
SENTENCES = ("what the loop did",)


def outage_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """One row per run with an outage; empty without any."""
    found = report.get("outages") or {}
    return [
        [
            one["what"],
            one["length"],
            one["kind"],
            money(round(one["extra_eur"], 2) + 0.0),
            percent(one["extra_fraction"]),
            steps_told(one),
        ]
        for one in found.get("runs", ())
    ]


def steps_told(run: Mapping[str, Any]) -> str:
    """Steps in words, the deepest last, each with its cycles and with what was wrong then beyond what is said already."""
    told: list[str] = []
    named: set[str] = set()
    for step, name in STEP_NAMES.items():
        taken = [one for one in run["steps"] if one["step"] == step]
        reasons = dict.fromkeys(short(reason) for one in taken for reason in one["why"].split("; ") if reason)
        if taken:
            cycles = "" if step == "fresh" else f" {run['cycles'][step]}"
            new = [reason for reason in reasons if reason not in named]
            told.append(f"{name}{cycles}" + (f": {', '.join(new)}" if new else ""))
        named |= set(reasons)
    return "; ".join(told) or "noticed nothing"


def short(reason: str) -> str:
    """A reason without its customer: `heat_demand town: stale` is "heat demand stale"."""
    source, colon, wrong = reason.partition(": ")
    return f"{source.split(' ')[0].replace('_', ' ')} {wrong}" if colon else reason


def outage_lines(report: Mapping[str, Any]) -> list[str]:
    """What to hold the numbers against."""
    found = report.get("outages") or {}
    if not found:
        return []
    runs, without_eur = found["runs"], found["without"]["total_eur"]
    broken = sum(one["invariants"]["violations"] for one in runs)
    worst = max(runs, key=lambda one: float(one["extra_eur"]))
    lines = [
        f"Outages: {len(runs)} runs, none stopped, {broken} checks violated in them. The dearest: {name_of(worst)}, "
        f"{money(worst['extra_eur'])} EUR ({percent(worst['extra_fraction'])}) more than {money(without_eur)} EUR.",
    ]
    rule = baseline_of(report)
    if rule is not None:
        more_eur = report["strategies"][rule]["cost_eur"]["total"] - without_eur
        lines.append(f"Rules listen to no source: {STRATEGY_NAMES[rule]} costs {money(more_eur)} EUR more at all times.")
    return lines


def name_of(run: Mapping[str, Any]) -> str:
    """An outage in short."""
    return f"{run['what']}, {run['length']}, {run['kind']}"


def outages(report: Mapping[str, Any]) -> list[Html]:
    """The section of the page; nothing without outages."""
    found = report.get("outages") or {}
    if not found:
        return []
    runs = found["runs"]
    return [
        heading("What outages of the sources cost", "Our run again, with sources that fail by a script; all else is the same."),
        table(OUTAGE_HEADER, outage_rows(report), words=(len(OUTAGE_HEADER) - 1,)),
        *(paragraph(line) for line in outage_lines(report)),
        figure("outage-costs", costs_figure(runs)),
        figure("outage-steps", steps_figure(runs)),
    ]


def labels_of(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each run that no other has: those that differ in their start alone are told with it."""
    names = [name_of(one) for one in runs]
    return [
        name if names.count(name) == 1 else f"{name}, {one['start_utc'][5:16].replace('T', ' ')}"
        for name, one in zip(names, runs, strict=True)
    ]


def costs_figure(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A bar per run, with room for the numbers at both ends."""
    extra_eur = [round(float(one["extra_eur"]), 2) + 0.0 for one in runs]
    spec = plots.bars("Cost of each outage, EUR more", labels_of(runs), extra_eur, "EUR", PRICE)
    low, high = min(0.0, *extra_eur), max(0.0, *extra_eur)
    room = 0.15 * (high - low)
    spec["layout"]["xaxis"] = {**spec["layout"]["xaxis"], "range": [low - room * (low < 0.0), high + room]}
    return spec


def steps_figure(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A line per run: when the source was out, and over it which step the loop took when."""
    labels = labels_of(runs)
    windows = stretches([(label, one["start_utc"], one["end_utc"]) for label, one in zip(labels, runs, strict=True)])
    data = [line("outage", windows, MUTED, 16, opacity=0.3)]
    for step, name in STEP_NAMES.items():
        taken = stretches(
            [
                (label, part["from_utc"], part["until_utc"])
                for label, one in zip(labels, runs, strict=True)
                for part in one["steps"]
                if part["step"] == step
            ]
        )
        if taken[0]:
            data.append(line(name, taken, STEP_COLOURS[step], 7))
    height = 130 + 24 * len(runs)
    spec = layout("When the loop took which step (UTC)", height=height, hovermode="closest")
    spec["margin"] = {"l": 190, "r": 20, "t": 44, "b": 70}
    spec["yaxis"] = {"automargin": True, "categoryorder": "array", "categoryarray": labels[::-1]}
    spec["xaxis"] = {**spec["xaxis"], "type": "date"}
    spec["legend"]["y"] = -36.0 / (height - 114)
    return {"data": data, "layout": spec}


def stretches(parts: Sequence[tuple[str, str, str]]) -> tuple[list[str | None], list[str | None]]:
    """(label, from, until) as x and y of one broken line."""
    x: list[str | None] = []
    y: list[str | None] = []
    for label, first, last in parts:
        x += [first, last, None]
        y += [label, label, None]
    return x, y


def line(name: str, xy: tuple[list[str | None], list[str | None]], colour: str, width: int, **more: Any) -> dict[str, Any]:
    """One broken line of the figure."""
    style = {"color": colour, "width": width}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": xy[0],
        "y": xy[1],
        "line": style,
        "connectgaps": False,
        **more,
    }
