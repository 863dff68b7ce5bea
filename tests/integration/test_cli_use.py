"""Every command: help with an example, and bad input answered with one clear line and exit code 2."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli_files import REFERENCE, jobs_csv, run, scenario_folder, series_csv
from typer.main import get_command

import scheduler
from scheduler.entrypoints.cli import app

COMMANDS = ("backtest", "demo", "plan")
GROUPS = ("bench",)


def refusal(*arguments: str | Path) -> str:
    """The one line on standard error of a refused call; nothing may be on standard output."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning:")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"heat-dispatch {command} --" in result.stdout


def test_help_of_validate_has_an_example() -> None:
    assert "heat-dispatch validate examples/reference" in run("validate", "--help").stdout


def test_every_command_is_listed() -> None:
    listed = get_command(app).commands  # type: ignore[attr-defined]  # the root is a group
    assert {*COMMANDS, *GROUPS, "validate"} <= set(listed)
    assert run("--version").stdout == f"heat-dispatch {scheduler.__version__}\n"


@pytest.mark.parametrize("command", ["plan", "backtest"])
def test_nothing_to_do_is_said(command: str) -> None:
    assert "--scenario DIR" in refusal(command)


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "no such folder" in refusal("backtest", "--scenario", tmp_path / "nowhere")


def test_a_folder_and_parts_contradict(tmp_path: Path) -> None:
    folder = scenario_folder(tmp_path / "tiny")
    assert "--days" in refusal("backtest", "--scenario", folder, "--days", "3")


def test_a_bad_cell_is_named_with_its_line(tmp_path: Path) -> None:
    folder = scenario_folder(tmp_path / "tiny")
    text = jobs_csv().splitlines()
    text[3] = text[3].replace(",4,preemptible,", ",4,premptible,")
    (folder / "jobs.csv").write_text("\n".join(text), encoding="utf-8")
    said = refusal("backtest", "--scenario", folder)
    assert "jobs.csv:4" in said
    assert "premptible" in said


def test_jobs_from_nowhere_or_from_two_places(tmp_path: Path) -> None:
    series, jobs = tmp_path / "series.csv", tmp_path / "jobs.csv"
    series.write_text(series_csv(), encoding="utf-8")
    jobs.write_text(jobs_csv(), encoding="utf-8")
    assert "which jobs?" in refusal("backtest", "--series", series)
    assert "which jobs?" in refusal("backtest", "--series", series, "--jobs", jobs, "--generate-jobs", "1")


def test_series_from_two_places_and_made_up_ones_off_the_hour(tmp_path: Path) -> None:
    series = tmp_path / "series.csv"
    series.write_text(series_csv(), encoding="utf-8")
    made = ("--generate-series", "1", "--generate-jobs", "1")
    assert "--generate-series contradict" in refusal("backtest", "--series", series, *made)
    assert "which jobs?" in refusal("backtest", *made[:2])
    assert "made-up series are hourly" in refusal("plan", *made, "--start", "2026-01-05T00:15Z")
    assert "--generate-series" in refusal("plan", "--scenario", tmp_path, *made[:2])


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--start", "2026-01-05T00:00", "--start"),
        ("--start", "yesterday", "--start"),
        ("--time-zone", "Europe/Atlantis", "--time-zone"),
        ("--days", "300", "reach from"),
    ],
)
def test_a_bad_option_is_named(tmp_path: Path, option: str, value: str, said: str) -> None:
    series = tmp_path / "series.csv"
    series.write_text(series_csv(), encoding="utf-8")
    assert said in refusal("backtest", "--series", series, "--generate-jobs", "1", option, value)


def test_manifests_say_the_size_of_their_site(tmp_path: Path) -> None:
    series = tmp_path / "series.csv"
    series.write_text(series_csv(), encoding="utf-8")
    assert "--gpus" in refusal("backtest", "-f", REFERENCE, "--series", series, "--generate-jobs", "1", "--gpus", "8")


def test_a_bad_manifest_is_named_with_its_line(tmp_path: Path) -> None:
    site, series = tmp_path / "site", tmp_path / "series.csv"
    shutil.copytree(REFERENCE, site)
    series.write_text(series_csv(), encoding="utf-8")
    plug = (site / "plug.yaml").read_text(encoding="utf-8")
    (site / "plug.yaml").write_text(
        plug.replace("  maxHeatKw:", "  maxHeatKW:").replace("    maxHeatKw:", "    maxHeat:"), encoding="utf-8"
    )
    result = run("plan", "-f", site, "--series", series, "--generate-jobs", "1")
    assert result.exit_code == 2
    assert "plug.yaml:" in result.stderr
    assert "maxHeatKw" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("at", ["2026-01-01T00:00Z", "2026-01-12T10:07Z", "noon"])
def test_an_instant_that_is_no_slot_of_the_scenario(tmp_path: Path, at: str) -> None:
    folder = scenario_folder(tmp_path / "tiny")
    assert "--at" in refusal("plan", "--scenario", folder, "--at", at)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = scenario_folder(tmp_path / "tiny")
    (tmp_path / "occupied").write_text("", encoding="utf-8")
    result = run("plan", "--scenario", folder, "--json", tmp_path / "occupied" / "plan.json")
    assert result.exit_code == 2
    assert "occupied" in result.stderr
    assert "Traceback" not in result.stderr


def test_warnings_do_not_stop(tmp_path: Path) -> None:
    folder = scenario_folder(tmp_path / "tiny")
    parameters = json.loads((folder / "scenario.json").read_text(encoding="utf-8"))
    (folder / "scenario.json").write_text(json.dumps(parameters | {"gpu_modle": "x"}), encoding="utf-8")
    result = run("plan", "--scenario", folder)
    assert result.exit_code == 0, result.output
    assert "did you mean 'gpu_model'" in result.stderr
