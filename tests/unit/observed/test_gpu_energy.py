"""Energy of GPUs over resets, gaps and nonsense, by hand; and never more or less than was drawn."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.accounting.gpu_energy import GpuEnergy, Piece, after_look, energy_within


def looked(
    *looks: tuple[float, float | None, float | None], most_w: float | None = 700.0
) -> tuple[GpuEnergy, list[float | None]]:
    """(second, counter in J, draw in W) one after the other."""
    state: GpuEnergy | None = None
    told = []
    for at_s, counter_j, draw_w in looks:
        state, joules = after_look(state, at_s, counter_j, draw_w, most_w)
        told.append(joules)
    assert state is not None
    return state, told


def test_energy_is_the_rise_of_the_counter() -> None:
    state, told = looked((0.0, 1000.0, 5.0), (1.0, 1600.0, 5.0), (3.0, 2800.0, 5.0))
    assert told == [None, 600.0, 1200.0]
    assert (state.total_j, state.resets, state.silent_s) == (1800.0, 0, 0.0)


def test_a_counter_that_fell_back_or_jumped_is_replaced_by_power_for_that_step() -> None:
    state, told = looked(
        (0.0, 5000.0, 400.0), (1.0, 20.0, 400.0), (2.0, 420.0, 400.0), (3.0, 99_420.0, 300.0), (4.0, 99_820.0, 1.0)
    )
    # Back to 20 J: 400 W for a second; then 400 J; 99 kJ in a second cannot be: 300 W; then 400 J.
    assert told == [None, 400.0, 400.0, 300.0, 400.0]
    assert (state.total_j, state.resets) == (1500.0, 2)


def test_without_a_counter_power_counts_and_without_both_nothing_is_known() -> None:
    state, told = looked(
        (0.0, None, 100.0), (1.0, None, 100.0), (2.0, None, None), (4.0, math.nan, math.inf), (5.0, None, 50.0)
    )
    assert told == [None, 100.0, None, None, 50.0]
    assert (state.total_j, state.silent_s, state.resets) == (150.0, 3.0, 0)


def test_seconds_in_which_nobody_looked_are_in_the_counter() -> None:
    state, told = looked((0.0, 0.0, 600.0), (100.0, 50_000.0, 600.0))
    assert told[1] == 50_000.0
    assert state.resets == 0


def test_of_an_hour_without_counter_power_at_its_end_says_nothing() -> None:
    state, told = looked((0.0, 9000.0, 600.0), (3600.0, 10.0, 600.0), (3601.0, 610.0, 600.0))
    # The driver was gone for an hour and its counter began anew: that hour is silent, the second after it is not.
    assert told == [None, None, 600.0]
    assert (state.total_j, state.silent_s, state.resets) == (600.0, 3600.0, 1)


def test_a_clock_that_stands_still_changes_nothing() -> None:
    state, told = looked((5.0, 100.0, 1.0), (5.0, 900.0, 1.0), (4.0, 900.0, 1.0))
    assert told == [None, None, None]
    assert state == GpuEnergy(seen_s=5.0, counter_j=100.0)


@given(
    draws=st.lists(st.floats(0.0, 700.0), min_size=2, max_size=60),
    steps_s=st.lists(st.floats(0.2, 5.0), min_size=60, max_size=60),
    reset_at=st.sets(st.integers(0, 59), max_size=3),
)
def test_all_that_was_drawn_is_counted_and_a_reset_costs_no_more_than_its_step(
    draws: list[float], steps_s: list[float], reset_at: set[int]
) -> None:
    state, _ = after_look(None, 0.0, 0.0, draws[0], 700.0)
    now_s, counter_j, true_j, unsure_j = 0.0, 0.0, 0.0, 0.0
    for number, draw_w in enumerate(draws):
        step_s = steps_s[number]
        now_s += step_s
        true_j += draw_w * step_s
        counter_j += draw_w * step_s
        if number in reset_at:
            # The driver was loaded anew in this step: its energy up to there is in no counter.
            counter_j = 0.0
            unsure_j += 700.0 * step_s
        state, joules = after_look(state, now_s, counter_j, draw_w, 700.0)
        assert joules is not None
        assert joules >= 0.0
    assert abs(state.total_j - true_j) <= unsure_j + 1e-6 * (1.0 + true_j)


def test_an_interval_gets_its_share_of_what_reaches_over_its_edges() -> None:
    pieces = [
        Piece(uuid="a", start_s=9.0, end_s=11.0, joules=200.0),  # half of it inside
        Piece(uuid="a", start_s=11.0, end_s=20.0, joules=900.0),
        Piece(uuid="b", start_s=10.0, end_s=16.0, joules=600.0),  # 6 of 10 s: its mean for all
        Piece(uuid="c", start_s=10.0, end_s=14.0, joules=400.0),  # too little
        Piece(uuid="d", start_s=20.0, end_s=30.0, joules=400.0),
    ]
    assert energy_within(pieces, 10.0, 20.0) == pytest.approx({"a": 1000.0, "b": 1000.0})
