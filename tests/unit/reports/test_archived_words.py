"""What archives of messages and letters say of firm heat."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from scheduler.core.publishing.own_meters import as_our_own
from scheduler.core.reports.archived import (
    Bound,
    Ended,
    bound_quarters,
    promises_of_bound,
    promises_of_commitments,
    readings_of,
    reliefs_of,
)
from scheduler.domain.plantlink import (
    HeatRequest,
    Letter,
    LetterBody,
    LinkProtocol,
    MaintenanceNotice,
    ManualOverride,
    MeterReading,
    Sender,
)
from scheduler.domain.settlement import Promise, Relief, ReliefKind
from scheduler.domain.snapshot import Commitment
from scheduler.domain.time import utc

START = utc("2026-01-14T10:00:00+00:00")
END = START + timedelta(days=1)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def said(minutes: float, body: LetterBody, *, authenticated: bool = True) -> Letter:
    sender = Sender(name="plant", protocol=LinkProtocol.REST, authenticated=authenticated)
    return Letter(offtake_id="network", sender=sender, received_utc=at(minutes), body=body)


def schedule(sequence: int, minutes: int, firm_kw: list[float], mode: str = "dispatch", first: int = 0) -> dict[str, Any]:
    rows = [{"start": f"{at(15 * (first + i)):%Y-%m-%dT%H:%M:%SZ}", "firmKw": kw} for i, kw in enumerate(firm_kw)]
    return {"sequence": sequence, "mode": mode, "issuedAt": f"{at(minutes):%Y-%m-%dT%H:%M:%SZ}", "intervals": rows}


def bound(*quarters: tuple[int, int, int]) -> tuple[Bound, ...]:
    """(quarter, W, sequence)."""
    return tuple(Bound(start_utc=at(15 * i), steps=((sequence, w),)) for i, w, sequence in quarters)


def told(letters: list[Letter], *, cleared: tuple[float, ...] = ()) -> Any:
    ended = [Ended(at_utc=at(one), letters_count=sum(said.received_utc <= at(one) for said in letters)) for one in cleared]
    found = reliefs_of(letters, ended, (), end_utc=END)
    return [
        (one.kind, (one.start_utc - START).total_seconds() / 60, (one.end_utc - START).total_seconds() / 60, one.limit_w)
        for one in found
    ]


def test_the_largest_firm_value_that_was_sent_in_time_holds() -> None:
    found = bound_quarters(
        [
            schedule(3, -30, [0.0, 20.5, 0.0]),
            schedule(2, -60, [10.0, 10.0, 0.0]),
            schedule(4, 40, [99.0, 99.0, 30.0004], first=0),  # too late for the first two quarters
            schedule(5, -10, [500.0] * 3, mode="advisory"),
        ]
    )
    raised = Bound(start_utc=at(15), steps=((2, 10_000), (3, 20_500)))
    assert found == (*bound((0, 10_000, 2)), raised, *bound((2, 30_000, 4)))
    assert promises_of_bound(found)[1] == Promise(start_utc=at(15), end_utc=at(30), firm_w=20_500)


def test_commitments_are_promises_of_one_customer() -> None:
    def kept(name: str, minute: int, kw: float) -> Commitment:
        return Commitment(offtake_id=name, start_utc=at(minute), end_utc=at(minute + 60), firm_kw=kw)

    found = promises_of_commitments([kept("b", 0, 9.0), kept("a", 60, 0.0), kept("a", 120, 1.2345), kept("a", 0, 5.0)], "a")
    assert [(one.start_utc, one.firm_w) for one in found] == [(at(0), 5000), (at(120), 1235)]


def test_a_wish_for_less_holds_where_no_later_one_speaks_and_never_backwards() -> None:
    first = HeatRequest(heat_kw=5.0, start_utc=at(0), end_utc=at(120))
    second = HeatRequest(heat_kw=8.0, start_utc=at(60), end_utc=at(120))
    assert told([said(10, first), said(30, second)]) == [
        (ReliefKind.REQUEST, 10, 60, 5000),
        (ReliefKind.REQUEST, 60, 120, 8000),
    ]
    assert told([said(120, first)]) == []
    short = HeatRequest(heat_kw=8.0, start_utc=at(40), end_utc=at(60))
    assert told([said(10, first), said(30, short)]) == [
        (ReliefKind.REQUEST, 10, 40, 5000),
        (ReliefKind.REQUEST, 40, 60, 8000),
        (ReliefKind.REQUEST, 60, 120, 5000),
    ]


def test_who_shows_no_credential_lifts_nothing_that_was_said_with_one() -> None:
    """Nor can he announce maintenance; what he asks for beside it counts where it is less."""
    known = HeatRequest(heat_kw=5.0, start_utc=at(0), end_utc=at(120))
    stranger = said(30, HeatRequest(heat_kw=8.0, start_utc=at(30), end_utc=at(60)), authenticated=False)
    assert told([said(10, known), stranger]) == [
        (ReliefKind.REQUEST, 10, 120, 5000),
        (ReliefKind.REQUEST, 30, 60, 8000),
    ]
    pressed = [said(10, ManualOverride(limit_kw=3.0)), said(30, ManualOverride(limit_kw=9.0), authenticated=False)]
    assert told(pressed) == [(ReliefKind.OVERRIDE, 10, 1440, 3000), (ReliefKind.OVERRIDE, 30, 1440, 9000)]
    notice = MaintenanceNotice(notice_id="m1", start_utc=at(60), end_utc=at(240), available_kw=0.0)
    assert told([said(0, notice, authenticated=False)]) == []


def test_an_override_that_nobody_knew_of_when_another_was_ended_goes_on() -> None:
    letters = [said(10, ManualOverride(limit_kw=3.0)), said(30, ManualOverride(limit_kw=1.0))]
    found = reliefs_of(letters, [Ended(at_utc=at(31), letters_count=1)], (), end_utc=END)
    assert [(one.start_utc, one.end_utc, one.limit_w) for one in found] == [(at(10), at(30), 3000), (at(30), END, 1000)]


def test_a_notice_of_maintenance_takes_the_place_of_the_one_before() -> None:
    first = MaintenanceNotice(notice_id="m1", start_utc=at(60), end_utc=at(240), available_kw=0.0)
    other = MaintenanceNotice(notice_id="m2", start_utc=at(600), end_utc=at(660), available_kw=1.0)
    moved = MaintenanceNotice(notice_id="m1", start_utc=at(300), end_utc=at(360), available_kw=0.0)
    assert told([said(0, first), said(5, other), said(90, moved)]) == [
        (ReliefKind.MAINTENANCE, 60, 90, 0),
        (ReliefKind.MAINTENANCE, 300, 360, 0),
        (ReliefKind.MAINTENANCE, 600, 660, 1000),
    ]


def test_an_override_ends_by_our_operator_alone() -> None:
    letters = [said(10, ManualOverride(limit_kw=3.0)), said(30, ManualOverride())]
    assert told(letters, cleared=(50, 5)) == [(ReliefKind.OVERRIDE, 10, 30, 3000), (ReliefKind.OVERRIDE, 30, 50, 0)]
    assert told(letters[:1]) == [(ReliefKind.OVERRIDE, 10, 1440, 3000)]


def test_who_has_no_credential_tells_of_no_meter() -> None:
    reading = MeterReading(meter_point_id="hall", at_utc=at(0), energy_kwh=5.0)
    other = MeterReading(meter_point_id="his", at_utc=at(0), energy_kwh=6.0)
    letters = [said(0, reading), said(1, reading, authenticated=False), said(2, other)]
    assert readings_of(letters, "hall") == (reading,)
    assert readings_of(letters, "his") == (other,)


def test_of_a_meter_that_bills_only_our_own_readings_count() -> None:
    reading = MeterReading(meter_point_id="hall", at_utc=at(0), energy_kwh=5.0)
    theirs = said(0, replace(reading, energy_kwh=1.0))
    own = replace(theirs, body=reading, sender=Sender(name="meter hall", protocol=LinkProtocol.METER, authenticated=True))
    assert readings_of([theirs, own], "hall", ours=True) == (reading,)
    named = frozenset({("hall", "plant")})
    assert readings_of([as_our_own(theirs, named)], "hall", ours=True) == (theirs.body,)
    stranger = replace(theirs, sender=replace(theirs.sender, authenticated=False))
    others = [as_our_own(one, frozenset({("his", "plant"), ("hall", "scada")})) for one in (theirs, stranger)]
    assert readings_of([*others, as_our_own(stranger, named)], "hall", ours=True) == ()


def test_reliefs_are_in_order_of_time() -> None:
    found = reliefs_of(
        [said(100, ManualOverride()), said(5, HeatRequest(heat_kw=1.0, start_utc=at(0), end_utc=at(50)))],
        [],
        (),
        end_utc=END,
    )
    assert [one.kind for one in found] == [ReliefKind.REQUEST, ReliefKind.OVERRIDE]
    assert isinstance(found[0], Relief)
