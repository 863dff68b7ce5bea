"""Cycle times, ages and what the guard concludes from them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from small_world import ACTING, NOW, small_site

from scheduler.core.planning.problem import plan_grid
from scheduler.domain.decision import Decision
from scheduler.domain.plan import Plan, PlanStatus
from scheduler.domain.time import utc
from scheduler.loop.degrade import empty_plan, good_until
from scheduler.loop.runner import Watch, after_cycle, guard_step, next_cycle_utc, overdue_s

SETTINGS = replace(ACTING, cycle_s=900, plan_max_age_s=10800.0)


def plan_of(status: PlanStatus, hours_ago: float = 0.0) -> Plan:
    """A plan of a status, made some hours ago."""
    grid = plan_grid(NOW - timedelta(hours=hours_ago), SETTINGS)
    return replace(empty_plan(small_site(), grid, ""), status=status)


def decision(plan: Plan, minutes: int = 0) -> Decision:
    """A decision with nothing but its plan."""
    at = NOW + timedelta(minutes=minutes)
    return Decision(at_utc=at, plan=plan, actions=(), refused=(), offers=(), setpoints=(), commitments=())


@pytest.mark.parametrize(
    ("now", "cycle_s", "due"),
    [
        ("2026-01-14T10:00:00+00:00", 900, "2026-01-14T10:15:00+00:00"),
        ("2026-01-14T10:14:59+00:00", 900, "2026-01-14T10:15:00+00:00"),
        ("2026-01-14T10:00:01+00:00", 3600, "2026-01-14T11:00:00+00:00"),
        ("2026-03-29T01:30:00+01:00", 3600, "2026-03-29T01:00:00+00:00"),  # the clocks change: UTC does not
    ],
)
def test_cycles_stand_on_whole_multiples_of_their_length(now: str, cycle_s: int, due: str) -> None:
    assert next_cycle_utc(utc(now), replace(SETTINGS, cycle_s=cycle_s)) == utc(due)


def test_a_fresh_plan_is_remembered_as_good_and_others_are_not() -> None:
    fresh, rule = plan_of(PlanStatus.FRESH), plan_of(PlanStatus.RULE_BASED)
    watch = after_cycle(Watch(), decision(fresh))
    assert (watch.good, watch.failures, watch.step) == (fresh, 0, PlanStatus.FRESH)
    watch = after_cycle(watch, decision(rule, 15))
    assert (watch.good, watch.last, watch.failures) == (fresh, rule, 1)
    assert watch.warm is fresh
    assert watch.since_utc == NOW + timedelta(minutes=15)
    again = after_cycle(watch, decision(rule, 30))
    assert (again.failures, again.since_utc) == (2, NOW + timedelta(minutes=15))


@pytest.mark.parametrize(
    ("status", "hours_ago", "good"),
    [
        (PlanStatus.FRESH, 0.0, True),
        (PlanStatus.FRESH, 3.0, True),
        (PlanStatus.FRESH, 3.25, False),
        (PlanStatus.FRESH, -1.0, False),
        (PlanStatus.LAST_GOOD, 1.0, True),
        (PlanStatus.RULE_BASED, 0.0, False),
        (PlanStatus.LET_GO, 0.0, False),
    ],
)
def test_a_plan_is_good_while_it_is_young_and_was_made_of_good_input(status: PlanStatus, hours_ago: float, good: bool) -> None:
    assert good_until(plan_of(status, hours_ago), NOW, SETTINGS) is good


def test_no_plan_is_no_good_plan() -> None:
    assert not good_until(None, NOW, SETTINGS)


def test_the_guard_lets_go_when_the_loop_is_stuck() -> None:
    watch = after_cycle(Watch(), decision(plan_of(PlanStatus.FRESH)))
    assert guard_step(Watch(), NOW, SETTINGS) is PlanStatus.LET_GO
    assert guard_step(watch, NOW + timedelta(minutes=15), SETTINGS) is PlanStatus.FRESH
    assert overdue_s(watch, NOW + timedelta(minutes=20), SETTINGS) == 300.0
    assert guard_step(watch, NOW + timedelta(minutes=20), SETTINGS) is PlanStatus.LAST_GOOD
    assert guard_step(watch, NOW + timedelta(hours=4), SETTINGS) is PlanStatus.LET_GO


def test_the_guard_keeps_a_degraded_step_until_its_cycle_is_overdue() -> None:
    watch = after_cycle(Watch(), decision(plan_of(PlanStatus.RULE_BASED)))
    assert guard_step(watch, NOW + timedelta(minutes=10), SETTINGS) is PlanStatus.RULE_BASED
    # Due after 15 minutes; with a budget of 30 s the cycle may be under way for 30 + 120 s.
    assert guard_step(watch, NOW + timedelta(minutes=17, seconds=30), SETTINGS) is PlanStatus.RULE_BASED
    assert guard_step(watch, NOW + timedelta(minutes=17, seconds=31), SETTINGS) is PlanStatus.LET_GO
