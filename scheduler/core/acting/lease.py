"""Ends of holds and caps: every hold has a last instant, every cap a time to live."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from scheduler.core.planning.work import Work, hold_until_utc
from scheduler.domain.job import JobPhase
from scheduler.domain.settings import Settings


def hold_limits(works: Iterable[Work]) -> Mapping[str, datetime]:
    """Hard end of any hold by job id: the very instant that the planning problem used."""
    return {work.state.job.job_id: work.hold_until_utc for work in works}


def resume_by_utc(work: Work, stop_utc: datetime, settings: Settings) -> datetime:
    """Latest resumption of a job stopped at `stop_utc`: its hold-until as a paused job, redone work included."""
    paused = replace(work.state, phase=JobPhase.PAUSED, pause_start_utc=stop_utc, preemptions=work.state.preemptions + 1)
    tail_s = work.tail_s + work.job_class.checkpoint_s
    return hold_until_utc(paused, work.job_class, work.points[-1].speed, tail_s, settings)


def lease_end_utc(at_utc: datetime, lease_s: float) -> datetime:
    """Instant at which a cap set at `at_utc` lets go unless renewed."""
    return at_utc + timedelta(seconds=lease_s)
