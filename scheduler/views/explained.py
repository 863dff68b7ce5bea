"""What a DispatchPlan does and why, in words and small tables, from the plain numbers of its object and of the jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from scheduler.units import MIN_PER_H, S_PER_MIN, eur_per_mwh_from_eur_per_kwh
from scheduler.views.style import TERM_NAMES
from scheduler.views.tables import money, percent

STEPS = {
    "fresh": "solved for what is known now",
    "lastGood": "the last good one, followed on",
    "ruleBased": "made by the simplest rule: jobs start as soon as they fit",
    "letGo": "none: everything is let go",
}
TERM_HEADER = ("term", "EUR", "simplest rule EUR")
HOLD_HEADER = ("why", "jobs", "GPUs", "planned start", "at the latest", "for instance")
EXAMPLES = 3


def plan_lines(found: Mapping[str, Any], now_utc: datetime) -> list[str]:
    """One plan in a few sentences.

    Args:
        found: as `commands.explain` makes it.
        now_utc: now, for the plan's age.
    """
    if not found["planId"]:
        return [f"Policy {found['policy']} has no plan yet."]
    age = "" if found["madeAt"] is None else f", made {aged(found['madeAt'], now_utc)}"
    lines = [f"Plan {found['planId']} of policy {found['policy']} in mode {found['mode']}{age}: {STEPS[found['status']]}."]
    if found["degradedReason"]:
        lines.append(f"Note: {found['degradedReason']}.")
    lines.append(worth(found))
    if found["signals"]:
        lines.append(f"Told by: {'; '.join(told_by(one) for one in found['signals'])}.")
    jobs = found["jobs"]
    if found["mode"] == "Dispatch":
        told = f"{jobs['held']} held, {jobs['started']} started, {jobs['stopped']} paused, {jobs['capped']} capped"
        lines.append(f"Decided about jobs: {told}.")
    else:
        lines.append(f"In mode {found['mode']} nothing is done to jobs.")
    return lines


def told_by(signal: Mapping[str, Any]) -> str:
    """Who told one quantity, and until when: `price by entsoe and awattar until 22 Nov 23:00 UTC`."""
    until = ""
    if signal["knownUntil"] is not None:
        at_utc = datetime.fromisoformat(signal["knownUntil"])
        until = f" until {at_utc.day} {at_utc:%b %H:%M} UTC"
    who = "nobody, a rule assumes it" if signal["assumed"] else " and ".join((signal["source"], *signal["others"]))
    return f"{signal['quantity'].replace('_', ' ')} by {who}{until}"


def worth(found: Mapping[str, Any]) -> str:
    """What it costs, against the simplest rule and the best that is possible."""
    total, rule = found["costEur"], found["baselineEur"]
    gap = found["gap"]
    proof = "" if gap is None else f"; at most {percent(gap)} above the best possible (proven)"
    if rule is None:
        return f"It costs {money(total)} EUR over its horizon{proof}."
    saved = rule - total
    than = f"{money(abs(saved))} EUR {'less' if saved >= 0.0 else 'more'} than starting every job as soon as it fits"
    return f"It costs {money(total)} EUR over its horizon, {than}{proof}."


def hour_header(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns of the next hours: price, then every pool, then every customer."""
    pools = [f"{one['pool']} {what}" for one in found["pools"] for what in ("GPUs", "kW")]
    customers = [f"{one['offtake']} {what}" for one in found["offtakes"] for what in ("heat/demand kW", "EUR/MWh")]
    return ("hour UTC", "power EUR/MWh", *pools, *customers)


def hour_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """The next hours; what is over by now is left out before."""
    rows = []
    for index, start in enumerate(found["hours"]):
        row = [f"{datetime.fromisoformat(start):%a %H:%M}", price(found["eurPerKwh"][index])]
        for pool in found["pools"]:
            row += [f"{pool['gpus'][index]:,.0f}", f"{pool['itKw'][index]:,.1f}"]
        for one in found["offtakes"]:
            row += [f"{one['heatKw'][index]:,.1f} / {one['demandKw'][index]:,.1f}", price(one["eurPerKwh"][index])]
        rows.append(row)
    return rows


def hold_rows(found: Mapping[str, Any], now_utc: datetime) -> list[list[str]]:
    """What is held, by binding reason, the most GPUs first."""
    return [
        [
            f"{one['meaning']} ({one['reason']})" if one["meaning"] else one["reason"],
            str(len(one["jobs"])),
            f"{one['gpus']:,d}",
            span(one["plannedStart"], now_utc),
            span(one["holdUntil"], now_utc),
            examples(one["jobs"]),
        ]
        for one in found["holds"]
    ]


def term_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """Cost by term, beside the same of the simplest rule; the sum last."""
    rule = found["baseline"]
    names = [*found["objective"], *(name for name in rule if name not in found["objective"])]
    rows = [
        [TERM_NAMES.get(name.replace("-", "_"), name), money(found["objective"].get(name, 0.0)), beside(rule, name)]
        for name in names
    ]
    return [*rows, ["together", money(found["costEur"]), money(found["baselineEur"])]] if rows else []


def beside(rule: Mapping[str, float], name: str) -> str:
    """A term of the simplest rule; a dash where that is not known."""
    return money(rule.get(name, 0.0) if rule else None)


def price(eur_per_kwh: float) -> str:
    """EUR/MWh, whole."""
    return f"{eur_per_mwh_from_eur_per_kwh(eur_per_kwh):,.0f}"


def span(instants: Sequence[str], now_utc: datetime) -> str:
    """The first and the last of some instants, the day where it is not today's."""
    if not instants:
        return "–"
    read = [datetime.fromisoformat(one) for one in (instants[0], instants[-1])]
    first, last = (f"{at:%H:%M}" if at.date() == now_utc.date() else f"{at:%a %H:%M}" for at in read)
    return first if first == last else f"{first} to {last}"


def examples(jobs: Sequence[str]) -> str:
    """A few names, and how many more."""
    more = len(jobs) - EXAMPLES
    return ", ".join(jobs[:EXAMPLES]) + (f" and {more} more" if more > 0 else "")


def aged(made_at: str, now_utc: datetime) -> str:
    """When something was made, and how long ago that is."""
    made = datetime.fromisoformat(made_at)
    minutes = max(0.0, (now_utc - made).total_seconds() / S_PER_MIN)
    ago = f"{minutes:.0f} min" if minutes < 2 * MIN_PER_H else f"{minutes / MIN_PER_H:.0f} h"
    return f"{span([made_at], now_utc)} UTC ({ago} ago)"
