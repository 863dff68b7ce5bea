"""Exact lower bound on the cheapest run of every job at given prices, over *all* cap profiles.

For a start t and an end e (the last slot e - 1 used to a fraction phi) the cheapest profile that does work W costs at least

    L(mu, e) = g [mu W + K(t, e - 1) + held(t, e)] + slowdown (e - 1 - t)
               + min over phi in [0, 1] of { phi (g k[e - 1] + slowdown) + lateness(e - 1 + phi) } + fixed

for any multiplier mu, where K sums k[s] = min_l (a_l[s] - mu v_l). So a job costs at least the least over (t, pool, e) of the
greatest over mu. Fastest and slowest profile enclose the possible ends; for an end between those of two neighbouring
multipliers the best mu lies between them, and L is tried at both and at the break-even multiplier of the last slot, where
K, concave in mu, is bounded by its chord.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.aggregate import Prices
from scheduler.core.planning.exact_runs import exact_eur
from scheduler.core.planning.options import Pairs
from scheduler.core.planning.oracle import CHUNK, Oracle, Priced, best_by_job
from scheduler.core.planning.profiles import Profiles
from scheduler.domain.time import BoolArray, FloatArray, IntArray

COARSE, FINE = 8, 48
# Different prices of a slot of run time that get a table of their own.
SIGMAS = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Runs:
    """A chunk of (pair, pool) candidates: job, lane, start, work, fixed cost."""

    job: IntArray
    lane: IntArray
    pool: int
    start: IntArray
    work: FloatArray
    fixed: FloatArray

    def take(self, index: IntArray | BoolArray) -> _Runs:
        """Some of them."""
        return _Runs(
            job=self.job[index],
            lane=self.lane[index],
            pool=self.pool,
            start=self.start[index],
            work=self.work[index],
            fixed=self.fixed[index],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JobBounds:
    """Lower bound of every job's cheapest run, EUR, and how it came about: runs found, bound of every pair, fine grid."""

    eur: FloatArray
    found_eur: FloatArray
    pair_eur: FloatArray
    profiles: Profiles


def job_bounds(oracle: Oracle, prices: Prices, grid: int = FINE) -> JobBounds:
    """Lower bound of every job's cheapest run at some prices; infinity for a job without any start.

    Coarse to fine: a quick bound over a coarse grid of multipliers leaves few (start, pool) pairs that could be cheaper than
    a run already found; these are bounded end by end on a fine grid, of `grid` multipliers.
    """
    coarse = oracle.profiles(prices, COARSE)
    priced = oracle.price(coarse)
    fine = oracle.profiles(prices, grid)
    best = _refined(oracle, fine, priced)
    pairs = oracle.pairs
    bound = np.full(len(pairs.job), np.inf)
    for pool in range(oracle.lanes.pools):
        fits = np.nonzero(oracle.table.eligible[pairs.job, pool])[0]
        quick = Quick(oracle, coarse, pool)
        for start in range(0, len(fits), CHUNK):
            part = fits[start : start + CHUNK]
            runs = _runs(oracle, pairs, part, pool)
            keep = quick.bounds(runs) < best[runs.job]
            bound[part[keep]] = np.minimum(bound[part[keep]], _bounds(oracle, fine, runs.take(keep)))
    _, least = best_by_job(bound, pairs)
    return JobBounds(eur=np.minimum(least, best), found_eur=best, pair_eur=bound, profiles=fine)


def tightened(oracle: Oracle, bounds: JobBounds, loose_eur: float) -> FloatArray:
    """Bounds of all jobs, those that lie more than `loose_eur` under the run found priced exactly, level by level."""
    found = bounds.eur.copy()
    for job in np.nonzero(found < bounds.found_eur - loose_eur)[0]:
        mine = np.arange(oracle.pairs.first[job], oracle.pairs.first[job + 1])
        best = float(bounds.found_eur[job])
        exact = exact_eur(oracle, bounds.profiles, int(job), mine[bounds.pair_eur[mine] < best], best)
        found[job] = max(found[job], exact)
    return found


def _refined(oracle: Oracle, fine: Profiles, priced: Priced) -> FloatArray:
    """Cost of the best run of every job, its profile taken from the fine grid."""
    pair, best = oracle.best(priced)
    found = np.nonzero(pair >= 0)[0]
    pairs = oracle.pairs
    for pool in range(oracle.lanes.pools):
        jobs = found[priced.pool[pair[found]] == pool]
        at = pair[jobs]
        cost, _ = oracle.price_on(fine, (jobs, pairs.start[at], pairs.work[at]), pool)
        best[jobs] = np.minimum(best[jobs], cost + pairs.fixed_eur[at])
    return best


