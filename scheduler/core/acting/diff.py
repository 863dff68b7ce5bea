"""Plan and world become actions: only what changes, only until the next cycle, each with its time.

A plan is read at absolute times, so one that is some cycles old (last good, kept) says the same as when it was made. Jobs
that it does not know start at once: nobody waits because a plan is old.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.core.acting.lease import resume_by_utc
from scheduler.core.planning.work import Work
from scheduler.domain.action import Action, HoldJob, ReleaseCap, SetCap, StartJob, StopJob
from scheduler.domain.plan import Explanation, Plan, PlannedJob, RunOption
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site

PLANNED = "Planned"
RELEASED = "Released"
NOT_IN_PLAN = "NotInPlan"
HOLD_OVER = "HoldOver"
STOP_REASON = "CheaperPower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From now to the next cycle, with the plan's slots in it."""

    now_utc: datetime
    end_utc: datetime

    def holds(self, at_utc: datetime) -> bool:
        """True when an instant falls into the window."""
        return self.now_utc <= at_utc < self.end_utc


def window_of(now_utc: datetime, settings: Settings) -> Window:
    """Time for which this cycle decides."""
    return Window(now_utc=now_utc, end_utc=now_utc + timedelta(seconds=settings.cycle_s))


def actions_of(site: Site, plan: Plan, works: Sequence[Work], settings: Settings, now_utc: datetime) -> tuple[Action, ...]:
    """Actions that make the world follow a plan until the next cycle.

    Order: caps let go, stops, starts (the most urgent first), caps, holds; so that what frees GPUs comes first.
    """
    planned = {job.job_id: job for job in plan.jobs}
    told = {explanation.job_id: explanation for explanation in plan.explanations}
    window = window_of(now_utc, settings)
    found: list[Action] = []
    for work in sorted(works, key=lambda work: (work.hold_until_utc, work.state.job.job_id)):
        job_id = work.state.job.job_id
        job = planned.get(job_id)
        if not work.submitted(now_utc):
            continue
        if work.running:
            found += _running(site, plan, job, work, (settings, window))
        else:
            found += _waiting(site, plan, job, work, (settings, window, told.get(job_id)))
    return tuple(sorted(found, key=_rank))


def release_all(site: Site, works: Sequence[Work], now_utc: datetime) -> tuple[Action, ...]:
    """Let go: every waiting job is released, every cap given back."""
    ordered = sorted(works, key=lambda work: (work.state.job.submit_utc, work.state.job.job_id))
    found: list[Action] = [
        ReleaseCap(job_id=work.state.job.job_id, at_utc=now_utc)
        for work in ordered
        if work.running and work.state.cap_w is not None
    ]
    found += [
        StartJob(
            job_id=work.state.job.job_id,
            pool_id=site.pools[work.pools[0]].pool_id,
            at_utc=now_utc,
            cap_w=None,
            reason=RELEASED,
        )
        for work in ordered
        if not work.running and work.submitted(now_utc)
    ]
    return tuple(found)


def _rank(action: Action) -> int:
    """Order of kinds; sorting is stable, so urgency orders within a kind."""
    order = {ReleaseCap: 0, StopJob: 1, StartJob: 2, SetCap: 3, HoldJob: 4}
    return order[type(action)]


def _running(site: Site, plan: Plan, job: PlannedJob | None, work: Work, context: tuple[Settings, Window]) -> Iterator[Action]:
    """Stop (and perhaps resume before the next cycle), or go on with the caps of the plan."""
    settings, window = context
    option = None if job is None else job.main
    if job is not None and job.stopped:
        # The grid begins with the slot of the decision: a cycle inside a slot stops at once. An older plan's stop is over.
        at = max(plan.grid.start_utc, window.now_utc)
        if at >= min(plan.grid.time_of(1), window.end_utc):
            yield from _caps(plan, None, work, settings, (window, work.state.cap_w))
            return
        last = resume_by_utc(work, at, settings)
        yield StopJob(job_id=job.job_id, at_utc=at, resume_by_utc=last, reason=STOP_REASON)
        again = None if option is None else plan.grid.time_of(option.start_slot)
        if option is not None and again is not None and at < again and window.holds(again):
            yield _start(site, work, again, (plan, option), PLANNED)
        return
    yield from _caps(plan, option, work, settings, (window, work.state.cap_w))


