"""Cheapest run of every job at given prices: all starts, pools and a grid of cap profiles, vectorised over (job, start) pairs.

    cost = g (A[i] - A[t] + phi a[i]) + g (held[i + 1] - held[t]) + slowdown (i - t + phi) + lateness(i + phi) + fixed

for a run from slot t whose last slot i is used to the fraction phi; A, held are running sums of `profiles`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.aggregate import Prices
from scheduler.core.planning.frame import Frame, frame_of
from scheduler.core.planning.options import JobTable, Pairs, Runs, draw_table_kw, job_table, pairs_of, runs_of
from scheduler.core.planning.profiles import GRID, Lanes, Profiles, lanes_of, profiles_at
from scheduler.domain.problem import PlanProblem
from scheduler.domain.time import FloatArray, IntArray

CHUNK = 16384
EPSILON = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Priced:
    """Best of every pair: cost in EUR, pool and multiplier index; `profiles` they refer to."""

    profiles: Profiles
    pairs: Pairs
    cost: FloatArray
    pool: IntArray
    multiplier: IntArray


class Oracle:
    """Prices runs of one problem; everything that does not depend on prices is prepared once."""

    def __init__(self, problem: PlanProblem, frame: Frame | None = None) -> None:
        """Write jobs, pairs and lanes of a problem."""
        self.problem = problem
        self.frame = frame_of(problem) if frame is None else frame
        self.table: JobTable = job_table(problem, self.frame)
        self.pairs: Pairs = pairs_of(self.table, self.frame)
        draw_kw, speed = draw_table_kw(problem, self.table)
        longest = float(self.table.resumed_work.max()) if self.table.count else 1.0
        self.lanes: Lanes = lanes_of(problem, self.frame, draw_kw, speed, longest)

    def profiles(self, prices: Prices, grid: int = GRID) -> Profiles:
        """Cap profiles at prices per step."""
        spread = self.frame.spread
        return self.profiles_of(spread(prices.gpu_eur_per_gpu_h), spread(prices.draw_eur_per_kwh), grid)

    def profiles_of(self, gpu_eur_per_gpu_h: FloatArray, draw_eur_per_kwh: FloatArray, grid: int = GRID) -> Profiles:
        """Cap profiles at prices per pool and slot."""
        return profiles_at(self.lanes, gpu_eur_per_gpu_h, draw_eur_per_kwh, grid)

    def runs(self, pair: IntArray | slice, pairs: Pairs | None = None) -> Runs:
        """Runs of some pairs."""
        pairs = self.pairs if pairs is None else pairs
        return runs_of(self.table, pairs.job[pair], pairs.start[pair], pairs.work[pair])

    def price(self, profiles: Profiles, pairs: Pairs | None = None) -> Priced:
        """Best pool and profile of every pair."""
        pairs = self.pairs if pairs is None else pairs
        cost = np.full(len(pairs.job), np.inf)
        pool = np.zeros(len(pairs.job), dtype=np.int64)
        multiplier = np.zeros(len(pairs.job), dtype=np.int64)
        for part in _chunks(len(pairs.job)):
            self._price_chunk(profiles, pairs, part, (cost[part], pool[part], multiplier[part]))
        return Priced(profiles=profiles, pairs=pairs, cost=cost, pool=pool, multiplier=multiplier)

    def _price_chunk(self, profiles: Profiles, pairs: Pairs, part: slice, best: tuple[FloatArray, IntArray, IntArray]) -> None:
        """Fill the best of a chunk, pool by pool."""
        cost, best_pool, best_multiplier = best
        runs = self.runs(part, pairs)
        for pool in range(self.lanes.pools):
            fits = self.table.eligible[runs.job, pool]
            if not fits.any():
                continue
            total, multiplier = self.price_on(profiles, runs, pool)
            total += pairs.fixed_eur[part]
            better = fits & (total < cost)
            cost[better] = total[better]
            best_pool[better] = pool
            best_multiplier[better] = multiplier[better]

    def price_on(self, profiles: Profiles, runs: Runs, pool: int) -> tuple[FloatArray, IntArray]:
        """Best multiplier of runs on one pool: cost without the fixed part of their pairs, multiplier."""
        late = bool(np.isfinite(runs.due).any())
        cost = np.full(len(runs.job), np.inf)
        found = np.zeros(len(runs.job), dtype=np.int64)
        for multiplier in range(profiles.grid):
            total = self._cost(profiles, runs, pool, self.rides(profiles, runs, pool, multiplier), late)
            better = total < cost
            cost[better] = total[better]
            found[better] = multiplier
        return cost, found

    def price_near(
        self, profiles: Profiles, runs: Runs, pool: int, around: tuple[IntArray, int]
    ) -> tuple[FloatArray, IntArray]:
        """Like `price_on`, but every run looks only at the multipliers around its own: (centres, how far to either side)."""
        centre, reach = around
        cost = np.full(len(runs.job), np.inf)
        found = centre.copy()
        for move in range(-reach, reach + 1):
            multiplier = np.clip(centre + move, 0, profiles.grid - 1)
            total = self._cost(profiles, runs, pool, self.rides(profiles, runs, pool, multiplier))
            better = total < cost
            cost[better] = total[better]
            found[better] = multiplier[better]
        return cost, found

    def cost_of(self, profiles: Profiles, runs: Runs, pool: IntArray, multiplier: IntArray) -> FloatArray:
        """Cost in EUR of runs, each with its pool and multiplier, without the fixed part of their pairs."""
        return self._cost(profiles, runs, pool, self.rides(profiles, runs, pool, multiplier))

    def rides(
        self, profiles: Profiles, runs: Runs, pool: int | IntArray, multiplier: int | IntArray
    ) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
        """Follow profiles from `start` until `work` is done: (row, start, last slot, fraction of the last slot)."""
        pick = runs.kind * self.lanes.pools
        pick += pool
        pick *= profiles.grid
        pick += multiplier
        row = pick * profiles.stride
        target = profiles.work[row + runs.start]
        target += runs.work
        least = target - EPSILON
        # Both are positive, where to cut off the fraction is to round down.
        pick *= profiles.search_stride
        pick += (least / profiles.bin_slots).astype(np.int64)
        at = profiles.search[pick]
        at += row
        at += profiles.work[at + 1] < least
        fraction = target - profiles.work[at]
        fraction /= profiles.slot_work[at]
        np.clip(fraction, EPSILON, 1.0, out=fraction)
        at -= row
        return row, runs.start, at, fraction

    def _cost(
        self,
        profiles: Profiles,
        runs: Runs,
        pool: int | IntArray,
        rides: tuple[IntArray, IntArray, IntArray, FloatArray],
        late: bool = True,
    ) -> FloatArray:
        """Cost of rides at the prices of the profiles, without the fixed part of their pairs."""
        row, start, last, fraction = rides
        at, edges = row + last, profiles.held.shape[1]
        held = profiles.held.ravel()
        paid = profiles.slot_cost[at]
        paid *= fraction
        total: FloatArray = profiles.cost[at]
        total -= profiles.cost[row + start]
        total += paid
        begun = start + pool * edges
        total += held[last + (pool * edges + 1)]
        total -= held[begun]
        total *= runs.gpus
        end = last + fraction
        whole = end - start
        whole *= runs.slowdown
        total += whole
        if late:
            total += runs.late_eur(end)
        return total

    def best(self, priced: Priced) -> tuple[IntArray, FloatArray]:
        """Cheapest pair of every job and its cost; jobs without any pair get pair -1 and infinity."""
        return best_by_job(priced.cost, priced.pairs)


def best_by_job(cost: FloatArray, pairs: Pairs) -> tuple[IntArray, FloatArray]:
    """First cheapest pair of every job and its cost; jobs without any pair get pair -1 and infinity."""
    jobs = len(pairs.first) - 1
    found, value = np.full(jobs, -1, dtype=np.int64), np.full(jobs, np.inf)
    some = np.nonzero(pairs.first[1:] > pairs.first[:-1])[0]
    if len(some):
        least = np.minimum.reduceat(cost, pairs.first[some])
        value[some] = least
        hit = np.nonzero(cost == np.repeat(least, (pairs.first[1:] - pairs.first[:-1])[some]))[0]
        owner, first = np.unique(pairs.job[hit], return_index=True)
        found[owner] = hit[first]
    return found, value


def _chunks(count: int) -> Iterator[slice]:
    """Pieces that fit the cache."""
    for start in range(0, count, CHUNK):
        yield slice(start, min(count, start + CHUNK))
