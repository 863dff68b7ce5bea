"""Months and series of a result: they sum to the run, and long runs are shown by the hour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.domain.settings import Settings
from scheduler.domain.time import utc
from scheduler.domain.world import Scenario
from scheduler.simulate import result as result_module
from scheduler.simulate.backtest import BacktestResult, Options, backtest
from scheduler.simulate.by_month import cost_by_slot_eur, month_of_slots, summed
from scheduler.simulate.demo_site import demo_site
from scheduler.simulate.generate import on_generated_series
from scheduler.simulate.result import coarser, months_json, series_json


@pytest.fixture(scope="module")
def turn_of_the_year() -> BacktestResult:
    """Two days around a change of month, by two rules."""
    site = demo_site(gpus=16)
    scenario: Scenario = on_generated_series(site, 3, utc("2026-01-31T00:00Z"), 2)
    return backtest(scenario, Options(strategies=("fifo", "heat_greedy"), ablation=False, bound=False, settings=Settings()))


@pytest.mark.parametrize("name", ["fifo", "heat_greedy"])
def test_the_slots_cost_what_the_run_costs(turn_of_the_year: BacktestResult, name: str) -> None:
    run = turn_of_the_year.runs[name]
    assert cost_by_slot_eur(run.world).sum() == pytest.approx(run.total_eur, rel=1e-9)


def test_months_sum_to_the_run(turn_of_the_year: BacktestResult) -> None:
    months = months_json(turn_of_the_year)
    run = turn_of_the_year.runs["fifo"]
    assert run.score is not None
    assert [one["month"] for one in months] == ["2026-01", "2026-02"]
    assert months[0]["hours"] == 24.0
    assert sum(one["hours"] for one in months) * 4 == run.world.record.slots
    mine = [one["strategies"]["fifo"] for one in months]
    assert sum(one["total_eur"] for one in mine) == pytest.approx(run.total_eur, abs=1e-3)
    assert sum(one["heat_sold_kwh"] for one in mine) == pytest.approx(run.score.energy["heat_sold_kwh"], abs=0.2)


def test_sums_by_month() -> None:
    assert summed(np.array([1.0, 2.0, 4.0]), ["2026-01", "2026-01", "2026-02"]) == {"2026-01": 3.0, "2026-02": 4.0}


def test_months_of_slots_are_those_of_utc(turn_of_the_year: BacktestResult) -> None:
    months = month_of_slots(turn_of_the_year.runs["fifo"].world)
    assert months[95:97] == ["2026-01", "2026-02"]


def test_means_of_steps() -> None:
    # (1 + 3) / 2, (5 + 7) / 2, and one left over.
    assert coarser(np.array([1.0, 3.0, 5.0, 7.0, 9.0]), 2).tolist() == [2.0, 6.0, 9.0]
    assert coarser(np.array([1.0, 3.0]), 1).tolist() == [1.0, 3.0]


def test_a_long_run_is_shown_by_the_hour(turn_of_the_year: BacktestResult, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = series_json(turn_of_the_year)
    monkeypatch.setattr(result_module, "MOST_POINTS", 100)
    coarse = series_json(turn_of_the_year)
    assert (fine["step_s"], coarse["step_s"]) == (900, 3600)
    assert coarse["time_utc"] == fine["time_utc"][::4]
    mine = [report["strategies"]["fifo"]["sold_kw"] for report in (fine, coarse)]
    assert sum(mine[0]) / 4 == pytest.approx(sum(mine[1]), rel=1e-3)


def test_other_processes_give_the_same_result(turn_of_the_year: BacktestResult) -> None:
    told: list[str] = []
    options = replace(turn_of_the_year.options, workers=2, on_done=lambda key, _count, _total: told.append(key))
    other = backtest(turn_of_the_year.scenario, options)
    assert list(other.runs) == list(turn_of_the_year.runs)
    assert {name: run.total_eur for name, run in other.runs.items()} == {
        name: run.total_eur for name, run in turn_of_the_year.runs.items()
    }
    assert sorted(told) == ["fifo", "heat_greedy"]
