"""Linear programs as arrays: a small builder, and a HiGHS object that stays hot between solves.

Every HiGHS object of this process runs on one thread: two thread counts in one process make `run()` fail silently, and a
second thread would make plans depend on the machine. The status is checked after every run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import highspy
import numpy as np

from scheduler.domain.time import BoolArray, FloatArray, IntArray

INF = float("inf")
THREADS = 1
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LpArrays:
    """min cost @ x with row_lower <= A x <= row_upper; A by rows (start, index, value); `families` names column ranges."""

    cost: FloatArray
    lower: FloatArray
    upper: FloatArray
    integer: BoolArray
    row_lower: FloatArray
    row_upper: FloatArray
    start: IntArray
    index: IntArray
    value: FloatArray
    column_families: tuple[tuple[str, int], ...]
    row_families: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Builder:
    """Collects columns, rows and entries; shapes are free, indices come back in the same shape."""

    columns_so_far: int = 0
    rows_so_far: int = 0
    _columns: list[tuple[FloatArray, FloatArray, FloatArray, BoolArray]] = field(default_factory=list)
    _rows: list[tuple[FloatArray, FloatArray]] = field(default_factory=list)
    _entries: list[tuple[IntArray, IntArray, FloatArray]] = field(default_factory=list)
    _column_families: list[tuple[str, int]] = field(default_factory=list)
    _row_families: list[tuple[str, int]] = field(default_factory=list)

    def columns(
        self,
        name: str,
        shape: tuple[int, ...],
        *,
        cost: FloatArray | float = 0.0,
        lower: FloatArray | float = 0.0,
        upper: FloatArray | float = INF,
        integer: BoolArray | bool = False,
    ) -> IntArray:
        """Add a family of variables and return their indices."""
        count = int(np.prod(shape))
        index = (self.columns_so_far + np.arange(count)).reshape(shape)
        self._columns.append((_flat(cost, shape), _flat(lower, shape), _flat(upper, shape), _flags(integer, shape)))
        self._column_families.append((name, count))
        self.columns_so_far += count
        return index

    def rows(
        self, name: str, shape: tuple[int, ...], *, lower: FloatArray | float = -INF, upper: FloatArray | float = INF
    ) -> IntArray:
        """Add a family of rows lower <= ... <= upper and return their indices."""
        count = int(np.prod(shape))
        index = (self.rows_so_far + np.arange(count)).reshape(shape)
        self._rows.append((_flat(lower, shape), _flat(upper, shape)))
        self._row_families.append((name, count))
        self.rows_so_far += count
        return index

    def put(self, rows: IntArray, columns: IntArray, values: FloatArray | float) -> None:
        """Add value * column to row, broadcast against each other; one row must not meet one column twice."""
        row, column, value = np.broadcast_arrays(rows, columns, np.asarray(values, dtype=np.float64))
        self._entries.append((row.ravel(), column.ravel(), value.ravel()))

    def build(self) -> LpArrays:
        """Assemble what was collected."""
        row = np.concatenate([entry[0] for entry in self._entries])
        order = np.argsort(row, kind="stable")
        counts = np.bincount(row, minlength=self.rows_so_far)
        cost, lower, upper, integer = (np.concatenate([part[i] for part in self._columns]) for i in range(4))
        return LpArrays(
            cost=cost,
            lower=lower,
            upper=upper,
            integer=np.asarray(integer, dtype=np.bool_),
            row_lower=np.concatenate([part[0] for part in self._rows]),
            row_upper=np.concatenate([part[1] for part in self._rows]),
            start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            index=np.concatenate([entry[1] for entry in self._entries])[order],
            value=np.concatenate([entry[2] for entry in self._entries])[order],
            column_families=tuple(self._column_families),
            row_families=tuple(self._row_families),
        )


def _flat(value: FloatArray | float, shape: tuple[int, ...]) -> FloatArray:
    """Broadcast to a shape, flat."""
    return np.broadcast_to(np.asarray(value, dtype=np.float64), shape).ravel().copy()


def _flags(value: BoolArray | bool, shape: tuple[int, ...]) -> BoolArray:
    """Broadcast flags to a shape, flat."""
    return np.broadcast_to(np.asarray(value, dtype=np.bool_), shape).ravel().copy()


class SolverFailed(Exception):
    """HiGHS did not reach an optimum where one must exist: a programming error or numerical breakdown."""


def new_highs() -> highspy.Highs:
    """Return a silent, seeded, single-threaded solver."""
    solver = highspy.Highs()  # type: ignore[no-untyped-call]  # highspy has no annotations
    for name, value in (("output_flag", False), ("threads", THREADS), ("random_seed", SEED)):
        solver.setOptionValue(name, value)
    return solver


def to_highs(arrays: LpArrays, *, relax: bool = False) -> highspy.HighsLp:
    """Copy arrays into one HighsLp."""
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(arrays.cost), len(arrays.row_lower)
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = arrays.cost, arrays.lower, arrays.upper
    lp.row_lower_, lp.row_upper_ = arrays.row_lower, arrays.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = arrays.start.astype(np.int32)
    lp.a_matrix_.index_ = arrays.index.astype(np.int32)
    lp.a_matrix_.value_ = arrays.value
    if not relax and bool(arrays.integer.any()):
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(flag)] for flag in arrays.integer]
    return lp


class HotLp:
    """An LP in HiGHS whose costs and bounds change between solves; each solve starts from the last basis."""

    def __init__(self, arrays: LpArrays, **options: str | float | int | bool) -> None:
        """Pass the model once; `options` are HiGHS options (solver='ipx', run_crossover='off', ...)."""
        self.solver = new_highs()
        for name, value in options.items():
            self.solver.setOptionValue(name, value)
        self.solver.passModel(to_highs(arrays, relax=True))
        self.columns = len(arrays.cost)

    def change_costs(self, index: IntArray, cost: FloatArray) -> None:
        """Set the costs of some columns."""
        self.solver.changeColsCost(len(index), index.astype(np.int32), cost)

    def change_bounds(self, index: IntArray, lower: FloatArray, upper: FloatArray) -> None:
        """Set the bounds of some columns."""
        self.solver.changeColsBounds(len(index), index.astype(np.int32), lower, upper)

    def option(self, name: str, value: str | float | int | bool) -> None:
        """Set a HiGHS option."""
        self.solver.setOptionValue(name, value)

    def run(self) -> bool:
        """Solve; True when optimal, False when infeasible or beyond `objective_bound`. Repeats once when numerics failed."""
        self.solver.run()
        status = self.solver.getModelStatus()
        if status == highspy.HighsModelStatus.kOptimal:
            return True
        if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kObjectiveBound):
            return False
        self.solver.clearSolver()
        self.solver.run()
        return bool(self.solver.getModelStatus() == highspy.HighsModelStatus.kOptimal)

    def run_below(self, limit: float) -> bool:
        """Solve by dual simplex; False when nothing satisfies the bounds, or only at a value above `limit`."""
        self.option("objective_bound", limit)
        self.solver.run()
        ended = self.solver.getModelStatus()
        self.option("objective_bound", INF)
        if ended == highspy.HighsModelStatus.kObjectiveBound:
            return False
        return (ended == highspy.HighsModelStatus.kOptimal or self.run()) and self.objective <= limit

    def basis(self) -> tuple[list[highspy.HighsBasisStatus], list[highspy.HighsBasisStatus]]:
        """Status of every column and every row in the last basis."""
        found = self.solver.getBasis()
        return list(found.col_status), list(found.row_status)

    def start_from(self, columns: list[highspy.HighsBasisStatus], rows: list[highspy.HighsBasisStatus]) -> None:
        """Begin the next solve from a basis."""
        basis = highspy.HighsBasis()
        basis.col_status, basis.row_status, basis.valid = columns, rows, True
        self.solver.setBasis(basis)

    def solve(self) -> float:
        """Solve and return the optimal value.

        Raises:
            SolverFailed: without an optimum.
        """
        if not self.run():
            raise SolverFailed(f"HiGHS ended with {self.solver.getModelStatus()}")
        return self.objective

    def whole(self, index: IntArray, nodes: int, gap: float) -> FloatArray | None:
        """Columns of the best solution in which those of `index` are whole, on a copy of the present program.

        Args:
            index: columns that must be whole.
            nodes: branch and bound ends after so many.
            gap: or at this relative gap.

        Returns:
            All columns; None when no solution was found within the nodes.
        """
        solver = self._branched(index, nodes, gap)
        if solver.getInfo().primal_solution_status != highspy.kSolutionStatusFeasible:
            return None
        return np.asarray(solver.getSolution().col_value, dtype=np.float64)

    def whole_bound(self, index: IntArray, nodes: int, gap: float) -> float:
        """Proven lower bound on the value with the columns of `index` whole; minus infinity when nothing is proven."""
        found = float(self._branched(index, nodes, gap).getInfo().mip_dual_bound)
        return found if np.isfinite(found) else -INF

    def _branched(self, index: IntArray, nodes: int, gap: float) -> highspy.Highs:
        """A copy of the present program after branch and bound."""
        solver = new_highs()
        solver.passModel(self.solver.getLp())
        solver.changeColsIntegrality(len(index), index.astype(np.int32), np.full(len(index), highspy.HighsVarType.kInteger))
        solver.setOptionValue("mip_max_nodes", nodes)
        solver.setOptionValue("mip_rel_gap", gap)
        solver.run()
        return solver

    @property
    def objective(self) -> float:
        """Value of the last solution."""
        return float(self.solver.getInfo().objective_function_value)

    @property
    def steps(self) -> int:
        """Simplex steps of the last solve."""
        return int(self.solver.getInfo().simplex_iteration_count)

    @property
    def values(self) -> FloatArray:
        """Columns of the last solution."""
        return np.asarray(self.solver.getSolution().col_value, dtype=np.float64)

    @property
    def row_duals(self) -> FloatArray:
        """Marginal cost of each row's right-hand side."""
        return np.asarray(self.solver.getSolution().row_dual, dtype=np.float64)

    @property
    def reduced_costs(self) -> FloatArray:
        """Reduced cost of each column."""
        return np.asarray(self.solver.getSolution().col_dual, dtype=np.float64)
