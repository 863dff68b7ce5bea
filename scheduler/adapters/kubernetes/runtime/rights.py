"""Which rights the API server refuses to us now: learned from its answers, told once, forgotten when it gives them back.

A refusal names the right (`cannot patch resource "jobs" in API group "batch"`), so nobody has to guess it from what does not
happen. An API server refuses for a moment after its restart, until it has read its roles: a right counts as missing when it is
still refused some seconds after it was refused first. A 403 for another reason (a quota, an admission policy) names none.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.kubernetes.runtime.errors import ApiError, Conflict, Forbidden, Gone, Invalid, NotFound
from scheduler.adapters.logs import Teller

PATIENCE_S = 5.0
# Whatever still needs a right asks for it more often than this; one that nobody asked for is not known to be missing.
FORGET_S = 900.0
_REFUSED = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<space>[^"]+)")?'
)
# Said only to those who may ask: a kind that is not installed, for one, is "not found" for them and forbidden to others.
_ALLOWED = (NotFound, Conflict, Invalid, Gone)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_OTHERS = {"watch": "list", "patch": "create"}
"""What a granted verb proves beside itself: nobody watches what he could not list, and an apply creates what is not there."""


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Right:
    """What one may do: a verb on a resource of a group (`jobs/status`), in one namespace or, without one, everywhere."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""

    @property
    def target(self) -> str:
        """The resource as `kubectl auth can-i` takes it: `jobs.batch`, `jobs.batch/status`, `nodes`."""
        plural, slash, subresource = self.resource.partition("/")
        return f"{plural}{'.' + self.group if self.group else ''}{slash}{subresource}"

    def __str__(self) -> str:
        """`patch jobs.batch`."""
        return f"{self.verb} {self.target}"


@dataclass(slots=True)
class _Refusal:
    """One right that was refused: when first, when last, and whether that was told."""

    first_s: float
    last_s: float
    told: bool = False


class Rights:
    """Hears every answer of the API server, from any thread."""

    def __init__(self, clock: MonotonicClock, on_change: Callable[[], None] = lambda: None) -> None:
        """Nothing was refused yet; `on_change` is called when a right is missing, or is back."""
        self._clock, self._on_change = clock, on_change
        self._refusals: dict[Right, _Refusal] = {}
        self._lock = threading.Lock()
        self._tell = Teller("runtime.rights")

    def heard(self, method: str, path: str, query: str, error: ApiError | None) -> None:
        """Take note of one answer: a refusal, or that it was none."""
        if isinstance(error, Forbidden):
            right = refused(error)
            if right is not None:
                self._refused(right)
        elif self._refusals and (error is None or isinstance(error, _ALLOWED)):
            self._granted(asked(method, path, query))

    def missing(self) -> tuple[Right, ...]:
        """Rights that are refused for longer than a restart of the API server explains."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            for right in [right for right, one in self._refusals.items() if now_s - one.last_s > FORGET_S]:
                del self._refusals[right]
            return tuple(sorted(right for right, one in self._refusals.items() if one.told))

    def _refused(self, right: Right) -> None:
        now_s = self._clock.monotonic_s()
        with self._lock:
            one = self._refusals.setdefault(right, _Refusal(first_s=now_s, last_s=now_s))
            one.last_s = now_s
            news = not one.told and now_s - one.first_s >= PATIENCE_S
            one.told = one.told or news
        if news:
            where = {"namespace": right.namespace} if right.namespace else {}
            self._tell.warning("a right is missing, what needs it does not happen", right=str(right), **where)
            self._on_change()

    def _granted(self, right: Right | None) -> None:
        if right is None:
            return
        verbs = {right.verb, _OTHERS.get(right.verb, right.verb)}
        with self._lock:
            given = [
                one
                for one in self._refusals
                if one.verb in verbs and (one.resource, one.group) == (right.resource, right.group)
                if not one.namespace or one.namespace == right.namespace
            ]
            told = [one for one in given if self._refusals.pop(one).told]
        for one in told:
            self._tell.info("a right was given back", right=str(one))
            self._on_change()


def refused(error: Forbidden) -> Right | None:
    """The right that a refusal names; None when it is about something else."""
    found = _REFUSED.search(str(error))
    if found is None:
        return None
    return Right(verb=found["verb"], resource=found["resource"], group=found["group"], namespace=found["space"] or "")


def asked(method: str, path: str, query: str) -> Right | None:
    """The right that a request needs; None for what is no resource (`/version`)."""
    parts = path.strip("/").split("/")
    if parts[0] not in ("api", "apis") or len(parts) < (3 if parts[0] == "api" else 4):
        return None
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    read = "get" if len(rest) > 1 else "watch" if "watch=true" in query else "list"
    resource = rest[0] + (f"/{rest[2]}" if len(rest) > 2 else "")
    return Right(verb=_VERBS.get(method, read), resource=resource, group=group, namespace=namespace)


def in_words(missing: tuple[Right, ...]) -> str:
    """The rights in one line, each once."""
    return ", ".join(dict.fromkeys(str(right) for right in missing))
