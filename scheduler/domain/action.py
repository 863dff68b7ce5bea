"""Decisions as values: what to do, to what, when and why; and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StartJob:
    """Release (or resume) a job at `at_utc` on a pool, with an optional cap per GPU."""

    job_id: str
    pool_id: str
    at_utc: datetime
    cap_w: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldJob:
    """Keep a job from starting; ends by itself at `until_utc` (the hard latest start), whatever happens to us."""

    job_id: str
    until_utc: datetime
    planned_start_utc: datetime | None
    reason: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopJob:
    """Stop a preemptible running job at `at_utc`; it is resumed by a later StartJob, at the latest at `resume_by_utc`."""

    job_id: str
    at_utc: datetime
    resume_by_utc: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCap:
    """Cap all GPUs of a running job from `at_utc`; the cap is a lease of `lease_s` and lets go without renewal."""

    job_id: str
    cap_w: float
    at_utc: datetime
    lease_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseCap:
    """Give the original limit back from `at_utc`."""

    job_id: str
    at_utc: datetime


Action = StartJob | HoldJob | StopJob | SetCap | ReleaseCap


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """Done, or accepted for its time."""

    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Refused by the world or the guard; nothing was written."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Tried and failed; look again next cycle."""

    action: Action
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """No longer needed: the world moved on."""

    action: Action


Outcome = Applied | Rejected | Failed | Superseded
