"""Which promises bind, once the customer has answered or stayed silent.

A promise is told in a schedule with a sequence; the first acknowledgement of that schedule is its answer. Where silence binds,
the first one of a later schedule counts as well, since that states the promise anew; where silence withdraws, it does not.

- accepted: it binds.
- partial: it binds up to the kW that he takes.
- rejected: nothing of it is owed; what an earlier gate had promised of the same period, and he had not rejected, goes on.
- silence: by the contract it binds all the same, or nothing is owed until he accepts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from scheduler.core.publishing.firm import in_force
from scheduler.domain.contract import FirmRule, Silence
from scheduler.domain.plantlink import Acknowledgement, AckVerdict
from scheduler.domain.snapshot import Commitment

# So long the answer to a schedule bounds the ones after it, unless another answer comes.
PARTIAL_HOLDS, REJECTED_HOLDS = timedelta(hours=6), timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Commitments of one customer as they were told, in the schedule of one sequence."""

    sequence: int
    commitments: tuple[Commitment, ...]


def binding(
    told: Iterable[Told], acknowledgements: Sequence[Acknowledgement], rule: FirmRule, ended_utc: datetime | None = None
) -> tuple[Commitment, ...]:
    """What one customer is owed, one commitment per period in order of time.

    A period of which nothing is owed stays, with 0 kW, so that its gate counts as answered (`firm.answered_utc`).

    Args:
        told: all that was made binding, in any order.
        acknowledgements: all that he said, in the order in which he said it.
        rule: his contract.
        ended_utc: periods that ended by then are left out.
    """
    heard = sorted(told, key=lambda one: one.sequence)
    found: dict[tuple[datetime, datetime], Commitment] = {}
    for one in heard:
        verdict = answer_to(one.sequence, acknowledgements, rule)
        for promise in in_force(one.commitments):
            if ended_utc is None or promise.end_utc > ended_utc:
                period = (promise.start_utc, promise.end_utc)
                found[period] = _owed(promise, verdict, rule, found.get(period))
    return tuple(found[period] for period in sorted(found))


def binding_by_known(
    told: Iterable[Told], said: Sequence[tuple[Acknowledgement, bool]], rule: FirmRule, ended_utc: datetime | None = None
) -> tuple[Commitment, ...]:
    """The same where some answers came without a credential: never more than the answers with one leave owed.

    Args:
        told: as of `binding`.
        said: answers in their order, each with whether its sender showed a credential.
        rule: as of `binding`.
        ended_utc: as of `binding`.
    """
    every = tuple(told)
    by_known = binding(every, [ack for ack, known in said if known], rule, ended_utc)
    by_all = binding(every, [ack for ack, _ in said], rule, ended_utc)
    return tuple(min(pair, key=lambda one: one.firm_kw) for pair in zip(by_known, by_all, strict=True))


def answer_to(sequence: int, acknowledgements: Sequence[Acknowledgement], rule: FirmRule) -> Acknowledgement | None:
    """His answer to a schedule: the first word on it, or, where silence binds, on the next schedule that he spoke of."""
    last = (
        sequence if rule.on_silence is Silence.WITHDRAW else max((one.sequence for one in acknowledgements), default=sequence)
    )
    heard = [one for one in acknowledgements if sequence <= one.sequence <= last]
    return min(heard, key=lambda one: one.sequence, default=None)


def holds(less: Acknowledgement) -> timedelta:
    """How long an answer that did not take all bounds our heat, from when it came."""
    return PARTIAL_HOLDS if less.verdict is AckVerdict.PARTIAL else REJECTED_HOLDS


def limit_kw(less: Acknowledgement) -> float:
    """The most that he takes for that long."""
    return (less.accepted_kw or 0.0) if less.verdict is AckVerdict.PARTIAL else 0.0


def _owed(promise: Commitment, verdict: Acknowledgement | None, rule: FirmRule, before: Commitment | None) -> Commitment:
    """One promise after his answer; `before`: what was owed of the same period until then."""
    earlier_kw = 0.0 if before is None else before.firm_kw
    if verdict is None:
        return promise if rule.on_silence is Silence.BIND else replace(promise, firm_kw=min(promise.firm_kw, earlier_kw))
    if verdict.verdict is AckVerdict.REJECTED:
        return replace(promise, firm_kw=min(promise.firm_kw, earlier_kw))
    if verdict.verdict is AckVerdict.PARTIAL and verdict.accepted_kw is not None:
        return replace(promise, firm_kw=min(promise.firm_kw, max(0.0, verdict.accepted_kw)))
    return promise
