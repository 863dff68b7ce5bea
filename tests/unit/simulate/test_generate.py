"""Generated scenarios: the same from the same seed, with the statistics they claim, and readable by everything downstream."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from scheduler.domain.job import Flexibility
from scheduler.domain.time import TimeGrid, utc
from scheduler.domain.world import JobTruth
from scheduler.simulate.demo_site import demo_site
from scheduler.simulate.generate import (
    LONGEST_H,
    MEAN_SWEEP,
    Makers,
    demo_scenario,
    duration_h,
    mean_duration_h,
    shortest_h,
    sweep_size,
    weeks,
    year_jobs,
)
from scheduler.simulate.generate_series import generated_series, wander
from scheduler.units import S_PER_DAY, S_PER_H, h_from_s

START = utc("2026-01-11T23:00:00+00:00")


@pytest.fixture(scope="module")
def year() -> tuple[JobTruth, ...]:
    return year_jobs(demo_site(), 365, 3, start_utc=START)


def gpu_h(jobs: tuple[JobTruth, ...]) -> float:
    return sum(truth.job.gpus * h_from_s(truth.duration_s) for truth in jobs)


def test_the_same_seed_makes_the_same_week() -> None:
    one, two, other = demo_scenario(5, START), demo_scenario(5, START), demo_scenario(6, START)
    assert one.jobs == two.jobs
    assert np.array_equal(one.series.price_eur_per_kwh.values, two.series.price_eur_per_kwh.values)
    assert one.jobs != other.jobs
    assert not np.array_equal(one.series.outdoor_c.values, other.series.outdoor_c.values)


def test_the_demonstration_is_a_winter_week_with_room_for_history_and_drain() -> None:
    week = demo_scenario(0, START)
    grid = week.series.heat_demand_kw.grid
    inside = slice(grid.slot_of(START), grid.slot_of(START) + 7 * 24)
    assert week.site.gpus == 256
    assert {one.flexibility for one in week.site.classes} == set(Flexibility)
    assert grid.slot_of(START) >= 56 * 24
    assert grid.slots - inside.stop >= 20 * 24
    # 0.34 kW per GPU on the mean of the week, by construction: 0.34 x 256 = 87.04.
    assert week.series.heat_demand_kw.values[inside].mean() == pytest.approx(87.04, abs=0.01)
    assert week.series.outdoor_c.values[inside].mean() < 6.0
    assert week.series.price_eur_per_kwh.values[inside].std() > 0.015


def test_halls_share_the_nodes() -> None:
    # 256 GPUs are 32 nodes: 11 + 11 + 10 for three halls.
    assert [pool.gpus for pool in demo_site(256, halls=3).pools] == [88, 88, 80]


def test_still_and_cold_hours_cost_more_and_cold_days_take_more_heat() -> None:
    hours = TimeGrid(start_utc=START, slot_s=3600, slots=365 * 24)
    series = generated_series(hours, 1, "Europe/Copenhagen", 100.0, slice(0, hours.slots))
    daily_c = series.outdoor_c.values.reshape(-1, 24).mean(axis=1)
    daily_kw = series.heat_demand_kw.values.reshape(-1, 24).mean(axis=1)
    price = series.price_eur_per_kwh.values
    assert np.corrcoef(daily_c, daily_kw)[0, 1] < -0.9
    assert np.corrcoef(price, series.carbon_g_per_kwh.values)[0, 1] > 0.8
    assert (series.heat_demand_kw.values > 0.0).all()
    assert (series.carbon_g_per_kwh.values > 0.0).all()
    assert price.min() < 0.0 < price.max() < 1.0


def test_generated_series_are_hourly() -> None:
    with pytest.raises(ValueError, match="hourly"):
        generated_series(TimeGrid(start_utc=START, slot_s=900, slots=8), 1, "UTC", 1.0, slice(0, 8))


def test_a_wandering_process_is_stationary() -> None:
    path = wander(200_000, 20.0, 3.0, np.random.default_rng(0))
    # 200,000 h are 10,000 memories, so the spread is known to about 1/sqrt(10,000) = 1 %; 5 % leaves room.
    assert path.std() == pytest.approx(3.0, rel=0.05)
    # The correlation over one memory is exp(-1) = 0.368.
    assert np.corrcoef(path[:-20], path[20:])[0, 1] == pytest.approx(np.exp(-1.0), abs=0.03)


def test_jobs_keep_half_of_the_gpus_busy(year: tuple[JobTruth, ...]) -> None:
    # 0.5 x 256 GPUs x 365 d x 24 h = 1,121,280 GPU-h; 27,000 jobs in clumps scatter by about 2 %.
    assert gpu_h(year) == pytest.approx(1_121_280, rel=0.05)


def test_jobs_have_the_shares_that_the_docstring_claims(year: tuple[JobTruth, ...]) -> None:
    site = demo_site()
    flexibility = [site.job_class(truth.job.class_name).flexibility for truth in year]
    durations_h = np.asarray([h_from_s(truth.duration_s) for truth in year])
    outrun = np.mean([truth.job.declared_duration_s < truth.duration_s for truth in year])
    shares = [np.mean([one is kind for one in flexibility]) for kind in Flexibility]
    assert shares == pytest.approx([0.25, 0.35, 0.40], abs=0.02)
    assert np.mean([truth.job.gpus == 1 for truth in year]) == pytest.approx(0.73, abs=0.02)
    assert outrun == pytest.approx(0.08, abs=0.01)
    assert (durations_h == LONGEST_H).mean() == pytest.approx(0.28, abs=0.02)
    assert durations_h.mean() == pytest.approx(14.0, rel=0.03)


def test_every_job_can_be_read_and_run(year: tuple[JobTruth, ...]) -> None:
    assert len({truth.job.job_id for truth in year}) == len(year)
    assert [truth.job.submit_utc for truth in year] == sorted(truth.job.submit_utc for truth in year)
    for truth in year:
        job = truth.job
        assert 0.0 <= (job.submit_utc - START).total_seconds() < 365 * S_PER_DAY
        assert truth.duration_s >= shortest_h(job.gpus) * S_PER_H - 1.0
        assert job.natural_power_w_per_gpu is not None
        assert 300.0 <= job.natural_power_w_per_gpu <= 680.0
        insulated = job.class_name == "interactive"
        assert (job.deadline_utc is None) is insulated
        if job.deadline_utc is not None:
            assert (job.deadline_utc - job.submit_utc).total_seconds() > job.declared_duration_s + 23 * S_PER_H


def test_means_by_arithmetic_are_means_by_drawing() -> None:
    rng = np.random.default_rng(0)
    drawn = [duration_h(1, rng) for _ in range(20_000)]
    assert np.mean(drawn) == pytest.approx(mean_duration_h(1), rel=0.02)
    assert np.mean([sweep_size(rng) for _ in range(40_000)]) == pytest.approx(MEAN_SWEEP, rel=0.02)


def test_a_mean_job_has_the_gpu_hours_of_the_docstring() -> None:
    # 0.73 x 12.9 + 0.02 x 2 x 13.1 + 0.10 x 4 x 15.6 + 0.135 x 8 x 18.6 + 0.015 x 16 x 21.0 = 41.3 with these rounded means.
    assert [mean_duration_h(gpus) for gpus in (1, 2, 4, 8, 16)] == pytest.approx([12.9, 13.1, 15.6, 18.6, 21.0], abs=0.1)
    assert Makers.of(demo_site()).mean_gpu_h == pytest.approx(41.2, abs=0.2)


def test_sizes_that_fit_no_pool_are_left_out() -> None:
    makers = Makers.of(demo_site(gpus=8))
    assert makers.sizes == (1, 2, 4, 8)
    assert makers.size_shares.sum() == pytest.approx(1.0)


def test_weeks_differ_in_season_and_stay_small() -> None:
    winter, spring, summer = islice(weeks(3, seed=1, gpus=16), 3)
    assert [one.site.gpus for one in (winter, spring, summer)] == [16, 16, 16]
    assert winter.start_utc < spring.start_utc < summer.start_utc
    assert winter.series.outdoor_c.values.mean() < summer.series.outdoor_c.values.mean()
    assert len(winter.jobs) < 120
