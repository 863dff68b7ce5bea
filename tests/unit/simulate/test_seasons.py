"""A policy's levers and seasons in closed loop: ours keeps to them, by the local day of each cycle."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from scheduler.domain.settings import Levers, SeasonLevers, Settings, SolveBudget
from scheduler.domain.world import Scenario
from scheduler.simulate.generate import weeks
from scheduler.simulate.planned import Planned
from scheduler.simulate.strategies import PLANT_ALONE, RunSpec, Stage, build, without
from scheduler.simulate.world import Clockwork
from scheduler.units import S_PER_H

QUICK = replace(Settings(), budget=SolveBudget(bundle_steps=4, master_rounds=1, mip_nodes=0, dive_batches=5), horizon_slots=96)
STARTS_AT_ONCE = Levers(shifting=False, pausing=False, capping=False)
# Nothing is worth waiting for in the first six hours of this day.
HOURS = 8


@pytest.fixture(scope="module")
def day() -> Scenario:
    return next(weeks(1, seed=2, gpus=128, days=1))


def season(scenario: Scenario, first: int, last: int, levers: Levers = STARTS_AT_ONCE) -> SeasonLevers:
    """A season from one local day to another, counted from the first local day of a scenario."""
    local = scenario.start_utc.astimezone(ZoneInfo(scenario.site.time_zone)).date()
    days = [f"{local + timedelta(days=number):%m-%d}" for number in (first, last)]
    return SeasonLevers(first_day=days[0], last_day=days[1], levers=levers)


def steered(scenario: Scenario, settings: Settings, spec: RunSpec, hours: float = HOURS) -> Planned:
    world, steering = build(spec, Stage(scenario=scenario, settings=settings, clockwork=Clockwork()))
    assert isinstance(steering, Planned)
    world.run_until(steering, hours * S_PER_H)
    return steering


def test_nothing_is_held_in_a_season_in_which_jobs_start_at_once(day: Scenario) -> None:
    ours = RunSpec(strategy="ours")
    assert sum(entry.held for entry in steered(day, QUICK, ours).memory.entries) > 0
    seasonal = steered(day, replace(QUICK, seasons=(season(day, 0, 0),)), ours)
    assert [entry.held for entry in seasonal.memory.entries] == [0] * HOURS
    assert [entry.capped for entry in seasonal.memory.entries] == [0] * HOURS
    assert seasonal.settings.levers == STARTS_AT_ONCE


def test_a_season_that_comes_later_changes_nothing_yet(day: Scenario) -> None:
    later = replace(QUICK, seasons=(season(day, 2, 5),))
    one, other = (steered(day, settings, RunSpec(strategy="ours"), 3) for settings in (QUICK, later))
    assert [entry.input_digest for entry in one.memory.entries] == [entry.input_digest for entry in other.memory.entries]
    assert other.settings.levers == Levers()


def test_ours_has_the_levers_of_the_policy_less_the_one_that_is_left_out(day: Scenario) -> None:
    policy = replace(QUICK, levers=Levers(pausing=False), seasons=(season(day, 3, 4, Levers(capping=False)),))
    steering = steered(day, policy, without("plant"), 0)
    assert steering.policy.levers == Levers(plant=False, pausing=False)
    assert [one.levers for one in steering.policy.seasons] == [Levers(plant=False, capping=False)]


def test_the_plant_alone_is_a_baseline_and_knows_no_seasons(day: Scenario) -> None:
    policy = replace(QUICK, levers=Levers(plant=False), seasons=(season(day, 0, 9, Levers(plant=False)),))
    steering = steered(day, policy, RunSpec(strategy="plant_only", levers=PLANT_ALONE), 0)
    assert (steering.policy.levers, steering.policy.seasons) == (PLANT_ALONE, ())
