"""Exact energy and occupation per slot from piecewise constant power."""

from __future__ import annotations

from array import array

import numpy as np

from scheduler.domain.time import FloatArray


class SlotMeter:
    """Integrates piecewise constant quantities over equal slots that start at 0 s; grows as time goes on."""

    def __init__(self, slot_s: float, slots: int = 1024) -> None:
        """Begin with room for `slots` slots."""
        self.slot_s = slot_s
        self._sums = array("d", bytes(8 * slots))

    def add(self, start_s: float, end_s: float, rate: float) -> None:
        """Add `rate` over [start, end): each slot gets rate times the seconds that the interval covers of it."""
        if end_s <= start_s or rate == 0.0:
            return
        first = int(start_s // self.slot_s)
        edge_s = (first + 1) * self.slot_s
        if end_s <= edge_s:
            self._reserve(first + 1)
            self._sums[first] += rate * (end_s - start_s)
            return
        last = int(end_s // self.slot_s)
        self._reserve(last + 1)
        self._sums[first] += rate * (edge_s - start_s)
        for slot in range(first + 1, last):
            self._sums[slot] += rate * self.slot_s
        self._sums[last] += rate * (end_s - last * self.slot_s)

    def mean(self, slot: int) -> float:
        """Mean of the quantity over one slot."""
        return self._sums[slot] / self.slot_s if slot < len(self._sums) else 0.0

    def means(self, slots: int) -> FloatArray:
        """Means over the first `slots` slots, (slots,)."""
        self._reserve(slots)
        return np.array(self._sums[:slots], dtype=np.float64) / self.slot_s

    def _reserve(self, slots: int) -> None:
        """Make room for `slots` slots."""
        have = len(self._sums)
        if slots > have:
            self._sums.frombytes(bytes(8 * max(slots - have, have)))
