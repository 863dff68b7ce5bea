"""Why a job is where it is, in one sentence for its owner: from the plan when it says so, else from the job's marks."""

from __future__ import annotations

from datetime import datetime

from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.marks import Marks
from scheduler.domain.job import JobPhase
from scheduler.domain.plan import Explanation, WaitReason

HOLD_OVER = "HoldOver"
# Reason of Events that say what would be done.
ADVICE = "Advice"
MEANINGS = {
    WaitReason.CHEAPER_POWER.value: "power is cheaper later",
    WaitReason.HEAT_LATER.value: "its heat is of more use later",
    WaitReason.POOL_FULL.value: "its pools are full",
    WaitReason.FIRM_DELIVERY.value: "its heat is promised for later",
    WaitReason.DEADLINE_START.value: "its deadline forces the start then",
    WaitReason.SITE_LIMIT.value: "the site is at its power limit",
    WaitReason.NO_FIT.value: "not all of its pods find a place on real nodes now",
    WaitReason.UNPLACEABLE.value: "no pool has enough GPUs for it",
    WaitReason.NO_PLAN_YET.value: "no plan has seen it yet",
}


def why(view: JobView, now_utc: datetime, told: Explanation | None = None, plan_id: str = "") -> str:
    """Say why a job waits, runs or is left alone.

    Args:
        view: the job now.
        now_utc: now.
        told: what the plan in force says of it, if it does.
        plan_id: that plan.
    """
    if view.state.phase is JobPhase.DONE:
        return "Has ended"
    if view.owner_took:
        return f"Left alone: {view.owner_took}, so it is his"
    if view.insulated:
        return _insulated(view)
    if view.held:
        return _held(view, now_utc, told, plan_id)
    if view.state.phase is JobPhase.RUNNING:
        return _running(view)
    return "Not held: it starts as soon as the cluster has room for it"


def would(text: str) -> str:
    """What was said of a job that is held or paused, said of one that is not: advice."""
    begin, _, rest = text.partition(" ")
    return f"Would be {begin.lower()} {rest}" if begin in ("Held", "Paused") else f"In mode Dispatch: {text}"


def with_plan(text: str, plan_id: str) -> str:
    """A sentence with the plan behind it: beside what it saves when it says so."""
    if not plan_id or f"plan {plan_id}" in text:
        return text
    before, saves, after = text.rpartition(" (saves ")
    return f"{before} (plan {plan_id}, saves {after}" if saves else f"{text} (plan {plan_id})"


def clock(at_utc: datetime, now_utc: datetime) -> str:
    """A time of day, with the weekday when it is a day or more away."""
    return f"{at_utc:%H:%M}" if abs((at_utc - now_utc).total_seconds()) < 24 * 60 * 60 else f"{at_utc:%a %H:%M}"


def _insulated(view: JobView) -> str:
    """Nothing is done to it, and what could be mended."""
    if view.problems:
        return "Insulated, nothing is done to it: " + "; ".join(problem.text for problem in view.problems)
    return f"Insulated, nothing is done to it: its class is {view.state.job.class_name}"


def _held(view: JobView, now_utc: datetime, told: Explanation | None, plan_id: str) -> str:
    """A hold of ours: over, explained by the plan, or by its marks."""
    marks = view.marks
    if marks.hold_until_utc is not None and marks.hold_until_utc <= now_utc:
        return f"Starts now: its hold ended at {clock(marks.hold_until_utc, now_utc)} UTC ({HOLD_OVER})"
    if told is not None:
        return with_plan(told.text, plan_id)
    if marks.hold_until_utc is None:
        return "Held since its creation, for ten minutes at most: the next decision says for how long"
    return marks.text or _from_marks(view.state.phase, marks, now_utc)


def _from_marks(phase: JobPhase, marks: Marks, now_utc: datetime) -> str:
    """What the marks alone tell."""
    verb = "Paused" if phase is JobPhase.PAUSED else "Held"
    until = "" if marks.planned_start_utc is None else f" until {clock(marks.planned_start_utc, now_utc)} UTC,"
    last = "" if marks.hold_until_utc is None else f" at the latest until {clock(marks.hold_until_utc, now_utc)} UTC"
    cause = MEANINGS.get(marks.reason, marks.reason or "it waits for its place in the plan")
    return with_plan(f"{verb}{until}{last}: {cause}", marks.plan_id)


def _running(view: JobView) -> str:
    """Where it runs, and what is done to it."""
    state = view.state
    where = f" on {state.pool_id}" if state.pool_id is not None else ""
    if state.started_utc is None:
        return f"Released{where}: its pods wait for their nodes"
    capped = "" if state.cap_w is None else f", capped at {state.cap_w:.0f} W per GPU"
    stops = f", stopped {state.preemptions} times so far" if state.preemptions else ""
    return f"Runs{where} since {state.started_utc:%Y-%m-%d %H:%M} UTC{capped}{stops}"
