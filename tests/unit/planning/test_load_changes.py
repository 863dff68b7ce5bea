"""A master whose load rows hold changes from step to step is the same program: optimum, prices, and the vertex it stands at."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from scheduler.core.planning.instances import instance
from scheduler.core.planning.master import Master, Skeleton, entries, skeleton
from scheduler.core.planning.pricing import Pricing
from scheduler.core.planning.wide_dive import narrowed

JOBS, SEED = 60, 3


@pytest.fixture(scope="module")
def pricing() -> Pricing:
    """An instance with gangs, caps, a heat pump and runs that are stopped and resumed."""
    return Pricing(instance(JOBS, SEED))


@pytest.fixture(scope="module")
def frames(pricing: Pricing) -> tuple[Skeleton, Skeleton]:
    """The same plant, with loads and with their changes."""
    loads, changes = (
        skeleton(pricing.problem, pricing.frame, pricing.table, pricing.envelope, by_change=one) for one in (False, True)
    )
    return loads, changes


def masters(pricing: Pricing, frames: tuple[Skeleton, Skeleton]) -> tuple[Master, Master]:
    """Both with the runs of two prices."""
    flat = pricing.prices(np.full(2 * pricing.shape[0] * pricing.shape[1], 0.02))
    loads, changes = (Master(frame, pricing.columns(flat, 99)) for frame in frames)
    prices = loads.solve().prices
    assert prices is not None
    for one in (loads, changes):
        one.add(pricing.columns(prices, 99))
    return loads, changes


def test_sums_of_the_changes_are_the_loads(pricing: Pricing, frames: tuple[Skeleton, Skeleton]) -> None:
    flat = pricing.prices(np.full(2 * pricing.shape[0] * pricing.shape[1], 0.02))
    columns = pricing.columns(flat, 99)
    dense = []
    for frame in frames:
        starts, index, value = entries(frame, columns)
        whole = np.zeros((len(frame.arrays.row_lower), columns.count))
        np.add.at(whole, (index, np.repeat(np.arange(columns.count), np.diff(starts))), value)
        dense.append(whole)
    loads, changes = dense
    for rows in (frames[0].rows.gpus, frames[0].rows.draw):
        assert loads[rows].any()
        assert_allclose(np.cumsum(changes[rows], axis=1), loads[rows], atol=1e-12)
    assert np.count_nonzero(changes) < 0.8 * np.count_nonzero(loads)


@pytest.mark.parametrize("barrier", [False, True])
def test_changes_have_the_same_optimum_at_the_same_prices(
    pricing: Pricing, frames: tuple[Skeleton, Skeleton], barrier: bool
) -> None:
    loads, changes = masters(pricing, frames)
    expected, found = loads.solve(), changes.solve(barrier=barrier)
    assert found.objective_eur == pytest.approx(expected.objective_eur, rel=1e-8)
    assert found.prices is not None
    # Prices of a degenerate optimum differ; those found must prove it: no run has a negative reduced cost, those in use none.
    for master in (changes, loads):
        reduced = master.reduced_eur(found)
        assert reduced.min() >= -1e-5
    assert np.abs(changes.reduced_eur(found)[found.weight > 1e-9]).max() < 1e-5


def test_a_part_in_loads_stands_where_the_changes_stood(pricing: Pricing, frames: tuple[Skeleton, Skeleton]) -> None:
    _, changes = masters(pricing, frames)
    solved = changes.solve(barrier=True)
    small = narrowed(changes, solved, pricing.problem.commit_slots, frames[0])
    found = small.solve()
    assert found.objective_eur == pytest.approx(solved.objective_eur, rel=1e-8)
    # A basis that fits needs next to no steps; from none it takes hundreds.
    assert small._lp.solver.getInfo().simplex_iteration_count <= 20
    assert small.columns.count < changes.columns.count
