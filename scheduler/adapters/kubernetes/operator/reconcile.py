"""One look at one job: what is there, what is wanted of it now, and the one write that brings it closer.

Level-triggered: a look never asks why it was called. It may come late, twice, or after a restart; it reads the job anew, checks
the write with the guard, sends at most one, and says when the next look is due.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from scheduler.adapters.kubernetes.actions import Orders, keep, let_go, taken, write_for
from scheduler.adapters.kubernetes.admission_check import Check, pending, ready
from scheduler.adapters.kubernetes.guard import Drop, Fresh, judge, latest_end_utc
from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.objects import Obj, condition, instant
from scheduler.adapters.kubernetes.operator.book import Book, Wish
from scheduler.adapters.kubernetes.operator.view import Governance, Reader
from scheduler.adapters.kubernetes.pools import NodeRoom
from scheduler.adapters.kubernetes.runtime.frozen import EMPTY
from scheduler.adapters.kubernetes.runtime.kinds import Kind
from scheduler.adapters.kubernetes.stale import UNCLAIMED_S, due_because, end_utc
from scheduler.adapters.kubernetes.why import with_plan, would
from scheduler.adapters.kubernetes.writes import Effect, Verb, Write
from scheduler.core.acting.newcomer import Counter
from scheduler.domain.action import HoldJob, StartJob
from scheduler.domain.job import JobPhase
from scheduler.domain.plan import WaitReason
from scheduler.domain.settings import Mode

# A release that found no room, or a write that found another version: look again so soon.
SOON_S = 5.0
# However quiet it is, every held job is looked at this often.
AT_LEAST_S = 300.0
# A new job is decided by the next cycle when no plan is there to price it on, and it may have come while that was at work on
# another picture: until it is decided it is looked at so often.
NO_PLAN_S = 10.0

SENT, DROPPED, NOTHING_TO_DO = "sent", "dropped", "nothing"


class Door(Protocol):
    """The writing half of the API server, as far as looks need it (`runtime.writer.Writer`)."""

    def patch(self, kind: Kind, seen: Obj, change: Obj, *, subresource: str = "", lets_go: bool = False) -> Obj:
        """Merge-patch an object as it was seen."""
        ...

    def apply_part(self, kind: Kind, seen: Obj, part: Obj, *, subresource: str = "", lets_go: bool = False) -> Obj:
        """Apply our entry in somebody else's object as it was seen."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look did: the write (if any), what became of it, and the next instant at which something may change.

    advice: what would be done in Dispatch, to be told to the job's owner in Advise.
    """

    outcome: str
    write: Write | None = None
    drop: Drop | None = None
    again_utc: datetime | None = None
    advice: str = ""


@dataclass(slots=True, kw_only=True, eq=False)
class Desk:
    """One policy at work: who reads, what is wanted, where newcomers are priced.

    rooms: the nodes with what is free on them now. flavor_labels: what the flavors that a Workload was admitted to bring along.
    placed: told of every native job that is about to be released, and where to, so that its room is not given away again;
    unplaced: that it was not.
    """

    governance: Governance
    reader: Reader
    book: Book
    counter: Counter | None = None
    checks: tuple[Check, ...] = ()
    letting_go: bool = False
    rooms: Callable[[], Sequence[NodeRoom]] = field(default=tuple)
    flavor_labels: Callable[[Obj], Mapping[str, str]] = field(default=lambda _workload: {})
    placed: Callable[[JobView, str | None], None] = field(default=lambda _view, _pool_id: None)
    unplaced: Callable[[JobView], None] = field(default=lambda _view: None)

    @property
    def mode(self) -> Mode:
        """Mode of the policy."""
        return self.governance.settings.mode


def look(view: JobView | None, desk: Desk, now_utc: datetime) -> Look:
    """Decide what one job needs now: at most one write, checked by the guard.

    Args:
        view: the job as it is now; None when it is gone.
        desk: its policy.
        now_utc: now.
    """
    if view is None or view.state.phase is JobPhase.DONE:
        return Look(outcome=NOTHING_TO_DO)
    mark = taken(view)
    if mark is not None:
        return _judged(mark, view, desk, now_utc)
    because = "all holds are being released" if desk.letting_go and view.held else due_because(view, desk.mode, now_utc)
    if because:
        write = let_go(view, because, now_utc)
        return Look(outcome=NOTHING_TO_DO) if write is None else _judged(write, view, desk, now_utc)
    free = desk.mode is not Mode.DISPATCH or view.insulated or bool(view.owner_took) or desk.letting_go
    # Read once: another thread puts a new one there after a cycle, and takes it away when the term ends.
    counter = desk.counter
    wish = None if free else desk.book.wish(view.job_id) or _newcomer(view, desk, counter, now_utc)
    if view.asked and not view.held:  # of one that is switched off Kueue has only not taken the quota back yet
        return _answered(view, desk, wish, now_utc, free=free)
    if free:
        return Look(outcome=NOTHING_TO_DO, advice=_advice(view, desk, now_utc))
    told = _told(view, desk, now_utc)
    if told is not None:
        return _judged(told, view, desk, now_utc)
    if wish is None and view.held and counter is not None:
        # Held at its creation, and nothing that can be planned: more GPUs than a pool has, or paused and forgotten.
        release = let_go(view, "it cannot be planned: no pool has enough GPUs for it", now_utc)
        return Look(outcome=NOTHING_TO_DO) if release is None else _judged(release, view, desk, now_utc, letting_go=True)
    if wish is None:
        return _unplanned(view, desk, now_utc)
    return _followed(wish, view, desk, now_utc)


def send(write: Write, door: Door) -> Obj:
    """Send one write through the door; `ApiError`s of the door pass."""
    if write.verb is Verb.APPLY:
        return door.apply_part(write.kind, write.seen, write.change, subresource=write.subresource, lets_go=write.lets_go)
    return door.patch(write.kind, write.seen, write.change, subresource=write.subresource, lets_go=write.lets_go)


def free_gpus(rooms: Sequence[NodeRoom]) -> Mapping[str, float]:
    """GPUs free on open nodes, by pool."""
    found: dict[str, float] = {}
    for room in rooms:
        if room.pool_id is not None:
            found[room.pool_id] = found.get(room.pool_id, 0.0) + room.gpus_free
    return found


def _answered(view: JobView, desk: Desk, wish: Wish | None, now_utc: datetime, *, free: bool) -> Look:
    """Answer Kueue, which keeps quota for the job and waits for us.

    Ready, with the pool that is wanted if one is. A job that is to wait longer gives its quota back instead (`active`). Before
    the first decision of all it waits for that, as long as one that is held at its creation would.
    """
    action = None if wish is None else wish.intent.wanted(now_utc)
    if wish is not None and isinstance(action, HoldJob):
        held = _followed(wish, view, desk, now_utc)
        if held.outcome == SENT:
            return held
    if wish is None and not free and desk.book.chapter is None:
        since = instant(condition(view.workload, "QuotaReserved"), "lastTransitionTime") or now_utc
        until = since + timedelta(seconds=UNCLAIMED_S)
        if now_utc < until:
            told = _said(view, desk, f"waits for the first plan, until {until:%H:%M} UTC at the latest", now_utc)
            waits = Look(outcome=NOTHING_TO_DO) if told is None else _judged(told, view, desk, now_utc)
            return replace(waits, again_utc=min(until, now_utc + timedelta(seconds=NO_PLAN_S)))
    pool = desk.governance.selector_by_pool.get(action.pool_id) if isinstance(action, StartJob) else None
    labels = desk.flavor_labels(view.workload)
    answers = (ready(view, replace(check, flavor_labels=labels), pool, now_utc) for check in desk.checks)
    answer = next((one for one in answers if one is not None), None)
    return Look(outcome=NOTHING_TO_DO) if answer is None else _judged(answer, view, desk, now_utc)


def _told(view: JobView, desk: Desk, now_utc: datetime) -> Write | None:
    """Why a queued job is held, said where its owner looks: in our check's entry on its Workload."""
    return _said(view, desk, view.marks.text, now_utc) if view.held and view.marks.text else None


