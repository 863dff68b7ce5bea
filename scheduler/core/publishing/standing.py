"""Which letters of a customer still say anything: all of those without which the next plan would be another one.

None is dropped for its age or for how many came after it: only once its time is over, or once others say all that it says. What
came without a credential ends nothing that came with one, and of what came without one the least holds. How many may stand is
bounded, for both sorts apart; a letter beyond that is refused, and whoever sent it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from scheduler.core.accounting.spans import joined, without
from scheduler.core.publishing.binding import holds, limit_kw
from scheduler.domain.plantlink import (
    Acknowledgement,
    AckVerdict,
    HeatRequest,
    Letter,
    MaintenanceNotice,
    ManualOverride,
)

# Of each kind so many may stand with a credential, and without one.
MOST_KNOWN, MOST_STRANGE = 200, 50
# So many of the newest answers are remembered beside those that hold: which schedules were answered, and how.
NEWEST_ANSWERS = 8
Numbered = Sequence[tuple[int, Letter]]


def standing(letters: Sequence[Letter], now_utc: datetime) -> tuple[bool, ...]:
    """Whether each letter still says anything.

    Args:
        letters: of one customer and of one kind that lasts (request, maintenance, acknowledgement, override), in their order.
        now_utc: present instant: what is over by then is over.
    """
    known = [(i, one) for i, one in enumerate(letters) if one.sender.authenticated]
    strange = [(i, one) for i, one in enumerate(letters) if not one.sender.authenticated]
    kept = {
        *_requests(known, now_utc),
        *_least(strange, now_utc),
        *_maintenance(known, now_utc),
        *_overrides(known, strange),
        *_answers(list(enumerate(letters)), now_utc),
    }
    return tuple(i in kept for i in range(len(letters)))


def crowded(stand: Sequence[Letter], newest: Letter) -> str:
    """Why one more letter is refused, empty when it is not; `stand`: all of its kind that would stand, itself among them."""
    known = newest.sender.authenticated
    most = MOST_KNOWN if known else MOST_STRANGE
    if sum(one.sender.authenticated == known for one in stand) <= most:
        return ""
    of_whom = "" if known else " without a credential"
    return f"{most} of them stand{of_whom}: say one that covers others, or wait until one is over"


def _requests(known: Numbered, now_utc: datetime) -> Iterable[int]:
    """Requests of which a later one does not speak of all the time that is left."""
    spoken: tuple[tuple[datetime, datetime], ...] = ()
    for i, one in reversed(known):
        if isinstance(one.body, HeatRequest):
            if without((max(one.body.start_utc, now_utc), one.body.end_utc), spoken):
                yield i
            spoken = joined(spoken, (one.body.start_utc, one.body.end_utc))


def _least(strange: Numbered, now_utc: datetime) -> Iterable[int]:
    """Requests without a credential, unless another one asks for no more in all the time that is left."""

    def says_all(other: HeatRequest, one: HeatRequest) -> bool:
        start_utc = max(one.start_utc, now_utc)
        return other.heat_kw <= one.heat_kw and max(other.start_utc, now_utc) <= start_utc and other.end_utc >= one.end_utc

    bodies = [(i, one.body) for i, one in strange if isinstance(one.body, HeatRequest) and one.body.end_utc > now_utc]
    return _undominated(bodies, says_all)


def _undominated(
    bodies: Sequence[tuple[int, HeatRequest]], says_all: Callable[[HeatRequest, HeatRequest], bool]
) -> Iterable[int]:
    """Those of which no other one says all; of two that say the same the later."""
    for i, one in bodies:
        others = ((j, other) for j, other in bodies if j != i and says_all(other, one) and not (j < i and says_all(one, other)))
        if next(others, None) is None:
            yield i


def _maintenance(known: Numbered, now_utc: datetime) -> Iterable[int]:
    """Of each id the newest notice; without a credential there is none."""
    newest = {one.body.notice_id: (i, one.body) for i, one in known if isinstance(one.body, MaintenanceNotice)}
    return [i for i, body in newest.values() if body.end_utc > now_utc]


def _overrides(known: Numbered, strange: Numbered) -> Iterable[int]:
    """The newest override with a credential, and each without one unless a later one sets no higher limit."""
    yield from [i for i, one in known if isinstance(one.body, ManualOverride)][-1:]
    least_kw = float("inf")
    for i, one in reversed(strange):
        if isinstance(one.body, ManualOverride) and one.body.limit_kw < least_kw:
            least_kw = one.body.limit_kw
            yield i


def _answers(letters: Numbered, now_utc: datetime) -> Iterable[int]:
    """Answers that hold, and the newest ones; a stranger's that was ended by who shows a credential is over for good."""
    acks = [(i, one, one.body) for i, one in letters if isinstance(one.body, Acknowledgement)]
    held = unended([(one, body) for _, one, body in acks])
    lasting = [(i, one, body) for (i, one, body), holds_on in zip(acks, held, strict=True) if holds_on]
    yield from [i for i, one, _ in acks if one.sender.authenticated][-NEWEST_ANSWERS:]
    yield from [i for i, one, _ in lasting if not one.sender.authenticated][-NEWEST_ANSWERS:]
    for place, (i, one, body) in enumerate(lasting):
        end_utc = one.received_utc + holds(body)
        after = [] if one.sender.authenticated else lasting[place + 1 :]
        if end_utc > now_utc and not any(
            not other.sender.authenticated
            and limit_kw(later) <= limit_kw(body)
            and other.received_utc + holds(later) >= end_utc
            and later.sequence >= body.sequence
            for _, other, later in after
        ):
            yield i


def unended(answers: Sequence[tuple[Letter, Acknowledgement]]) -> tuple[bool, ...]:
    """Whether each answer took less than a schedule, and no answer after it ended that.

    With a credential the next such answer takes its place, and `accepted` of that schedule or a later one ends it. A stranger's
    answer lifts nobody's, and nobody's newer one but `accepted` lifts his.
    """
    held: list[int] = []
    for i, (one, body) in enumerate(answers):
        known = one.sender.authenticated
        if body.verdict is not AckVerdict.ACCEPTED:
            held = [before for before in held if not (known and answers[before][0].sender.authenticated)]
            held.append(i)
        elif known:
            held = [before for before in held if answers[before][1].sequence > body.sequence]
    return tuple(i in held for i in range(len(answers)))
