"""The master problem: choose a mix of columns for every job, and run the plant with the load they add up to.

    min  plant(G, E, P) + sum_c cost_c x_c + sum_j unplaced_j u_j
    sum over the columns of job j of x_c + u_j = 1                         (dual: what job j costs)
    sum_c gpus_ck x_c <= G[z,k] + E[z,k]                                   (dual: - h lam)
    sum_c kw_ck x_c    = P[z,k]                                            (dual: - h pi)

The LP stays hot in HiGHS: columns are added, bounds change in a dive. Written for thousands of columns, so as arrays.

With many jobs the load rows are written by change: row k less row k - 1. A run loads many steps alike, so most of its entries
cancel, and the same LP is a third smaller and a quarter faster. The dual of row k is then that of k less that of k + 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import highspy
import numpy as np

from scheduler.core.planning.aggregate import Envelope, Prices, add_plant
from scheduler.core.planning.columns import Columns, join
from scheduler.core.planning.frame import Frame
from scheduler.core.planning.options import JobTable
from scheduler.core.planning.plant_families import PlantVars, Scale
from scheduler.core.planning.program import INF, Builder, HotLp, LpArrays
from scheduler.domain.problem import PlanProblem
from scheduler.domain.time import BoolArray, FloatArray, IntArray

Status = highspy.HighsBasisStatus
# HiGHS: 1 dual simplex (after bounds moved), 4 primal simplex (after columns were added).
DUAL_SIMPLEX, PRIMAL_SIMPLEX = 1, 4
# Loads of neighbouring steps that differ by no more than this share are the same.
SAME = 1e-12
# Index of the row of a job that stands aside.
NOT_HERE = -1
# First slots of the stretches of starts of which a dive keeps one run each.
STRETCHES = (1, 2, 3, 4, 12, 24, 48, 96, 144)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Row indices: one per job, and per (pool, step) for GPUs and draw; unplaced: column of every job's u_j; NOT_HERE: none.

    spare: columns of GPUs left over, where load rows hold the change from the step before; else none.
    answers: columns of what groups of jobs answer, shape (groups, answers).
    """

    job: IntArray
    gpus: IntArray
    draw: IntArray
    unplaced: IntArray
    spare: IntArray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    answers: IntArray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))

    @property
    def by_change(self) -> bool:
        """Whether load rows hold the change from the step before."""
        return bool(self.spare.size)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aside:
    """Jobs without rows and runs of their own: flags, shape (jobs,); what each group of them may answer, of which it mixes.

    cost: in EUR, shape (groups, answers). gpus, draw_kw: loads, shape (groups, answers, pools, steps).
    """

    jobs: BoolArray
    cost: FloatArray
    gpus: FloatArray
    draw_kw: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Skeleton:
    """The master without columns."""

    arrays: LpArrays
    plant: PlantVars
    scale: Scale
    rows: Rows
    frame: Frame


@dataclass(slots=True, kw_only=True, eq=False)
class Solved:
    """A solution of the master: objective, weights of the columns, unplaced shares, plant columns; prices of an LP."""

    objective_eur: float
    weight: FloatArray
    unplaced: FloatArray
    plant: FloatArray
    prices: Prices | None = None
    job_eur: FloatArray = field(default_factory=lambda: np.zeros(0))


