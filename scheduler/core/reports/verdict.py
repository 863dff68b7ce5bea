"""Is all well? One word for who looks at three in the morning, and what it rests on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np

from scheduler.domain.live import LiveState
from scheduler.domain.plan import PlanStatus
from scheduler.domain.settings import Mode
from scheduler.units import MIN_PER_H, S_PER_MIN

# A cycle begins on its timer and takes a while: later than this it is late.
LATE_S = 10 * S_PER_MIN
# Heat that was promised and is not expected: smaller differences are rounding.
LEAST_KW = 0.5
FIRM_TOLERANCE_FRACTION = 0.05
# What a plan must know; without weather or carbon it does with less, which is told further down.
VITAL = ("price", "heat_demand", "jobs")


class Level(StrEnum):
    """How it stands."""

    WELL = "well"
    LOOK = "look"
    ACT = "act"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be: what it is, and what it means."""

    level: Level
    what: str
    means: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The worst level, and every finding, the worst first."""

    level: Level
    findings: tuple[Finding, ...]


STEPS = {
    PlanStatus.LAST_GOOD.value: (Level.LOOK, "No new plan could be made", "The last good one is followed."),
    PlanStatus.RULE_BASED.value: (Level.LOOK, "Planned by the simplest rule", "Jobs start as soon as they fit."),
    PlanStatus.LET_GO.value: (
        Level.ACT,
        "Everything is let go",
        "No job is held, no heat is offered; the customer's boiler must carry the demand.",
    ),
}


def verdict(state: LiveState, now_utc: datetime) -> Verdict:
    """Judge a state by what it says and by how old it is."""
    rank = (Level.WELL, Level.LOOK, Level.ACT)
    found = tuple(sorted(_findings(state, now_utc), key=lambda one: -rank.index(one.level)))
    return Verdict(level=found[0].level if found else Level.WELL, findings=found)


def _findings(state: LiveState, now_utc: datetime) -> Iterator[Finding]:
    yield from _age(state, now_utc)
    if state.status in STEPS:
        level, what, means = STEPS[state.status]
        yield Finding(level=level, what=what, means=_sentence(means, state.degraded_reason))
    yield from _heat(state)
    for one in state.sources:
        if one.age_s is None:
            yield Finding(level=Level.LOOK, what=f"Nothing was ever heard of {_words(one.source)}")
        elif one.age_s > one.max_age_s:
            yield Finding(level=Level.LOOK, what=f"{_words(one.source).capitalize()} is too old: {aged(one.age_s)}")
    for note in state.notes:
        if note.startswith(VITAL):
            yield Finding(level=Level.LOOK, what=_words(note).capitalize())


def _age(state: LiveState, now_utc: datetime) -> Iterator[Finding]:
    """A plan that is late, or so old that the operator has let go by itself."""
    age_s = (now_utc - state.at_utc).total_seconds()
    if age_s > state.plan_max_age_s + LATE_S:
        yield Finding(
            level=Level.ACT,
            what=f"No word of the operator for {aged(age_s)}",
            means="Holds and caps end by themselves; count on no heat until it is back.",
        )
    elif age_s > state.cycle_s + LATE_S:
        yield Finding(level=Level.LOOK, what=f"The next plan is late: the last one is {aged(age_s)} old")
    elif age_s < -LATE_S:
        yield Finding(level=Level.LOOK, what="The plan is of the future: one of the clocks is wrong")


def _heat(state: LiveState) -> Iterator[Finding]:
    """Promises that will not be kept, and boilers that must run."""
    series = state.series
    short = series.firm_kw * (1.0 - FIRM_TOLERANCE_FRACTION) - series.planned_kw
    where = np.flatnonzero(np.nan_to_num(short, nan=0.0) > LEAST_KW)
    if len(where) and state.mode is Mode.DISPATCH:
        most = float(short[where].max())
        yield Finding(
            level=Level.LOOK,
            what=f"Less heat than promised is planned: up to {most:,.0f} kW short",
            means="The customer is told in the schedule.",
        )
    for one in state.customers:
        if one.boiler_request_kw > LEAST_KW:
            yield Finding(
                level=Level.LOOK,
                what=f"{one.offtake.offtake_id} is asked to make {one.boiler_request_kw:,.0f} kW himself",
                means="The boiler signal is on.",
            )


def aged(age_s: float) -> str:
    """A time that has passed, in the words of a person."""
    minutes = max(0.0, age_s / S_PER_MIN)
    if minutes < 1.0:
        return "less than a minute"
    if minutes < 2 * MIN_PER_H:
        return f"{minutes:.0f} min"
    return f"{minutes / MIN_PER_H:.0f} h"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _sentence(means: str, reason: str) -> str:
    return f"{means} Reason: {reason}." if reason else means
