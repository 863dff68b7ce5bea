"""`heat-dispatch forecast evaluate` on a made-up month."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_files import jobs_csv, run, series_csv

HOURS = 22 * 24
QUICK = ("--every", "11", "--from", "2026-01-13T00:00Z", "--time-zone", "Europe/Copenhagen")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("forecast") / "month.csv"
    file.write_text(series_csv(HOURS), encoding="utf-8")
    return file


def test_tables_json_and_page(table: Path, tmp_path: Path) -> None:
    files = ("--json", tmp_path / "out.json", "--html", tmp_path / "out.html")
    result = run("forecast", "evaluate", "--series", table, "--country", "DK", *QUICK, *files)
    assert result.exit_code == 0, result.output
    for title in ("Heat demand, weather told", "Heat demand, no weather forecast", "Spot price", "Outdoor temperature"):
        assert title in result.stdout
    assert "day ahead" in result.stdout
    report = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    # 2025-12-27T23:00Z and 22 days: judged up to 2026-01-18T23:00Z, one forecast each 11 h from the 13th on.
    assert (report["start_utc"], report["end_utc"], report["forecasts"]) == ("2026-01-13T00:00Z", "2026-01-18T23:00Z", 13)
    names = [quantity["name"] for quantity in report["quantities"]]
    assert names == ["demand heat, weather told", "demand heat", "price", "carbon", "outdoor"]
    demand = report["quantities"][0]
    assert {score["label"] for score in demand["scores"]} >= {"1-6 h", "1-24 h", "day ahead", "all"}
    assert all(0.0 <= score["above_p10"] <= 1.0 and score["mae"] > 0.0 for score in demand["scores"])
    price = report["quantities"][2]
    assert price["unit"] == "EUR/MWh"
    assert 10.0 < price["scores"][-1]["mean"] < 300.0
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "Reliability by month, a day ahead" in page
    # Thirteen forecasts are too few for means by lead.
    assert "Error by lead" not in page


def test_one_weather_at_a_time_and_columns_by_another_name(table: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    text = table.read_text(encoding="utf-8").replace("heat_demand_kw", "load").replace("price_eur_per_mwh", "other")
    other.write_text(text, encoding="utf-8")
    result = run("forecast", "evaluate", "--series", other, "--column", "heat_demand_kw=load", "--weather", "none",
                 "--lead", "6", *QUICK, "--json", "-")  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [quantity["name"] for quantity in report["quantities"]] == ["demand heat", "carbon", "outdoor"]
    assert "Heat demand" in result.stderr
    told = run("forecast", "evaluate", "--series", table, "--weather", "told", "--weather-error-c", "1", "--lead", "6",
               *QUICK, "--json", "-")  # fmt: skip
    names = [quantity["name"] for quantity in json.loads(told.stdout)["quantities"]]
    # Six hours ahead of midnight and later every price is published.
    assert names[0] == "demand heat, weather told"
    assert "outdoor" not in names


def test_work_that_is_made_up_or_comes_from_a_file(table: Path, tmp_path: Path) -> None:
    made_up = run("forecast", "evaluate", "--series", table, "--weather", "none", "--generate-jobs", "1", "--json", "-",
                  *("--from", "2026-01-14T00:00Z", "--every", "30"))  # fmt: skip
    assert made_up.exit_code == 0, made_up.output
    names = {quantity["name"]: quantity for quantity in json.loads(made_up.stdout)["quantities"]}
    assert {"arrivals", "insulated"} <= names.keys()
    assert names["arrivals"]["unit"] == "GPU"
    assert "Work to come" in made_up.stderr
    few = tmp_path / "jobs.csv"
    few.write_text(jobs_csv(), encoding="utf-8")
    result = run("forecast", "evaluate", "--series", table, "--jobs", few, "--lead", "6", *QUICK)
    assert result.exit_code == 2
    assert "jobs.csv: no forecast of work can be judged" in result.stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--jobs", "jobs.csv", "--generate-jobs", "1"), "--jobs and --generate-jobs contradict"),
        (("--country", "XX"), "--country: no holidays are known of 'XX'"),
        (("--time-zone", "Mars/Olympus"), "--time-zone"),
        (("--from", "2026-01-13"), "--from"),
        (("--from", "2026-01-01T00:00Z"), "--from: no forecast can be judged"),
        (("--to", "2025-12-30T00:00Z"), "--to: no forecast can be judged"),
        (("--column", "warmth=load"), "--column: 'warmth=load' names no column"),
        (("--column", "heat_demand_kw=lode"), "month.csv:1: lode: the column is missing"),
    ],
)
def test_wrong_options_are_named(table: Path, options: tuple[str, ...], complaint: str) -> None:
    result = run("forecast", "evaluate", "--series", table, *options)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_a_wrong_cell_is_named_by_file_line_and_column(table: Path, tmp_path: Path) -> None:
    lines = table.read_text(encoding="utf-8").splitlines()
    cells = lines[99].split(",")
    lines[99] = ",".join([*cells[:4], "warm"])
    broken = tmp_path / "broken.csv"
    broken.write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = run("forecast", "evaluate", "--series", broken)
    assert result.exit_code == 2
    assert "broken.csv:100: heat_demand_kw: 'warm' is not a number" in result.stderr


def test_a_file_without_anything_to_forecast_and_a_short_one(table: Path, tmp_path: Path) -> None:
    lines = [line.split(",")[0] + ",1" for line in table.read_text(encoding="utf-8").splitlines()]
    empty = tmp_path / "empty.csv"
    empty.write_text("\n".join(["start_utc,colour", *lines[1:]]) + "\n", encoding="utf-8")
    result = run("forecast", "evaluate", "--series", empty)
    assert result.exit_code == 2
    assert "empty.csv:1: no column that can be forecast" in result.stderr
    # Eight weeks of past are the default: a month has none to judge after them.
    short = run("forecast", "evaluate", "--series", table)
    assert short.exit_code == 2
    assert "month.csv: start_utc: no forecast can be judged" in short.stderr
    assert run("forecast", "evaluate", "--series", tmp_path / "none.csv").exit_code == 2
