"""Made-up jobs and whole scenarios from a seed: for the demonstration, for tests, and for long backtests without job logs.

The jobs follow the statistics of two real weeks of deep-learning jobs (the Philly trace of Jeon et al., USENIX ATC 2019, cut to
jobs of at least 30 minutes and 4 GPU-hours and to 24 hours at most, 386 jobs on 192 GPUs and 686 jobs on 264):

- sizes: 73 % ask one GPU, 2 % two, 10 % four, 13.5 % eight, 1.5 % sixteen, so 2.5 on the mean (2.46 in the first week, 1.96 in
  the second);
- durations: log-normal with sigma 1.25 and a median of 5.5 h x GPUs^0.8, since large jobs run longer (means in the weeks: 12 h
  with one GPU, 17 h with four, 21 h with eight), without what is under those limits, cut at 24 h: mean 14.0 h, 28 % at the cut
  (13.7 h and 27 %);
- intensity: the jobs of both weeks sum to half of the GPUs: 16,091 GPU-h / (192 GPUs x 168 h) = 0.499 and
  22,013 / (264 x 168) = 0.496. So jobs per day = 0.5 x GPUs x 24 h / GPU-hours of a mean job; with 41.2 GPU-hours that is
  0.291 jobs per GPU and day, or 20,400 a year on 192 GPUs (first week: 41.7 GPU-hours, 386 / 192 / 7 = 0.287 jobs);
- declared times: 8 % of the jobs outrun what they declared (0.70 to 0.75 of the truth), the rest declare 1.05 to 1.95 of it;
- classes: 25 % insulated, 35 % deferrable, 40 % preemptible; deadlines leave 24 to 46 h or 48 to 68 h over the declared time;
- draw: 300 to 680 W per GPU, scaled to the GPU's limit of 700 W;
- arrivals: most at local daytime and in mid-week; one in twelve is a sweep of several like jobs at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.domain.job import Flexibility, Job, JobClass
from scheduler.domain.site import DemandSource, Offtake, Site
from scheduler.domain.time import FloatArray, TimeGrid
from scheduler.domain.world import JobTruth, Scenario, WorldSeries
from scheduler.simulate.demo_site import demo_site
from scheduler.simulate.generate_series import generated_series, made
from scheduler.units import H_PER_DAY, S_PER_H, h_from_s, s_from_h

# Forecasts look back eight weeks, and the series go on while the last jobs end.
BEFORE_DAYS, AFTER_DAYS = 70, 24
YEAR_H = 365 * int(H_PER_DAY)
BUSY_FRACTION = 0.5
HEAT_MEAN_KW_PER_GPU = 0.34
SIZES = (1, 2, 4, 8, 16)
SIZE_SHARES = (0.73, 0.02, 0.10, 0.135, 0.015)
MEDIAN_H, MEDIAN_GROWTH, SIGMA = 5.5, 0.8, 1.25
LONGEST_H, SHORTEST_H, LEAST_GPU_H = 24.0, 0.5, 4.0
OUTRUN_SHARE = 0.08
OUTRUN_RATIO, DECLARED_RATIO = (0.70, 0.75), (1.05, 1.95)
DECLARED_STEP_S = 900.0
DRAW_FRACTION = (300.0 / 700.0, 680.0 / 700.0)
CLASS_SHARES = {Flexibility.INSULATED: 0.25, Flexibility.DEFERRABLE: 0.35, Flexibility.PREEMPTIBLE: 0.40}
DEADLINE_SLACK_H = {Flexibility.DEFERRABLE: (24.0, 46.0), Flexibility.PREEMPTIBLE: (48.0, 68.0)}
SWEEP_SHARE, SWEEP_LEAST, SWEEP_MOST = 1.0 / 12.0, 2, 8
MEAN_SWEEP = 1.0 + SWEEP_SHARE * ((SWEEP_LEAST + SWEEP_MOST) / 2.0 - 1.0)
# Arrivals over their mean by ISO weekday and by local hour.
WEEKDAY = (1.05, 1.15, 1.30, 1.30, 1.20, 0.55, 0.45)
HOUR = (
    .6, .5, .4, .4, .4, .5, .6, .8, 1.1, 1.4, 1.5, 1.4,
    1.2, 1.4, 1.5, 1.5, 1.5, 1.6, 1.3, 1.0, 1.0, 1.1, .8, .5,
)  # fmt: skip


def demo_scenario(seed: int, start_utc: datetime, days: int = 7, gpus: int = 256) -> Scenario:
    """The demonstration: a hall of GPUs on a cooling loop, a town and a swimming bath that take heat, generated weeks.

    Args:
        seed: the same seed makes the same scenario, on every machine.
        start_utc: first instant, on a whole hour.
        days: days in which jobs arrive.
        gpus: GPUs of the site, in whole nodes of eight.
    """
    return on_generated_series(demo_site(gpus), seed, start_utc, days)


def weeks(count: int, *, seed: int = 0, gpus: int = 32, days: int = 7) -> Iterator[Scenario]:
    """Scenarios on one small hall in different seasons: week i has seed `seed + i` and starts 13 weeks after the one before."""
    first = datetime.fromisoformat("2026-01-04T23:00:00+00:00")
    for index in range(count):
        yield on_generated_series(demo_site(gpus=gpus), seed + index, first + timedelta(weeks=13 * index), days)


def on_generated_series(site: Site, seed: int, start_utc: datetime, days: int) -> Scenario:
    """A scenario on a given site: generated series around the period, generated jobs in it."""
    grid = grid_around(start_utc, days)
    period = slice(BEFORE_DAYS * int(H_PER_DAY), (BEFORE_DAYS + days) * int(H_PER_DAY))
    return Scenario(
        name=f"{site.name}-{seed}",
        start_utc=start_utc,
        days=days,
        site=site,
        series=generated_series(grid, seed, site.time_zone, HEAT_MEAN_KW_PER_GPU * site.gpus, period),
        jobs=year_jobs(site, days, seed, start_utc=start_utc),
    )


def grid_around(start_utc: datetime, days: int) -> TimeGrid:
    """Hours of a period, of what forecasts learn from before it, and of the drain after it."""
    return TimeGrid(
        start_utc=start_utc - timedelta(days=BEFORE_DAYS),
        slot_s=int(S_PER_H),
        slots=(BEFORE_DAYS + days + AFTER_DAYS) * int(H_PER_DAY),
    )


def site_series(site: Site, seed: int, start_utc: datetime, days: int, annual_kwh: float | None = None) -> WorldSeries:
    """Series for a site around a period, the demand in the shape of its customer's sink.

    Args:
        site: its first customer whose demand is not a constant says the sink and the most it takes.
        seed: the same seed makes the same series.
        start_utc: first instant of the period, on a whole hour.
        days: days in which jobs arrive.
        annual_kwh: what the customer takes in a year made of the same seed; None: 0.34 kW per GPU on the mean of the period.
    """
    grid = grid_around(start_utc, days)
    customer = measured_customer(site)
    if customer is None or annual_kwh is None:
        period = slice(BEFORE_DAYS * int(H_PER_DAY), (BEFORE_DAYS + days) * int(H_PER_DAY))
        return generated_series(grid, seed, site.time_zone, HEAT_MEAN_KW_PER_GPU * site.gpus, period)
    first = start_utc.replace(month=1, day=1, hour=0)
    year = made(replace(grid, start_utc=first, slots=YEAR_H), seed, site.time_zone, customer.sink)
    kw_of_one = annual_kwh / float(year.demand.sum())
    return made(grid, seed, site.time_zone, customer.sink).series(kw_of_one, customer.max_heat_kw)


def measured_customer(site: Site) -> Offtake | None:
    """The customer to whom a series of heat demand belongs; None when every demand is a constant."""
    return next((one for one in site.offtakes if one.demand_source is not DemandSource.CONSTANT), None)


def year_jobs(
    site: Site, days: int, seed: int, *, start_utc: datetime, busy_fraction: float = BUSY_FRACTION
) -> tuple[JobTruth, ...]:
    """Jobs for a site over some days, sorted by submit time; the statistics are those of this module.

    Args:
        site: its GPUs set the number of jobs, its largest pool the largest job, its classes who may be moved.
        days: days of arrivals from `start_utc`.
        seed: the same seed makes the same jobs.
        start_utc: first instant.
        busy_fraction: share of all GPUs that the jobs keep busy on the mean.
    """
    rng = np.random.default_rng([seed, 4])
    makers = Makers.of(site)
    rate_per_h = busy_fraction * site.gpus / makers.mean_gpu_h / MEAN_SWEEP
    truths: list[JobTruth] = []
    for at_s in arrivals_s(start_utc, days, site.time_zone, rate_per_h, rng):
        submit_utc = start_utc + timedelta(seconds=at_s)
        kind = makers.kind(rng)
        for _ in range(sweep_size(rng)):
            truths.append(makers.job(f"job-{len(truths):05d}", submit_utc, kind, rng))
    return tuple(truths)


def arrivals_s(start_utc: datetime, days: int, time_zone: str, rate_per_h: float, rng: np.random.Generator) -> list[int]:
    """Seconds after the start at which somebody submits: Poisson in every hour, by local hour and weekday."""
    zone = ZoneInfo(time_zone)
    found: list[int] = []
    for hour in range(days * int(H_PER_DAY)):
        local = (start_utc + timedelta(hours=hour)).astimezone(zone)
        wanted = rate_per_h * WEEKDAY[local.weekday()] * HOUR[local.hour]
        inside = np.sort(rng.integers(0, int(S_PER_H), rng.poisson(wanted)))
        found += [hour * int(S_PER_H) + int(second) for second in inside]
    return found


def sweep_size(rng: np.random.Generator) -> int:
    """One job, or a sweep of two to eight: five on the mean, so that a mean submission has 1 + (5 - 1) / 12 jobs."""
    return int(rng.integers(SWEEP_LEAST, SWEEP_MOST + 1)) if rng.random() < SWEEP_SHARE else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the jobs of one submission share."""

    job_class: JobClass
    gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Makers:
    """What a site's jobs are made from: sizes that fit it, classes with their shares, the GPU's limit in W."""

    classes: tuple[JobClass, ...]
    class_shares: FloatArray
    sizes: tuple[int, ...]
    size_shares: FloatArray
    gpu_max_w: float

    @classmethod
    def of(cls, site: Site) -> Makers:
        """Leave out sizes that fit no pool; classes of the same flexibility share equally."""
        widest = max(pool.gpus for pool in site.pools)
        fitting = [(size, share) for size, share in zip(SIZES, SIZE_SHARES, strict=True) if size <= widest]
        like = [sum(other.flexibility is one.flexibility for other in site.classes) for one in site.classes]
        shares = np.asarray([CLASS_SHARES[one.flexibility] / n for one, n in zip(site.classes, like, strict=True)])
        size_shares = np.asarray([share for _, share in fitting])
        return cls(
            classes=site.classes,
            class_shares=shares / shares.sum(),
            sizes=tuple(size for size, _ in fitting),
            size_shares=size_shares / size_shares.sum(),
            gpu_max_w=min(pool.power.gpu_max_w for pool in site.pools),
        )

    @property
    def mean_gpu_h(self) -> float:
        """GPU-hours of a mean job: sizes by share times the mean of their cut log-normal durations."""
        means_h = np.asarray([mean_duration_h(size) for size in self.sizes])
        return float((self.size_shares * np.asarray(self.sizes) * means_h).sum())

    def kind(self, rng: np.random.Generator) -> Kind:
        """Class and size of one submission."""
        job_class = self.classes[int(rng.choice(len(self.classes), p=self.class_shares))]
        return Kind(job_class=job_class, gpus=int(rng.choice(self.sizes, p=self.size_shares)))

    def job(self, job_id: str, submit_utc: datetime, kind: Kind, rng: np.random.Generator) -> JobTruth:
        """One job with its hidden duration."""
        duration_s = s_from_h(duration_h(kind.gpus, rng))
        outruns = rng.random() < OUTRUN_SHARE
        ratio = rng.uniform(*(OUTRUN_RATIO if outruns else DECLARED_RATIO))
        declared_s = DECLARED_STEP_S * max(1.0, np.ceil(ratio * duration_s / DECLARED_STEP_S))
        slack_h = DEADLINE_SLACK_H.get(kind.job_class.flexibility)
        spare_h = None if slack_h is None else rng.uniform(*slack_h)
        draw_w = float(np.round(self.gpu_max_w * rng.uniform(*DRAW_FRACTION)))
        return JobTruth(
            job=Job(
                job_id=job_id,
                class_name=kind.job_class.name,
                gpus=kind.gpus,
                submit_utc=submit_utc,
                declared_duration_s=float(declared_s),
                deadline_utc=None if spare_h is None else submit_utc + timedelta(seconds=round(declared_s + s_from_h(spare_h))),
                natural_power_w_per_gpu=draw_w,
            ),
            duration_s=duration_s,
        )


