"""How fast we may write: a token bucket, and the API server's own "not now"."""

from __future__ import annotations

import threading
from collections.abc import Callable

from scheduler.adapters.clock import MonotonicClock

Sleep = Callable[[float], object]
"""Waits so many seconds; returns early, and something true, when the process is to stop (`threading.Event.wait`)."""


class TokenBucket:
    """`rate_per_s` tokens a second, at most `burst` saved up. Time is an argument."""

    def __init__(self, rate_per_s: float, burst: float, now_s: float) -> None:
        """Start full.

        Raises:
            ValueError: unless the rate is positive and the burst at least one token.
        """
        if rate_per_s <= 0.0 or burst < 1.0:
            raise ValueError("TokenBucket needs rate_per_s > 0 and burst >= 1")
        self.rate_per_s = rate_per_s
        self.burst = burst
        self._tokens = burst
        self._filled_s = now_s
        self._closed_until_s = now_s

    def take(self, now_s: float, spare: float = 0.0) -> float:
        """Take one token if more than `spare` would stay; returns 0 when taken, else the seconds until it could be."""
        if now_s < self._closed_until_s:
            return self._closed_until_s - now_s
        self._fill(now_s)
        lacking = 1.0 + spare - self._tokens
        # A billionth of a token is the rounding of adding up many small times, not a token too few.
        if lacking > 1e-9:
            return lacking / self.rate_per_s
        self._tokens -= 1.0
        return 0.0

    def close(self, until_s: float) -> None:
        """Give nothing out until then: somebody said "not now"."""
        self._closed_until_s = max(self._closed_until_s, until_s)

    def _fill(self, now_s: float) -> None:
        self._tokens = min(self.burst, self._tokens + max(0.0, now_s - self._filled_s) * self.rate_per_s)
        self._filled_s = max(self._filled_s, now_s)


class WriteLimiter:
    """One bucket for all writes of the process. Decisions wait for their turn; Events only take what is to spare."""

    def __init__(
        self, clock: MonotonicClock, sleep: Sleep, *, rate_per_s: float = 19.5, burst: float = 20.0, spare_fraction: float = 0.5
    ) -> None:
        """Keep `spare_fraction` of the burst from whatever can wait.

        The defaults stay below 20 writes a second over any minute, the burst included.
        """
        self._clock = clock
        self._sleep = sleep
        self._bucket = TokenBucket(rate_per_s, burst, clock.monotonic_s())
        self._spare = min(burst - 1.0, burst * spare_fraction)
        self._lock = threading.Lock()

    def wait(self, at_most_s: float) -> bool:
        """Wait for leave to write; False when it would take longer than `at_most_s` in all, or the process is to stop."""
        end_s = self._clock.monotonic_s() + at_most_s
        while True:
            with self._lock:
                now_s = self._clock.monotonic_s()
                wait_s = self._bucket.take(now_s)
            if wait_s == 0.0:
                return True
            if now_s + wait_s > end_s or self._sleep(wait_s):
                return False

    def spare(self) -> bool:
        """Take leave for something that can wait, if there is plenty."""
        with self._lock:
            return self._bucket.take(self._clock.monotonic_s(), self._spare) == 0.0

    def back_off(self, for_s: float) -> None:
        """The API server said 429: nobody of us writes for so long."""
        with self._lock:
            self._bucket.close(self._clock.monotonic_s() + for_s)
