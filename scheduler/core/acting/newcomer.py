"""A job that comes between two cycles, from what is seen of it to what is wanted of it; operator and simulator take this way.

The problem that belongs to the last plan is written once more when the plan is made, so that a newcomer costs one pricing and
no forecast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from scheduler.core.acting.admission import Admission, admit
from scheduler.core.forecast.outlook import outlook
from scheduler.core.planning.problem import build_problem, plan_grid, plan_job
from scheduler.core.planning.work import work_of
from scheduler.domain.action import Action, HoldJob, StartJob
from scheduler.domain.job import JobState
from scheduler.domain.outlook import Outlook
from scheduler.domain.plan import Plan, PlanStatus
from scheduler.domain.problem import PlanProblem
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Newcomer:
    """What becomes of a new job: the decision, the pool and the cap that go with it, and the end of its hold."""

    job_id: str
    decided: Admission
    pool_id: str
    cap_w: float | None
    start_utc: datetime | None
    hold_until_utc: datetime

    def actions(self, now_utc: datetime) -> tuple[Action, ...]:
        """The decision as actions: a start, or a hold with the start that ends it.

        A job whose last slot this is and that finds no room in it is to start now all the same: whoever carries that out keeps
        it until there is room, and not beyond the end of its hold.
        """
        start = None
        if self.start_utc is not None:
            at = now_utc if self.decided.start_now else max(now_utc, self.start_utc)
            start = StartJob(job_id=self.job_id, pool_id=self.pool_id, at_utc=at, cap_w=self.cap_w, reason=self.decided.text)
        if self.decided.start_now:
            return () if start is None else (start,)
        hold = HoldJob(
            job_id=self.job_id,
            until_utc=self.hold_until_utc,
            planned_start_utc=self.start_utc,
            reason=self.decided.reason.value if self.decided.reason is not None else "",
            text=self.decided.text,
        )
        return (hold,) if start is None else (hold, start)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counter:
    """Where newcomers are priced: the last plan with the problem and the outlook that it was made of."""

    site: Site
    settings: Settings
    outlook: Outlook
    problem: PlanProblem
    plan: Plan

    def decide(self, state: JobState, now_utc: datetime, free_gpus: Mapping[str, float]) -> Newcomer | None:
        """Decide about one job; None when it is not ours to plan.

        Args:
            state: the job as it is seen now.
            now_utc: now.
            free_gpus: GPUs free at this moment, by pool; a pool that is not named has none.
        """
        ahead, grid = self.outlook, self.problem.grid
        work = work_of(self.site, state, ahead.durations, ahead.arrival_draw_w, self.settings)
        if work is None:
            return None
        now_slot = grid.slot_of(now_utc)
        job = plan_job(self.site, work, grid, self.settings, 0.0, grid.start_utc)
        # It came after the plan, and is there now, in the middle of a slot.
        job = replace(job, release_slot=min(job.release_slot, max(0, now_slot)))
        free = np.asarray([free_gpus.get(pool.pool_id, 0.0) for pool in self.site.pools])
        decided = admit(self.problem, self.plan.duals, job, now_slot=now_slot, free_gpus=free)
        point = None if decided.point is None else job.points[decided.point]
        return Newcomer(
            job_id=state.job.job_id,
            decided=decided,
            pool_id=self.site.pools[job.pools[0] if decided.pool is None else decided.pool].pool_id,
            cap_w=None if point is None or point.level >= 1.0 else point.cap_w,
            start_utc=None if decided.start_slot is None else grid.time_of(decided.start_slot),
            hold_until_utc=max(now_utc, work.hold_until_utc),
        )


def counter_for(site: Site, snapshot: Snapshot, settings: Settings, plan: Plan | None) -> Counter | None:
    """A counter on the last plan; None without a plan to price on, where nothing is shifted, or when its prices are of old.

    An older plan that is followed still (last good, kept) has prices of other slots.
    """
    grid = plan_grid(snapshot.observed_utc, settings)
    if plan is None or plan.status is PlanStatus.LET_GO or not settings.levers.shifting:
        return None
    if plan.duals.start_utc != grid.start_utc:
        return None
    ahead = outlook(site, snapshot, settings, grid)
    problem = build_problem(site, snapshot, ahead, settings)
    return Counter(site=site, settings=settings, outlook=ahead, problem=problem, plan=plan)
