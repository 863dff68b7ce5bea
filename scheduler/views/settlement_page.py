"""The page of a settlement: one section per customer, with its figures and every day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.units import CENTS_PER_UNIT, MICRO_PER_UNIT, WH_PER_KWH
from scheduler.views.page import Html, cards, figure, heading, page, paragraph, table
from scheduler.views.settlement import (
    DIFFERENCE_HEADER,
    LINE_HEADER,
    NAMES,
    amount,
    compute_sentences,
    difference_rows,
    energy,
    line_rows,
    sentences,
)
from scheduler.views.style import DEMAND, FIRM, HEAT, PRICE, layout
from scheduler.views.tables import percent

RELIEF_NAMES = {
    "rejected": "schedule rejected",
    "partial": "schedule accepted in part",
    "override": "manual override at the plant",
    "request": "asked for less",
    "maintenance": "maintenance at the plant",
    "silent": "schedule not accepted",
    "agreed": "agreed",
}


def settlement_page(statements: Sequence[Mapping[str, Any]], changed: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A self-contained page; `changed` holds by customer what differs from an issued statement."""
    month = statements[0]["month"]
    parts = [part for index, one in enumerate(statements) for part in section(index, one, changed.get(one["offtake_id"]))]
    lead = (
        "Positive amounts are owed by the customer. Every line is quantity times price, rounded to a cent once; the total is "
        "the sum of the lines. Days are local days."
    )
    return page(f"Settlement of heat, {month}", lead, parts, "heat-dispatch report settlement")


def section(index: int, statement: Mapping[str, Any], changed: Sequence[Mapping[str, Any]] | None) -> list[Html]:
    """Everything about one customer."""
    rows = line_rows(statement)
    found = [
        heading(statement["offtake_id"], f"{statement['start_utc']} to {statement['end_utc']}"),
        headline(statement),
        table(LINE_HEADER, rows, {len(rows) - 1: "total"}),
        *(paragraph(text) for text in sentences(statement)),
        figure(f"days-{index}", days_figure(statement)),
    ]
    if statement["periods"]:
        found.append(figure(f"firm-{index}", firm_figure(statement)))
    if changed is not None:
        lines = difference_rows(changed)
        found += [heading("What has changed since it was issued"), table(DIFFERENCE_HEADER, lines, {len(lines) - 1: "total"})]
    if statement["reliefs"]:
        found += [
            heading("What the customer relieved us of"),
            table(("what", "from", "until", "at most kW", "reason"), relief_rows(statement)),
        ]
    found += [heading("Day by day"), table(("day", "kWh", "per kWh", "amount"), day_rows(statement))]
    if statement["check"]:
        found += [
            heading("Both meters"),
            table(("day", "ours, kWh", "the customer's, kWh", "difference", ""), check_rows(statement)),
        ]
    return [*found, heading("Jobs"), *(paragraph(text) for text in compute_sentences(statement))]


def headline(statement: Mapping[str, Any]) -> Html:
    """The figures that are asked for first."""
    return cards(
        [
            (
                f"{amount(statement['total_cents'])} {statement['currency']}",
                "owed by the customer" if statement["final"] else "so far; open",
            ),
            (f"{float(statement['heat_kwh']):,.0f} kWh", "heat delivered"),
            (f"{float(statement['shortfall_kwh']):,.0f} kWh", "short of the promise, beyond the tolerance"),
            (percent(statement["availability_fraction"]), "of contracted minutes kept"),
        ]
    )


def day_rows(statement: Mapping[str, Any]) -> list[list[str]]:
    """Energy lines."""
    return [
        [one["day"], energy(one["quantity_wh"]), f"{one['price_micro_count'] / MICRO_PER_UNIT:.6f}", amount(one["cents"])]
        for one in statement["lines"]
        if one["kind"] == "energy"
    ]


def relief_rows(statement: Mapping[str, Any]) -> list[list[str]]:
    """Reliefs of the month."""
    return [
        [RELIEF_NAMES[one["kind"]], one["start_utc"][:16], one["end_utc"][:16], energy(one["limit_w"]), one["text"]]
        for one in statement["reliefs"]
    ]


def check_rows(statement: Mapping[str, Any]) -> list[list[str]]:
    """Days by both meters."""
    return [
        [
            one["day"],
            energy(one["ours_wh"]),
            energy(one["theirs_wh"]),
            percent((one["ours_wh"] - one["theirs_wh"]) / one["ours_wh"] if one["ours_wh"] else None),
            "too far apart" if one["apart_too_far"] else "",
        ]
        for one in statement["check"]
    ]


def days_figure(statement: Mapping[str, Any]) -> dict[str, Any]:
    """Heat and money of each day."""
    lines = [one for one in statement["lines"] if one["kind"] == "energy"]
    x = [one["day"] for one in lines]
    heat = {"type": "bar", "name": f"{NAMES['energy']}, kWh", "x": x, "y": [one["quantity_wh"] / WH_PER_KWH for one in lines]}
    money = [one["cents"] / CENTS_PER_UNIT for one in lines]
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"Amount, {statement['currency']}",
        "x": x,
        "y": money,
        "yaxis": "y2",
    }
    spec = layout("Heat of each day", height=330)
    spec["margin"] |= {"r": 66}
    spec["yaxis"] |= {"title": {"text": "kWh"}, "rangemode": "tozero"}
    spec["yaxis2"] = {
        "overlaying": "y",
        "side": "right",
        "showgrid": False,
        "title": {"text": statement["currency"]},
        "rangemode": "tozero",
    }
    return {"data": [{**heat, "marker": {"color": HEAT}}, {**line, "line": {"color": PRICE}}], "layout": spec}


def firm_figure(statement: Mapping[str, Any]) -> dict[str, Any]:
    """Promised, owed and delivered heat of every delivery period."""
    periods = statement["periods"]
    x = [one["start_utc"] for one in periods]
    shape = {"shape": "hv", "width": 1.4}

    def trace(name: str, key: str, colour: str) -> dict[str, Any]:
        y = [None if one[key] is None else one[key] / WH_PER_KWH for one in periods]
        return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": {**shape, "color": colour}}

    data = [trace("Promised", "promised_wh", DEMAND), trace("Owed", "owed_wh", FIRM), trace("Delivered", "delivered_wh", HEAT)]
    spec = layout("Firm heat by delivery period, kWh (UTC)", height=330)
    spec["yaxis"] |= {"rangemode": "tozero"}
    return {"data": data, "layout": spec}
