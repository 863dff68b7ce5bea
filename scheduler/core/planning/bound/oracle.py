"""Exact prices of jobs: for given prices of GPUs and draw, what each job costs at best, over every way to run it.

For one job and one pair of cells (a, b) - start somewhere in a, end somewhere in b - the least cost over all continuous start
and end times, all moving caps and all pauses is bounded from below by the concave function

    f_ab(mu) = mu w + (least reduced cost of boundary schedules between a and b),        see `paths`

of the price of work mu, and its maximum is reached by a mixture of two such schedules that does exactly the work w. The job's
value is the least of these maxima over all pairs. The search is lazy: one mu gives f_ab for all pairs at once, only the best
pair is driven to its maximum, and the mu found there lifts all other pairs; it ends when the best pair has been maximised.
What is reported is always the certified side: min over pairs of the largest f_ab evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from scheduler.core.planning.bound.cells import Group, Variant, first_horizon_h, grouped, slowest
from scheduler.core.planning.bound.paths import best_paths, cell_costs, run_costs, running_sum
from scheduler.core.planning.bound.problem import BoundProblem
from scheduler.domain.errors import Misconfigured
from scheduler.domain.time import FloatArray, IntArray

# Relative accuracy of a job's value; the reported bound is certified whatever it is.
VALUE_TOLERANCE = 1e-5
LAZY_ROUNDS = 8
KELLEY_STEPS = 40
# Largest price of work tried, EUR per GPU-hour of work: a pair of cells that needs more cannot do the work at all.
WORK_PRICE_LIMIT = 1e4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What the jobs do at given prices: one mixture of schedules per job.

    value_eur: certified least cost per job at the prices. own_eur: waiting, lateness, slowdown and stops of the mixture.
    pool: (jobs,). Job j uses gpu_h[i] GPU-hours and draw_kwh[i] of extra draw in row[i] for first[j] <= i < first[j + 1];
    nothing at all where no schedule was met, as happens at prices a thousand times too high.
    """

    value_eur: FloatArray
    own_eur: FloatArray
    pool: IntArray
    first: IntArray
    row: IntArray
    gpu_h: FloatArray
    draw_kwh: FloatArray


@dataclass(slots=True, eq=False)
class _Mixture:
    """Best mixture per variant of a group so far."""

    value: FloatArray
    own: FloatArray
    gpu_h: FloatArray
    draw_kwh: FloatArray


class Priced:
    """A group at given prices: costs of its cells, and schedules for any price of work."""

    def __init__(self, group: Group, gpu_price: FloatArray, draw_price: FloatArray) -> None:
        """Price every cell: `gpu_price` EUR/GPU-h and `draw_price` EUR/kWh are (pools, rows)."""
        self.group = group
        pool = group.pool[:, None]
        busy = gpu_price[pool, group.row] * group.gpus[:, None]
        draw = draw_price[pool, group.row]
        late = group.late * group.lateness[:, None]
        fixed = group.length_h * (busy + group.slowdown[:, None] + late)
        self.level_cost = fixed[:, :, None] + (group.length_h * draw)[:, :, None] * group.extra_kw[:, None, :]
        self.level_work = group.length_h[:, :, None] * group.speed[:, None, :]
        self.own_running = group.length_h * (group.slowdown[:, None] + late)
        self.wait_cell = group.length_h * (group.waiting[:, None] + late)
        self.waiting = running_sum(self.wait_cell)
        self.constant = -group.slowdown * group.work_h

    def all_pairs(self, who: IntArray, work_price: FloatArray) -> FloatArray:
        """f_ab at one price of work per variant, (who, a, b); impossible pairs are infinite."""
        group = self.group
        reduced = (self.level_cost[who] - work_price[:, None, None] * self.level_work[who]).min(axis=2)
        gain = running_sum(reduced - self.wait_cell[who])
        stop = group.stop_eur[who] + work_price * group.redo_h[who]
        costs = cell_costs(run_costs(self.waiting[who], gain, stop, group.max_pauses, group.min_cells))
        costs += (work_price * group.work_h[who] + self.constant[who])[:, None, None]
        costs[~group.possible[who]] = np.inf
        return costs

    def schedule(self, who: IntArray, cells: tuple[IntArray, IntArray], work_price: FloatArray) -> tuple[FloatArray, ...]:
        """Best boundary schedule of one pair per variant.

        Returns:
            f_ab; its slope (work missing); own cost; GPU-hours and kWh of extra draw per cell.
        """
        group = self.group
        options = self.level_cost[who] - work_price[:, None, None] * self.level_work[who]
        level = options.argmin(axis=2)
        reduced = np.take_along_axis(options, level[:, :, None], axis=2)[:, :, 0]
        gain = running_sum(reduced - self.wait_cell[who])
        stop = group.stop_eur[who] + work_price * group.redo_h[who]
        found = best_paths(self.waiting[who], gain, stop, cells, group.max_pauses, group.min_cells)
        work = np.take_along_axis(self.level_work[who], level[:, :, None], axis=2)[:, :, 0]
        value = found.cost + work_price * group.work_h[who] + self.constant[who]
        slope = group.work_h[who] + group.redo_h[who] * found.stops - np.sum(found.runs * work, axis=1)
        idle = (np.arange(level.shape[1])[None, :] < found.end[:, None]) & ~found.runs
        own = np.sum(np.where(found.runs, self.own_running[who], 0.0) + np.where(idle, self.wait_cell[who], 0.0), axis=1)
        own += group.stop_eur[who] * found.stops + self.constant[who]
        hours = found.runs * group.length_h[who]
        extra = np.take_along_axis(group.extra_kw[who], level, axis=1)
        return value, slope, own, hours * group.gpus[who][:, None], hours * extra


