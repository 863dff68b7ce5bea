"""`kubectl heatdispatch explain plan`: what the plan in force does in the next hours, what it holds and why, what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.objects import NOTHING, Obj, at, instant, name_of, namespace_of, text
from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.kubernetes.runtime.kinds import POLICIES
from scheduler.adapters.kubernetes.why import MEANINGS
from scheduler.domain.errors import Misconfigured
from scheduler.domain.job import JobPhase
from scheduler.entrypoints.commands.why import Context, Kubeconfig, read
from scheduler.entrypoints.console import friendly, talk, write_json
from scheduler.entrypoints.options import JsonFile
from scheduler.units import S_PER_H
from scheduler.views.explained import HOLD_HEADER, TERM_HEADER, hold_rows, hour_header, hour_rows, plan_lines, term_rows
from scheduler.views.tables import rich_table

HELP = """Say what the plan in force does: the next hours by pool and heat customer, what is held and why, and what it costs.

Reads the DispatchPlan and what stands on the jobs; the operator need not be asked.

**Example**

    kubectl heatdispatch explain plan
    kubectl heatdispatch explain plan quickstart --hours 6 --json -
"""
app = typer.Typer(name="explain", help="Explain what was decided.", no_args_is_help=True, rich_markup_mode="markdown")


@app.callback()
def explain() -> None:
    """Explain what was decided."""


@app.command(name="plan", help=HELP)
@friendly
def plan(
    policy: Annotated[str | None, typer.Argument(help="DispatchPolicy [default: every one].")] = None,
    hours: Annotated[int, typer.Option(min=1, max=24, help="Hours to show.")] = 12,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    json_file: JsonFile = None,
) -> None:
    """Explain the plan of one policy, or of all."""
    governing, now_utc = read(kubeconfig, context), SystemClock().now_utc()
    desks = {desk.governance.policy: desk for desk in governing.current.desks}
    names = [name_of(one) for one in governing.stores.of_policy(POLICIES)]
    if policy is not None and policy not in names:
        known = ", ".join(names) or "none"
        raise Misconfigured(f"there is no DispatchPolicy {policy!r}", where="arguments", expected=f"one of: {known}")
    found = [
        explained(name, governing.stores.plans.get(name) or NOTHING, held_by(desks.get(name), now_utc), now_utc, hours)
        for name in names
        if policy in (None, name)
    ]
    for one in found:
        tell(one, now_utc, json_file)
    if not found:
        talk(json_file).print("there is no DispatchPolicy: nothing is planned")
    write_json(json_file, {"plans": found})


def tell(found: Mapping[str, Any], now_utc: datetime, json_file: str | None) -> None:
    """One plan in words and tables."""
    console = talk(json_file)
    for line in plan_lines(found, now_utc):
        console.print(line, markup=False, soft_wrap=True)
    tables = (
        (hour_header(found), hour_rows(found), "The next hours"),
        (HOLD_HEADER, hold_rows(found, now_utc), "What is held, and why (UTC)"),
        (TERM_HEADER, term_rows(found), "What it costs"),
    )
    for header, rows, title in tables:
        if rows:
            console.print()
            console.print(rich_table(header, rows, title, strong="together"))
    console.print()


def held_by(desk: Desk | None, now_utc: datetime) -> list[JobView]:
    """Jobs that a policy holds now."""
    seen = () if desk is None else desk.reader.seen(now_utc).views.values()
    return [view for view in seen if view.held and view.state.phase is not JobPhase.DONE]


def explained(policy: str, obj: Obj, held: Iterable[JobView], now_utc: datetime, hours: int) -> dict[str, Any]:
    """One plan in plain values.

    Args:
        policy: its policy.
        obj: the DispatchPlan; empty when there is none yet.
        held: jobs that the policy holds.
        now_utc: now; hours that are over are left out.
        hours: how many hours to tell.
    """
    status = at(obj, "status") or NOTHING
    objective, baseline = _terms(status, "objective"), _terms(status, "baseline")
    made = instant(status, "madeAt")
    return {
        "policy": policy,
        "planId": text(status, "planId"),
        "mode": text(status, "mode"),
        "status": text(status, "planStatus") or "fresh",
        "madeAt": None if made is None else made.isoformat(),
        "degradedReason": text(status, "degradedReason"),
        "gap": at(status, "rollingGap"),
        "costEur": round(sum(objective.values()), 2),
        "baselineEur": round(sum(baseline.values()), 2) if baseline else None,
        "objective": objective,
        "baseline": baseline,
        "jobs": {name: at(status, name) or 0 for name in ("held", "started", "stopped", "capped")},
        "signals": [_signal(one) for one in at(status, "signals") or ()],
        **_outlook(at(status, "outlook") or NOTHING, now_utc, hours),
        "holds": holds(held),
    }


def holds(held: Iterable[JobView]) -> list[dict[str, Any]]:
    """Held jobs by binding reason, the most GPUs first."""
    groups: dict[str, list[JobView]] = {}
    for view in held:
        groups.setdefault(view.marks.reason or "NoPlanYet", []).append(view)
    found = [
        {
            "reason": reason,
            "meaning": MEANINGS.get(reason, ""),
            "jobs": sorted(f"{namespace_of(view.target)}/{name_of(view.target)}" for view in views),
            "gpus": sum(view.state.job.gpus for view in views),
            "plannedStart": _instants(view.marks.planned_start_utc for view in views),
            "holdUntil": _instants(view.marks.hold_until_utc for view in views),
        }
        for reason, views in groups.items()
    ]
    return sorted(found, key=lambda one: (-int(one["gpus"]), str(one["reason"])))


def _instants(given: Iterable[datetime | None]) -> list[str]:
    """The first and the last of some instants; empty when none is known."""
    known = sorted(one for one in given if one is not None)
    return [known[0].isoformat(), known[-1].isoformat()] if known else []


def _signal(given: Obj) -> dict[str, Any]:
    """Who told a quantity, and until when it is known."""
    until = instant(given, "knownUntil")
    return {
        "quantity": text(given, "quantity"),
        "source": text(given, "source"),
        "others": [str(one) for one in at(given, "others") or ()],
        "knownUntil": None if until is None else until.isoformat(),
        "assumed": bool(at(given, "assumed")),
    }


def _terms(status: Obj, name: str) -> dict[str, float]:
    """Terms of a cost, as the object orders them."""
    return {text(one, "term"): float(at(one, "eur") or 0.0) for one in at(status, name) or ()}


def _outlook(given: Obj, now_utc: datetime, hours: int) -> dict[str, Any]:
    """The hours that are not over, as they stand in the object; empty for a plan without an outlook."""
    start, prices = instant(given, "start"), list(at(given, "eurPerKwh") or ())
    starts = [] if start is None else [start + timedelta(seconds=S_PER_H * hour) for hour in range(len(prices))]
    kept = [index for index, one in enumerate(starts) if one + timedelta(seconds=S_PER_H) > now_utc][:hours]

    def cut(values: Any) -> list[float]:
        """The kept hours of a series; zero where it ends early."""
        found = list(values or ())
        return [float(found[index]) if index < len(found) else 0.0 for index in kept]

    return {
        "hours": [starts[index].isoformat() for index in kept],
        "eurPerKwh": cut(prices),
        "pools": [
            {"pool": text(one, "pool"), "gpus": cut(at(one, "gpus")), "itKw": cut(at(one, "itKw"))}
            for one in at(given, "pools") or ()
        ],
        "offtakes": [
            {"offtake": text(one, "offtake"), **{key: cut(at(one, key)) for key in ("heatKw", "demandKw", "eurPerKwh")}}
            for one in at(given, "offtakes") or ()
        ],
    }
