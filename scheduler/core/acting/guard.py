"""The last word before any write: it may only make things safer.

It sees single actions and the snapshot, never the plan, and it can do three things: let an action pass, weaken it (an earlier
end of a hold, a start without its cap), or refuse it with a reason. What it cannot judge, it refuses; the one thing that it
never refuses is giving a limit back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from scheduler.core.acting.lease import resume_by_utc
from scheduler.core.planning.work import Work, flexible_class
from scheduler.domain.action import Action, HoldJob, ReleaseCap, SetCap, StartJob, StopJob
from scheduler.domain.job import Flexibility, JobPhase, JobState
from scheduler.domain.settings import Mode, Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot

# Sources without which nothing is known about the jobs themselves: no hold, stop or cap rests on them when they are stale.
VITAL_SOURCES = frozenset({"jobs", "cluster", "gpus", "nodes"})

Verdict = Action | str


@dataclass(slots=True, kw_only=True)
class _Ledge:
    """What the guard remembers while it looks at one action after the other."""

    site: Site
    settings: Settings
    now_utc: datetime
    states: Mapping[str, JobState]
    works: Mapping[str, Work]
    free_gpus: dict[str, float]
    blind: str
    let_go: bool
    held: int = 0
    starting: set[str] = field(default_factory=set)
    stopping: set[str] = field(default_factory=set)


def stale_sources(snapshot: Snapshot) -> tuple[str, ...]:
    """Names of sources that never spoke or are older than they may be."""
    return tuple(
        fresh.source for fresh in snapshot.freshness if fresh.age_s is None or not 0.0 <= fresh.age_s <= fresh.max_age_s
    )


def guard(
    site: Site,
    snapshot: Snapshot,
    settings: Settings,
    works: Sequence[Work],
    actions: Sequence[Action],
    *,
    let_go: bool = False,
) -> tuple[tuple[Action, ...], tuple[tuple[Action, str], ...]]:
    """Return (actions that may be written, refused ones with their reason).

    Args:
        site: pools, classes and their limits.
        snapshot: what was seen; jobs that it does not hold are not touched.
        settings: mode, lease, limits.
        works: flexible jobs with their hold ends and allowed caps, made of the same snapshot.
        actions: in the order in which they would be written.
        let_go: all holds are being released; a gang that does not fit is released too.
    """
    if settings.mode is not Mode.DISPATCH:
        return (), tuple((action, f"mode {settings.mode.value}: nothing is written") for action in actions)
    ledge = _ledge(site, snapshot, settings, works, let_go)
    passed: list[Action] = []
    refused: list[tuple[Action, str]] = []
    for action in actions:
        verdict = _judge(ledge, action)
        if isinstance(verdict, str):
            refused.append((action, verdict))
        else:
            passed.append(verdict)
    return tuple(passed), tuple(refused)


def _ledge(site: Site, snapshot: Snapshot, settings: Settings, works: Sequence[Work], let_go: bool) -> _Ledge:
    """Free GPUs by pool (failures, running jobs and insulated jobs that fit now taken off) and lookup tables."""
    stale = VITAL_SOURCES.intersection(stale_sources(snapshot))
    return _Ledge(
        site=site,
        settings=settings,
        now_utc=snapshot.observed_utc,
        states={state.job.job_id: state for state in snapshot.jobs},
        works={work.state.job.job_id: work for work in works},
        free_gpus=_free_gpus(site, snapshot),
        blind=f"stale source: {', '.join(sorted(stale))}" if stale else "",
        let_go=let_go,
    )


def _free_gpus(site: Site, snapshot: Snapshot) -> dict[str, float]:
    """GPUs by pool that flexible jobs may take now: insulated jobs that wait and fit come first."""
    free = {pool.pool_id: float(snapshot.available_gpus.get(pool.pool_id, pool.gpus)) for pool in site.pools}
    waiting: list[JobState] = []
    for state in snapshot.jobs:
        if state.phase is JobPhase.RUNNING and state.pool_id in free:
            free[state.pool_id] -= state.job.gpus
        elif _insulated_waits(site, snapshot, state):
            waiting.append(state)
    for state in sorted(waiting, key=lambda state: (state.job.submit_utc, state.job.job_id)):
        for pool_id in [state.job.pool_id] if state.job.pool_id is not None else list(free):
            if free.get(pool_id, 0.0) >= state.job.gpus:
                free[pool_id] -= state.job.gpus
                break
    return free


def _insulated_waits(site: Site, snapshot: Snapshot, state: JobState) -> bool:
    """True for an insulated job that is there and waits for GPUs."""
    there = state.phase is JobPhase.QUEUED and state.job.submit_utc <= snapshot.observed_utc
    return there and not state.owner_suspended and flexible_class(site, state) is None


def _judge(ledge: _Ledge, action: Action) -> Verdict:
    """One action: itself, a weaker one, or the reason why not."""
    state = ledge.states.get(action.job_id)
    if state is None or state.job.submit_utc > ledge.now_utc:
        return "job is not there"
    if state.owner_suspended:
        return "its owner suspended it"
    if isinstance(action, ReleaseCap):
        return action if flexible_class(ledge.site, state) is not None else "insulated: never touched"
    work = ledge.works.get(action.job_id)
    if work is None:
        return "insulated: never touched" if flexible_class(ledge.site, state) is None else "no pool can hold it"
    if not _finite(state):
        return "its measurements are not numbers"
    match action:
        case StartJob():
            return _judge_start(ledge, work, action)
        case HoldJob():
            return ledge.blind or _judge_hold(ledge, work, action)
        case StopJob():
            return ledge.blind or _judge_stop(ledge, work, action)
        case SetCap():
            return ledge.blind or _judge_cap(ledge, work, action)


def _finite(state: JobState) -> bool:
    """False when a number of the job's state is NaN or infinite."""
    numbers = (state.work_done_s, state.run_s, state.paused_s, 0.0 if state.cap_w is None else state.cap_w)
    return all(math.isfinite(number) for number in numbers)


