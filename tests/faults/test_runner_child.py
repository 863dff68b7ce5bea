"""The child that decides hangs, crashes, is killed or talks nonsense: there is a decision all the same, and it says why."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest
from small_world import ACTING, NOW, queued, running, small_site, snapshot

from scheduler.core.planning.problem import plan_grid
from scheduler.core.planning.watch import brake
from scheduler.domain.action import HoldJob, ReleaseCap, StartJob
from scheduler.domain.decision import Decision
from scheduler.domain.plan import Plan, PlannedJob, PlanStatus
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot
from scheduler.loop.decide import decide_by_rule
from scheduler.loop.deciders import ChildDecider, Decide, InlineDecider, limit_of
from scheduler.loop.degrade import empty_plan

SITE = small_site()
SEEN = snapshot([queued("q"), queued("i", "insulated"), replace(running("r"), cap_w=490.0)])


def hangs(site: Site, snapshot: Snapshot, settings: Settings, **how: Any) -> NoReturn:
    """Never return."""
    while True:
        time.sleep(1.0)


def stops(site: Site, snapshot: Snapshot, settings: Settings, **how: Any) -> Decision:
    """Be frozen, as a container that is paused: neither reads nor writes nor ends."""
    os.kill(os.getpid(), signal.SIGSTOP)
    return decide_by_rule(site, snapshot, settings, **how)


def crashes(site: Site, snapshot: Snapshot, settings: Settings, **how: Any) -> Decision:
    """Raise."""
    raise RuntimeError("no more memory for the matrix")


def dies(site: Site, snapshot: Snapshot, settings: Settings, **how: Any) -> Decision:
    """Be killed, as kill -9 or the kernel would."""
    os.kill(os.getpid(), 9)
    raise AssertionError("unreachable")


def babbles(site: Site, snapshot: Snapshot, settings: Settings, **how: Any) -> Decision:
    """Answer something else."""
    return cast(Decision, {"plan": "all is well"})


class Poison:
    """Cannot be read back."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        """Fail in the reader."""
        return (int, ("not a number",))


def poisons(site: Site, snapshot: Snapshot, settings: Settings, **how: Any) -> Decision:
    """Answer something that cannot be unpickled."""
    return cast(Decision, Poison())


def first_crashes(site: Site, snapshot: Snapshot, settings: Settings, **how: Any) -> Decision:
    """Crash on the first snapshot, decide by rule on the others."""
    if snapshot.sequence == 1:
        os.kill(os.getpid(), 9)
    return decide_by_rule(site, snapshot, settings, **how)


def threads(site: Site, snapshot: Snapshot, settings: Settings, **how: Any) -> Decision:
    """Say how many BLAS threads the child was given."""
    raise RuntimeError(f"threads {os.environ['OPENBLAS_NUM_THREADS']} {os.environ['OMP_NUM_THREADS']}")


@pytest.fixture
def child() -> Iterator[Callable[..., ChildDecider]]:
    """Child deciders that are closed in the end."""
    made: list[ChildDecider] = []

    def make(work: Decide, rule: Decide = decide_by_rule, limit_s: float = 60.0) -> ChildDecider:
        made.append(ChildDecider(clock_s=time.monotonic, limit_s=limit_s, work=work, rule=rule))
        return made[-1]

    yield make
    for one in made:
        one.close()


def asked(decider: ChildDecider, last: Plan | None = None, sequence: int = 1) -> Decision:
    """One decision."""
    return asyncio.run(decider.decide(SITE, replace(SEEN, sequence=sequence), ACTING, last))


def good_plan() -> Plan:
    """A fresh plan, made now, that goes on with the running job and has nothing else to say."""
    return replace(
        empty_plan(SITE, plan_grid(NOW, ACTING), ""), status=PlanStatus.FRESH, jobs=(PlannedJob(job_id="r", options=()),)
    )


@pytest.mark.parametrize(
    ("work", "limit_s", "reason"),
    [
        (hangs, 0.5, "solver overran 0.5 s and was ended"),
        (stops, 0.5, "solver overran 0.5 s and was ended"),
        (dies, 60.0, "solver died: EOFError"),
        (crashes, 60.0, "decide failed: RuntimeError: no more memory for the matrix"),
        (babbles, 60.0, "solver answered garbage"),
        (poisons, 60.0, "solver answered garbage: ValueError"),
    ],
)
def test_a_broken_solver_costs_a_degraded_step_never_the_cycle(
    child: Callable[..., ChildDecider], work: Decide, limit_s: float, reason: str
) -> None:
    decision = asked(child(work, limit_s=limit_s), last=good_plan())
    assert decision.plan.status is PlanStatus.LAST_GOOD
    assert decision.plan.degraded_reason.startswith(reason)
    assert [action for action in decision.actions if isinstance(action, StartJob)] != []
    assert all(action.job_id != "i" for action in decision.actions)


def test_without_a_good_plan_a_new_child_decides_by_rule(child: Callable[..., ChildDecider]) -> None:
    decision = asked(child(dies))
    assert decision.plan.status is PlanStatus.RULE_BASED
    assert "solver died" in decision.plan.degraded_reason


def test_when_nothing_works_everything_is_let_go(child: Callable[..., ChildDecider]) -> None:
    decision = asked(child(crashes, rule=crashes))
    assert decision.plan.status is PlanStatus.LET_GO
    assert {type(action) for action in decision.actions} == {StartJob, ReleaseCap}
    assert not any(isinstance(action, HoldJob) for action in decision.actions)


def test_the_next_cycle_has_a_new_child(child: Callable[..., ChildDecider]) -> None:
    decider = child(first_crashes)
    assert "solver died" in asked(decider, sequence=1).plan.degraded_reason
    assert asked(decider, sequence=2).plan.degraded_reason == "by rule"


def test_the_parent_goes_on_while_the_child_thinks(child: Callable[..., ChildDecider]) -> None:
    async def heartbeat() -> int:
        beats = 0
        task = asyncio.create_task(child(hangs, limit_s=0.5).decide(SITE, SEEN, ACTING, good_plan()))
        while not task.done():
            await asyncio.sleep(0.02)
            beats += 1
        return beats

    assert asyncio.run(heartbeat()) >= 5


def test_a_child_that_no_longer_reads_is_ended_too(child: Callable[..., ChildDecider]) -> None:
    decider = child(decide_by_rule, limit_s=0.5)
    decider.start()
    [stopped] = multiprocessing.active_children()
    assert stopped.pid is not None
    os.kill(stopped.pid, signal.SIGSTOP)
    # Larger than what a pipe takes without a reader.
    many = replace(SEEN, jobs=tuple(queued(f"q{number}") for number in range(20_000)))
    decision = decider.decide_now(SITE, many, ACTING, good_plan())
    assert decision.plan.degraded_reason == "solver overran 0.5 s and was ended"


def test_the_hard_limit_follows_the_budget_of_the_policy() -> None:
    def of(guard_s: float) -> float:
        return limit_of(replace(ACTING, budget=replace(ACTING.budget, guard_s=guard_s)))

    # A minute after the brake.
    assert (of(25.0), of(60.0)) == (85.0, 120.0)


def test_a_solver_that_takes_longer_than_its_budget_and_overtime_is_ended() -> None:
    decider = ChildDecider(clock_s=time.monotonic, limit_s=lambda settings: settings.budget.guard_s / 100.0, work=hangs)
    decision = decider.decide_now(SITE, SEEN, replace(ACTING, budget=replace(ACTING.budget, guard_s=50.0)), good_plan())
    decider.close()
    assert decision.plan.degraded_reason == "solver overran 0.5 s and was ended"


def test_a_warm_child_is_there_before_it_is_asked(child: Callable[..., ChildDecider]) -> None:
    decider = child(decide_by_rule)
    decider.warm()
    [warm] = multiprocessing.active_children()
    assert asked(decider).plan.degraded_reason == "by rule"
    assert multiprocessing.active_children() == [warm]


PARENT = """
import time
from test_runner_child import ACTING, SEEN, SITE, good_plan, hangs
from scheduler.core.planning.watch import brake
from scheduler.loop.deciders import ChildDecider
import multiprocessing
if __name__ == "__main__":
    decider = ChildDecider(clock_s=time.monotonic, work=hangs)
    decider.start()
    print(multiprocessing.active_children()[0].pid, flush=True)
    decider.decide_now(SITE, SEEN, ACTING, good_plan())
