"""The loop with its sources gone: it goes on, says which step it took and why, and what each outage cost adds up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_files import run, scenario_folder

from scheduler.config.scenario import load_scenario
from scheduler.domain.errors import Misconfigured
from scheduler.domain.settings import Settings, SolveBudget
from scheduler.simulate.backtest import BacktestResult, Options, backtest
from scheduler.simulate.outage_scripts import scripts_of

# Each source for a day, all for an hour, a day and longer than is left, and all that can be told wrong.
SPECS = (
    *(f"{one}:1d" for one in ("price", "carbon", "weather", "heat", "plant")),
    *(f"all:{long}" for long in ("1h", "1d", "1w")),
    *(f"all:1d:{kind}" for kind in ("frozen", "nulls", "nonsense")),
)
SOON = SolveBudget(bundle_steps=12, master_rounds=1, mip_nodes=0, dive_batches=6, target_gap=0.05)
CYCLE_S = 4 * 3600


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> BacktestResult:
    """A winter day of sixteen GPUs until its jobs have ended, a plan every four hours, and eleven outages."""
    scenario, _ = load_scenario(scenario_folder(tmp_path_factory.mktemp("outages") / "tiny"))
    settings = Settings(budget=SOON, horizon_slots=96, pump_slots=0, cycle_s=CYCLE_S, commit_slots=CYCLE_S // 900)
    return backtest(
        scenario,
        Options(
            strategies=("easy_backfill", "ours"),
            ablation=False,
            bound=False,
            cycle_s=CYCLE_S,
            settings=settings,
            outages=scripts_of(SPECS, scenario),
        ),
    )


@pytest.fixture(scope="module")
def found(result: BacktestResult) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(json.dumps(result.to_json(), allow_nan=False))["outages"]
    return told


def by_spec(found: dict[str, Any]) -> dict[str, Any]:
    """Runs by how they were asked for."""
    return {f"{one['what']}:{one['length']}:{one['kind']}": one for one in found["runs"]}


def test_every_outage_is_survived_with_every_job_done(result: BacktestResult, found: dict[str, Any]) -> None:
    assert len(found["runs"]) == len(SPECS)
    assert result.log.violations == 0, result.log.examples
    for one in found["runs"]:
        assert one["invariants"]["checked"] > 0
        assert one["invariants"]["violations"] == 0, one
    for each in result.runs.values():
        assert each.score is not None
        assert each.score.jobs["unfinished"] == 0


def test_what_an_outage_costs_is_the_difference_of_two_runs_over_one_window(
    result: BacktestResult, found: dict[str, Any]
) -> None:
    ours = result.runs["ours"]
    assert found["without"]["total_eur"] == pytest.approx(ours.total_eur)
    assert found["without"]["steps"] == []
    for one in found["runs"]:
        assert one["extra_eur"] == pytest.approx(one["total_eur"] - ours.total_eur, abs=1e-5)
        assert sum(one["extra_by_term_eur"].values()) == pytest.approx(one["extra_eur"], abs=1e-4)
        assert sum(one["cycles"].values()) == sum(found["without"]["cycles"].values())


def test_steps_are_named_with_what_was_wrong(found: dict[str, Any]) -> None:
    runs = by_spec(found)
    everything = runs["all:1d:silent"]
    assert everything["cycles"]["ruleBased"] > 0
    said = " ".join(one["why"] for one in everything["steps"])
    for reason in ("price: not published", "outdoor: stale", "heat_demand", "plant: stale"):
        assert reason in said
    # A site without a price of carbon does not ask for it.
    assert runs["carbon:1d:silent"]["steps"] == []
    assert runs["carbon:1d:silent"]["extra_eur"] == 0.0
    # Weather and plant are planned around; without a price or a demand nothing is worth optimising.
    for source in ("weather", "plant"):
        assert runs[f"{source}:1d:silent"]["cycles"]["ruleBased"] == 0
        assert runs[f"{source}:1d:silent"]["steps"]
    for source in ("price", "heat"):
        assert runs[f"{source}:1d:silent"]["cycles"]["ruleBased"] > 0
    # An hour between two plans, and a week of which the run has only a day.
    assert runs["all:1h:silent"]["cycles"]["ruleBased"] == 0
    assert runs["all:1w:silent"]["cycles"]["ruleBased"] >= everything["cycles"]["ruleBased"]
    assert runs["all:1d:silent"]["hours"] <= runs["all:1w:silent"]["hours"] < 168.0


def test_rules_hear_no_source(result: BacktestResult) -> None:
    scenario = result.scenario
    with pytest.raises(Misconfigured):
        backtest(scenario, Options(strategies=("fifo",), outages=scripts_of(("all:1h",), scenario)))


def test_a_wrong_outage_is_told_before_anything_runs(tmp_path: Path) -> None:
    done = run("backtest", "--scenario", scenario_folder(tmp_path / "tiny"), "--outages", "gas:1d")
    assert done.exit_code == 2
    assert "--outages gas:1d" in done.stderr
    assert "price, carbon, weather, heat, plant" in done.stderr
