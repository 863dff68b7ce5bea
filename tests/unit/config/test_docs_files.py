"""The examples of docs/reference/files.md are read without a finding, and its tables name every column."""

from __future__ import annotations

import re
from pathlib import Path

from config_files import write_csv

from scheduler.config import jobs, series
from scheduler.config.jobs import read_jobs
from scheduler.config.reference import reference_site
from scheduler.config.scenario import ScenarioFile
from scheduler.config.series import read_series

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "files.md").read_text(encoding="utf-8")


def example(language: str, number: int = 0) -> str:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    return found[number]


def test_the_series_example(tmp_path: Path) -> None:
    header, *lines = example("csv").splitlines()
    read, findings = read_series(write_csv(tmp_path / "series.csv", header, lines))
    assert findings == []
    assert read.price_eur_per_kwh.grid.slots == 3


def test_the_jobs_example(tmp_path: Path) -> None:
    header, *lines = example("csv", 1).splitlines()
    site = reference_site(gpus=256, gpus_per_node=8, heat_peak_kw=100.0)
    read, findings = read_jobs(write_csv(tmp_path / "jobs.csv", header, lines), site)
    assert findings == []
    assert [truth.job.job_id for truth in read] == ["train-17", "batch-3", "serve-1"]


def test_the_scenario_example() -> None:
    assert ScenarioFile.model_validate_json(example("json")).gpus == 256


def test_every_column_and_key_is_described() -> None:
    names = {*jobs.KNOWN, *series.ALIASES, series.DEMAND, *series.EXTRA, *ScenarioFile.model_fields}
    assert [name for name in sorted(names) if f"`{name}`" not in PAGE] == []
