"""The same input gives the same plan to the last bit: twice, in a new process, on one CPU or four, and from disk."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from small_world import ACTING, NOW, history, queued, running, small_site, snapshot

from scheduler.adapters.record.codec import encode
from scheduler.adapters.record.digest import plan_digest
from scheduler.adapters.record.store import read_cycle, replay, stored, write_cycle
from scheduler.core.planning.digest import digest_of
from scheduler.core.planning.instances import instance
from scheduler.core.planning.solve import solve
from scheduler.domain.decision import CycleRecord, Decision
from scheduler.domain.plan import Plan, PlanStatus
from scheduler.domain.settings import SolveBudget
from scheduler.loop.cycle import cycle_entry
from scheduler.loop.decide import decide

QUICK = SolveBudget(bundle_steps=15, master_rounds=1, mip_nodes=20, dive_batches=15)
# Jobs and seed. The few go through every stage, the search and a small MILP that betters what the search found: twelve jobs
# do no more than these seven, for five times the time. The many are more than the planner's 320: a bundle over short lists, a
# dive, and the bound in a thread beside it.
FEW, MANY = (7, 4), (330, 3)
SITE = small_site(gpus=32, pools=2)
CPUS = [1, 4]

# Both run in a process of their own: CPUs and thread counts are given before any library is loaded.
SOLVE = """
import sys
from scheduler.adapters.record.digest import plan_digest
from scheduler.core.planning.instances import instance
from scheduler.core.planning.digest import digest_of
from scheduler.core.planning.solve import solve
from scheduler.domain.settings import SolveBudget
from scheduler.loop.beside import in_thread
problem = instance(*map(int, sys.argv[1].split("/")))
budget = SolveBudget(bundle_steps=15, master_rounds=1, mip_nodes=20, dive_batches=15)
print(digest_of(problem), plan_digest(solve(problem, budget, beside=in_thread)))
"""
REPLAY = """
import sys
from pathlib import Path
from scheduler.adapters.record.digest import plan_digest
from scheduler.adapters.record.store import replay
decision = replay(Path(sys.argv[1]))
print(decision.plan.plan_id, plan_digest(decision.plan))
"""


def in_new_process(script: str, argument: str, cpus: int) -> list[str]:
    """Words that a script prints which sees at most `cpus` CPUs and is told to use as many threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    # Hashes of text differ from process to process unless told otherwise: nothing may depend on them.
    environment = os.environ | dict.fromkeys(names, str(cpus)) | {"PYTHONHASHSEED": str(cpus)}
    here = sorted(os.sched_getaffinity(0))[:cpus]
    began = f"import os\nos.sched_setaffinity(0, {here})\n"
    done = subprocess.run(
        [sys.executable, "-c", began + script, argument],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(("jobs", "seed"), [FEW, MANY])
def test_the_same_problem_gives_the_same_plan_on_any_number_of_cpus_and_with_its_bound_beside(jobs: int, seed: int) -> None:
    problem = instance(jobs, seed)
    expected = [digest_of(problem), plan_digest(solve(problem, QUICK))]
    assert [in_new_process(SOLVE, f"{jobs}/{seed}", cpus) for cpus in CPUS] == [expected] * len(CPUS)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The plan of the small problem, without a last plan or a clock."""
    return solve(instance(*FEW), QUICK)


def test_the_same_problem_gives_the_same_plan_twice_from_the_last_plan(plan: Plan) -> None:
    first, second = (solve(instance(*FEW), QUICK, last=plan) for _ in range(2))
    assert plan_digest(first) == plan_digest(second)


def test_a_solve_leaves_nothing_behind_that_changes_the_next(plan: Plan) -> None:
    solve(instance(9, 4), QUICK)
    assert plan_digest(solve(instance(*FEW), QUICK)) == plan_digest(plan)


def test_a_clock_changes_the_report_but_not_the_plan(plan: Plan) -> None:
    problem, ticks = instance(*FEW), iter(range(10_000))
    timed = solve(problem, QUICK, clock_s=lambda: float(next(ticks)))
    # Every stage of the few was gone through.
    assert timed.report.stage_s.keys() >= {"bundle", "lp", "bound", "dive", "mip", "extract"}
    assert plan_digest(timed) == plan_digest(plan)


@pytest.mark.parametrize("change", ["price", "job", "tank"])
def test_another_problem_has_another_digest(change: str) -> None:
    problem = instance(*FEW)
    job, plug = problem.jobs[0], problem.plugs[0]
    other = {
        "price": replace(problem, spot_eur_per_kwh=problem.spot_eur_per_kwh + 1e-9),
        "job": replace(problem, jobs=(replace(job, work_s=job.work_s + 1.0), *problem.jobs[1:])),
        "tank": replace(problem, plugs=(replace(plug, tank_level_kwh=plug.tank_level_kwh + 1.0), *problem.plugs[1:])),
    }[change]
    assert digest_of(other) != digest_of(problem)


# --- from disk


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Decision]:
    """The second of two cycles, a quarter of an hour apart: it starts from the plan of the first."""
    states = [
        queued("q0", gpus=8, hours=6.0),
        queued("q1", "preemptible", gpus=16, hours=12.0, submitted_h=3.0),
        queued("q2", "insulated", gpus=4, hours=2.0),
        running("r0", "preemptible", gpus=12, hours=20.0, ran_h=5.0),
        running("r1", "deferrable", gpus=4, hours=9.0, ran_h=1.0),
    ]
    first = decide(SITE, snapshot(states, site=SITE, past=history(demand_kw=30.0)), ACTING)
    snap = snapshot([*states, queued("q3", gpus=2, hours=3.0)], site=SITE, past=history(demand_kw=33.0))
    snap = replace(snap, observed_utc=NOW + timedelta(minutes=15))
    decision = decide(SITE, snap, ACTING, last=first.plan)
    assert (decision.plan.status, decision.violations) == (PlanStatus.FRESH, ())
    record = CycleRecord(snapshot=snap, decision=decision, outcomes=(), receipts=(), entry=cycle_entry(snap, decision))
    path = tmp_path_factory.mktemp("cycles") / "cycle.json.gz"
    write_cycle(path, stored(SITE, ACTING, first.plan, record))
    return path, decision


def test_a_recorded_cycle_replays_to_the_whole_decision(recorded: tuple[Path, Decision]) -> None:
    """Not the plan alone: actions, refusals, offers, setpoints, promises, reasons; and the same decision is in the file."""
    path, decision = recorded
    assert timeless(replay(path)) == timeless(decision) == timeless(read_cycle(path).decision)
    assert decision.actions


def timeless(decision: Decision) -> object:
    """Everything that a decision says, seconds of the solver's stages left out."""
    report = replace(decision.plan.report, stage_s={})
    return encode(Decision, replace(decision, plan=replace(decision.plan, report=report)))


def test_the_same_cycle_is_the_same_file(recorded: tuple[Path, Decision], tmp_path: Path) -> None:
    path, _ = recorded
    again = tmp_path / "again.json.gz"
    write_cycle(again, read_cycle(path))
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("cpus", CPUS)
def test_a_recorded_cycle_replays_in_a_new_process(recorded: tuple[Path, Decision], cpus: int) -> None:
    path, decision = recorded
    assert in_new_process(REPLAY, str(path), cpus) == [decision.plan.plan_id, plan_digest(decision.plan)]


def test_a_number_without_a_point_is_the_same_number() -> None:
    problem = instance(*FEW)
    assert digest_of(replace(problem, peak_kw=40)) == digest_of(replace(problem, peak_kw=40.0))
    assert digest_of(replace(problem, peak_kw=40)) != digest_of(replace(problem, peak_kw=41))
