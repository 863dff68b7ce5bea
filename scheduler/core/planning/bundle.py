"""Proximal bundle: maximise a concave dual function that is a sum of components, each known by value and gradient.

Each component q keeps cuts f_q(y) <= b + g @ y. A step maximises sum_q min(cuts of q) - |y - centre|^2 / (2 rho); its dual is a
small quadratic program over one simplex per component, solved by an accelerated projected gradient. Serious steps move the
centre, null steps add cuts. Only iterations are counted, never seconds (optimisation.md 3 and 6).

Products are written with `einsum`, whose sums run in one order; BLAS behind `@` adds in another order on every number of CPUs,
and another last bit here is another plan in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scheduler.domain.time import FloatArray

MOST_CUTS = 25
QP_STEPS = 120
ACCEPT_FRACTION = 0.1
RHO_UP, RHO_DOWN = 2.0, 0.6
# Where the cuts lie below the value by more than this fraction, values contradict each other: steps grow, so many in a row.
NOISE, NOISE_UP, MOST_NOISY = 1e-7, 4.0, 12
NULLS_BEFORE_SHRINK = 3
FIRST_STEP_FRACTION = 0.005
STALL_WINDOW = 8
RENEW_EVERY = 15
# Gain, as a share of the value, below which the search ends.
TOLERANCE = 5e-4
# No end before, where many jobs are priced: from a flat guess first steps are so short that they gain next to nothing.
LEAST_STEPS = 25

Evaluate = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BundleResult:
    """Best point found, its value, steps taken and the value after each step."""

    y: FloatArray
    value: float
    steps: int
    history: tuple[float, ...]


def project_simplices(x: FloatArray) -> FloatArray:
    """Project every row of x on the simplex {x >= 0, sum x = 1}.

    Sort-based projection (Held, Wolfe, Crowder 1974), all rows at once.
    """
    ranked = -np.sort(-x, axis=1)
    threshold = (np.cumsum(ranked, axis=1) - 1.0) / np.arange(1, x.shape[1] + 1)
    inside = np.maximum((ranked > threshold).sum(axis=1), 1)
    projected: FloatArray = np.maximum(x - threshold[np.arange(len(x)), inside - 1][:, None], 0.0)
    return projected


def simplex_qp(matrix: FloatArray, linear: FloatArray, start: FloatArray) -> FloatArray:
    """Minimise 0.5 x'Mx + l'x over a product of simplices (accelerated projected gradient with restarts).

    Args:
        matrix: M, shape (components * cuts, components * cuts).
        linear: l, shape (components, cuts).
        start: where to begin, of the same shape; every row is a simplex of its own.
    """
    frobenius = float(np.sqrt(np.square(matrix).sum()))
    lipschitz = min(float(np.abs(matrix).sum(axis=1).max()), frobenius) + 1e-12
    x = y = project_simplices(start)
    momentum = 1.0
    for step in range(QP_STEPS):
        gradient = np.einsum("ij,j->i", matrix, y.ravel()).reshape(x.shape) + linear
        new = project_simplices(y - gradient / lipschitz)
        move = new - x
        if float(np.einsum("ij,ij->", gradient, move)) > 0.0:
            momentum, y = 1.0, new
        else:
            faster = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum))
            y, momentum = new + (momentum - 1.0) / faster * move, faster
        x = new
        if step > 20 and float(np.abs(move).max()) < 1e-7:
            break
    return x


class Bundle:
    """State of one maximisation; `step` does one evaluation.

    Every component has equally many cuts: values at zero, gradients, for how many steps each was idle, its weight in the last
    step, and the products of all gradients with each other.
    """

    def __init__(self, evaluate: Evaluate, start: FloatArray, step_fraction: float = FIRST_STEP_FRACTION) -> None:
        """Evaluate at `start`; the first step length makes the linear gain `step_fraction` of the value."""
        self._evaluate = evaluate
        values, gradients = evaluate(start)
        self.centre, self.value = start, float(values.sum())
        shape = (len(values), MOST_CUTS)
        self.cuts = 0
        self._offset, self._weight = np.zeros(shape), np.zeros(shape)
        self._idle = np.zeros(shape, dtype=np.int64)
        self._gradient = np.zeros((*shape, len(start)))
        self._products = np.zeros((*shape, *shape))
        self._add(values, gradients, start)
        slope = float(np.sqrt(np.square(gradients.sum(axis=0)).sum()))
        self.rho = step_fraction * max(abs(self.value), 1e-6) / max(slope * slope, 1e-12)
        self.predicted = np.inf
        self._nulls = self._noisy = 0

    @property
    def contradicted(self) -> bool:
        """Whether the cuts of the last step lie below the value that the function was told to have."""
        return self.predicted < -NOISE * abs(self.value)

    def _add(self, values: FloatArray, gradients: FloatArray, at: FloatArray) -> None:
        """Add one cut to every component, and its products with the others; of MOST_CUTS the longest idle one goes."""
        rows = np.arange(len(values))
        place = np.full(len(values), self.cuts) if self.cuts < MOST_CUTS else np.argmax(self._idle, axis=1)
        self.cuts = min(self.cuts + 1, MOST_CUTS)
        self._offset[rows, place] = values - np.einsum("ij,j->i", gradients, at)
        self._gradient[rows, place] = gradients
        self._idle[rows, place], self._weight[rows, place] = 0, 0.0
        products = np.einsum("ik,jck->ijc", gradients, self._gradient)
        self._products[rows, place] = products
        self._products[:, :, rows, place] = np.moveaxis(products, 0, 2)

    def step(self) -> None:
        """Solve the proximal problem, evaluate there, move or learn."""
        some = slice(0, self.cuts)
        gradient = self._gradient[:, some]
        linear = self._offset[:, some] + np.einsum("ick,k->ic", gradient, self.centre)
        products = self._products[:, some, :, some].reshape(linear.size, linear.size)
        weight = simplex_qp(self.rho * products, linear, self._weight[:, some])
        move = self.rho * np.einsum("ic,ick->k", weight, gradient)
        trial = self.centre + move
        model = linear + np.einsum("ick,k->ic", gradient, move)
        self.predicted = float(model.min(axis=1).sum()) - self.value
        values, found = self._evaluate(trial)
        self._idle[:, some] = np.where(weight > 1e-6, 0, self._idle[:, some] + 1)
        self._weight[:, some] = weight
        self._add(values, found, trial)
        self._move(trial, float(values.sum()))

    def renew(self, evaluate: Evaluate) -> None:
        """Evaluate at the centre again, by a function that knows better."""
        values, gradients = evaluate(self.centre)
        self._add(values, gradients, self.centre)
        self.value = float(values.sum())

    def _move(self, trial: FloatArray, value: float) -> None:
        """Take a serious step when enough of the predicted gain came true; else shorten after a few null steps.

        A concave function never lies above its own cuts. One that is known from a short list may, by a little; where that is
        more than a step can gain, shorter steps would never leave the place, so they grow (Kiwiel 2006).
        """
        gain = value - self.value
        self._noisy = self._noisy + 1 if self.contradicted else 0
        if 0 < self._noisy <= MOST_NOISY:
            self.rho *= NOISE_UP
            self._nulls = 0
            if gain > 0.0:
                self.centre, self.value = trial, value
            return
        if gain > ACCEPT_FRACTION * max(self.predicted, 0.0):
            if gain > 0.5 * self.predicted:
                self.rho *= RHO_UP
            self._nulls = 0
            self.centre, self.value = trial, value
            return
        self._nulls += 1
        if self._nulls >= NULLS_BEFORE_SHRINK:
            self.rho *= RHO_DOWN
            self._nulls = 1
        if gain > 0.0:
            self.centre, self.value = trial, value


def maximise(
    evaluate: Evaluate,
    start: FloatArray,
    steps: int,
    *,
    tolerance: float = TOLERANCE,
    step_fraction: float = FIRST_STEP_FRACTION,
    out_of_time: Callable[[], bool] = lambda: False,
    renew: Evaluate | None = None,
) -> BundleResult:
    """Maximise sum of components from `start` in at most `steps` evaluations.

    Args:
        evaluate: y -> (values, shape (components,); gradients, shape (components, len(y))).
        start: first point.
        steps: evaluation budget.
        tolerance: stop when the predicted gain and the last gains fall under this fraction of the value.
        step_fraction: length of the first step, as the fraction of the value that it would gain by the gradient.
        out_of_time: emergency brake, asked before each step.
        renew: where `evaluate` may tell too high values, an evaluation that puts it right, asked at the centre every
            RENEW_EVERY steps.
    """
    bundle = Bundle(evaluate, start, step_fraction)
    history = [bundle.value]
    while len(history) <= steps and not out_of_time():
        bundle.step()
        if renew is not None and len(history) % RENEW_EVERY == 0:
            bundle.renew(renew)
        history.append(bundle.value)
        small = tolerance * abs(bundle.value)
        begun = len(history) > (STALL_WINDOW if renew is None else LEAST_STEPS)
        stalled = begun and bundle.value - history[-STALL_WINDOW] < 0.5 * small
        if bundle.predicted < small and stalled and not bundle.contradicted:
            break
    return BundleResult(y=bundle.centre, value=bundle.value, steps=len(history) - 1, history=tuple(history))
