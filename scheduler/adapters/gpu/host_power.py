"""What the host of the GPUs takes: sources that are looked at every few seconds, each on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.gpu.intervals import Intervals
from scheduler.core.accounting.gpu_energy import Piece
from scheduler.domain.errors import HeatDispatchError

# Controllers of machines answer slowly and measure no faster. Two looks must fall into an interval of ten seconds.
EVERY_S = 4.0


class HostPowerAway(HeatDispatchError):
    """A source of the host's power cannot be read; `expected` is what would help."""

    def __init__(self, message: str, expected: str = "") -> None:
        """Keep what is wrong, and what would help."""
        super().__init__(message)
        self.expected = expected


class Source(Protocol):
    """Something that measures the host, or a part of it."""

    @property
    def name(self) -> str:
        """Of its pieces."""
        ...

    def look(self, at_s: float) -> Piece | None:
        """Energy since the last look, if that is known; raises HostPowerAway."""
        ...


class HostPower:
    """Looks at one source; one thread runs `run`, any other reads."""

    def __init__(self, source: Source, intervals: Intervals, clock: MonotonicClock, tell: Callable[[str], None]) -> None:
        """Add what `source` measures to `intervals`; `tell` is given a line when it fails and when it works again."""
        self._source, self._intervals, self._clock, self._tell = source, intervals, clock, tell
        self.name = source.name
        self.trouble = ""
        self.total_j = 0.0

    def run(self, stopping: threading.Event) -> None:
        """Look until stopped."""
        while not stopping.is_set():
            self.look()
            stopping.wait(EVERY_S)

    def look(self) -> None:
        """Look once; what goes wrong is told when it changes."""
        try:
            piece = self._source.look(self._clock.monotonic_s())
        except HostPowerAway as error:
            why = f"{error}" + (f" (expected {error.expected})" if error.expected else "")
            if why != self.trouble:
                self._tell(f"power of the {self.name} is not known: {why}")
            self.trouble = why
            return
        if self.trouble:
            self._tell(f"power of the {self.name} is known again")
        self.trouble = ""
        if piece is not None:
            self.total_j += piece.joules
            self._intervals.add(piece)
