"""A plan that knows everything: the upper end of what the bound bounds from below.

The bound mixes schedules and shares pumps; here every job makes one whole run (`whole_runs`) and every pump is on or off. Runs
are found by column generation on the relaxation, priced at its duals, and chosen with the pump's states by branch and bound:

    min  sum_r own_r x_r + c(u)      sum_(r of j) x_r = 1,   x_r in {0, 1}
    sum_r gpus_r [r holds GPUs in row k] x_r <= G_zk,        sum_r draw_kwh_rk x_r = h_k P_zk

A run holds its GPUs through every row that it touches, so that what fits by rows fits at every instant. And a pump runs through
a row only on heat that lasts through it, that of idle GPUs and of runs that fill the row:

    min load rated on_k <= heat per recovered ( base on_k + sum_z kappa_z sum_r least_kw_rk x_r )

or it would stop and start again wherever a job ends in the middle of an hour that lies at the least load. Where demand is small
these rows cost more than such starts, so a plan without them is made too: what each costs slot by slot says `plant_path`.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from scheduler.core.planning.bound.lp import LinearProgram, solved
from scheduler.core.planning.bound.master import Prices
from scheduler.core.planning.bound.oracle import Oracle
from scheduler.core.planning.bound.plant import PlantColumns, add_plant
from scheduler.core.planning.bound.problem import BoundProblem
from scheduler.core.planning.bound.whole_runs import WholeRun, whole_runs
from scheduler.domain.time import FloatArray, IntArray

# Price of a GPU that is not there, EUR per row: dearer than any run that waits.
MISSING_GPU_EUR = 10.0
# A run is open to the branch and bound while its reduced cost in the relaxation is below this share of `_cost_scale_eur`.
OPEN_FRACTION = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanBudget:
    """Rounds of column generation, nodes of the branch and bound, and the share of the idle site's cost at which it stops."""

    rounds: int = 10
    nodes: int = 60
    gap_fraction: float = 0.001


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForesightPlan:
    """One run per job, in the order of the problem's jobs.

    cost_eur: cost of the plan in the model of the bound, pumps whole at the ends of rows. missing_gpus: GPU rows beyond those
    there are (0 unless the window is too full).
    """

    runs: tuple[WholeRun, ...]
    cost_eur: float
    missing_gpus: float


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
        """Know no run."""
        self.problem = problem
        self.oracle = Oracle(problem)
        self._known: dict[tuple[int, bytes], WholeRun] = {}

    @property
    def runs(self) -> list[WholeRun]:
        """All runs, by job."""
        return [self._known[key] for key in sorted(self._known)]

    def look(self, prices: Prices) -> None:
        """Add good runs at some prices."""
        self.oracle(prices.gpu, prices.draw)
        for priced, work_price in self.oracle.priced(prices.gpu, prices.draw):
            for run in whole_runs(priced, work_price):
                self._known.setdefault((run.job, run.key), run)

    def relaxed(self) -> tuple[Prices, FloatArray] | None:
        """Prices of the best mixture of known runs, and the reduced cost of each; None when the solver fails."""
        choice = _choice(self.problem, self.runs, steady=True)
        solver = choice.program.build()
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
    runs = book.runs
    if reduced is None or len(reduced) != len(runs):
        return ()
    open_ = [run for run, cost in zip(runs, reduced, strict=True) if cost <= OPEN_FRACTION * _cost_scale_eur(problem)]
    found_plans = (_chosen(problem, open_, limits, steady=steady) for steady in (True, False))
    return tuple(plan for plan in found_plans if plan is not None)


def _chosen(problem: BoundProblem, runs: list[WholeRun], limits: PlanBudget, *, steady: bool) -> ForesightPlan | None:
    """Branch and bound over runs and pump states."""
    choice = _choice(problem, runs, steady=steady)
    whole = np.zeros(choice.program.columns, dtype=bool)
    whole[choice.run] = True
    whole[choice.plant.pump] = True
    solver = choice.program.build(whole)
    solver.setOptionValue("mip_max_nodes", limits.nodes)
    solver.setOptionValue("mip_rel_gap", 0.0)
    solver.setOptionValue("mip_abs_gap", limits.gap_fraction * _cost_scale_eur(problem))
    solver.run()
    value = float(solver.getInfo().objective_function_value)
    found = np.asarray(solver.getSolution().col_value)
    if not np.isfinite(value) or value >= highspy.kHighsInf or not len(found):
        return None
    taken = [run for run, column in zip(runs, choice.run, strict=True) if found[column] > 0.5]
    return ForesightPlan(
        runs=tuple(sorted(taken, key=lambda run: run.job)),
        cost_eur=value + choice.plant.fixed_eur,
        missing_gpus=float(found[choice.missing].sum()),
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
