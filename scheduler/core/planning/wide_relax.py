"""The relaxation of many jobs: few master LPs, each with the runs that may matter at the prices known so far.

The time of an LP grows with its columns, so runs that have become dear leave before new ones come; those of the commit window
stay, because decisions are taken there.

Prices of an LP with few runs of each job leap to and fro: where the bundle's were 0.3 % short of the best bound, those of the
first LP are 2 %. So runs are looked for half-way between them and the prices looked at before (smoothed column generation:
Wentges 1997, Pessoa et al. 2018), the cheapest few of every job, whatever they are worth at the LP's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.aggregate import Prices
from scheduler.core.planning.columns import Columns, join
from scheduler.core.planning.master import Master, Skeleton, Solved, early, priced_eur
from scheduler.core.planning.pricing import Pricing
from scheduler.core.planning.sizes import MOST_RUNS, cheapest_few, sizes
from scheduler.core.planning.wide_dive import NOW_FRACTION
from scheduler.domain.time import BoolArray, IntArray

# Start bins of a job in the first LP, and new ones in a round, by size of the job.
FIRST_PER_JOB, PER_JOB = np.array([3, 3, 3, 2]), np.array([2, 2, 1, 1])
# Reduced cost above which a later run leaves, as a share of what a job costs on average.
DEAR_SHARE = 0.005
# Rounds end when one gains less than this share of the target gap, from cold and after a plan whose relaxation handed on its
# runs and prices; they are cheap: so many times the budget's.
LEAST_GAIN, LEAST_GAIN_WARM = 0.07, 0.15
ROUNDS = 2
# Where the prices of the bound lie between those of the last search and those of the LP. After three LPs of 5,000 jobs the
# bound is up to 0.07 % higher there than half-way, after five it is the same.
BOUND_SHARE = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """What the rounds ask of the solve: most rounds and the target gap; the brake, and where time is booked by stage.

    handed_on: an earlier relaxation handed on its runs and prices.
    """

    rounds: int
    target_gap: float
    brake: Callable[[], bool]
    stage: Callable[[str], None]
    handed_on: bool = False


def relax(
    pricing: Pricing, frame: Skeleton, known: list[Columns], prices: Prices, steering: Steering
) -> tuple[Master, Solved, Prices]:
    """Solve the master of many jobs.

    Args:
        pricing: where runs come from.
        frame: the master without runs.
        known: runs of other plans, that are there from the beginning.
        prices: prices of the bundle.
        steering: budget and brake.

    Returns:
        The master, its solution at a vertex, and prices for the bound: between those at which runs were looked for last and
        those of the solution, where it is higher than at either.
    """
    size = sizes(pricing.table)
    found = [*known, *pricing.recent, pricing.columns(prices, FIRST_PER_JOB[size])]
    master = Master(frame, first_runs(pricing, found, prices, known))
    solved = master.solve(barrier=True)
    steering.stage("lp")
    least_gain = LEAST_GAIN_WARM if steering.handed_on else LEAST_GAIN
    least_eur = least_gain * steering.target_gap * max(1.0, abs(solved.objective_eur))
    for _ in range(steering.rounds * ROUNDS):
        assert solved.prices is not None
        if steering.brake():
            break
        prices = between(prices, solved.prices, 0.5)
        new = pricing.columns(prices, PER_JOB[size])
        master = master.part(useful(master, solved, pricing.problem.commit_slots, MOST_RUNS[size]))
        added = master.add(new)
        before = solved.objective_eur
        solved = master.solve(grown=True)
        steering.stage("lp")
        if not added or before - solved.objective_eur < least_eur:
            break
    assert solved.prices is not None
    return master, solved, between(prices, solved.prices, BOUND_SHARE)


def between(one: Prices, other: Prices, share: float) -> Prices:
    """Prices that lie so far on the way from the one to the other."""
    return Prices(
        gpu_eur_per_gpu_h=(1.0 - share) * one.gpu_eur_per_gpu_h + share * other.gpu_eur_per_gpu_h,
        draw_eur_per_kwh=(1.0 - share) * one.draw_eur_per_kwh + share * other.draw_eur_per_kwh,
    )


def first_runs(pricing: Pricing, found: list[Columns], prices: Prices, sure: list[Columns]) -> Columns:
    """Runs to begin with: of those found the cheapest few of every job, and in any case those that are sure to stay."""
    columns = join(found)
    cost = priced_eur(columns, prices, pricing.frame.hours)
    stay = np.isin(columns.key, np.concatenate([np.zeros(0, dtype=np.int64), *(one.key for one in sure)]))
    return columns.take(cheapest_few(columns, cost, stay, MOST_RUNS[sizes(pricing.table)]))


def useful(master: Master, solved: Solved, commit_slots: int, most: IntArray) -> BoolArray:
    """Flags of the runs in the basis, and of those that are not dear, or of the commit window, the cheapest few of a job."""
    size = max(1.0, abs(solved.objective_eur))
    now = early(master.columns, commit_slots)
    reduced = master.reduced_eur(solved)
    dear_eur = np.where(now, NOW_FRACTION * size, DEAR_SHARE * size / max(1, len(solved.job_eur)))
    used = (solved.weight > 0.0) | master.basic()
    return used | ((reduced < dear_eur) & cheapest_few(master.columns, reduced, used, most))
