"""The pages people open, from the JSON that the commands write: a page can be made again from its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scheduler.units import KWH_PER_MWH
from scheduler.views import plots
from scheduler.views.outages import outages
from scheduler.views.page import Html, cards, figure, heading, page, paragraph, table
from scheduler.views.spans import by_day, is_long, telling_weeks
from scheduler.views.style import BINDING_NAMES, KNOWLEDGE_NAMES, LEVER_NAMES, STRATEGY_NAMES
from scheduler.views.tables import (
    MONTH_HEADER,
    STRATEGY_CAPTION,
    STRATEGY_HEADER,
    baseline_of,
    count,
    money,
    month_rows,
    percent,
    strategy_rows,
    term_rows,
)

LEAST_MONTHS = 3


def backtest_page(report: Mapping[str, Any]) -> str:
    """A self-contained page from the JSON of `heat-dispatch backtest`."""
    title = f"{report['scenario']}: {report['days']} days from {str(report['start_utc'])[:10]}"
    parts = [
        backtest_cards(report),
        *costs(report),
        *months(report),
        *run(report),
        *levers(report),
        *knowledge(report),
        *outages(report),
        *trust(report),
    ]
    lead = (
        "The same jobs, plant, contract and prices under every strategy, replayed step by step with only what was known at the "
        "time. Costs are those of the whole run until every strategy has drained; revenue is negative."
    )
    foot = f"heat-dispatch backtest · {report['cycles']} cycles · {report['wall_s']:.0f} s"
    return page(title, lead, parts, foot)


def backtest_cards(report: Mapping[str, Any]) -> Html:
    """The figures people ask for first."""
    strategies = report["strategies"]
    items: list[tuple[str, str]] = []
    if "ours" in strategies:
        ours = strategies["ours"]
        items.append((f"{ours['cost_eur']['total']:,.0f} EUR", "total cost, heat-dispatch"))
        baseline = baseline_of(report)
        if baseline is not None:
            saved_eur = strategies[baseline]["cost_eur"]["cash"] - ours["cost_eur"]["cash"]
            items.append((f"{saved_eur:,.0f} EUR", f"saved in cash against {STRATEGY_NAMES[baseline]}"))
        items.append((percent(report.get("value_captured")), "of what perfect foresight could save"))
        items.append((f"{ours['heat_sold_kwh'] / KWH_PER_MWH:,.1f} MWh", "heat sold"))
        items.append((str(ours["jobs"]["deadline_misses"]), "deadlines missed"))
        items.append((f"{ours['firm']['shortfall_kwh']:,.0f} kWh", "promised and not delivered"))
    return cards(items)


def costs(report: Mapping[str, Any]) -> list[Html]:
    """Totals, the bar chart and the table by term."""
    rows = strategy_rows(report)
    marks = {index: "strong" for index, row in enumerate(rows) if row[0] == STRATEGY_NAMES["ours"]}
    header, terms = term_rows(report)
    bound = report.get("bound") or {}
    bound_eur = bound.get("cost_eur")
    return [
        heading("What it cost"),
        table(STRATEGY_HEADER, rows, marks),
        paragraph(STRATEGY_CAPTION + "."),
        figure("costs", plots.cost_bars(report["strategies"], bound_eur)),
        table(header, terms, {len(terms) - 1: "total"}),
        paragraph(
            "Cash terms are invoices; waiting, lateness, preemption, slowdown and a carbon price are shadow prices of the "
            "operator's own choosing. Cooling holds dry coolers and room air."
        ),
    ]


def run(report: Mapping[str, Any]) -> list[Html]:
    """The run in time, ours against the first strategy at hand; a long one by the day, with telling weeks in full."""
    series = report.get("series")
    if not series or "ours" not in series["strategies"]:
        return []
    other = next((name for name in ("fifo", "easy_backfill", "plant_only") if name in series["strategies"]), "ours")
    if not is_long(series):
        return [heading("How it ran"), figure("run", plots.closed_loop(series, "ours", other))]
    parts = [
        heading("How it ran", "Means by the day for the whole run, then the weeks of most and of least heat demand in full."),
        figure("run", plots.closed_loop(by_day(series), "ours", other, "Day by day (UTC)")),
    ]
    for number, (title, week) in enumerate(telling_weeks(series, report["days"])):
        parts.append(figure(f"week-{number}", plots.closed_loop(week, "ours", other, title)))
    return parts


def months(report: Mapping[str, Any]) -> list[Html]:
    """Month by month, when there are several: a year that is good on the whole may not be good all year."""
    rows = month_rows(report)
    if len(rows) < LEAST_MONTHS:
        return []
    lead = "Totals by calendar month (UTC). What jobs cost counts in the month of their submission; the last row is the drain."
    return [heading("Month by month", lead), table(MONTH_HEADER, rows)]


def levers(report: Mapping[str, Any]) -> list[Html]:
    """What each lever is worth, and what binds."""
    parts: list[Html] = []
    values = [(report.get("ablation") or {}).get(f"{key}_eur") for key in LEVER_NAMES]
    if any(value is not None for value in values):
        parts.append(
            heading("What each lever is worth", "Extra cost of the same run without it; negative: it did not pay here.")
        )
        parts.append(
            figure("ablation", plots.bars("Cost without the lever, EUR more", list(LEVER_NAMES.values()), values, "EUR"))
        )
    binding = report.get("binding_share")
    if binding:
        there = [key for key in BINDING_NAMES if binding.get(key) is not None]
        names, shares = [BINDING_NAMES[key] for key in there], [100 * binding[key] for key in there]
        parts.append(heading("What binds", "Share of the slots in which each limit was reached."))
        parts.append(figure("binding", plots.bars("Slots at the limit, %", names, shares, "%", "#5b8c5a")))
    return parts


def knowledge(report: Mapping[str, Any]) -> list[Html]:
    """What limits the rest: the same run with one unknown made known."""
    parts = report.get("decomposition")
    if not parts:
        return []
    labels = {"ours": "As it was", **KNOWLEDGE_NAMES}
    rows = [
        [labels.get(name, name), money(one.get("cost_eur")), percent(one.get("value_captured")), one.get("note", "")]
        for name, one in parts.items()
        if isinstance(one, Mapping)
    ]
    lead = (
        "The same loop told one truth in advance. What is left after the best all-known plan is solver gap and looseness "
        "of the bound."
    )
    return [heading("What limits the rest", lead), table(("told in advance", "total EUR", "value captured", ""), rows)]


def trust(report: Mapping[str, Any]) -> list[Html]:
    """Why the numbers can be believed."""
    solver, invariants = report.get("solver") or {}, report.get("invariants") or {}
    bound = report.get("bound") or {}
    rows: list[list[object]] = [
        ["plan time, median / p95 / max", " / ".join(f"{solver.get(key) or 0:.2f} s" for key in ("p50_s", "p95_s", "max_s"))],
        ["rolling gap, p95", percent(solver.get("rolling_gap_p95"))],
        ["degraded cycles", str(solver.get("degraded_cycles"))],
        ["invariants checked / violated", f"{invariants.get('checked', 0):,} / {count(invariants.get('violations'))}"],
    ]
    parts = [heading("Why to believe it"), table(("", ""), rows)]
    if bound.get("method"):
        parts.append(paragraph(f"The bound: {bound['method']}"))
    parts.append(
        paragraph(
            "The rolling gap is that of the model which is integral for the first hour; later starts are expectations. "
            "Savings are against the stated baselines on this history, not a forecast."
        )
    )
    return parts


def plan_page(plan: Mapping[str, Any]) -> str:
    """A self-contained page from the JSON of `heat-dispatch plan`."""
    report = plan["report"]
    items = [
        (f"{report['objective_eur']:,.0f} EUR", "expected over the horizon"),
        (percent(report["rolling_gap"]), "proven rolling gap"),
        (str(plan["counts"]["start"]), "jobs start in the first hour"),
        (str(plan["counts"]["hold"]), "jobs wait"),
        (str(plan["counts"]["capped"]), "jobs capped"),
    ]
    terms = [[name.replace("_", " "), money(value)] for name, value in plan["cost_eur"].items() if abs(value) >= 0.005]
    waits: list[list[object]] = [
        [one["job_id"], one["reason"], stamp(one["start_utc"]), stamp(one["latest_start_utc"]), money(one["saves_eur"]),
         one["text"]]
        for one in plan["explanations"]
    ]  # fmt: skip
    parts = [cards(items), figure("plan", plots.plan_panes(plan["series"])), figure("gantt", plots.gantt(plan["jobs"]))]
    if waits:
        parts += [
            heading("Why jobs wait"),
            table(("job", "reason", "planned start", "at the latest", "saves EUR", "in words"), waits, words=(5,)),
        ]
    if plan.get("slacks"):
        slacks = [[one["name"], f"{one['amount']:,.2f} {one['unit']}", money(one["cost_eur"])] for one in plan["slacks"]]
        parts += [
            heading("Wishes that cannot be met", "Priced, so that a plan always exists."),
            table(("", "amount", "EUR"), slacks),
        ]
    lead = "Expected cost over the horizon; revenue is negative, terms that are zero are left out."
    parts += [heading("Cost by term", lead), table(("term", "EUR"), terms)]
    lead = f"Plan {plan['plan_id']} from {plan['start_utc']}, status {plan['status']}. " + (plan.get("degraded_reason") or "")
    return page("Plan", lead, parts, f"input {plan['input_digest'][:16]} · {report['method']}")


def stamp(at_utc: str | None) -> str:
    """An instant to the minute; a dash for none."""
    return "–" if at_utc is None else at_utc[:16].replace("T", " ")