def maximise(priced: Priced, who: IntArray, cells: tuple[IntArray, IntArray], start: FloatArray) -> tuple[FloatArray, _Mixture]:
    """Largest f_ab over the price of work, one pair per variant, and the mixture of two schedules that attains it.

    Two tangents, one of a schedule that does too little work and one of a schedule that does too much, meet at the next price
    to try; the search ends when f touches their meeting point. f is piecewise linear, so it ends after finitely many steps.

    Returns:
        The price of work, and the mixture (value infinite where the pair cannot do the work).
    """
    group = priced.group
    limit = WORK_PRICE_LIMIT * group.gpus[who]
    low, high = _bracket(priced, who, cells, start, limit)
    price, open_ = np.array(start), np.ones(len(who), dtype=bool)
    possible = (low[1] >= 0.0) & (high[1] <= 0.0)
    open_ &= possible
    for _ in range(KELLEY_STEPS):
        gap = np.maximum(low[1] - high[1], 1e-300)
        meet = (high[0] - low[0] + low[1] * low[5] - high[1] * high[5]) / gap
        meet = np.where(low[1] - high[1] > 1e-12, np.clip(meet, low[5], high[5]), 0.5 * (low[5] + high[5]))
        price = np.where(open_, meet, price)
        index = np.flatnonzero(open_)
        if not len(index):
            break
        tried = priced.schedule(who[index], (cells[0][index], cells[1][index]), price[index])
        line = low[0][index] + low[1][index] * (price[index] - low[5][index])
        touching = tried[0] >= line - 1e-9 * (1.0 + np.abs(line))
        open_[index[touching]] = False
        for side, mine in ((low, ~touching & (tried[1] >= 0.0)), (high, ~touching & (tried[1] <= 0.0))):
            for store, value in zip(side, (*tried, price[index]), strict=True):
                store[index[mine]] = value[mine]
    price = np.where(possible, price, np.where(low[1] < 0.0, low[5], high[5]))
    return price, _mixed(low, high, price, possible)


def _bracket(
    priced: Priced, who: IntArray, cells: tuple[IntArray, IntArray], start: FloatArray, limit: FloatArray
) -> tuple[list[FloatArray], list[FloatArray]]:
    """Schedules with too little and with too much work around the maximum, by widening steps from `start`.

    A side is [value, slope, own, gpu_h, draw_kwh, price]; a pair that cannot do the work keeps the wrong slope at the limit.
    """
    first = priced.schedule(who, cells, start)
    low, high = [[np.array(part) for part in (*first, start)] for _ in range(2)]
    step = 0.02 * priced.group.gpus[who]
    while True:
        need_low = (low[1] < 0.0) & (low[5] > -limit)
        need_high = (high[1] > 0.0) & (high[5] < limit)
        if not (need_low.any() or need_high.any()):
            return low, high
        for side, need, sign in ((low, need_low, -1.0), (high, need_high, 1.0)):
            index = np.flatnonzero(need)
            if len(index):
                price = np.clip(side[5][index] + sign * step[index], -limit[index], limit[index])
                tried = priced.schedule(who[index], (cells[0][index], cells[1][index]), price)
                for store, value in zip(side, (*tried, price), strict=True):
                    store[index] = value
        step = step * 4.0


