"""What is wanted of each job since the last decision: written by the cycle, read at every look, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from scheduler.adapters.kubernetes.runtime.fence import Fenced
from scheduler.core.acting.intents import Intent, intents_of
from scheduler.domain.action import Action, Applied, Outcome
from scheduler.domain.decision import Decision
from scheduler.domain.plan import Explanation, Plan
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot
from scheduler.ports import Decider


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wish:
    """What is wanted of one job, and the plan behind it."""

    intent: Intent
    plan_id: str
    told: Explanation | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chapter:
    """One decision, read by job."""

    decided_utc: datetime
    plan_id: str
    intents: Mapping[str, Intent]
    told: Mapping[str, Explanation] = field(default_factory=dict)
    letting_go: bool = False


class Book:
    """The chapter in force, and what was decided about jobs that came since."""

    def __init__(self) -> None:
        """Begin without a decision: nothing is wanted of anybody."""
        self._lock = threading.Lock()
        self._chapter: Chapter | None = None
        self._since: dict[str, Wish] = {}

    @property
    def chapter(self) -> Chapter | None:
        """The decision in force."""
        return self._chapter

    def turn(self, chapter: Chapter) -> tuple[str, ...]:
        """Put a new decision in force; returns the jobs that it or the one before speaks of: they deserve a look."""
        with self._lock:
            before = set(self._chapter.intents) if self._chapter is not None else set()
            before |= set(self._since)
            self._chapter, self._since = chapter, {}
        return tuple(sorted(before | set(chapter.intents)))

    def close(self) -> tuple[str, ...]:
        """Forget every wish, as a standby does; returns the jobs that had one."""
        with self._lock:
            before = set(self._chapter.intents) | set(self._since) if self._chapter is not None else set(self._since)
            self._chapter, self._since = None, {}
        return tuple(sorted(before))

    def add(self, job_id: str, actions: Sequence[Action], plan_id: str) -> Wish | None:
        """Note what was decided about a job between two cycles; what the chapter says of it by now wins, and is returned."""
        intent = intents_of(actions).get(job_id)
        with self._lock:
            written = self._written(job_id)
            if written is not None or intent is None:
                return written
            return self._since.setdefault(job_id, Wish(intent=intent, plan_id=plan_id))

    def wish(self, job_id: str) -> Wish | None:
        """What is wanted of a job; None: nothing was decided about it."""
        with self._lock:
            return self._written(job_id) or self._since.get(job_id)

    def _written(self, job_id: str) -> Wish | None:
        """What the chapter says of a job; for whoever has the lock."""
        chapter = self._chapter
        if chapter is None or job_id not in chapter.intents:
            return None
        return Wish(intent=chapter.intents[job_id], plan_id=chapter.plan_id, told=chapter.told.get(job_id))

    def caps_w(self, now_utc: datetime, in_force_w: Mapping[str, float]) -> dict[str, float]:
        """The limit wanted now per GPU, by job id; a job of which nothing is said keeps the one in force."""
        chapter = self._chapter
        if chapter is None or chapter.letting_go:
            return {}
        with self._lock:
            intents = {**{job_id: wish.intent for job_id, wish in self._since.items()}, **chapter.intents}
        found = {job_id: intent.cap_w(now_utc, in_force_w.get(job_id)) for job_id, intent in intents.items()}
        kept = {job_id: cap_w for job_id, cap_w in in_force_w.items() if job_id not in found}
        return {**kept, **{job_id: cap_w for job_id, cap_w in found.items() if cap_w is not None}}


Wake = Callable[[Iterable[str]], None]


class Carrier:
    """Decider and Actuator of a cycle in one: it remembers the decision so that the wishes know their plan and its words.

    Applying a decision writes nothing by itself. It turns the book and wakes the looks that make the cluster so; the outcome of
    each is an Event and a count, not an answer to the cycle, which would otherwise wait for a thousand writes.
    """

    def __init__(self, decider: Decider, book: Book, wake: Wake, leads: Callable[[], bool]) -> None:
        """Decide with `decider`, put into `book`, look by `wake`; `leads`: whether the term that asked goes on."""
        self._decider, self._book, self._wake, self._leads = decider, book, wake, leads
        self._decision: Decision | None = None

    async def decide(self, site: Site, snapshot: Snapshot, settings: Settings, last: Plan | None) -> Decision:
        """Decide, and remember it."""
        self._decision = await self._decider.decide(site, snapshot, settings, last)
        return self._decision

    async def apply(self, actions: Sequence[Action]) -> tuple[Outcome, ...]:
        """Put the actions in force; each is accepted for its time.

        Raises:
            Fenced: when the term is over in which it was asked for: what was seen then binds nobody.
        """
        if not self._leads():
            raise Fenced("the term in which it was asked for is over")
        decision = self._decision
        if decision is None or decision.actions != tuple(actions):
            raise RuntimeError("actions of another decision")
        plan = decision.plan
        chapter = Chapter(
            decided_utc=decision.at_utc,
            plan_id=plan.plan_id,
            intents=intents_of(actions),
            told={one.job_id: one for one in plan.explanations},
        )
        self._wake(self._book.turn(chapter))
        return tuple(Applied(action=action) for action in actions)
