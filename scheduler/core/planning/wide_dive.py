"""The dive of problems with many jobs: the largest gangs first, and no solve goes on once it costs more than is allowed.

A gang that fills a good part of a pool fits only while the pool is still open: decided last, between small jobs that are fixed
already, it cost 20 EUR of 4,500 where it now costs one (2,000 jobs). So gangs are decided one by one, the largest first,
each on the pool and at the time that costs least; the many small jobs follow in batches.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scheduler.core.planning.aggregate import Fixed
from scheduler.core.planning.dive import BATCH_RISE, WHOLE, Decision, Dive
from scheduler.core.planning.master import STRETCHES, Master, Skeleton, Solved, early, reduced_eur
from scheduler.core.planning.pricing import Pricing
from scheduler.core.planning.sizes import HOT_JOBS, MOST_RUNS, SMALL_SIZE, cheapest_few, sizes
from scheduler.domain.problem import PlanProblem
from scheduler.domain.time import BoolArray, FloatArray, IntArray

# A gang is a job that holds this share of the largest pool.
GANG_FRACTION = 1.0 / 16.0
# Of the objective: reduced cost up to which a run of the commit window, and a later one, is kept for the dive.
NOW_FRACTION, KEPT_FRACTION = 1e-4, 1e-5
# A reduced cost so far below nothing is rounding, EUR.
SAME_EUR = 1e-7
# A weight up to this is none.
DUST = 1e-9
# Where nothing is found below a limit it rises by this factor, so many times.
RAISE, RAISES = 8.0, 3
# Thousands of jobs: after so many batches every so many tries to leave all as it is.
OPEN_BATCHES, EACH = 6, 3
# Hundreds: after so many simplex steps every so many batches, if that costs at most so many least rises more than the
# relaxation, and more after more steps. The longest of twenty dives of 500 jobs took 12,700; ended after 3,400 its gap is
# 0.13 % wider.
OPEN_STEPS, HOT_EACH, OPEN_RISES = (1500, 4000), 2, (24.0, 32.0)


def gangs(problem: PlanProblem) -> BoolArray:
    """Flags of the jobs that are decided one by one, shape (jobs,)."""
    largest = max((float(np.max(pool.gpus_free[: problem.commit_slots], initial=0.0)) for pool in problem.pools), default=0.0)
    found: BoolArray = np.array([job.gpus >= GANG_FRACTION * largest for job in problem.jobs], dtype=np.bool_)
    return found


def narrowed(master: Master, solved: Solved, commit_slots: int, frame: Skeleton | None = None) -> Master:
    """A smaller master that stands at the same optimum: runs in the basis, and those that may take their place.

    Of every job, pool and stretch of starts the run of least reduced cost is kept, unless it is dear; of every job the cheapest
    run after the commit window is kept in any case. `frame` has loads in its load rows: a dive moves a bound and solves again,
    which their changes make many times slower, as much as they help to solve from scratch.
    """
    columns, reduced = master.columns, master.reduced_eur(solved)
    stretch = np.searchsorted(np.array(STRETCHES), columns.start, side="right")
    pools = int(columns.pool.max(initial=0)) + 1
    group = (columns.job * pools + columns.pool) * (len(STRETCHES) + 1) + stretch
    now = early(columns, commit_slots)
    keep = _cheapest(group, reduced, np.arange(columns.count)) & (reduced < kept_eur(solved, now))
    keep |= _cheapest(columns.job, reduced, np.nonzero(~now)[0])
    return master.part(keep | (solved.weight > 0.0) | master.basic(), frame)


def with_fallbacks(pricing: Pricing, master: Master, solved: Solved, commit_slots: int) -> Master:
    """Give jobs that may begin in the commit window runs to fall back on when they do not fit there.

    Per stretch of starts the cheapest one, whatever it costs, and all that are not dear. Runs that the relaxation would rather
    have are left out: they gained it less than 0.01 %, in up to seven seconds of simplex; so it is still solved.
    """
    now = early(master.columns, commit_slots)
    flags = np.zeros(pricing.table.count, dtype=np.bool_)
    flags[master.columns.job[now & (master.reduced_eur(solved) < kept_eur(solved, now))]] = True
    assert solved.prices is not None
    found = pricing.columns(solved.prices, len(STRETCHES) * len(STRETCHES), only=flags)
    reduced = reduced_eur(found, solved, pricing.frame.hours)
    worse = reduced >= -SAME_EUR
    found, reduced = found.take(worse), reduced[worse]
    stretch = np.searchsorted(np.array(STRETCHES), found.start, side="right")
    cheapest = _cheapest(found.job * (len(STRETCHES) + 1) + stretch, reduced, np.arange(found.count))
    kept = kept_eur(solved, early(found, commit_slots))
    most = MOST_RUNS[sizes(pricing.table)]
    master.add(found.take(cheapest | ((reduced < kept) & cheapest_few(found, reduced, cheapest, most))))
    return master


def kept_eur(solved: Solved, now: BoolArray) -> FloatArray:
    """Reduced cost up to which runs are of use to a dive; `now` flags those of the commit window."""
    found: FloatArray = np.where(now, NOW_FRACTION, KEPT_FRACTION) * max(1.0, abs(solved.objective_eur))
    return found


def _cheapest(group: IntArray, reduced: FloatArray, among: IntArray) -> BoolArray:
    """Flags of the run with the least reduced cost of every group, among some of the runs."""
    order = among[np.lexsort((reduced[among], group[among]))]
    _, first = np.unique(group[order], return_index=True)
    found = np.zeros(len(group), dtype=np.bool_)
    found[order[first]] = True
    return found


class WideDive(Dive):
    """A dive that decides gangs one by one before all others."""

    def __init__(
        self,
        master: Master,
        problem: PlanProblem,
        least_eur: float,
        held: Fixed | None = None,
        size: IntArray | None = None,
    ) -> None:
        """Tell gangs from other jobs; arguments as for `Dive`, and the size of every job (`sizes`): None, all are large."""
        super().__init__(master, problem.commit_slots, least_eur, held)
        self._small = np.zeros(len(problem.jobs), dtype=np.bool_) if size is None else size >= SMALL_SIZE
        self.gang = gangs(problem)
        # Of thousands of jobs somebody always takes up what is left over.
        self._hands_on = len(problem.jobs) > HOT_JOBS
        self._later = np.zeros(len(problem.jobs), dtype=np.bool_)
        self._later[self._of_job[~self.window]] = True
        self._decided: dict[int, Decision] = {}
        self._came_late: set[int] = set()
        # Simplex steps so far, and the cost of the relaxation.
        self._steps, self._start_eur = 0, 0.0
        self._gpus = np.array([job.gpus for job in problem.jobs], dtype=np.float64)

    def run(self, start: Solved, batches: int, out_of_time: Callable[[], bool]) -> Solved:
        """Decide until everything in the window is whole; beyond `batches` solves as it stands, out of time all at once."""
        self._rest(start)
        self._start_eur = start.objective_eur
        found, share, batch = self._pumps(start), 1.0, 0
        self._hold_gangs(found)
        while True:
            open_jobs = self.open_jobs(found.weight)
            if not len(open_jobs):
                return found
            batches -= 1
            ended = self._as_it_is(found, np.inf) if batches <= 0 else None
            if ended is not None:
                return ended
            if batches <= 0 or out_of_time():
                # Dual simplex took ten seconds with 5,000 jobs, an interior point from scratch three.
                return self._at_once(found, barrier=True)
            large = open_jobs[self.gang[open_jobs]]
            if len(large):
                # Running gangs first: their GPUs are taken whatever is decided, and queued ones must not be given them.
                order = np.lexsort((large, -self._gpus[large], ~self.master.must_run[large]))
                found = self._gang(found, int(large[order[0]]))
                continue
            wanted = sorted((self._decision(found.weight, job) for job in open_jobs), key=lambda one: (-one.clear, one.job))
            batch += 1
            ended = self._left(found, batch)
            if ended is not None:
                return ended
            size = max(1, int(np.ceil(share * len(wanted))))
            if size == 1:
                found = self._cheapest(found, [wanted[0], self._opposite(wanted[0])])
                continue
            after = self._below(wanted[:size], self._allowed(found))
            if after is not None:
                found, share = after, min(1.0, 2.0 * share)
            else:
                self._free(wanted[:size])
                share = share / 2.0

    def _hold_gangs(self, found: Solved) -> None:
        """Hold gangs that the relaxation lets run on: one that later decisions send away costs a second dive."""
        if self._hands_on:
            return
        sure = np.nonzero(self.window & (found.weight >= 1.0 - WHOLE))[0]
        sure = sure[self.gang[self._of_job[sure]] & self.master.must_run[self._of_job[sure]]]
        self._bound([Decision(job=int(self._of_job[run]), column=int(run), clear=1.0) for run in sure], fix=True)

    def _left(self, found: Solved, batch: int) -> Solved | None:
        """Everything as it is, when a try is due and it costs little; else None."""
        limit_eur = self._allowed(found)
        if self._hands_on:
            due = batch > OPEN_BATCHES and batch % EACH == 0
        else:
            stage = int(np.searchsorted(OPEN_STEPS, self._steps)) - 1
            due = stage >= 0 and batch % HOT_EACH == 0
            limit_eur = max(limit_eur, self._start_eur + OPEN_RISES[stage] * self._least_eur)
        return self._as_it_is(found, limit_eur) if due else None

    def _as_it_is(self, found: Solved, limit_eur: float) -> Solved | None:
        """Everything in the window as it stands, open jobs where they fit; None when that costs more than a limit.

        The last open jobs are a thousandth open, for the few GPUs or kilowatts that whole jobs leave over; each that is decided
        hands its thousandth on to another, a hundred times over.
        """
        opened = self._placed(found)
        if opened is None:
            return None
        could = [job for job in np.unique(self._of_job[self.window]).tolist() if job not in self._decided]
        decisions = [opened.get(job) or self._decision(found.weight, job) for job in could]
        stood = self.master.standing()
        after = self._below(decisions, limit_eur)
        if after is not None and not len(self.open_jobs(after.weight)):
            return after
        self._free(decisions)
        self.master.back_to(stood)
        return None

    def _placed(self, found: Solved) -> dict[int, Decision] | None:
        """Decisions about the open jobs: the run of each that has most weight and room beside all whole ones, or later.

        The largest jobs come first. None when one that must begin in the window has no room.
        """
        columns, frame = self.master.columns, self.master.frame
        free = frame.arrays.upper[frame.plant.gpus] * frame.scale.gpus
        whole = columns.take(np.nonzero(self.window & (found.weight >= 1.0 - WHOLE))[0])
        np.subtract.at(free, (whole.pool[whole.owner], whole.load_step), whole.load_gpus)
        decisions: dict[int, Decision] = {}
        open_jobs = self.open_jobs(found.weight)
        for job in open_jobs[np.lexsort((open_jobs, -self._gpus[open_jobs]))].tolist():
            mine = self._mine(job)
            for run in mine[np.argsort(-found.weight[mine], kind="stable")].tolist():
                load = slice(columns.load_first[run], columns.load_first[run + 1])
                at = columns.pool[run], columns.load_step[load]
                left = free[at] - columns.load_gpus[load]
                if found.weight[run] > WHOLE and left.min() >= -WHOLE:
                    free[at] = left
                    decisions[job] = Decision(job=job, column=run, clear=1.0)
                    break
            else:
                if not self._later[job]:
                    return None
                decisions[job] = Decision(job=job, column=None, clear=1.0)
        return decisions

    def _rest(self, start: Solved) -> None:
        """Small jobs that the relaxation begins later keep the mix that they have there.

        They do a twentieth of the work and are two thirds of the rows; moved about after every decision they cost simplex four
        fifths of its steps.
        """
        resting = self._small.copy()
        resting[self._of_job[self.window & (start.weight > DUST)]] = False
        index = np.nonzero(resting[self._of_job])[0]
        weight = np.where(start.weight[index] > DUST, start.weight[index], 0.0)
        self.master.bound_columns(index, weight, weight)

    def _allowed(self, found: Solved) -> float:
        """Cost up to which a step is taken without looking further."""
        return found.objective_eur + self._least_eur + BATCH_RISE * abs(found.objective_eur)

    def _below(self, decisions: list[Decision], limit_eur: float) -> Solved | None:
        """Solve with decisions; None when they cost more than a limit."""
        self._bound(decisions, fix=True)
        found = self.master.try_below(limit_eur)
        self._steps += self.master.steps
        return found

    def _opposite(self, decision: Decision) -> Decision:
        """Later instead of a run in the window, and the other way round."""
        mine = self._mine(decision.job)
        return Decision(job=decision.job, column=None if decision.column is not None else int(mine[0]), clear=0.0)

    def _gang(self, found: Solved, job: int) -> Solved:
        """Decide one gang: as the relaxation leans, on another pool, or later."""
        first = self._decision(found.weight, job)
        mine = self._mine(job)
        pool = self.master.columns.pool
        options = [first]
        for one in np.unique(pool[mine]):
            here = mine[pool[mine] == one]
            best = int(here[np.argmax(found.weight[here])])
            if found.weight[best] > WHOLE and best != first.column:
                options.append(Decision(job=job, column=best, clear=float(found.weight[best])))
        if first.column is not None and not self.master.must_run[job]:
            options.append(Decision(job=job, column=None, clear=0.0))
        return self._cheapest(found, options)

    def _bound(self, decisions: list[Decision], *, fix: bool) -> None:
        """Write decisions into the bounds and remember them, or take them back."""
        super()._bound(decisions, fix=fix)
        for one in decisions:
            if fix:
                self._decided[one.job] = one
            else:
                self._decided.pop(one.job, None)

    def _cheapest(self, found: Solved, options: list[Decision]) -> Solved:
        """Fix a job to the first option that costs next to nothing, else to the one that costs least.

        If all of them are dear, the job came too late: it is decided once more, before all that are no larger.
        """
        limit_eur = self._allowed(found)
        best = self._tried(found, options, limit_eur)
        if best is None and self._make_room(options[0].job):
            best = self._tried(found, options, limit_eur)
        for _ in range(RAISES):
            if best is None:
                limit_eur = found.objective_eur + RAISE * (limit_eur - found.objective_eur)
                best = self._tried(found, options, limit_eur)
        if best is None:
            return self._both(options[0], self._fixed([options[0]]))
        self._bound([best[0]], fix=True)
        return best[1]

    def _tried(self, found: Solved, options: list[Decision], limit_eur: float) -> tuple[Decision, Solved] | None:
        """The first option that costs next to nothing, else the cheapest below a limit."""
        best: tuple[Decision, Solved] | None = None
        for option in options:
            after = self._below([option], limit_eur if best is None else best[1].objective_eur)
            self._free([option])
            if after is not None and (best is None or after.objective_eur < best[1].objective_eur):
                best = option, after
            if best is not None and best[1].objective_eur <= found.objective_eur + self._least_eur:
                break
        return best

    def _make_room(self, job: int) -> bool:
        """Take back what was decided about other jobs that are no larger; False when there are none, or a second time."""
        if job in self._came_late:
            return False
        self._came_late.add(job)
        others = [one for one in self._decided.values() if one.job != job and self._gpus[one.job] <= self._gpus[job]]
        self._free(others)
        return bool(others)
