"""GPUs that work will hold, with bands: work nobody has submitted yet, and insulated work that runs, waits or is to come.

If all of it ran at once, a job j of g_j GPUs that runs now still runs after t with probability p_j(t) (`durations`), and jobs
to come are shot noise: each brings g_j GPUs for its duration (Campbell's theorem). With G_j the GPU-hours of a job

    mean[t] = sum_j g_j p_j(t) + arrivals[t]
    var[t]  = sum_j g_j^2 p_j(t) (1 - p_j(t)) + spread * sum_u rate[u] * kernel2[t - u] + (error of the level * arrivals[t])^2

    kernel2[s] = sum_j g_j^2 running_j(s) / sum_j G_j
    spread     = variance of the daily arrivals over what independent jobs would give, at least 1: people submit in bursts

Quantiles are those of a gamma distribution with this mean and variance (Wilson and Hilferty 1931).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.core.forecast.arrivals import (
    LEVEL_HALF_LIFE_H,
    MAX_JOBS,
    Work,
    arrival_rates,
    busy_gpus,
    expected_arrivals,
    level_of,
    ratio_of,
    seen_work,
    still_there,
    work_like,
)
from scheduler.core.forecast.calendar import DAY_H, HOUR_S
from scheduler.core.forecast.durations import learn_durations, still_running
from scheduler.core.forecast.fill import hourly
from scheduler.core.forecast.frame import PAST_H, frame
from scheduler.core.forecast.quantiles import band
from scheduler.core.forecast.sums import dot
from scheduler.domain.job import Flexibility, JobState
from scheduler.domain.outlook import DurationModel
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Band, FinishedJob, Snapshot
from scheduler.domain.time import BoolArray, FloatArray, TimeGrid

# Spread of arrivals before days have been seen, and the days that it is worth.
PRIOR_SPREAD, PRIOR_DAYS = 1.5, 7.0
# Jobs that a class must have ended before their sizes count half.
PRIOR_JOBS = 15.0
P90_SIGMA = 1.2816


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Load:
    """Mean and variance of GPUs held, (slots,) each."""

    mean_gpus: FloatArray
    variance_gpus: FloatArray

    def __add__(self, other: Load) -> Load:
        """Two independent loads together."""
        return Load(mean_gpus=self.mean_gpus + other.mean_gpus, variance_gpus=self.variance_gpus + other.variance_gpus)

    def band(self, ceiling_gpus: float) -> Band:
        """p10, p50, p90 of a gamma distribution: mean * (1 - 1 / 9k + z / sqrt(9k))^3 with k = mean^2 / variance."""
        mean = np.maximum(self.mean_gpus, 1e-9)
        ninth = self.variance_gpus / (9.0 * mean * mean)
        p10, p50, p90 = (mean * np.maximum(0.0, 1.0 - ninth + z * np.sqrt(ninth)) ** 3 for z in (-P90_SIGMA, 0.0, P90_SIGMA))
        return band(p10, p50, p90, ceiling_gpus)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loads:
    """What work will hold: `coming` is that of all classes nobody has submitted yet, `insulated` all insulated work."""

    coming: Load
    insulated: Load


def loads(site: Site, snapshot: Snapshot, grid: TimeGrid) -> Loads:
    """Work to come and insulated work over a grid, from the same past that `outlook` reads."""
    where = frame(grid, site.time_zone, site.holidays)
    past = snapshot.history
    arrived = {
        name: hourly(series, where.now - PAST_H, where.now) * max(1.0, HOUR_S / series.grid.slot_s)
        for name, series in past.arrived_gpu_h.items()
    }
    model = learn_durations(past.finished, snapshot.jobs)
    works = seen_work(past.finished, snapshot.jobs, model)
    open_slots = None if snapshot.intake_ends_utc is None else grid.slot_of(snapshot.intake_ends_utc)
    rates = arrival_rates(site, arrived, where.local, model, grid, open_slots)
    means = expected_arrivals(site, arrived, where.local, works, model, grid, open_slots)
    weekend = where.local.weekend[:PAST_H]
    factor = {name: by_size(past.finished, name, ratio_of(model, name)) for name in rates}
    nothing = Load(mean_gpus=np.zeros(grid.slots), variance_gpus=np.zeros(grid.slots))
    coming = {
        name: arriving(
            factor[name] * rate,
            factor[name] * means[name],
            factor[name] * ratio_of(model, name) * arrived[name],
            weekend,
            work_like(works, name),
            grid.slot_h,
        )
        for name, rate in rates.items()
    }
    insulated = {found.name for found in site.classes if found.flexibility is Flexibility.INSULATED}
    there = [state for state in snapshot.jobs if state.job.class_name in insulated]
    return Loads(
        coming=sum(coming.values(), nothing),
        insulated=sum((load for name, load in coming.items() if name in insulated), running(there, model, grid)),
    )


def by_size(finished: Sequence[FinishedJob], class_name: str, ratio: float) -> float:
    """What `ratio` must be multiplied with to be that of GPU-hours and not of jobs: large ones declare more than they need.

    Plans are made without it; their share of the arrivals (`Settings.arrival_weight`) was set so.
    """
    ended = [past for past in finished[-MAX_JOBS:] if past.class_name == class_name and past.declared_duration_s > 0.0]
    gpus = np.asarray([past.gpus for past in ended], dtype=np.float64)
    declared = dot(gpus, np.asarray([past.declared_duration_s for past in ended], dtype=np.float64))
    real = dot(gpus, np.asarray([past.real_duration_s for past in ended], dtype=np.float64))
    if declared <= 0.0 or ratio <= 0.0:
        return 1.0
    return (len(ended) * real / declared / ratio + PRIOR_JOBS) / (len(ended) + PRIOR_JOBS)


def running(states: Iterable[JobState], model: DurationModel, grid: TimeGrid) -> Load:
    """GPUs of jobs that run, or wait and would start at once."""
    ahead_s: FloatArray = (np.arange(grid.slots, dtype=np.float64) + 0.5) * float(grid.slot_s)
    mean, variance = np.zeros(grid.slots), np.zeros(grid.slots)
    for state in states:
        job = state.job
        alive = still_running(model, job.class_name, max(job.declared_duration_s, 1.0), state.work_done_s, ahead_s)
        mean += job.gpus * alive
        variance += job.gpus**2 * alive * (1.0 - alive)
    return Load(mean_gpus=mean, variance_gpus=variance)


def arriving(
    rate_gpu_h_per_h: FloatArray,
    mean_gpus: FloatArray,
    arrived_gpu_h: FloatArray,
    weekend: BoolArray,
    work: Work,
    slot_h: float,
) -> Load:
    """GPUs of one class of work to come, `mean_gpus` of them expected.

    arrived_gpu_h, weekend: (n,), real work that came in the hours before the first slot.
    """
    slots = len(rate_gpu_h_per_h)
    if not len(work.gpu_h) or work.gpu_h.sum() <= 0.0:
        return Load(mean_gpus=mean_gpus, variance_gpus=np.zeros(slots))
    gpus = work.gpu_h / work.duration_h
    kernel2 = np.einsum("ij,j->i", still_there(work, slots, slot_h), gpus * gpus / work.gpu_h.sum())
    # Variance of a sum of independent jobs over its mean, in GPU-hours: E[G^2] / E[G].
    grain_gpu_h = dot(work.gpu_h, work.gpu_h) / float(work.gpu_h.sum())
    spread = spread_of(arrived_gpu_h, weekend, grain_gpu_h)
    hours = min(LEVEL_HALF_LIFE_H / float(np.log(2.0)), float(np.isfinite(arrived_gpu_h).sum()))
    seen_gpu_h = level_of(arrived_gpu_h) * hours
    level_error2 = min(1.0, spread * grain_gpu_h / seen_gpu_h) if seen_gpu_h > 0.0 else 1.0
    variance = spread * busy_gpus(rate_gpu_h_per_h, kernel2, slot_h) + level_error2 * mean_gpus**2
    return Load(mean_gpus=mean_gpus, variance_gpus=variance)


def spread_of(arrived_gpu_h: FloatArray, weekend: BoolArray, grain_gpu_h: float) -> float:
    """Variance of daily arrivals over that of independent jobs of this grain; at least 1, drawn to `PRIOR_SPREAD`.

    Days are compared with the mean of working days or of weekends, whichever they are.
    """
    cut = len(arrived_gpu_h) % DAY_H
    days = arrived_gpu_h[cut:].reshape(-1, DAY_H).sum(axis=1)
    free = weekend[cut:].reshape(-1, DAY_H).mean(axis=1) > 0.5
    squares, count = 0.0, 0
    for part in (days[free], days[~free]):
        seen = part[np.isfinite(part)]
        if len(seen) > 1 and seen.mean() > 0.0:
            squares += float(((seen - seen.mean()) ** 2).sum() / seen.mean())
            count += len(seen) - 1
    return max(1.0, (PRIOR_DAYS * PRIOR_SPREAD + squares / grain_gpu_h) / (PRIOR_DAYS + count))