def _said(view: JobView, desk: Desk, because: str, now_utc: datetime) -> Write | None:
    """A message in the entry of the first check of ours that waits and does not say so yet."""
    if not view.workload:
        return None
    found = (pending(view, check, because, now_utc) for check in desk.checks)
    return next((one for one in found if one is not None), None)


def _advice(view: JobView, desk: Desk, now_utc: datetime) -> str:
    """What Dispatch would have done at the creation of a job that came since the last plan; told once, and empty else.

    Nobody holds it, so it may run by now: it is priced as if it waited, and its own GPUs were free.
    """
    chapter, state = desk.book.chapter, view.state
    # The API server tells the creation in whole seconds: one of the second of the plan counts as later.
    came = chapter is not None and state.job.submit_utc >= chapter.decided_utc.replace(microsecond=0)
    alone = desk.mode is not Mode.ADVISE or view.insulated or bool(view.owner_took) or desk.letting_go
    if alone or not came or not view.opted_in or desk.book.wish(view.job_id) is not None:
        return ""
    own = {state.pool_id: float(state.job.gpus)} if state.phase is JobPhase.RUNNING and state.pool_id is not None else {}
    waits = replace(
        state, phase=JobPhase.QUEUED, pool_id=None, started_utc=None, first_started_utc=None, work_done_s=0.0, run_s=0.0
    )
    wish = _newcomer(replace(view, state=waits), desk, desk.counter, now_utc, own)
    hold = None if wish is None else wish.intent.hold
    return "" if wish is None or hold is None else with_plan(would(hold.text), wish.plan_id)


def _newcomer(
    view: JobView, desk: Desk, counter: Counter | None, now_utc: datetime, freed: Mapping[str, float] = EMPTY
) -> Wish | None:
    """Decide about a job that came after the last decision, on the last plan's prices; `freed`: GPUs that count as free."""
    if counter is None:
        return None
    free = free_gpus(desk.rooms())
    room = {pool_id: free.get(pool_id, 0.0) + freed.get(pool_id, 0.0) for pool_id in {*free, *freed}}
    made = counter.decide(view.state, now_utc, room)
    return None if made is None else desk.book.add(view.job_id, made.actions(now_utc), counter.plan.plan_id)


