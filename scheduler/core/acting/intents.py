"""What a decision wants of each job until the next one: asked at any instant, so a late or repeated look does no harm.

A decision names times ("start at 14:15"). Whoever carries it out does not replay them one by one; it asks what is wanted of a
job *now* and makes the world so. A watch event, a timer that fires late, a restart in between: the answer is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from scheduler.domain.action import Action, HoldJob, ReleaseCap, SetCap, StartJob, StopJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What is wanted of one job: whether it runs, at which instants that changes, and its caps.

    hold: how it is kept from starting until the first of `turns`; turns: starts and stops in time order; caps: cap changes in
    time order, among them the caps that starts bring.
    """

    job_id: str
    hold: HoldJob | None = None
    turns: tuple[StartJob | StopJob, ...] = ()
    caps: tuple[SetCap | ReleaseCap, ...] = ()

    def wanted(self, now_utc: datetime) -> HoldJob | StartJob | StopJob | None:
        """The last turn that is due; before the first one the hold while it lasts; None: leave the job as it is."""
        due = [turn for turn in self.turns if turn.at_utc <= now_utc]
        if due:
            return due[-1]
        if self.hold is not None and now_utc < self.hold.until_utc:
            return self.hold
        return None

    def cap_w(self, now_utc: datetime, in_force_w: float | None) -> float | None:
        """The cap wanted now, per GPU; without a word about it the one in force; None: no cap."""
        due: list[SetCap | ReleaseCap | StartJob] = [cap for cap in self.caps if cap.at_utc <= now_utc]
        due += [turn for turn in self.turns if isinstance(turn, StartJob) and turn.at_utc <= now_utc]
        if not due:
            return in_force_w
        # At the same instant a start brings the first cap and a later word of the same decision corrects it.
        last = max(enumerate(due), key=lambda item: (item[1].at_utc, not isinstance(item[1], StartJob), item[0]))[1]
        return None if isinstance(last, ReleaseCap) else last.cap_w

    def next_utc(self, now_utc: datetime) -> datetime | None:
        """The next instant at which the answer may change; None: it stays."""
        ahead = [turn.at_utc for turn in self.turns] + [cap.at_utc for cap in self.caps]
        if self.hold is not None:
            ahead.append(self.hold.until_utc)
        return min((at for at in ahead if at > now_utc), default=None)


@dataclass(slots=True)
class _Draft:
    """An intent being collected."""

    hold: HoldJob | None = None
    turns: list[StartJob | StopJob] = field(default_factory=list)
    caps: list[SetCap | ReleaseCap] = field(default_factory=list)


def intents_of(actions: Iterable[Action]) -> Mapping[str, Intent]:
    """Intents by job id, from actions that passed the guard."""
    drafts: dict[str, _Draft] = {}
    for action in actions:
        draft = drafts.setdefault(action.job_id, _Draft())
        match action:
            case HoldJob():
                draft.hold = action
            case StartJob() | StopJob():
                draft.turns.append(action)
            case SetCap() | ReleaseCap():
                draft.caps.append(action)
    return {
        job_id: Intent(
            job_id=job_id,
            hold=draft.hold,
            # At one instant a stop comes before a start, and a cap before its end.
            turns=tuple(sorted(draft.turns, key=lambda turn: (turn.at_utc, isinstance(turn, StartJob)))),
            caps=tuple(sorted(draft.caps, key=lambda cap: (cap.at_utc, isinstance(cap, ReleaseCap)))),
        )
        for job_id, draft in drafts.items()
    }
