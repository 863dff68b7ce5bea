"""The foresight plan in the virtual world: it ends every job, breaks nothing, and lies between the bound and the rules."""

from __future__ import annotations

import pytest

from scheduler.domain.settings import Settings
from scheduler.domain.time import utc
from scheduler.simulate.backtest import BacktestResult, Options, Run, backtest, run_foretold
from scheduler.simulate.demo_site import demo_site
from scheduler.simulate.generate import on_generated_series
from scheduler.simulate.strategies import Stage
from scheduler.simulate.world import Clockwork


@pytest.fixture(scope="module")
def judged() -> tuple[BacktestResult, Run]:
    """Two winter days of a small site by one rule, the bound, and the foresight plan carried out."""
    scenario = on_generated_series(demo_site(gpus=32), 5, utc("2026-01-12T00:00Z"), 2)
    result = backtest(scenario, Options(strategies=("fifo",), ablation=False, settings=Settings()))
    assert result.bound is not None
    stage = Stage(scenario=scenario, settings=Settings(), clockwork=Clockwork())
    found = run_foretold(stage, result.runs["fifo"].world.truth, result.end_utc, result.bound)
    return result, found[0]


def test_it_ends_every_job_and_breaks_no_rule(judged: tuple[BacktestResult, Run]) -> None:
    world = judged[1].world
    assert world.cluster.drained
    assert world.log.checked > 1000
    assert world.log.violations == 0, world.log.examples


def test_it_costs_less_than_a_rule(judged: tuple[BacktestResult, Run]) -> None:
    result, told = judged
    assert result.bound_eur is not None
    assert result.bound_eur < told.total_eur
    assert told.total_eur < result.runs["fifo"].total_eur
