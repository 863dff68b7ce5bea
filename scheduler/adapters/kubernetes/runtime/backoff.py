"""How long to wait after the n-th failure in a row; chance is injected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Uniform = Callable[[], float]
"""Draws from [0, 1), e.g. `numpy.random.default_rng(seed).random`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential with jitter: after n failures `min(max_s, base_s * factor ** (n - 1))`, less up to `jitter_fraction` of it.

    Jitter takes away and never adds, so that `max_s` is a promise; it spreads clients that failed together.
    """

    base_s: float = 0.5
    factor: float = 2.0
    max_s: float = 30.0
    jitter_fraction: float = 0.5

    def wait_s(self, failures: int, uniform: Uniform) -> float:
        """Seconds to wait after `failures` failures in a row (0: no wait)."""
        if failures <= 0:
            return 0.0
        # The exponent is bounded: a year of failures must not overflow a float.
        full_s = min(self.max_s, self.base_s * self.factor ** min(failures - 1, 64))
        return full_s * (1.0 - self.jitter_fraction * uniform())
