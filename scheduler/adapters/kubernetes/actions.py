"""From what was decided to what is written: one patch for the lever and all marks, so that neither is ever there alone.

| lever | hold | release | stop | resume |
|---|---|---|---|---|
| suspend (native Job) | suspend=true | suspend=false, node selector of the pool | suspend=true | suspend=false |
| gate (queued Job, gated at creation) | marks only | where to on its Workload, then our gate removed, node selector | - | - |
| active (Kueue's Workload) | active=false before it starts | active=true | active=false | active=true |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, assert_never

from scheduler.adapters.kubernetes.jobs import JobView, Lever, live_pods, unbound
from scheduler.adapters.kubernetes.marks import (
    GATE,
    GATED_BY,
    HELD_BY,
    HOLD_UNTIL,
    HeldBy,
    Marks,
    changed,
    gates_of,
    to_annotations,
    without_our_gate,
)
from scheduler.adapters.kubernetes.objects import Obj, count, holds, text, texts
from scheduler.adapters.kubernetes.owners import suspended
from scheduler.adapters.kubernetes.pools import PoolSelector
from scheduler.adapters.kubernetes.queues import goes_to, steered
from scheduler.adapters.kubernetes.runtime.kinds import WORKLOADS
from scheduler.adapters.kubernetes.why import with_plan
from scheduler.adapters.kubernetes.workloads import active, admitted, reserved, uses_topology
from scheduler.adapters.kubernetes.writes import Write, kind_of, patch_of
from scheduler.domain.action import Action, HoldJob, ReleaseCap, SetCap, StartJob, StopJob
from scheduler.domain.job import JobPhase
from scheduler.domain.plan import Explanation

# podReplacementPolicy of a Job: a pod is replaced when it has ended, not already when it is told to.
FAILED = "Failed"
# A hold whose end or planned start moved by less is the same hold: no cycle writes for that.
SAME_TIME_S = 60.0
# Starts of the first hour are decided; what lies further ahead "may move", as it is shown, with every price and every job that
# comes. It is told anew when the old or the new start has come this near. Else thousands of jobs were written in every cycle.
MAY_MOVE_S = 3600.0

HELD, PLACED, RELEASED, RESUMED = "Held", "Placed", "Released", "Resumed"
STOPPED, LET_GO, OWNER_TOOK = "Stopped", "LetGo", "OwnerTookOver"

Verdict = Write | None | str
"""A write; nothing to write, as it is so already; or why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What stands behind the actions of one decision: the plan, its words, and the labels of its pools."""

    now_utc: datetime
    plan_id: str = ""
    told: Mapping[str, Explanation] = field(default_factory=dict)
    pools: Mapping[str, PoolSelector] = field(default_factory=dict)


def write_for(action: Action, view: JobView, orders: Orders) -> Verdict:
    """What carries an action out on the job as it is seen now. Caps are written per node, not here."""
    if view.owner_took or view.marks.held_by is HeldBy.OWNER:
        return view.owner_took or "its owner took it over"
    if view.insulated:
        return "insulated: never touched"
    if view.state.phase is JobPhase.DONE:
        return "it has ended"
    match action:
        case HoldJob():
            return hold(view, action, orders)
        case StartJob():
            return release(view, action.pool_id, action.reason, orders)
        case StopJob():
            return stop(view, action, orders)
        case SetCap() | ReleaseCap():
            return "caps are written per node"
        case _:
            assert_never(action)


def hold(view: JobView, action: HoldJob, orders: Orders) -> Verdict:
    """Keep a job from starting, or say anew until when and why it is kept."""
    if not view.held:
        refused = _cannot_hold(view)
        if refused:
            return refused
    if view.held and _same_hold(view.marks, action, orders.now_utc):
        return None
    marks = replace(
        view.marks,
        held_by=_holder(view),
        # By the API server's clock it cannot have begun before the job was there; ours may have been set back.
        held_since_utc=view.marks.held_since_utc or max(orders.now_utc, view.state.job.submit_utc),
        hold_until_utc=action.until_utc,
        reason=action.reason,
        text=with_plan(action.text, orders.plan_id),
        planned_start_utc=action.planned_start_utc,
        plan_id=orders.plan_id,
    )
    change = _change(view, marks, down=True)
    return patch_of(kind_of(view.target, view.workload), view.target, change, job_id=view.job_id, reason=HELD, said=marks.text)


def release(view: JobView, pool_id: str | None, reason: str, orders: Orders) -> Verdict:
    """Let a job start on a pool (None: wherever its owner lets it), or go on after a pause."""
    if not view.held:
        return None
    if pool_id is not None and _still_there(view):
        return "its pods are not gone yet"
    pool = None if pool_id is None else orders.pools.get(pool_id)
    if view.lever is not Lever.SUSPEND and (pool_id not in (view.reach or ()) or uses_topology(view.workload)):
        pool = None
    steering = None if pool is None or view.lever is Lever.SUSPEND else _steering(view, pool)
    placement = _placement(view, pool)
    if isinstance(steering, str) or isinstance(placement, str):
        return steering if isinstance(steering, str) else str(placement)
    if steering and pool is not None and view.lever is Lever.GATE:
        # The Workload first: its gate is still shut, and the next look takes it away.
        said = f"Goes to {pool.pool_id}"
        steer: dict[str, object] = {"spec": {"podSets": steering}}
        return patch_of(WORKLOADS, view.workload, steer, job_id=view.job_id, reason=PLACED, said=said)
    selector, placed = placement
    resumed = view.state.phase is JobPhase.PAUSED
    marks = replace(
        over(view.marks),
        released_utc=orders.now_utc,
        pool_id=pool_id or view.marks.pool_id,
        placed=placed,
        paused_s=view.state.paused_s if resumed else view.marks.paused_s,
    )
    change = _change(view, marks, down=False)
    if selector:
        change["spec"] = {**change.get("spec", {}), "template": {"spec": {"nodeSelector": selector}}}
    if steering:
        change["spec"]["podSets"] = steering
    where = f" on {pool_id}" if pool_id is not None and (pool is not None or view.lever is Lever.SUSPEND) else ""
    said = f"{'Resumed' if resumed else 'Released'}{where}{f' ({reason})' if reason else ''}"
    told = with_plan(said, orders.plan_id)
    kind = kind_of(view.target, view.workload)
    return patch_of(kind, view.target, change, job_id=view.job_id, reason=RESUMED if resumed else RELEASED, said=told)


def let_go(view: JobView, why: str, now_utc: datetime) -> Write | None:
    """End a hold of ours without any wish about the place; None when there is none. Works with no plan and no pools."""
    found = release(view, None, "", Orders(now_utc=now_utc))
    return replace(found, reason=LET_GO, text=f"Hold ended: {why}") if isinstance(found, Write) else None


def keep(view: JobView, reason: str, said: str, orders: Orders) -> Write | None:
    """Say why a job that is held waits on, its end as it was: it was to start, and not all of its pods find a place now."""
    if not view.held or view.marks.hold_until_utc is None or view.marks.reason == reason:
        return None
    marks = replace(view.marks, reason=reason, text=with_plan(said, orders.plan_id), plan_id=orders.plan_id)
    change = _change(view, marks, down=True)
    kind = kind_of(view.target, view.workload)
    return patch_of(kind, view.target, change, job_id=view.job_id, reason=reason, said=marks.text)


def stop(view: JobView, action: StopJob, orders: Orders) -> Verdict:
    """Pause a running job; what it has done and how often it was stopped is written with the lever."""
    if view.lever is Lever.GATE or view.state.phase is not JobPhase.RUNNING:
        return "it does not run"
    if view.state.started_utc is not None and view.state.started_utc > action.at_utc:
        return "it was started after that was decided"
    told = orders.told.get(view.job_id)
    said = told.text if told is not None else f"Paused, at the latest until {action.resume_by_utc:%H:%M} UTC"
    marks = replace(
        view.marks,
        held_by=HeldBy.OPERATOR,
        held_since_utc=orders.now_utc,
        hold_until_utc=action.resume_by_utc,
        reason=action.reason or STOPPED,
        text=with_plan(said, orders.plan_id),
        planned_start_utc=None if told is None else told.start_utc,
        plan_id=orders.plan_id,
        pool_id=view.state.pool_id,
        first_started_utc=view.state.first_started_utc or orders.now_utc,
        stops=view.marks.stops + 1,
        work_done_s=view.state.work_done_s,
    )
    change = _change(view, marks, down=True)
    if view.lever is Lever.SUSPEND and text(view.job, "spec", "podReplacementPolicy") != FAILED:
        # Whoever starts it again, us or not: no new pod beside one that still saves its state.
        change["spec"]["podReplacementPolicy"] = FAILED
    kind = kind_of(view.target, view.workload)
    return patch_of(kind, view.target, change, job_id=view.job_id, reason=STOPPED, said=marks.text)


def taken(view: JobView) -> Write | None:
    """Remember that its owner took a job over that we once held; None when there is nothing of ours to withdraw.

    Where the API server has noted it already (policies/admission), what is left of the hold is taken away.
    """
    seen = view.marks
    known = seen.held_by is HeldBy.OWNER
    touched = seen.hold_until_utc is not None if known else seen.held or seen.released_utc is not None
    if not view.owner_took or not touched:
        return None
    marks = to_annotations(replace(over(seen), held_by=HeldBy.OWNER))
    annotations = {**changed(view.target, marks), HELD_BY: HeldBy.OWNER.value}
    change: dict[str, object] = {"metadata": {"annotations": annotations}}
    said = f"{view.owner_took}: it is not held, released or stopped by heat-dispatch any more"
    kind = kind_of(view.target, view.workload)
    return patch_of(kind, view.target, change, job_id=view.job_id, reason=OWNER_TOOK, said=said[0].upper() + said[1:])


def over(marks: Marks) -> Marks:
    """Marks of a hold that has ended; the life of the job stays, and so does its owner's claim."""
    return replace(
        marks,
        held_by=HeldBy.OWNER if marks.held_by is HeldBy.OWNER else None,
        held_since_utc=None,
        hold_until_utc=None,
        reason="",
        text="",
        planned_start_utc=None,
        plan_id="",
    )


