"""The crowd: thousands of small jobs, which the relaxation knows by what they do together.

Of 5,000 jobs 3,300 do a twentieth of the work, and they were two thirds of the job rows and half of all runs of the master.
Here they stand in a few groups. An answer of a group is one run of each of its jobs, the cheapest at some prices; the master
has one column for each answer and mixes them (Dantzig and Wolfe 1960, with few blocks instead of one for every job):

    sum over the answers a of group i of y_ia = 1,      load rows: ... + sum_ia load_ia y_ia

A mixture of answers is a mixture of runs for each job, so nothing is promised that jobs cannot do; with 5,000 jobs it costs
0.02 % more than to choose for each job by itself. The bound looks at every job by itself and loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.aggregate import Prices
from scheduler.core.planning.columns import Columns, join, loads_by
from scheduler.core.planning.master import Aside, Master, Solved, early, priced_eur
from scheduler.core.planning.pricing import Pricing
from scheduler.core.planning.sizes import MOST_RUNS, SMALL_SIZE, cheapest_few, sizes
from scheduler.core.planning.wide_dive import DUST, kept_eur
from scheduler.domain.time import BoolArray, FloatArray, IntArray

GROUPS = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resting:
    """Jobs that are decided on later and keep their mixture: runs with their weights, unplaced shares, shape (jobs,).

    aside: all of them as one group with one answer.
    """

    aside: Aside
    columns: Columns
    weight: FloatArray
    unplaced: FloatArray


class Crowd:
    """The small jobs of a problem with the answers that they have given; `jobs` flags them, shape (jobs,)."""

    def __init__(self, pricing: Pricing, first: Columns, prices: Prices) -> None:
        """Take a first answer: the cheapest of these runs of every job at some prices."""
        self._pricing = pricing
        self._most = MOST_RUNS[sizes(pricing.table)]
        self.jobs: BoolArray = sizes(pricing.table) >= SMALL_SIZE
        self._index = np.nonzero(self.jobs)[0]
        self._group = np.arange(len(self._index)) % GROUPS
        self._runs = first.take(np.zeros(0, dtype=np.int64))
        # Of every answer the run of each job among those, or -1: none.
        self._chosen: list[IntArray] = []
        self.hear(first, prices)

    def hear(self, columns: Columns, prices: Prices) -> None:
        """Take the cheapest of these runs of each job as its answer; who has none among them answers as the time before."""
        mine = columns.take(self.jobs[columns.job])
        order = np.lexsort((priced_eur(mine, prices, self._pricing.frame.hours), mine.job))
        job, first = np.unique(mine.job[order], return_index=True)
        runs = mine.take(order[first])
        self._runs = join([self._runs, runs])
        by_key = np.argsort(self._runs.key, kind="stable")
        chosen = self._chosen[-1].copy() if self._chosen else np.full(len(self._index), -1, dtype=np.int64)
        chosen[np.searchsorted(self._index, job)] = by_key[np.searchsorted(self._runs.key[by_key], runs.key)]
        self._chosen.append(chosen)

    def aside(self) -> Aside:
        """All answers; a job that answered with no run is left out."""
        shape = (GROUPS, len(self._chosen), *self._pricing.shape)
        left_out_eur = self._pricing.table.unplaced[self._index]
        cost, gpus, draw_kw = np.zeros(shape[:2]), np.zeros(shape), np.zeros(shape)
        for answer, chosen in enumerate(self._chosen):
            some = chosen >= 0
            eur = left_out_eur.copy()
            eur[some] = self._runs.cost[chosen[some]]
            cost[:, answer] = np.bincount(self._group, weights=eur, minlength=GROUPS)
            picked = self._runs.take(chosen[some])
            gpus[:, answer], draw_kw[:, answer] = loads_by(picked, self._group[some], (GROUPS, *self._pricing.shape))
        return Aside(jobs=self.jobs, cost=cost, gpus=gpus, draw_kw=draw_kw)

    def parted(self, master: Master, solved: Solved, new: Columns) -> tuple[Columns, Resting]:
        """Runs of the jobs that may begin in the commit window, for rows of their own, and the others as the mixture has them.

        Args:
            master: with the answers of this crowd.
            solved: its solution.
            new: more runs to choose from.
        """
        commit_slots, count = self._pricing.problem.commit_slots, self._pricing.table.count
        weight = solved.plant[master.frame.rows.answers]
        assert solved.prices is not None
        columns = join([self._runs, new.take(self.jobs[new.job])])
        cost = priced_eur(columns, solved.prices, self._pricing.frame.hours)
        least = np.full(count, np.inf)
        np.minimum.at(least, columns.job, cost)
        now = early(columns, commit_slots)
        cheap = cost - least[columns.job] < kept_eur(solved, now)
        awake = np.zeros(count, dtype=np.bool_)
        awake[columns.job[cheap & now]] = True
        mixed, _, _ = self._mixture(weight, self.jobs)
        awake[mixed.job[early(mixed, commit_slots)]] = True
        mine = awake[columns.job] & cheap & cheapest_few(columns, cost, np.zeros(columns.count, dtype=np.bool_), self._most)
        return columns.take(mine), self._resting(weight, self.jobs & ~awake)

    def _resting(self, weight: FloatArray, jobs: BoolArray) -> Resting:
        """Jobs that keep what they do in a mixture; weight: shape (groups, answers)."""
        runs, share, unplaced = self._mixture(weight, jobs)
        gpus, draw_kw = loads_by(runs, np.zeros(runs.count, dtype=np.int64), (1, *self._pricing.shape), share)
        eur = float((runs.cost * share).sum() + (self._pricing.table.unplaced * unplaced).sum())
        aside = Aside(jobs=jobs, cost=np.full((1, 1), eur), gpus=gpus[:, None], draw_kw=draw_kw[:, None])
        return Resting(aside=aside, columns=runs, weight=share, unplaced=unplaced)

    def _mixture(self, weight: FloatArray, jobs: BoolArray) -> tuple[Columns, FloatArray, FloatArray]:
        """Runs of some of the jobs in a mixture, their weights, and the jobs' unplaced shares, shape (jobs,)."""
        here = np.nonzero(jobs[self._index])[0]
        chosen = np.stack(self._chosen)[:, here]
        share = weight.T[:, self._group[here]]
        used, some = share > DUST, chosen >= 0
        unplaced = np.zeros(len(jobs))
        np.add.at(unplaced, np.broadcast_to(self._index[here], chosen.shape)[used & ~some], share[used & ~some])
        run, back = np.unique(chosen[used & some], return_inverse=True)
        weights = np.zeros(len(run))
        np.add.at(weights, back, share[used & some])
        return self._runs.take(run), weights, unplaced
