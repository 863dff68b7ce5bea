"""Which jobs begin in the commit window, and where: branch and bound over those decisions, on the hot master.

A question is one (job, group): does this job take a run of this group or not? A group is all runs of a job that begin in one
slot of the window on one pool, or all its later runs. The hardest question comes first: most GPUs in doubt. Its likelier answer
is solved, then the other one unless the first costs next to nothing; the cheaper is followed, the other waits. While all doubts
are small, the clearer half of them is settled at once, and with them which cap profile a run has. Only solves are counted, so
the same master gives the same answer; nothing here claims a bound: that comes from the prices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.master import Master, Solved, early
from scheduler.domain.time import BoolArray, FloatArray, IntArray

WHOLE = 1e-6
# A job split evenly is in more doubt than one at the edge; but no split job is in none.
LEAST_DOUBT = 0.01
# While nobody is in doubt with this many hundredths of the free GPUs, the clear half of the doubts is settled at once.
SMALL_DOUBT = 2.0
# In least gains: what settling may cost; under what cost of the likelier answer the other one is not solved at once; how much
# more than the best that waits an answer may cost before it has to wait as well.
BATCH, EASY, PATIENCE = 4.0, 3.0, 40.0
# Without a whole answer as good as wanted, this many times the solves.
MORE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How hard to search.

    solves: solves in all; MORE times as many while nothing is found that costs at most `wanted_eur` more than the bound.
    least_eur: gain under which nothing is worth a solve. enough_eur: how much more than the bound is good enough.
    bound_eur: asked once something is found; until then it may still be worked on elsewhere.
    """

    solves: int
    least_eur: float
    bound_eur: Callable[[], float]
    enough_eur: float
    wanted_eur: float = np.inf


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Node:
    """Runs that are ruled out, the least that any plan without them costs, and the relaxation where it was solved already."""

    banned: BoolArray
    least_eur: float
    found: Solved | None


