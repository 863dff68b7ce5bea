"""Checks that run inside every backtest: what no strategy and no fault may ever break (design: invariants 1, 4, 8, 9)."""

from __future__ import annotations

from dataclasses import dataclass, field

from scheduler.domain.job import Flexibility
from scheduler.simulate.virtual_job import VirtualJob

SLACK = 1e-6
MAX_EXAMPLES = 20


@dataclass(slots=True)
class InvariantLog:
    """How many checks were made and which of them failed; the first failures are kept in words."""

    checked: int = 0
    violations: int = 0
    examples: list[str] = field(default_factory=list)

    def check(self, holds: bool, what: str) -> None:
        """Count one check."""
        self.checked += 1
        if not holds:
            self.violations += 1
            if len(self.examples) < MAX_EXAMPLES:
                self.examples.append(what)

    def equal(self, left: float, right: float, what: str, tolerance: float = SLACK) -> None:
        """Check that two amounts are the same up to rounding."""
        size = max(1.0, abs(left), abs(right))
        self.check(abs(left - right) <= tolerance * size, f"{what}: {left:.6g} is not {right:.6g}")

    def at_most(self, left: float, right: float, what: str, tolerance: float = SLACK) -> None:
        """Check that one amount does not exceed another."""
        size = max(1.0, abs(left), abs(right))
        self.check(left <= right + tolerance * size, f"{what}: {left:.6g} is above {right:.6g}")

    def add(self, other: InvariantLog) -> None:
        """Take another log in."""
        self.checked += other.checked
        self.violations += other.violations
        self.examples += other.examples[: max(0, MAX_EXAMPLES - len(self.examples))]


def check_command(log: InvariantLog, job: VirtualJob, verb: str, now_s: float, speed: float) -> None:
    """Judge a command at the moment it is carried out: insulated work untouched, stops and caps within the class."""
    name = f"{verb} {job.job_id} at {now_s:.0f} s"
    log.check(not job.insulated or verb == "start", f"{name}: insulated")
    if verb == "stop" and job.running:
        ran_s = now_s - (job.start_s if job.start_s is not None else now_s)
        log.check(job.job_class.flexibility is Flexibility.PREEMPTIBLE, f"{name}: its class allows no stop")
        log.at_most(job.job_class.min_runtime_s, ran_s, f"{name}: minimum run time")
        log.check(job.preemptions < job.job_class.max_preemptions, f"{name}: more stops than its class allows")
    if verb in ("cap", "start"):
        log.at_most(1.0 - job.job_class.max_slowdown_fraction, speed, f"{name}: throughput")


def check_jobs(log: InvariantLog, jobs: list[VirtualJob], now_s: float) -> None:
    """Judge the state of all jobs: insulated ones neither held nor capped nor stopped, holds over when they end."""
    for job in jobs:
        if job.submit_s > now_s or job.end_s is not None:
            continue
        if job.insulated:
            untouched = job.cap_w is None and job.preemptions == 0 and job.released
            log.check(untouched, f"insulated {job.job_id} at {now_s:.0f} s: held, capped or stopped")
        elif job.waiting and not job.released:
            over = job.hold_until_s is None or job.hold_until_s < now_s - 1.0
            log.check(not over, f"{job.job_id} at {now_s:.0f} s: held without an end or past it")
