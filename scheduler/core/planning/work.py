"""What each flexible job still has to do, where it may run, how hard, and until when it may be kept waiting at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.core.forecast.durations import mean_remaining_work_s, remaining_work_s
from scheduler.core.thermal.host import power_points
from scheduler.domain.job import Flexibility, JobClass, JobPhase, JobState
from scheduler.domain.outlook import DurationModel
from scheduler.domain.problem import PowerPoint
from scheduler.domain.settings import Settings
from scheduler.domain.site import Pool, Site
from scheduler.domain.time import TimeGrid

TAIL_QUANTILE = 0.95
# A job that should have ended long ago still runs: it is planned for at least this long.
LEAST_WORK_S = 60.0
# Draw of a job that nobody has stated, as a share of the GPU's maximum (gpu-power: training draws 0.5 to 0.8 of it).
DEFAULT_DRAW_FRACTION = 0.65


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A flexible job with what is believed about it.

    pools: indices of the pools it may run on, its present one alone when it runs or may not move. points: allowed cap levels,
    fastest first. mean_s / tail_s: mean and q95 of the uncapped seconds still to run. hold_until_utc: the hard end of any hold.
    """

    state: JobState
    job_class: JobClass
    pools: tuple[int, ...]
    points: tuple[PowerPoint, ...]
    mean_s: float
    tail_s: float
    hold_until_utc: datetime

    @property
    def running(self) -> bool:
        """True when it occupies GPUs."""
        return self.state.phase is JobPhase.RUNNING

    def submitted(self, now_utc: datetime) -> bool:
        """False for a job that is announced but not there yet: it is planned for, and left alone."""
        return self.state.job.submit_utc <= now_utc


def release_slot(state: JobState, grid: TimeGrid, now_utc: datetime) -> int:
    """First slot at whose start a job is there: 0 for one that is there now, though it came in the middle of that slot."""
    ahead_s = (state.job.submit_utc - grid.start_utc).total_seconds()
    there = state.job.submit_utc <= now_utc or state.phase is not JobPhase.QUEUED
    return 0 if there else max(0, -(-int(ahead_s) // grid.slot_s))


def class_of(site: Site, state: JobState) -> JobClass | None:
    """Class of a job; None when the site does not know it, which makes the job insulated."""
    return next((found for found in site.classes if found.name == state.job.class_name), None)


def flexible_class(site: Site, state: JobState) -> JobClass | None:
    """Class of a job that may be moved in time or capped; None for insulated, unknown, ended and owner-suspended ones."""
    found = class_of(site, state)
    if found is None or found.flexibility is Flexibility.INSULATED:
        return None
    return None if state.owner_suspended or state.phase is JobPhase.DONE else found


def declared_s(state: JobState, job_class: JobClass) -> float:
    """Declared duration, or the default of the class when the job declares nothing usable."""
    declared = state.job.declared_duration_s
    return declared if 0.0 < declared < float("inf") else job_class.default_duration_s


def deadline_utc(state: JobState, job_class: JobClass) -> datetime | None:
    """When the job must have finished: its own deadline, else that of its class, else never."""
    if state.job.deadline_utc is not None or job_class.default_deadline_s is None:
        return state.job.deadline_utc
    return state.job.submit_utc + timedelta(seconds=job_class.default_deadline_s)


def eligible_pools(site: Site, state: JobState, job_class: JobClass) -> tuple[int, ...]:
    """Indices of the pools that a job may run on and that are large enough for it; empty: it can run nowhere."""
    wanted = state.job.pool_id
    if state.pool_id is not None and (state.phase is JobPhase.RUNNING or not job_class.migratable):
        wanted = state.pool_id
    return tuple(
        index for index, pool in enumerate(site.pools) if state.job.gpus <= pool.gpus and wanted in (None, pool.pool_id)
    )


def natural_draw_w(state: JobState, pool: Pool, expected_w: float | None) -> float:
    """Uncapped draw per GPU: as stated, else as expected of its class, else a share of the GPU's maximum."""
    stated = state.job.natural_power_w_per_gpu
    if stated is not None and 0.0 < stated < float("inf"):
        return stated
    return expected_w if expected_w is not None else DEFAULT_DRAW_FRACTION * pool.power.gpu_max_w


def cap_points(site: Site, job_class: JobClass, pool: Pool, natural_w: float, settings: Settings) -> tuple[PowerPoint, ...]:
    """Allowed cap levels of a job on a pool, fastest first; the uncapped one alone when capping is off."""
    points = power_points(site.caps, pool.power, natural_w, job_class.max_slowdown_fraction)
    return points if settings.levers.capping and site.caps.enabled else points[:1]


def hold_until_utc(state: JobState, job_class: JobClass, slowest: float, tail_s: float, settings: Settings) -> datetime:
    """Hard end of any hold of a job (design 6): the earliest of these instants.

    - submit + maxDelay - pauses so far;
    - start of the hold (submit, or start of the pause) + maxHold;
    - deadline - q95 of its duration at the slowest allowed speed - the checkpoint costs of the stops still possible;
    - what the job itself allows (`start_by_utc`).

    Args:
        state: the job now.
        job_class: its class.
        slowest: speed at its lowest allowed cap, 1 = uncapped.
        tail_s: q95 of the uncapped seconds still to run.
        settings: for `max_hold_s`.
    """
    held_since = state.pause_start_utc if state.phase is JobPhase.PAUSED and state.pause_start_utc else state.job.submit_utc
    ends = [
        state.job.submit_utc + timedelta(seconds=job_class.max_delay_s - state.paused_s),
        held_since + timedelta(seconds=settings.max_hold_s),
    ]
    deadline = deadline_utc(state, job_class)
    if deadline is not None:
        stops = max(0, job_class.max_preemptions - state.preemptions) if settings.levers.pausing else 0
        needed_s = tail_s / slowest + (
            stops * job_class.checkpoint_s if job_class.flexibility is Flexibility.PREEMPTIBLE else 0.0
        )
        ends.append(deadline - timedelta(seconds=needed_s))
    if state.job.start_by_utc is not None:
        ends.append(state.job.start_by_utc)
    return min(ends)


def work_of(
    site: Site, state: JobState, durations: DurationModel, draws_w: Mapping[str, float], settings: Settings
) -> Work | None:
    """What is believed about one job; None when it is not ours to plan or no pool can hold it."""
    job_class = flexible_class(site, state)
    pools = () if job_class is None else eligible_pools(site, state, job_class)
    if job_class is None or not pools:
        return None
    pool = site.pools[pools[0]]
    points = cap_points(site, job_class, pool, natural_draw_w(state, pool, draws_w.get(job_class.name)), settings)
    told_s = declared_s(state, job_class)
    mean_s = mean_remaining_work_s(durations, job_class.name, told_s, state.work_done_s)
    tail_s = remaining_work_s(durations, job_class.name, told_s, state.work_done_s, TAIL_QUANTILE)
    return Work(
        state=state,
        job_class=job_class,
        pools=pools,
        points=points,
        mean_s=max(LEAST_WORK_S, mean_s),
        tail_s=max(LEAST_WORK_S, mean_s, tail_s),
        hold_until_utc=hold_until_utc(state, job_class, points[-1].speed, tail_s, settings),
    )


def works(
    site: Site, states: Iterable[JobState], durations: DurationModel, draws_w: Mapping[str, float], settings: Settings
) -> tuple[Work, ...]:
    """Every flexible job that some pool can hold, in the order given."""
    found = (work_of(site, state, durations, draws_w, settings) for state in states)
    return tuple(work for work in found if work is not None)
