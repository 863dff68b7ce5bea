"""The one door through which this process writes: reach, rate, fence, then the request, counted.

Order matters. Waiting (for a token, for Retry-After) comes before asking the fence, nothing comes between the fence and the
request, and the fence has the last word once more between the request's head and its body.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.errors import ApiError, Forbidden, TooManyRequests
from scheduler.adapters.kubernetes.runtime.fence import Fence, Fenced
from scheduler.adapters.kubernetes.runtime.frozen import EMPTY, Key, Obj, freeze, key_of
from scheduler.adapters.kubernetes.runtime.kinds import EVENTS, Kind
from scheduler.adapters.kubernetes.runtime.limiter import Sleep, WriteLimiter
from scheduler.domain.errors import HeatDispatchError, Retryable


class Reach(IntEnum):
    """What may be written: DRY our own kinds and Events; LETTING_GO also what only lets a job go; FULL everything."""

    DRY = 0
    LETTING_GO = 1
    FULL = 2


class OutOfReach(HeatDispatchError):
    """The write was not sent: the policy's mode does not allow it. Nothing is to be mended."""


class Congested(Retryable):
    """The write was not sent: too many others wait for their turn, or the process is to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How a writer meets "not now". A 403 is met with a few tries: an API server says it for a moment after its restart."""

    turn_s: float = 30.0
    forbidden_waits_s: tuple[float, ...] = (0.2, 0.5, 1.0)
    too_many_tries: int = 3
    longest_retry_after_s: float = 30.0


class WriteCounts:
    """How many writes ended how: by (verb, plural, outcome). Shared by all writers of a process; read by metrics."""

    def __init__(self) -> None:
        """Start at zero."""
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()

    def count(self, verb: str, kind: Kind, outcome: str) -> None:
        """Count one."""
        with self._lock:
            self._counts[verb, kind.plural, outcome] += 1

    def all(self) -> Mapping[tuple[str, str, str], int]:
        """A copy of the counts so far."""
        with self._lock:
            return dict(self._counts)

    def done(self) -> int:
        """How many writes the API server has taken."""
        return sum(number for (_, _, outcome), number in self.all().items() if outcome == "done")


