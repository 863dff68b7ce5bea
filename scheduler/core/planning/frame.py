"""The clock of a planning problem: slots, steps, hours and electricity prices as arrays, horizon and beyond."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.domain.problem import PlanProblem
from scheduler.domain.time import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """Time grid of one problem.

    step_start, step_slots, hours: first slot, slots and hours of each step k. step_of: step of each slot.
    price_eur_per_kwh: all-in price (spot + adder + carbon) per slot; step_price_eur_per_kwh: its mean per step.
    """

    slots: int
    slot_h: float
    slot_s: float
    step_start: IntArray
    step_slots: IntArray
    step_of: IntArray
    hours: FloatArray
    price_eur_per_kwh: FloatArray
    step_price_eur_per_kwh: FloatArray
    tail_eur_per_kwh: FloatArray
    overhead_fraction: float

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.step_slots)

    def mean(self, per_slot: FloatArray) -> FloatArray:
        """Mean over the slots of each step, along the last axis."""
        found: FloatArray = np.add.reduceat(per_slot, self.step_start, axis=-1) / self.step_slots
        return found

    def spread(self, per_step: FloatArray) -> FloatArray:
        """Repeat the value of each step on its slots, along the last axis."""
        found: FloatArray = np.repeat(per_step, self.step_slots, axis=-1)
        return found

    def extended_price_eur_per_kwh(self, slots_more: int) -> FloatArray:
        """Price per slot with `slots_more` slots behind the horizon; the last tail value goes on."""
        if slots_more == 0 or len(self.tail_eur_per_kwh) == 0:
            last = self.price_eur_per_kwh[-1:] if self.slots else np.zeros(1)
            return np.concatenate([self.price_eur_per_kwh, np.repeat(last, slots_more)])
        index = np.minimum(np.arange(slots_more), len(self.tail_eur_per_kwh) - 1)
        return np.concatenate([self.price_eur_per_kwh, self.tail_eur_per_kwh[index]])


def frame_of(problem: PlanProblem) -> Frame:
    """Write the clock of a problem."""
    lengths = np.asarray(problem.step_slots, dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    price = problem.spot_eur_per_kwh + problem.adder_eur_per_kwh + problem.carbon_eur_per_kwh
    return Frame(
        slots=problem.grid.slots,
        slot_h=problem.grid.slot_h,
        slot_s=float(problem.grid.slot_s),
        step_start=starts,
        step_slots=lengths,
        step_of=np.repeat(np.arange(len(lengths)), lengths),
        hours=np.asarray(lengths * problem.grid.slot_h, dtype=np.float64),
        price_eur_per_kwh=price,
        step_price_eur_per_kwh=np.add.reduceat(price, starts) / lengths,
        tail_eur_per_kwh=np.asarray(problem.tail_eur_per_kwh, dtype=np.float64),
        overhead_fraction=problem.overhead_fraction,
    )
