"""What an archive of messages and letters says of firm heat: the third way to the same statement.

A promise once sent is never lowered by a later message: of all messages that were sent before an interval ended, the largest
firm kW holds. What lowers it is the customer's own word: a rejected or partly accepted schedule, a manual override, a request
for less, his maintenance. None of it reaches back behind the moment at which we heard of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from scheduler.core.accounting.spans import Span, joined, without
from scheduler.core.accounting.whole import w_from_kw_whole
from scheduler.domain.plantlink import (
    HeatRequest,
    Letter,
    LinkProtocol,
    MaintenanceNotice,
    ManualOverride,
    MeterReading,
)
from scheduler.domain.settlement import Promise, Relief, ReliefKind
from scheduler.domain.snapshot import Commitment
from scheduler.domain.time import utc

QUARTER = timedelta(minutes=15)
DISPATCH = "dispatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Firm heat of one quarter hour: (sequence of the message, W) of the first promise and of each that raised it."""

    start_utc: datetime
    steps: tuple[tuple[int, int], ...]

    @property
    def firm_w(self) -> int:
        """What was promised in the end."""
        return self.steps[-1][1]


def bound_quarters(schedules: Iterable[Mapping[str, Any]]) -> tuple[Bound, ...]:
    """Firm quarter hours of an archive of HeatSchedules, in time order; advisory ones promise nothing."""
    found: dict[datetime, tuple[tuple[int, int], ...]] = {}
    for one in sorted(schedules, key=lambda schedule: int(schedule["sequence"])):
        if one["mode"] != DISPATCH:
            continue
        issued_utc = utc(one["issuedAt"])
        for row in one["intervals"]:
            start_utc, firm_w = utc(row["start"]), w_from_kw_whole(row["firmKw"])
            steps = found.get(start_utc, ())
            if issued_utc < start_utc + QUARTER and firm_w > (steps[-1][1] if steps else 0):
                found[start_utc] = (*steps, (int(one["sequence"]), firm_w))
    return tuple(Bound(start_utc=at, steps=found[at]) for at in sorted(found))


def promises_of_bound(bound: Iterable[Bound]) -> tuple[Promise, ...]:
    """Promises as they were sent."""
    return tuple(Promise(start_utc=one.start_utc, end_utc=one.start_utc + QUARTER, firm_w=one.firm_w) for one in bound)


def promises_of_commitments(commitments: Iterable[Commitment], offtake_id: str) -> tuple[Promise, ...]:
    """Promises as they were kept at the gates."""
    return tuple(
        Promise(start_utc=one.start_utc, end_utc=one.end_utc, firm_w=w_from_kw_whole(one.firm_kw))
        for one in sorted(commitments, key=lambda commitment: commitment.start_utc)
        if one.offtake_id == offtake_id and one.firm_kw > 0.0
    )


def readings_of(letters: Iterable[Letter], meter_point_id: str, *, ours: bool = False) -> tuple[MeterReading, ...]:
    """Readings of one meter point, in the order in which they came; who has no credential tells of no meter.

    ours: only what we read ourselves, or had read by whom `link.yaml` names: nobody else tells of a meter that bills.
    """
    return tuple(
        one.body
        for one in letters
        if isinstance(one.body, MeterReading)
        and one.body.meter_point_id == meter_point_id
        and one.sender.authenticated
        and (not ours or one.sender.protocol is LinkProtocol.METER)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Our operator ended manual overrides: those among the first `letters_count` letters, as far as they were known to him."""

    at_utc: datetime
    letters_count: int


def reliefs_of(
    letters: Sequence[Letter],
    ended: Sequence[Ended],
    answered: Iterable[Relief],
    *,
    end_utc: datetime,
) -> tuple[Relief, ...]:
    """What the customer relieved us of: at each moment what the operator acted on then (`loop.letters`).

    What came without a credential may only reduce: it ends and replaces nothing, and of all limits the least holds.

    Args:
        letters: of one customer, in the order in which they came.
        ended: when our operator ended manual overrides.
        answered: by his answers to schedules (`publishing.relieving`).
        end_utc: until when an override that nobody has ended is followed.
    """
    known = [one for one in letters if one.sender.authenticated]
    strange = [one for one in letters if not one.sender.authenticated]
    found = [
        *(relief for said in (known, *([one] for one in strange)) for relief in _requests(said)),
        *_maintenances([(one.received_utc, one.body) for one in known if isinstance(one.body, MaintenanceNotice)]),
        *_overrides(letters, ended, end_utc),
        *answered,
    ]
    return tuple(sorted(found, key=lambda one: (one.start_utc, one.kind)))


def _requests(letters: Sequence[Letter]) -> list[Relief]:
    """A wish for less holds from when it came, except while a later one speaks of the same time."""
    found: list[Relief] = []
    spoken: tuple[Span, ...] = ()
    for one in reversed(letters):
        if isinstance(one.body, HeatRequest):
            span = (max(one.body.start_utc, one.received_utc), one.body.end_utc)
            for part in without(span, spoken):
                found += _relief(ReliefKind.REQUEST, part, one.body.heat_kw, "asked for less")
            spoken = joined(spoken, span)
    return found


def _maintenances(letters: Sequence[tuple[datetime, MaintenanceNotice]]) -> list[Relief]:
    """A second notice of one id takes the place of the first from the moment it comes."""
    found = []
    for index, (at_utc, body) in enumerate(letters):
        later_utc = (again_utc for again_utc, other in letters[index + 1 :] if other.notice_id == body.notice_id)
        span = (max(body.start_utc, at_utc), min(body.end_utc, next(later_utc, body.end_utc)))
        found += _relief(ReliefKind.MAINTENANCE, span, body.available_kw, body.reason)
    return found


def _overrides(letters: Sequence[Letter], ended: Sequence[Ended], end_utc: datetime) -> list[Relief]:
    """An override holds until our operator ends it; one with a credential also until another such one sets another limit."""
    found, place = list[Relief](), len(letters)
    next_utc = end_utc
    for one in reversed(letters):
        place -= 1
        if isinstance(one.body, ManualOverride):
            known = one.sender.authenticated
            ends_utc = [clear.at_utc for clear in ended if place < clear.letters_count]
            span = (one.received_utc, min([*ends_utc, next_utc if known else end_utc, end_utc]))
            found += _relief(ReliefKind.OVERRIDE, span, one.body.limit_kw, one.body.reason)
            next_utc = one.received_utc if known else next_utc
    return found


def _relief(kind: ReliefKind, span: tuple[datetime, datetime], limit_kw: float, text: str) -> list[Relief]:
    if span[1] <= span[0]:
        return []
    return [Relief(kind=kind, start_utc=span[0], end_utc=span[1], limit_w=w_from_kw_whole(limit_kw), text=text)]
