"""The search over the commit window against HiGHS on the same master, and what it leaves behind."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.core.planning.aggregate import Prices
from scheduler.core.planning.branch import Effort, Search
from scheduler.core.planning.instances import instance
from scheduler.core.planning.master import Master, early, skeleton
from scheduler.core.planning.pricing import Pricing
from scheduler.domain.time import FloatArray

COMMIT_SLOTS = 4


def _master(jobs: int, seed: int) -> tuple[Master, Pricing]:
    """All runs that a flat price and two rounds of the master's own prices offer."""
    problem = instance(jobs, seed)
    pricing = Pricing(problem)
    flat = Prices(gpu_eur_per_gpu_h=np.full(pricing.shape, 0.04), draw_eur_per_kwh=np.zeros(pricing.shape))
    frame = skeleton(problem, pricing.frame, pricing.table, pricing.envelope)
    master = Master(frame, pricing.columns(flat, 99))
    for _ in range(2):
        prices = master.solve(grown=True).prices
        assert prices is not None
        master.add(pricing.columns(prices, 99))
    return master, pricing


# Ten jobs, of which the relaxation splits eight: whole runs cost 2 % more, and are found exactly. Fourteen, of which it splits
# four: the search settles. More jobs show nothing else, and branch and bound takes seconds on them.
@pytest.mark.parametrize("jobs", [10, 14])
def test_the_search_finds_what_branch_and_bound_over_all_runs_finds(jobs: int) -> None:
    master, pricing = _master(jobs, 3)
    root = master.solve(grown=True)
    least_eur = 1e-4 * abs(root.objective_eur)
    window = np.nonzero(early(master.columns, COMMIT_SLOTS))[0]
    base = len(master.frame.arrays.cost)
    whole = master._lp.whole(window + base, 100_000, 1e-6)
    assert whole is not None
    best_eur = float(np.append(master.frame.arrays.cost, master.columns.cost) @ whole)

    search = Search(master, COMMIT_SLOTS, pricing.table.gpus)
    found = search.run(root, Effort(solves=400, least_eur=least_eur, bound_eur=float, enough_eur=-np.inf), lambda: False)

    assert found is not None
    part = found.weight[window]
    assert bool(((part < 1e-6) | (part > 1.0 - 1e-6)).all())
    assert found.objective_eur >= best_eur - 1e-6 * abs(best_eur)
    # Settling at once may cost a few least gains.
    assert found.objective_eur <= best_eur + 10.0 * least_eur


def test_all_runs_are_free_again_after_a_search() -> None:
    master, pricing = _master(16, 1)
    root = master.solve(grown=True)
    Search(master, COMMIT_SLOTS, pricing.table.gpus).run(
        root, Effort(solves=60, least_eur=1e-4 * abs(root.objective_eur), bound_eur=float, enough_eur=-np.inf), lambda: False
    )
    again = master.try_solve()
    assert again is not None
    assert again.objective_eur == pytest.approx(root.objective_eur, rel=1e-7)


def test_runs_that_come_later_do_not_move_what_was_decided() -> None:
    master, pricing = _master(16, 1)
    root = master.solve(grown=True)
    least_eur = 1e-3 * abs(root.objective_eur)
    search = Search(master, COMMIT_SLOTS, pricing.table.gpus)
    found = search.run(root, Effort(solves=60, least_eur=least_eur, bound_eur=float, enough_eur=-np.inf), lambda: False)
    assert found is not None
    decided = _in_window(master, found.weight)

    later = search.hold(found)
    held = master.try_solve()
    assert held is not None
    assert held.prices is not None
    runs = pricing.columns(held.prices, 99, held.job_eur, only=later)
    added = master.add(runs.take(~early(runs, COMMIT_SLOTS)))
    grown = master.solve(grown=True)

    assert decided
    assert not later[[job for job, _, _ in decided]].any()
    assert added > 0
    assert set(runs.job.tolist()) <= set(np.nonzero(later)[0].tolist())
    assert _in_window(master, grown.weight) == decided
    assert held.objective_eur <= found.objective_eur + 1e-6
    assert grown.objective_eur <= held.objective_eur - 1e-3
    search.free()
    again = master.try_solve()
    assert again is not None
    assert again.objective_eur <= root.objective_eur + 1e-6


def _in_window(master: Master, weight: FloatArray) -> set[tuple[int, int, int]]:
    """Job, start and pool of the runs taken in the window; all of them must be whole."""
    taken = np.nonzero(early(master.columns, COMMIT_SLOTS)[: len(weight)] & (weight > 1e-6))[0]
    assert bool((weight[taken] > 1.0 - 1e-6).all())
    columns = master.columns
    return {(int(columns.job[run]), int(columns.start[run]), int(columns.pool[run])) for run in taken}
