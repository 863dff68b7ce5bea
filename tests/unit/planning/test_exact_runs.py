"""The exact price of a run against every choice of levels."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from scheduler.core.planning.aggregate import Prices
from scheduler.core.planning.exact_runs import exact_eur
from scheduler.core.planning.instances import instance
from scheduler.core.planning.lower_bound import job_bounds, tightened
from scheduler.core.planning.oracle import Oracle
from scheduler.core.planning.profiles import Profiles

STARTS = 3
MOST_SLOTS = 4


def _cheapest_eur(oracle: Oracle, profiles: Profiles, pair: int, pool: int) -> float:
    """Least cost of a pair on a pool: every sequence of levels, the last slot cut where the work ends."""
    table = oracle.table
    job, start, work = int(oracle.pairs.job[pair]), int(oracle.pairs.start[pair]), float(oracle.pairs.work[pair])
    lane = int(table.kind[job]) * oracle.lanes.pools + pool
    speed, price = oracle.lanes.speed[lane], profiles.level_cost[lane]
    best = np.inf
    for slots in range(1, MOST_SLOTS + 1):
        last = start + slots - 1
        held = profiles.held[pool, last + 1] - profiles.held[pool, start]
        for levels in product(range(len(speed)), repeat=slots):
            before = float(speed[list(levels[:-1])].sum())
            fraction = (work - before) / float(speed[levels[-1]])
            if not 0.0 < fraction <= 1.0:
                continue
            share = np.append(np.ones(slots - 1), fraction)
            draw = float((price[list(levels), np.arange(start, last + 1)] * share).sum())
            end = np.array([last + fraction])
            late = float(table.lateness_eur(np.array([job]), end)[0])
            total = table.gpus[job] * (draw + held) + table.slowdown[job] * (slots - 1 + fraction) + late
            best = min(best, float(total + oracle.pairs.fixed_eur[pair]))
    return best


def _prices(oracle: Oracle, seed: int) -> Prices:
    """Prices that differ from step to step, so that no level is best everywhere."""
    rng = np.random.default_rng(seed)
    shape = (oracle.lanes.pools, oracle.frame.steps)
    return Prices(gpu_eur_per_gpu_h=rng.uniform(0.0, 0.1, shape), draw_eur_per_kwh=rng.uniform(-0.1, 0.3, shape))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_exact_price_is_that_of_the_best_of_all_sequences_of_levels(seed: int) -> None:
    oracle = Oracle(instance(100, seed))
    prices = _prices(oracle, seed)
    profiles = oracle.profiles(prices, 48)
    short = np.nonzero((oracle.table.work < 3.0) & (oracle.table.work > 1.0))[0][:6]
    assert len(short) >= 2
    for job in short:
        pairs = np.arange(oracle.pairs.first[job], oracle.pairs.first[job + 1])[:STARTS]
        pools = np.nonzero(oracle.table.eligible[job])[0]
        best = min(_cheapest_eur(oracle, profiles, int(pair), int(pool)) for pair in pairs for pool in pools)
        assert exact_eur(oracle, profiles, int(job), pairs, best + 0.5) == pytest.approx(best, abs=1e-5)
        # Nothing is cheaper than a run that is known and better than all of these.
        assert exact_eur(oracle, profiles, int(job), pairs, best - 0.5) == best - 0.5


def test_exact_bounds_lie_between_the_loose_ones_and_the_runs_found() -> None:
    oracle = Oracle(instance(30, 2))
    bounds = job_bounds(oracle, _prices(oracle, 2))
    exact = tightened(oracle, bounds, 0.0)
    assert bool((exact >= bounds.eur).all())
    assert bool((exact <= bounds.found_eur + 1e-9).all())
    assert float((exact - bounds.eur).sum()) > 0.1 * float((bounds.found_eur - bounds.eur).sum())
