"""The plant's time: as fast as wanted, from one start."""

from __future__ import annotations

import time
from datetime import datetime, timedelta


class PacedClock:
    """A `ports.Clock` that runs `speed` times as fast as the machine's, or stands where it is set."""

    def __init__(self, start_utc: datetime, speed: float = 1.0) -> None:
        """Begin at `start_utc` now; speed 0: stand still until `move_to`."""
        self.start_utc, self.speed = start_utc, speed
        self._began_s = time.monotonic()
        self._moved = timedelta()

    def now_utc(self) -> datetime:
        """As the port says."""
        passed_s = (time.monotonic() - self._began_s) * self.speed
        return self.start_utc + self._moved + timedelta(seconds=passed_s)

    def restart(self) -> None:
        """Begin again at the start, now."""
        self._began_s, self._moved = time.monotonic(), timedelta()

    def move_to(self, now_utc: datetime) -> None:
        """Set a clock that stands."""
        self._moved = now_utc - self.start_utc
