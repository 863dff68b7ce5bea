"""A plan in a terminal, from the plain numbers of `plan_report`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scheduler.units import h_from_s
from scheduler.views.tables import money, percent

PLAN_HEADER = ("hour", "price EUR/MWh", "demand kW", "firm kW", "sold kW", "IT kW", "tank kWh")
WAIT_HEADER = ("job", "reason", "saves EUR", "in words")
COLUMNS = ("price_eur_per_mwh", "demand_kw", "firm_kw", "sold_kw", "it_kw", "tank_kwh")
HOURS_SHOWN = 24
WAITS_SHOWN = 20
HOUR_LENGTH = len("2026-01-05T00")


def plan_lines(report: Mapping[str, Any]) -> list[str]:
    """The plan in a few sentences."""
    solve, counts = report["report"], report["counts"]
    gap = solve["rolling_gap"]
    proof = "nothing is proven about it" if gap is None else f"at most {percent(gap)} above the best (proven)"
    hours = h_from_s(report["slots"] * report["slot_s"])
    lines = [
        f"Plan {report['plan_id']} from {report['start_utc']} over {hours:g} h, {report['status']}: "
        f"{money(solve['objective_eur'])} EUR, {proof}.",
        f"In the coming hour {counts['start']} jobs start, {counts['hold']} are held, {counts['stop']} stop, "
        f"{counts['capped']} are capped.",
    ]
    if report.get("degraded_reason"):
        lines.append(f"Note: {report['degraded_reason']}.")
    lines += [
        f"Cannot be met: {one['name']}, {one['amount']:,.2f} {one['unit']} ({money(one['cost_eur'])} EUR)."
        for one in report["slacks"]
    ]
    if not report["jobs"]:
        lines.append("No job is there at this instant: give a later one with --at.")
    return lines


def plan_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Price and heat of the next hours; shorter steps of an hour are averaged, the tank is that at its end."""
    series = report["series"]
    hours: dict[str, list[int]] = {}
    for step, at in enumerate(series["time_utc"]):
        hours.setdefault(at[:HOUR_LENGTH], []).append(step)
    rows = []
    for hour, steps in list(hours.items())[:HOURS_SHOWN]:
        means = [sum(series[name][step] for step in steps) / len(steps) for name in COLUMNS[:-1]]
        rows.append(
            [f"{hour.replace('T', ' ')}:00", *(f"{mean:,.1f}" for mean in means), f"{series['tank_kwh'][steps[-1]]:,.1f}"]
        )
    return rows


def wait_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """The waits that save most, each with its reason."""
    told = sorted(report["explanations"], key=lambda one: -one["saves_eur"])
    rows = [[one["job_id"], one["reason"], money(one["saves_eur"]), one["text"]] for one in told[:WAITS_SHOWN]]
    if len(told) > WAITS_SHOWN:
        rows.append([f"and {len(told) - WAITS_SHOWN} more", "", "", ""])
    return rows
