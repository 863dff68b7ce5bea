"""What the jobs and the plant would do at given prices: the dual function for the bundle, and columns worth having.

    q(lam, pi) = sum_j min(cheapest run of j, unplaced_j) + agg(lam, pi)

is a lower bound on every plan. While the bundle looks for good prices, jobs are priced on a coarse grid of cap profiles;
columns are written on a fine one; the bound itself is computed over all profiles (`lower_bound`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from scheduler.core.planning.aggregate import AggregateLp, Envelope, Prices, envelope_of
from scheduler.core.planning.columns import Columns, Picks, join, loads_by, write_columns
from scheduler.core.planning.lower_bound import JobBounds, job_bounds, tightened
from scheduler.core.planning.options import Pairs, taken, thinned
from scheduler.core.planning.oracle import Oracle, Priced
from scheduler.domain.problem import PlanProblem
from scheduler.domain.time import BoolArray, FloatArray, IntArray

COARSE, MIDDLE, FINE = 4, 16, 32
# Up to this many jobs all starts are priced on the middle grid, and columns are written from one with this many steps between
# two of its multipliers: the best is looked for around the best of the middle grid.
FEW, BETWEEN = 1000, 4
# A start joins the middle grid if on the coarse one it costs so much more than the cheapest of its bin, EUR per GPU and slot of
# work: these are a quarter of all starts, and with them come 99 % of the cheapest on the middle grid.
NEAR_EUR = 1e-3
# Multipliers of the bound: what fewer of them leave loose is mostly won back by pricing loose jobs exactly.
BOUND_FEW, BOUND_MANY = 48, 24
JOB_GROUPS = 6
# Answers of the jobs to the last prices of the bundle: mixed, they come near to what the master wants.
RECENT = 8
# A kWh of draw and a GPU-hour are of different size in EUR; this makes both prices move alike (optimisation.md 6).
DRAW_WEIGHT = 2.0
# Starts of a column: every slot of the first hour by itself, then ever longer stretches.
BIN_EDGES = (1, 2, 3, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bound:
    """Proven lower bound in EUR at some prices, its part by job and where that comes from, the plant's part."""

    eur: float
    job_eur: FloatArray
    plant_eur: float
    jobs: JobBounds