class Quick:
    """One bound for all ends of a run: the greatest over mu of the least over ends, lateness at the earliest end.

    For a lane, a multiplier and a price sigma of a slot per GPU the least of
    K(e - 1) + held(e) + sigma (e - 1) + min(0, k + sigma) over a range of ends is looked up in a sparse table. Jobs with
    nearby sigma share a table at the lowest of them.
    """

    def __init__(self, oracle: Oracle, profiles: Profiles, pool: int) -> None:
        """Write the tables of one pool."""
        self.oracle, self.profiles, self.pool = oracle, profiles, pool
        table, lanes = oracle.table, oracle.lanes
        each = table.slowdown / np.maximum(table.gpus, 1e-9)
        self._sigma = np.unique(np.quantile(each, np.linspace(0.0, 1.0, SIGMAS), method="lower")) if len(each) else np.zeros(1)
        self._class = np.searchsorted(self._sigma, each, side="right") - 1
        rows = (np.arange(len(table.kinds)) * lanes.pools + pool)[:, None] * profiles.grid + np.arange(profiles.grid)
        at = rows[:, :, None] * profiles.stride + np.arange(lanes.slots)
        ends = profiles.held[pool, 1:] + profiles.lagrangian[at]
        sigma = self._sigma[:, None, None, None]
        value = ends + sigma * np.arange(lanes.slots) + np.minimum(0.0, profiles.slot_lagrangian[at] + sigma)
        self._levels = _sparse(value)
        self._width = lanes.slots

    def bounds(self, runs: _Runs) -> FloatArray:
        """Lower bound of runs on this pool over all profiles."""
        oracle, profiles, table = self.oracle, self.profiles, self.oracle.table
        job, start, grid = runs.job, runs.start, self.profiles.grid
        _, _, first, fraction = oracle.rides(profiles, (job, start, runs.work), self.pool, 0)
        last = oracle.rides(profiles, (job, start, runs.work), self.pool, grid - 1)[2]
        level = np.log2(last - first + 1).astype(np.int64)
        sigma = self._sigma[self._class[job]]
        row = (self._class[job] * len(table.kinds) + table.kind[job]) * grid
        best = np.full(len(job), -np.inf)
        for multiplier in range(grid):
            base = (level * self._rows + row + multiplier) * self._width
            least = np.minimum(self._levels[base + first], self._levels[base + last + 1 - (1 << level)])
            begun = profiles.lagrangian[profiles.row(runs.lane, multiplier) + start] + profiles.held[self.pool, start]
            mu = profiles.multiplier[runs.lane, multiplier]
            best = np.maximum(best, mu * runs.work + least - begun - sigma * start)
        found: FloatArray = table.gpus[job] * best + runs.fixed + table.lateness_eur(job, first + fraction)
        return found

    @property
    def _rows(self) -> int:
        """Rows of a level of the sparse table: sigmas, kinds, multipliers."""
        return len(self._sigma) * len(self.oracle.table.kinds) * self.profiles.grid


def _sparse(value: FloatArray) -> FloatArray:
    """Least over 1, 2, 4, ... slots from each slot on, flat over (level, rows, slots)."""
    levels = [value]
    width = 1
    while 2 * width <= value.shape[-1]:
        last = levels[-1]
        moved = np.concatenate([last[..., width:], np.repeat(last[..., -1:], width, axis=-1)], axis=-1)
        levels.append(np.minimum(last, moved))
        width *= 2
    flat: FloatArray = np.stack(levels).ravel()
    return flat


def _runs(oracle: Oracle, pairs: Pairs, index: IntArray, pool: int) -> _Runs:
    """Candidates of some pairs on one pool."""
    job = pairs.job[index]
    lane = oracle.table.kind[job] * oracle.lanes.pools + pool
    return _Runs(job=job, lane=lane, pool=pool, start=pairs.start[index], work=pairs.work[index], fixed=pairs.fixed_eur[index])


