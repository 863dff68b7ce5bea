"""The last look before a write, at fresh state: it can drop a write with a reason, and do nothing else.

It reads what the write does from the write's own body. What it does not understand, it drops; what ends a hold of ours, it
lets pass whenever the object is still the one that was seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from scheduler.adapters.kubernetes.jobs import JobView, Lever, unbound
from scheduler.adapters.kubernetes.marks import POOL, STOPS, read_instant
from scheduler.adapters.kubernetes.objects import holds, part, parts, text, texts, uid_of, version_of
from scheduler.adapters.kubernetes.pools import NodeRoom, placed
from scheduler.adapters.kubernetes.quantities import Gang
from scheduler.adapters.kubernetes.stale import over_because
from scheduler.adapters.kubernetes.workloads import PENDING, admitted, check_state, reserved
from scheduler.adapters.kubernetes.writes import Effect, Write
from scheduler.core.planning.work import hold_until_utc
from scheduler.domain.job import Flexibility, JobClass, JobPhase, JobState
from scheduler.domain.settings import Mode, Settings


class Drop(StrEnum):
    """Why a write was dropped; stable names for outcomes and metrics."""

    GONE = "Gone"
    UID_CHANGED = "UidChanged"
    CONFLICT = "Conflict"
    NOT_DISPATCH = "NotDispatch"
    INSULATED = "Insulated"
    OWNER_TOOK = "OwnerTookOver"
    NOT_HELD = "NotHeld"
    NO_END = "HoldWithoutEnd"
    END_TOO_LATE = "HoldEndTooLate"
    HOLD_OVER = "HoldOver"
    RUNS = "Runs"
    STOP_NOT_ALLOWED = "StopNotAllowed"
    NO_FIT = "NoFit"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """What is true now: mode, classes by name, nodes with what is free on them; letting_go: all holds are being released."""

    now_utc: datetime
    settings: Settings
    classes: Mapping[str, JobClass]
    rooms: Sequence[NodeRoom] = field(default_factory=tuple)
    letting_go: bool = False


def judge(write: Write, view: JobView | None, fresh: Fresh) -> Drop | None:
    """Why a write about a job may not be sent; None when it may.

    Args:
        write: what is to be written on its Job or Workload.
        view: the job as it is now; None when it is gone.
        fresh: what else is true now.
    """
    if view is None or view.state.phase is JobPhase.DONE:
        return Drop.GONE
    target = next((each for each in (view.job, view.workload) if each and uid_of(each) == write.uid), None)
    if target is None:
        return Drop.UID_CHANGED
    if version_of(target) != write.version:
        return Drop.CONFLICT
    match write.effect:
        case Effect.RELEASE:
            return _release(write, view, fresh)
        case Effect.HOLD:
            return _hold(write, view, fresh)
        case Effect.MARK:
            return _mark(view, fresh)
        case Effect.PLACE:
            return _steer(view, fresh)
        case Effect.CHECK_READY | Effect.CHECK_SHUT:
            return _check(write, view, fresh)
        case Effect.CHECK_TELL:
            return _tell(write, view, fresh)
        case _:
            return Drop.UNKNOWN


def latest_end_utc(view: JobView, job_class: JobClass, now_utc: datetime, settings: Settings) -> datetime:
    """The latest end that any hold of a job may have, whatever is believed of its duration; of a running one: stopped now.

    An upper bound of the planner's own `hold_until_utc`, which counts the present pause and the work still to do as well.
    """
    state = replace(view.state, paused_s=view.marks.paused_s)
    if state.phase is JobPhase.RUNNING:
        state = replace(state, phase=JobPhase.PAUSED, pause_start_utc=now_utc, preemptions=state.preemptions + 1)
    return hold_until_utc(state, job_class, 1.0, 0.0, settings)


def _release(write: Write, view: JobView, fresh: Fresh) -> Drop | None:
    """Ending a hold of ours is always right; a wish about the place needs a job of ours, and room for all of it."""
    if view.owner_took:
        return Drop.OWNER_TOOK
    if not view.held:
        return Drop.INSULATED if view.insulated else Drop.NOT_HELD
    if write.places:
        if fresh.settings.mode is not Mode.DISPATCH:
            return Drop.NOT_DISPATCH
        if view.insulated:
            return Drop.INSULATED
    ends = fresh.letting_go or fresh.settings.mode is not Mode.DISPATCH or view.insulated
    if ends or over_because(view, fresh.now_utc) or view.lever is not Lever.SUSPEND:
        return None
    pool_id = write.annotations.get(POOL) or view.marks.pool_id
    gangs = [_as_placed(gang, write) for gang in view.gangs]
    return None if _fit(gangs, pool_id if isinstance(pool_id, str) else None, fresh.rooms) else Drop.NO_FIT


def _hold(write: Write, view: JobView, fresh: Fresh) -> Drop | None:
    """A hold or a stop needs a job that may be held, an end, and the right moment."""
    job_class = fresh.classes.get(view.state.job.class_name)
    if fresh.settings.mode is not Mode.DISPATCH:
        return Drop.NOT_DISPATCH
    if view.owner_took:
        return Drop.OWNER_TOOK
    if view.insulated or job_class is None or job_class.flexibility is Flexibility.INSULATED:
        return Drop.INSULATED
    if view.state.phase is JobPhase.RUNNING:
        if not _may_stop(write, view.state, job_class):
            return Drop.STOP_NOT_ALLOWED
    elif not view.held and not _still_waits(view):
        return Drop.RUNS
    until = read_instant(write.hold_until_text)
    if until is None:
        return Drop.NO_END
    if until > latest_end_utc(view, job_class, fresh.now_utc, fresh.settings):
        return Drop.END_TOO_LATE
    return Drop.HOLD_OVER if until <= fresh.now_utc else None


def _may_stop(write: Write, state: JobState, job_class: JobClass) -> bool:
    """Whether a running job may be stopped: namespace, class, count, minimum run time; and the stop is counted."""
    counted = write.annotations.get(STOPS) == str(state.preemptions + 1)
    return (
        counted
        and state.may_stop
        and job_class.flexibility is Flexibility.PREEMPTIBLE
        and state.preemptions < job_class.max_preemptions
        and state.started_utc is not None
        and state.run_s >= job_class.min_runtime_s
    )


def _still_waits(view: JobView) -> bool:
    """Whether a job that nobody holds has nothing running and nothing about to run."""
    if view.workload:
        return not admitted(view.workload) and (view.asked or not reserved(view.workload))
    return view.opted_in and unbound(view)


def _mark(view: JobView, fresh: Fresh) -> Drop | None:
    """The owner's mark is written in Dispatch only, and only where he took over."""
    if fresh.settings.mode is not Mode.DISPATCH:
        return Drop.NOT_DISPATCH
    return None if view.owner_took else Drop.NOT_HELD


