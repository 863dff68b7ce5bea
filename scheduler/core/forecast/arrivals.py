"""Work that nobody has submitted yet: expected busy GPUs by class and slot, as an aggregate.

    rate[t]  = level * shape[weekend, hour]                     declared GPU-hours per hour
    busy[t]  = sum_u rate[u] * ratio * kernel[t - u]            GPUs
    kernel[s] = share of an arriving GPU-hour's job still running s after it came, per hour of its duration

The level is the recent rate with recent weeks weighing more; the shape is drawn to flat until weeks have been seen, since few
large jobs make any hour look special.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.core.forecast.calendar import LocalHours
from scheduler.core.forecast.durations import ALL_CLASSES
from scheduler.core.forecast.sums import dot
from scheduler.domain.job import JobState
from scheduler.domain.outlook import DurationModel
from scheduler.domain.site import Site
from scheduler.domain.snapshot import FinishedJob
from scheduler.domain.time import FloatArray, TimeGrid
from scheduler.units import h_from_s

LEVEL_HALF_LIFE_H = 24.0 * 10
# Hours without arrivals assumed before the first observation: a first hour with one large job is not a trend.
EMPTY_HOURS = 6.0
SHAPE_SHRINK_DAYS = 14.0
SHAPE_REACH_H = 2
MAX_JOBS = 400
MIN_JOBS_OF_CLASS = 8
# Draw of a job that nobody has stated, as a share of the GPU's maximum (gpu-power: training draws 0.5 to 0.8 of it).
DEFAULT_DRAW_FRACTION = 0.65


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """Jobs seen lately of one class: GPU-hours (m,), real duration in h (m,), natural draw in W per GPU (m,), NaN unknown."""

    gpu_h: FloatArray
    duration_h: FloatArray
    draw_w: FloatArray


def seen_work(finished: Sequence[FinishedJob], jobs: Sequence[JobState], model: DurationModel) -> dict[str, Work]:
    """Every job seen lately, by class and under `ALL_CLASSES`; ended or not, since the ended ones alone are the short ones."""
    rows: dict[str, list[tuple[float, float, float]]] = {ALL_CLASSES: []}
    for past in finished[-MAX_JOBS:]:
        row = (past.gpus * h_from_s(past.real_duration_s), h_from_s(past.real_duration_s), past.natural_power_w_per_gpu)
        rows.setdefault(past.class_name, []).append(row)
        rows[ALL_CLASSES].append(row)
    for state in jobs[-MAX_JOBS:]:
        job = state.job
        ratio = model.mean_ratio.get(job.class_name, model.mean_ratio[ALL_CLASSES])
        duration_h = h_from_s(max(job.declared_duration_s * ratio, state.work_done_s))
        draw_w = float("nan") if job.natural_power_w_per_gpu is None else job.natural_power_w_per_gpu
        row = (job.gpus * duration_h, duration_h, draw_w)
        rows.setdefault(job.class_name, []).append(row)
        rows[ALL_CLASSES].append(row)
    return {name: work_of(seen) for name, seen in rows.items()}


def work_of(rows: list[tuple[float, float, float]]) -> Work:
    """Columns from rows of (GPU-hours, hours, W); rows without duration are left out."""
    table = np.asarray([row for row in rows if row[1] > 0.0], dtype=np.float64).reshape(-1, 3)
    return Work(gpu_h=table[:, 0], duration_h=table[:, 1], draw_w=table[:, 2])


def level_of(arrived_gpu_h: FloatArray) -> float:
    """Recent rate in GPU-hours per hour from hourly sums (NaN: not observed); zero when nothing was observed."""
    known = np.isfinite(arrived_gpu_h)
    weight = np.exp2((np.arange(len(arrived_gpu_h)) - len(arrived_gpu_h)) / LEVEL_HALF_LIFE_H) * known
    return dot(weight, np.where(known, arrived_gpu_h, 0.0)) / (float(weight.sum()) + EMPTY_HOURS)


def shape_of(arrived_gpu_h: FloatArray, local: LocalHours) -> FloatArray:
    """Relative rate by (weekend, hour), (2, 24), mean about 1: means over neighbouring hours, drawn to 1."""
    count = len(arrived_gpu_h)
    known = np.isfinite(arrived_gpu_h)
    mean = float(arrived_gpu_h[known].mean()) if np.any(known) else 0.0
    if mean <= 0.0:
        return np.ones((2, 24))
    cell = local.weekend[:count].astype(np.int64) * 24 + local.hour[:count]
    days = np.bincount(cell[known], minlength=48).reshape(2, 24).astype(np.float64)
    total = np.bincount(cell[known], weights=arrived_gpu_h[known] / mean, minlength=48).reshape(2, 24)
    shifts = range(-SHAPE_REACH_H, SHAPE_REACH_H + 1)
    days_near = sum(np.roll(days, s, axis=1) for s in shifts)
    total_near = sum(np.roll(total, s, axis=1) for s in shifts)
    return np.asarray((total_near + SHAPE_SHRINK_DAYS) / (days_near + SHAPE_SHRINK_DAYS))


def kernel_of(work: Work, lags: int, slot_h: float) -> FloatArray:
    """GPUs busy per arriving GPU-hour, by lag in slots, (lags,): sum_j w_j / D_j * share of the slot that job j still runs.

    Arrivals are spread over their slot, so the first slot counts half. Sums to at most one GPU-hour.
    """
    if not len(work.gpu_h) or work.gpu_h.sum() <= 0.0:
        return np.zeros(lags)
    share = work.gpu_h / work.gpu_h.sum()
    return np.asarray(np.einsum("ij,j->i", still_there(work, lags, slot_h), share / work.duration_h))


def still_there(work: Work, lags: int, slot_h: float) -> FloatArray:
    """Share of each slot that a job which came in slot 0 runs, by lag and job, (lags, m)."""
    left = work.duration_h[None, :] / slot_h - np.arange(lags)[:, None] + 0.5
    running = np.clip(left, 0.0, 1.0)
    running[0] = np.minimum(0.5, running[0])
    return running


def busy_gpus(rate_gpu_h_per_h: FloatArray, kernel: FloatArray, slot_h: float) -> FloatArray:
    """GPUs busy with arrivals at `rate` per slot, (slots,)."""
    return np.asarray(np.convolve(rate_gpu_h_per_h * slot_h, kernel)[: len(rate_gpu_h_per_h)])


def draws_w(site: Site, works: dict[str, Work]) -> dict[str, float]:
    """Expected natural draw per GPU by class, weighted by GPU-hours; a share of the GPUs' maximum where nothing is known."""
    gpus = max(1, site.gpus)
    default_w = DEFAULT_DRAW_FRACTION * sum(pool.gpus * pool.power.gpu_max_w for pool in site.pools) / gpus
    out: dict[str, float] = {}
    for job_class in site.classes:
        work = works.get(job_class.name, works[ALL_CLASSES])
        known = np.isfinite(work.draw_w)
        weight = work.gpu_h[known]
        out[job_class.name] = dot(weight, work.draw_w[known]) / float(weight.sum()) if weight.sum() > 0.0 else default_w
    return out


