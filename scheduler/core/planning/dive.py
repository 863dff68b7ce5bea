"""From a mix of runs to decisions: what begins in the commit window becomes whole, batch by batch.

A decision fixes one job to its largest run of the commit window, or to "later". Half of the open jobs are fixed at a time, the
clearest first; a batch that costs too much is undone and halved; a single job tries both ways. Heat pumps that would run below
their least load in the window are decided first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from scheduler.core.planning.aggregate import Fixed
from scheduler.core.planning.master import Master, Solved, early
from scheduler.domain.time import BoolArray, FloatArray, IntArray

WHOLE = 1e-6
# A batch may raise the cost by this share of the objective before it is undone.
BATCH_RISE = 2e-4
# Out of time, all that is open is decided at once so many times before the rest is sent away.
LAST_ROUNDS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One job: its column in the commit window, or None for later; how clear the relaxation is about it."""

    job: int
    column: int | None
    clear: float


class Dive:
    """State of one dive on a master; at the end its bounds are those of the decisions."""

    def __init__(self, master: Master, commit_slots: int, least_eur: float, held: Fixed | None = None) -> None:
        """Remember which columns must be whole.

        Args:
            master: runs to choose from; its bounds are the state of the dive.
            commit_slots: slots of the commit window.
            least_eur: a rise that is always allowed.
            held: pump states that are decided, those of the window among them; None: the dive decides those of the window.
        """
        self.master = master
        self.window = early(master.columns, commit_slots)
        self._of_job = master.columns.job
        self._least_eur = least_eur
        self.doubtful: set[int] = set()
        self._commit_slots = commit_slots
        self._held = held
        if held is not None:
            master.bound_plant(held[0], held[1], held[1])
        index = np.nonzero(self.window)[0]
        self._by_job = index[np.argsort(self._of_job[index], kind="stable")]
        self._first = np.searchsorted(self._of_job[self._by_job], np.arange(len(master.must_run) + 1))

    def _mine(self, job: int) -> IntArray:
        """Columns of a job in the commit window."""
        found: IntArray = self._by_job[self._first[job] : self._first[job + 1]]
        return found

    def run(self, start: Solved, batches: int, out_of_time: Callable[[], bool]) -> Solved:
        """Decide until everything in the window is whole; beyond `batches` solves, or out of time, all at once."""
        found, share = self._pumps(start), 0.5
        while True:
            open_jobs = self.open_jobs(found.weight)
            self.doubtful.update(int(job) for job in open_jobs)
            if not len(open_jobs):
                return found
            batches -= 1
            if batches <= 0 or out_of_time():
                return self._at_once(found)
            wanted = sorted((self._decision(found.weight, job) for job in open_jobs), key=lambda one: (-one.clear, one.job))
            size = max(1, int(np.ceil(share * len(wanted))))
            after = self._fixed(wanted[:size])
            allowed = found.objective_eur + self._least_eur + BATCH_RISE * abs(found.objective_eur)
            if after is not None and after.objective_eur <= allowed:
                found, share = after, min(0.5, 2.0 * share)
            elif size > 1:
                self._free(wanted[:size])
                share = share / 2.0
            else:
                found = self._both(wanted[0], after)

    def begin(self, start: Solved) -> Solved:
        """Decide the pumps alone."""
        return self._pumps(start)

    def open_jobs(self, weight: FloatArray) -> IntArray:
        """Jobs with a part of a run in the commit window."""
        part = self.window & (weight > WHOLE) & (weight < 1.0 - WHOLE)
        return np.unique(self._of_job[part])

    def _decision(self, weight: FloatArray, job: int) -> Decision:
        """The largest part of a job: one run of the window, or everything later."""
        mine = self._mine(job)
        parts = weight[mine]
        later = 1.0 - float(parts.sum())
        top = int(np.argmax(parts))
        if later > float(parts[top]) and later > 0.5 - 1e-9:
            return Decision(job=job, column=None, clear=later)
        return Decision(job=job, column=int(mine[top]), clear=float(parts[top]))

    def _bound(self, decisions: list[Decision], *, fix: bool) -> None:
        """Write decisions into the bounds, or take them back."""
        if not decisions:
            return
        mine = np.concatenate([self._mine(one.job) for one in decisions])
        chosen = np.isin(mine, [one.column for one in decisions if fix and one.column is not None])
        self.master.bound_columns(mine, np.where(chosen, 1.0, 0.0), np.where(chosen, 1.0, 0.0 if fix else np.inf))

    def _fixed(self, decisions: list[Decision], *, barrier: bool = False) -> Solved | None:
        """Solve with decisions; None when they contradict each other."""
        self._bound(decisions, fix=True)
        return self.master.try_solve(barrier=barrier)

    def _at_once(self, found: Solved, *, barrier: bool = False) -> Solved:
        """Decide all jobs that are open, again and again; those still open at last begin later, and all else stays as it is.

        The last jobs hand ever smaller parts of themselves on to others, and would a hundred times.
        """
        for _ in range(LAST_ROUNDS):
            if not len(self.open_jobs(found.weight)):
                return found
            found = self._sure(self._fitting(found), barrier=barrier)
            barrier = False
        later = np.intersect1d(self.open_jobs(found.weight), self._of_job[~self.window])
        decisions = [self._decision(found.weight, int(job)) for job in np.unique(self._of_job[self.window])]
        return self._sure([replace(one, column=None) if one.job in later else one for one in decisions])

    def _fitting(self, found: Solved) -> list[Decision]:
        """Decisions about all open jobs: a run that has no room beside all larger ones is put off.

        One by one each would find room by sending smaller ones away; together they would take more GPUs than there are.
        """
        columns, frame, must_run = self.master.columns, self.master.frame, self.master.must_run
        free = frame.arrays.upper[frame.plant.gpus] * frame.scale.gpus
        decisions = {job: self._decision(found.weight, job) for job in self.open_jobs(found.weight).tolist()}
        put_off = set(self._of_job[~self.window].tolist())
        whole = np.nonzero(self.window & (found.weight >= 1.0 - WHOLE))[0].tolist()
        runs = [*whole, *(one.column for one in decisions.values() if one.column is not None)]
        loads = {run: slice(columns.load_first[run], columns.load_first[run + 1]) for run in runs}
        for run in sorted(runs, key=lambda one: (not must_run[self._of_job[one]], -columns.load_gpus[loads[one]].max(), one)):
            job, at = int(self._of_job[run]), (columns.pool[run], columns.load_step[loads[run]])
            left = free[at] - columns.load_gpus[loads[run]]
            if job in decisions and job in put_off and left.min() < -WHOLE:
                decisions[job] = replace(decisions[job], column=None)
            else:
                free[at] = left
        return list(decisions.values())

    def _sure(self, decisions: list[Decision], *, barrier: bool = False) -> Solved:
        """Solve with decisions, with the pumps decided anew where they contradict."""
        found = self._fixed(decisions, barrier=barrier) or self._with_pumps_anew(decisions)
        if found is None:
            raise ArithmeticError(f"no plan holds the decisions of {len(decisions)} jobs")
        return found

    def _free(self, decisions: list[Decision]) -> None:
        """Take decisions back."""
        self._bound(decisions, fix=False)

    def _both(self, decision: Decision, first: Solved | None) -> Solved:
        """Keep the better of a decision and its opposite."""
        self._free([decision])
        mine = self._mine(decision.job)
        other = Decision(job=decision.job, column=None if decision.column is not None else int(mine[0]), clear=0.0)
        second = self._fixed([other])
        if second is None or (first is not None and first.objective_eur <= second.objective_eur):
            self._free([other])
            second = self._fixed([decision])
        if second is None:
            second = self._with_pumps_anew([decision])
        if second is None:
            self._free([decision])
            raise ArithmeticError("no decision of a job keeps the plan feasible")
        return second

    def _with_pumps_anew(self, decisions: list[Decision]) -> Solved | None:
        """Decide the pumps again after jobs: as they stand they ask for more heat than those leave (minimum load)."""
        held = self._window_states() if self._held is None else [self._held[0]]
        for states in held:
            self.master.bound_plant(states, np.zeros(len(states)), np.ones(len(states)))
        self._held = None
        found = self._fixed(decisions)
        return None if found is None else self._pumps(found)

    def _pumps(self, start: Solved) -> Solved:
        """Decide the pump states of the window: as relaxed but rounded, all on, or all off, whichever costs least."""
        if self._held is not None:
            return start
        found = start
        for states in self._window_states():
            value = found.plant[states]
            chosen = np.round(value)
            if bool(((value > WHOLE) & (value < 1.0 - WHOLE)).any()):
                tries = [np.ceil(value - WHOLE), chosen, np.ones(len(states)), np.zeros(len(states))]
                chosen, found = self._cheapest_states(found, states, tries)
            self.master.bound_plant(states, chosen, chosen)
        return found

    def _cheapest_states(self, found: Solved, states: IntArray, tries: list[FloatArray]) -> tuple[FloatArray, Solved]:
        """The first of the cheapest states and the solution with them; a try ends as soon as it costs more than the best."""
        chosen, best = tries[0], None
        for index, one in enumerate(tries):
            if any(np.array_equal(one, before) for before in tries[:index]):
                continue
            self.master.bound_plant(states, one, one)
            after = self.master.try_below(np.inf if best is None else best.objective_eur)
            if after is not None and (best is None or after.objective_eur < best.objective_eur):
                chosen, best = one, after
        return chosen, found if best is None else best

    def pump_states(self, found: Solved) -> Fixed:
        """Columns of the pump states that were decided and their values, whole."""
        if self._held is not None:
            return self._held
        states = self._window_states()
        if not states:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        index = np.concatenate(states)
        return index, np.round(found.plant[index])

    def _window_states(self) -> list[IntArray]:
        """Pump state columns of the steps that begin in the commit window, per plug."""
        skeleton = self.master.frame
        steps: BoolArray = skeleton.frame.step_start < self._commit_slots
        return [plug.on[steps] for plug in skeleton.plant.plugs if len(plug.on)]
