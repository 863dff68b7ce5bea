"""A linear program as arrays, kept hot in HiGHS: variables and rows are added in blocks, costs change between runs."""

from __future__ import annotations

import highspy
import numpy as np

from scheduler.domain.time import BoolArray, FloatArray, IntArray

# All HiGHS objects of a process must agree on the number of threads (optimisation.md 7.1).
THREADS = 1
INF = float("inf")


class LinearProgram:
    """Blocks of variables and rows; `build` hands them to HiGHS, `add_columns` extends the built program."""

    def __init__(self) -> None:
        """Start empty."""
        self.columns = 0
        self.rows = 0
        self._cost: list[FloatArray] = []
        self._lower: list[FloatArray] = []
        self._upper: list[FloatArray] = []
        self._row_lower: list[FloatArray] = []
        self._row_upper: list[FloatArray] = []
        self._entries: list[tuple[IntArray, IntArray, FloatArray]] = []

    def variables(self, count: int, *, cost: object = 0.0, lower: object = 0.0, upper: object = INF) -> IntArray:
        """Add `count` variables; scalars are spread; returns their indices."""
        for store, value in ((self._cost, cost), (self._lower, lower), (self._upper, upper)):
            store.append(np.array(np.broadcast_to(np.asarray(value, dtype=np.float64), (count,))))
        self.columns += count
        return np.arange(self.columns - count, self.columns, dtype=np.int64)

    def constraints(self, count: int, *, lower: object = -INF, upper: object = INF) -> IntArray:
        """Add `count` empty rows lower <= . <= upper; returns their indices."""
        for store, value in ((self._row_lower, lower), (self._row_upper, upper)):
            store.append(np.array(np.broadcast_to(np.asarray(value, dtype=np.float64), (count,))))
        self.rows += count
        return np.arange(self.rows - count, self.rows, dtype=np.int64)

    def put(self, rows: IntArray, columns: IntArray, values: object) -> None:
        """Add entries; equal shapes or scalars."""
        spread = np.broadcast_arrays(rows, columns, np.asarray(values, dtype=np.float64))
        self._entries.append((spread[0].ravel(), spread[1].ravel(), spread[2].ravel()))

    @property
    def cost(self) -> FloatArray:
        """(columns,) objective as stated."""
        return np.concatenate(self._cost) if self._cost else np.zeros(0)

    def build(self, integer: BoolArray | None = None) -> highspy.Highs:
        """Hand the program to a fresh HiGHS."""
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self.columns, self.rows
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = self.cost, np.concatenate(self._lower), np.concatenate(self._upper)
        lp.row_lower_, lp.row_upper_ = np.concatenate(self._row_lower), np.concatenate(self._row_upper)
        start, index, value = compressed(self._entries, self.columns)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = start, index, value
        if integer is not None:
            kinds = highspy.HighsVarType
            lp.integrality_ = [kinds.kInteger if flag else kinds.kContinuous for flag in integer]
        solver = highspy.Highs()  # type: ignore[no-untyped-call]  # highspy ships this constructor without annotations
        solver.setOptionValue("output_flag", False)
        solver.setOptionValue("threads", THREADS)
        solver.passModel(lp)
        return solver


def compressed(entries: list[tuple[IntArray, IntArray, FloatArray]], columns: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Column-wise start, row index and value of entries given as triplets; entries at the same place add up."""
    row = np.concatenate([part[0] for part in entries])
    column = np.concatenate([part[1] for part in entries])
    value = np.concatenate([part[2] for part in entries])
    order = np.lexsort((row, column))
    row, column, value = row[order], column[order], value[order]
    first = np.flatnonzero(np.concatenate([[True], (row[1:] != row[:-1]) | (column[1:] != column[:-1])]))
    value = np.add.reduceat(value, first)
    start = np.searchsorted(column[first], np.arange(columns + 1))
    return start.astype(np.int32), row[first].astype(np.int32), value


def solved(solver: highspy.Highs) -> bool:
    """Run and say whether an optimum was found."""
    solver.run()
    return bool(solver.getModelStatus() == highspy.HighsModelStatus.kOptimal)
