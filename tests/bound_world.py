"""Tiny windows for tests of the bound, and their exact optimum by writing every schedule out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from scheduler.core.planning.bound.lp import LinearProgram, solved
from scheduler.core.planning.bound.plant import add_plant
from scheduler.core.planning.bound.problem import BoundJob, BoundOfftake, BoundPlug, BoundPool, BoundProblem, RunPoint
from scheduler.domain.time import FloatArray

# What a solver may be wrong by.
SOLVER_EUR = 1e-6
FULL = (RunPoint(extra_kw=4.0, speed=1.0),)


def tiny_job(name: str = "a", **shape: object) -> BoundJob:
    """Four GPUs that draw 4 kW more than idle for two hours, waiting at 0.01 EUR/h."""
    stated: dict[str, object] = {
        "job_id": name,
        "gpus": 4,
        "submit_h": 0.0,
        "work_h": 2.0,
        "due_h": None,
        "points": {0: FULL},
        "waiting_eur_per_h": 0.01,
        "lateness_eur_per_h": 0.0,
        "slowdown_eur_per_h": 0.0,
    }
    return BoundJob(**(stated | shape))  # type: ignore[arg-type]  # a test writes any field of the job


def tiny_window(
    price: FloatArray, jobs: tuple[BoundJob, ...], *, gpus: int = 8, heat_eur_per_kwh: float = 0.0, start_eur: float = 0.0
) -> BoundProblem:
    """Hourly rows, one pool, a heat pump of COP 5 and 8 kW, no tank, base load of 1 kW; a customer that takes 6 kW."""
    rows = len(price)
    plug = BoundPlug(
        plug_id="plug", rated_heat_kw=np.full(rows, 8.0), cop=5.0, min_load_fraction=0.25, start_cost_eur=start_eur
    )
    pool = BoundPool(
        pool_id="pool",
        plug=0,
        gpus=gpus,
        base_it_kw=1.0,
        base_captured_kw=0.5,
        it_kw_per_draw_kw=1.0,
        captured_kw_per_draw_kw=0.9,
        max_extra_kw_per_gpu=1.0,
    )
    town = BoundOfftake(
        offtake_id="town", plug=0, demand_kw=np.full(rows, 6.0), price_eur_per_kwh=np.full(rows, heat_eur_per_kwh)
    )
    return BoundProblem(
        edges_h=np.arange(rows + 1.0),
        price_eur_per_kwh=price,
        overhead_fraction=0.0,
        pools=(pool,),
        plugs=(plug,),
        offtakes=(town,),
        jobs=jobs,
    )


def schedules(problem: BoundProblem, job: BoundJob) -> Iterator[tuple[float, FloatArray, FloatArray]]:
    """Every schedule of whole rows without pauses: own cost in EUR, GPUs and kW of extra draw per row.

    The last row may be used in part: the draw is then its mean, while the GPUs are held for the whole row.
    """
    rows = problem.rows
    for start in range(int(np.ceil(job.submit_h)), rows):
        for length in range(1, rows - start + 1):
            for chosen in product(job.points[0], repeat=length):
                speed = np.array([point.speed for point in chosen])
                done_before = float(speed[:-1].sum())
                missing = job.work_h - done_before
                if not 0.0 < missing <= speed[-1] + 1e-12:
                    continue
                hours = np.ones(length)
                hours[-1] = missing / speed[-1]
                gpus, draw = np.zeros(rows), np.zeros(rows)
                gpus[start : start + length] = job.gpus
                draw[start : start + length] = hours * np.array([point.extra_kw for point in chosen])
                end_h = start + float(hours.sum())
                late_h = 0.0 if job.due_h is None else max(0.0, end_h - max(job.due_h, job.submit_h))
                slower_h = float(hours.sum()) - job.work_h
                own = job.waiting_eur_per_h * (start - job.submit_h) + job.lateness_eur_per_h * late_h
                yield own + job.slowdown_eur_per_h * slower_h, gpus, draw


def brute_optimum_eur(problem: BoundProblem) -> float:
    """Least cost over every combination of `schedules`, each with its best plant, pump states whole.

    A pump that may be half on costs no more than one that may not, and takes a tenth of the time: combinations come from the
    cheapest on by this measure, and once it exceeds the best that was met nothing better can follow.
    """
    relaxed, capacity = Plant(problem, whole=False), problem.pools[0].gpus
    fitting: list[tuple[float, float, FloatArray, FloatArray]] = []
    for combination in product(*(list(schedules(problem, job)) for job in problem.jobs)):
        gpus = np.sum([one[1] for one in combination], axis=0)
        if np.any(gpus > capacity):
            continue
        own, draw_kw = sum(one[0] for one in combination), np.sum([one[2] for one in combination], axis=0)
        fitting.append((own + relaxed.optimum_eur(gpus, draw_kw), own, gpus, draw_kw))
    best = np.inf
    for least, own, gpus, draw_kw in sorted(fitting, key=lambda one: one[0]):
        if least > best + SOLVER_EUR:
            break
        best = min(best, own + Plant(problem, whole=True).optimum_eur(gpus, draw_kw))
    return float(best)


class Plant:
    """The plant alone, for any draw: built once, asked often."""

    def __init__(self, problem: BoundProblem, *, whole: bool) -> None:
        """Pump states are whole, or anything from off to on."""
        program = LinearProgram()
        self.columns = add_plant(program, problem)
        states = np.zeros(program.columns, dtype=bool)
        states[self.columns.pump] = True
        self.solver = program.build(states if whole else None)

    def optimum_eur(self, gpus: FloatArray, draw_kw: FloatArray) -> float:
        """Least cost for given GPUs and draw."""
        for index, values in ((self.columns.gpus[0], gpus), (self.columns.draw[0], draw_kw)):
            self.solver.changeColsBounds(len(index), index.astype(np.int32), values, values)
        assert solved(self.solver)
        return float(self.solver.getInfo().objective_function_value) + self.columns.fixed_eur
