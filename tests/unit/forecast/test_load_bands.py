"""GPUs that work will hold: shot noise by hand, and how often its bands hold on made-up jobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from forecast_world import grid, running

from scheduler.config.reference import reference_site
from scheduler.core.forecast.arrivals import work_of
from scheduler.core.forecast.calendar import DAY_H, at_hour, hour_number
from scheduler.core.forecast.durations import learn_durations, still_running
from scheduler.core.forecast.load import PRIOR_DAYS, PRIOR_SPREAD, Load, arriving, by_size, spread_of
from scheduler.core.forecast.load import running as load_of_running
from scheduler.core.forecast.skill_jobs import Jobs, earlier, judged_hours, rolling_jobs
from scheduler.domain.job import Job
from scheduler.domain.snapshot import FinishedJob
from scheduler.domain.world import JobTruth
from scheduler.simulate.generate import year_jobs

START = datetime(2026, 1, 5, tzinfo=UTC)
FIRST_H = hour_number(START)


def test_the_band_is_that_of_a_gamma_distribution() -> None:
    found = Load(mean_gpus=np.asarray([100.0, 0.0]), variance_gpus=np.asarray([100.0, 0.0])).band(1e9)
    # Shape 100: half the quantiles of chi-squared with 200 degrees of freedom, 174.835, 199.334 and 226.021.
    assert [found.p10[0], found.p50[0], found.p90[0]] == pytest.approx([87.42, 99.67, 113.01], rel=1e-3)
    assert found.p90[1] == pytest.approx(0.0, abs=1e-6)


def test_a_rare_load_has_a_p10_of_nothing_and_no_band_beyond_its_ceiling() -> None:
    found = Load(mean_gpus=np.asarray([1.0]), variance_gpus=np.asarray([8.0])).band(2.0)
    assert found.p10[0] == 0.0
    assert found.p90[0] == 2.0


def test_a_running_job_is_there_or_not() -> None:
    states = (running("a", 7200.0, 3600.0),)
    model = learn_durations((), states)
    found = load_of_running(states, model, grid())
    alive = still_running(model, "batch", 7200.0, 3600.0, np.arange(450.0, 192 * 900.0, 900.0))
    assert found.mean_gpus.tolist() == alive.tolist()
    # One GPU: variance p (1 - p), nothing at first and nothing at last.
    assert found.variance_gpus == pytest.approx(alive * (1.0 - alive))
    assert found.variance_gpus[-1] == pytest.approx(0.0, abs=1e-6)


def test_steady_arrivals_vary_as_shot_noise_does() -> None:
    # Jobs of 4 GPUs and 2 h, 20 GPU-hours an hour: a Poisson number of mean 5 runs, so 20 GPUs with a variance of 4^2 * 5.
    work = work_of([(8.0, 2.0, 500.0)] * 10)
    hours = 56 * DAY_H
    weekend = np.arange(hours) % (7 * DAY_H) >= 5 * DAY_H
    found = arriving(np.full(48, 20.0), np.full(48, 20.0), np.full(hours, 20.0), weekend, work, 1.0)
    # Every day the same: no burst is seen, and the level is off by one part in 8 / (20 * 346 h) of its square.
    level = 20.0 * hours / (hours + 6.0)
    error2 = 8.0 / (level * 240.0 / np.log(2.0))
    assert found.variance_gpus[-1] == pytest.approx(80.0 + error2 * 400.0, rel=0.02)
    nothing = arriving(np.zeros(4), np.zeros(4), np.zeros(hours), weekend, work, 1.0)
    assert nothing.variance_gpus.tolist() == [0.0] * 4


def test_bursts_are_counted_by_day_within_working_days_and_weekends() -> None:
    hours = 28 * DAY_H
    day = np.arange(hours) // DAY_H
    weekend = day % 7 >= 5
    quiet_weekends = np.where(weekend, 10.0, 100.0)
    # What weekends lack is no burst: only the prior is left, diluted by 26 degrees of freedom, and never below 1.
    assert spread_of(quiet_weekends, weekend, 50.0) == 1.0
    every_other = np.where(day % 2 == 0, 2.0, 0.0) * 100.0
    flat = np.zeros(hours, dtype=bool)
    # Days of 4,800 and 0 GPU-hours, mean 2,400: 28 * 2400^2 / 2400 / 50 = 1,344 over 27 degrees of freedom.
    assert spread_of(every_other, flat, 50.0) == pytest.approx((PRIOR_DAYS * PRIOR_SPREAD + 1344.0) / (PRIOR_DAYS + 27))
    assert spread_of(np.full(hours, np.nan), flat, 50.0) == PRIOR_SPREAD


def test_large_jobs_that_declare_too_much_count_by_their_size() -> None:
    def ended(gpus: int, real_s: float) -> FinishedJob:
        return FinishedJob(
            class_name="a", declared_duration_s=100.0, real_duration_s=real_s, gpus=gpus, natural_power_w_per_gpu=1.0
        )

    jobs = [ended(1, 100.0), ended(9, 50.0)] * 30
    # By jobs the ratio is 0.75, by GPU-hours (1 * 100 + 9 * 50) / 1000 = 0.55; 60 jobs against 15 of the prior.
    assert by_size(jobs, "a", 0.75) == pytest.approx((60 * 0.55 / 0.75 + 15) / 75)
    assert by_size(jobs, "b", 0.75) == 1.0


def truth(number: int, came_h: float, hours: float, gpus: int, class_name: str = "deferrable") -> JobTruth:
    job = Job(
        job_id=f"job-{number}",
        class_name=class_name,
        gpus=gpus,
        submit_utc=START + timedelta(hours=came_h),
        declared_duration_s=3600.0 * hours,
    )
    return JobTruth(job=job, duration_s=3600.0 * hours)


def test_busy_hours_of_jobs_by_hand() -> None:
    place = reference_site(gpus=64, gpus_per_node=8, heat_peak_kw=10.0)
    jobs = Jobs.of(place, [truth(0, 0.0, 3.0, 2), truth(1, 1.5, 1.0, 4, "insulated"), truth(2, 30.0, 1.0, 8)])
    every = np.ones(3, dtype=bool)
    assert jobs.busy(FIRST_H, 4, every).tolist() == [2.0, 4.0, 4.0, 0.0]
    assert jobs.busy(FIRST_H, 4, jobs.insulated).tolist() == [0.0, 2.0, 2.0, 0.0]
    assert jobs.coming(FIRST_H + 1, 3).tolist() == [2.0, 2.0, 0.0]
    ended, going = jobs.seen(FIRST_H + 2)
    assert ended == ()
    assert [(state.job.job_id, state.work_done_s) for state in going] == [("job-0", 7200.0), ("job-1", 1800.0)]
    assert [past.gpus for past in jobs.seen(FIRST_H + 3)[0]] == [4, 2]
    assert judged_hours(jobs, leads=6, least_past_h=24) == range(FIRST_H + 24, FIRST_H + 25)
    day, week, mean = earlier(jobs, FIRST_H + 30, 6)
    # A day before, the hours from 6 to 12: nobody came. No week has passed.
    assert day.tolist() == [0.0] * 6
    assert np.isnan([week, mean]).all()


def test_bands_hold_on_made_up_jobs() -> None:
    place = reference_site(gpus=128, gpus_per_node=8, heat_peak_kw=10.0, time_zone="Europe/Copenhagen")
    jobs = year_jobs(place, 42, 5, start_utc=START)
    origins = [at_hour(hour) for hour in judged_hours(Jobs.of(place, jobs), 36, 21 * DAY_H)][::17]
    said: list[int] = []
    found = rolling_jobs(place, jobs, origins, 36, lambda done, _: said.append(done))
    assert said == list(range(1, len(origins) + 1))
    for name in ("arrivals", "insulated"):
        score = found[name].score("all")
        assert score is not None
        # A few weeks of bursts are a small sample: the year is measured in docs/forecasts.md.
        assert 0.75 < (score.above_p10 or 0.0) <= 1.0
        assert 0.75 < (score.below_p90 or 0.0) <= 1.0
        assert (score.against_persistence or 0.0) > 0.1
