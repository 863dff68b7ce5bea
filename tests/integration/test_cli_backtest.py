"""`heat-dispatch backtest` on a tiny scenario: the result is whole, adds up and is the same in every form."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from cli_files import START, jobs_csv, run, scenario_folder, series_csv, stamp

from scheduler.config.reference import reference_parameters
from scheduler.simulate.score import CASH, SHADOW
from scheduler.simulate.strategies import STRATEGIES

FAST = ("--quick", "--workers", "1", "--bound-rounds", "6", "--cycle-minutes", "120")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backtest")
    tiny = scenario_folder(folder / "tiny")
    result = run(
        "backtest",
        "--scenario",
        tiny,
        *FAST,
        "--outages",
        "heat+plant:6h:nulls@2026-01-12T06:00Z",
        "--json",
        folder / "r.json",
        "--html",
        folder / "r.html",
        "--csv",
        folder / "r.csv",
    )
    assert result.exit_code == 0, result.output
    (folder / "said.txt").write_text(result.stdout, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def report(outputs: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((outputs / "r.json").read_text(encoding="utf-8"))
    return found


def test_every_strategy_finishes_every_job(report: dict[str, Any]) -> None:
    assert set(report["strategies"]) == set(STRATEGIES)
    assert all(one["jobs"]["completed"] == 9 and not one["jobs"]["unfinished"] for one in report["strategies"].values())


def test_terms_add_up_and_nobody_beats_the_bound(report: dict[str, Any]) -> None:
    for one in report["strategies"].values():
        cost = one["cost_eur"]
        assert sum(cost[term] for term in CASH + SHADOW) == pytest.approx(cost["total"], abs=1e-3)
        assert report["bound"]["cost_eur"] <= cost["total"] + 0.01
    assert report["invariants"]["checked"] > 0
    assert report["invariants"]["violations"] == 0


def test_value_captured_recomputes(report: dict[str, Any]) -> None:
    fifo, ours = (report["strategies"][name]["cost_eur"]["total"] for name in ("fifo", "ours"))
    bound = report["bound"]["cost_eur"]
    assert report["value_captured"] == pytest.approx((fifo - ours) / (fifo - bound))


def test_the_reference_is_echoed(report: dict[str, Any]) -> None:
    assert report["reference"] == reference_parameters()
    assert (report["scenario"], report["days"], report["start_utc"]) == ("tiny", 1, stamp(START))
    assert report["ablation"] == dict.fromkeys(("plant_eur", "shifting_eur", "pausing_eur", "capping_eur"))


def test_table_csv_and_page_say_the_same(outputs: Path, report: dict[str, Any]) -> None:
    ours = report["strategies"]["ours"]["cost_eur"]["total"]
    said = (outputs / "said.txt").read_text(encoding="utf-8")
    assert f"{ours:,.1f}" in said
    assert "Value captured" in said
    with (outputs / "r.csv").open(encoding="utf-8", newline="") as file:
        rows = {(row["strategy"], row["term"]): float(row["eur"]) for row in csv.DictReader(file)}
    assert rows["ours", "total"] == pytest.approx(ours, abs=1e-5)
    assert f"{ours:,.2f}" in (outputs / "r.html").read_text(encoding="utf-8")


def test_an_outage_is_told_of_in_every_form(outputs: Path, report: dict[str, Any]) -> None:
    (one,) = report["outages"]["runs"]
    assert (one["what"], one["kind"], one["hours"], one["start_utc"]) == ("heat+plant", "nulls", 6.0, "2026-01-12T06:00:00Z")
    assert one["extra_eur"] == pytest.approx(one["total_eur"] - report["strategies"]["ours"]["cost_eur"]["total"], abs=1e-5)
    assert one["invariants"]["violations"] == 0
    said = (outputs / "said.txt").read_text(encoding="utf-8")
    assert "What outages cost" in said
    assert f"{one['extra_eur']:,.2f}" in said
    assert "outage-steps" in (outputs / "r.html").read_text(encoding="utf-8")


def test_json_on_standard_output_is_nothing_else(tmp_path: Path) -> None:
    series, jobs = tmp_path / "series.csv", tmp_path / "jobs.csv"
    # The file ends with the period: its last week is repeated for the drain, and that is said.
    series.write_text(series_csv(16 * 24), encoding="utf-8")
    jobs.write_text(jobs_csv(), encoding="utf-8")
    parts = ("--series", series, "--jobs", jobs, "--start", stamp(START), "--gpus", "16", "--cycle-minutes", "240")
    result = run("backtest", *parts, "--quick", "--workers", "1", "--bound-rounds", "0", "--json", "-")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["days"] == 1
    assert report["bound"]["cost_eur"] is None
    assert report["value_captured"] is None
    assert "last week is repeated" in result.stderr
    assert "heat-dispatch" in result.stderr
