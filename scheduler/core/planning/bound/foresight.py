"""A proven lower bound on the cost of any policy in a window, by Lagrangian duality.

Let x_j be what job j does and u what the plant does. Every policy's total cost is at least

    min  sum_j c_j(x_j) + c(u)   subject to   GPUs and extra draw of all jobs in each row of time <= , =  those of u.

For any prices (lambda >= 0, pi) of these coupling rows, weak duality bounds it from below by

    L(lambda, pi) = sum_j min_x [c_j(x) + lambda gpu_h(x) + pi draw(x)]  +  min_u [c(u) - lambda h G(u) - pi h P(u)],

which falls apart into one pricing problem per job (`oracle`, exact over all starts, caps and pauses) and one linear program of
the plant (`plant`). The prices are improved by column generation: a linear program over the schedules met so far proposes its
duals, smoothed towards the best prices known; its value tells how far the search can still rise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count

import numpy as np

from scheduler.core.planning.bound.build import WindowSeries, bound_problem
from scheduler.core.planning.bound.joint import JointSearch, Line, OuterPlant, Sides, joint_bound
from scheduler.core.planning.bound.master import Master, PlantAtPrices, Prices, first_prices
from scheduler.core.planning.bound.oracle import Answer, Oracle
from scheduler.core.planning.bound.pieces import pieces, stitched_prices
from scheduler.core.planning.bound.problem import BoundBudget, BoundProblem, BoundResult
from scheduler.domain.world import Scenario

Tell = Callable[[int, int], None]

# Share of the best prices in the next prices to try: the duals of a few schedules are wild, the more the fewer there are.
SMOOTHING = 0.6
# Taken off the bound for the accuracy of the solvers (1e-7 in their rows), as a share of all money that changes hands.
SOLVER_SAFETY_FRACTION = 1e-6


@dataclass(slots=True, eq=False)
class _Search:
    """State of the search: best bound with its prices and parts, best mixture, history."""

    bound_eur: float
    prices: Prices
    jobs_eur: float = 0.0
    plant_eur: float = 0.0
    relaxed_eur: float | None = None
    rounds: int = 0
    whole_gain_eur: float | None = None
    joint_gain_eur: float | None = None
    money_eur: float = 0.0
    lines: list[Line] = field(default_factory=list)
    history: list[float] = field(default_factory=list)


def foresight_bound(problem: BoundProblem, budget: BoundBudget | None = None, tell: Tell | None = None) -> BoundResult:
    """Lower bound on the total cost (cash and shadow) that any policy can reach, even with perfect foresight.

    Args:
        problem: the window, see `bound_problem`.
        budget: rounds and the gap at which to stop; any number of rounds gives a valid bound.
        tell: is told which piece of how many is searched, for a progress display.

    Raises:
        Misconfigured: when a job fits no pool or cannot end inside the window.
    """
    limits = BoundBudget() if budget is None else budget
    hours, pieces_searched = float(problem.edges_h[-1]), 0
    if hours > limits.whole_h:
        # What decides a piece's prices is its jobs; whole pump states of the whole window would take longer than all pieces.
        relaxed = replace(limits, plant_nodes=0)
        pieces_searched = len(list(pieces(problem, limits.piece_h)))
        counted = count(1)

        def search_piece(piece: BoundProblem) -> Prices:
            if tell is not None:
                tell(next(counted), pieces_searched)
            return _searched(piece, relaxed, first_prices(piece))[0].prices

        start = stitched_prices(problem, limits.piece_h, search_piece)
        search, schedules = _searched(problem, replace(relaxed, rounds=1), start)
    else:
        search, schedules = _searched(problem, limits, first_prices(problem))
    return _result(problem, search, schedules, pieces_searched)


def _searched(problem: BoundProblem, limits: BoundBudget, prices: Prices) -> tuple[_Search, int]:
    """Rounds of column generation from some prices, then whole pump states; also how many schedules were met."""
    oracle, plant = Oracle(problem), PlantAtPrices(problem, limits.plant_nodes)
    search = _Search(bound_eur=-np.inf, prices=prices)
    if limits.rounds <= 1:
        _note(search, prices, oracle(prices.gpu, prices.draw), plant.relaxed(prices))
        search.rounds = 1
        _make_pumps_whole(search, plant)
        return search, len(problem.jobs)
    master = Master(problem)
    for _ in range(limits.rounds):
        answer = oracle(prices.gpu, prices.draw)
        _note(search, prices, answer, plant.relaxed(prices))
        search.rounds += 1
        master.add(answer)
        mixed = master.solve()
        if mixed is None:
            break
        search.relaxed_eur = mixed[0]
        open_eur = mixed[0] - search.bound_eur
        if open_eur <= limits.stop_fraction * max(1.0, abs(mixed[0])) and not master.buys_gpus():
            break
        prices = search.prices.mixed(mixed[1], SMOOTHING)
    _make_pumps_whole(search, plant)
    if plant.branches and limits.joint_rounds > 0:
        sides = Sides(master=master, plant=plant, ask=lambda at: oracle(at.gpu, at.draw))
        _make_pumps_whole_jointly(search, problem, sides, limits)
    return search, master.schedules


def bound_for(
    scenario: Scenario,
    series: WindowSeries,
    end_utc: datetime,
    budget: BoundBudget | None = None,
    tell: Tell | None = None,
) -> BoundResult:
    """`foresight_bound` of a scenario up to the common end of its strategies; `series` as they were charged with."""
    period_end_utc = scenario.start_utc + timedelta(days=scenario.days)
    problem = bound_problem(scenario.site, scenario.jobs, series, end_utc, promised_until_utc=period_end_utc)
    return foresight_bound(problem, budget, tell)


def _note(search: _Search, prices: Prices, answer: Answer, plant_eur: float) -> None:
    """Keep the prices if their bound is the best so far."""
    jobs_eur = float(answer.value_eur.sum())
    money_eur = float(np.abs(answer.value_eur).sum()) + abs(plant_eur)
    bound = jobs_eur + plant_eur - SOLVER_SAFETY_FRACTION * money_eur
    if bound > search.bound_eur:
        search.money_eur = money_eur
        search.bound_eur, search.prices, search.jobs_eur, search.plant_eur = bound, prices, jobs_eur, plant_eur
    search.history.append(search.bound_eur)
    search.lines.append(Line(jobs_eur=jobs_eur, prices=prices))


def _make_pumps_whole(search: _Search, plant: PlantAtPrices) -> None:
    """At the best prices, let no pump be half on: the proven side of a branch and bound on its states only raises the bound.

    Where this gains nothing, there are states that are whole and best at these prices; whether jobs can serve them is asked by
    `_make_pumps_whole_jointly`.
    """
    if not plant.branches or not np.isfinite(search.bound_eur):
        return
    gain_eur = plant.exact(search.prices)[0] - search.plant_eur
    search.whole_gain_eur = max(0.0, gain_eur)
    search.plant_eur += search.whole_gain_eur
    # The solver's accuracy counts for what was gained as well.
    search.bound_eur += search.whole_gain_eur * (1.0 - SOLVER_SAFETY_FRACTION)
    search.history.append(search.bound_eur)


def _make_pumps_whole_jointly(search: _Search, problem: BoundProblem, sides: Sides, limits: BoundBudget) -> None:
    """Raise the bound by operations of the plant that are whole and that the jobs can serve, see `joint`."""
    stop_eur = limits.stop_fraction * max(1.0, abs(search.bound_eur))
    joint = JointSearch(lines=search.lines)
    joint_bound(OuterPlant(problem, limits.joint_nodes), sides, joint, limits.joint_rounds, stop_eur)
    found_eur = joint.bound_eur - SOLVER_SAFETY_FRACTION * search.money_eur
    search.joint_gain_eur = max(0.0, found_eur - search.bound_eur)
    search.bound_eur += search.joint_gain_eur
    search.history.append(search.bound_eur)


def _result(problem: BoundProblem, search: _Search, schedules: int, pieces_searched: int) -> BoundResult:
    """The result with its account of itself."""
    shortest, longest = float(problem.row_h.min()), float(problem.row_h.max())
    row = f"{longest:g} h" if np.isclose(shortest, longest) else f"{shortest:.3g} to {longest:g} h"
    how = f"{search.rounds} rounds of column generation"
    if pieces_searched:
        how = f"evaluated at the prices of {pieces_searched} overlapping pieces that were searched one by one,"
    gain_eur = search.whole_gain_eur
    whole = "" if gain_eur is None else f", at the best prices with whole pump states by branch and bound ({gain_eur:+.2f} EUR)"
    if search.joint_gain_eur is not None:
        whole += f", and with whole pump states jointly with mixtures of schedules ({search.joint_gain_eur:+.2f} EUR)"
    method = (
        f"Lagrangian dual over GPUs and extra draw per pool in {problem.rows} rows of {row}, {how} "
        f"over {schedules} schedules of {len(problem.jobs)} jobs. Each job is priced over all continuous "
        "starts, moving caps and pauses; heat pump, tank and sale are a linear program with the best possible promises"
        f"{whole}. Weak duality makes it a lower bound for every policy, whatever it knows."
    )
    return BoundResult(
        cost_eur=search.bound_eur,
        method=method,
        rounds=search.rounds,
        gpu_eur_per_gpu_h=search.prices.gpu,
        draw_eur_per_kwh=search.prices.draw,
        history_eur=tuple(search.history),
        relaxed_eur=search.relaxed_eur,
        terms_eur={"jobs_at_prices": search.jobs_eur, "plant_at_prices": search.plant_eur},
        rows=problem.rows,
        jobs=len(problem.jobs),
    )
