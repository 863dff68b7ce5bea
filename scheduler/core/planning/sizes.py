"""Large jobs and small ones: how many runs each may choose from in a master of many jobs.

Work is as uneven as gangs and run times are: of 2,000 jobs 400 do nine tenths of it, while the 750 smallest do a hundredth and
would have half of all columns. The time of an LP grows with its columns, its value with the work behind them.
"""

from __future__ import annotations

import numpy as np

from scheduler.core.planning.columns import Columns
from scheduler.core.planning.options import JobTable
from scheduler.domain.time import BoolArray, FloatArray, IntArray

# Up to this many jobs simplex goes on from the last basis faster than interior point starts anew, and all count as large.
HOT_JOBS = 1000
# Shares of all work at which the sizes end, the largest jobs first; and the most runs that a job of each size keeps.
WORK_SHARES = (0.8, 0.95, 0.99)
MOST_RUNS = np.array([20, 12, 8, 5])
# Jobs of this size and above count as small.
SMALL_SIZE = 2


def sizes(table: JobTable) -> IntArray:
    """Size of every job by its work, 0 for the largest, shape (jobs,)."""
    if table.count <= HOT_JOBS:
        return np.zeros(table.count, dtype=np.int64)
    work = table.gpus * table.work
    order = np.argsort(-work, kind="stable")
    before = np.empty(table.count)
    before[order] = np.cumsum(work[order]) - work[order]
    return np.searchsorted(np.array(WORK_SHARES) * work.sum(), before, side="right")


def cheapest_few(columns: Columns, cost: FloatArray, sure: BoolArray, most: IntArray) -> BoolArray:
    """Flags of the runs that are sure to stay, and of the cheapest others: with them at most so many of every job."""
    order = np.lexsort((cost, ~sure, columns.job))
    job = columns.job[order]
    found = sure.copy()
    found[order[np.arange(len(job)) - np.searchsorted(job, job) < most[job]]] = True
    return found