def _waiting(
    site: Site,
    plan: Plan,
    job: PlannedJob | None,
    work: Work,
    context: tuple[Settings, Window, Explanation | None],
) -> Iterator[Action]:
    """Start inside the window, or hold until the hard end at the latest."""
    settings, window, told = context
    option = None if job is None else job.main
    start_utc = None if option is None else plan.grid.time_of(option.start_slot)
    if job is None:
        yield _start(site, work, window.now_utc, None, NOT_IN_PLAN)
        return
    if start_utc is not None and start_utc <= window.now_utc:
        start_utc = window.now_utc
    over = work.hold_until_utc <= window.now_utc
    if option is not None and start_utc is not None and window.holds(start_utc) and not over:
        yield _start(site, work, start_utc, (plan, option), PLANNED)
        yield from _caps(plan, option, work, settings, (Window(now_utc=start_utc, end_utc=window.end_utc), _NOT_YET))
        if start_utc > window.now_utc:
            yield _hold(work, start_utc, told)
    elif over:
        yield _start(site, work, window.now_utc, None if option is None else (plan, option), HOLD_OVER)
    else:
        yield _hold(work, start_utc, told)


def _start(site: Site, work: Work, at_utc: datetime, chosen: tuple[Plan, RunOption] | None, reason: str) -> StartJob:
    """Start on the planned pool at the planned first cap; on the first eligible pool, uncapped, without a plan."""
    pool, cap_w = work.pools[0], None
    if chosen is not None:
        plan, option = chosen
        pool = option.pool if option.pool in work.pools else pool
        cap_w = _cap_at(plan, option, work, at_utc)
    return StartJob(job_id=work.state.job.job_id, pool_id=site.pools[pool].pool_id, at_utc=at_utc, cap_w=cap_w, reason=reason)


def _hold(work: Work, start_utc: datetime | None, told: Explanation | None) -> HoldJob:
    """Hold with its reason in words; it ends by itself at the hard end."""
    return HoldJob(
        job_id=work.state.job.job_id,
        until_utc=work.hold_until_utc,
        planned_start_utc=start_utc,
        reason=PLANNED if told is None else told.reason.value,
        text="waits for its place in the plan" if told is None else told.text,
    )


_NOT_YET = -1.0


def _cap_at(plan: Plan, option: RunOption, work: Work, at_utc: datetime) -> float | None:
    """Cap per GPU that the plan wants at an instant; before its first and after its last slot the nearest one holds."""
    index = min(max(0, plan.grid.slot_of(at_utc) - option.start_slot), len(option.points) - 1)
    if index < 0:
        return None
    point = work.points[min(int(option.points[index]), len(work.points) - 1)]
    return None if point.level >= 1.0 else point.cap_w


def _caps(
    plan: Plan, option: RunOption | None, work: Work, settings: Settings, since: tuple[Window, float | None]
) -> Iterator[Action]:
    """Cap changes inside a window, against the cap in force (`_NOT_YET`: the start itself sets the first one)."""
    window, in_force_w = since
    job_id = work.state.job.job_id
    if option is None:
        if in_force_w is not None:
            yield ReleaseCap(job_id=job_id, at_utc=window.now_utc)
        return
    at = window.now_utc
    while at < window.end_utc:
        wanted_w = _cap_at(plan, option, work, at)
        if in_force_w == _NOT_YET:
            in_force_w = wanted_w
        if wanted_w is None and in_force_w is not None:
            yield ReleaseCap(job_id=job_id, at_utc=at)
        elif wanted_w is not None and (in_force_w is None or abs(wanted_w - in_force_w) > 1e-6):
            yield SetCap(job_id=job_id, cap_w=wanted_w, at_utc=at, lease_s=settings.lease_s)
        in_force_w = wanted_w
        at = plan.grid.time_of(plan.grid.slot_of(at) + 1)
