"""Jobs, their classes and where they are in life."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Flexibility(StrEnum):
    """What may be done to a job's time: nothing, start later, or also stop and resume."""

    INSULATED = "insulated"
    DEFERRABLE = "deferrable"
    PREEMPTIBLE = "preemptible"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobClass:
    """WorkloadClass as the core sees it; prices are per GPU-hour of the job's GPUs.

    waiting: GPU-hours between submit and start plus pauses. lateness: GPU-hours past the deadline.
    value: extra GPU-hours of running because of caps, and redone GPU-hours after a stop.
    """

    name: str
    flexibility: Flexibility
    migratable: bool = False
    max_slowdown_fraction: float = 0.0
    max_delay_s: float = 0.0
    default_duration_s: float = 14400.0
    default_deadline_s: float | None = None
    waiting_eur_per_gpu_h: float = 0.0
    lateness_eur_per_gpu_h: float = 0.0
    value_eur_per_gpu_h: float = 0.0
    min_runtime_s: float = 0.0
    max_preemptions: int = 0
    checkpoint_s: float = 0.0
    power_profile: str = "generic_training"


class JobPhase(StrEnum):
    """Life of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A batch job as its owner declared it. `declared_duration_s` is what is known; the truth stays in the world.

    start_by_utc: held at most until then, whatever its class allows (a CronJob's Job must make room for the next one).
    """

    job_id: str
    class_name: str
    gpus: int
    submit_utc: datetime
    declared_duration_s: float
    deadline_utc: datetime | None = None
    natural_power_w_per_gpu: float | None = None
    pool_id: str | None = None
    start_by_utc: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job as observed now.

    work_done_s: seconds of uncapped running it has behind it (saved progress); run_s: seconds on GPUs since its last start;
    paused_s: sum of pauses so far; preemptions: stops so far; cap_w: the limit in force per GPU, None when uncapped.
    owner_suspended: its owner holds it himself; nobody else may touch it. may_stop: False where nobody opted in to stops.
    """

    job: Job
    phase: JobPhase
    pool_id: str | None = None
    started_utc: datetime | None = None
    first_started_utc: datetime | None = None
    work_done_s: float = 0.0
    run_s: float = 0.0
    paused_s: float = 0.0
    preemptions: int = 0
    cap_w: float | None = None
    pause_start_utc: datetime | None = None
    owner_suspended: bool = False
    may_stop: bool = True
