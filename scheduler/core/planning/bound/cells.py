"""Jobs as arrays over their cells of time, in groups of like shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.bound.problem import BoundJob, BoundProblem
from scheduler.domain.time import BoolArray, FloatArray, IntArray

# Elements of one (jobs, start, end) array: small enough to stay in the cache of a core.
GROUP_ELEMENTS = 400_000
# How far past its deadline, and how long without one, a job is priced at first; `Oracle` looks further where it must.
LATE_H = 12.0
IDLE_H = 24.0
# Spread of the cost of a GPU-hour over time against which the price of waiting is held to guess how long waiting can pay.
SPREAD_EUR_PER_GPU_H = 0.05
LONGEST_GUESS_H = 72.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A job in one of its pools, priced up to `until_h`."""

    index: int
    job: BoundJob
    pool: int
    until_h: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """Variants of like shape; v counts variants, c cells, l points (padded with the last).

    row: (v, c) row of time of each cell. length_h: (v, c). boundary_h: (v, c + 1). late: (v, c) 1 after the deadline.
    extra_kw, speed: (v, l). The rest is per variant. min_cells: cells a run lasts before it may stop. possible: (v, a, b)
    whether a run from cell a to cell b can do the work.
    """

    variants: tuple[Variant, ...]
    row: IntArray
    length_h: FloatArray
    boundary_h: FloatArray
    late: FloatArray
    extra_kw: FloatArray
    speed: FloatArray
    gpus: FloatArray
    work_h: FloatArray
    waiting: FloatArray
    lateness: FloatArray
    slowdown: FloatArray
    stop_eur: FloatArray
    redo_h: FloatArray
    pool: IntArray
    max_pauses: int
    min_cells: int
    possible: BoolArray


def slowest(job: BoundJob, pool: int) -> float:
    """Least speed at which the job may run in a pool."""
    return min(point.speed for point in job.points[pool])


def first_horizon_h(job: BoundJob, pool: int, end_h: float) -> float:
    """First guess of how late the job may still want to finish; not a limit, see `Oracle`."""
    longest = (job.work_h + job.max_pauses * job.redo_h) / slowest(job, pool)
    if job.due_h is not None and job.lateness_eur_per_h > 0.0:
        return min(end_h, max(job.due_h, job.submit_h + longest) + LATE_H)
    patience = SPREAD_EUR_PER_GPU_H * job.gpus * job.work_h / max(1e-9, job.waiting_eur_per_h)
    return min(end_h, job.submit_h + longest + IDLE_H + min(LONGEST_GUESS_H, patience))


def grouped(problem: BoundProblem, variants: Sequence[Variant]) -> list[Group]:
    """Groups of variants with the same pause rule and about as many cells."""
    longest_row_h = float(np.max(problem.row_h))

    def shape(variant: Variant) -> tuple[int, int, int]:
        job = variant.job
        cells = int(np.sum((problem.edges_h > job.submit_h) & (problem.edges_h < variant.until_h))) + 2
        return job.max_pauses, int((job.min_run_h + 1e-9) // longest_row_h), cells

    order = sorted(variants, key=lambda variant: (shape(variant), variant.index, variant.pool))
    groups: list[Group] = []
    batch: list[Variant] = []
    for variant in order:
        new = shape(variant)
        if batch and (shape(batch[0])[:2] != new[:2] or (len(batch) + 1) * (new[2] + 1) ** 2 > GROUP_ELEMENTS):
            groups.append(_group(problem, batch, *shape(batch[-1])))
            batch = []
        batch.append(variant)
    return groups + ([_group(problem, batch, *shape(batch[-1]))] if batch else [])


def _group(problem: BoundProblem, variants: list[Variant], max_pauses: int, min_cells: int, cells: int) -> Group:
    """Arrays of one group."""
    jobs = [variant.job for variant in variants]
    boundary = _boundaries(problem, jobs, cells)
    length = np.diff(boundary, axis=1)
    middle = boundary[:, :-1] + 0.5 * length
    row = np.clip(np.searchsorted(problem.edges_h, middle, side="right") - 1, 0, problem.rows - 1)
    due = np.array([np.inf if job.due_h is None else job.due_h for job in jobs])
    points = [job.points[variant.pool] for job, variant in zip(jobs, variants, strict=True)]
    width = max(len(found) for found in points)
    padded = [tuple(found) + (found[-1],) * (width - len(found)) for found in points]
    speed = np.array([[point.speed for point in found] for found in padded])
    work = np.array([job.work_h for job in jobs])
    return Group(
        variants=tuple(variants),
        row=row.astype(np.int64),
        length_h=length,
        boundary_h=boundary,
        late=(middle > due[:, None]).astype(np.float64),
        extra_kw=np.array([[point.extra_kw for point in found] for found in padded]),
        speed=speed,
        gpus=np.array([float(job.gpus) for job in jobs]),
        work_h=work,
        waiting=np.array([job.waiting_eur_per_h for job in jobs]),
        lateness=np.array([job.lateness_eur_per_h for job in jobs]),
        slowdown=np.array([job.slowdown_eur_per_h for job in jobs]),
        stop_eur=np.array([job.stop_eur for job in jobs]),
        redo_h=np.array([job.redo_h for job in jobs]),
        pool=np.array([variant.pool for variant in variants], dtype=np.int64),
        max_pauses=max_pauses,
        min_cells=min_cells,
        possible=_possible(boundary, work, speed, max_pauses),
    )


def _boundaries(problem: BoundProblem, jobs: list[BoundJob], cells: int) -> FloatArray:
    """(jobs, cells + 1) hours: submission, then row edges and the deadline in order; past the end cells have no length."""
    edges, end_h = problem.edges_h, float(problem.edges_h[-1])
    found = np.full((len(jobs), cells + 1), end_h)
    for index, job in enumerate(jobs):
        later = edges[np.searchsorted(edges, job.submit_h, side="right") :][: cells + 1]
        due = [] if job.due_h is None or not job.submit_h < job.due_h < end_h else [job.due_h]
        points = np.sort(np.concatenate([[job.submit_h], later, due]))[: cells + 1]
        found[index, : len(points)] = points
    return found


def _possible(boundary: FloatArray, work: FloatArray, speed: FloatArray, max_pauses: int) -> BoolArray:
    """(jobs, a, b): a run within cells a to b can do the work; without pauses it must not be too long either.

    The longest run starts with cell a and ends with cell b; the shortest leaves both out.
    """
    tiny_h = 1e-9
    longest = boundary[:, None, 1:] - boundary[:, :-1, None]
    possible = longest * speed.max(axis=1)[:, None, None] >= work[:, None, None] - tiny_h
    if max_pauses == 0:
        shortest = boundary[:, None, :-1] - boundary[:, 1:, None]
        possible &= shortest * speed.min(axis=1)[:, None, None] <= work[:, None, None] + tiny_h
    return np.asarray(possible)
