"""How long to wait before another try at somebody who does not answer."""

from __future__ import annotations

from secrets import SystemRandom

FIRST_S, LONGEST_S = 1.0, 15.0
_SPREAD = SystemRandom()


def pause_s(tried: int, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> float:
    """Seconds before the next try after `tried` failures in a row: doubled each time, spread over its upper half."""
    return min(longest_s, first_s * 2.0 ** min(tried, 30)) * (0.5 + 0.5 * _SPREAD.random())
