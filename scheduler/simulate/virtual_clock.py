"""A clock that stands still until the world moves it."""

from __future__ import annotations

from datetime import datetime, timedelta


class VirtualClock:
    """Seconds since the start of a scenario, told as an instant; the only clock of the virtual world."""

    def __init__(self, start_utc: datetime) -> None:
        """Start at `start_utc`."""
        self.start_utc = start_utc
        self.now_s = 0.0

    def now_utc(self) -> datetime:
        """Return the present instant of the world."""
        return self.at(self.now_s)

    def at(self, seconds: float) -> datetime:
        """Return the instant `seconds` after the start."""
        return self.start_utc + timedelta(seconds=seconds)

    def seconds(self, at_utc: datetime) -> float:
        """Seconds from the start to an instant; negative before it."""
        return (at_utc - self.start_utc).total_seconds()

    def move_to(self, now_s: float) -> None:
        """Move on; time never runs backwards.

        Raises:
            ValueError: when `now_s` lies in the past.
        """
        if now_s < self.now_s:
            raise ValueError(f"the virtual clock cannot go back from {self.now_s} s to {now_s} s")
        self.now_s = now_s
