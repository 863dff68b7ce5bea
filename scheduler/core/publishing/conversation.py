"""The receiver's side of the conversation, as every plant should keep it: which message holds, whatever order they come in.

1. A sequence above the one that is held is new: it takes its place, also where the message says `cancel`.
2. The same sequence again is a repeat: nothing changes, and it may be acknowledged again.
3. A lower sequence is old: it is dropped, however late it was delayed.
4. What is no HeatSchedule, or is for another contract, is dropped and changes nothing.
5. From `validUntil` on the contract's fallback holds, as after a `cancel`; the sequence is remembered, so that nothing older
   can come back.

So the outcome is that of the highest sequence that ever came: order, loss of others and repetition do not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from scheduler.core.publishing.message import Kind, Verdict, parsed, problems, verdict


class Step(StrEnum):
    """What was done with a message that came."""

    TAKEN = "taken"
    REPEATED = "repeated"
    OLD = "old"
    EXPIRED = "expired"
    FOREIGN = "foreign"
    MALFORMED = "malformed"


class Standing(StrEnum):
    """What holds at an instant."""

    NOTHING = "nothing"
    SCHEDULE = "schedule"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a receiver remembers of one contract: the message of the highest sequence, None before the first."""

    offtake_id: str
    message: Mapping[str, object] | None = None

    @property
    def sequence(self) -> int | None:
        """The highest sequence that came."""
        found = None if self.message is None else self.message.get("sequence")
        return found if isinstance(found, int) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What is held after a message, and what was done with it; `why`: what is wrong with it, empty when nothing is."""

    held: Held
    step: Step
    why: str = ""


def received(held: Held, payload: Mapping[str, object], now_utc: datetime) -> Received:
    """Take a message in.

    One that has run out already is remembered like any other: what it says does not hold, but nothing older than it may.
    """
    wrong = problems(payload)
    if wrong:
        return Received(held=held, step=Step.MALFORMED, why=wrong[0])
    if payload.get("offtakeId") != held.offtake_id:
        return Received(held=held, step=Step.FOREIGN, why="offtakeId: is another contract's")
    sequence = payload["sequence"]
    assert isinstance(sequence, int), "a well-formed message has a sequence"
    match verdict(held.sequence, sequence):
        case Verdict.REPEAT:
            return Received(held=held, step=Step.REPEATED)
        case Verdict.OLD:
            return Received(held=held, step=Step.OLD, why=f"sequence: {sequence} comes after {held.sequence}")
        case Verdict.NEW:
            taken = replace(held, message=payload)
            step = Step.EXPIRED if standing(taken, now_utc) is Standing.EXPIRED else Step.TAKEN
            return Received(held=taken, step=step)


def standing(held: Held, now_utc: datetime) -> Standing:
    """What holds now; everything but a schedule means that the contract's fallback does, and the boiler starts."""
    if held.message is None:
        return Standing.NOTHING
    until_utc = parsed(held.message.get("validUntil"))
    if until_utc is None or now_utc >= until_utc:
        return Standing.EXPIRED
    withdrawn = held.message.get("kind") in {Kind.CANCEL, Kind.FALLBACK}
    return Standing.CANCELLED if withdrawn else Standing.SCHEDULE


def in_force(held: Held, now_utc: datetime) -> Mapping[str, object] | None:
    """The schedule to act on; None: the contract's fallback."""
    return held.message if standing(held, now_utc) is Standing.SCHEDULE else None
