"""What a customer's answers to schedules relieve us of: the same rules by which the operator acts on them.

Two things follow from an answer. It says what of a promise binds (`binding_by_known`), by all that was heard when a quarter
hour ended. And one that did not take a schedule as it was bounds our heat for a while, whatever had been promised before
(`holds`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from scheduler.core.accounting.whole import w_from_kw_whole
from scheduler.core.publishing.binding import Told, answer_to, binding_by_known, holds, limit_kw
from scheduler.domain.contract import FirmRule
from scheduler.domain.plantlink import Acknowledgement, AckVerdict, Letter
from scheduler.domain.settlement import Relief, ReliefKind
from scheduler.domain.snapshot import Commitment

QUARTER = timedelta(minutes=15)
KINDS = {AckVerdict.REJECTED: ReliefKind.REJECTED, AckVerdict.PARTIAL: ReliefKind.PARTIAL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An acknowledgement, when it came, and whether its sender showed a credential."""

    at_utc: datetime
    ack: Acknowledgement
    known: bool


def reliefs_by_answers(told: Iterable[Told], letters: Iterable[Letter], rule: FirmRule | None) -> tuple[Relief, ...]:
    """What one customer's answers relieved us of.

    Args:
        told: all that was made binding.
        letters: of his, in the order in which they came; his acknowledgements among them count.
        rule: his contract; None: nothing was ever promised.
    """
    answers = [
        Answer(at_utc=one.received_utc, ack=one.body, known=one.sender.authenticated)
        for one in letters
        if isinstance(one.body, Acknowledgement)
    ]
    unbound = () if rule is None else _unbound(told, answers, rule)
    return (*_merged(unbound), *_held(answers))


def _unbound(told: Iterable[Told], answers: Sequence[Answer], rule: FirmRule) -> Iterator[Relief]:
    """Quarter hours of which less was owed than the most that was told, in time order."""
    for (start_utc, end_utc), of_period in sorted(_by_period(told).items()):
        promised_kw = max(promise.firm_kw for one in of_period for promise in one.commitments)
        first = min(one.sequence for one in of_period)
        about = [one for one in answers if one.ack.sequence >= first and one.at_utc < end_utc]
        while start_utc < end_utc:
            until_utc = min(start_utc + QUARTER, end_utc)
            said = [(one.ack, one.known) for one in about if one.at_utc < until_utc]
            acks = [ack for ack, _ in said]
            (owed,) = binding_by_known(of_period, said, rule)
            limit_w = w_from_kw_whole(owed.firm_kw)
            if limit_w < w_from_kw_whole(promised_kw):
                kind, text = _why(of_period, acks, rule)
                yield Relief(kind=kind, start_utc=start_utc, end_utc=until_utc, limit_w=limit_w, unsold=True, text=text)
            start_utc = until_utc


def _by_period(told: Iterable[Told]) -> dict[tuple[datetime, datetime], list[Told]]:
    found: dict[tuple[datetime, datetime], dict[int, list[Commitment]]] = {}
    for one in told:
        for promise in one.commitments:
            period = found.setdefault((promise.start_utc, promise.end_utc), {})
            period.setdefault(one.sequence, []).append(promise)
    return {
        period: [Told(sequence=sequence, commitments=tuple(promises)) for sequence, promises in of_period.items()]
        for period, of_period in found.items()
    }


def _why(told: Sequence[Told], acks: Sequence[Acknowledgement], rule: FirmRule) -> tuple[ReliefKind, str]:
    """The newest answer that took less than all, or silence."""
    answers = [answer_to(one.sequence, acks, rule) for one in sorted(told, key=lambda one: -one.sequence)]
    less = next((one for one in answers if one is not None and one.verdict in KINDS), None)
    return (ReliefKind.SILENT, "not accepted") if less is None else (KINDS[less.verdict], less.reason)


def _held(answers: Sequence[Answer]) -> Iterator[Relief]:
    """While an answer bounds our heat, as `loop.letters` has it; we were ready, so it costs him no less.

    The next such answer takes its place, and `accepted` of that schedule or a later one ends it: both only from who shows a
    credential, and of answers from who shows none only the latter.
    """
    held: list[Answer] = []
    for one in answers:
        if one.ack.verdict in KINDS:
            ended = [before for before in held if one.known and before.known]
        else:
            ended = [before for before in held if one.known and before.ack.sequence <= one.ack.sequence]
        held = [before for before in held if before not in ended]
        yield from (relief for before in ended for relief in _limit(before, one.at_utc))
        held += [one] if one.ack.verdict in KINDS else []
    yield from (relief for before in held for relief in _limit(before, None))


def _limit(less: Answer, ended_utc: datetime | None) -> Iterator[Relief]:
    until_utc = less.at_utc + holds(less.ack)
    until_utc = until_utc if ended_utc is None else min(until_utc, ended_utc)
    if less.at_utc < until_utc:
        limit_w, kind = w_from_kw_whole(limit_kw(less.ack)), KINDS[less.ack.verdict]
        yield Relief(kind=kind, start_utc=less.at_utc, end_utc=until_utc, limit_w=limit_w, text=less.ack.reason)


def _merged(quarters: Iterable[Relief]) -> list[Relief]:
    """Reliefs of the same kind and size that follow each other become one."""
    found: list[Relief] = []
    for one in quarters:
        before = found[-1] if found else None
        if before and before.end_utc == one.start_utc and replace(before, start_utc=one.start_utc, end_utc=one.end_utc) == one:
            found[-1] = replace(before, end_utc=one.end_utc)
        else:
            found.append(one)
    return found
