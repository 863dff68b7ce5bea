"""The cheapest run of single jobs, exactly: where one multiplier leaves the bound loose, levels are chosen one by one.

For a start t, a last slot s at level l used to the fraction phi, and any multiplier mu, a run with level x_i in slot i < s
costs, with V = sum_i v(x_i) and phi = (W - V) / v_l in [0, 1],

    g [ sum_i k_i + sum_i r_i(x_i) + H(V) ] + held + slowdown (s - t) + fixed
    H(V) = mu V + phi (a_l[s] + slowdown / g) + lateness(s + phi) / g
    k_i = min_x (a_x[i] - mu v_x),      r_i(x) = a_x[i] - mu v_x - k_i >= 0

With r = 0 and V free this is the Lagrangian bound. A level whose r is more than what separates that bound from the best run
known is in no better run; over the few others dynamic programming keeps, for every amount of work in thousandths of a slot, the
least sum of r. Amounts are rounded in favour of the run, so the result stays a lower bound; speeds with three decimals need no
rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.oracle import Oracle
from scheduler.core.planning.profiles import Profiles
from scheduler.domain.time import BoolArray, FloatArray, IntArray

UNIT = 1e-3
DUST = 1e-7
# Wider sums of levels are left to the Lagrangian bound, which is tight for long runs.
MOST_CELLS = 20_000
# A multiplier is refined so often, by a fan of so many to either side, at first so far apart as a share of it.
REFINE_STEPS, FAN, REFINE_FIRST = 6, 4, 0.02
# Shares of what separates the Lagrangian bound from the best run known: few levels cost so little; more only when it must be.
SHARES = (0.02, 0.15, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Job:
    """One job on one pool from one start; costs per GPU from there on, shape (levels, slots); constant in EUR by last slot."""

    index: int
    gpus: float
    start: int
    work: float
    slowdown: float
    costs: FloatArray
    speeds: FloatArray
    constant: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """A last slot and the level in it, with the Lagrangian bound in EUR and its multiplier."""

    bound_eur: float
    last: int
    level: int
    multiplier: float


def exact_eur(oracle: Oracle, profiles: Profiles, job: int, pairs: IntArray, best_eur: float) -> float:
    """Least cost of a job over some of its pairs on all its pools; `best_eur` where nothing is cheaper than that.

    Args:
        oracle: jobs and pairs.
        profiles: tables at the prices, for multipliers to begin with.
        job: the job.
        pairs: its pairs that may hold the cheapest run.
        best_eur: cost of a run that is known.
    """
    endings: list[tuple[_Ending, _Job]] = []
    for pool in np.nonzero(oracle.table.eligible[job])[0]:
        for pair in pairs:
            one, found = _endings(oracle, profiles, (int(pair), int(pool)), best_eur)
            endings += [(ending, one) for ending in found]
    least = best_eur
    for ending, one in sorted(endings, key=lambda entry: (entry[0].bound_eur, entry[0].last, entry[0].level)):
        if ending.bound_eur >= least:
            break
        least = min(least, _exact(oracle, one, ending, least))
    return least


def _endings(oracle: Oracle, profiles: Profiles, where: tuple[int, int], best_eur: float) -> tuple[_Job, list[_Ending]]:
    """Ways to end a run of one pair on one pool that may be cheaper than `best_eur`, each with its own multiplier."""
    pair, pool = where
    table, lanes, pairs = oracle.table, oracle.lanes, oracle.pairs
    job, start, work = int(pairs.job[pair]), int(pairs.start[pair]), float(pairs.work[pair])
    lane = int(table.kind[job]) * lanes.pools + pool
    gpus, slowdown, speeds = float(table.gpus[job]), float(table.slowdown[job]), lanes.speed[lane]
    earliest = start + max(0, int(np.ceil(work / speeds.max() - DUST)) - 1)
    latest = min(lanes.slots - 1, start + int(np.ceil(work / speeds.min())))
    last = np.arange(earliest, latest + 1)
    held = gpus * (profiles.held[pool, last + 1] - profiles.held[pool, start])
    one = _Job(
        index=job,
        gpus=gpus,
        start=start,
        work=work,
        slowdown=slowdown,
        costs=profiles.level_cost[lane][:, start : latest + 1],
        speeds=speeds,
        constant=held + slowdown * (last - start) + float(pairs.fixed_eur[pair]),
    )
    mu = profiles.multiplier[lane]
    row = profiles.row(np.full(len(mu), lane), np.arange(len(mu)))
    sums = profiles.lagrangian[row[:, None] + last] - profiles.lagrangian[row + start][:, None]
    slope = one.costs[:, last - start].T[None] + slowdown / gpus - mu[:, None, None] * speeds
    tail = _least_tail(oracle, one, last, slope)
    value = gpus * (sums + mu[:, None] * work)[:, :, None] + gpus * tail + one.constant[None, :, None]
    top = value.argmax(axis=0)
    bound = np.take_along_axis(value, top[None], axis=0)[0]
    return one, [
        _Ending(bound_eur=float(bound[at, level]), last=int(last[at]), level=int(level), multiplier=float(mu[top[at, level]]))
        for at, level in zip(*np.nonzero(bound < best_eur), strict=True)
    ]


def _kinks(oracle: Oracle, one: _Job, last: IntArray) -> list[FloatArray]:
    """Fractions of the last slot at which the price of lateness changes, and both ends."""
    due, tail = float(oracle.table.due[one.index]), float(oracle.table.tail[one.index])
    ends = [np.zeros(len(last)), np.ones(len(last))]
    return ends + [np.clip(kink - last, 0.0, 1.0) for kink in (due, due - tail) if np.isfinite(kink)]


def _late_eur(oracle: Oracle, one: _Job, end: FloatArray) -> FloatArray:
    """Lateness of one job at many ends."""
    return oracle.table.lateness_eur(np.full(end.shape, one.index, dtype=np.int64), end)


def _least_tail(oracle: Oracle, one: _Job, last: IntArray, slope: FloatArray) -> FloatArray:
    """Min over phi of phi * slope + lateness(last + phi) / gpus; slope: (..., lasts, levels)."""
    least = np.full(slope.shape, np.inf)
    for phi in _kinks(oracle, one, last):
        late = _late_eur(oracle, one, last + phi) / one.gpus
        least = np.minimum(least, phi[:, None] * slope + late[:, None])
    return least


def _exact(oracle: Oracle, one: _Job, ending: _Ending, best_eur: float) -> float:
    """Lower bound on runs with this ending, up to `best_eur`: exact, or what is sure where the sums are too wide."""
    count = ending.last - one.start
    constant = float(one.constant[ending.last - one.start - (len(one.costs[0]) - len(one.constant))])
    tail = _Tail.of(oracle, one, ending)
    mu, lagrangian = _best_multiplier(one, ending, tail, count)
    free_eur = one.gpus * lagrangian + constant
    value = one.costs[:, :count] - mu * one.speeds[:, None]
    base = value.argmin(axis=0) if count else np.zeros(0, dtype=np.int64)
    floor = value[base, np.arange(count)]
    sure_eur = max(ending.bound_eur, free_eur)
    for share in SHARES:
        budget = share * (best_eur - free_eur) / one.gpus
        sums = _deviations(one.speeds, base, value - floor, budget) if budget > 0.0 else None
        if sums is None:
            return min(best_eur, sure_eur)
        least, low, doubt = sums
        work: FloatArray = float(one.speeds[base].sum()) + UNIT * (low + np.arange(len(least), dtype=np.float64))
        total = least + tail.least(mu, work - doubt, work + DUST)
        found_eur = one.gpus * (float(floor.sum()) + float(total.min())) + constant
        # Whatever was left out costs at least this much.
        reach_eur = free_eur + one.gpus * budget
        sure_eur = max(sure_eur, min(found_eur, reach_eur))
        if found_eur <= reach_eur:
            break
    return min(best_eur, sure_eur)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tail:
    """Cost of the last slot per GPU by the work done before it, convex and piecewise linear: its values at the kinks."""

    work: FloatArray
    cost: FloatArray

    @classmethod
    def of(cls, oracle: Oracle, one: _Job, ending: _Ending) -> _Tail:
        """Write the kinks of one ending in rising order of work."""
        last = np.array([ending.last])
        phi = np.unique(np.concatenate(_kinks(oracle, one, last)))[::-1]
        slope = one.costs[ending.level, ending.last - one.start] + one.slowdown / one.gpus
        late = _late_eur(oracle, one, ending.last + phi) / one.gpus
        return cls(work=one.work - phi * one.speeds[ending.level], cost=phi * slope + late)

    def least(self, mu: float, low: FloatArray, high: FloatArray) -> FloatArray:
        """Min of mu V + cost(V) over low <= V <= high and the kinks' range; infinity where they do not meet."""
        at = int(np.argmin(mu * self.work + self.cost))
        best = np.clip(self.work[at], np.maximum(low, self.work[0]), np.minimum(high, self.work[-1]))
        found: FloatArray = mu * best + np.interp(best, self.work, self.cost)
        meets: BoolArray = (low <= self.work[-1]) & (high >= self.work[0])
        return np.where(meets, found, np.inf)


