"""An hour of energy in short intervals, cut out of pieces that come from several sources at their own pace."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scheduler.adapters.clock import MonotonicClock
from scheduler.core.accounting.gpu_energy import Piece, energy_within

WALL = "wall"
"""Name of the whole node among the pieces; GPUs stand there by their uuid."""
PROCESSORS = "processors"
"""Name of the processors, with their memory where it is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Energy of one interval in J, of each source by its name; `end_s` by the monotonic clock."""

    sequence: int
    end_s: float
    seconds: float
    joules: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How long an interval is, for how long after its end late pieces still count, and how many intervals are kept."""

    slot_s: float = 10.0
    grace_s: float = 3.0
    keep_slots: int = 360


class Intervals:
    """Any thread may add to it or ask it."""

    def __init__(self, clock: MonotonicClock, cut: Cut | None = None) -> None:
        """Begin the first interval now."""
        self._clock, self._cut = clock, cut or Cut()
        self._lock = threading.Lock()
        self._pieces: deque[Piece] = deque()
        self._slots: deque[Slot] = deque(maxlen=self._cut.keep_slots)
        self._start_s = clock.monotonic_s()
        self._sequence = 0

    def add(self, piece: Piece) -> None:
        """Keep what somebody has measured."""
        with self._lock:
            self._pieces.append(piece)
            self._close()

    def over(self) -> Sequence[Slot]:
        """Intervals that are over, the oldest first."""
        with self._lock:
            self._close()
            return tuple(self._slots)

    def _close(self) -> None:
        """Close intervals that are over; what they were made of is forgotten. Of one that nobody measured nothing is said."""
        cut, now_s = self._cut, self._clock.monotonic_s()
        while now_s >= self._start_s + cut.slot_s + cut.grace_s:
            end_s = self._start_s + cut.slot_s
            joules = energy_within(self._pieces, self._start_s, end_s)
            if joules:
                self._sequence += 1
                self._slots.append(Slot(sequence=self._sequence, end_s=end_s, seconds=cut.slot_s, joules=joules))
            self._pieces = deque(piece for piece in self._pieces if piece.end_s > end_s)
            self._start_s = end_s
