"""A plan that knows everything: the upper end of what the bound bounds from below.

The bound mixes schedules and shares pumps; here every job makes one whole run (`whole_runs`) and every pump is on or off. Runs
are found by column generation on the relaxation, priced at its duals, and chosen with the pump's states by branch and bound:

    min  sum_r own_r x_r + c(u)      sum_(r of j) x_r = 1,   x_r in {0, 1}
    sum_r gpus_r [r holds GPUs in row k] x_r <= G_zk,        sum_r draw_kwh_rk x_r = h_k P_zk

Jobs that nobody may hold start when they are submitted, though the bound lets them wait.

A run holds its GPUs through every row that it touches, so that what fits by rows fits at every instant. And a pump runs through
a row only on heat that lasts through it, that of idle GPUs and of runs that fill the row:

    min load rated on_k <= heat per recovered ( base on_k + sum_z kappa_z sum_r least_kw_rk x_r )

or it would stop and start again wherever a job ends in the middle of an hour that lies at the least load. Where demand is small
these rows cost more than such starts, so a plan without them is made too: what each costs slot by slot says `plant_path`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import highspy
import numpy as np

from scheduler.core.planning.bound.lp import LinearProgram, solved
from scheduler.core.planning.bound.master import Prices
from scheduler.core.planning.bound.oracle import Oracle
from scheduler.core.planning.bound.plant import PlantColumns, add_plant
from scheduler.core.planning.bound.problem import BoundProblem
from scheduler.core.planning.bound.whole_runs import Name, WholeRun, straight_runs, whole_runs
from scheduler.domain.time import FloatArray, IntArray

# Price of a GPU that is not there, EUR per row: dearer than any run that waits.
MISSING_GPU_EUR = 10.0
# A run is open to the branch and bound while its reduced cost in the relaxation is below this share of `_cost_scale_eur`.
OPEN_FRACTION = 1e-4
# What a row gives per kWh to tempt runs into it, in the steps that are tried.
GIFTS_EUR_PER_KWH = (0.04, 0.08, 0.16)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanBudget:
    """How long a plan is looked for.

    rounds: of column generation. nodes: of the branch and bound over the whole window. sweeps: how often the plan is searched
    part by part, each of part_h hours and part_nodes nodes. repeats: how often it is searched again with runs from held_rounds
    rounds of column generation at the prices of its pump states, and of those without rests of up to rest_rows. gap_fraction:
    share of the idle site's cost at which a branch and bound stops.
    """

    rounds: int = 10
    nodes: int = 10
    gap_fraction: float = 0.0002
    sweeps: int = 2
    part_h: float = 36.0
    part_nodes: int = 10
    repeats: int = 1
    held_rounds: int = 5
    rest_rows: int = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForesightPlan:
    """One run per job, in the order of the problem's jobs.

    cost_eur: cost of the plan in the model of the bound, pumps whole at the ends of rows. missing_gpus: GPU rows beyond those
    there are (0 unless the window is too full). pump_states: see `PlantColumns.pump`.
    """

    runs: tuple[WholeRun, ...]
    cost_eur: float
    missing_gpus: float
    pump_states: FloatArray


@dataclass(slots=True, eq=False)
class _Choice:
    """The program over known runs with the places of its parts."""

    program: LinearProgram
    plant: PlantColumns
    missing: IntArray
    run: IntArray
    gpu_rows: IntArray
    draw_rows: IntArray


class RunBook:
    """Runs known so far and the program that chooses among them."""

    def __init__(self, problem: BoundProblem) -> None:
        """Know no run but those of jobs that nobody may hold."""
        self.problem = problem
        self.oracle = Oracle(problem)
        fixed = [index for index, job in enumerate(problem.jobs) if job.at_once]
        straight = [run for index in fixed for run in straight_runs(problem, index)]
        self._known: dict[Name, WholeRun] = {run.name: run for run in straight}

    @property
    def runs(self) -> list[WholeRun]:
        """All runs, by job."""
        return [self._known[key] for key in sorted(self._known)]

    def named(self, names: set[Name]) -> list[WholeRun]:
        """Some runs, by job."""
        return [self._known[name] for name in sorted(names)]

    def look(self, prices: Prices) -> None:
        """Add good runs at some prices."""
        self.oracle(prices.gpu, prices.draw)
        for priced, work_price in self.oracle.priced(prices.gpu, prices.draw):
            for run in whole_runs(priced, work_price):
                if not self.problem.jobs[run.job].at_once:
                    self._known.setdefault(run.name, run)

    def relaxed(self, states: FloatArray | None = None, *, steady: bool = True) -> tuple[Prices, FloatArray] | None:
        """Prices of the best mixture of known runs, and the reduced cost of each; None when the solver fails.

        states: of the pumps, held; relaxed where not stated.
        """
        choice = _choice(self.problem, self.runs, steady=steady)
        solver = choice.program.build()
        if states is not None:
            index = choice.plant.pump.astype(np.int32)
            solver.changeColsBounds(len(index), index, states, states)
        if not solved(solver):
            return None
        dual = np.asarray(solver.getSolution().row_dual)
        gpu = np.maximum(0.0, -dual[choice.gpu_rows]) / self.problem.row_h
        reduced = np.asarray(solver.getSolution().col_dual)[choice.run]
        return Prices(gpu=gpu, draw=-dual[choice.draw_rows]), reduced


def foresight_plans(problem: BoundProblem, prices: Prices, budget: PlanBudget | None = None) -> tuple[ForesightPlan, ...]:
    """The best plans found with everything known, with steady heat and without; none when no choice of runs was found.

    Args:
        problem: the window, see `bound_problem`.
        prices: where to begin: those at which the bound was found.
        budget: rounds and nodes; they, not the clock, end the search.
    """
    limits = PlanBudget() if budget is None else budget
    book = RunBook(problem)
    reduced: FloatArray | None = None
    for _ in range(max(1, limits.rounds)):
        book.look(prices)
        found = book.relaxed()
        if found is None:
            break
        prices, reduced = found
    if reduced is None or len(reduced) != len(book.runs):
        return ()
    near = set(_near(book, reduced))
    plans = (_plan(book, near, limits, steady=steady) for steady in (True, False))
    return tuple(plan for plan in plans if plan is not None)


def _near(book: RunBook, reduced: FloatArray) -> Iterator[Name]:
    """Runs that cost little more than the mixture of all."""
    most_eur = OPEN_FRACTION * _cost_scale_eur(book.problem)
    return (run.name for run, cost in zip(book.runs, reduced, strict=True) if cost <= most_eur)


def _plan(book: RunBook, near: set[Name], limits: PlanBudget, *, steady: bool) -> ForesightPlan | None:
    """The best choice among runs near the relaxation, and then among those near the prices of whole pump states too.

    Relaxed pumps have other prices than whole ones, and the runs that suit those may never have been met: those that suit the
    plan's own states, and those that would keep a pump on through its short rests.
    """
    plan = _chosen(book, near, limits, None, steady=steady)
    for _ in range(limits.repeats if plan is not None else 0):
        assert plan is not None
        wider = near | {run.name for run in plan.runs} | _suiting(book, plan.pump_states, limits, steady=steady)
        awake = without_rests(plan.pump_states, book.problem.rows, limits.rest_rows)
        if not np.array_equal(awake, plan.pump_states):
            _tempt(book, awake - plan.pump_states)
            wider |= _suiting(book, awake, limits, steady=steady)
            other = _chosen(book, wider, limits, None, steady=steady, states=awake)
            if other is not None and other.cost_eur < plan.cost_eur:
                plan = other
                continue
        plan = _chosen(book, wider, limits, plan, steady=steady)
    return plan


def _suiting(book: RunBook, states: FloatArray, limits: PlanBudget, *, steady: bool) -> set[Name]:
    """Runs near the prices of given pump states; none where the runs known cannot heat these."""
    names: set[Name] = set()
    for _ in range(limits.held_rounds):
        found = book.relaxed(states, steady=steady)
        if found is None:
            break
        names |= set(_near(book, found[1]))
        book.look(found[0])
    return names


def _tempt(book: RunBook, woken: FloatArray) -> None:
    """Meet runs that heat the rows in which a pump is to be on though it rests: at prices that draw them there."""
    relaxed = book.relaxed()
    if relaxed is None:
        return
    rows = np.flatnonzero(woken.reshape(-1, book.problem.rows)[::2].max(axis=0) > 0.5)
    around = np.unique(np.clip(np.concatenate([rows - 1, rows, rows + 1]), 0, book.problem.rows - 1))
    for gift in GIFTS_EUR_PER_KWH:
        draw = relaxed[0].draw.copy()
        draw[:, around] -= gift
        book.look(Prices(gpu=relaxed[0].gpu, draw=draw))


def without_rests(states: FloatArray, rows: int, longest: int) -> FloatArray:
    """Pump states, (on after, starts) by plug, with rests of at most `longest` rows between two stretches run through."""
    found = states.reshape(-1, 2, rows).copy()
    for after, starts in found:
        on = np.flatnonzero(after > 0.5)
        for last, first in zip(on[:-1], on[1:], strict=True):
            if 1 < first - last <= longest + 1:
                after[last:first], starts[last + 1 : first + 1] = 1.0, 0.0
    return np.asarray(found.ravel())


def _chosen(
    book: RunBook,
    names: set[Name],
    limits: PlanBudget,
    known: ForesightPlan | None,
    *,
    steady: bool,
    states: FloatArray | None = None,
) -> ForesightPlan | None:
    """Branch and bound over runs and pump states, of the whole window and then of parts of it around the best plan met.

    What is left open between the mixture and the first plan is spread over the window; in a part of it a few nodes find most.
    The parts overlap by half, and the second sweep cuts them elsewhere.
    """
    search = _Branching(book.problem, book.named(names), limits, steady=steady)
    if known is not None:
        search.begin_with(known)
    if states is not None:
        search.hold_pumps(states)
    search.branch(limits.nodes)
    part_h, end_h = limits.part_h, float(book.problem.edges_h[-1])
    for sweep in range(limits.sweeps if search.held is not None else 0):
        first_h = -0.5 * part_h * (1.0 - 0.5 * (sweep % 2))
        for begin_h in np.arange(first_h, end_h, 0.5 * part_h):
            search.hold_all_but(float(begin_h), float(begin_h) + part_h)
            search.branch(limits.part_nodes)
    return search.plan()


class _Branching:
    """The choice among runs as a program with whole numbers, and the best solution met."""

    def __init__(self, problem: BoundProblem, runs: list[WholeRun], limits: PlanBudget, *, steady: bool) -> None:
        """Everything open, nothing found."""
        self._problem, self._runs = problem, runs
        self._choice = choice = _choice(problem, runs, steady=steady)
        self._index = np.concatenate([choice.run, choice.plant.pump]).astype(np.int32)
        whole = np.zeros(choice.program.columns, dtype=bool)
        whole[self._index] = True
        self._solver = choice.program.build(whole)
        self._solver.setOptionValue("mip_rel_gap", 0.0)
        self._solver.setOptionValue("mip_abs_gap", limits.gap_fraction * _cost_scale_eur(problem))
        self._begin_h = np.array([run.begin_h[0] for run in runs])
        self._end_h = np.array([run.begin_h[-1] + run.hours[-1] for run in runs])
        self._job = np.array([run.job for run in runs], dtype=np.int64)
        self.held: FloatArray | None = None
        self.cost_eur, self.missing_gpus = np.inf, 0.0

    def begin_with(self, plan: ForesightPlan) -> None:
        """Search from a plan whose runs are among those known."""
        names = {run.name for run in plan.runs}
        taken = np.array([float(run.name in names) for run in self._runs])
        self.held = np.concatenate([taken, plan.pump_states])

    def hold_pumps(self, states: FloatArray) -> None:
        """Hold the pump's states until `hold_all_but` opens some."""
        index = self._choice.plant.pump.astype(np.int32)
        self._solver.changeColsBounds(len(index), index, states, states)

    def branch(self, nodes: int) -> None:
        """Search what is open, in `nodes` nodes, from the best solution met."""
        if self.held is not None:
            self._solver.setSolution(len(self._index), self._index, self.held)
        self._solver.setOptionValue("mip_max_nodes", nodes)
        self._solver.run()
        cost_eur = float(self._solver.getInfo().objective_function_value)
        found = np.asarray(self._solver.getSolution().col_value)
        if len(found) and cost_eur < min(self.cost_eur, highspy.kHighsInf):
            self.held, self.cost_eur = np.round(found[self._index]), cost_eur
            self.missing_gpus = float(found[self._choice.missing].sum())

    def hold_all_but(self, begin_h: float, end_h: float) -> None:
        """Hold what was found, but for jobs that run at some time in a part of the window, and pumps in its rows."""
        assert self.held is not None
        held = self.held
        taken = held[: len(self._runs)] > 0.5
        open_jobs = np.unique(self._job[taken & (self._begin_h < end_h) & (self._end_h > begin_h)])
        edges, pumps = self._problem.edges_h, len(self._choice.plant.pump) // max(1, self._problem.rows)
        rows = np.tile((edges[:-1] < end_h) & (edges[1:] > begin_h), pumps)
        open_ = np.concatenate([np.isin(self._job, open_jobs), rows])
        least, most = self._choice.plant.free_states
        lower, upper = np.concatenate([np.zeros(len(taken)), least]), np.concatenate([np.ones(len(taken)), most])
        self._solver.changeColsBounds(len(held), self._index, np.where(open_, lower, held), np.where(open_, upper, held))

    def plan(self) -> ForesightPlan | None:
        """The best solution as a plan."""
        if self.held is None or not np.isfinite(self.cost_eur):
            return None
        taken = [run for run, share in zip(self._runs, self.held, strict=False) if share > 0.5]
        return ForesightPlan(
            runs=tuple(sorted(taken, key=lambda run: run.job)),
            cost_eur=self.cost_eur + self._choice.plant.fixed_eur,
            missing_gpus=self.missing_gpus,
            pump_states=self.held[len(self._runs) :],
        )


