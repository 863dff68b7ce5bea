"""Many things that fail at once, told as one: an API server that is away is one fault, not one for each of fifteen caches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.logs import Teller

# While it lasts it is told again so often: whoever looks only now must find it.
REMIND_S = 60.0
MOST_NAMED = 5


class Outage:
    """Tells that something begins to fail, why, for whom and what is done meanwhile; now and then that it still does; its end.

    Takes part whoever says so, by name. It is over when nobody fails any more. Those in `on_recovery` are called when one of
    them works again: what helped him may help the others, who wait longer and longer.
    """

    def __init__(self, tell: Teller, what: str, clock: MonotonicClock, meanwhile: str) -> None:
        """`what` is what fails ("reading the cluster"), `meanwhile` what is done about it."""
        self._tell, self._what, self._clock, self._meanwhile = tell, what, clock, meanwhile
        self._lock = threading.Lock()
        self._failing: set[str] = set()
        self._hit: set[str] = set()
        self._reasons: set[type] = set()
        self._since_s = self._told_s = 0.0
        self.on_recovery: list[Callable[[], None]] = []

    def failed(self, who: str, why: Exception) -> None:
        """Somebody failed; told when it is the first, fails for another kind of reason, or it lasts."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            first, other = not self._failing, type(why) not in self._reasons
            self._failing.add(who)
            if first:
                self._hit, self._reasons, self._since_s = set(), set(), now_s
            self._hit.add(who)
            self._reasons.add(type(why))
            if not (first or other) and now_s - self._told_s < REMIND_S:
                self._tell.debug(f"{self._what} fails too", who=who, why=why)
                return
            self._told_s = now_s
            lasts = {} if first else {"for_s": round(now_s - self._since_s)}
            words = "failed" if first or other else "still fails"
            self._tell.warning(f"{self._what} {words}", who=_named(self._failing), why=why, **lasts, meanwhile=self._meanwhile)

    def worked(self, who: str) -> None:
        """Somebody works; told when nobody fails any more."""
        if who not in self._failing:
            return
        with self._lock:
            self._failing.discard(who)
            if not self._failing:
                after_s = round(self._clock.monotonic_s() - self._since_s, 1)
                self._tell.info(f"{self._what} works again", who=_named(self._hit), after_s=after_s)
        for call in self.on_recovery:
            call()


def _named(names: Collection[str]) -> str:
    """Some names, and how many more there are."""
    some = sorted(names)[:MOST_NAMED]
    more = len(names) - len(some)
    return ", ".join(some) + (f" and {more} more" if more else "")
