"""Proximal bundle: maximise a concave dual function that is a sum of components, each known by value and gradient.

Each component q keeps cuts f_q(y) <= b + g @ y. A step maximises sum_q min(cuts of q) - |y - centre|^2 / (2 rho); its dual is a
small quadratic program over one simplex per component, solved by an accelerated projected gradient. Serious steps move the
centre, null steps add cuts. Only iterations are counted, never seconds (optimisation.md 3 and 6).

Products are written with `einsum`, whose sums run in one order; BLAS behind `@` adds in another order on every number of CPUs,
and another last bit here is another plan in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from scheduler.domain.time import FloatArray, IntArray

MOST_CUTS = 25
QP_STEPS = 120
ACCEPT_FRACTION = 0.1
RHO_UP, RHO_DOWN = 2.0, 0.6
NULLS_BEFORE_SHRINK = 3
FIRST_STEP_FRACTION = 0.005
STALL_WINDOW = 8
RENEW_EVERY = 15
# No end before, where many jobs are priced: from a flat guess first steps are so short that they gain next to nothing.
LEAST_STEPS = 25

Evaluate = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


@dataclass(slots=True, eq=False)
class _Cuts:
    """Cuts of one component: values at zero, gradients, for how many steps each was idle, its place among all products."""

    places: list[int]
    place: list[int] = field(default_factory=list)
    offset: list[float] = field(default_factory=list)
    gradient: list[FloatArray] = field(default_factory=list)
    idle: list[int] = field(default_factory=list)

    def add(self, value: float, gradient: FloatArray, at: FloatArray) -> None:
        """Add the cut touched at `at`; beyond MOST_CUTS the longest idle one goes."""
        self.place.append(self.places.pop())
        self.offset.append(value - float(np.einsum("i,i->", gradient, at)))
        self.gradient.append(gradient)
        self.idle.append(0)
        if len(self.offset) > MOST_CUTS:
            worst = int(np.argmax(self.idle[:-1]))
            self.places.append(self.place[worst])
            for part in (self.place, self.offset, self.gradient, self.idle):
                del part[worst]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BundleResult:
    """Best point found, its value, steps taken and the value after each step."""

    y: FloatArray
    value: float
    steps: int
    history: tuple[float, ...]


def project_simplices(x: FloatArray, groups: IntArray, count: int) -> FloatArray:
    """Project each group's part of x on the simplex {x >= 0, sum x = 1}; `groups` is sorted.

    Sort-based projection (Held, Wolfe, Crowder 1974), all groups at once.
    """
    order = np.lexsort((-x, groups))
    ranked = x[order]
    first = np.searchsorted(groups, np.arange(count))
    total = np.cumsum(ranked)
    before = np.concatenate([[0.0], total])[first]
    rank = np.arange(len(x)) - first[groups] + 1
    threshold = (total - before[groups] - 1.0) / rank
    inside = np.bincount(groups, weights=(ranked > threshold), minlength=count).astype(np.int64)
    cut = threshold[first + np.maximum(inside, 1) - 1]
    projected: FloatArray = np.maximum(x - cut[groups], 0.0)
    return projected


def simplex_qp(matrix: FloatArray, linear: FloatArray, groups: IntArray, count: int) -> FloatArray:
    """Minimise 0.5 x'Mx + l'x over a product of simplices (accelerated projected gradient with restarts)."""
    size = np.bincount(groups, minlength=count)
    x = 1.0 / size[groups]
    frobenius = float(np.sqrt(np.square(matrix).sum()))
    lipschitz = min(float(np.abs(matrix).sum(axis=1).max()), frobenius) + 1e-12
    y, momentum = x, 1.0
    for step in range(QP_STEPS):
        gradient = np.einsum("ij,j->i", matrix, y) + linear
        new = project_simplices(y - gradient / lipschitz, groups, count)
        move = new - x
        if float(np.einsum("i,i->", gradient, move)) > 0.0:
            momentum, y = 1.0, new
        else:
            faster = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum))
            y, momentum = new + (momentum - 1.0) / faster * move, faster
        x = new
        if step > 20 and float(np.abs(move).max()) < 1e-7:
            break
    return x


class Bundle:
    """State of one maximisation; `step` does one evaluation."""

    def __init__(self, evaluate: Evaluate, start: FloatArray, step_fraction: float = FIRST_STEP_FRACTION) -> None:
        """Evaluate at `start`; the first step length makes the linear gain `step_fraction` of the value."""
        self._evaluate = evaluate
        values, gradients = evaluate(start)
        self.centre, self.value = start, float(values.sum())
        each = MOST_CUTS + 1
        self._cuts = [_Cuts(places=list(range(each * index, each * (index + 1)))) for index in range(len(values))]
        self._products = np.zeros((each * len(values), each * len(values)))
        self._add(values, gradients, start)
        slope = float(np.sqrt(np.square(gradients.sum(axis=0)).sum()))
        self.rho = step_fraction * max(abs(self.value), 1e-6) / max(slope * slope, 1e-12)
        self.predicted = np.inf
        self._nulls = 0

    def _add(self, values: FloatArray, gradients: FloatArray, at: FloatArray) -> None:
        """Add one cut to every component, and its products with the others."""
        for cuts, value, gradient in zip(self._cuts, values, gradients, strict=True):
            cuts.add(float(value), gradient, at)
        new, places = [cuts.place[-1] for cuts in self._cuts], self._places()
        products = np.einsum("ik,jk->ij", gradients, self._gradients())
        self._products[np.ix_(new, places)] = products
        self._products[np.ix_(places, new)] = products.T

    def _places(self) -> list[int]:
        """Where each cut's products are, component by component."""
        return [place for cuts in self._cuts for place in cuts.place]

    def _gradients(self) -> FloatArray:
        """Gradients of all cuts in the same order, shape (cuts, len(y))."""
        return np.array([gradient for cuts in self._cuts for gradient in cuts.gradient])

    def step(self) -> None:
        """Solve the proximal problem, evaluate there, move or learn."""
        groups = np.repeat(np.arange(len(self._cuts)), [len(cuts.offset) for cuts in self._cuts])
        gradients, places = self._gradients(), self._places()
        offset = np.array([offset for cuts in self._cuts for offset in cuts.offset])
        linear = offset + np.einsum("ij,j->i", gradients, self.centre)
        weight = simplex_qp(self.rho * self._products[np.ix_(places, places)], linear, groups, len(self._cuts))
        trial = self.centre + self.rho * np.einsum("i,ij->j", weight, gradients)
        model = linear + np.einsum("ij,j->i", gradients, trial - self.centre)
        starts = np.searchsorted(groups, np.arange(len(self._cuts)))
        self.predicted = float(np.minimum.reduceat(model, starts).sum()) - self.value
        values, found = self._evaluate(trial)
        for cuts, first in zip(self._cuts, starts, strict=True):
            used = weight[first : first + len(cuts.idle)] > 1e-6
            cuts.idle = [0 if use else idle + 1 for use, idle in zip(used, cuts.idle, strict=True)]
        self._add(values, found, trial)
        self._move(trial, float(values.sum()))

    def renew(self, evaluate: Evaluate) -> None:
        """Evaluate at the centre again, by a function that knows better."""
        values, gradients = evaluate(self.centre)
        self._add(values, gradients, self.centre)
        self.value = float(values.sum())

    def _move(self, trial: FloatArray, value: float) -> None:
        """Take a serious step when enough of the predicted gain came true; else shorten after a few null steps."""
        gain = value - self.value
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
    tolerance: float = 5e-4,
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
        if bundle.predicted < small and stalled:
            break
    return BundleResult(y=bundle.centre, value=bundle.value, steps=len(history) - 1, history=tuple(history))
