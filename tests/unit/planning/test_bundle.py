"""The bundle on functions whose maximum is known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.core.planning.bundle import MOST_CUTS, Bundle, maximise, project_simplices, simplex_qp
from scheduler.domain.time import FloatArray

CENTRES = np.array([[1.0, 0.0, 2.0], [3.0, 4.0, -2.0]])


def hills(y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """f_q(y) = 10 - |y - c_q|^2 / 2 of two components; their sum is highest half-way between, at 20 - |c_1 - c_2|^2 / 4."""
    away = y - CENTRES
    return 10.0 - 0.5 * np.square(away).sum(axis=1), -away


def test_the_best_point_of_two_hills_lies_half_way() -> None:
    # |(2, 4, -4)|^2 = 36: the highest value is 20 - 9 = 11, at (2, 2, 0).
    found = maximise(hills, np.zeros(3), 150, tolerance=1e-9)
    assert found.value == pytest.approx(11.0, abs=0.01)
    assert found.y == pytest.approx([2.0, 2.0, 0.0], abs=0.1)
    assert max(found.history) == found.value


def test_products_of_cuts_stay_right_when_old_cuts_go() -> None:
    bundle = Bundle(hills, np.array([9.0, -9.0, 5.0]))
    for _ in range(3 * MOST_CUTS):
        bundle.step()
    assert bundle.cuts == MOST_CUTS
    gradients = bundle._gradient.reshape(2 * MOST_CUTS, -1)
    products = bundle._products.reshape(2 * MOST_CUTS, 2 * MOST_CUTS)
    np.testing.assert_allclose(products, gradients @ gradients.T, rtol=1e-12, atol=1e-12)


def test_each_row_is_projected_on_its_own_simplex() -> None:
    # (0.8, 0.6) less 0.2 each, and -1 is cut off at zero; (2, 0, 0) less 1 as well.
    found = project_simplices(np.array([[0.8, 0.6, -1.0], [2.0, 0.0, 0.0]]))
    assert found == pytest.approx(np.array([[0.6, 0.4, 0.0], [1.0, 0.0, 0.0]]))


def test_a_quadratic_over_two_simplices_ends_at_the_same_place_from_anywhere() -> None:
    # |x - (0.9, 0.3)|^2 / 2 and |z - (0, 5)|^2 / 2: x = (0.9, 0.3) less 0.1 each, z at the corner (0, 1).
    linear = -np.array([[0.9, 0.3], [0.0, 5.0]])
    for start in (np.zeros((2, 2)), np.array([[0.0, 1.0], [1.0, 0.0]])):
        found = simplex_qp(np.eye(4), linear, start)
        assert found == pytest.approx(np.array([[0.8, 0.2], [0.0, 1.0]]), abs=1e-6)


def test_first_steps_too_short_to_gain_end_nothing_where_many_jobs_are_priced() -> None:
    def hill(y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """-|y - 1| in one component."""
        return np.array([-abs(float(y[0]) - 1.0)]), np.array([[1.0 if y[0] < 1.0 else -1.0]])

    # The first step gains a billionth; doubled every time it reaches the top after 30 steps, 2^30 = 1e9.
    start = np.array([0.0])
    few = maximise(hill, start, 60, step_fraction=1e-9)
    many = maximise(hill, start, 60, step_fraction=1e-9, renew=hill)
    assert few.steps < 15
    assert few.value < -0.99
    assert many.steps >= 25
    assert many.value > few.value


def test_values_that_contradict_each_other_lengthen_steps_that_are_too_short_to_tell() -> None:
    asked: list[float] = []

    def told_too_high(y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """-|y - 1| in one component, the first value a hundredth too high."""
        asked.append(float(y[0]))
        high = 0.01 if len(asked) == 1 else 0.0
        return np.array([high - abs(float(y[0]) - 1.0)]), np.array([[1.0 if y[0] < 1.0 else -1.0]])

    # The first step is a millionth long, ten thousand times less than it takes to see that there is something to gain.
    found = maximise(told_too_high, np.array([0.0]), 60, step_fraction=1e-6)
    assert found.y[0] == pytest.approx(1.0, abs=0.01)
    assert asked[1] < 1e-5