class Pricing:
    """All that is asked of one problem at given prices."""

    def __init__(self, problem: PlanProblem) -> None:
        """Prepare jobs, profiles and the plant's LP."""
        self.problem = problem
        self.oracle = Oracle(problem)
        self.frame = self.oracle.frame
        self.table = self.oracle.table
        self.envelope: Envelope = envelope_of(problem)
        self.plant = AggregateLp(problem, self.frame, self.envelope)
        self.shape = (len(problem.pools), self.frame.steps)
        self._few, self._few_at = thinned(self.oracle.pairs)
        self.recent: deque[Columns] = deque(maxlen=RECENT)
        self._group = np.arange(self.table.count) % JOB_GROUPS
        root = np.sqrt(self.frame.hours)
        self._scale = np.concatenate([np.tile(1.0 / root, self.shape[0]), np.tile(DRAW_WEIGHT / root, self.shape[0])])
        self._bin = np.searchsorted(np.array(BIN_EDGES), np.arange(self.frame.slots), side="right")
        self.unplaced = np.where(self.table.running, np.inf, self.table.unplaced)

    # --- prices as one vector

    def vector(self, prices: Prices) -> FloatArray:
        """Prices as the scaled vector that the bundle moves."""
        flat = np.concatenate([prices.gpu_eur_per_gpu_h.ravel(), prices.draw_eur_per_kwh.ravel()])
        scaled: FloatArray = flat / self._scale
        return scaled

    def prices(self, vector: FloatArray) -> Prices:
        """The other way round."""
        gpu, draw = np.split(vector * self._scale, 2)
        return Prices(gpu_eur_per_gpu_h=gpu.reshape(self.shape), draw_eur_per_kwh=draw.reshape(self.shape))

    def evaluate(self, vector: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Dual function by component (job groups, plant) and its gradients, for the bundle."""
        prices = self.prices(vector)
        priced = self.oracle.price(self.oracle.profiles(prices, COARSE), self._few)
        pair, cost = self.oracle.best(priced)
        placed = cost < self.unplaced
        picks = Picks(
            pair=self._few_at[pair[placed]], pool=priced.pool[pair[placed]], multiplier=priced.multiplier[pair[placed]]
        )
        columns = write_columns(self.oracle, priced.profiles, picks)
        return self.answer(prices, np.where(placed, cost, self.unplaced), columns)

    def answer(self, prices: Prices, job_eur: FloatArray, columns: Columns) -> tuple[FloatArray, FloatArray]:
        """Values and gradients by component when every job costs `job_eur` and chooses one of these runs, or none."""
        values = np.bincount(self._group, weights=job_eur, minlength=JOB_GROUPS)
        loads = self._group_loads(columns)
        value, plant = self.plant.price(prices)
        hours = np.tile(self.frame.hours, 2 * self.shape[0])
        taken = np.concatenate([plant.gpus.ravel(), plant.draw_kw.ravel()])
        gradients = np.vstack([loads, -taken[None, :]]) * (hours * self._scale)[None, :]
        return np.append(values, value), gradients

    def _group_loads(self, columns: Columns) -> FloatArray:
        """Mean GPUs and draw of chosen runs per (group, pool, step), flat per group."""
        if columns.count:
            self.recent.append(columns)
        loads = loads_by(columns, self._group[columns.job], (JOB_GROUPS, *self.shape))
        return np.hstack([load.reshape(JOB_GROUPS, -1) for load in loads])

    def bound(self, prices: Prices, plant_eur: float | None = None) -> Bound:
        """Lower bound on every plan at these prices, over all cap profiles; `plant_eur`: the plant's part, if it is known."""
        jobs = job_bounds(self.oracle, prices, BOUND_FEW if self.table.count <= FEW else BOUND_MANY)
        job_eur = np.minimum(jobs.eur, self.unplaced)
        plant_eur = self.plant.price(prices)[0] if plant_eur is None else plant_eur
        return Bound(eur=float(job_eur.sum()) + plant_eur, job_eur=job_eur, plant_eur=plant_eur, jobs=jobs)

    def tightened(self, bound: Bound, loose_eur: float) -> Bound:
        """The same bound with all jobs that are loose by more than `loose_eur` priced exactly."""
        job_eur = np.minimum(tightened(self.oracle, bound.jobs, loose_eur), self.unplaced)
        return replace(bound, eur=float(job_eur.sum()) + bound.plant_eur, job_eur=job_eur)

    # --- columns

    def columns(
        self, prices: Prices, per_job: int | IntArray, below: FloatArray | None = None, only: BoolArray | None = None
    ) -> Columns:
        """Runs worth having at these prices: per job the best of its `per_job` best start bins, on every pool that ties.

        Args:
            prices: prices per step.
            per_job: start bins per job, of all jobs alike or of each, shape (jobs,).
            below: only runs that cost less than this per job (what the job costs in the master), shape (jobs,).
            only: flags of the jobs that are asked, shape (jobs,); None: all.
        """
        few = self.table.count <= FEW
        pairs = self.oracle.pairs
        asked = np.arange(len(pairs.job)) if only is None else np.nonzero(only[pairs.job])[0]
        priced = self.oracle.price(self.oracle.profiles(prices, COARSE), pairs if only is None else taken(pairs, asked))
        if few:
            near = self._near_best(priced)
            priced = self.oracle.price(self.oracle.profiles(prices, MIDDLE), taken(priced.pairs, near))
            pair = asked[near[self._best_bins(priced, per_job)]]
        else:
            pair = asked[self._best_bins(priced, per_job)]
        fine = self.oracle.profiles(prices, BETWEEN * (MIDDLE - 1) + 1 if few else FINE)
        job = pairs.job[pair]
        limit = np.full(self.table.count, np.inf) if below is None else below - 1e-6
        cost = np.full((self.shape[0], len(pair)), np.inf)
        multiplier = np.zeros((self.shape[0], len(pair)), dtype=np.int64)
        for pool in range(self.shape[0]):
            fits = np.nonzero(self.table.eligible[job, pool])[0]
            runs = self.oracle.runs(pair[fits])
            if few:
                _, centre = self.oracle.price_on(priced.profiles, runs, pool)
                found, multiplier[pool, fits] = self.oracle.price_near(fine, runs, pool, (BETWEEN * centre, BETWEEN - 1))
            else:
                found, multiplier[pool, fits] = self.oracle.price_on(fine, runs, pool)
            cost[pool, fits] = found + pairs.fixed_eur[pair[fits]]
        near = cost.min(axis=0) + self._tie_eur(job)
        keep = (cost <= near) & (cost < limit[job])
        pools, at = np.nonzero(keep)
        picks = Picks(pair=pair[at], pool=pools, multiplier=multiplier[pools, at])
        return join([write_columns(self.oracle, fine, picks)])

    def _near_best(self, priced: Priced) -> IntArray:
        """Pairs that cost little more than the cheapest of their bin: a finer grid finds the cheapest one among them."""
        begins = self._bin_begins(priced.pairs)
        least = np.repeat(np.minimum.reduceat(priced.cost, begins), np.diff(np.append(begins, len(priced.cost))))
        job = priced.pairs.job
        return np.nonzero(priced.cost <= least + NEAR_EUR * self.table.gpus[job] * self.table.work[job])[0]

    def _bin_begins(self, pairs: Pairs) -> IntArray:
        """First pair of every (job, bin)."""
        group = pairs.job * (len(BIN_EDGES) + 1) + self._bin[pairs.start]
        return np.nonzero(np.concatenate([[True], group[1:] != group[:-1]])[: len(group)])[0]

    def _tie_eur(self, job: IntArray) -> FloatArray:
        """Difference in EUR within which a second pool is worth a column: a fiftieth of a cent per GPU and slot of work."""
        tie: FloatArray = 2e-4 * self.table.gpus[job] * self.table.work[job]
        return tie

    def cheapest_pairs(self, prices: Prices, per_job: int | IntArray, grid: int, *, thin: bool) -> IntArray:
        """Cheapest pair of the `per_job` cheapest start bins of every job, among all starts or thinned ones."""
        priced = self.oracle.price(self.oracle.profiles(prices, grid), self._few if thin else None)
        pair = self._best_bins(priced, per_job)
        return self._few_at[pair] if thin else pair

    def _best_bins(self, priced: Priced, per_job: int | IntArray) -> IntArray:
        """Cheapest pair of the `per_job` cheapest start bins of every job."""
        pairs = priced.pairs
        begins = self._bin_begins(pairs)
        least = np.minimum.reduceat(priced.cost, begins)
        lengths = np.diff(np.append(begins, len(pairs.job)))
        hit = np.nonzero(priced.cost == np.repeat(least, lengths))[0]
        _, first = np.unique(np.repeat(np.arange(len(begins)), lengths)[hit], return_index=True)
        pair = hit[first]
        order = np.lexsort((least, pairs.job[pair]))
        job = pairs.job[pair][order]
        rank = np.arange(len(job)) - np.searchsorted(job, job)
        return np.sort(pair[order][rank < (per_job if isinstance(per_job, int) else per_job[job])])