def _cost_scale_eur(problem: BoundProblem) -> float:
    """What the site's idle power costs in the window: the scale of gaps."""
    idle_kw = sum(pool.base_it_kw for pool in problem.pools)
    return float(np.sum(np.abs(problem.price_eur_per_kwh) * problem.row_h)) * idle_kw


def _choice(problem: BoundProblem, runs: list[WholeRun], *, steady: bool) -> _Choice:
    """The program that chooses among runs; every variable relaxed."""
    program = LinearProgram()
    plant = add_plant(program, problem)
    pools, count = len(problem.pools), problem.rows
    gpu_rows = program.constraints(pools * count, upper=0.0).reshape(pools, count)
    draw_rows = program.constraints(pools * count, lower=0.0, upper=0.0).reshape(pools, count)
    missing = program.variables(pools * count, cost=MISSING_GPU_EUR)
    program.put(gpu_rows.ravel(), missing, -1.0)
    for z in range(pools):
        program.put(gpu_rows[z], plant.gpus[z], -1.0)
        program.put(draw_rows[z], plant.draw[z], -problem.row_h)
    job_rows = program.constraints(len(problem.jobs), lower=1.0, upper=1.0)
    columns = program.variables(len(runs), cost=np.array([run.own_eur for run in runs]), upper=1.0)
    for column, run in zip(columns, runs, strict=True):
        held = run.rows_held
        here = np.full(len(held), column)
        program.put(gpu_rows[run.pool, held], here, float(run.gpus))
        program.put(draw_rows[run.pool, held], here, run.draw_kwh)
    if steady:
        _steady(program, problem, plant, runs, columns)
    if runs:
        program.put(job_rows[[run.job for run in runs]], columns, 1.0)
    return _Choice(program=program, plant=plant, missing=missing, run=columns, gpu_rows=gpu_rows, draw_rows=draw_rows)


def _steady(
    program: LinearProgram, problem: BoundProblem, plant: PlantColumns, runs: list[WholeRun], columns: IntArray
) -> None:
    """Rows that keep each pump's least load above what only a part of a row brings."""
    rows: dict[int, IntArray] = {}
    for index, (plug, found) in enumerate(zip(problem.plugs, plant.plugs, strict=True)):
        if not len(found.share):
            continue
        base_kw = sum(pool.base_captured_kw for pool in problem.pools if pool.plug == index)
        least_kw = plug.min_load_fraction * np.maximum(0.0, plug.rated_heat_kw) / found.heat_per_recovered
        rows[index] = program.constraints(problem.rows, lower=0.0)
        program.put(rows[index], found.share, base_kw - least_kw)
    for column, run in zip(columns, runs, strict=True):
        pool = problem.pools[run.pool]
        if pool.plug in rows:
            held = run.rows_held
            steady_kw = pool.captured_kw_per_draw_kw * run.steady_kw(problem.row_h)
            program.put(rows[pool.plug][held], np.full(len(held), column), steady_kw)
