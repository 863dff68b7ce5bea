"""The dual function of many jobs on a shortlist of runs: almost the whole one, at a small part of its price.

From one step of the bundle to the next prices move little, and with them the start bins in which a job is cheap. So all starts
are priced now and then only (`renew`); in between a job chooses among the starts of its cheapest bins, on any pool, with a cap
profile that moves by at most one multiplier of a finer grid. The cut of any answer holds for the whole function as well; its
value may be too high, which is put right at the centre by every renewal.
"""

from __future__ import annotations

import numpy as np

from scheduler.core.planning.columns import Picks, write_columns
from scheduler.core.planning.oracle import CHUNK
from scheduler.core.planning.pricing import COARSE, MIDDLE, Pricing
from scheduler.core.planning.profiles import Profiles
from scheduler.domain.time import BoolArray, FloatArray, IntArray

# Start bins of a job that stay on the list until the next renewal.
BINS = 8
# So many first renewals look at thinned starts only.
ROUGH_RENEWALS = 3


class Shortlist:
    """Runs (pair, pool) that may be the cheapest of their job, and the multiplier that each had last."""

    def __init__(self, pricing: Pricing, *, rough: bool = True) -> None:
        """Begin without a list; `rough`: the first prices are a guess, for which thinned starts are good enough."""
        self.pricing = pricing
        self._renewals = 0 if rough else ROUGH_RENEWALS
        none = np.zeros(0, dtype=np.int64)
        self._pair: IntArray = none
        self._pool: IntArray = none
        self._runs = pricing.oracle.runs(none)
        self._fixed_eur = np.zeros(0)
        self._multiplier: IntArray = none
        self._used: BoolArray = np.zeros(0, dtype=np.bool_)

    def renew(self, vector: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Make a new list at scaled prices, keep what was used since the last one, and evaluate there."""
        pricing, oracle = self.pricing, self.pricing.oracle
        prices = pricing.prices(vector)
        pair = pricing.cheapest_pairs(prices, BINS, COARSE, thin=self._renewals < ROUGH_RENEWALS)
        pair = np.union1d(pair, self._pair[self._used])
        at, self._pool = np.nonzero(oracle.table.eligible[oracle.pairs.job[pair]])
        self._pair = pair[at]
        self._runs, self._fixed_eur = oracle.runs(self._pair), oracle.pairs.fixed_eur[self._pair]
        self._multiplier = self._searched(oracle.profiles(prices, MIDDLE))
        self._used = np.zeros(len(self._pair), dtype=np.bool_)
        self._renewals += 1
        return self.evaluate(vector)

    def evaluate(self, vector: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Dual function on the list by component and its gradients, as `Pricing.evaluate`."""
        if not self._renewals or not len(self._pair):
            return self.renew(vector) if self.pricing.table.count else self.pricing.evaluate(vector)
        pricing, oracle = self.pricing, self.pricing.oracle
        prices = pricing.prices(vector)
        profiles = oracle.profiles(prices, MIDDLE)
        cost = self._moved(profiles)
        chosen, job_eur = self._cheapest(cost)
        placed = job_eur < pricing.unplaced
        chosen = chosen[placed]
        self._used[chosen] = True
        picks = Picks(pair=self._pair[chosen], pool=self._pool[chosen], multiplier=self._multiplier[chosen])
        columns = write_columns(oracle, profiles, picks)
        return pricing.answer(prices, np.where(placed, job_eur, pricing.unplaced), columns)

    def _cost(self, profiles: Profiles, multiplier: IntArray) -> FloatArray:
        """Cost of every run of the list with given multipliers."""
        cost = np.empty(len(self._pair))
        for start in range(0, len(cost), CHUNK):
            part = slice(start, start + CHUNK)
            runs = self._runs.take(part)
            cost[part] = self.pricing.oracle.cost_of(profiles, runs, self._pool[part], multiplier[part])
        cost += self._fixed_eur
        return cost

    def _searched(self, profiles: Profiles) -> IntArray:
        """Best multiplier of every run of the list."""
        found = np.zeros(len(self._pair), dtype=np.int64)
        best = np.full(len(found), np.inf)
        for multiplier in range(profiles.grid):
            cost = self._cost(profiles, np.full(len(found), multiplier))
            better = cost < best
            best[better], found[better] = cost[better], multiplier
        return found

    def _moved(self, profiles: Profiles) -> FloatArray:
        """Cost of every run with its last multiplier or a neighbour of it, which it keeps."""
        last = self._multiplier
        best = self._cost(profiles, last)
        found = last.copy()
        for step in (-1, 1):
            near = np.clip(last + step, 0, profiles.grid - 1)
            cost = self._cost(profiles, near)
            better = cost < best
            best[better], found[better] = cost[better], near[better]
        self._multiplier = found
        return best

    def _cheapest(self, cost: FloatArray) -> tuple[IntArray, FloatArray]:
        """First cheapest run of every job on the list (-1 without any) and its cost (infinity)."""
        jobs = self.pricing.table.count
        job = self._runs.job
        found, value = np.full(jobs, -1, dtype=np.int64), np.full(jobs, np.inf)
        begins = np.nonzero(np.concatenate([[True], job[1:] != job[:-1]]))[0]
        least = np.minimum.reduceat(cost, begins)
        hit = np.nonzero(cost == np.repeat(least, np.diff(np.append(begins, len(job)))))[0]
        owner, first = np.unique(job[hit], return_index=True)
        found[owner], value[job[begins]] = hit[first], least
        return found, value
