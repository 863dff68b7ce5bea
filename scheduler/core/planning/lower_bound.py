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
from scheduler.core.planning.options import Runs
from scheduler.core.planning.oracle import CHUNK, Oracle, Priced, best_by_job
from scheduler.core.planning.profiles import Profiles
from scheduler.domain.time import BoolArray, FloatArray, IntArray

COARSE, FINE = 8, 48
# Different prices of a slot of run time that get a table of their own.
SIGMAS = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Some:
    """A chunk of (pair, pool) candidates: runs, lane, pool, fixed cost."""

    runs: Runs
    lane: IntArray
    pool: int
    fixed: FloatArray

    def take(self, index: IntArray | BoolArray) -> _Some:
        """Some of them."""
        return _Some(runs=self.runs.take(index), lane=self.lane[index], pool=self.pool, fixed=self.fixed[index])


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
            some = _some(oracle, part, pool)
            keep = quick.bounds(some) < best[some.runs.job]
            bound[part[keep]] = np.minimum(bound[part[keep]], _bounds(oracle, fine, some.take(keep)))
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
        cost, _ = oracle.price_on(fine, oracle.runs(at), pool)
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

    def bounds(self, some: _Some) -> FloatArray:
        """Lower bound of candidates on this pool over all profiles."""
        oracle, profiles, table, runs = self.oracle, self.profiles, self.oracle.table, some.runs
        start, grid = runs.start, profiles.grid
        _, _, first, fraction = oracle.rides(profiles, runs, self.pool, 0)
        last = oracle.rides(profiles, runs, self.pool, grid - 1)[2]
        level = np.log2(last - first + 1).astype(np.int64)
        price = self._class[runs.job]
        sigma = self._sigma[price]
        row = (price * len(table.kinds) + runs.kind) * grid
        best = np.full(len(row), -np.inf)
        for multiplier in range(grid):
            base = (level * self._rows + row + multiplier) * self._width
            least = np.minimum(self._levels[base + first], self._levels[base + last + 1 - (1 << level)])
            begun = profiles.lagrangian[profiles.row(some.lane, multiplier) + start] + profiles.held[self.pool, start]
            mu = profiles.multiplier[some.lane, multiplier]
            best = np.maximum(best, mu * runs.work + least - begun - sigma * start)
        found: FloatArray = runs.gpus * best + some.fixed + runs.late_eur(first + fraction)
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


def _some(oracle: Oracle, index: IntArray, pool: int) -> _Some:
    """Candidates of some pairs on one pool."""
    runs = oracle.runs(index)
    return _Some(runs=runs, lane=runs.kind * oracle.lanes.pools + pool, pool=pool, fixed=oracle.pairs.fixed_eur[index])


def _bounds(oracle: Oracle, profiles: Profiles, some: _Some) -> FloatArray:
    """Least over ends of the greatest L found."""
    best = np.full(len(some.lane), np.inf)
    current = np.full(len(some.lane), -np.inf)
    ends = [oracle.rides(profiles, some.runs, some.pool, multiplier)[2] + 1 for multiplier in range(profiles.grid)]
    for multiplier, end in enumerate(ends):
        current = np.maximum(current, _at(profiles, some, multiplier, end))
        near = range(max(0, multiplier - 1), min(multiplier + 1, profiles.grid - 1))
        current = np.maximum(current, _break_even(oracle, profiles, some, near, end))
        if multiplier == profiles.grid - 1:
            best = np.minimum(best, current)
            break
        moved = ends[multiplier + 1] > end
        best[moved] = np.minimum(best[moved], current[moved])
        current[moved] = -np.inf
        _between(oracle, profiles, some, (multiplier, end, ends[multiplier + 1]), best)
    return best


def _between(
    oracle: Oracle, profiles: Profiles, every: _Some, interval: tuple[int, IntArray, IntArray], best: FloatArray
) -> None:
    """Ends strictly between those of two neighbouring multipliers."""
    multiplier, first, last = interval
    index = np.nonzero(last - first > 1)[0]
    ahead = 1
    while len(index):
        some, end = every.take(index), first[index] + ahead
        value = np.maximum(_at(profiles, some, multiplier, end), _at(profiles, some, multiplier + 1, end))
        value = np.maximum(value, _break_even(oracle, profiles, some, range(multiplier, multiplier + 1), end))
        best[index] = np.minimum(best[index], value)
        ahead += 1
        index = index[last[index] - first[index] > ahead]


def _at(profiles: Profiles, some: _Some, multiplier: int, end: IntArray) -> FloatArray:
    """L at a multiplier of the grid."""
    row = profiles.row(some.lane, multiplier)
    mu = profiles.multiplier[some.lane, multiplier]
    sums = profiles.lagrangian[row + end - 1] - profiles.lagrangian[row + some.runs.start]
    return _value(profiles, some, end, (mu, sums, profiles.slot_lagrangian[row + end - 1]))


def _break_even(oracle: Oracle, profiles: Profiles, some: _Some, near: range, end: IntArray) -> FloatArray:
    """L at the multiplier at which the last slot just pays, K by its chord between two neighbours of the grid.

    near: grid indices of one or two stretches from a multiplier to the next lower one; beyond them it is kept at their ends.
    """
    runs, slot = some.runs, end - 1
    costs = profiles.level_cost[some.lane, :, slot]
    speeds = oracle.lanes.speed[some.lane]
    per_slot = runs.slowdown + np.where(slot >= runs.due, runs.lateness, 0.0)
    mu = ((costs + (per_slot / runs.gpus)[:, None]) / speeds).min(axis=1)
    mu = np.clip(mu, profiles.multiplier[some.lane, near[-1] + 1], profiles.multiplier[some.lane, near[0]])
    upper = np.where(mu >= profiles.multiplier[some.lane, near[-1]], near[0], near[-1])
    high, low = profiles.multiplier[some.lane, upper], profiles.multiplier[some.lane, upper + 1]
    share = (mu - low) / np.maximum(high - low, 1e-12)
    sums = np.zeros(len(mu))
    for weight, index in ((share, upper), (1.0 - share, upper + 1)):
        row = profiles.row(some.lane, index)
        sums += weight * (profiles.lagrangian[row + slot] - profiles.lagrangian[row + runs.start])
    last = (costs - mu[:, None] * speeds).min(axis=1)
    return _value(profiles, some, end, (mu, sums, last))


def _value(profiles: Profiles, some: _Some, end: IntArray, parts: tuple[FloatArray, FloatArray, FloatArray]) -> FloatArray:
    """L from its parts: multiplier, sum of K up to the last slot, k of the last slot per GPU."""
    mu, sums, last = parts
    runs = some.runs
    held = profiles.held[some.pool, end] - profiles.held[some.pool, runs.start]
    whole = runs.gpus * (mu * runs.work + sums + held) + runs.slowdown * (end - 1 - runs.start) + some.fixed
    before = end.astype(np.float64) - 1.0
    total: FloatArray = whole + _last_slot(runs, before, runs.gpus * last + runs.slowdown)
    return total


def _last_slot(runs: Runs, before: FloatArray, slope: FloatArray) -> FloatArray:
    """Min over phi in [0, 1] of phi * slope + lateness(before + phi): at an end or a kink of the piecewise linear lateness."""
    least = np.minimum(runs.late_eur(before), slope + runs.late_eur(before + 1.0))
    with np.errstate(invalid="ignore"):
        for kink in (runs.due, runs.due - runs.tail):
            phi = np.clip(np.where(np.isfinite(kink), kink, 0.0) - before, 0.0, 1.0)
            least = np.minimum(least, phi * slope + runs.late_eur(before + phi))
    return least
