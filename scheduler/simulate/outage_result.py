"""What outages did, as plain numbers: what each cost beyond the same run without it, and the steps that the loop took."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from scheduler.domain.ledger import CycleEntry
from scheduler.domain.plan import PlanStatus
from scheduler.simulate.outage_scripts import OutageScript
from scheduler.simulate.planned import Planned
from scheduler.simulate.score import TERMS
from scheduler.units import h_from_s

if TYPE_CHECKING:
    from scheduler.simulate.backtest import BacktestResult, Run

# How long ago and how much is in brackets behind what is wrong, and differs from cycle to cycle.
BRACKETS = re.compile(r"\s*\([^()]*\)")


def outages_json(result: BacktestResult) -> dict[str, Any]:
    """Our run without outages, and each run with one; empty when none was asked for."""
    ours, scripts = result.runs.get("ours"), result.options.outages
    if ours is None or not scripts:
        return {}
    without = ours.total_eur
    return {"without": without_json(ours), "runs": [outage_json(result, one, result.runs[one.key], without) for one in scripts]}


def without_json(ours: Run) -> dict[str, Any]:
    """What the runs are compared with."""
    return {"total_eur": round(ours.total_eur, 6), **steps_json(ours)}


def outage_json(result: BacktestResult, script: OutageScript, run: Run, without_eur: float) -> dict[str, Any]:
    """One run: what failed when, what it cost more, by term, the steps taken, and the checks of this run alone."""
    assert run.score is not None
    ours = result.runs["ours"].score
    assert ours is not None
    start_utc = result.scenario.start_utc + timedelta(seconds=script.start_s)
    end_utc = min(result.end_utc, result.scenario.start_utc + timedelta(seconds=script.end_s))
    extra_eur = run.total_eur - without_eur
    return {
        "what": script.what,
        "sources": [one.value for one in script.sources],
        "kind": script.kind.value,
        "length": script.length,
        "start_utc": stamp(start_utc),
        "end_utc": stamp(end_utc),
        "hours": round(h_from_s((end_utc - start_utc).total_seconds()), 3),
        "total_eur": round(run.total_eur, 6),
        "extra_eur": round(extra_eur, 6),
        "extra_fraction": extra_eur / abs(without_eur) if without_eur else None,
        "extra_by_term_eur": {term: round(run.score.cost_eur[term] - ours.cost_eur[term], 6) for term in TERMS},
        "deadline_misses": run.score.jobs["deadline_misses"],
        "shortfall_kwh": run.score.firm["shortfall_kwh"],
        **steps_json(run),
        "invariants": {
            "checked": run.world.log.checked,
            "violations": run.world.log.violations,
            "examples": list(run.world.log.examples),
        },
    }


def steps_json(run: Run) -> dict[str, Any]:
    """Cycles by the step they took, and when which step was taken why."""
    assert isinstance(run.steering, Planned)
    entries = run.steering.memory.entries
    counted = Counter(entry.status for entry in entries)
    cycle = timedelta(seconds=run.world.clockwork.cycle_s)
    return {
        "cycles": {step.value: counted.get(step.value, 0) for step in PlanStatus},
        "steps": [
            {"from_utc": stamp(first), "until_utc": stamp(last + cycle), "step": status, "why": why}
            for status, why, first, last in stretches(entries)
            if status != PlanStatus.FRESH.value or why
        ],
    }


def stretches(entries: Iterable[CycleEntry]) -> list[tuple[str, str, datetime, datetime]]:
    """(step, why, first cycle, last cycle) of neighbouring cycles that took the same step for the same reason."""
    found: list[tuple[str, str, datetime, datetime]] = []
    for entry in entries:
        why = "; ".join(dict.fromkeys(BRACKETS.sub("", entry.degraded_reason).split("; ")))
        if found and found[-1][:2] == (entry.status, why):
            found[-1] = (*found[-1][:3], entry.at_utc)
        else:
            found.append((entry.status, why, entry.at_utc, entry.at_utc))
    return found


def stamp(at_utc: datetime) -> str:
    """UTC with a Z."""
    return f"{at_utc:%Y-%m-%dT%H:%M:%SZ}"
