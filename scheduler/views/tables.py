"""Tables for a terminal, from the plain numbers of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from rich.markup import escape
from rich.table import Table

from scheduler.units import KWH_PER_MWH
from scheduler.views.style import BINDING_NAMES, KNOWLEDGE_NAMES, LEVER_NAMES, STRATEGY_NAMES, TERM_NAMES

WORDS = ("in words", "for instance")
# A name of a column up to here is left in one line.
SHORT_NAME = 8


def money(value_eur: float | None) -> str:
    """EUR with thousands separators; a dash for "not known"."""
    # Rounded first and zero added: no "-0.00".
    return "–" if value_eur is None else f"{round(value_eur, 2) + 0.0:,.2f}"


def percent(fraction: float | None) -> str:
    """A share as per cent; a dash for "not known"."""
    # Rounded first and zero added: no "-0.0 %".
    return "–" if fraction is None else f"{round(100 * fraction, 1) + 0.0:.1f} %"


STRATEGY_HEADER = ("strategy", "total", "cash", "shadow", "saved", "value", "MWh", "wait h", "misses", "short")
STRATEGY_CAPTION = (
    "EUR over the whole run; saved: cash below the baseline (EASY backfill); value: share of what perfect foresight takes off "
    "FIFO's total; MWh of heat sold; mean wait; deadlines missed; kWh promised and not delivered"
)
BASELINES = ("easy_backfill", "fifo")


def euros(value_eur: float) -> str:
    """EUR in a column: tenths, or whole euros from 10,000 on."""
    return f"{value_eur:,.0f}" if abs(value_eur) >= 10_000.0 else f"{value_eur:,.1f}"


def strategy_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """One row per strategy: total, cash, shadow, saved, value, heat, waiting, misses, shortfall; the bound last."""
    strategies = report["strategies"]
    baseline, fifo = baseline_of(report), strategies.get("fifo")
    bound_eur = (report.get("bound") or {}).get("cost_eur")
    spread_eur = None if fifo is None or bound_eur is None else fifo["cost_eur"]["total"] - bound_eur
    if report.get("value_captured") is None:
        spread_eur = None
    rows = []
    for name, label in STRATEGY_NAMES.items():
        if name not in strategies:
            continue
        one = strategies[name]
        cost, jobs = one["cost_eur"], one["jobs"]
        cash_eur = None if baseline is None else strategies[baseline]["cost_eur"]["cash"]
        value = None if fifo is None or not spread_eur else (fifo["cost_eur"]["total"] - cost["total"]) / spread_eur
        rows.append(
            [
                label,
                euros(cost["total"]),
                euros(cost["cash"]),
                euros(cost["shadow"]),
                percent((cash_eur - cost["cash"]) / abs(cash_eur) if cash_eur else None),
                percent(value),
                f"{one['heat_sold_kwh'] / KWH_PER_MWH:,.1f}",
                f"{jobs['wait_h_mean']:.1f}",
                f"{jobs['deadline_misses']}",
                f"{one['firm']['shortfall_kwh']:,.0f}",
            ]
        )
    if bound_eur is not None:
        rows.append(["no policy below", euros(bound_eur), "", "", "", percent(1.0 if spread_eur else None), "", "", "", ""])
    return rows


def baseline_of(report: Mapping[str, Any]) -> str | None:
    """What "saved" is measured against: EASY backfill, or FIFO where that was not run; None without either."""
    return next((name for name in BASELINES if name in report["strategies"]), None)


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


MONTH_HEADER = ("month", "EUR/MWh", "demand MWh", "FIFO EUR", "heat-dispatch EUR", "less by EUR", "less by", "MWh sold")


def month_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """One row per month: price, demand, what FIFO and heat-dispatch cost, heat sold; empty without both."""
    rows = []
    for one in report.get("months") or []:
        runs = one["strategies"]
        if "fifo" not in runs or "ours" not in runs:
            return []
        fifo, ours = runs["fifo"]["total_eur"], runs["ours"]["total_eur"]
        rows.append(
            [
                one["month"],
                f"{one['price_eur_per_mwh']:,.1f}",
                f"{one['demand_kwh'] / KWH_PER_MWH:,.1f}",
                euros(fifo),
                euros(ours),
                euros(fifo - ours),
                percent((fifo - ours) / abs(fifo) if fifo else None),
                f"{runs['ours']['heat_sold_kwh'] / KWH_PER_MWH:,.1f}",
            ]
        )
    return rows


def rich_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str = "",
    strong: str = "",
    caption: str = "",
    sentences: Sequence[str] = WORDS,
) -> Table:
    """A terminal table: first column left, numbers right, columns of `sentences` left and folded; row `strong` in bold.

    Names of columns are folded at their spaces to what the column needs anyway: a narrow terminal would cut them.
    """
    table = Table(title=title or None, title_justify="left", header_style="dim", box=None, pad_edge=False)
    table.collapse_padding = True
    table.caption, table.caption_justify = caption or None, "left"
    for index, name in enumerate(header):
        words = name in sentences
        shown = name if words else folded(name, max((len(row[index]) for row in rows), default=0))
        # Where it is too narrow for all, names take a second line before a number loses a digit.
        named = words or index == 0
        least = max((len(word) for row in rows for word in row[0].split()), default=0) if index == 0 else None
        table.add_column(shown, justify="left" if named else "right", no_wrap=not named, overflow="fold", min_width=least)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row), style="bold" if row[0] == strong else None)
    return table


def folded(name: str, width: int) -> str:
    """A column's name in lines of at most `width` characters, or of its longest word."""
    return (
        "\n".join(
            wrap(name, max([SHORT_NAME, width, *map(len, name.split(" "))]), break_long_words=False, break_on_hyphens=False)
        )
        or name
    )


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """A result in words, for a terminal: value, bound, levers, limits, what limits the rest, solver and checks."""
    lines = [*value_lines(report), *lever_lines(report), *knowledge_lines(report)]
    solver, invariants = report.get("solver") or {}, report.get("invariants") or {}
    if solver.get("p50_s") is not None:
        lines.append(
            f"Plans: {report['cycles']}, {solver['p50_s']:.2f} s each (median; 95 % under {solver['p95_s']:.2f} s), "
            f"proven gap {percent(solver.get('rolling_gap_p95'))} (95 % quantile), {solver.get('degraded_cycles')} degraded."
        )
    if invariants:
        lines.append(f"Checks: {invariants['checked']:,} identities, {count(invariants['violations'])} violated.")
    return lines