def _steer(view: JobView, fresh: Fresh) -> Drop | None:
    """Saying where a Workload goes is for jobs that we hold, in Dispatch, before they have quota."""
    if fresh.settings.mode is not Mode.DISPATCH:
        return Drop.NOT_DISPATCH
    if view.owner_took:
        return Drop.OWNER_TOOK
    if view.insulated:
        return Drop.INSULATED
    if not view.held:
        return Drop.NOT_HELD
    return Drop.CONFLICT if holds(view.workload, "QuotaReserved") else None


def _check(write: Write, view: JobView, fresh: Fresh) -> Drop | None:
    """Ready without conditions is letting go; everything else needs Dispatch and a job that may be touched.

    Retry gives quota back before a job starts. It would stop one that runs, uncounted: that is `active`'s business.
    """
    if not reserved(view.workload):
        return Drop.CONFLICT
    if write.lets_go:
        return None
    if fresh.settings.mode is not Mode.DISPATCH:
        return Drop.NOT_DISPATCH
    if view.owner_took:
        return Drop.OWNER_TOOK
    if view.insulated:
        return Drop.INSULATED
    running = view.state.phase is JobPhase.RUNNING and write.effect is Effect.CHECK_SHUT
    return Drop.STOP_NOT_ALLOWED if running else None


def _tell(write: Write, view: JobView, fresh: Fresh) -> Drop | None:
    """A message in an entry that waits anyway: it may shut nothing that was open."""
    told = [text(each, "name") for each in parts(write.change, "status", "admissionChecks")]
    if any(text(check_state(view.workload, name), "state") != PENDING for name in told):
        return Drop.CONFLICT
    if fresh.settings.mode is not Mode.DISPATCH:
        return Drop.NOT_DISPATCH
    return Drop.INSULATED if view.insulated else None


def _as_placed(gang: Gang, write: Write) -> Gang:
    """A gang with the node selector that it has after the write."""
    change = part(write.change, "spec", "template", "spec", "nodeSelector")
    after = {**texts(gang.pod_spec, "nodeSelector"), **change}
    selector = {key: value for key, value in after.items() if value is not None}
    return replace(gang, pod_spec={**gang.pod_spec, "nodeSelector": selector})


def _fit(gangs: Sequence[Gang], pool_id: str | None, rooms: Sequence[NodeRoom]) -> bool:
    """Whether every pod of every gang of a job finds a node now."""
    left: tuple[NodeRoom, ...] | None = tuple(rooms)
    for gang in gangs:
        left = None if left is None else placed(gang, pool_id, left)
    return left is not None
