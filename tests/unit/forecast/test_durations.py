from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from forecast_world import running

from scheduler.core.forecast.durations import (
    ALL_CLASSES,
    learn_durations,
    mean_remaining_work_s,
    remaining_work_s,
    survival,
)
from scheduler.domain.outlook import DurationModel
from scheduler.domain.snapshot import FinishedJob


def ended(ratio: float, class_name: str = "batch") -> FinishedJob:
    return FinishedJob(
        class_name=class_name,
        declared_duration_s=1000.0,
        real_duration_s=1000.0 * ratio,
        gpus=1,
        natural_power_w_per_gpu=400.0,
    )


def flat(low: float, high: float) -> DurationModel:
    """Ratios spread evenly between two values."""
    return DurationModel(probabilities=(0.0, 1.0), ratio_quantiles={"": (low, high)}, mean_ratio={"": (low + high) / 2})


def test_before_any_evidence_the_declared_time_is_right_and_one_in_twenty_takes_1_4_times() -> None:
    model = learn_durations((), ())
    assert remaining_work_s(model, "batch", 1000.0, 0.0, 0.5) == pytest.approx(1000.0, rel=1e-3)
    assert remaining_work_s(model, "batch", 1000.0, 0.0, 0.95) == pytest.approx(1400.0, rel=1e-3)
    assert 900.0 < mean_remaining_work_s(model, "batch", 1000.0, 0.0) < 1100.0


def test_survival_is_kaplan_meier_when_the_prior_weighs_nothing() -> None:
    # Ratios 1, 2+, 3 (2 is censored). KM: S(1) = 2/3; at 3 one job of one at risk ends: S(3) = 0. In between 2/3.
    grid = np.asarray([0.5, 1.0, 2.5, 3.0])
    found = survival(grid, np.asarray([1.0, 1.0, 1.0, 1.0]) * 0.0, 0.0, (np.asarray([1.0, 3.0]), np.asarray([2.0])))
    assert found == pytest.approx([1.0, 2 / 3, 2 / 3, 0.0])


def test_conditional_quantile_and_mean_of_an_even_spread() -> None:
    model = flat(0.5, 1.5)
    # At 1.0 done half have ended; the rest ends evenly in (1.0, 1.5]: median 1.25, mean 1.25.
    assert remaining_work_s(model, "x", 1000.0, 1000.0, 0.5) == pytest.approx(250.0)
    assert mean_remaining_work_s(model, "x", 1000.0, 1000.0) == pytest.approx(250.0)
    # Before 0.5 nothing is learned from running.
    assert remaining_work_s(model, "x", 1000.0, 400.0, 0.5) == pytest.approx(600.0)


def test_a_job_beyond_everything_seen_still_has_something_to_do() -> None:
    model = flat(0.5, 1.5)
    assert remaining_work_s(model, "x", 1000.0, 5000.0, 0.5) > 0.0
    assert mean_remaining_work_s(model, "x", 1000.0, 5000.0) == pytest.approx(750.0)


def test_running_jobs_correct_the_bias_of_those_that_finished_first() -> None:
    rng = np.random.default_rng(7)
    ratios = rng.uniform(0.5, 1.5, 400)
    # At work 0.8 of the declared time done, only jobs with a ratio below 0.8 have finished.
    finished = tuple(ended(float(r)) for r in ratios if r <= 0.8)
    still = [running(f"j{i}", 1000.0, 800.0) for i, r in enumerate(ratios) if r > 0.8]
    naive = float(np.median([job.real_duration_s / 1000.0 for job in finished]))
    learned = learn_durations(finished, still)
    median = remaining_work_s(learned, "batch", 1000.0, 0.0, 0.5) / 1000.0
    # True median 1.0; the finished ones alone say 0.65.
    assert naive < 0.7
    assert median > 0.8
    # Of all jobs 30 % have ended by 0.8: exactly what the finished and the running ones together say.
    assert remaining_work_s(learned, "batch", 1000.0, 0.0, 0.25) / 1000.0 == pytest.approx(0.75, abs=0.05)


def test_evidence_replaces_the_prior() -> None:
    rng = np.random.default_rng(8)
    finished = tuple(ended(float(r)) for r in np.where(rng.random(600) < 0.9, rng.uniform(0.5, 0.8, 600), 1.4))
    model = learn_durations(finished, ())
    assert remaining_work_s(model, "batch", 1000.0, 0.0, 0.5) == pytest.approx(665.0, abs=25.0)
    assert remaining_work_s(model, "batch", 1000.0, 0.0, 0.95) == pytest.approx(1400.0, abs=20.0)
    # A job at its declared time is one of the tenth that outruns it.
    assert remaining_work_s(model, "batch", 1000.0, 1000.0, 0.5) == pytest.approx(400.0, abs=20.0)


def test_a_class_with_few_jobs_leans_on_all_classes() -> None:
    finished = tuple(ended(0.6) for _ in range(300)) + (ended(1.2, "rare"),)
    model = learn_durations(finished, ())
    assert 0.6 < model.mean_ratio["rare"] < 0.75
    assert model.mean_ratio[ALL_CLASSES] == pytest.approx(0.6, abs=0.03)
    assert remaining_work_s(model, "never seen", 1000.0, 0.0, 0.5) == pytest.approx(600.0, abs=20.0)


def test_nonsense_durations_say_nothing() -> None:
    bad = (replace(ended(1.0), declared_duration_s=0.0), replace(ended(1.0), real_duration_s=-5.0))
    assert learn_durations(bad, (running("j", 0.0, 10.0),)).mean_ratio == learn_durations((), ()).mean_ratio
