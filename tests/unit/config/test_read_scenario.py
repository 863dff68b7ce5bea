"""A scenario folder: its parameters, its coverage, and what is wrong with it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from config_files import JOBS_HEADER, SERIES_HEADER, job_lines, series_lines, write_csv

from scheduler.config.scenario import load_scenario
from scheduler.domain.errors import Misconfigured

GIVEN: dict[str, Any] = {
    "name": "week", "start_utc": "2026-01-05T00:00Z", "days": 2, "time_zone": "Europe/Copenhagen", "gpus": 16,
    "gpus_per_node": 8, "gpu_model": "H100-SXM", "heat_peak_kw": 8.0,
}  # fmt: skip


def folder(tmp_path: Path, hours: int = 72, **changes: Any) -> Path:
    write_csv(tmp_path / "series.csv", SERIES_HEADER, series_lines(hours))
    write_csv(tmp_path / "jobs.csv", JOBS_HEADER, job_lines(50))
    given = {key: value for key, value in {**GIVEN, **changes}.items() if value is not None}
    (tmp_path / "scenario.json").write_text(json.dumps(given), encoding="utf-8")
    return tmp_path


def refused(path: Path) -> str:
    with pytest.raises(Misconfigured) as caught:
        load_scenario(path)
    return str(caught.value)


def test_a_folder_becomes_a_scenario_on_the_reference_site(tmp_path: Path) -> None:
    scenario, _ = load_scenario(folder(tmp_path))
    assert (scenario.name, scenario.days, scenario.start_utc) == ("week", 2, datetime(2026, 1, 5, tzinfo=UTC))
    assert scenario.site.gpus == 16
    assert scenario.site.plugs[0].tank is not None
    assert scenario.site.plugs[0].tank.capacity_kwh == 8.0
    assert len(scenario.jobs) == 50


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"days": 0}, "scenario.json: days: Input should be greater than or equal to 1"),
        ({"days": "2"}, "scenario.json: days: Input should be a valid integer"),
        ({"gpus": None}, "scenario.json: gpus: Field required"),
        ({"time_zone": "Europe/Copenhagn"}, "scenario.json: time_zone: the time zone 'Europe/Copenhagn' does not exist"),
        ({"start_utc": "2026-01-05"}, "scenario.json: start_utc: '2026-01-05' has no UTC offset"),
        ({"start_utc": "2026-01-05T00:07Z"}, "the start is not on a quarter hour"),
        ({"days": 30}, "the series reach from 2026-01-05T00:00Z to 2026-01-08T00:00Z"),
        ({"heat_peak_kw": -1.0}, "scenario.json: heat_peak_kw: Input should be greater than 0"),
    ],
)
def test_parameters_that_cannot_be(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    assert message in refused(folder(tmp_path, **changes))


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    _, findings = load_scenario(folder(tmp_path, heat_peak=3))
    assert "scenario.json: heat_peak: the key is not used" in str(findings[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "not JSON"), ("[1]", "not a JSON object"), ('{"a": 1,\n}', "scenario.json:2: not JSON"), ("[" * 90000, "not JSON")],
)
def test_what_is_no_scenario(tmp_path: Path, text: str, message: str) -> None:
    folder(tmp_path)
    (tmp_path / "scenario.json").write_text(text, encoding="utf-8")
    assert message in refused(tmp_path)


@pytest.mark.parametrize("name", ["series.csv", "jobs.csv", "scenario.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (folder(tmp_path) / name).unlink()
    assert f"{name}: no such file" in refused(tmp_path)


def test_jobs_outside_the_days_are_counted(tmp_path: Path) -> None:
    path = folder(tmp_path, days=1)
    late = "late,2026-01-06T12:00Z,60,1,insulated"
    write_csv(path / "jobs.csv", JOBS_HEADER, [*job_lines(5), late])
    scenario, findings = load_scenario(path)
    assert len(scenario.jobs) == 5
    assert "1 of 6 jobs come outside the 1 days and are left out" in " ".join(str(finding) for finding in findings)
