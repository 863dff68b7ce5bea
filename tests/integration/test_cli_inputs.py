"""A scenario from its parts: defaults that come from the file, and series that reach over the drain."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import typer
from cli_files import BEFORE_H, REFERENCE, START, series_csv

from scheduler.config.series import read_series
from scheduler.domain.time import TimeGrid
from scheduler.entrypoints.commands.inputs import DRAIN, Parts, first_hour, read_given, whole_days, with_drain
from scheduler.entrypoints.console import EXIT_USAGE


@pytest.fixture
def series(tmp_path: Path) -> Path:
    path = tmp_path / "year.csv"
    path.write_text(series_csv(20 * 24), encoding="utf-8")
    return path


def test_start_and_days_come_from_the_file(series: Path) -> None:
    scenario = read_given(None, Parts(series=series, generate_jobs=4, gpus=32)).scenario
    assert scenario.start_utc == START - timedelta(hours=BEFORE_H)
    assert (scenario.days, scenario.name, scenario.site.gpus, scenario.site.time_zone) == (20, "year", 32, "UTC")
    assert scenario.jobs
    assert {truth.job.class_name for truth in scenario.jobs} == {"insulated", "deferrable", "preemptible"}
    assert scenario.series.price_eur_per_kwh.grid.end_utc == scenario.start_utc + timedelta(days=20) + DRAIN


def test_the_peak_sizes_the_tank(series: Path) -> None:
    small, large = (
        read_given(None, Parts(series=series, generate_jobs=4, gpus=32, heat_peak_kw=peak)).scenario.site
        for peak in (10.0, 20.0)
    )
    assert small.plugs[0].tank is not None
    assert large.plugs[0].tank is not None
    assert large.plugs[0].tank.capacity_kwh == pytest.approx(2.0 * small.plugs[0].tank.capacity_kwh)


def test_the_last_week_is_repeated_hour_by_hour(series: Path) -> None:
    world, _ = read_series(series)
    grid = world.price_eur_per_kwh.grid
    longer, told = with_drain(world, grid.end_utc + timedelta(days=10))
    price = longer.price_eur_per_kwh.values
    assert len(price) == grid.slots + 240
    assert np.array_equal(price[grid.slots :], price[grid.slots - 168 : -168])
    assert len(told) == 1
    assert "10 days" in str(told[0])


def test_series_that_reach_far_enough_are_left_alone(series: Path) -> None:
    world, _ = read_series(series)
    same, told = with_drain(world, world.price_eur_per_kwh.grid.end_utc)
    assert same is world
    assert told == []


def test_a_series_that_begins_between_hours_starts_at_the_next_one() -> None:
    grid = TimeGrid(start_utc=START + timedelta(minutes=15), slot_s=900, slots=4 * 24 * 3)
    assert first_hour(grid) == START + timedelta(hours=1)
    # Three days less the 45 minutes up to the first whole hour: two whole days.
    assert whole_days(grid, first_hour(grid)) == 2


def changed_site(folder: Path, name: str, old: str, new: str) -> Path:
    """The reference site with one change in one of its files."""
    shutil.copytree(REFERENCE, folder)
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new), encoding="utf-8")
    return folder


def test_doubts_of_validate_are_shown_once_and_work_goes_on(
    series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doubtful = changed_site(tmp_path / "site", "plug.yaml", "position: return", "position: flow")
    assert read_given(None, Parts(site=doubtful, series=series, generate_jobs=4)).scenario.site.plugs
    told = capsys.readouterr().err
    assert told.count("spec.metering.position: the flow sensor sits in the flow") == 1
    assert "warning: plug.yaml:" in told


def test_errors_of_validate_end_the_command(series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = changed_site(tmp_path / "site", "policy.yaml", "drawRatio: 1.0", "drawRatio: 0.99")
    with pytest.raises(typer.Exit) as stopped:
        read_given(None, Parts(site=wrong, series=series, generate_jobs=4))
    assert stopped.value.exit_code == EXIT_USAGE
    assert "the curve does not hold full draw at full speed" in capsys.readouterr().err


def test_a_calibration_is_held_against_the_period_that_is_replayed(
    series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The series begin on 27 December 2025 and the meter was good until 3 January 2026: no matter what day it is today.
    site = changed_site(tmp_path / "site", "plug.yaml", "calibrationDue: 2030-12-31", "calibrationDue: 2026-01-03")
    assert read_given(None, Parts(site=site, series=series, generate_jobs=4)).scenario.days == 20
    assert "runs out on 2026-01-03, in 7 days" in capsys.readouterr().err
    with pytest.raises(typer.Exit):
        read_given(None, Parts(site=site, series=series, generate_jobs=4, start="2026-01-04T00:00Z", days=2))
    assert "the meter's calibration ran out on 2026-01-03" in capsys.readouterr().err