def _mixed(low: list[FloatArray], high: list[FloatArray], price: FloatArray, possible: np.ndarray) -> _Mixture:
    """The mixture of both sides with exactly the work asked for: its share of `low` makes the slopes cancel."""
    gap = low[1] - high[1]
    share = np.where(gap > 1e-12, -high[1] / np.maximum(gap, 1e-300), 0.5)
    value = share * (low[0] + low[1] * (price - low[5])) + (1.0 - share) * (high[0] + high[1] * (price - high[5]))
    return _Mixture(
        value=np.where(possible, value, np.inf),
        own=share * low[2] + (1.0 - share) * high[2],
        gpu_h=share[:, None] * low[3] + (1.0 - share)[:, None] * high[3],
        draw_kwh=share[:, None] * low[4] + (1.0 - share)[:, None] * high[4],
    )


def price_group(priced: Priced, work_price: FloatArray) -> tuple[FloatArray, _Mixture]:
    """Certified value per variant and the mixture that (nearly) attains it; `work_price` is the warm start and is updated."""
    group = priced.group
    count, cells = group.length_h.shape
    certified = np.full(count, -np.inf)
    best = _Mixture(
        value=np.full(count, np.inf), own=np.zeros(count), gpu_h=np.zeros((count, cells)), draw_kwh=np.zeros((count, cells))
    )
    who, tried = np.arange(count), np.array(work_price)
    floor = np.full((count, cells, cells), -np.inf)
    for _ in range(LAZY_ROUNDS):
        if not len(who):
            break
        floor = np.maximum(floor, priced.all_pairs(who, tried[who]))
        flat = floor.reshape(len(who), -1)
        pair = flat.argmin(axis=1)
        certified[who] = np.minimum(flat[np.arange(len(who)), pair], best.value[who])
        open_ = np.isfinite(certified[who])  # infinite: the variant cannot do its work inside the window
        sure = np.where(open_, certified[who], 0.0)
        open_ &= best.value[who] - sure > VALUE_TOLERANCE * (1e-3 + np.abs(sure))
        who, floor, pair = who[open_], floor[open_], pair[open_]
        if not len(who):
            break
        first, last = np.divmod(pair, cells)
        tried[who], mixture = maximise(priced, who, (first, last), work_price[who])
        better = mixture.value < best.value[who]
        work_price[who[better]] = tried[who[better]]
        for name in ("value", "own", "gpu_h", "draw_kwh"):
            getattr(best, name)[who[better]] = getattr(mixture, name)[better]
    return certified, best