class Writer:
    """Writes for one term of leadership (make a new one for the next) and at most as far as `reach` says at that moment."""

    def __init__(
        self,
        client: KubeClient,
        fence: Fence,
        limiter: WriteLimiter,
        sleep: Sleep,
        *,
        reach: Callable[[], Reach],
        counts: WriteCounts | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Write through `client` while `fence` holds."""
        self.counts = counts or WriteCounts()
        self._client = client.guarded(self._last_word)
        self._fence = fence
        self._limiter = limiter
        self._sleep = sleep
        self._reach = reach
        self._patience = patience or Patience()
        self._applied: dict[tuple[Kind, Key, str], Obj] = {}
        self._refused: set[tuple[str, Kind]] = set()

    @property
    def reach(self) -> Reach:
        """What may be written now."""
        return self._reach()

    def within(self, reach: Callable[[], Reach]) -> Writer:
        """The same door for another policy: what that policy's mode allows, and no more than this writer's.

        What was applied and refused is remembered together.
        """
        narrower = Writer(
            self._client,
            self._fence,
            self._limiter,
            self._sleep,
            reach=lambda: min(self._reach(), reach()),
            counts=self.counts,
            patience=self._patience,
        )
        narrower._applied, narrower._refused = self._applied, self._refused
        return narrower

    def apply(self, kind: Kind, body: Obj, name: str, subresource: str = "", seen: Obj | None = None) -> Obj | None:
        """Bring our own object (or its status) to `body`; returns what the server has now, None when nothing was to do.

        Nothing is to do when this writer applied exactly this before and the object as `seen` still says so.

        Raises:
            ValueError: for a kind that is not ours.
        """
        if not kind.own:
            raise ValueError(f"{kind.kind} is not ours to apply")
        place, wanted = (kind, ("", name), subresource), freeze(body)
        if seen is not None and self._applied.get(place) == wanted and covers(seen, wanted):
            self.counts.count("apply", kind, "unchanged")
            return None
        answer = self._write("apply", kind, Reach.DRY, lambda: self._client.apply(kind, body, name, subresource=subresource))
        self._applied[place] = wanted
        return answer

    def patch(self, kind: Kind, seen: Obj, change: Obj, *, subresource: str = "", lets_go: bool = False) -> Obj:
        """Merge-patch an object exactly as it was `seen`; `lets_go` says that the change only lets a job go.

        Raises:
            Conflict: when it has changed since: look again. Never repeated in here.
        """
        return self._write(
            "patch", kind, self._needed(kind, lets_go), lambda: self._client.patch(kind, seen, change, subresource)
        )

    def apply_part(self, kind: Kind, seen: Obj, part: Obj, *, subresource: str = "", lets_go: bool = False) -> Obj:
        """Apply our entry in somebody else's object exactly as it was `seen`."""
        return self._write(
            "apply", kind, self._needed(kind, lets_go), lambda: self._client.apply_part(kind, seen, part, subresource)
        )

    def create(self, kind: Kind, body: Obj, namespace: str = "") -> Obj:
        """Create an object."""
        return self._write("create", kind, self._needed(kind, False), lambda: self._client.create(kind, body, namespace))

    def replace(self, kind: Kind, body: Obj, name: str, namespace: str) -> Obj:
        """Replace an object at the resourceVersion inside `body`, a Lease that is renewed.

        Raises:
            Conflict: when it has changed since.
        """
        needs = self._needed(kind, False)
        return self._write("replace", kind, needs, lambda: self._client.replace(kind, body, name, namespace))

    def delete(self, kind: Kind, seen: Obj, *, lets_go: bool = False, exactly: bool = False) -> Obj:
        """Delete an object if it still is the one that was `seen`, `exactly` as it was then if asked for.

        Raises:
            Conflict: when it is another one, or has changed.
        """
        self._applied.pop((kind, key_of(seen), ""), None)
        needs = self._needed(kind, lets_go)
        return self._write("delete", kind, needs, lambda: self._client.delete(kind, seen, exactly=exactly))

    def spare(self) -> bool:
        """Take leave for an Event, if writing has room to spare; the Event's write then waits no further."""
        return self._limiter.spare()

    def event(self, send: Callable[[KubeClient], Obj], verb: str) -> Obj:
        """Send an Event, for which `spare` gave leave."""
        return self._once(verb, EVENTS, lambda: send(self._client))

    def _last_word(self) -> None:
        """Asked between a request's head and its body: the process may have been stopped since the fence gave leave."""
        if not self._fence.holds(self._client.timeouts.read_s):
            raise Fenced("the lease ran out while the request was being sent")

    def _needed(self, kind: Kind, lets_go: bool) -> Reach:
        if kind.own or kind == EVENTS:
            return Reach.DRY
        return Reach.LETTING_GO if lets_go else Reach.FULL

    def _write(self, verb: str, kind: Kind, needs: Reach, send: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Send, and meet 429 and a passing 403 with patience; asks reach and fence anew before every try.

        A 403 that did not pass is met with none until such a write is done again: others must not wait behind it.
        """
        forbidden_waits_s = [] if (verb, kind) in self._refused else list(self._patience.forbidden_waits_s)
        too_many_left = self._patience.too_many_tries
        while True:
            if self._reach() < needs:
                self.counts.count(verb, kind, "out_of_reach")
                raise OutOfReach(f"{verb} of a {kind.kind} is out of reach ({self._reach().name})")
            if not self._limiter.wait(self._patience.turn_s):
                self.counts.count(verb, kind, "congested")
                raise Congested(f"{verb} of a {kind.kind}: no turn within {self._patience.turn_s:g} s")
            try:
                answer = self._once(verb, kind, send)
            except TooManyRequests as error:
                too_many_left -= 1
                if too_many_left <= 0 or error.after_s > self._patience.longest_retry_after_s:
                    raise
            except Forbidden:
                if not forbidden_waits_s or self._sleep(forbidden_waits_s.pop(0)):
                    self._refused.add((verb, kind))
                    raise
            else:
                self._refused.discard((verb, kind))
                return answer

    def _once(self, verb: str, kind: Kind, send: Callable[[], Any]) -> dict[str, Any]:
        outcome = "fault"
        try:
            with self._fence.permit(self._client.timeouts.request_s):
                answer: dict[str, Any] = send()
            outcome = "done"
        except TooManyRequests as error:
            outcome = "too_many_requests"
            self._limiter.back_off(error.after_s)
            raise
        except ApiError as error:
            outcome = _snake(type(error).__name__)
            raise
        except Fenced:
            outcome = "fenced"
            raise
        finally:
            self.counts.count(verb, kind, outcome)
        return answer


def covers(seen: Any, wanted: Any) -> bool:
    """True when everything in `wanted` stands in `seen` already; what more `seen` has is somebody else's."""
    if isinstance(wanted, Mapping):
        held = seen if isinstance(seen, Mapping) else EMPTY
        return all(covers(held.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list | tuple):
        return (
            isinstance(seen, list | tuple)
            and len(seen) == len(wanted)
            and all(covers(one, other) for one, other in zip(seen, wanted, strict=True))
        )
    return bool(seen == wanted)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
