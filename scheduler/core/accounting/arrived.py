"""Declared GPU-hours submitted per slot and class: every job once, by its uid, however often it is seen.

A slot is told when the whole list of jobs has been seen `settle_s` after its end: a job that was submitted in its last second
has time to appear. Jobs are remembered while their slot is open; one whose slot was told has been counted, or came before
anybody watched, and never counts again. A slot in which nobody watched (a start, an outage) is "not known": jobs may have come
and gone in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scheduler.core.accounting.observed import Meter, Sample, SampleRule, metered, series_of_slots
from scheduler.domain.job import Job
from scheduler.domain.observed import ARRIVED_GPU_H, key_of, unit_of
from scheduler.domain.time import Series
from scheduler.units import h_from_s

WATCHED = "watched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A submitted job; `gpu_h` is its GPUs times the hours that it declares."""

    job_uid: str
    class_name: str
    submit_utc: datetime
    gpu_h: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Jobs of the slots that are not told by uid, and how long somebody has watched."""

    jobs: dict[str, Arrival] = field(default_factory=dict)
    watch: dict[str, Meter] = field(default_factory=dict)


def arrival_of(job_uid: str, job: Job) -> Arrival:
    """What is counted of a job."""
    gpu_h = job.gpus * h_from_s(job.declared_duration_s)
    return Arrival(job_uid=job_uid, class_name=job.class_name, submit_utc=job.submit_utc, gpu_h=gpu_h)


def arrived(
    before: Arrivals,
    jobs: Iterable[Arrival],
    now_utc: datetime,
    classes: Sequence[str],
    rule: SampleRule,
    settle_s: float = 120.0,
) -> tuple[Arrivals, dict[str, Series]]:
    """See the jobs that there are at `now_utc`, and tell the slots that are settled.

    Args:
        before: what the last call returned.
        jobs: all jobs that are there; ended ones as long as they are. Jobs that came and went in between may be put to them.
        now_utc: the instant of the list.
        classes: a class without arrivals in a told slot had none: zero.
        rule: slot length; `hold_s` is how long after a list the next one must come for the time between to count as watched.
        settle_s: how long after its end a slot is told.

    Returns:
        The state to keep, and GPU-hours per slot by key `arrived_gpu_h CLASS`.
    """
    seen = Sample(key=WATCHED, at_utc=now_utc - timedelta(seconds=settle_s), value=1.0)
    watch, told = metered(before.watch, (seen,), seen.at_utc, rule)
    # A job whose slot was told before is in none of the slots that are told now or later.
    waiting = {one.job_uid: one for one in jobs} | before.jobs
    first_open = watch[WATCHED].slot
    open_jobs = {uid: one for uid, one in waiting.items() if _slot(one, rule) >= first_open}
    return Arrivals(jobs=open_jobs, watch=watch), _sums(waiting.values(), told.get(WATCHED), classes, rule)


def unsettled(state: Arrivals, now_utc: datetime, classes: Sequence[str], rule: SampleRule) -> dict[str, Series]:
    """GPU-hours of a slot that is over but not settled: to look at now, not to keep, since a late job may still be missing.

    A cycle runs on the quarter hour, so without it a forecast would never see the last quarter.
    """
    watch = state.watch.get(WATCHED)
    if watch is None or watch.slot >= int(now_utc.timestamp() // rule.slot_s):
        return {}
    watched_s = watch.until_s - watch.slot * rule.slot_s
    share = watch.covered_s / watched_s if watched_s > 0.0 else 0.0
    slots = [(watch.slot, share if share >= rule.min_covered_fraction else 0.0)]
    return _sums(state.jobs.values(), series_of_slots(slots, rule.slot_s), classes, rule)


def _slot(one: Arrival, rule: SampleRule) -> int:
    """Number of the slot in which a job was submitted, since 1970."""
    return int(one.submit_utc.timestamp() // rule.slot_s)


def _sums(jobs: Iterable[Arrival], watched: Series | None, classes: Sequence[str], rule: SampleRule) -> dict[str, Series]:
    """GPU-hours by class in the slots that were watched."""
    if watched is None:
        return {}
    first = int(watched.grid.start_utc.timestamp()) // rule.slot_s
    known = {first + slot for slot, share in enumerate(watched.values) if share > 0.0}
    sums = {name: dict.fromkeys(known, 0.0) for name in classes}
    for one in sorted(jobs, key=lambda one: (one.submit_utc, one.job_uid)):
        slot = _slot(one, rule)
        if slot in known:
            slots = sums.setdefault(one.class_name, dict.fromkeys(known, 0.0))
            slots[slot] += one.gpu_h
    found: dict[str, Series] = {}
    for name, by_slot in sums.items():
        key = key_of(ARRIVED_GPU_H, name)
        series = series_of_slots(sorted(by_slot.items()), rule.slot_s, unit_of(key), "jobs")
        if series is not None:
            found[key] = series
    return found
