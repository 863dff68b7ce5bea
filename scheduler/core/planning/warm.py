"""A warm start: the prices of the last plan on the steps of the present one."""

from __future__ import annotations

import numpy as np

from scheduler.core.planning.aggregate import Prices
from scheduler.core.planning.pricing import Pricing
from scheduler.domain.plan import Plan
from scheduler.domain.problem import PlanProblem
from scheduler.domain.time import FloatArray


def shifted_prices(last: Plan, problem: PlanProblem, pricing: Pricing) -> Prices | None:
    """Prices of an earlier plan on the present steps, less the electricity that a run pays itself; None if they do not fit."""
    duals, frame = last.duals, pricing.frame
    elapsed = last.grid.slot_of(problem.grid.start_utc)
    shape = (len(problem.pools), frame.slots)
    if duals.slot_s != problem.grid.slot_s or duals.gpu_eur_per_gpu_h.shape != shape or not 0 <= elapsed < frame.slots:
        return None
    if not bool(duals.draw_eur_per_kwh.any()):
        return None
    at = np.minimum(np.arange(frame.slots) + elapsed, frame.slots - 1)
    slope = np.array([pool.it_kw_per_draw_kw for pool in problem.pools]) * (1.0 + problem.overhead_fraction)
    paid = _paid_eur_per_kwh(last, frame.price_eur_per_kwh, elapsed)
    draw = duals.draw_eur_per_kwh[:, at] - slope[:, None] * paid[at]
    return Prices(gpu_eur_per_gpu_h=frame.mean(duals.gpu_eur_per_gpu_h[:, at]), draw_eur_per_kwh=frame.mean(draw))


def _paid_eur_per_kwh(last: Plan, now: FloatArray, elapsed: int) -> FloatArray:
    """Electricity price that the last plan rests on, on its own slots; today's where it does not say."""
    if last.basis is not None and last.basis.shape[1] == len(now):
        found: FloatArray = last.basis[0]
        return found
    return np.concatenate([np.repeat(now[:1], elapsed), now])[: len(now)]