def _bounds(oracle: Oracle, profiles: Profiles, runs: _Runs) -> FloatArray:
    """Least over ends of the greatest L found."""
    best = np.full(len(runs.job), np.inf)
    current = np.full(len(runs.job), -np.inf)
    ends = [
        oracle.rides(profiles, (runs.job, runs.start, runs.work), runs.pool, multiplier)[2] + 1
        for multiplier in range(profiles.grid)
    ]
    for multiplier, end in enumerate(ends):
        current = np.maximum(current, _at(oracle, profiles, runs, multiplier, end))
        for between in (multiplier - 1, multiplier):
            if 0 <= between < profiles.grid - 1:
                current = np.maximum(current, _break_even(oracle, profiles, runs, between, end))
        if multiplier == profiles.grid - 1:
            best = np.minimum(best, current)
            break
        moved = ends[multiplier + 1] > end
        best[moved] = np.minimum(best[moved], current[moved])
        current[moved] = -np.inf
        _between(oracle, profiles, runs, (multiplier, end, ends[multiplier + 1]), best)
    return best


def _between(
    oracle: Oracle, profiles: Profiles, runs: _Runs, interval: tuple[int, IntArray, IntArray], best: FloatArray
) -> None:
    """Ends strictly between those of two neighbouring multipliers."""
    multiplier, first, last = interval
    index = np.nonzero(last - first > 1)[0]
    ahead = 1
    while len(index):
        some, end = runs.take(index), first[index] + ahead
        value = np.maximum(_at(oracle, profiles, some, multiplier, end), _at(oracle, profiles, some, multiplier + 1, end))
        value = np.maximum(value, _break_even(oracle, profiles, some, multiplier, end))
        best[index] = np.minimum(best[index], value)
        ahead += 1
        index = index[last[index] - first[index] > ahead]


def _at(oracle: Oracle, profiles: Profiles, runs: _Runs, multiplier: int, end: IntArray) -> FloatArray:
    """L at a multiplier of the grid."""
    row = profiles.row(runs.lane, multiplier)
    mu = profiles.multiplier[runs.lane, multiplier]
    sums = profiles.lagrangian[row + end - 1] - profiles.lagrangian[row + runs.start]
    return _value(oracle, profiles, runs, end, (mu, sums, profiles.slot_lagrangian[row + end - 1]))


def _break_even(oracle: Oracle, profiles: Profiles, runs: _Runs, multiplier: int, end: IntArray) -> FloatArray:
    """L at the multiplier at which the last slot just pays, kept between two neighbours of the grid, K by its chord."""
    table, slot = oracle.table, end - 1
    costs = profiles.level_cost[runs.lane, :, slot]
    speeds = oracle.lanes.speed[runs.lane]
    per_slot = table.slowdown[runs.job] + np.where(slot >= table.due[runs.job], table.lateness[runs.job], 0.0)
    mu = ((costs + (per_slot / table.gpus[runs.job])[:, None]) / speeds).min(axis=1)
    high, low = profiles.multiplier[runs.lane, multiplier], profiles.multiplier[runs.lane, multiplier + 1]
    mu = np.clip(mu, low, high)
    share = (mu - low) / np.maximum(high - low, 1e-12)
    sums = np.zeros(len(mu))
    for weight, index in ((share, multiplier), (1.0 - share, multiplier + 1)):
        row = profiles.row(runs.lane, index)
        sums += weight * (profiles.lagrangian[row + slot] - profiles.lagrangian[row + runs.start])
    last = (costs - mu[:, None] * speeds).min(axis=1)
    return _value(oracle, profiles, runs, end, (mu, sums, last))


def _value(
    oracle: Oracle, profiles: Profiles, runs: _Runs, end: IntArray, parts: tuple[FloatArray, FloatArray, FloatArray]
) -> FloatArray:
    """L from its parts: multiplier, sum of K up to the last slot, k of the last slot per GPU."""
    mu, sums, last = parts
    table, job = oracle.table, runs.job
    held = profiles.held[runs.pool, end] - profiles.held[runs.pool, runs.start]
    whole = table.gpus[job] * (mu * runs.work + sums + held) + table.slowdown[job] * (end - 1 - runs.start) + runs.fixed
    before = end.astype(np.float64) - 1.0
    total: FloatArray = whole + _last_slot(oracle, job, before, table.gpus[job] * last + table.slowdown[job])
    return total


def _last_slot(oracle: Oracle, job: IntArray, before: FloatArray, slope: FloatArray) -> FloatArray:
    """Min over phi in [0, 1] of phi * slope + lateness(before + phi): at an end or a kink of the piecewise linear lateness."""
    table = oracle.table
    least = np.minimum(table.lateness_eur(job, before), slope + table.lateness_eur(job, before + 1.0))
    with np.errstate(invalid="ignore"):
        for kink in (table.due[job], table.due[job] - table.tail[job]):
            phi = np.clip(np.where(np.isfinite(kink), kink, 0.0) - before, 0.0, 1.0)
            least = np.minimum(least, phi * slope + table.lateness_eur(job, before + phi))
    return least
