"""The relaxation of thousands of jobs: LPs of the large ones beside a crowd, at last one with all that may begin now.

Like `wide_relax`, with runs looked for between the prices of the last search and those of the LP, but the small jobs stand in
groups (`crowd.py`), which makes an LP of 5,000 jobs three times as fast. In the last LP the small jobs that may begin in the
commit window have runs of their own, because decisions are taken there; the others keep the mixture that they had.
"""

from __future__ import annotations

from collections.abc import Callable

from scheduler.core.planning.aggregate import Prices
from scheduler.core.planning.columns import Columns, join
from scheduler.core.planning.crowd import Crowd, Resting
from scheduler.core.planning.master import Aside, Master, Skeleton, Solved
from scheduler.core.planning.pricing import Pricing
from scheduler.core.planning.sizes import MOST_RUNS, sizes
from scheduler.core.planning.wide_relax import FIRST_PER_JOB, PER_JOB, Steering, between, first_runs, useful

# The LP after one that gained less than this share of the target gap, times a power of the jobs, is the last: a round gains a
# quarter of the one before it, and takes 0.7 s with 2,000 jobs, 2 s with 5,000. From a guess the bound of 5,000 lags behind.
LAST_GAIN_COLD, LAST_GAIN_WARM = (2e-8, 2), (2e-11, 3)
# Shares of the way to the prices of the LP at which the bound is tried, as long as it gains this share of itself by it.
BOUND_SHARES, BOUND_GAIN = (0.75, 0.5, 0.25), 1e-3
# So many times the budget's rounds.
ROUNDS = 2


def relax_crowd(
    pricing: Pricing,
    frames: Callable[[Aside], Skeleton],
    known: list[Columns],
    prices: Prices,
    steering: Steering,
    *,
    warm: bool = False,
) -> tuple[Master, Solved, Prices, Resting]:
    """Solve the master of thousands of jobs.

    Args:
        pricing: where runs come from.
        frames: writes the master without runs beside jobs that stand aside.
        known: runs of other plans, that are there from the beginning.
        prices: prices of the bundle.
        steering: budget and brake.
        warm: the bundle began from prices of a last plan.

    Returns:
        The master, its solution at a vertex, prices for the bound as of `relax`, and the jobs that rest.
    """
    size = sizes(pricing.table)
    best = pricing.columns(prices, FIRST_PER_JOB[size])
    crowd = Crowd(pricing, best, prices)
    for columns in (*known, *pricing.recent):
        crowd.hear(columns, prices)
    runs = first_runs(pricing, [*known, *pricing.recent, best], prices, known)
    master = Master(frames(crowd.aside()), runs.take(~crowd.jobs[runs.job]))
    solved = master.solve(barrier=True)
    steering.stage("lp")
    share, power = LAST_GAIN_WARM if warm else LAST_GAIN_COLD
    least_gain = share * float(pricing.table.count) ** power
    least_eur, gain_eur = least_gain * steering.target_gap * max(1.0, abs(solved.objective_eur)), float("inf")
    for rounds in range(1, ROUNDS * steering.rounds + 1):
        assert solved.prices is not None
        prices = between(prices, solved.prices, 0.5)
        new = pricing.columns(prices, PER_JOB[size])
        runs = master.columns.take(useful(master, solved, pricing.problem.commit_slots, MOST_RUNS[size]))
        runs = join([runs, new.take(~crowd.jobs[new.job])])
        if gain_eur < least_eur or rounds == ROUNDS * steering.rounds or steering.brake():
            break
        crowd.hear(new, prices)
        master, before = Master(frames(crowd.aside()), runs), solved.objective_eur
        solved = master.solve(barrier=True)
        gain_eur = before - solved.objective_eur
        steering.stage("lp")
    awake, resting = crowd.parted(master, solved, new)
    master = Master(frames(resting.aside), join([runs, awake]))
    solved = master.solve(barrier=True)
    steering.stage("lp")
    assert solved.prices is not None
    return master, solved, _bound_prices(pricing, prices, solved.prices), resting


def _bound_prices(pricing: Pricing, searched: Prices, found: Prices) -> Prices:
    """Prices for the bound between those of the last search and those of the LP, which leap where few rounds were enough."""
    best, best_eur = found, float("-inf")
    for share in BOUND_SHARES:
        prices = between(searched, found, share)
        value_eur = float(pricing.evaluate(pricing.vector(prices))[0].sum())
        if value_eur < best_eur + BOUND_GAIN * abs(value_eur):
            break
        best, best_eur = prices, value_eur
    return best