def skeleton(
    problem: PlanProblem,
    frame: Frame,
    table: JobTable,
    envelope: Envelope,
    integral_steps: int = 0,
    *,
    by_change: bool = False,
    aside: Aside | None = None,
) -> Skeleton:
    """Write plant, job rows and load rows; a running job cannot be left out, and one that stands aside has no row."""
    build = Builder()
    plant, scale = add_plant(build, problem, frame, envelope.of_runs, integral_steps)
    shape = plant.gpus.shape
    here = np.arange(table.count) if aside is None else np.nonzero(~aside.jobs)[0]
    unplaced, job = (np.full(table.count, NOT_HERE, dtype=np.int64) for _ in range(2))
    most = np.where(table.running[here], 0.0, 1.0)
    unplaced[here] = build.columns("unplaced", (len(here),), cost=table.unplaced[here], upper=most)
    answers = build.columns("answers", (0, 0) if aside is None else aside.cost.shape, cost=0.0 if aside is None else aside.cost)
    job[here] = build.rows("job_once", (len(here),), lower=1.0, upper=1.0)
    build.put(job[here], unplaced[here], 1.0)
    gpus = build.rows("load_gpus", shape, lower=0.0 if by_change else -INF, upper=0.0)
    # A change has a sign of its own: what is left of "at most" becomes a column.
    spare = build.columns("spare_gpus", shape if by_change else (0, 0))
    for columns, value in ((plant.gpus, -1.0), (plant.over, -1.0), (spare, 1.0)):
        if columns.size:
            _put_load(build, gpus, columns, value, by_change=by_change)
    draw = build.rows("load_draw", shape, lower=0.0, upper=0.0)
    _put_load(build, draw, plant.draw, -1.0, by_change=by_change)
    if aside is not None:
        build.put(build.rows("one_answer", (len(answers),), lower=1.0, upper=1.0)[:, None], answers, 1.0)
        for at, load in ((gpus, aside.gpus / scale.gpus), (draw, aside.draw_kw / scale.kw)):
            entry = np.diff(load, axis=-1, prepend=0.0) if by_change else load
            group, answer, pool, step = np.nonzero(entry)
            build.put(at[pool, step], answers[group, answer], entry[group, answer, pool, step])
    rows = Rows(job=job, gpus=gpus, draw=draw, unplaced=unplaced, spare=spare, answers=answers)
    return Skeleton(arrays=build.build(), plant=plant, scale=scale, rows=rows, frame=frame)


def _put_load(build: Builder, rows: IntArray, columns: IntArray, value: float, *, by_change: bool) -> None:
    """Enter columns of shape (pools, steps) in their load rows."""
    build.put(rows, columns, value)
    if by_change:
        build.put(rows[:, 1:], columns[:, :-1], -value)


def entries(frame: Skeleton, columns: Columns) -> tuple[IntArray, IntArray, FloatArray]:
    """Columns as sparse matrix by columns: (starts, row indices, values); every column begins with its job row."""
    rows, scale = frame.rows, frame.scale
    loads = []
    for at, value in ((rows.gpus, columns.load_gpus / scale.gpus), (rows.draw, columns.load_kw / scale.kw)):
        load = (columns.owner, columns.load_step, value)
        of, step, value = _changes(load, at.shape[1]) if rows.by_change else load
        loads.append((of, at[columns.pool[of], step], value))
    of = np.concatenate([np.arange(columns.count), *(one[0] for one in loads)])
    index = np.concatenate([rows.job[columns.job], *(one[1] for one in loads)])
    value = np.concatenate([np.ones(columns.count), *(one[2] for one in loads)])
    order = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[order], np.arange(columns.count + 1)).astype(np.int64)
    return starts, index[order], value[order]