def value_lines(report: Mapping[str, Any]) -> list[str]:
    """Value captured and the bound it is measured against."""
    bound = report.get("bound") or {}
    if bound.get("cost_eur") is None:
        return []
    against = report.get("value_captured_against") or {}
    others = ", ".join(f"{percent(share)} over {STRATEGY_NAMES[name]}" for name, share in against.items() if share is not None)
    value = f"Value captured: {percent(report.get('value_captured'))} of what perfect foresight could have saved over FIFO"
    return [
        value + (f" ({others})." if others else "."),
        f"Bound: no policy could have cost less than {money(bound['cost_eur'])} EUR.",
    ]


def lever_lines(report: Mapping[str, Any]) -> list[str]:
    """What each lever is worth and which limit binds how often."""
    lines = []
    worth = {name: report.get("ablation", {}).get(f"{name}_eur") for name in LEVER_NAMES}
    if any(value is not None for value in worth.values()):
        parts = ", ".join(f"{LEVER_NAMES[name].lower()} {money(value)}" for name, value in worth.items())
        lines.append(f"Levers, EUR more without each: {parts}.")
    binding = report.get("binding_share") or {}
    if binding:
        there = [name for name in BINDING_NAMES if binding.get(name) is not None]
        parts = ", ".join(f"{said(BINDING_NAMES[name])} {percent(binding[name])}" for name in there)
        lines.append(f"At the limit, share of the slots: {parts}.")
    return lines


def said(name: str) -> str:
    """A label inside a sentence: abbreviations stay as they are."""
    return name if name[:2].isupper() else name[0].lower() + name[1:]


def knowledge_lines(report: Mapping[str, Any]) -> list[str]:
    """What would have been saved by knowing one truth in advance, and what is left after all of them."""
    parts = report.get("decomposition") or {}
    if "ours" not in parts:
        return []
    mine = parts["ours"]["cost_eur"]
    told = ", ".join(
        f"{KNOWLEDGE_NAMES.get(name, name).lower()} {money(mine - one['cost_eur'])}"
        for name, one in parts.items()
        if name != "ours"
    )
    lines = [f"What limits the rest, EUR less when told in advance: {told}."]
    bound_eur = (report.get("bound") or {}).get("cost_eur")
    known = [parts[name]["cost_eur"] for name in ("all_known", "best_all_known_plan", "foresight_plan") if name in parts]
    if bound_eur is not None and known:
        rest = min(known) - bound_eur
        lines.append(
            f"Left between the best all-known plan and the bound: {money(rest)} EUR (solver gap and looseness of the bound)."
        )
    return lines


def count(violations: object) -> str:
    """Number of violations, whether listed or counted."""
    return str(len(violations)) if isinstance(violations, list) else str(violations)


def csv_text(report: Mapping[str, Any]) -> str:
    """One line per strategy and cost term: `strategy,term,eur`; subtotals and the bound at the end of theirs."""
    rows = ["strategy,term,eur"]
    for name, one in report["strategies"].items():
        rows += [f"{name},{term},{value:.6f}" for term, value in one["cost_eur"].items()]
    bound = (report.get("bound") or {}).get("cost_eur")
    if bound is not None:
        rows.append(f"bound,total,{bound:.6f}")
    return "\n".join(rows) + "\n"