def _best_multiplier(one: _Job, ending: _Ending, tail: _Tail, count: int) -> tuple[float, float]:
    """A multiplier near the best, and its Lagrangian value per GPU without constants: ever finer fans around the best one."""
    costs, speeds = one.costs[:, :count], one.speeds[:, None]

    def values(mu: FloatArray) -> FloatArray:
        free = (costs - mu[:, None, None] * speeds).min(axis=1).sum(axis=1)
        found: FloatArray = free + (mu[:, None] * tail.work + tail.cost).min(axis=1)
        return found

    tries = np.append(-np.diff(tail.cost) / np.diff(tail.work), ending.multiplier)
    step = 0.0
    for number in range(REFINE_STEPS):
        value = values(tries)
        at = int(np.argmax(value))
        best, best_value = float(tries[at]), float(value[at])
        step = REFINE_FIRST * max(abs(best), 1e-3) if number == 0 else step / FAN
        tries = best + step * np.arange(-FAN, FAN + 1)
    return best, best_value


def _deviations(speeds: FloatArray, base: IntArray, extra: FloatArray, budget: float) -> tuple[FloatArray, int, float] | None:
    """Least sum of extra costs by work beyond the base, in units from the lowest on; lowest unit; how much rounding gave away.

    None when the sums are too wide.
    """
    levels = np.arange(len(speeds))
    slots = np.nonzero(((extra < budget) & (levels[:, None] != base)).any(axis=0))[0]
    exact = (speeds[:, None] - speeds[None, :]) / UNIT
    whole = np.round(exact)
    units = np.where(np.abs(exact - whole) < DUST, whole, np.ceil(exact)).astype(np.int64)
    given = UNIT * float(np.maximum(units - exact, 0.0).max()) * len(slots) + DUST
    moves = [
        [(int(units[level, base[slot]]), float(extra[level, slot])) for level in levels if extra[level, slot] < budget]
        for slot in slots
    ]
    low = sum(min(move for move, _ in options) for options in moves)
    high = sum(max(move for move, _ in options) for options in moves)
    if high - low > MOST_CELLS:
        return None
    least = np.full(high - low + 1, np.inf)
    least[-low] = 0.0
    for options in moves:
        after = np.full(len(least), np.inf)
        for move, eur in options:
            here, there = (
                (slice(0, len(least) - move), slice(move, None)) if move >= 0 else (slice(-move, None), slice(0, move))
            )
            after[there] = np.minimum(after[there], least[here] + eur)
        least = after
    least[least > budget] = np.inf
    return least, low, given