def shortest_h(gpus: int) -> float:
    """Jobs under 30 minutes or 4 GPU-hours are left out, as in the weeks that gave the statistics."""
    return max(SHORTEST_H, LEAST_GPU_H / gpus)


def median_h(gpus: int) -> float:
    """Median duration before anything is left out or cut."""
    return float(MEDIAN_H * gpus**MEDIAN_GROWTH)


def duration_h(gpus: int, rng: np.random.Generator) -> float:
    """A duration to the second: log-normal, drawn again while too short, cut at 24 h."""
    while True:
        hours = median_h(gpus) * float(np.exp(SIGMA * rng.normal()))
        if hours >= shortest_h(gpus):
            return h_from_s(round(s_from_h(min(hours, LONGEST_H))))


def mean_duration_h(gpus: int) -> float:
    """Mean of `duration_h` by the midpoint rule over 20,000 steps of ln(hours), six sigma to each side."""
    z = (np.arange(20_000) + 0.5) / 20_000 * 12.0 - 6.0
    weight = np.exp(-0.5 * z**2)
    hours = median_h(gpus) * np.exp(SIGMA * z)
    kept = hours >= shortest_h(gpus)
    return float((np.minimum(hours, LONGEST_H) * weight)[kept].sum() / weight[kept].sum())