def _changes(loads: tuple[IntArray, IntArray, FloatArray], steps: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Loads (owner, step, value), in rising steps of each owner, as changes from the step before; the last step ends none."""
    owner, step, value = loads
    follows = np.zeros(len(owner), dtype=np.bool_)
    follows[1:] = (owner[1:] == owner[:-1]) & (step[1:] == step[:-1] + 1)
    before = np.where(follows, np.concatenate([[0.0], value[:-1]]), 0.0)[: len(value)]
    ends = np.append(~follows[1:], True)[: len(value)] & (step + 1 < steps)
    change = value - before
    same = np.abs(change) <= SAME * np.abs(value)
    return (
        np.concatenate([owner[~same], owner[ends]]),
        np.concatenate([step[~same], step[ends] + 1]),
        np.concatenate([change[~same], -value[ends]]),
    )


class Master:
    """The LP with its columns; `columns` grows by `add`."""

    def __init__(self, frame: Skeleton, columns: Columns) -> None:
        """Build from a skeleton and the first columns."""
        self.frame = frame
        self.columns = columns
        self._lp = HotLp(frame.arrays)
        self._base = len(frame.arrays.cost)
        self.plant_lower, self.plant_upper = frame.arrays.lower.copy(), frame.arrays.upper.copy()
        self.must_run: BoolArray = _of_jobs(frame.arrays.upper, frame.rows.unplaced, 1.0) < 0.5
        self._append(columns)

    def _append(self, columns: Columns) -> None:
        """Hand columns to HiGHS."""
        starts, index, value = entries(self.frame, columns)
        count = columns.count
        self._lp.solver.addCols(
            count,
            columns.cost,
            np.zeros(count),
            np.full(count, highspy.kHighsInf),
            len(index),
            starts[:-1].astype(np.int32),
            index.astype(np.int32),
            value,
        )

    def add(self, columns: Columns) -> int:
        """Add the runs that are new; returns how many were."""
        new = join([columns.take(~np.isin(columns.key, self.columns.key))])
        if new.count:
            self._append(new)
            self.columns = join([self.columns, new])
        return new.count

    def solve(self, *, grown: bool = False, barrier: bool = False) -> Solved:
        """Solve the LP.

        Args:
            grown: columns were added since the last solve.
            barrier: by interior point and crossover from scratch, faster than simplex when thousands of columns are new.
        """
        self._by(PRIMAL_SIMPLEX if grown else DUAL_SIMPLEX, barrier=barrier)
        self._lp.solve()
        return self._solved()

    def _by(self, strategy: int, *, barrier: bool = False) -> None:
        """Choose how the next solve goes: by simplex from the last basis, or by interior point from scratch."""
        self._lp.option("simplex_strategy", strategy)
        self._lp.option("solver", "ipm" if barrier else "simplex")
        if barrier:
            self._lp.solver.clearSolver()

    def _solved(self) -> Solved:
        """The solution at which the LP stands."""
        values = self._lp.values
        rows, frame = self.frame.rows, self.frame.frame
        duals = self._lp.row_duals
        gpus, draw = (self._load_duals(duals[at]) for at in (rows.gpus, rows.draw))
        hours = frame.hours
        scale = self.frame.scale
        return Solved(
            objective_eur=self._lp.objective,
            weight=values[self._base :],
            unplaced=_of_jobs(values, rows.unplaced, 0.0),
            plant=values[: self._base],
            prices=Prices(
                gpu_eur_per_gpu_h=-gpus / (hours * scale.gpus),
                draw_eur_per_kwh=-draw / (hours * scale.kw),
            ),
            job_eur=_of_jobs(duals, rows.job, 0.0),
        )

    def _load_duals(self, duals: FloatArray) -> FloatArray:
        """Duals of load rows as if they held the loads themselves, shape (pools, steps)."""
        if not self.frame.rows.by_change:
            return duals
        return duals - np.hstack([duals[:, 1:], np.zeros((len(duals), 1))])

    def reduced_eur(self, solved: Solved) -> FloatArray:
        """Reduced cost of every column at the prices of an LP solution."""
        return reduced_eur(self.columns, solved, self.frame.frame.hours)

    def whole(self, index: IntArray, nodes: int, gap: float) -> FloatArray | None:
        """Plant columns of the best solution with these ones whole, see `HotLp.whole`; the LP itself is untouched."""
        values = self._lp.whole(index, nodes, gap)
        return None if values is None else values[: self._base]

    def try_solve(self, below: float = np.inf, *, barrier: bool = False) -> Solved | None:
        """Solve after bounds moved; None when nothing satisfies them, or as soon as it is sure to cost `below` or more.

        With `barrier` from scratch by interior point, see `solve`.
        """
        self._by(DUAL_SIMPLEX, barrier=barrier)
        self._lp.option("objective_bound", below)
        return self._solved() if self._lp.run() else None

    def try_below(self, limit_eur: float) -> Solved | None:
        """Solve after bounds moved; None when nothing satisfies them, or only at a cost above the limit."""
        self._by(DUAL_SIMPLEX)
        return self._solved() if self._lp.run_below(limit_eur) else None

    @property
    def steps(self) -> int:
        """Simplex steps of the last solve."""
        return self._lp.steps

    def basic(self) -> BoolArray:
        """Columns in the basis of the last solve."""
        status, _ = self._lp.basis()
        return np.array([one == highspy.HighsBasisStatus.kBasic for one in status[self._base :]], dtype=np.bool_)

    def part(self, keep: BoolArray, frame: Skeleton | None = None, *, perturbed: bool = False) -> Master:
        """The same plant with some of the columns, all basic ones among them: it stands at the same solution.

        Args:
            keep: flags of the columns.
            frame: the skeleton with loads in its load rows, for the part of a master that holds their changes.
            perturbed: whether its dual simplex perturbs costs: that led it round for thousands of steps after every decision.
        """
        small = Master(frame or self.frame, self.columns.take(keep))
        small._lp.option("dual_simplex_cost_perturbation_multiplier", float(perturbed))
        every = np.arange(small._base)
        small.bound_plant(every, self.plant_lower[every], self.plant_upper[every])
        status, rows = self._lp.basis()
        runs = [status[self._base + index] for index in np.nonzero(keep)[0]]
        if frame is not None and self.frame.rows.by_change:
            rows = self._rows_of_loads(status, rows)
        small._lp.start_from(status[: small._base] + runs, rows)
        return small

    def _rows_of_loads(self, status: list[Status], rows: list[Status]) -> list[Status]:
        """Status of the rows once load rows hold loads: a GPU row is what its spare column was, a draw row holds exactly."""
        basic, upper = highspy.HighsBasisStatus.kBasic, highspy.HighsBasisStatus.kUpper
        found = list(rows)
        for row, spare in zip(self.frame.rows.gpus.ravel().tolist(), self.frame.rows.spare.ravel().tolist(), strict=True):
            found[row] = basic if basic in (status[spare], rows[row]) else upper
        return found

    def standing(self) -> highspy.HighsBasis:
        """The basis at which the LP stands, to come back to after a try."""
        return self._lp.solver.getBasis()

    def back_to(self, basis: highspy.HighsBasis) -> None:
        """Stand at an earlier basis again: from where a dear try ended, simplex takes thousands of steps back."""
        self._lp.solver.setBasis(basis)

    def bound_columns(self, index: IntArray, lower: FloatArray, upper: FloatArray) -> None:
        """Move the bounds of some columns."""
        self._lp.change_bounds(index + self._base, lower, upper)

    def bound_plant(self, index: IntArray, lower: FloatArray, upper: FloatArray) -> None:
        """Move the bounds of some plant columns, such as pump states."""
        self.plant_lower[index], self.plant_upper[index] = lower, upper
        self._lp.change_bounds(index, lower, upper)


def _of_jobs(values: FloatArray, index: IntArray, aside: float) -> FloatArray:
    """Values by job; of those that stand aside: `aside`."""
    found: FloatArray = np.where(index == NOT_HERE, aside, values[index])
    return found


def reduced_eur(columns: Columns, solved: Solved, hours: FloatArray) -> FloatArray:
    """Reduced cost of any columns at the prices of an LP solution; `hours`: length of each step."""
    assert solved.prices is not None
    found: FloatArray = priced_eur(columns, solved.prices, hours) - solved.job_eur[columns.job]
    return found


def priced_eur(columns: Columns, prices: Prices, hours: FloatArray) -> FloatArray:
    """Cost of columns with what they pay for GPUs and draw; `hours`: length of each step."""
    owner = columns.owner
    pool, step = columns.pool[owner], columns.load_step
    paid = columns.load_gpus * prices.gpu_eur_per_gpu_h[pool, step] + columns.load_kw * prices.draw_eur_per_kwh[pool, step]
    load_eur = np.bincount(owner, weights=paid * hours[step], minlength=columns.count)
    found: FloatArray = columns.cost + load_eur
    return found


def early(columns: Columns, commit_slots: int) -> BoolArray:
    """Columns that begin in the commit window: these must be whole."""
    found: BoolArray = columns.start < commit_slots
    return found


def pruned(master: Master, solved: Solved, runs_per_job: int = 0) -> Master:
    """A smaller master: columns in use, and the one with the least reduced cost of every job, pool and stretch of starts.

    It stands at the same solution. A job that is sent away from where the relaxation had it needs somewhere to go.
    `runs_per_job` keeps so many of the cheapest runs of every job as well.
    """
    columns = master.columns
    reduced = master.reduced_eur(solved)
    stretch = np.searchsorted(np.array(STRETCHES), columns.start, side="right")
    pools = int(columns.pool.max(initial=0)) + 1
    group = (columns.job * pools + columns.pool) * (len(STRETCHES) + 1) + stretch
    order = np.lexsort((reduced, group))
    _, first = np.unique(group[order], return_index=True)
    keep: BoolArray = solved.weight > 0.0
    keep[order[first]] = True
    by_job = np.lexsort((reduced, columns.job))
    job = columns.job[by_job]
    keep[by_job[np.arange(len(job)) - np.searchsorted(job, job) < runs_per_job]] = True
    return master.part(keep | master.basic())


def fixed(master: Master, solved: Solved) -> Master:
    """The columns in use, with their weights: only the plant is still open."""
    used = solved.weight > 0.0
    small = Master(master.frame, master.columns.take(used))
    small.bound_columns(np.arange(int(used.sum())), solved.weight[used], solved.weight[used])
    unplaced = master.frame.rows.unplaced
    here = unplaced != NOT_HERE
    small.bound_plant(unplaced[here], solved.unplaced[here], solved.unplaced[here])
    return small
