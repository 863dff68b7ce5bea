"""May I write, now and for as long as this write may take? Every write asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from scheduler.adapters.clock import MonotonicClock
from scheduler.domain.errors import HeatDispatchError


class Fenced(HeatDispatchError):
    """The write was not sent: this process does not lead, or not for long enough. Nothing is to be mended."""


class Fence(Protocol):
    """Gives leave to write."""

    def holds(self, for_s: float) -> bool:
        """True when leadership is sure for the next `for_s` seconds."""
        ...

    def permit(self, for_s: float) -> AbstractContextManager[None]:
        """Give leave for one write of at most `for_s` seconds.

        Raises:
            Fenced: when leadership is not sure for so long.
        """
        ...


class Term:
    """One unbroken time of leadership. Once over it stays over: a plan made in it can never be written in the next one.

    `holds` reads the clock at every call, so a process that was stopped for longer than its lease finds out by asking,
    before any thread of it has had the time to renew or to notice.
    """

    def __init__(self, number: int, clock: MonotonicClock, valid_until_s: float) -> None:
        """The `number`-th term of this process, sure until `valid_until_s` of `clock`."""
        self.number = number
        self._clock = clock
        self._valid_until_s = valid_until_s
        self._ended = ""
        self._writing = 0
        self._changed = threading.Condition()

    @property
    def over(self) -> str:
        """Why the term is over; empty while it is not."""
        return self._ended

    def holds(self, for_s: float) -> bool:
        """True when leadership is sure for the next `for_s` seconds."""
        return not self._ended and self._clock.monotonic_s() + for_s < self._valid_until_s

    def left_s(self) -> float:
        """Seconds that leadership is still sure."""
        return 0.0 if self._ended else max(0.0, self._valid_until_s - self._clock.monotonic_s())

    @contextmanager
    def permit(self, for_s: float) -> Iterator[None]:
        """Give leave for one write of at most `for_s` seconds, and count it until it is done."""
        with self._changed:
            if not self.holds(for_s):
                raise Fenced(f"not leading for the next {for_s:g} s: {self._ended or 'lease not renewed'}")
            self._writing += 1
        try:
            yield
        finally:
            with self._changed:
                self._writing -= 1
                self._changed.notify_all()

    def extend(self, valid_until_s: float) -> None:
        """The lease was renewed; a term that is over stays over."""
        with self._changed:
            self._valid_until_s = max(self._valid_until_s, valid_until_s)

    def end(self, why: str) -> bool:
        """End the term for good; returns False when it was over before."""
        with self._changed:
            if self._ended:
                return False
            self._ended = why
            return True

    def drained(self, within_s: float) -> bool:
        """Wait until writes under way are done; False when one still is. Only then may the lease be handed on."""
        with self._changed:
            return self._changed.wait_for(lambda: self._writing == 0, within_s)


class Unfenced:
    """Always leave: for a person's own command (`release --all`), which no lease guards."""

    def holds(self, for_s: float) -> bool:
        """True."""
        return for_s >= 0.0

    @contextmanager
    def permit(self, for_s: float) -> Iterator[None]:
        """Give leave."""
        del for_s
        yield


class NeverFence:
    """Never leave: for a standby."""

    def holds(self, for_s: float) -> bool:
        """False."""
        return for_s < 0.0

    @contextmanager
    def permit(self, for_s: float) -> Iterator[None]:
        """Refuse."""
        if not self.holds(for_s):
            raise Fenced(f"not leading (asked for {for_s:g} s)")
        yield
