"""The only place that reads the machine's clocks; everything else is given one."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class MonotonicClock(Protocol):
    """Seconds that only ever grow, from an arbitrary start: for ages, deadlines and leases."""

    def monotonic_s(self) -> float:
        """Return seconds since some fixed instant; no step of the wall clock moves it."""
        ...


class WallClock(Protocol):
    """The instant that people and other machines would name."""

    def now_utc(self) -> datetime:
        """Return the present instant, aware and in UTC."""
        ...


class Clocks(MonotonicClock, WallClock, Protocol):
    """Both clocks of one machine."""


class SystemClock:
    """The clocks of this machine.

    Monotonic seconds count suspended time too where the kernel can (CLOCK_BOOTTIME on Linux): a leader whose machine
    slept must find its lease over, which CLOCK_MONOTONIC would hide.
    """

    def __init__(self) -> None:
        """Choose the clock that counts suspended time, if there is one."""
        self._clock_id: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def now_utc(self) -> datetime:
        """Return the present instant, aware and in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - this is the clock adapter that the rule speaks of

    def monotonic_s(self) -> float:
        """Return seconds since boot, suspended time included where the kernel tells."""
        return time.clock_gettime(self._clock_id)
