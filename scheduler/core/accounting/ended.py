"""What an ended job teaches: how long it would have run uncapped, against what its owner declared, and what it drew.

    work = sum of running seconds * speed under the cap in force - what stops have lost

While nobody looks (the operator is away), caps end by themselves, so the time behind `hold_s` counts at full speed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime

from scheduler.core.thermal.host import capped_draw_w, speed_at
from scheduler.domain.job import Job
from scheduler.domain.observed import EndedJob
from scheduler.domain.site import Caps
from scheduler.domain.snapshot import FinishedJob


@dataclass(frozen=True, slots=True, kw_only=True)
class JobWork:
    """Uncapped seconds that a job has behind it at `at_utc`, and how fast it goes on from there: 0 while it does not run.

    stops: how often it had been stopped by then.
    """

    at_utc: datetime
    work_s: float
    speed: float
    stops: int = 0


def found_running(started_utc: datetime, now_utc: datetime) -> JobWork:
    """A job that runs when it is first seen: nobody has capped it, so all its running was at full speed."""
    return JobWork(at_utc=now_utc, work_s=max(0.0, (now_utc - started_utc).total_seconds()), speed=1.0)


def worked(work: JobWork, now_utc: datetime, speed: float, hold_s: float = 180.0) -> JobWork:
    """The job at `now_utc`, from where it goes on at `speed`; a clock that has fallen back adds nothing."""
    passed_s = (now_utc - work.at_utc).total_seconds()
    if passed_s <= 0.0:
        return replace(work, speed=speed)
    beyond_s = max(0.0, passed_s - hold_s) if work.speed > 0.0 else 0.0
    done_s = (passed_s - beyond_s) * work.speed + beyond_s
    return replace(work, at_utc=now_utc, work_s=work.work_s + done_s, speed=speed)


def stopped(work: JobWork, at_utc: datetime, lost_s: float) -> JobWork:
    """The job after a stop that costs `lost_s` seconds of progress."""
    there = worked(work, at_utc, 0.0)
    return replace(there, work_s=max(0.0, there.work_s - lost_s), stops=work.stops + 1)


def speed_under(caps: Caps, cap_w: float | None, natural_w: float | None) -> float:
    """Relative throughput of a job under a cap; 1 without a cap, or when nobody knows what it would draw."""
    if cap_w is None or natural_w is None or natural_w <= 0.0:
        return 1.0
    return speed_at(caps, capped_draw_w(caps, cap_w, natural_w) / natural_w)


def ended_job(
    job: Job, job_uid: str, workload: str, work: JobWork, ended_utc: datetime, natural_w: float | None = None
) -> EndedJob:
    """What is kept of a job that has done its work; one that failed or was deleted teaches nothing.

    natural_w: measured draw per GPU; without it what was stated, else NaN: not known.
    """
    stated = job.natural_power_w_per_gpu
    draw_w = natural_w if natural_w is not None else stated if stated is not None else math.nan
    return EndedJob(
        job_uid=job_uid,
        ended_utc=ended_utc,
        workload=workload,
        finished=FinishedJob(
            class_name=job.class_name,
            declared_duration_s=job.declared_duration_s,
            real_duration_s=worked(work, ended_utc, 0.0).work_s,
            gpus=job.gpus,
            natural_power_w_per_gpu=draw_w,
        ),
    )