def _unplanned(view: JobView, desk: Desk, now_utc: datetime) -> Look:
    """A held job while there is no plan to decide it by: it is told so, with the end that a hold has which nobody claims."""
    waits = Look(outcome=NOTHING_TO_DO, again_utc=_no_plan_yet(view, now_utc))
    rules = desk.governance
    job_class = rules.classes.get(view.state.job.class_name)
    if not view.held or view.marks.hold_until_utc is not None or job_class is None:
        return waits
    until = min(end_utc(view), latest_end_utc(view, job_class, now_utc, rules.settings))
    which = "first" if desk.book.chapter is None else "next"
    hold = HoldJob(
        job_id=view.job_id,
        until_utc=until,
        planned_start_utc=None,
        reason=WaitReason.NO_PLAN_YET.value,
        text=f"Held until the {which} plan is made, at the latest {until:%H:%M} UTC",
    )
    told = write_for(hold, view, Orders(now_utc=now_utc)) if until > now_utc else None
    return replace(_judged(told, view, desk, now_utc), again_utc=waits.again_utc) if isinstance(told, Write) else waits


def _no_plan_yet(view: JobView, now_utc: datetime) -> datetime | None:
    """When to look again at a job of which nothing is decided; never, if nothing holds it."""
    if not view.held:
        return None
    return min(now_utc + timedelta(seconds=NO_PLAN_S), end_utc(view))


def _followed(wish: Wish, view: JobView, desk: Desk, now_utc: datetime) -> Look:
    """Make the job as it is wanted."""
    action = wish.intent.wanted(now_utc)
    again = _next(wish, view, now_utc)
    if action is None or _so_already(action, view):
        return Look(outcome=NOTHING_TO_DO, again_utc=again)
    orders = Orders(
        now_utc=now_utc,
        plan_id=wish.plan_id,
        told={} if wish.told is None else {view.job_id: wish.told},
        pools=desk.governance.selector_by_pool,
    )
    verdict = write_for(action, view, orders)
    if not isinstance(verdict, Write):
        soon = now_utc + timedelta(seconds=SOON_S) if isinstance(verdict, str) and isinstance(action, StartJob) else again
        return Look(outcome=NOTHING_TO_DO, again_utc=soon)
    found = _judged(verdict, view, desk, now_utc)
    if found.drop is Drop.NO_FIT:
        told = _kept(wish, view, orders)
        waits = None if told is None else _judged(told, view, desk, now_utc)
        soon = now_utc + timedelta(seconds=SOON_S)
        return replace(found if waits is None or waits.write is None else waits, again_utc=soon)
    return replace(found, again_utc=again if found.again_utc is None else found.again_utc)


def _kept(wish: Wish, view: JobView, orders: Orders) -> Write | None:
    """Say that a job waits for room: with the end that its hold has, or with the one that was decided if it has none yet."""
    if view.marks.hold_until_utc is not None:
        return keep(view, WaitReason.NO_FIT.value, _no_room(view), orders)
    if wish.intent.hold is None:
        return None
    held = write_for(replace(wish.intent.hold, reason=WaitReason.NO_FIT.value, text=_no_room(view)), view, orders)
    return held if isinstance(held, Write) else None


def _so_already(action: object, view: JobView) -> bool:
    """A start of what runs or was released already needs nothing."""
    return isinstance(action, StartJob) and not view.held


def _no_room(view: JobView) -> str:
    """Why a job that was to start waits on."""
    pods = sum(gang.pods for gang in view.gangs)
    return f"Starts as soon as all of its {pods} pods ({view.state.job.gpus} GPUs) find a place on real nodes"


def _judged(write: Write, view: JobView, desk: Desk, now_utc: datetime, *, letting_go: bool = False) -> Look:
    """The guard's word about a write; `letting_go`: this job is let go, whether there is room for it or not."""
    rules = desk.governance
    fresh = Fresh(
        now_utc=now_utc,
        settings=rules.settings,
        classes=rules.classes,
        # Only a release asks for room; counting it takes as long as ten writes.
        rooms=desk.rooms() if write.effect is Effect.RELEASE else (),
        letting_go=letting_go or desk.letting_go,
    )
    drop = judge(write, view, fresh)
    if drop is None:
        return Look(outcome=SENT, write=write)
    soon = now_utc + timedelta(seconds=SOON_S) if drop in (Drop.CONFLICT, Drop.NO_FIT) else None
    return Look(outcome=DROPPED, drop=drop, again_utc=soon)


def _next(wish: Wish, view: JobView, now_utc: datetime) -> datetime:
    """The next instant at which a look may find something to do."""
    ahead = [now_utc + timedelta(seconds=AT_LEAST_S)]
    change = wish.intent.next_utc(now_utc)
    if change is not None:
        ahead.append(change)
    if view.held:
        ahead.append(max(now_utc, end_utc(view)))
    return min(ahead)