def _change(view: JobView, marks: Marks, *, down: bool) -> dict[str, dict[str, object]]:
    """The lever and the marks in one merge patch; a hold always says when it ends."""
    wanted = to_annotations(marks)
    annotations: dict[str, str | None] = changed(view.target, wanted)
    if down:
        annotations[HOLD_UNTIL] = wanted[HOLD_UNTIL]
    match view.lever:
        case Lever.SUSPEND:
            return {"metadata": {"annotations": annotations}, "spec": {"suspend": down}}
        case Lever.ACTIVE:
            return {"metadata": {"annotations": annotations}, "spec": {"active": not down}}
        case Lever.GATE:
            gate = {} if down else {GATED_BY: without_our_gate(view.job)}
            return {"metadata": {"annotations": {**annotations, **gate}}}


def _holder(view: JobView) -> HeldBy:
    """ADMISSION when it was held before we came: then it is not us who wrote `suspend` last."""
    return HeldBy.ADMISSION if view.held and view.marks.held_by is not HeldBy.OPERATOR else HeldBy.OPERATOR


def _cannot_hold(view: JobView) -> str:
    """Why a job that is not held yet cannot be; empty when it can."""
    if view.state.phase is JobPhase.RUNNING:
        return "it runs"
    if not view.opted_in:
        return "its namespace does not take part in holding jobs after their creation"
    match view.lever:
        case Lever.SUSPEND:
            return "" if not suspended(view.job) and unbound(view) else "its pods have their nodes"
        case Lever.GATE:
            return "" if GATE in gates_of(view.job) else "Kueue has not taken it up yet"
        case Lever.ACTIVE:
            busy = admitted(view.workload) or (reserved(view.workload) and not view.asked)
            return "Kueue is starting it" if busy or not active(view.workload) else ""