"""


def test_a_child_does_not_outlive_a_parent_that_was_killed() -> None:
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}) as parent:
        assert parent.stdout is not None
        child_pid = int(parent.stdout.readline())
        parent.kill()
    for _ in range(500):
        if not alive(child_pid):
            break
        time.sleep(0.02)
    assert not alive(child_pid)


def alive(pid: int) -> bool:
    """True while a process runs; one that nobody has reaped does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False


def test_the_child_has_one_thread_and_the_parent_keeps_its_environment(child: Callable[..., ChildDecider]) -> None:
    before = dict(os.environ)
    decision = asked(child(threads), last=good_plan())
    assert decision.plan.degraded_reason == "decide failed: RuntimeError: threads 1 1"
    assert dict(os.environ) == before


def test_the_brake_bites_after_its_time_and_never_without_a_clock() -> None:
    now = [0.0]
    out_of_time = brake(lambda: now[0], 10.0)
    assert not out_of_time()
    now[0] = 6.0
    assert out_of_time(0.6)
    assert not out_of_time(0.61)
    now[0] = 10.0
    assert out_of_time()
    assert not brake(None, 0.0)()


def test_the_inline_decider_degrades_on_an_error_too() -> None:
    broken = replace(SITE, plugs=())
    decision = asyncio.run(InlineDecider().decide(broken, SEEN, ACTING, None))
    assert decision.plan.status is PlanStatus.LET_GO
    assert decision.plan.degraded_reason.startswith("decide failed")
