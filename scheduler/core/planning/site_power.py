"""Electric power of a site as long as no heat is recovered: what cooling takes, and what it all takes without flexible work."""

from __future__ import annotations

import numpy as np

from scheduler.domain.problem import PlanProblem
from scheduler.domain.time import FloatArray


def cooling_per_draw(problem: PlanProblem, pool: int) -> float:
    """Electric kW of cooling per kW of extra draw when nothing is recovered."""
    one = problem.pools[pool]
    plug = problem.plugs[one.plug]
    caught = one.captured_kw_per_draw_kw
    return plug.room_kw_per_kw * (one.it_kw_per_draw_kw - caught) + plug.rejection_kw_per_kw * caught


def base_kw_el(problem: PlanProblem) -> FloatArray:
    """Electric kW per slot of the site without flexible work and with all captured heat rejected."""
    return base_it_kw_el(problem) + base_cooling_kw_el(problem)


def base_it_kw_el(problem: PlanProblem) -> FloatArray:
    """The part of it that is IT with its overhead."""
    it_kw = sum((pool.base_it_kw for pool in problem.pools), np.zeros(problem.grid.slots))
    return (1.0 + problem.overhead_fraction) * it_kw


def base_cooling_kw_el(problem: PlanProblem) -> FloatArray:
    """The part of it that cools rooms and rejects captured heat."""
    total = np.zeros(problem.grid.slots)
    for pool in problem.pools:
        plug = problem.plugs[pool.plug]
        total = total + plug.room_kw_per_kw * (pool.base_it_kw - pool.base_captured_kw)
        total = total + plug.rejection_kw_per_kw * pool.base_captured_kw
    return total
