"""A job between two cycles: priced on the last plan, decided, and said in actions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from small_world import ACTING, NOW, queued, small_site, snapshot

from scheduler.core.acting.intents import intents_of
from scheduler.core.acting.newcomer import Counter, counter_for
from scheduler.domain.action import HoldJob, StartJob
from scheduler.domain.plan import PlanStatus
from scheduler.domain.settings import Levers
from scheduler.loop.decide import decide

SITE = small_site()
FREE = {"pool-0": 64.0}
LATER = NOW + timedelta(minutes=7)


@pytest.fixture(scope="module")
def counter() -> Counter:
    """The counter after a plan for two jobs."""
    seen = snapshot([queued("a"), queued("b", gpus=16)], site=SITE)
    found = counter_for(SITE, seen, ACTING, decide(SITE, seen, ACTING).plan)
    assert found is not None
    return found


def test_a_newcomer_starts_or_is_held_with_an_end(counter: Counter) -> None:
    for gpus in (1, 8, 32):
        made = counter.decide(queued("new", gpus=gpus), LATER, FREE)
        assert made is not None
        actions = made.actions(LATER)
        assert {type(action) for action in actions} <= {HoldJob, StartJob}
        wanted = intents_of(actions)["new"].wanted(LATER)
        assert isinstance(wanted, StartJob) == made.decided.start_now
        for action in actions:
            if isinstance(action, HoldJob):
                assert LATER <= action.until_utc <= NOW + timedelta(hours=48)
                assert action.text.startswith("Held until")


def test_a_job_that_comes_in_the_middle_of_a_slot_may_start_in_it(counter: Counter) -> None:
    # Submitted at 10:07; waiting for anything costs it 10 EUR an hour, so no later start can be cheaper.
    late = queued("new", gpus=8)
    late = replace(late, job=replace(late.job, submit_utc=LATER))
    dear = replace(SITE, classes=tuple(replace(one, waiting_eur_per_gpu_h=10.0) for one in SITE.classes))
    made = replace(counter, site=dear).decide(late, LATER, FREE)
    assert made is not None
    assert made.decided.start_now
    assert [type(action) for action in made.actions(LATER)] == [StartJob]


def test_without_room_it_waits_and_says_so(counter: Counter) -> None:
    made = counter.decide(queued("new", gpus=8), LATER, {})
    assert made is not None
    assert not made.decided.start_now
    (hold, *_) = made.actions(LATER)
    assert isinstance(hold, HoldJob)
    assert "no pool has 8 free GPUs now" in hold.text


def test_in_its_last_slot_a_job_is_to_start_as_soon_as_there_is_room(counter: Counter) -> None:
    hurried = replace(SITE, classes=tuple(replace(one, max_delay_s=60.0) for one in SITE.classes))
    late = queued("new", gpus=8)
    late = replace(late, job=replace(late.job, submit_utc=LATER))
    made = replace(counter, site=hurried).decide(late, LATER, {})
    assert made is not None
    hold, start = made.actions(LATER)
    assert isinstance(hold, HoldJob)
    assert isinstance(start, StartJob)
    assert hold.until_utc == LATER + timedelta(minutes=1)
    assert (start.at_utc, start.pool_id, start.cap_w) == (LATER, "pool-0", None)


def test_an_insulated_newcomer_is_not_decided(counter: Counter) -> None:
    assert counter.decide(queued("new", "insulated"), LATER, FREE) is None


def test_there_is_no_counter_without_a_plan_of_this_cycle() -> None:
    seen = snapshot([queued("a")], site=SITE)
    plan = decide(SITE, seen, ACTING).plan
    assert counter_for(SITE, seen, ACTING, None) is None
    assert counter_for(SITE, seen, ACTING, replace(plan, status=PlanStatus.LET_GO)) is None
    assert counter_for(SITE, seen, replace(ACTING, levers=Levers(shifting=False)), plan) is None
    old = replace(plan, duals=replace(plan.duals, start_utc=plan.duals.start_utc - timedelta(hours=1)))
    assert counter_for(SITE, seen, ACTING, old) is None
