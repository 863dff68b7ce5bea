"""Few jobs and little heat: the minimum load of the pump decides, and the plan keeps it instead of falling to a rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from small_world import ACTING, NOW, history, queued, running, small_site, snapshot

from scheduler.domain.job import JobState
from scheduler.domain.plan import PlanStatus
from scheduler.domain.snapshot import Snapshot
from scheduler.loop.decide import decide

SITE = small_site(gpus=64)


def few_jobs(seed: int) -> Snapshot:
    """One to four jobs, some running under a cap, some with a deadline."""
    rng = np.random.default_rng(seed)
    states: list[JobState] = []
    for number in range(int(rng.integers(1, 5))):
        class_name = ("insulated", "deferrable", "preemptible")[int(rng.integers(3))]
        gpus, hours = int(rng.integers(1, 13)), float(rng.uniform(0.3, 30.0))
        if rng.random() < 0.5:
            state = running(f"j{number}", class_name, gpus=gpus, hours=hours, ran_h=float(rng.uniform(0.0, 30.0)))
            state = replace(state, cap_w=(None, 595.0, 490.0)[int(rng.integers(3))])
        else:
            state = queued(f"j{number}", class_name, gpus=gpus, hours=hours, submitted_h=float(rng.uniform(0.0, 60.0)))
        if rng.random() < 0.5:
            due = NOW + timedelta(hours=float(rng.uniform(0.5, 60.0)))
            state = replace(state, job=replace(state.job, deadline_utc=due))
        states.append(state)
    return snapshot(states, site=SITE, past=history(demand_kw=float(rng.uniform(1.0, 25.0))))


@pytest.mark.parametrize("seed", [106, 111, 140, 186, 191, 204, 233, 311, 313, 337])
def test_the_optimiser_finds_a_plan_that_the_checker_takes(seed: int) -> None:
    decision = decide(SITE, few_jobs(seed), ACTING)
    assert decision.violations == ()
    assert (decision.plan.status, decision.plan.degraded_reason) == (PlanStatus.FRESH, "")
