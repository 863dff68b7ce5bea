"""The restricted master as a mixed integer program: built in PuLP, solved by HiGHS from the dive's plan.

Columns that could matter are kept; what begins in the commit window and the pump states in it are whole. PuLP's own HiGHS
interface adds rows one by one and knows no starting point, so the model is handed over in one piece with the dive as its start.
"""

from __future__ import annotations

import highspy
import numpy as np
import pulp

from scheduler.core.planning.columns import Columns
from scheduler.core.planning.master import Master, Skeleton, Solved, early, entries
from scheduler.core.planning.program import SEED, THREADS
from scheduler.domain.problem import PlanProblem
from scheduler.domain.settings import SolveBudget
from scheduler.domain.time import BoolArray, IntArray

# Columns of one job that are kept besides those in use, the cheapest by reduced cost.
KEEP_PER_JOB = 8
HIGHS_GAP = 5e-4


def solve_restricted(
    problem: PlanProblem, master: Master, dived: Solved, doubt: tuple[Solved, set[int]], budget: SolveBudget
) -> Solved | None:
    """Improve a dived plan; None when HiGHS finds nothing within `budget.mip_nodes` nodes.

    Args:
        problem: for the commit window.
        master: columns.
        dived: the starting point.
        doubt: LP solution, whose prices say which columns could matter, and the jobs that the dive was ever in doubt about: all
            others keep what it decided for the commit window.
        budget: node limit.
    """
    keep = kept(problem, master, dived, doubt)
    model, variables = build(problem, master, keep)
    start = np.concatenate([dived.plant, dived.weight[keep]])
    names = [variable.name for variable in variables]
    status = model.solve(MipHighs(dict(zip(names, start.tolist(), strict=True)), budget.mip_nodes))
    found = [variable.varValue for variable in variables]
    if status != pulp.LpStatusOptimal:
        return None
    # A variable in no row and without cost is unknown to PuLP: it keeps its starting value.
    values = np.array([before if value is None else value for value, before in zip(found, start.tolist(), strict=True)])
    base = len(dived.plant)
    weight = np.zeros(master.columns.count)
    weight[keep] = values[base:]
    return Solved(
        objective_eur=float(pulp.value(model.objective)),
        weight=weight,
        unplaced=values[master.frame.rows.unplaced],
        plant=values[:base],
    )


def kept(problem: PlanProblem, master: Master, dived: Solved, doubt: tuple[Solved, set[int]]) -> IntArray:
    """Columns in use, the KEEP_PER_JOB with the least reduced cost of every job; of decided jobs no other run of the window."""
    relaxed, doubtful = doubt
    columns = master.columns
    reduced = master.reduced_eur(relaxed)
    order = np.lexsort((reduced, columns.job))
    job = columns.job[order]
    rank = np.arange(len(job)) - np.searchsorted(job, job)
    some: BoolArray = dived.weight > 0.0
    # Runs that came after the relaxation stand behind its own.
    some[: len(relaxed.weight)] |= relaxed.weight > 0.0
    some[order[rank < KEEP_PER_JOB]] = True
    open_job = np.zeros(len(master.must_run), dtype=np.bool_)
    open_job[sorted(doubtful)] = True
    some &= ~early(columns, problem.commit_slots) | open_job[columns.job] | (dived.weight > 0.0)
    return np.nonzero(some)[0]


def build(problem: PlanProblem, master: Master, keep: IntArray) -> tuple[pulp.LpProblem, list[pulp.LpVariable]]:
    """Write the restricted master in PuLP; variables in the order plant, unplaced, columns."""
    frame, columns = master.frame, master.columns.take(keep)
    arrays = frame.arrays
    whole = _pump_window(frame, problem.commit_slots)
    # States of the window are open again; later ones that were decided stay.
    lowest = np.where(whole, arrays.lower, master.plant_lower)
    highest = np.where(whole, arrays.upper, master.plant_upper)
    model = pulp.LpProblem("plan", pulp.LpMinimize)
    variables = [
        model.add_variable(
            f"p{index}", lower, None if np.isinf(upper) else upper, pulp.LpInteger if whole[index] else pulp.LpContinuous
        )
        for index, (lower, upper) in enumerate(zip(lowest.tolist(), highest.tolist(), strict=True))
    ]
    variables += [
        model.add_variable(f"x{index}", 0, 1, pulp.LpInteger if now else pulp.LpContinuous)
        for index, now in enumerate(early(columns, problem.commit_slots).tolist())
    ]
    cost = np.concatenate([arrays.cost, columns.cost])
    model += pulp.LpAffineExpression([(variables[index], float(cost[index])) for index in np.nonzero(cost)[0]])
    for row, terms in enumerate(_rows(frame, columns, variables)):
        _add_row(model, pulp.LpAffineExpression(terms), float(arrays.row_lower[row]), float(arrays.row_upper[row]))
    return model, variables


