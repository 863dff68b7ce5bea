"""Holds that are over: every hold ends by itself, also when the operator is gone and its kinds are not there.

Reads Jobs and Workloads only, so that the CronJob's `heat-dispatch release --stale` and an uninstall can use it anywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from scheduler.adapters.kubernetes.actions import let_go
from scheduler.adapters.kubernetes.admission_check import Check, ready
from scheduler.adapters.kubernetes.jobs import JobView, Surroundings, read
from scheduler.adapters.kubernetes.marks import HeldBy
from scheduler.adapters.kubernetes.objects import NOTHING, Obj, condition, controller_of, instant, text, uid_of
from scheduler.adapters.kubernetes.writes import Write
from scheduler.domain.job import JobPhase
from scheduler.domain.settings import Mode

# A hold made at admission that nobody has given an end: the operator is away.
UNCLAIMED_S = 600.0
# Whatever an annotation says: no hold is older than this. Longer than any maxHold that makes sense.
LONGEST_HOLD_S = 30.0 * 24 * 60 * 60

UNCLAIMED = "nobody gave it an end within ten minutes"
PAST = "its time is over"
EVERYTHING = "all holds are being released"


def stale_writes(
    jobs: Iterable[Obj],
    workloads: Iterable[Obj],
    now_utc: datetime,
    *,
    checks: Collection[str] = (),
    everything: bool = False,
) -> tuple[Write, ...]:
    """Releases of all holds that are over (or of all holds), and answers that Kueue has waited for too long; by name.

    A job that is held in two ways at once is let go in two runs.

    Args:
        jobs: batch Jobs as the API serves them.
        workloads: Kueue Workloads; none where there is no Kueue.
        now_utc: now.
        checks: names of our AdmissionChecks.
        everything: release every hold of ours, answer every check.
    """
    found: list[Write] = []
    for view in views(jobs, workloads, now_utc):
        reason = EVERYTHING if everything else over_because(view, now_utc)
        write = let_go(view, reason, now_utc) if reason else None
        found += [] if write is None else [write]
        found += _answers(view, checks, now_utc, everything=everything)
    return tuple(sorted(found, key=lambda write: (write.namespace, write.name, write.kind.kind)))


def _answers(view: JobView, checks: Collection[str], now_utc: datetime, *, everything: bool) -> list[Write]:
    """Ready, wherever Kueue has waited for our word for ten minutes."""
    since = instant(condition(view.workload, "QuotaReserved"), "lastTransitionTime")
    waited = since is None or now_utc - since >= timedelta(seconds=UNCLAIMED_S)
    if not (waited or everything):
        return []
    found = (ready(view, Check(name=name), None, now_utc) for name in sorted(checks))
    return [write for write in found if write is not None]


def due_because(view: JobView, mode: Mode, now_utc: datetime) -> str:
    """Why the operator must let a job go at once: its hold is over, nothing is held in this mode, or it became insulated."""
    if not view.held or view.state.phase is JobPhase.DONE:
        return ""
    if mode is not Mode.DISPATCH:
        return f"nothing is held in mode {mode.value}"
    if view.marks.held_by is HeldBy.OWNER:
        return "its owner took it over"
    return "it is insulated" if view.insulated else over_because(view, now_utc)


def over_because(view: JobView, now_utc: datetime) -> str:
    """Why a hold is over; empty while it is not, or when there is none."""
    end = end_utc(view)
    if not view.held or view.state.phase is JobPhase.DONE or end > now_utc:
        return ""
    return PAST if view.marks.hold_until_utc is not None else UNCLAIMED


def end_utc(view: JobView) -> datetime:
    """When a hold ends by itself: as marked, ten minutes after its begin without a mark, and in any case some day."""
    since = view.marks.held_since_utc or view.state.job.submit_utc
    marked = view.marks.hold_until_utc
    if marked is None:
        return since + timedelta(seconds=UNCLAIMED_S)
    return min(marked, since + timedelta(seconds=LONGEST_HOLD_S))


def views(jobs: Iterable[Obj], workloads: Iterable[Obj], now_utc: datetime) -> tuple[JobView, ...]:
    """Jobs with what belongs to them; classes play no part in letting go."""
    around = Surroundings(now_utc=now_utc, classes={})
    left: dict[str, list[Obj]] = {}
    for each in workloads:
        left.setdefault(text(controller_of(each), "uid"), []).append(each)
    pairs = []
    for job in jobs:
        own = left.get(uid_of(job), [])
        pairs.append((job, own.pop() if own else NOTHING))
    pairs += [(NOTHING, each) for others in left.values() for each in others]
    found = (read(job, workload, (), around) for job, workload in pairs)
    return tuple(view for view in found if view is not None)
