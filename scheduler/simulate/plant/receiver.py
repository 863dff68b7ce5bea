"""What the plant does with a schedule: take it, answer it, or drop it, by the rules of `core/publishing/conversation.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.core.publishing import conversation
from scheduler.core.publishing.conversation import Standing, Step, standing
from scheduler.core.publishing.message import RESOLUTION_S, number, parsed
from scheduler.domain.plantlink import AckVerdict

MAX_REASON = 180
WHY = {
    Standing.NOTHING: "there is no schedule",
    Standing.EXPIRED: "the schedule has run out",
    Standing.CANCELLED: "the schedule was withdrawn",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the plant goes by; rejected: the last sequence that it turned away, so that it says so once."""

    heard: conversation.Held
    rejected: int | None = None

    @property
    def schedule(self) -> Mapping[str, object] | None:
        """The message of the highest sequence that came whole."""
        return self.heard.message

    @property
    def newest(self) -> int | None:
        """Its sequence."""
        return self.heard.sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one look: what is held now, what to answer (None: nothing), and a note for people."""

    held: Held
    acknowledgement: Mapping[str, object] | None = None
    note: str = ""


def nothing_held(offtake_id: str) -> Held:
    """Before the first schedule."""
    return Held(heard=conversation.Held(offtake_id=offtake_id))


def received(held: Held, payload: Mapping[str, object], now_utc: datetime, max_take_kw: float | None) -> Answer:
    """One schedule was read, perhaps for the hundredth time, at `now_utc` by the plant's clock.

    What is new is accepted, as far as the plant takes it; what is no HeatSchedule, somebody else's, or has run out is rejected.
    """
    result = conversation.received(held.heard, payload, now_utc)
    sequence = payload.get("sequence")
    if result.step is Step.REPEATED:
        return Answer(held=held)
    if isinstance(sequence, bool) or not isinstance(sequence, int) or not 0 <= sequence < 2**64:
        return Answer(held=held, note="a schedule without a sequence was dropped")
    if result.step is Step.OLD:
        return Answer(held=held, note=f"schedule {sequence} was dropped: {held.newest} is newer")
    after = Held(heard=result.held, rejected=held.rejected)
    if result.step is Step.TAKEN:
        return _taken(after, payload, sequence, max_take_kw)
    why = result.why or "validUntil: is past"
    return _rejected(after, sequence, "".join(letter for letter in why if letter.isprintable())[:MAX_REASON])


def _rejected(held: Held, sequence: int, reason: str) -> Answer:
    """The answer to what cannot be acted on, once."""
    if held.rejected == sequence:
        return Answer(held=held)
    return Answer(
        held=Held(heard=held.heard, rejected=sequence),
        acknowledgement={"sequence": sequence, "verdict": AckVerdict.REJECTED.value, "reason": reason},
        note=f"schedule {sequence} was rejected: {reason}",
    )


def _taken(held: Held, payload: Mapping[str, object], sequence: int, max_take_kw: float | None) -> Answer:
    """The answer to a schedule that is one."""
    most_kw = max(kw_of(row, "heatKw") for row in rows_of(payload))
    kind, until = payload.get("kind"), payload.get("validUntil")
    note = f"schedule {sequence} ({kind}, up to {most_kw:.0f} kW, valid until {until})"
    if max_take_kw is not None and most_kw > max_take_kw:
        reason = f"at most {max_take_kw:g} kW can be taken"
        part = {"sequence": sequence, "verdict": AckVerdict.PARTIAL.value, "acceptedKw": max_take_kw, "reason": reason}
        return Answer(held=held, acknowledgement=part, note=f"{note}: accepted in part, {reason}")
    whole = {"sequence": sequence, "verdict": AckVerdict.ACCEPTED.value}
    return Answer(held=held, acknowledgement=whole, note=f"{note}: accepted")


def rows_of(payload: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The intervals of a schedule."""
    rows = payload.get("intervals")
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def kw_of(row: Mapping[str, object], key: str) -> float:
    """A power of an interval, 0 where it names none."""
    return number(row.get(key)) or 0.0


def interval_at(payload: Mapping[str, object] | None, at_utc: datetime) -> Mapping[str, object] | None:
    """The quarter hour of a schedule in which an instant lies."""
    if payload is None:
        return None
    start_utc, rows = parsed(payload.get("validFrom")), rows_of(payload)
    if start_utc is None or at_utc < start_utc:
        return None
    place = int((at_utc - start_utc) / timedelta(seconds=RESOLUTION_S))
    return rows[place] if place < len(rows) else None


def why_not(held: Held, at_utc: datetime) -> str:
    """Why no heat can be planned by what is held; empty when it can."""
    found = standing(held.heard, at_utc)
    if found is not Standing.SCHEDULE or held.schedule is None:
        return WHY.get(found, "")
    if held.schedule.get("mode") == "advisory":
        return "the schedule is advice only"
    return "" if interval_at(held.schedule, at_utc) is not None else "the schedule has no heat for now"
