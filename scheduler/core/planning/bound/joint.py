"""Whole pump states together with mixtures of schedules: outer approximation of the jobs inside the plant's branch and bound.

At one vector of prices the plant picks its best states for those prices, and jobs pick their best schedules; the two need not
fit. The bound here asks for one operation u of the plant, pumps whole, whose loads G and P the jobs can serve:

    min over u of  c(u) + theta,     theta >= D_i - sum_zk h_k ( lambda_i,zk G_zk + pi_i,zk P_zk )     for all prices i tried

D_i is what the oracle proved all jobs to cost at least at prices i, so every line bounds from below what any jobs that use G
and P cost, and the least over u bounds every policy, however few lines there are and wherever branch and bound stops. New lines
come from prices at which the states just found are held (Benders' decomposition in the form of Geoffrion, 1972). With one line
this is `PlantAtPrices.exact`, so the joint bound is never below it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import highspy
import numpy as np

from scheduler.core.planning.bound.lp import INF, LinearProgram
from scheduler.core.planning.bound.master import Master, PlantAtPrices, Prices
from scheduler.core.planning.bound.oracle import Answer
from scheduler.core.planning.bound.plant import add_plant
from scheduler.core.planning.bound.problem import BoundProblem
from scheduler.domain.time import FloatArray

# Rounds of column generation for each set of states that is held, and the share of the best prices for them in the next ones.
HELD_ROUNDS = 6
HELD_SMOOTHING = 0.5
# Relative gap at which a branch and bound stops; its proven side counts.
JOINT_GAP = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """All jobs cost at least `jobs_eur` at `prices`."""

    jobs_eur: float
    prices: Prices


@dataclass(slots=True, eq=False)
class JointSearch:
    """Lines known so far and the best bound that they gave.

    held: for each set of states tried, the best bound found with it held, and its prices. upper_eur: least cost of a mixture
    with whole states that was met, above which the joint bound cannot rise.
    """

    lines: list[Line]
    bound_eur: float = -np.inf
    upper_eur: float = np.inf
    rounds: int = 0
    held: dict[bytes, tuple[float, Prices]] = field(default_factory=dict)


class OuterPlant:
    """The plant with whole pump states and the lines of the jobs."""

    def __init__(self, problem: BoundProblem, nodes: int) -> None:
        """No line yet; `nodes` of each branch and bound."""
        program = LinearProgram()
        self._columns = add_plant(program, problem)
        theta = program.variables(1, cost=1.0, lower=-INF)
        whole = np.zeros(program.columns, dtype=bool)
        whole[self._columns.pump] = True
        self._hours = problem.row_h
        self._index = np.concatenate([theta, self._columns.gpus.ravel(), self._columns.draw.ravel()]).astype(np.int32)
        self._solver = program.build(whole)
        self._solver.setOptionValue("mip_max_nodes", nodes)
        self._solver.setOptionValue("mip_rel_gap", JOINT_GAP)

    def add(self, line: Line) -> None:
        """Take a line in."""
        gpu, draw = line.prices.gpu * self._hours, line.prices.draw * self._hours
        values = np.concatenate([[1.0], gpu.ravel(), draw.ravel()])
        self._solver.addRow(line.jobs_eur, highspy.kHighsInf, len(values), self._index, values)

    def solve(self) -> tuple[float, FloatArray | None]:
        """Proven bound in EUR, minus infinity when there is none, and the best states found."""
        self._solver.run()
        info = self._solver.getInfo()
        bound = float(info.mip_dual_bound) if np.isfinite(info.mip_dual_bound) else -np.inf
        found = np.asarray(self._solver.getSolution().col_value)
        usable = bool(np.isfinite(info.objective_function_value)) and len(found) > 0
        return bound + self._columns.fixed_eur, np.round(found[self._columns.pump]) if usable else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sides:
    """The two sides of the duality as the rounds before left them: known schedules, the plant at prices, the oracle."""

    master: Master
    plant: PlantAtPrices
    ask: Callable[[Prices], Answer]


def joint_bound(outer: OuterPlant, sides: Sides, search: JointSearch, rounds: int, stop_eur: float) -> None:
    """Improve `search` by rounds of branch and bound and of column generation with its states held.

    Args:
        outer: the plant without lines.
        sides: master, plant and oracle.
        search: begins with the lines of the rounds before.
        rounds: branch and bounds at most.
        stop_eur: what is left between bound and `upper_eur` when there is nothing more to gain.
    """
    sides.master.open_draw()
    known = 0
    for _ in range(rounds):
        for line in search.lines[known:]:
            outer.add(line)
        known = len(search.lines)
        bound, states = outer.solve()
        search.rounds += 1
        search.bound_eur = max(search.bound_eur, bound)
        if states is None or search.upper_eur - search.bound_eur <= stop_eur:
            break
        _hold(sides, states, search, stop_eur)
    sides.master.free_pumps()


def _hold(sides: Sides, states: FloatArray, search: JointSearch, stop_eur: float) -> None:
    """Lines from the prices of one way to run the pumps."""
    key = states.tobytes()
    sides.master.fix_pumps(states)
    for _ in range(HELD_ROUNDS):
        mixed = sides.master.solve()
        if mixed is None:
            return
        before = search.held.get(key)
        prices = mixed[1] if before is None else before[1].mixed(mixed[1], HELD_SMOOTHING)
        answer = sides.ask(prices)
        if not sides.master.short_of_draw():
            search.upper_eur = min(search.upper_eur, mixed[0])
        sides.master.add(answer)
        jobs_eur = float(answer.value_eur.sum())
        search.lines.append(Line(jobs_eur=jobs_eur, prices=prices))
        value_eur = jobs_eur + sides.plant.held(prices, states)
        if before is None or value_eur > before[0]:
            search.held[key] = value_eur, prices
        if mixed[0] - search.held[key][0] <= stop_eur:
            return