class Oracle:
    """Prices all jobs; remembers prices of work and how far ahead each job must be looked at."""

    def __init__(self, problem: BoundProblem) -> None:
        """Group the jobs.

        Raises:
            Misconfigured: when a job fits no pool.
        """
        self.problem = problem
        end_h = float(problem.edges_h[-1])
        self._variants = [
            Variant(index=index, job=job, pool=pool, until_h=first_horizon_h(job, pool, end_h))
            for index, job in enumerate(problem.jobs)
            for pool in sorted(job.points)
            if job.gpus <= problem.pools[pool].gpus
        ]
        placed = {variant.index for variant in self._variants}
        for index, job in enumerate(problem.jobs):
            if index not in placed:
                raise Misconfigured(f"job {job.job_id} fits no pool", where="bound", expected="jobs no larger than their pool")
        self._regroup({})

    def _regroup(self, prices: dict[tuple[int, int], float]) -> None:
        """(Re)build the groups, keeping the prices of work found so far."""
        self._groups = grouped(self.problem, self._variants)
        self._work_price = [
            np.array([prices.get((v.index, v.pool), 0.1 * v.job.gpus) for v in group.variants]) for group in self._groups
        ]

    def __call__(self, gpu_price: FloatArray, draw_price: FloatArray) -> Answer:
        """Price all jobs at EUR/GPU-h and EUR/kWh of extra draw, (pools, rows) each."""
        while True:
            parts = [
                price_group(Priced(group, gpu_price, draw_price), warm)
                for group, warm in zip(self._groups, self._work_price, strict=True)
            ]
            if not self._look_further(gpu_price, draw_price, parts):
                return self._answer(parts)

    def priced(self, gpu_price: FloatArray, draw_price: FloatArray) -> Iterator[tuple[Priced, FloatArray]]:
        """Every group at prices, with the prices of work that its last call found."""
        for group, work_price in zip(self._groups, self._work_price, strict=True):
            yield Priced(group, gpu_price, draw_price), work_price

    def _look_further(self, gpu_price: FloatArray, draw_price: FloatArray, parts: list[tuple[FloatArray, _Mixture]]) -> bool:
        """Double the horizon of every job that might do better by finishing later; True when there was one.

        Finishing after H costs at least (least cost of an hour of work anywhere) x work + waiting and lateness until H.
        """
        end_h = float(self.problem.edges_h[-1])
        short: dict[tuple[int, int], float] = {}
        for group, (certified, _) in zip(self._groups, parts, strict=True):
            for number, variant in enumerate(group.variants):
                seen_h = float(group.boundary_h[number, -1])
                if seen_h < end_h and later_cost_eur(self.problem, variant, seen_h, gpu_price, draw_price) < certified[number]:
                    short[variant.index, variant.pool] = variant.job.submit_h + 2.0 * (seen_h - variant.job.submit_h)
        if not short:
            return False
        known = {
            (variant.index, variant.pool): float(price)
            for group, prices in zip(self._groups, self._work_price, strict=True)
            for variant, price in zip(group.variants, prices, strict=True)
        }
        self._variants = [replace(v, until_h=short.get((v.index, v.pool), v.until_h)) for v in self._variants]
        self._regroup(known)
        return True

    def _answer(self, parts: list[tuple[FloatArray, _Mixture]]) -> Answer:
        """The best pool of each job, spread over the rows of time."""
        count = len(self.problem.jobs)
        value, own, pool = np.full(count, np.inf), np.zeros(count), np.full(count, -1, dtype=np.int64)
        for group, (certified, mixture) in zip(self._groups, parts, strict=True):
            for number, variant in enumerate(group.variants):
                if certified[number] < value[variant.index]:
                    index = variant.index
                    value[index], own[index], pool[index] = certified[number], mixture.own[number], variant.pool
        for missing in np.flatnonzero(pool < 0).tolist():
            name = self.problem.jobs[missing].job_id
            raise Misconfigured(f"job {name} cannot end inside the window", where="bound", expected="a later end of the window")
        first, row, gpu_h, draw_kwh = self._uses(parts, pool)
        return Answer(value_eur=value, own_eur=own, pool=pool, first=first, row=row, gpu_h=gpu_h, draw_kwh=draw_kwh)

    def _uses(
        self, parts: list[tuple[FloatArray, _Mixture]], pool: IntArray
    ) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
        """Where each job uses what, in the pool it chose: cells of one row (before and after a deadline) are added up."""
        found: list[tuple[IntArray, FloatArray, FloatArray]] = []
        rows = self.problem.rows
        for group, (_, mixture) in zip(self._groups, parts, strict=True):
            index = np.array([variant.index for variant in group.variants])
            used = (mixture.gpu_h > 0.0) & (group.pool == pool[index])[:, None]
            where = (index[:, None] * rows + group.row)[used]
            found.append((where, mixture.gpu_h[used], mixture.draw_kwh[used]))
        if not found:
            return np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0)
        key: IntArray = np.concatenate([part[0] for part in found])
        gpu_h, draw_kwh = (np.concatenate([part[which] for part in found]) for which in (1, 2))
        unique, place = np.unique(key, return_inverse=True)
        first = np.searchsorted(unique, np.arange(len(pool) + 1) * rows).astype(np.int64)
        gpu_sum, draw_sum = (np.bincount(place, weights=each).astype(np.float64) for each in (gpu_h, draw_kwh))
        return first, np.asarray(unique % rows, dtype=np.int64), gpu_sum, draw_sum


def later_cost_eur(
    problem: BoundProblem, variant: Variant, seen_h: float, gpu_price: FloatArray, draw_price: FloatArray
) -> float:
    """Least that a job can cost when it ends after `seen_h`: a lower bound, EUR."""
    job, pool = variant.job, variant.pool
    ahead = problem.edges_h[1:] > job.submit_h
    rate = [
        (job.gpus * gpu_price[pool, ahead] + point.extra_kw * draw_price[pool, ahead] + job.slowdown_eur_per_h) / point.speed
        for point in job.points[pool]
    ]
    cheapest = float(np.min(rate))
    most_work_h = job.work_h + job.max_pauses * job.redo_h
    running = cheapest * (job.work_h if cheapest >= 0.0 else most_work_h) - job.slowdown_eur_per_h * job.work_h
    idle_h = max(0.0, seen_h - job.submit_h - most_work_h / slowest(job, pool))
    late_h = 0.0 if job.due_h is None else max(0.0, seen_h - max(job.due_h, job.submit_h))
    return running + job.waiting_eur_per_h * idle_h + job.lateness_eur_per_h * late_h
