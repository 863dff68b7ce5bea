"""What an all-knowing run is told, how far it plans, and what it promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from scheduler.core.planning.problem import plan_grid, step_slots
from scheduler.domain.settings import Settings, SolveBudget
from scheduler.domain.time import Series, TimeGrid, utc
from scheduler.simulate.generate import weeks
from scheduler.simulate.knowledge import ALL_KNOWN, Knowledge, coming_part, price_part
from scheduler.simulate.planned import Planned
from scheduler.simulate.strategies import FAR_CYCLE_S, RunSpec, Stage, build, far_sighted
from scheduler.simulate.world import Clockwork

NOW = utc("2026-01-14T10:00:00+00:00")
SLOT_S = 900


def days_of_series(days: int) -> Series:
    """An hourly series that begins a day before NOW and numbers its hours."""
    grid = TimeGrid(start_utc=NOW - timedelta(days=1), slot_s=3600, slots=24 * days)
    return Series(grid=grid, values=np.arange(grid.slots, dtype=np.float64), unit="", source="test")


def test_an_advance_truth_reaches_behind_the_horizon_of_the_plans() -> None:
    """A horizon of four days is told for twelve: the last eight price the tail."""
    told = Knowledge(true_prices=True, true_heat_and_weather=True, horizon=timedelta(days=4))
    coming = coming_part(days_of_series(30), NOW, told)
    assert coming.grid.start_utc == NOW
    assert coming.grid.slots == 12 * 24
    assert price_part(days_of_series(30), NOW, "UTC", told).grid.end_utc == NOW + timedelta(days=12)


def test_the_weather_is_told_with_the_heat() -> None:
    """The heat tariff hangs on the temperature of the day before: who knows the weather knows next week's tariff."""
    scenario = next(weeks(1, seed=4, gpus=64, days=2))
    stage = Stage(scenario=scenario, settings=Settings(), clockwork=Clockwork())
    for told in (Knowledge(), Knowledge(true_heat_and_weather=True)):
        world, _ = build(RunSpec(strategy="ours", knowledge=told), stage)
        end_utc = world.snapshot().history.outdoor.grid.end_utc
        assert (end_utc > world.now_utc + timedelta(days=2)) == told.true_heat_and_weather


LESS = (
    replace(ALL_KNOWN, true_prices=False),
    replace(ALL_KNOWN, true_heat_and_weather=False),
    replace(ALL_KNOWN, true_durations=False),
    replace(ALL_KNOWN, known_arrivals=False),
)


@pytest.mark.parametrize("told", LESS)
def test_everything_is_known_only_when_nothing_is_missing(told: Knowledge) -> None:
    assert ALL_KNOWN.everything
    assert not told.everything


def test_the_farthest_plan_has_no_step_longer_than_an_hour() -> None:
    settings = far_sighted(Settings(), 7)
    grid = plan_grid(NOW, settings)
    steps = step_slots(grid, settings.fine_slots, "Europe/Copenhagen", settings.hourly_slots)
    assert grid.slots * SLOT_S == 9 * 86400
    assert steps.max() == 4
    assert steps.sum() == grid.slots


def test_who_knows_everything_promises_what_the_plan_sells() -> None:
    """At the gate of 10:30 the promise of every hour of the next day is the planned sale of that hour."""
    scenario = next(weeks(1, seed=4, gpus=64, days=2))
    settings = Settings(budget=SolveBudget(bundle_steps=20, master_rounds=1, mip_nodes=0, target_gap=0.05))
    stage = Stage(scenario=scenario, settings=settings, clockwork=Clockwork())
    world, steering = build(RunSpec(strategy="ours", knowledge=ALL_KNOWN, far=True), stage)
    assert isinstance(steering, Planned)
    while not world.promises.commitments:
        world.run_until(steering, world.clock.now_s + SLOT_S)
    assert world.clockwork.cycle_s == FAR_CYCLE_S
    plan = steering.plan()
    assert plan is not None
    promised = world.promises.commitments
    sold = np.repeat(plan.sold_kw[promised[0].offtake_id], plan.step_slots)
    hours = [(one.start_utc, one.end_utc) for one in promised]
    planned = [float(sold[plan.grid.slot_of(start) : plan.grid.slot_of(end)].mean()) for start, end in hours]
    assert len(promised) >= 20
    assert [one.firm_kw for one in promised] == pytest.approx(planned, abs=1e-6)