class Search:
    """One search on a master, whose bounds it moves; `doubtful`: jobs that ever were a question."""

    def __init__(self, master: Master, commit_slots: int, gpus: FloatArray) -> None:
        """Sort runs into groups.

        Args:
            master: runs to choose from; pump states and other bounds stay as they are.
            commit_slots: slots of the window.
            gpus: GPUs of every job, shape (jobs,).
        """
        self.master = master
        self._gpus = gpus
        columns = master.columns
        self._job = columns.job
        self._window = early(columns, commit_slots)
        pools = int(columns.pool.max(initial=0)) + 1
        place = np.where(self._window, columns.start * pools + columns.pool + 1, 0)
        width = int(place.max(initial=0)) + 1
        names, self._group = np.unique(columns.job * width + place, return_inverse=True)
        self._group_job, self._group_is_early = names // width, names % width > 0
        self._first = np.searchsorted(self._group_job, np.unique(self._group_job))
        # Whom no run takes is banned like a run: flags of the columns, then of the jobs' unplaced shares.
        self._now = np.zeros(columns.count + len(gpus), dtype=np.bool_)
        self._of = np.append(columns.job, np.arange(len(gpus)))
        self._group = np.append(self._group, np.full(len(gpus), -1))
        self._solves = 0
        self.doubtful: set[int] = set()

    def run(self, root: Solved, effort: Effort, out_of_time: Callable[[], bool]) -> Solved | None:
        """Best whole answer found; None when there was none within the effort. All runs are free again afterwards.

        Args:
            root: solution of the master without any decision.
            effort: when to stop.
            out_of_time: emergency brake.
        """
        best = self._best(root, effort, out_of_time) if len(self._job) else root
        self.free()
        return best

    def hold(self, whole: Solved) -> BoolArray:
        """Leave only what a whole answer has in the window; flags of the jobs that begin later, shape (jobs,)."""
        count = len(self._job)
        taken = self._window & (whole.weight[:count] > 1.0 - WHOLE)
        later = np.ones(len(self._gpus), dtype=np.bool_)
        later[self._job[taken]] = False
        banned = ~later[self._of]
        banned[:count] = ~taken & (self._window | banned[:count])
        self._ban(banned)
        return later

    def free(self) -> None:
        """Take everything back."""
        self._ban(np.zeros(len(self._now), dtype=np.bool_))

    def _best(self, root: Solved, effort: Effort, out_of_time: Callable[[], bool]) -> Solved | None:
        """The search itself."""
        best: Solved | None = None
        waiting = [_Node(banned=self._now, least_eur=root.objective_eur, found=root)]
        node: _Node | None = None
        while not out_of_time():
            wanting = best is None or best.objective_eur > effort.bound_eur() + effort.wanted_eur
            if self._solves >= effort.solves * (MORE if wanting else 1):
                break
            below = np.inf if best is None else best.objective_eur - effort.least_eur
            if node is None:
                waiting = [one for one in waiting if one.least_eur < below]
                if not waiting or (best is not None and best.objective_eur <= effort.bound_eur() + effort.enough_eur):
                    return best
                node = waiting.pop(min(range(len(waiting)), key=lambda index: waiting[index].least_eur))
            found = node.found if node.found is not None else self._solve(node.banned, below)
            if found is None:
                node = None
                continue
            answers = self._after(node.banned, found, below, effort.least_eur)
            if answers is None:
                best, node = found, None
                continue
            limit = min((one.least_eur for one in waiting), default=np.inf) + PATIENCE * effort.least_eur
            node = answers.pop(0) if answers and answers[0].least_eur <= limit else None
            waiting += answers
        return best

    def _after(self, banned: BoolArray, found: Solved, below: float, least_eur: float) -> list[_Node] | None:
        """Nodes that follow, the one to go on with first; None when all is whole."""
        share, between, within = self._open(found.weight)
        self.doubtful.update(self._group_job[between].tolist() + self._group_job[within].tolist())
        if not len(between) and not len(within):
            return None
        doubt = self._gpus[self._group_job[between]] * (np.minimum(share[between], 1.0 - share[between]) + LEAST_DOUBT)
        small = SMALL_DOUBT * self.master.frame.scale.gpus
        if not len(between) or doubt.max() < small:
            clear = between[np.argsort(-share[between], kind="stable")[: (len(between) + 1) // 2]]
            batch = self._batch(banned, found, clear, within)
            after = _node(batch, self._solve(batch, min(below, found.objective_eur + BATCH * least_eur)))
            if after is not None:
                return [after]
            if not len(between):
                after = _node(batch, self._solve(batch, below))
                return [] if after is None else [after]
        return self._answers(banned, found, int(between[int(np.argmax(doubt))]), (below, EASY * least_eur))

    def _batch(self, banned: BoolArray, found: Solved, between: IntArray, within: IntArray) -> BoolArray:
        """Send these jobs to their heaviest group; whoever is in one group of the window already gets its heaviest run."""
        for group in between:
            banned = banned | self._elsewhere(int(group))
        for group in within:
            if not self._group_is_early[group]:
                banned = banned | self._elsewhere(int(group))
                continue
            runs = np.nonzero(self._group == group)[0]
            top = runs[int(np.argmax(found.weight[runs]))]
            banned = banned | (self._of == self._group_job[group])
            banned[top] = False
        return banned

    def _solve(self, banned: BoolArray, below: float) -> Solved | None:
        """Relaxation without the banned runs; None when it costs `below` or more, or nothing is feasible."""
        self._ban(banned)
        self._solves += 1
        found = self.master.try_solve(below)
        return found if found is not None and found.objective_eur < below else None

    def _ban(self, banned: BoolArray) -> None:
        """Rule these runs out, and no others."""
        moved = np.nonzero(banned != self._now)[0]
        runs = moved[moved < len(self._job)]
        self.master.bound_columns(runs, np.zeros(len(runs)), np.where(banned[runs], 0.0, np.inf))
        left = moved[len(runs) :] - len(self._job)
        most = np.where(banned[moved[len(runs) :]] | self.master.must_run[left], 0.0, 1.0)
        self.master.bound_plant(self.master.frame.rows.unplaced[left], np.zeros(len(left)), most)
        self._now = banned

    def _shares(self, weight: FloatArray) -> tuple[FloatArray, IntArray]:
        """Weight of every group, and the heaviest group of every job that has runs, the first of equals."""
        share = np.bincount(self._group[: len(weight)], weights=weight, minlength=len(self._group_job)).astype(np.float64)
        most: FloatArray = np.maximum.reduceat(share, self._first)
        length = np.diff(np.append(self._first, len(share)))
        hit = np.nonzero(share >= np.repeat(most, length))[0]
        _, first = np.unique(self._group_job[hit], return_index=True)
        heaviest: IntArray = hit[first]
        return share, heaviest

    def _open(self, weight: FloatArray) -> tuple[FloatArray, IntArray, IntArray]:
        """Weights of the groups; heaviest group of every job that is split between groups, and of every other split job."""
        share, top = self._shares(weight)
        part = self._window & (weight > WHOLE) & (weight < 1.0 - WHOLE)
        split = np.zeros(int(self._group_job.max(initial=0)) + 1, dtype=np.bool_)
        split[self._job[part]] = True
        mine = top[split[self._group_job[top]]]
        between = share[mine] < 1.0 - WHOLE
        return share, mine[between], mine[~between]

    def _answers(self, banned: BoolArray, found: Solved, group: int, limits: tuple[float, float]) -> list[_Node]:
        """Nodes of both answers to a question, the one to follow first; only those that may cost less than the limit."""
        below, easy_eur = limits
        here, other_way = self._group == group, self._elsewhere(group)
        follow = _node(banned | other_way, self._solve(banned | other_way, below))
        other = banned | here
        if follow is not None and follow.least_eur <= found.objective_eur + easy_eur:
            return [follow, _Node(banned=other, least_eur=found.objective_eur, found=None)]
        answers = [one for one in (follow, _node(other, self._solve(other, below))) if one is not None]
        return sorted(answers, key=lambda one: one.least_eur)

    def _elsewhere(self, group: int) -> BoolArray:
        """What is ruled out when a job takes a run of this group; of later runs it may take a part only."""
        found: BoolArray = (self._of == self._group_job[group]) & (self._group != group)
        if not self._group_is_early[group]:
            found[len(self._job) :] = False
        return found


def _node(banned: BoolArray, found: Solved | None) -> _Node | None:
    """A node that was solved, if it is worth having."""
    return None if found is None else _Node(banned=banned, least_eur=found.objective_eur, found=found)
