"""How much one peer may have of us: what asyncua leaves open is closed here."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.adapters.clock import MonotonicClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Connections, requests, sizes and times, s.

    connections: of all peers together; per_address: of one address; per_client: of one certificate. new_per_s, new_burst: that
    one address may begin. requests_per_s, request_burst: requests of one connection, where every 4 KiB count as one more; the
    next one waits. handshake_s: until a session must be active. idle_s: between two messages. message_s: for one message to
    arrive, or to be taken. max_bytes: of a message; unknown_bytes: of one before a session is active. unsent_bytes: that a peer
    may leave lying with us. nodes, calls: in one request.
    calls_at_once: requests of one connection that wait for the disk. references, read_bytes, answer_bytes:
    in one answer. subscriptions, items: of a session. queue: values that are kept of an item.
    """

    connections: int = 64
    per_address: int = 16
    per_client: int = 4
    new_per_s: float = 20.0
    new_burst: int = 100
    requests_per_s: float = 20.0
    request_burst: int = 100
    handshake_s: float = 10.0
    idle_s: float = 150.0
    session_s: tuple[float, float] = (10.0, 120.0)
    message_s: float = 10.0
    max_bytes: int = 64 * 1024
    unknown_bytes: int = 16 * 1024
    unsent_bytes: int = 8 * 1024 * 1024
    nodes: int = 200
    calls: int = 10
    calls_at_once: int = 8
    references: int = 4000
    read_bytes: int = 512 * 1024
    answer_bytes: int = 4 * 1024 * 1024
    subscriptions: int = 4
    items: int = 600
    queue: int = 10
    publishing_s: tuple[float, float] = (0.1, 60.0)


class Allowance:
    """So many things a second, and so many at once at first."""

    def __init__(self, per_s: float, burst: float, clock: MonotonicClock) -> None:
        """Begin with all of the burst."""
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._left, self._at_s = burst, clock.monotonic_s()

    def take(self, amount: float = 1.0) -> float:
        """Take, in debt when there is not enough; returns the seconds to wait until the debt is paid."""
        now_s = self._clock.monotonic_s()
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s) - amount
        self._at_s = now_s
        return max(0.0, -self._left / self._per_s)

    def full(self) -> bool:
        """Whether nothing was taken lately: then it need not be kept."""
        return self._left + (self._clock.monotonic_s() - self._at_s) * self._per_s >= self._burst
