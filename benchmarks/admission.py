"""How long a new job waits for its decision between two cycles: `python benchmarks/admission.py [--jobs 2000] [--json FILE]`.

Two measurements. *Pricing*: `admit` on the duals of a plan of that many jobs, one new job after the other. *Gate*: a virtual
site with about that many flexible jobs is planned hour by hour, and the jobs that come between two plans pass the simulator's
gate; the first job after a plan also pays for writing the problem of the cycle.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from scheduler.core.acting.admission import admit
from scheduler.core.planning.instances import instance
from scheduler.core.planning.recount import loads_of
from scheduler.core.planning.solve import solve
from scheduler.domain.job import JobPhase
from scheduler.domain.plan import Plan
from scheduler.domain.problem import PlanJob, PlanProblem
from scheduler.domain.settings import Settings, SolveBudget
from scheduler.domain.time import FloatArray
from scheduler.simulate.generate import demo_scenario
from scheduler.simulate.planned import Planned
from scheduler.simulate.rules import ByRule
from scheduler.simulate.strategies import RunSpec, Stage, build
from scheduler.simulate.world import Clockwork, World
from scheduler.units import S_PER_DAY, S_PER_H
from scheduler.views.tables import rich_table

START_UTC = datetime(2026, 1, 12, 6, tzinfo=UTC)
MS_PER_S = 1e3
TARGET_MS = 50.0
# Flexible jobs in the virtual site per GPU, after a day: half of the GPUs busy, 2.2 GPUs a job, three quarters flexible.
FLEXIBLE_PER_GPU = 0.17
NEW_JOBS = 2000
HOURS = 4
HEADER = ("ms", "jobs planned", "new jobs", "p50", "p95", "p99", "max")
# The prices must exist; how good they are does not change what reading them takes.
QUICK = SolveBudget(bundle_steps=40, master_rounds=1, mip_nodes=0, dive_batches=20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000, help="flexible jobs in the plan")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write the numbers; - is standard output")
    given = parser.parse_args()
    rows = [*pricing(given.jobs, given.seed), *gate(given.jobs, given.seed)]
    report = {
        "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()},
        "target_ms": TARGET_MS,
        "rows": rows,
    }
    console = Console(stderr=given.json == "-")
    console.print(rich_table(HEADER, [cells(row) for row in rows], f"A new job between two cycles; wanted: {TARGET_MS:g} ms"))
    if given.json == "-":
        json.dump(report, sys.stdout, indent=1)
    elif given.json:
        Path(given.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def pricing(jobs: int, seed: int) -> list[dict[str, Any]]:
    """`admit` alone."""
    problem = instance(jobs, seed)
    plan = solve(problem, QUICK)
    free = free_now(problem, plan)
    new = newcomers(jobs, seed)
    times = [timed(partial(admit, problem, plan.duals, job, now_slot=0, free_gpus=free)) for job in new]
    return [row("pricing on the duals", len(problem.jobs), times)]


def newcomers(jobs: int, seed: int) -> list[PlanJob]:
    """Jobs of another seed that come now and are not running."""
    found: list[PlanJob] = []
    while len(found) < NEW_JOBS:
        seed += 1_000_003
        found += [job for job in instance(jobs, seed).jobs if job.running_pool is None and job.release_slot == 0]
    return [replace(job, job_id=f"{job.job_id}-new-{index}") for index, job in enumerate(found[:NEW_JOBS])]


def free_now(problem: PlanProblem, plan: Plan) -> FloatArray:
    """GPUs that the plan leaves free in its first slot, per pool."""
    held = loads_of(problem, plan.jobs).gpus[:, 0]
    free: FloatArray = np.array([pool.gpus_free[0] for pool in problem.pools]) - held
    return np.maximum(0.0, free)


def gate(jobs: int, seed: int) -> list[dict[str, Any]]:
    """The gate of a virtual site in the hour after a plan."""
    world, steering = site_after_a_day(jobs, seed)
    planned = sum(1 for job in world.cluster.jobs.values() if not job.insulated and present(job.phase, job.submit_s, world))
    times = steering.memory.admission_s
    first: list[float] = []
    rest: list[float] = []
    for _ in range(HOURS):
        before = len(times)
        world.run_until(steering, world.clock.now_s + S_PER_H)
        first += times[before : before + 1]
        rest += times[before + 1 :]
    return [row("gate, first job after a plan", planned, first), row("gate, the jobs after it", planned, rest)]


def present(phase: JobPhase, submit_s: float, world: World) -> bool:
    """Submitted and not ended."""
    return phase is not JobPhase.DONE and submit_s <= world.clock.now_s


def site_after_a_day(jobs: int, seed: int) -> tuple[World, Planned]:
    """A site on which jobs started as they came for a day; the steering has no plan yet."""
    gpus = int(round(jobs / FLEXIBLE_PER_GPU / 8) * 8)
    scenario = demo_scenario(seed, START_UTC, days=2, gpus=gpus)
    stage = Stage(
        scenario=scenario,
        settings=replace(Settings(), budget=QUICK),
        clockwork=Clockwork(),
        clock_s=time.perf_counter,
    )
    world, steering = build(RunSpec(strategy="ours"), stage)
    assert isinstance(steering, Planned)
    world.run_until(ByRule(), S_PER_DAY)
    return world, steering


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    began_s = time.perf_counter()
    call()
    return time.perf_counter() - began_s


def row(what: str, planned: int, seconds: Sequence[float]) -> dict[str, Any]:
    """Quantiles in milliseconds."""
    ms = np.asarray(seconds) * MS_PER_S
    quantiles = {f"p{int(100 * at)}_ms": float(np.quantile(ms, at)) for at in (0.5, 0.95, 0.99)} if len(ms) else {}
    return {"what": what, "jobs": planned, "new_jobs": len(ms), **quantiles, "max_ms": float(ms.max()) if len(ms) else None}


def cells(one: dict[str, Any]) -> list[str]:
    """One line of the table."""
    numbers = [one.get(key) for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms")]
    return [one["what"], f"{one['jobs']:,}", f"{one['new_jobs']:,}", *("–" if n is None else f"{n:.1f}" for n in numbers)]


if __name__ == "__main__":
    main()
