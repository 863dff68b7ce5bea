"""Prices from a linear program over known schedules, and the plant at given prices: the two sides of the coupling rows.

Coupling rows, for every pool z and row of time k of h_k hours:

    GPU-hours of all jobs      <= h_k G_zk        price lambda_zk >= 0, EUR/GPU-h
    extra draw of all jobs      = h_k P_zk        price pi_zk, EUR/kWh

`PlantAtPrices` is the plant's side of the Lagrangian, `Master` the linear program that mixes schedules found so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from scheduler.core.planning.bound.lp import LinearProgram, solved
from scheduler.core.planning.bound.oracle import Answer
from scheduler.core.planning.bound.plant import PlantColumns, add_plant, draw_price_eur_per_kwh
from scheduler.core.planning.bound.problem import BoundProblem
from scheduler.domain.time import FloatArray, IntArray

# Price of GPUs that are not there and of jobs that are not run, while too few schedules are known; GPUs get dearer when
# the optimum still buys some.
FIRST_SLACK_EUR_PER_GPU_H = 2.0
SLACK_GROWTH = 5.0
MISSING_DRAW_EUR_PER_KWH = 2.0
# Sum of missing GPU-hours (and kWh) below which there are none.
MISSING_SUM = 1e-4
UNKNOWN_JOB_EUR_PER_GPU_H = 10.0
# Relative gap at which branching on the pump's states stops; its proven side counts.
EXACT_GAP = 1e-6
# Cells of a schedule that differ by less are the same schedule.
SAME_DECIMALS = 7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prices:
    """Prices of the coupling rows, (pools, rows) each: EUR per GPU-hour (never negative) and EUR per kWh of extra draw."""

    gpu: FloatArray
    draw: FloatArray

    def mixed(self, other: Prices, share: float) -> Prices:
        """`share` of these prices and the rest of the others."""
        return Prices(gpu=share * self.gpu + (1.0 - share) * other.gpu, draw=share * self.draw + (1.0 - share) * other.draw)


def first_prices(problem: BoundProblem) -> Prices:
    """GPUs free, draw at the price of its electricity: what a job costs when its heat is worth nothing."""
    draw = np.stack([draw_price_eur_per_kwh(problem, z) for z in range(len(problem.pools))])
    return Prices(gpu=np.zeros_like(draw), draw=draw)


class PlantAtPrices:
    """min over the plant of cost - lambda h G - pi h P: programs kept hot, of which only costs change."""

    def __init__(self, problem: BoundProblem, nodes: int) -> None:
        """Build the relaxed program and the one with whole pump states; `nodes` limits branching (0: never branch)."""
        self._problem = problem
        program = LinearProgram()
        self._columns = add_plant(program, problem)
        self._cost = program.cost
        self._index = np.concatenate([self._columns.gpus.ravel(), self._columns.draw.ravel()]).astype(np.int32)
        self._relaxed = program.build()
        self._exact: highspy.Highs | None = None
        if nodes > 0 and len(self._columns.pump):
            whole = np.zeros(program.columns, dtype=bool)
            whole[self._columns.pump] = True
            self._exact = program.build(whole)
            self._exact.setOptionValue("mip_max_nodes", nodes)
            self._exact.setOptionValue("mip_rel_gap", EXACT_GAP)

    @property
    def branches(self) -> bool:
        """True when there is a pump whose states can be made whole."""
        return self._exact is not None

    def relaxed(self, prices: Prices) -> float:
        """Value of the plant's side in EUR, constant part included; minus infinity when the solver fails (a useless bound)."""
        self._set(self._relaxed, prices)
        if not solved(self._relaxed):
            return -np.inf
        return float(self._relaxed.getInfo().objective_function_value) + self._columns.fixed_eur

    def held(self, prices: Prices, states: FloatArray) -> float:
        """As `relaxed`, with the pump's states held."""
        index = self._columns.pump.astype(np.int32)
        self._relaxed.changeColsBounds(len(index), index, states, states)
        value = self.relaxed(prices)
        self._relaxed.changeColsBounds(len(index), index, *self._columns.free_states)
        return value

    def exact(self, prices: Prices) -> tuple[float, FloatArray | None]:
        """Proven bound of the plant's side with whole pump states, and the best states found (None: none found)."""
        if self._exact is None:
            return self.relaxed(prices), None
        self._set(self._exact, prices)
        self._exact.run()
        info = self._exact.getInfo()
        bound = float(info.mip_dual_bound) if np.isfinite(info.mip_dual_bound) else -np.inf
        found = np.asarray(self._exact.getSolution().col_value)
        states = np.round(found[self._columns.pump]) if np.isfinite(info.objective_function_value) and len(found) else None
        return bound + self._columns.fixed_eur, states

    def _set(self, solver: highspy.Highs, prices: Prices) -> None:
        """Write the prices into the costs."""
        hours = self._problem.row_h
        own = self._cost[self._index].reshape(2, *prices.gpu.shape)
        cost = np.concatenate([(own[0] - prices.gpu * hours).ravel(), (own[1] - prices.draw * hours).ravel()])
        solver.changeColsCost(len(self._index), self._index, cost)


