"""Agent and setter as processes through every fault, judged by the library's log of writes.

The bound of two seconds is measured by `benchmarks.agent` on a machine of its own; here limits may be late by what a busy
machine takes, and must come back all the same.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from agent_deeds import DEEDS
from agent_runs import RunFound, fault_run
from agent_world import Pace

# They wait more than they work.
SIDE_BY_SIDE = 7
SEEDS = range(1, 11)


def pace(seed: int) -> Pace:
    """Wishes from a file and from an API server by turns, and each third setter with a standby behind it."""
    return Pace(gpus=3, grace_s=30.0, by_api=seed % 2 == 0, standby=seed % 3 == 0)


def wrong(found: list[RunFound]) -> list[str]:
    """What to read about runs that went wrong."""
    return [f"{run.seed} {run.deeds} {run.end}: {run.complaints}\n{run.logs}" for run in found if run.complaints]


@pytest.mark.slow
def test_every_kind_of_fault_leaves_no_cap_behind(library: Path) -> None:
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        found = list(pool.map(lambda deed: fault_run(library, deed[0], [deed[1]], pace(deed[0])), enumerate(DEEDS)))
    assert [run.deeds for run in found] == [(deed.name,) for deed in DEEDS]
    assert wrong(found) == []
    # Runs in which no cap ended would prove nothing.
    assert sum(len(run.endings) for run in found) > 2 * len(DEEDS)


@pytest.mark.slow
def test_random_faults_leave_no_cap_behind(library: Path) -> None:
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        found = list(pool.map(lambda seed: fault_run(library, seed, None, pace(seed)), SEEDS))
    assert wrong(found) == []
    # On a busy machine fewer caps are set in the time of a run; each should have seen one end.
    assert sum(len(run.endings) for run in found) > len(SEEDS)
