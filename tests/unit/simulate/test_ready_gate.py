"""A job between two cycles is decided on what the cycle left ready: no outlook, no problem and no plan is made for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from scheduler.core.acting import newcomer
from scheduler.domain.plan import PlanStatus
from scheduler.domain.settings import Settings, SolveBudget
from scheduler.simulate.generate import weeks
from scheduler.simulate.planned import Planned
from scheduler.simulate.strategies import RunSpec, Stage, build
from scheduler.simulate.world import Clockwork
from scheduler.units import S_PER_H

QUICK = replace(Settings(), budget=SolveBudget(bundle_steps=4, master_rounds=1, mip_nodes=0, dive_batches=5), horizon_slots=96)
HOURS = 8


def counted(calls: list[str], name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """The real function, which notes that it was called."""

    def call(*args: object, **named: object) -> object:
        calls.append(name)
        return real(*args, **named)

    return call


def test_a_new_job_between_two_cycles_needs_no_outlook_and_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("outlook", "build_problem", "admit"):
        monkeypatch.setattr(newcomer, name, counted(calls, name, getattr(newcomer, name)))
    ticks = count()
    stage = Stage(
        scenario=next(weeks(1, seed=2, gpus=256, days=1)),
        settings=QUICK,
        clockwork=Clockwork(),
        clock_s=lambda: float(next(ticks)),
    )
    world, steering = build(RunSpec(strategy="ours"), stage)
    assert isinstance(steering, Planned)
    world.run_until(steering, HOURS * S_PER_H)
    assert len(steering.memory.wall_s) == HOURS
    assert [name for name in calls if name != "admit"] == ["outlook", "build_problem"] * HOURS
    assert calls.count("admit") == len(steering.memory.admission_s) >= 5
    assert steering.memory.last is not None
    assert steering.memory.last.status is PlanStatus.FRESH
    assert steering.memory.counter is not None
    assert steering.memory.counter.problem.grid == steering.memory.last.grid