def expected_arrivals(
    site: Site,
    arrived_gpu_h: dict[str, FloatArray],
    local: LocalHours,
    works: dict[str, Work],
    model: DurationModel,
    grid: TimeGrid,
    open_slots: int | None = None,
) -> dict[str, FloatArray]:
    """Mean GPUs busy per class and slot with jobs not submitted yet.

    arrived_gpu_h: hourly sums of declared GPU-hours of the past by class, each (n,); local covers these n hours and the
    horizon, which begins at index n. A class never seen gives zeros. Nothing arrives after `open_slots`, if that is given.
    """
    rates = arrival_rates(site, arrived_gpu_h, local, model, grid, open_slots)
    out = {job_class.name: np.zeros(grid.slots) for job_class in site.classes}
    for name, rate in rates.items():
        out[name] = busy_gpus(rate, kernel_of(work_like(works, name), grid.slots, grid.slot_h), grid.slot_h)
    return out


def ratio_of(model: DurationModel, class_name: str) -> float:
    """Mean ratio of real to declared duration of a class; of all classes while it is unknown."""
    return model.mean_ratio.get(class_name, model.mean_ratio[ALL_CLASSES])


def work_like(works: dict[str, Work], class_name: str) -> Work:
    """Jobs seen of a class; of all classes while those are few."""
    own = works.get(class_name)
    return own if own is not None and len(own.gpu_h) >= MIN_JOBS_OF_CLASS else works[ALL_CLASSES]


def arrival_rates(
    site: Site,
    arrived_gpu_h: dict[str, FloatArray],
    local: LocalHours,
    model: DurationModel,
    grid: TimeGrid,
    open_slots: int | None = None,
) -> dict[str, FloatArray]:
    """GPU-hours of real work per hour that are expected to arrive, by class ever seen and slot; see `expected_arrivals`."""
    count = len(next(iter(arrived_gpu_h.values()))) if arrived_gpu_h else 0
    total = sum((np.asarray(v) for v in arrived_gpu_h.values()), np.zeros(count))
    shape = shape_of(total, local)
    offset_h = h_from_s(grid.start_utc.timestamp()) - (local.first + count)
    hour = count + np.floor(offset_h + np.arange(grid.slots) * grid.slot_h + 1e-9).astype(np.int64)
    hour = np.clip(hour, 0, len(local.hour) - 1)
    relative = shape[local.weekend[hour].astype(np.int64), local.hour[hour]]
    out: dict[str, FloatArray] = {}
    for job_class in site.classes:
        past = arrived_gpu_h.get(job_class.name)
        if past is None:
            continue
        rate = level_of(past) * ratio_of(model, job_class.name) * relative
        out[job_class.name] = np.asarray(rate if open_slots is None else rate * (np.arange(grid.slots) < open_slots))
    return out
