"""How politely and how patiently feeds are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from secrets import SystemRandom
from weakref import WeakValueDictionary

from scheduler.adapters.clock import Clocks, SystemClock
from scheduler.units import S_PER_H

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of time: connect_s, read_s (between two pieces), total_s (one fetch whole: tries, redirects and waits together).

    tries: of what may heal. backoff_s, backoff_max_s: before the second try and at most, each with jitter. retry_after_s: a
    `Retry-After` up to so long is waited for here, a longer one is the caller's. per_host_s, burst: one request to a host each
    so many seconds, after so many at once. max_bytes: of a body, unpacked. kept_bytes: bodies kept for conditional requests.
    fresh_s: no `max-age` holds longer. redirects: followed at most. connections: open at
    most; host_connections: of these to one host, so that one that hangs leaves some to the others.
    """

    connect_s: float = 5.0
    read_s: float = 10.0
    total_s: float = 40.0
    tries: int = 3
    backoff_s: float = 0.5
    backoff_max_s: float = 8.0
    retry_after_s: float = 5.0
    per_host_s: float = 0.5
    burst: int = 6
    queue_s: float = 20.0
    max_bytes: int = 5 * MIB
    kept_bytes: int = 8 * MIB
    fresh_s: float = S_PER_H
    redirects: int = 3
    connections: int = 24
    host_connections: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """What passes of time: clocks, how to wait, and a number in [0, 1) that spreads waits."""

    clock: Clocks = field(default_factory=SystemClock)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = field(default_factory=lambda: SystemRandom().random)


class Doors:
    """So many requests to one host at the same time; for one event loop."""

    def __init__(self, per_host: int) -> None:
        """All are open."""
        self._per_host = per_host
        self._of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, host: str) -> asyncio.Semaphore:
        """Held while a host is asked; forgotten when nobody asks it."""
        door = self._of.get(host)
        if door is None:
            door = self._of[host] = asyncio.Semaphore(self._per_host)
        return door


class Pace:
    """A bucket of tokens per host, and hosts that asked to be left alone for a while. Time is what its caller says."""

    def __init__(self, per_token_s: float, burst: int) -> None:
        """One token each so many seconds, at most `burst` of them."""
        self._per_token_s, self._burst = per_token_s, float(burst)
        self._tokens: dict[str, tuple[float, float]] = {}
        self._until_s: dict[str, float] = {}

    def wait_s(self, host: str, now_s: float) -> float:
        """Seconds until a request may go; `take` claims that place."""
        tokens, _ = self._now(host, now_s)
        return max(0.0, (1.0 - tokens) * self._per_token_s)

    def rest_s(self, host: str, now_s: float) -> float:
        """Seconds for which a host still wants to be left alone."""
        return max(0.0, self._until_s.get(host, now_s) - now_s)

    def take(self, host: str, now_s: float) -> None:
        """Spend a token, one of the future if there is none."""
        tokens, at_s = self._now(host, now_s)
        self._tokens[host] = (tokens - 1.0, at_s)

    def rest(self, host: str, until_s: float) -> None:
        """Leave a host alone until then."""
        self._until_s[host] = max(until_s, self._until_s.get(host, until_s))

    def _now(self, host: str, now_s: float) -> tuple[float, float]:
        """Tokens of a host by now."""
        tokens, at_s = self._tokens.get(host, (self._burst, now_s))
        grown = (now_s - at_s) / self._per_token_s if self._per_token_s > 0.0 else self._burst
        return min(self._burst, tokens + max(0.0, grown)), now_s
