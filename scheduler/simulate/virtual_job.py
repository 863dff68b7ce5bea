"""One job of the virtual world, with the truth that no planner sees."""

from __future__ import annotations

from dataclasses import dataclass, field

from scheduler.domain.job import Flexibility, JobClass, JobPhase
from scheduler.domain.world import JobTruth


@dataclass(slots=True, eq=False)
class VirtualJob:
    """State of a job; times in seconds since the start of the scenario.

    work_s: uncapped seconds that it needs in truth. done_s: saved and unsaved progress in uncapped seconds. ran_s: seconds on
    GPUs in all. redone_s: progress lost by stops and failures. released: allowed to start as far as anyone holds it.
    `version` invalidates scheduled ends after a change of speed.
    """

    truth: JobTruth
    job_class: JobClass
    submit_s: float
    due_s: float | None
    pools: tuple[str, ...]
    natural_w: float
    phase: JobPhase = JobPhase.QUEUED
    released: bool = False
    released_s: float = 0.0
    pool_id: str | None = None
    cap_w: float | None = None
    draw_w: float = 0.0
    speed: float = 1.0
    since_s: float = 0.0
    start_s: float | None = None
    first_start_s: float | None = None
    end_s: float | None = None
    pause_start_s: float | None = None
    done_s: float = 0.0
    ran_s: float = 0.0
    paused_s: float = 0.0
    redone_s: float = 0.0
    preemptions: int = 0
    hold_until_s: float | None = None
    version: int = 0
    deepest_cap_speed: float = 1.0
    pauses: list[tuple[float, float]] = field(default_factory=list)

    @property
    def job_id(self) -> str:
        """Name of the job."""
        return self.truth.job.job_id

    @property
    def gpus(self) -> int:
        """GPUs of the gang."""
        return self.truth.job.gpus

    @property
    def work_s(self) -> float:
        """Uncapped seconds that the job needs in truth."""
        return self.truth.duration_s

    @property
    def declared_s(self) -> float:
        """Uncapped seconds that its owner declared."""
        return self.truth.job.declared_duration_s

    @property
    def insulated(self) -> bool:
        """True when nothing may be done to it."""
        return self.job_class.flexibility is Flexibility.INSULATED

    @property
    def running(self) -> bool:
        """True while it occupies GPUs."""
        return self.phase is JobPhase.RUNNING

    @property
    def waiting(self) -> bool:
        """True while it is submitted and neither running nor done."""
        return self.phase in (JobPhase.QUEUED, JobPhase.PAUSED)

    def progress_to(self, now_s: float) -> None:
        """Account for running from `since_s` to `now_s` at the present speed."""
        if self.running and now_s > self.since_s:
            self.done_s += (now_s - self.since_s) * self.speed
            self.ran_s += now_s - self.since_s
        self.since_s = now_s

    def declared_left_s(self) -> float:
        """Seconds it still runs at its present speed if its declaration holds; zero when it has outrun that."""
        return max(0.0, self.declared_s - self.done_s) / self.speed
