"""Tables for a terminal, from the plain numbers of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from scheduler.units import KWH_PER_MWH
from scheduler.views.style import STRATEGY_NAMES, TERM_NAMES


def money(value_eur: float | None) -> str:
    """EUR with thousands separators; a dash for "not known"."""
    return "–" if value_eur is None else f"{value_eur:,.2f}"


def percent(fraction: float | None) -> str:
    """A share as per cent; a dash for "not known"."""
    return "–" if fraction is None else f"{100 * fraction:.1f} %"


def strategy_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """One row per strategy: total, cash, shadow, against FIFO, heat, waiting, misses, shortfall; the bound last."""
    strategies = report["strategies"]
    fifo = strategies.get("fifo", {}).get("cost_eur", {}).get("total")
    rows = []
    for name, label in STRATEGY_NAMES.items():
        if name not in strategies:
            continue
        one = strategies[name]
        cost, jobs = one["cost_eur"], one["jobs"]
        saved = None if not fifo else (fifo - cost["total"]) / abs(fifo)
        rows.append(
            [
                label,
                money(cost["total"]),
                money(cost["cash"]),
                money(cost["shadow"]),
                percent(saved),
                f"{one['heat_sold_kwh'] / KWH_PER_MWH:,.2f}",
                f"{jobs['wait_h_mean']:.2f}",
                f"{jobs['deadline_misses']}",
                f"{one['firm']['shortfall_kwh']:,.0f}",
            ]
        )
    bound = (report.get("bound") or {}).get("cost_eur")
    if bound is not None:
        share = None if not fifo else (fifo - bound) / abs(fifo)
        rows.append(["no policy below", money(bound), "", "", percent(share), "", "", "", ""])
    return rows


STRATEGY_HEADER = ("strategy", "total EUR", "cash EUR", "shadow EUR", "below FIFO", "heat MWh", "wait h", "misses", "short kWh")


def term_rows(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Cost terms down, strategies across."""
    strategies = report["strategies"]
    names = [name for name in STRATEGY_NAMES if name in strategies]
    header = ["EUR", *(STRATEGY_NAMES[name] for name in names)]
    rows = [
        [label, *(money(strategies[name]["cost_eur"].get(term, 0.0)) for name in names)] for term, label in TERM_NAMES.items()
    ]
    rows.append(["Total", *(money(strategies[name]["cost_eur"]["total"]) for name in names)])
    return header, rows


def rich_table(header: list[str] | tuple[str, ...], rows: list[list[str]], title: str = "", strong: str = "") -> Table:
    """A terminal table, first column left, the rest right; the row whose first cell is `strong` in bold."""
    table = Table(title=title or None, title_justify="left", header_style="dim", box=None, pad_edge=False)
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row, style="bold" if row[0] == strong else None)
    return table
