"""The foresight plan in the virtual world: it ends every job, breaks nothing, and lies between the bound and the rules."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.domain.settings import Settings
from scheduler.domain.time import utc
from scheduler.simulate.backtest import BacktestResult, Options, Run, backtest, run_foretold
from scheduler.simulate.demo_site import demo_site
from scheduler.simulate.foretold import Foretold
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


def test_the_world_does_what_the_plan_has_slot_by_slot(judged: tuple[BacktestResult, Run]) -> None:
    """Heat delivered and sold as planned, so jobs that nobody may hold are no surprise; no promise is broken.

    The site has two customers: the bath is served first, the town gets what is left.
    """
    run = judged[1]
    world, told = run.world, run.steering
    assert isinstance(told, Foretold)
    record = world.record.plugs[world.site.plugs[0].plug_id]
    assert np.array(record.delivered_kw) == pytest.approx(told.path.delivered_kw[0], abs=1e-4)
    for number, offtake in enumerate(world.site.offtakes):
        assert np.array(world.record.sold_kw[offtake.offtake_id]) == pytest.approx(told.path.sold_kw[number], abs=1e-4)
    assert run.score is not None
    assert run.score.firm["promised_kwh"] >= run.score.firm["delivered_kwh"] > 0.0
    assert run.score.firm["shortfall_kwh"] == pytest.approx(0.0, abs=1e-3)