def _same_hold(marks: Marks, action: HoldJob, now_utc: datetime) -> bool:
    """Whether the marks say what the action says, but for less than a minute, and for a planned start that may move still."""
    return (
        marks.held_by is not None
        and marks.reason == action.reason
        and _near(marks.hold_until_utc, action.until_utc)
        and _same_start(marks.planned_start_utc, action.planned_start_utc, now_utc)
    )


def _same_start(marked: datetime | None, planned: datetime | None, now_utc: datetime) -> bool:
    """Whether a planned start need not be told anew: it is about the same, or both are far enough ahead to move again."""
    if marked is None or planned is None:
        return marked is planned
    return _near(marked, planned) or (min(marked, planned) - now_utc).total_seconds() > MAY_MOVE_S


def _near(one: datetime | None, other: datetime | None) -> bool:
    """Whether two instants are about the same, or both missing."""
    if one is None or other is None:
        return one is other
    return abs((one - other).total_seconds()) < SAME_TIME_S


def _placement(view: JobView, pool: PoolSelector | None) -> tuple[dict[str, str | None], tuple[str, ...]] | str:
    """(merge patch of the node selector, keys of it that are ours then), or why the job cannot be placed there.

    Keys of an earlier placement go. A template may be changed while its Job is suspended and never started, or when the Job
    controller has confirmed the suspension and the last pod is gone; a Workload's place is given by the AdmissionCheck.
    """
    if view.lever is Lever.ACTIVE or pool is None:
        return {}, view.marks.placed
    given = texts(view.job, "spec", "template", "spec", "nodeSelector")
    own = {key: value for key, value in given.items() if key not in view.marks.placed}
    for key, value in pool.node_labels.items():
        if own.get(key, value) != value:
            return f"its node selector {key}={own[key]} contradicts pool {pool.pool_id}"
    placed = tuple(sorted(key for key in pool.node_labels if key not in own))
    wanted: dict[str, str | None] = {key: None for key in view.marks.placed if key in given and key not in placed}
    wanted |= {key: pool.node_labels[key] for key in placed if given.get(key) != pool.node_labels[key]}
    if wanted and not _placeable(view.job):
        return "its pods are not gone yet"
    return wanted, placed


def _steering(view: JobView, pool: PoolSelector) -> list[Any] | str:
    """Pod sets of a Workload that is to go to a pool, empty when it does already; or why it cannot be told so now."""
    if not view.workload:
        return "Kueue has not taken it up yet"
    if holds(view.workload, "QuotaReserved"):
        return "Kueue has not taken its quota back yet"
    if goes_to(view.workload, pool):
        return []
    own = texts(view.job, "spec", "template", "spec", "nodeSelector") if view.job else None
    return steered(view.workload, own, pool)


def _still_there(view: JobView) -> bool:
    """Whether pods of a held native job still save their state: a resumed twin would do the same work again."""
    if view.lever is not Lever.SUSPEND:
        return False
    bound = any(text(pod, "spec", "nodeName") for pod in live_pods(view.pods))
    return bound or count(view.job, "status", "active") > 0 or count(view.job, "status", "terminating") > 0


def _placeable(job: Obj) -> bool:
    """Whether the API server lets the pod template of a suspended Job be changed, on every Kubernetes that we know."""
    never_started = not text(job, "status", "startTime")
    return suspended(job) and (never_started or (holds(job, "Suspended") and count(job, "status", "active") == 0))
