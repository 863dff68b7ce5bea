"""`heat-dispatch plan` on a tiny scenario."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from cli_files import REFERENCE, START, jobs_csv, run, scenario_folder, series_csv, stamp
from typer.testing import Result

AT = stamp(START + timedelta(hours=12))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenario_folder(tmp_path_factory.mktemp("tiny"))


def test_tables_and_files(tiny: Path, tmp_path: Path) -> None:
    result = run("plan", "--scenario", tiny, "--at", AT, "--json", tmp_path / "plan.json", "--html", tmp_path / "plan.html")
    assert result.exit_code == 0, result.output
    assert "The next hours (UTC)" in result.stdout
    plan = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert plan["start_utc"] == AT
    assert plan["status"] == "fresh"
    # 12 h at 140 minutes each: jobs 0 to 5 have come, and the flexible ones of the last 12 h still wait.
    assert {job["job_id"] for job in plan["jobs"]} <= {f"job-{index}" for index in range(6)} | expected_jobs(plan)
    assert {"job-1", "job-2", "job-4", "job-5"} <= {job["job_id"] for job in plan["jobs"]}
    steps = len(plan["series"]["time_utc"])
    assert all(len(values) == steps for values in plan["series"].values())
    assert sum(plan["cost_eur"].values()) == pytest.approx(plan["report"]["objective_eur"], abs=0.01)
    page = (tmp_path / "plan.html").read_text(encoding="utf-8")
    assert "Plotly.newPlot" in page
    assert "Why jobs wait" in page or not plan["explanations"]


def expected_jobs(plan: dict[str, list[dict[str, str]]]) -> set[str]:
    """Arrivals that the plan expects are planned like jobs."""
    return {job["job_id"] for job in plan["jobs"] if job["job_id"].startswith("expected")}


def test_json_on_standard_output_is_nothing_else(tiny: Path) -> None:
    result = run("plan", "--scenario", tiny, "--at", AT, "--json", "-")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["start_utc"] == AT
    assert "The next hours" in result.stderr


def test_the_same_plan_twice(tiny: Path) -> None:
    one, two = (json.loads(run("plan", "--scenario", tiny, "--at", AT, "--json", "-").stdout) for _ in range(2))
    assert one["input_digest"] == two["input_digest"]
    for plan in (one, two):
        del plan["report"]["stage_s"]
    assert one == two


def test_at_the_start_there_is_heat_to_plan_and_a_hint(tiny: Path) -> None:
    result = run("plan", "--scenario", tiny, "--undecided-hours", "0")
    assert result.exit_code == 0
    assert "over 48 h" in result.stdout


def test_parts_instead_of_a_folder(tmp_path: Path) -> None:
    series, jobs = tmp_path / "series.csv", tmp_path / "jobs.csv"
    series.write_text(series_csv(), encoding="utf-8")
    jobs.write_text(jobs_csv(), encoding="utf-8")
    parts = ("--series", series, "--jobs", jobs, "--start", stamp(START), "--days", "1", "--gpus", "16")
    result = run("plan", *parts, "--time-zone", "Europe/Copenhagen", "--at", AT, "--json", "-")
    assert result.exit_code == 0, result.output
    assert "job-4" in {job["job_id"] for job in json.loads(result.stdout)["jobs"]}


def test_without_any_history_a_plan_is_made_by_rule(tmp_path: Path) -> None:
    series = tmp_path / "series.csv"
    series.write_text(series_csv(), encoding="utf-8")
    result = run(
        "plan", "--series", series, "--generate-jobs", "1", "--gpus", "16", "--json", "-", "--html", tmp_path / "p.html"
    )
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    assert plan["status"] == "ruleBased"
    assert "heat_demand" in plan["degraded_reason"]
    assert plan["report"]["rolling_gap"] is None
    assert "nothing is proven" in result.stderr
    assert (tmp_path / "p.html").exists()


def test_a_site_in_manifests(tmp_path: Path) -> None:
    series, jobs = tmp_path / "series.csv", tmp_path / "jobs.csv"
    series.write_text(series_csv(), encoding="utf-8")
    jobs.write_text(jobs_csv(), encoding="utf-8")
    result = run(
        "plan", "-f", REFERENCE, "--series", series, "--jobs", jobs, "--start", stamp(START), "--at", AT, "--json", "-"
    )
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    assert "job-4" in {job["job_id"] for job in plan["jobs"]}
    # 256 idle GPUs draw 256 x (0.125 + 1.32 x 0.07) = 55.7 kW; the site limit of its policy is 307.2 kW.
    assert min(plan["series"]["it_kw"]) >= 55.6
    assert max(plan["series"]["it_kw"]) <= 307.2


def test_a_season_of_the_policy_holds_for_the_plans_of_its_days(tmp_path: Path) -> None:
    series, jobs = tmp_path / "series.csv", tmp_path / "jobs.csv"
    series.write_text(series_csv(), encoding="utf-8")
    jobs.write_text(jobs_csv(), encoding="utf-8")
    digests, policy = {}, (REFERENCE / "policy.yaml").read_text(encoding="utf-8")
    for first in ("none", "06-01", "01-12"):
        season = f"  seasons:\n    - {{name: one, firstDay: {first}, lastDay: {first}, preset: compute-first}}\n"
        folder = shutil.copytree(REFERENCE, tmp_path / first)
        if first != "none":
            (folder / "policy.yaml").write_text(policy.replace("  capping:\n", season + "  capping:\n"), encoding="utf-8")
        given = ("-f", folder, "--series", series, "--jobs", jobs, "--start", stamp(START), "--days", "1", "--at", AT)
        result = run("plan", *given, "--json", "-")
        assert result.exit_code == 0, result.output
        digests[first] = json.loads(result.stdout)["input_digest"]
    # The plan is of 12 January: a day in June changes nothing, compute-first on that day asks for another plan.
    assert digests["06-01"] == digests["none"]
    assert digests["01-12"] != digests["none"]


def test_a_recorded_cycle_is_decided_again_from_its_own_input(tiny: Path, tmp_path: Path) -> None:
    kept = tmp_path / "cycle.json.gz"
    first = run("plan", "--scenario", tiny, "--at", AT, "--record", kept, "--json", tmp_path / "a.json")
    assert first.exit_code == 0, first.output
    again = run("plan", "--snapshot", kept, "--json", tmp_path / "b.json")
    assert again.exit_code == 0, again.output
    assert "the very plan that was recorded" in again.output
    one, other = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    for report in (one, other):
        report["report"].pop("stage_s", None)
    assert one == other


def test_a_cycle_that_gives_another_plan_says_so(tiny: Path, tmp_path: Path) -> None:
    kept = tmp_path / "cycle.json"
    assert run("plan", "--scenario", tiny, "--at", AT, "--record", kept).exit_code == 0
    document = json.loads(kept.read_text())
    document["plan_digest"] = "0" * 64
    kept.write_text(json.dumps(document))
    again = run("plan", "--snapshot", kept)
    assert again.exit_code == 0
    assert "NOT the plan that was recorded" in again.output


def test_what_is_no_recorded_cycle_is_refused(tiny: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"format": "something"}')
    assert_refused(run("plan", "--snapshot", other), "not a recorded cycle", "other.json")
    assert_refused(run("plan", "--snapshot", tmp_path / "none.json"), "cannot be read", "none.json")
    assert_refused(run("plan", "--snapshot", other, "--scenario", tiny), "--snapshot has all its input in it")


def assert_refused(done: Result, *words: str) -> None:
    """Exit code 2 and a line that says what and where."""
    assert done.exit_code == 2
    assert all(word in done.output for word in words), done.output