class Master:
    """The relaxation restricted to known schedules; its duals are the next prices to try."""

    def __init__(self, problem: BoundProblem) -> None:
        """Start with the plant and no schedules."""
        self._problem = problem
        program = LinearProgram()
        self._plant: PlantColumns = add_plant(program, problem)
        pools, count, hours = len(problem.pools), problem.rows, problem.row_h
        self._slack_price = FIRST_SLACK_EUR_PER_GPU_H
        self._slack = program.variables(pools * count, cost=self._slack_price)
        self._gpu_rows = program.constraints(pools * count, upper=0.0).reshape(pools, count)
        self._draw_rows = program.constraints(pools * count, lower=0.0, upper=0.0).reshape(pools, count)
        for z in range(pools):
            program.put(self._gpu_rows[z], self._plant.gpus[z], -hours)
            program.put(self._draw_rows[z], self._plant.draw[z], -hours)
        program.put(self._gpu_rows.ravel(), self._slack, -1.0)
        self._job_rows = program.constraints(len(problem.jobs), lower=1.0, upper=1.0)
        unknown = [UNKNOWN_JOB_EUR_PER_GPU_H * (1.0 + job.gpus * job.work_h) for job in problem.jobs]
        program.put(self._job_rows, program.variables(len(unknown), cost=np.array(unknown)), 1.0)
        self._solver = program.build()
        # Interior points without crossover: prices from the middle of the optimal face move less from round to round.
        self._solver.setOptionValue("solver", "ipm")
        self._solver.setOptionValue("run_crossover", "off")
        self._seen: set[tuple[int, bytes]] = set()
        self._draw_slack: IntArray = np.zeros(0, dtype=np.int64)

    @property
    def schedules(self) -> int:
        """Schedules known so far."""
        return len(self._seen)

    def add(self, answer: Answer) -> int:
        """Take in the schedules of an answer that are new; returns how many."""
        start, index, value, cost = [0], [], [], []
        for job in range(len(answer.value_eur)):
            used = slice(int(answer.first[job]), int(answer.first[job + 1]))
            if used.start == used.stop:
                continue  # No schedule was met; one that uses nothing would be a job done for nothing.
            gpu_h, draw_kwh, row = answer.gpu_h[used], answer.draw_kwh[used], answer.row[used]
            shape = np.round(np.concatenate([row, gpu_h, draw_kwh, [answer.pool[job]]]), SAME_DECIMALS).tobytes()
            if (job, shape) in self._seen:
                continue
            self._seen.add((job, shape))
            pool = answer.pool[job]
            index += [self._gpu_rows[pool, row], self._draw_rows[pool, row], self._job_rows[[job]]]
            value += [gpu_h, draw_kwh, np.ones(1)]
            cost.append(answer.own_eur[job])
            start.append(start[-1] + 2 * len(row) + 1)
        if cost:
            count = len(cost)
            entries = np.concatenate(index).astype(np.int32), np.concatenate(value)
            lower, upper = np.zeros(count), np.full(count, highspy.kHighsInf)
            begin = np.array(start[:-1], dtype=np.int32)
            self._solver.addCols(count, np.array(cost), lower, upper, start[-1], begin, *entries)
        return len(cost)

    def fix_pumps(self, states: FloatArray) -> None:
        """Hold the pump's states at whole values: the prices to come are those of this way to run it."""
        index = self._plant.pump.astype(np.int32)
        self._solver.changeColsBounds(len(index), index, states, states)

    def free_pumps(self) -> None:
        """Let the pump's states go."""
        index = self._plant.pump.astype(np.int32)
        self._solver.changeColsBounds(len(index), index, *self._plant.free_states)

    def open_draw(self) -> None:
        """Let draw be bought and sold at a high price: states that no known schedules can heat then have prices too."""
        rows: IntArray = self._draw_rows.ravel().astype(np.int32)
        first, count = self._solver.getNumCol(), 2 * len(rows)
        price, none, all_ = np.full(count, MISSING_DRAW_EUR_PER_KWH), np.zeros(count), np.full(count, highspy.kHighsInf)
        begin, sign = np.arange(count, dtype=np.int32), np.repeat([1.0, -1.0], len(rows))
        self._solver.addCols(count, price, none, all_, count, begin, np.tile(rows, 2), sign)
        self._draw_slack = np.arange(first, first + count)

    def short_of_draw(self) -> bool:
        """True when the last optimum bought or sold draw, or GPUs, that are not there."""
        value = np.asarray(self._solver.getSolution().col_value)
        return float(value[self._draw_slack].sum() + value[self._slack].sum()) > MISSING_SUM

    def solve(self) -> tuple[float, Prices] | None:
        """Cost of the best mixture of known schedules in EUR, and the prices that support it; None when the solver fails."""
        if not solved(self._solver):
            return None
        value = float(self._solver.getInfo().objective_function_value) + self._plant.fixed_eur
        dual = np.asarray(self._solver.getSolution().row_dual)
        return value, Prices(gpu=np.maximum(0.0, -dual[self._gpu_rows]), draw=-dual[self._draw_rows])

    def buys_gpus(self) -> bool:
        """True when the last optimum used GPUs that are not there; they are made dearer for the next one."""
        bought = np.asarray(self._solver.getSolution().col_value)[self._slack]
        if float(bought.sum()) < MISSING_SUM:
            return False
        self._slack_price *= SLACK_GROWTH
        index: IntArray = self._slack.astype(np.int32)
        self._solver.changeColsCost(len(index), index, np.full(len(index), self._slack_price))
        return True