def _judge_start(ledge: _Ledge, work: Work, action: StartJob) -> Verdict:
    """A start needs a pool that may hold the job and, when it is for now, room for the whole gang."""
    pool = next((index for index in work.pools if ledge.site.pools[index].pool_id == action.pool_id), None)
    gpus = work.state.job.gpus
    if work.running and action.job_id not in ledge.stopping:
        return "it runs already"
    if action.job_id in ledge.starting:
        return "it is started already"
    if pool is None:
        return f"pool {action.pool_id} may not hold it"
    if action.at_utc <= ledge.now_utc and not ledge.let_go:
        if ledge.free_gpus[action.pool_id] < gpus:
            return "NoFit: the gang does not fit now"
        ledge.free_gpus[action.pool_id] -= gpus
    allowed = action
    if action.cap_w is not None and (ledge.blind or _cap_problem(ledge, work, action.cap_w)):
        allowed = replace(action, cap_w=None)
    ledge.starting.add(action.job_id)
    return allowed


def _judge_hold(ledge: _Ledge, work: Work, action: HoldJob) -> Verdict:
    """A hold has an end in the future, never after the hard one, and there are not too many of them."""
    until = min(action.until_utc, work.hold_until_utc)
    if work.running:
        return "it runs"
    if until <= ledge.now_utc:
        return "its hold is over"
    if ledge.held >= ledge.settings.max_held_jobs:
        return f"more than {ledge.settings.max_held_jobs} jobs would be held"
    ledge.held += 1
    start = action.planned_start_utc
    return replace(action, until_utc=until, planned_start_utc=None if start is not None and start > until else start)


def _judge_stop(ledge: _Ledge, work: Work, action: StopJob) -> Verdict:
    """A stop needs a class that allows one more, the minimum run time over, and a resumption in time."""
    job_class, state = work.job_class, work.state
    ran_s = state.run_s + max(0.0, (action.at_utc - ledge.now_utc).total_seconds())
    if job_class.flexibility is not Flexibility.PREEMPTIBLE or not ledge.settings.levers.pausing:
        return "its class does not allow stops"
    if not state.may_stop:
        return "where it runs no job is stopped"
    if not work.running:
        return "it does not run"
    if action.job_id in ledge.stopping:
        return "it is stopped already"
    if state.preemptions >= job_class.max_preemptions:
        return f"it was stopped {state.preemptions} times already"
    if ran_s < job_class.min_runtime_s:
        return f"it ran {ran_s:.0f} s of at least {job_class.min_runtime_s:.0f} s"
    resume_by = min(action.resume_by_utc, resume_by_utc(work, action.at_utc, ledge.settings))
    if resume_by <= action.at_utc:
        return "it could not resume in time"
    if action.at_utc <= ledge.now_utc and state.pool_id in ledge.free_gpus:
        ledge.free_gpus[state.pool_id] += state.job.gpus
    ledge.stopping.add(action.job_id)
    return replace(action, resume_by_utc=resume_by)


def _judge_cap(ledge: _Ledge, work: Work, action: SetCap) -> Verdict:
    """A cap needs a job that runs (or starts by this decision), a lease, and a level that its class allows."""
    if not work.running and action.job_id not in ledge.starting:
        return "it does not run"
    if not 0.0 < action.lease_s <= ledge.settings.lease_s:
        return "a cap without a lease"
    return _cap_problem(ledge, work, action.cap_w) or action


def _cap_problem(ledge: _Ledge, work: Work, cap_w: float) -> str:
    """Why a cap is not allowed; empty when it is. The lowest allowed cap is that of the slowest allowed power point."""
    power = [ledge.site.pools[index].power for index in work.pools]
    if not ledge.settings.levers.capping or not ledge.site.caps.enabled:
        return "capping is switched off"
    if work.job_class.max_slowdown_fraction <= 0.0:
        return "its class allows no slowdown"
    if not math.isfinite(cap_w):
        return "the cap is not a number"
    if cap_w < max(entry.gpu_min_w for entry in power) or cap_w > max(entry.gpu_max_w for entry in power):
        return f"{cap_w:.0f} W is outside the GPU's limits"
    slowest = min(work.points, key=lambda point: point.speed)
    if cap_w < slowest.cap_w - 1e-6 or slowest.speed < 1.0 - work.job_class.max_slowdown_fraction - 1e-9:
        return f"{cap_w:.0f} W slows it more than its class allows"
    return ""