def _add_row(model: pulp.LpProblem, terms: pulp.LpAffineExpression, lower: float, upper: float) -> None:
    """One row; two-sided rows become two."""
    if lower == upper:
        model.addConstraint(pulp.LpConstraint(terms, pulp.LpConstraintEQ, rhs=lower))
        return
    if np.isfinite(lower):
        model.addConstraint(pulp.LpConstraint(terms, pulp.LpConstraintGE, rhs=lower))
    if np.isfinite(upper):
        model.addConstraint(pulp.LpConstraint(terms, pulp.LpConstraintLE, rhs=upper))


def _rows(frame: Skeleton, columns: Columns, variables: list[pulp.LpVariable]) -> list[list[tuple[pulp.LpVariable, float]]]:
    """Terms of every row: plant entries, then columns."""
    arrays = frame.arrays
    count = len(arrays.row_lower)
    row = np.repeat(np.arange(count), np.diff(arrays.start))
    starts, index, value = entries(frame, columns)
    owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts)) + len(arrays.cost)
    rows = np.concatenate([row, index])
    order = np.argsort(rows, kind="stable")
    which = np.concatenate([arrays.index, owner])[order].tolist()
    values = np.concatenate([arrays.value, value])[order].tolist()
    edges = np.searchsorted(rows[order], np.arange(count + 1)).tolist()
    return [[(variables[which[at]], values[at]) for at in range(edges[number], edges[number + 1])] for number in range(count)]


def _pump_window(frame: Skeleton, commit_slots: int) -> BoolArray:
    """Pump states that begin in the commit window."""
    whole = np.zeros(len(frame.arrays.cost), dtype=np.bool_)
    now = frame.frame.step_start < commit_slots
    for plug in frame.plant.plugs:
        if len(plug.on):
            whole[plug.on[now]] = True
    return whole


class MipHighs(pulp.HiGHS):  # type: ignore[misc]  # pulp has no annotations
    """PuLP's HiGHS with the model passed in one piece and a starting point."""

    def __init__(self, start: dict[str, float], nodes: int) -> None:
        """Keep the starting point by the variables' names; one thread, fixed seed, nodes as budget: reproducible."""
        super().__init__(msg=False, threads=THREADS, gapRel=HIGHS_GAP, random_seed=SEED, mip_max_nodes=nodes)
        self.start = start

    def buildSolverModel(self, lp: pulp.LpProblem) -> None:  # noqa: N802  # name given by PuLP
        """Pass the whole model at once."""
        variables = lp.variables()
        for index, variable in enumerate(variables):
            variable.index = index
        lp.solverModel.passModel(_as_highs(lp, variables))
        begin = highspy.HighsSolution()
        begin.col_value = [self.start.get(variable.name, 0.0) for variable in variables]
        lp.solverModel.setSolution(begin)

    def findSolutionValues(self, lp: pulp.LpProblem) -> tuple[int, int]:  # noqa: N802  # name given by PuLP
        """Read what was found; PuLP does not know the status of a node limit."""
        solver = lp.solverModel
        if solver.getInfo().primal_solution_status != highspy.kSolutionStatusFeasible:
            return pulp.LpStatusNotSolved, pulp.LpSolutionNoSolutionFound
        for variable, value in zip(lp.variables(), list(solver.getSolution().col_value), strict=True):
            variable.varValue = value
        return pulp.LpStatusOptimal, pulp.LpSolutionIntegerFeasible


def _as_highs(lp: pulp.LpProblem, variables: list[pulp.LpVariable]) -> highspy.HighsLp:
    """A PuLP model as arrays."""
    inf = highspy.kHighsInf
    model = highspy.HighsLp()
    rows = lp.constraints()
    for number, row in enumerate(rows):
        row.index = number
    terms = [[(variable.index, value) for variable, value in row.items()] for row in rows]
    model.num_col_, model.num_row_ = len(variables), len(rows)
    model.col_cost_ = np.array([lp.objective.get(variable, 0.0) for variable in variables])
    model.col_lower_ = np.array([-inf if one.lowBound is None else one.lowBound for one in variables])
    model.col_upper_ = np.array([inf if one.upBound is None else one.upBound for one in variables])
    model.row_lower_ = np.array([-inf if row.getLb() is None else row.getLb() for row in rows])
    model.row_upper_ = np.array([inf if row.getUb() is None else row.getUb() for row in rows])
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = np.concatenate([[0], np.cumsum([len(row) for row in terms])]).astype(np.int32)
    model.a_matrix_.index_ = np.array([index for row in terms for index, _ in row], dtype=np.int32)
    model.a_matrix_.value_ = np.array([value for row in terms for _, value in row])
    kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
    model.integrality_ = [kinds[one.cat == pulp.LpInteger] for one in variables]
    return model
