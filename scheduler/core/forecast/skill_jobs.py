"""How good the forecasts of work are: rolling origins over jobs whose truth is known, as if all of them had run at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.core.forecast.calendar import DAY_H, HOUR_S, WEEK_H, at_hour, hour_number
from scheduler.core.forecast.frame import PAST_H
from scheduler.core.forecast.load import Load, loads
from scheduler.core.forecast.skill import cut, references
from scheduler.core.forecast.trial import Trial, stacked
from scheduler.domain.job import Flexibility, JobPhase, JobState
from scheduler.domain.site import Site
from scheduler.domain.snapshot import FinishedJob, History, Snapshot
from scheduler.domain.time import BoolArray, FloatArray, Series, TimeGrid
from scheduler.domain.world import JobTruth

WEEKS = PAST_H // WEEK_H
MAX_ENDED = 3000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Jobs:
    """Jobs as columns, in order of submission: hours since 1970 at which each came and ended, its GPUs."""

    truths: tuple[JobTruth, ...]
    came_h: FloatArray
    ended_h: FloatArray
    gpus: FloatArray
    insulated: BoolArray

    @classmethod
    def of(cls, site: Site, truths: Sequence[JobTruth]) -> Jobs:
        """Columns of jobs (in order of submission) that start when they are submitted."""
        names = {found.name for found in site.classes if found.flexibility is Flexibility.INSULATED}
        came_h = np.asarray([truth.job.submit_utc.timestamp() / HOUR_S for truth in truths])
        return cls(
            truths=tuple(truths),
            came_h=came_h,
            ended_h=came_h + np.asarray([truth.duration_s / HOUR_S for truth in truths]),
            gpus=np.asarray([float(truth.job.gpus) for truth in truths]),
            insulated=np.asarray([truth.job.class_name in names for truth in truths], dtype=bool),
        )

    def busy(self, first: int, hours: int, which: BoolArray) -> FloatArray:
        """Mean GPUs held in each of `hours` hours from hour number `first` by some of the jobs, (hours,)."""
        use = which & (self.came_h < first + hours) & (self.ended_h > first)
        hour = first + np.arange(hours)[:, None]
        overlap = np.minimum(self.ended_h[use], hour + 1.0) - np.maximum(self.came_h[use], hour)
        return np.asarray(np.einsum("ij,j->i", np.clip(overlap, 0.0, 1.0), self.gpus[use]))

    def coming(self, origin: int, hours: int) -> FloatArray:
        """GPUs held in the hours after an origin by jobs that come after it."""
        return self.busy(origin, hours, self.came_h >= origin)

    def seen(self, origin: int) -> tuple[tuple[FinishedJob, ...], tuple[JobState, ...]]:
        """Jobs that have ended at an origin, in order of ending, and those that run."""
        ended = np.flatnonzero(self.ended_h <= origin)
        ended = ended[np.argsort(self.ended_h[ended], kind="stable")][-MAX_ENDED:]
        going = np.flatnonzero((self.came_h < origin) & (self.ended_h > origin))
        return tuple(finished(self.truths[i]) for i in ended), tuple(
            JobState(job=self.truths[i].job, phase=JobPhase.RUNNING, work_done_s=float(origin - self.came_h[i]) * HOUR_S)
            for i in going
        )


def finished(truth: JobTruth) -> FinishedJob:
    """What is learned from a job that has ended."""
    draw_w = truth.job.natural_power_w_per_gpu
    return FinishedJob(
        class_name=truth.job.class_name,
        declared_duration_s=truth.job.declared_duration_s,
        real_duration_s=truth.duration_s,
        gpus=truth.job.gpus,
        natural_power_w_per_gpu=float("nan") if draw_w is None else draw_w,
    )


def arrived_by_class(site: Site, jobs: Jobs, grid: TimeGrid) -> dict[str, Series]:
    """Declared GPU-hours that came in each hour of a grid, by class."""
    first = hour_number(grid.start_utc)
    sums = {found.name: np.zeros(grid.slots) for found in site.classes}
    for truth, came_h in zip(jobs.truths, jobs.came_h, strict=True):
        if 0 <= int(came_h) - first < grid.slots:
            sums[truth.job.class_name][int(came_h) - first] += truth.job.gpus * truth.job.declared_duration_s / HOUR_S
    return {name: Series(grid=grid, values=values, unit="GPU-h", source="jobs") for name, values in sums.items()}


def judged_hours(jobs: Jobs, leads: int, least_past_h: int) -> range:
    """Hours at which a forecast of work has so many hours of past behind it and knows what came after it."""
    first, last = int(np.ceil(jobs.came_h[0])), int(jobs.came_h[-1])
    return range(first + least_past_h, max(first + least_past_h, last - leads + 1))


def rolling_jobs(
    site: Site,
    truths: Sequence[JobTruth],
    origins_utc: Sequence[datetime],
    leads: int,
    on_origin: Callable[[int, int], None] | None = None,
) -> dict[str, Trial]:
    """Trials "arrivals" (work to come, all classes) and "insulated" (all insulated work), in GPUs, at whole hours.

    truths: at least one, in order of submission.

    What is judged as the forecast is the mean, which plans are made with; its references are those of the series, for work to
    come what came after the same hour of earlier days and weeks.
    """
    jobs, zone = Jobs.of(site, truths), ZoneInfo(site.time_zone)
    start, stop = int(jobs.came_h[0]), int(jobs.came_h[-1]) + 1
    whole = TimeGrid(start_utc=at_hour(start), slot_s=HOUR_S, slots=stop - start)
    arrived = arrived_by_class(site, jobs, whole)
    held = Series(grid=whole, values=jobs.busy(start, whole.slots, jobs.insulated), unit="GPU", source="jobs")
    nothing = Series(grid=TimeGrid(start_utc=whole.start_utc, slot_s=HOUR_S, slots=0), values=np.empty(0), unit="", source="")
    rows: dict[str, list[tuple[FloatArray, ...]]] = {"insulated": [], "arrivals": []}
    for done, at_utc in enumerate(origins_utc, start=1):
        now = hour_number(at_utc)
        ended, going = jobs.seen(now)
        history = History(
            price=nothing, carbon=nothing, outdoor=nothing, finished=ended,
            arrived_gpu_h={name: cut(series, at_utc) for name, series in arrived.items()},
        )  # fmt: skip
        snapshot = Snapshot(observed_utc=at_utc, sequence=0, jobs=going, history=history, plants=(), available_gpus={})
        said = loads(site, snapshot, TimeGrid(start_utc=at_utc, slot_s=HOUR_S, slots=leads))
        truth = jobs.busy(now, leads, jobs.insulated)
        rows["insulated"].append(row(said.insulated, truth, references(held, now, now, leads, zone)))
        rows["arrivals"].append(row(said.coming, jobs.coming(now, leads), earlier(jobs, now, leads)))
        if on_origin is not None:
            on_origin(done, len(origins_utc))
    origin_h = np.asarray([hour_number(at_utc) for at_utc in origins_utc], dtype=np.int64)
    return {name: stacked(name, "GPU", origin_h, found, relative=False) for name, found in rows.items()}


def row(said: Load, truth: FloatArray, known: tuple[FloatArray, ...]) -> tuple[FloatArray, ...]:
    """Forecast, truth, references and band of one origin."""
    found = said.band(float("inf"))
    return said.mean_gpus, truth, *known, found.p10, found.p90


def earlier(jobs: Jobs, now: int, leads: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What came after earlier origins of the same hour whose leads are over: days before, weeks before, mean of weeks."""
    days, weeks = -(-leads // DAY_H), -(-leads // WEEK_H)
    starts = [now - WEEK_H * week for week in range(weeks, WEEKS + 1) if now - WEEK_H * week >= jobs.came_h[0]]
    past = [jobs.coming(start, leads) for start in starts]
    mean = np.mean(past, axis=0) if past else np.full(leads, np.nan)
    return jobs.coming(now - DAY_H * days, leads), past[0] if past else mean, np.asarray(mean)
