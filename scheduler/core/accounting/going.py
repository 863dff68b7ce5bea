"""What a look learned of the jobs that go on, told at any instant after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from scheduler.core.accounting.ended import JobWork, speed_under, worked
from scheduler.domain.job import JobPhase, JobState
from scheduler.domain.observed import Going
from scheduler.domain.site import Caps


def going_of(caps: Caps, states: Iterable[JobState], now_utc: datetime) -> dict[str, Going]:
    """What a look has learned of the jobs that go on, by job id, so that it can be told at any instant after it."""
    found: dict[str, Going] = {}
    for state in states:
        natural_w = state.job.natural_power_w_per_gpu
        runs = state.phase is JobPhase.RUNNING and state.started_utc is not None
        found[state.job.job_id] = Going(
            at_utc=now_utc,
            work_s=state.work_done_s,
            speed=speed_under(caps, state.cap_w, natural_w) if runs else 0.0,
            stops=state.preemptions,
            natural_w_per_gpu=natural_w,
        )
    return found


def caught_up(states: Iterable[JobState], going: Mapping[str, Going], now_utc: datetime) -> tuple[JobState, ...]:
    """States with the progress that was integrated under the caps of each minute, and with the learned natural draw.

    A job that nobody looked at yet, or that was stopped since, is as its own marks say.
    """
    return tuple(_caught_up(state, going.get(state.job.job_id), now_utc) for state in states)


def _caught_up(state: JobState, known: Going | None, now_utc: datetime) -> JobState:
    """One state with what is known of it."""
    if known is None:
        return state
    job = state.job
    if job.natural_power_w_per_gpu is None and known.natural_w_per_gpu is not None:
        job = replace(job, natural_power_w_per_gpu=known.natural_w_per_gpu)
    work_s = state.work_done_s
    if known.stops == state.preemptions:
        there = JobWork(at_utc=known.at_utc, work_s=known.work_s, speed=known.speed, stops=known.stops)
        work_s = worked(there, now_utc, 0.0).work_s
    return replace(state, job=job, work_done_s=work_s)
