"""Exact energy and occupation per slot from piecewise constant power."""

from __future__ import annotations

import numpy as np

from scheduler.domain.time import FloatArray


class SlotMeter:
    """Integrates piecewise constant quantities over equal slots that start at 0 s; grows as time goes on."""

    def __init__(self, slot_s: float, slots: int = 1024) -> None:
        """Begin with room for `slots` slots."""
        self.slot_s = slot_s
        self._sums = np.zeros(slots)

    def add(self, start_s: float, end_s: float, rate: float) -> None:
        """Add `rate` over [start, end): each slot gets rate times the seconds that the interval covers of it."""
        if end_s <= start_s or rate == 0.0:
            return
        first, last = int(start_s // self.slot_s), int(end_s // self.slot_s)
        self._reserve(last + 1)
        if first == last:
            self._sums[first] += rate * (end_s - start_s)
            return
        self._sums[first] += rate * ((first + 1) * self.slot_s - start_s)
        self._sums[first + 1 : last] += rate * self.slot_s
        self._sums[last] += rate * (end_s - last * self.slot_s)

    def mean(self, slot: int) -> float:
        """Mean of the quantity over one slot."""
        return float(self._sums[slot]) / self.slot_s if slot < len(self._sums) else 0.0

    def means(self, slots: int) -> FloatArray:
        """Means over the first `slots` slots, (slots,)."""
        self._reserve(slots)
        return np.asarray(self._sums[:slots] / self.slot_s)

    def _reserve(self, slots: int) -> None:
        """Make room for `slots` slots."""
        if slots > len(self._sums):
            self._sums = np.concatenate([self._sums, np.zeros(max(slots - len(self._sums), len(self._sums)))])
