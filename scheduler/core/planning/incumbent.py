"""The plan of the simplest rule as columns: first come, first served at full power. It always exists, so a plan always does."""

from __future__ import annotations

import numpy as np

from scheduler.core.planning.columns import Columns, Picks, write_columns
from scheduler.core.planning.fallback import first_come
from scheduler.core.planning.oracle import Oracle
from scheduler.domain.problem import PlanProblem

FASTEST = 0
FEWEST_MULTIPLIERS = 2


def first_come_columns(problem: PlanProblem, oracle: Oracle) -> Columns:
    """One column for every job that the rule places; a start that the columns leave out moves to the next one they have."""
    pair, pool = [], []
    pairs = oracle.pairs
    for index, planned in enumerate(first_come(problem)):
        main = planned.main
        if main is None:
            continue
        starts = pairs.start[pairs.first[index] : pairs.first[index + 1]]
        at = int(np.searchsorted(starts, main.start_slot))
        if at < len(starts):
            pair.append(int(pairs.first[index]) + at)
            pool.append(main.pool)
    shape = (oracle.lanes.pools, oracle.lanes.horizon)
    profiles = oracle.profiles_of(np.zeros(shape), np.zeros(shape), FEWEST_MULTIPLIERS)
    picks = Picks(
        pair=np.array(pair, dtype=np.int64),
        pool=np.array(pool, dtype=np.int64),
        multiplier=np.full(len(pair), FASTEST, dtype=np.int64),
    )
    return write_columns(oracle, profiles, picks)
