"""Runs that a job can really make, one by one, near the best at some prices: the bound's schedules made whole.

The oracle's answer is a mixture of two boundary schedules that together do the work (`oracle`). Each of them alone does a
little too much or too little. Here a boundary schedule is walked through in time until the work is done: it ends inside a cell,
goes on past its planned end where work is missing, and stops only where its class allows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.bound.cells import Group
from scheduler.core.planning.bound.oracle import Priced, maximise
from scheduler.core.planning.bound.problem import BoundProblem
from scheduler.domain.time import BoolArray, FloatArray, IntArray

# Start cells tried per job, and factors on the price of work: a higher price does more work in fewer, dearer hours.
STARTS = 6
WORK_PRICE_SHIFTS = (-0.1, -0.02, -1e-6, 1e-6, 0.02, 0.1)
RANKING_SHIFTS = (-0.5, -0.1, 0.0, 0.1, 0.5)
# Runs kept per job and price, the cheapest first; prices of work are compared on this scale, EUR per GPU-hour.
KEPT = 6
WORK_PRICE_SCALE = 0.02
DONE_H = 1e-9

Name = tuple[int, bytes]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WholeRun:
    """One way to run one job from its first start to its end.

    own_eur: waiting, lateness, slowdown and stops. Piece i begins at begin_h[i], lasts hours[i] in row[i] at level[i] of the
    job's points and draws extra_kw[i]; between pieces that do not touch the job is stopped.
    """

    job: int
    pool: int
    gpus: int
    own_eur: float
    begin_h: FloatArray
    hours: FloatArray
    row: IntArray
    level: IntArray
    extra_kw: FloatArray

    @property
    def key(self) -> bytes:
        """What makes two runs of a job the same."""
        return np.round(np.concatenate([[self.pool], self.begin_h, self.hours, self.level]), 6).tobytes()

    @property
    def name(self) -> Name:
        """What makes two runs the same."""
        return self.job, self.key

    @property
    def rows_held(self) -> IntArray:
        """Rows in which it holds its GPUs at some time."""
        return np.unique(self.row)

    @property
    def draw_kwh(self) -> FloatArray:
        """Extra draw in each of `rows_held`."""
        kwh = self.extra_kw * self.hours
        return np.bincount(np.unique(self.row, return_inverse=True)[1], weights=kwh).astype(np.float64)

    def steady_kw(self, row_h: FloatArray) -> FloatArray:
        """Least extra draw in each of `rows_held`, whose lengths are `row_h`: none where the run does not fill the row."""
        held, where = np.unique(self.row, return_inverse=True)
        least = np.full(len(held), np.inf)
        np.minimum.at(least, where, self.extra_kw)
        full = np.bincount(where, weights=self.hours) >= row_h[held] - DONE_H
        return np.asarray(np.where(full, least, 0.0))


def straight_runs(problem: BoundProblem, index: int) -> Iterator[WholeRun]:
    """How a job that nobody may hold runs in each of its pools: from its submission to its end, uncapped.

    Nothing for a pool in which it does not end inside the window.
    """
    job, edges = problem.jobs[index], problem.edges_h
    for pool, points in job.points.items():
        end_h = job.submit_h + job.work_h / points[0].speed
        if job.gpus > problem.pools[pool].gpus or end_h > edges[-1] + DONE_H:
            continue
        first = int(np.searchsorted(edges, job.submit_h, side="right")) - 1
        last = int(np.searchsorted(edges, end_h - DONE_H, side="left"))
        at_h = np.clip(edges[first : last + 1], job.submit_h, end_h)
        late_h = 0.0 if job.due_h is None else max(0.0, end_h - max(job.due_h, job.submit_h))
        yield WholeRun(
            job=index,
            pool=pool,
            gpus=job.gpus,
            own_eur=job.slowdown_eur_per_h * (end_h - job.submit_h - job.work_h) + job.lateness_eur_per_h * late_h,
            begin_h=at_h[:-1],
            hours=np.diff(at_h),
            row=np.arange(first, last),
            level=np.zeros(last - first, dtype=np.int64),
            extra_kw=np.full(last - first, points[0].extra_kw),
        )


class _March:
    """Boundary schedules of a group on their way through time, all at once; one entry per schedule."""

    def __init__(self, group: Group, who: IntArray, runs: BoolArray, level: IntArray) -> None:
        """Start before the first cell: `who` are variants, `runs` and `level` say what each wants in each cell."""
        self.group, self.who, self.runs = group, who, runs
        count, cells = runs.shape
        self.length_h = group.length_h[who]
        self.speed = np.take_along_axis(group.speed[who], level, axis=1)
        self.last = cells - 1 - np.argmax(runs[:, ::-1], axis=1)
        self.least_run_h = np.array([variant.job.min_run_h for variant in group.variants])[who]
        self.left_h = group.work_h[who].copy()
        self.own_eur = -group.slowdown[who] * group.work_h[who]
        self.run_h = np.zeros(count)
        self.stops = np.zeros(count, dtype=np.int64)
        self.running, self.started, self.done = (np.zeros(count, dtype=bool) for _ in range(3))
        self.used_h = np.zeros((count, cells))

    def through(self) -> FloatArray:
        """Hours used in each cell; `own_eur` is infinite where the work is not done in the end."""
        for cell in range(self.runs.shape[1]):
            self._step(cell)
        self.own_eur = np.where(self.done, self.own_eur, np.inf)
        return self.used_h

    def _step(self, cell: int) -> None:
        """Run or wait through one cell."""
        group, who = self.group, self.who
        length, open_ = self.length_h[:, cell], ~self.done & (self.length_h[:, cell] > 0.0)
        too_soon = (self.run_h < self.least_run_h - DONE_H) | (self.stops >= group.max_pauses)
        wants = self.runs[:, cell] | ((cell > self.last) & self.started) | (self.running & too_soon)
        wants &= open_
        stop = self.running & ~wants & open_
        self.stops += stop
        self.left_h += np.where(stop, group.redo_h[who], 0.0)
        self.own_eur += np.where(stop, group.stop_eur[who], 0.0)
        self.run_h[stop] = 0.0
        self.started |= wants
        used = np.where(wants, np.minimum(length, self.left_h / self.speed[:, cell]), 0.0)
        self.left_h -= used * self.speed[:, cell]
        late_eur = group.late[who, cell] * group.lateness[who]
        self.own_eur += used * (group.slowdown[who] + late_eur)
        self.own_eur += np.where(open_ & ~wants, length * (group.waiting[who] + late_eur), 0.0)
        self.run_h += used
        self.used_h[:, cell] = used
        self.done |= wants & (self.left_h <= DONE_H)
        self.running = np.where(open_, wants, self.running) & ~self.done


def whole_runs(priced: Priced, work_price: FloatArray) -> Iterator[WholeRun]:
    """Runs of every variant of a group, the cheapest at the prices first, at most KEPT of each.

    Args:
        priced: the group at prices.
        work_price: (variants,) prices of work at which the oracle found each job's value, EUR per hour of work.
    """
    group = priced.group
    who, cells, price = _tries(priced, work_price)
    gpu_h = priced.schedule(who, cells, price)[3]
    level = (priced.level_cost[who] - price[:, None, None] * priced.level_work[who]).argmin(axis=2)
    which, runs = _trimmed(priced, who, gpu_h > 0.0, level)
    who, level = who[which], level[which]
    march = _March(group, who, runs, level)
    used_h = march.through()
    at_level = np.take_along_axis(priced.level_cost[who], level[:, :, None], axis=2)[:, :, 0] - priced.own_running[who]
    share = used_h / np.where(group.length_h[who] > 0.0, group.length_h[who], 1.0)
    total_eur = march.own_eur + np.sum(at_level * share, axis=1)
    order = np.lexsort((total_eur, who))
    first = np.searchsorted(who[order], np.arange(len(group.variants) + 1))
    for variant in range(len(group.variants)):
        seen: set[bytes] = set()
        for index in order[first[variant] : first[variant + 1]]:
            if len(seen) >= KEPT or not np.isfinite(total_eur[index]):
                break
            run = _written(group, variant, float(march.own_eur[index]), used_h[index], level[index])
            if run.key not in seen:
                seen.add(run.key)
                yield run


def _tries(priced: Priced, work_price: FloatArray) -> tuple[IntArray, tuple[IntArray, IntArray], FloatArray]:
    """Variant, pair of cells and price of work of everything tried: the best end of the best starts, around the price.

    At one price of work a pair that can hardly do the work looks as cheap as the best one; the largest of its values at several
    prices tells them apart.
    """
    group = priced.group
    count = len(group.variants)
    scale = np.maximum(np.abs(work_price), WORK_PRICE_SCALE * group.gpus)
    costs = np.maximum.reduce([priced.all_pairs(np.arange(count), work_price + shift * scale) for shift in RANKING_SHIFTS])
    last, least = costs.argmin(axis=2), costs.min(axis=2)
    start = np.argsort(least, axis=1, kind="stable")[:, :STARTS]
    finite = np.isfinite(np.take_along_axis(least, start, axis=1))
    who, rank = np.nonzero(finite)
    first = start[who, rank]
    # A start away from the best one has its own price of work, at which its schedules do neither too much nor too little.
    own_price, _ = maximise(priced, who, (first, last[who, first]), work_price[who])
    shifts = np.array(WORK_PRICE_SHIFTS)
    step = scale[who]
    around = np.stack([work_price[who], own_price], axis=1)
    price = (around[:, :, None] + step[:, None, None] * shifts).ravel()
    who, first = np.repeat(who, 2 * len(shifts)), np.repeat(first, 2 * len(shifts))
    return who, (first, last[who, first]), price


def _trimmed(priced: Priced, who: IntArray, runs: BoolArray, level: IntArray) -> tuple[IntArray, BoolArray]:
    """The schedules as they are, and those that do too much work with cells taken off either end of one of their stretches.

    What the bound mixes is often a schedule with a stretch in the middle and the same without it; a run that does just its
    work has a part of that stretch, and does not end earlier, where hours may be the cheapest.

    Returns:
        For each schedule the one that it came from, and the cells in which it runs.
    """
    group = priced.group
    work_h = np.take_along_axis(priced.level_work[who], level[:, :, None], axis=2)[:, :, 0] * runs
    begins = runs & ~np.concatenate([np.zeros((len(runs), 1), dtype=bool), runs[:, :-1]], axis=1)
    stretch = np.cumsum(begins, axis=1)
    surplus_h = work_h.sum(axis=1) - group.work_h[who] - group.redo_h[who] * np.maximum(0, stretch[:, -1] - 1)
    found = [(np.arange(len(who)), runs)]
    for number in range(1, group.max_pauses + 2):
        inside = runs & (stretch == number)
        here_h = np.where(inside, work_h, 0.0)
        for from_start_h in (np.cumsum(here_h, axis=1), np.cumsum(here_h[:, ::-1], axis=1)[:, ::-1]):
            taken = inside & (from_start_h <= surplus_h[:, None] + DONE_H)
            some = np.flatnonzero(taken.any(axis=1))
            found.append((some, (runs & ~taken)[some]))
    return np.concatenate([one for one, _ in found]), np.concatenate([kept for _, kept in found])


def _written(group: Group, variant: int, own_eur: float, used_h: FloatArray, level: IntArray) -> WholeRun:
    """One run as pieces."""
    cell = np.flatnonzero(used_h > 0.0)
    shape = group.variants[variant]
    return WholeRun(
        job=shape.index,
        pool=shape.pool,
        gpus=shape.job.gpus,
        own_eur=own_eur,
        begin_h=group.boundary_h[variant, cell],
        hours=used_h[cell],
        row=group.row[variant, cell],
        level=level[cell],
        extra_kw=group.extra_kw[variant, level[cell]],
    )
