"""What a plant may say: read, written, judged, and what is known after it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from link_offers import NOON, STRANGER, letter, offer

from scheduler.core.publishing.heartbeat import COUNTERS, LinkState, heartbeat_of, next_counter
from scheduler.core.publishing.issuing import Issue, issued
from scheduler.core.publishing.letters import KINDS, LetterLimits, NotALetter, body_of, judged
from scheduler.core.publishing.message import parsed, problems
from scheduler.core.publishing.payloads import KIND_OF, kind_of, payload_of
from scheduler.core.publishing.seen import cleared, seen_after
from scheduler.domain.link_options import LinkTimes
from scheduler.domain.plantlink import (
    Acknowledgement,
    AckVerdict,
    AlarmLevel,
    Board,
    DemandForecast,
    HeatRequest,
    LetterBody,
    LinkMode,
    MaintenanceNotice,
    ManualOverride,
    MeterReading,
    NetworkState,
    PlantHeartbeat,
    PlantSeen,
    TankState,
)

HOUR = timedelta(hours=1)
LIMITS = LetterLimits(max_heat_kw=500.0, tank_kwh=1000.0)
BODIES: list[LetterBody] = [
    DemandForecast(start_utc=NOON, step_s=900, heat_kw=(1.0, None, 3.5)),
    HeatRequest(heat_kw=50.0, start_utc=NOON, end_utc=NOON + HOUR),
    NetworkState(at_utc=NOON, supply_c=70.5, heat_kw=0.0),
    TankState(at_utc=NOON, level_kwh=12.5),
    Acknowledgement(sequence=1, verdict=AckVerdict.PARTIAL, reason="pump", accepted_kw=40.0),
    MaintenanceNotice(notice_id="w-1", start_utc=NOON, end_utc=NOON + HOUR, available_kw=0.0, reason="valve"),
    ManualOverride(limit_kw=5.0, reason="leak"),
    PlantHeartbeat(counter=COUNTERS - 1),
    MeterReading(meter_point_id="MP-1", at_utc=NOON, energy_kwh=1234.5, meter_id="77"),
]
MESSAGE = issued(offer(), Issue(site_id="site", meter_point_id="MP-1", last=None))
ALIVE = LinkState(offtake_id="town", operator_utc=NOON, schedule=MESSAGE, seen=PlantSeen())


def board(seen: PlantSeen | None = None) -> Board:
    """A board with a schedule of 100 kW."""
    beat = heartbeat_of(ALIVE, 1, NOON, LinkTimes())
    return Board(
        site_id="site", plug_id="loop", offtake_id="town", version=1, heartbeat=beat, schedule=MESSAGE, seen=seen or PlantSeen()
    )


@pytest.mark.parametrize("body", BODIES, ids=lambda one: type(one).__name__)
def test_a_body_that_was_written_is_read_as_the_same(body: LetterBody) -> None:
    assert body_of(kind_of(body), payload_of(body)) == body
    assert set(KIND_OF.values()) == set(KINDS)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3)
)


@settings(max_examples=100, deadline=None)
@given(body=st.sampled_from(BODIES), key=st.text(max_size=10), value=JSON, data=st.data())
def test_a_payload_that_was_tampered_with_is_a_letter_or_says_which_field_is_wrong(
    body: LetterBody, key: str, value: object, data: st.DataObject
) -> None:
    payload = payload_of(body)
    name = data.draw(st.sampled_from([*payload, key]))
    tampered = {**payload, name: value}
    try:
        found = body_of(kind_of(body), tampered)
    except NotALetter:
        with pytest.raises(NotALetter, match="."):
            body_of(kind_of(body), tampered)
    else:
        assert type(found) is type(body)


def test_a_field_that_cannot_be_compared_is_wrong_like_any_other() -> None:
    with pytest.raises(NotALetter, match="verdict"):
        body_of("acknowledgement", {"sequence": 1, "verdict": ["accepted"]})
    assert problems({**(MESSAGE or {}), "kind": [], "mode": {}})[:2] == (
        "kind: [] is not one of plan, firm, update, cancel, fallback",
        "mode: must be advisory or dispatch",
    )


@pytest.mark.parametrize("at", ["2026-01-31Z", "2026-01-31T12:00:00", "Z", "20260131Z"])
def test_an_instant_without_a_zone_is_none(at: str) -> None:
    assert parsed(at) is None
    with pytest.raises(NotALetter, match="at: must be UTC"):
        body_of("tank", {"at": at, "levelKwh": 1.0})


def test_a_field_of_any_letters_is_named_in_plain_ones() -> None:
    with pytest.raises(NotALetter) as found:
        body_of("heartbeat", {"counter": 1, "\ud800\x00": 1})
    assert str(found.value).isascii()


@pytest.mark.parametrize(
    ("body", "believed"),
    [
        (HeatRequest(heat_kw=99.0, start_utc=NOON, end_utc=NOON + HOUR), True),
        (HeatRequest(heat_kw=101.0, start_utc=NOON, end_utc=NOON + HOUR), False),
        (ManualOverride(limit_kw=50.0), True),
        (Acknowledgement(sequence=1, verdict=AckVerdict.REJECTED), True),
        (Acknowledgement(sequence=1, verdict=AckVerdict.ACCEPTED), False),
        (PlantHeartbeat(counter=1), True),
        (TankState(at_utc=NOON, level_kwh=1.0), False),
        (DemandForecast(start_utc=NOON, step_s=900, heat_kw=(0.0,)), False),
        (MaintenanceNotice(notice_id="x", start_utc=NOON, end_utc=NOON + HOUR, available_kw=0.0), False),
    ],
)
def test_who_shows_no_credential_may_only_reduce(body: LetterBody, believed: bool) -> None:
    receipt = judged(letter(body, sender=STRANGER), board(), LIMITS)
    assert receipt.accepted is believed
    assert bool(receipt.reason) is not believed


def test_a_stranger_cannot_raise_an_override_that_somebody_latched() -> None:
    latched = board(seen_after(PlantSeen(), letter(ManualOverride(limit_kw=10.0))))
    assert not judged(letter(ManualOverride(limit_kw=11.0), sender=STRANGER), latched, LIMITS).accepted
    assert judged(letter(ManualOverride(limit_kw=9.0), sender=STRANGER), latched, LIMITS).accepted


def test_a_stranger_asks_for_no_time_of_which_nothing_is_known() -> None:
    """The schedule ends a day after noon."""
    last = HeatRequest(heat_kw=50.0, start_utc=NOON, end_utc=NOON + 24 * HOUR)
    assert judged(letter(last, sender=STRANGER), board(), LIMITS).accepted
    beyond = replace(last, end_utc=last.end_utc + timedelta(seconds=1))
    assert not judged(letter(beyond, sender=STRANGER), board(), LIMITS).accepted
    assert judged(letter(beyond), board(), LIMITS).accepted


def test_a_stranger_keeps_no_plant_alive_that_shows_its_credential() -> None:
    beat, later = PlantHeartbeat(counter=9), NOON + HOUR
    alone = seen_after(PlantSeen(), letter(PlantHeartbeat(counter=1), sender=STRANGER))
    assert judged(letter(beat, sender=STRANGER), board(alone), LIMITS).accepted
    assert seen_after(alone, letter(beat, at_utc=later, sender=STRANGER)).moved_utc == later
    known = seen_after(alone, letter(PlantHeartbeat(counter=2)))
    assert not judged(letter(beat, sender=STRANGER), board(known), LIMITS).accepted
    assert seen_after(known, letter(beat, at_utc=later, sender=STRANGER)) == known
    assert seen_after(known, letter(beat, at_utc=later)).moved_utc == later


@pytest.mark.parametrize(
    "body",
    [
        TankState(at_utc=NOON, level_kwh=1051.0),
        TankState(at_utc=NOON + timedelta(minutes=3), level_kwh=1.0),
        NetworkState(at_utc=NOON - timedelta(days=2)),
        Acknowledgement(sequence=2, verdict=AckVerdict.ACCEPTED),
        HeatRequest(heat_kw=1.0, start_utc=NOON - 2 * HOUR, end_utc=NOON - HOUR),
        DemandForecast(start_utc=NOON, step_s=900, heat_kw=(5001.0,)),
        DemandForecast(start_utc=datetime(9999, 12, 31, tzinfo=UTC), step_s=86400, heat_kw=(1.0, 1.0)),
        DemandForecast(start_utc=datetime(1, 1, 1, tzinfo=UTC), step_s=900, heat_kw=(1.0,)),
        HeatRequest(heat_kw=1.0, start_utc=NOON, end_utc=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        TankState(at_utc=datetime(9999, 12, 31, tzinfo=UTC), level_kwh=1.0),
        NetworkState(at_utc=datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_what_cannot_be_is_not_believed_of_anybody(body: LetterBody) -> None:
    assert judged(letter(body), board(), LIMITS).reason


def test_what_is_known_is_the_newest_of_each_and_an_override_is_as_old_as_its_latch() -> None:
    later = NOON + HOUR
    seen = PlantSeen()
    for one in (
        letter(TankState(at_utc=NOON, level_kwh=5.0)),
        letter(TankState(at_utc=NOON - HOUR, level_kwh=9.0)),
        letter(Acknowledgement(sequence=7, verdict=AckVerdict.ACCEPTED)),
        letter(Acknowledgement(sequence=6, verdict=AckVerdict.REJECTED)),
        letter(ManualOverride(limit_kw=5.0)),
        letter(ManualOverride(limit_kw=3.0), at_utc=later),
        letter(PlantHeartbeat(counter=4)),
        letter(PlantHeartbeat(counter=4), at_utc=later),
    ):
        seen = seen_after(seen, one)
    assert seen.tank == TankState(at_utc=NOON, level_kwh=5.0)
    assert seen.acknowledged is not None
    assert seen.acknowledged.sequence == 7
    assert (seen.override, seen.override_since_utc) == (ManualOverride(limit_kw=3.0), NOON)
    assert (seen.moved_utc, seen.heard_utc) == (NOON, later)
    assert cleared(seen).override is None


BOILER_STARTS = {
    "operator silent": replace(ALIVE, operator_utc=NOON - timedelta(seconds=41)),
    "operator unknown": replace(ALIVE, operator_utc=None),
    "no schedule": replace(ALIVE, schedule=None),
    "run out": replace(ALIVE, schedule={**(MESSAGE or {}), "validUntil": "2026-01-15T12:00:00Z"}),
    "withdrawn": replace(ALIVE, schedule={**(MESSAGE or {}), "kind": "cancel"}),
    "advice": replace(ALIVE, schedule={**(MESSAGE or {}), "mode": "advisory"}),
    "unreadable": replace(ALIVE, schedule={"kind": "plan"}),
    "overridden": replace(ALIVE, seen=PlantSeen(override=ManualOverride())),
    "bypass": replace(ALIVE, bypass=True),
    "heat missing": replace(ALIVE, schedule={**(MESSAGE or {}), "boilerRequestKw": 0.1}),
}


@pytest.mark.parametrize("why", BOILER_STARTS)
def test_whatever_is_not_known_starts_the_boiler(why: str) -> None:
    assert heartbeat_of(BOILER_STARTS[why], 1, NOON, LinkTimes()).boiler_on


def test_the_boiler_rests_only_while_all_is_well() -> None:
    beat = heartbeat_of(ALIVE, 1, NOON, LinkTimes())
    assert (beat.boiler_on, beat.mode, beat.alarm) == (False, LinkMode.AUTO, AlarmLevel.NONE)
    silent = replace(ALIVE, seen=PlantSeen(counter=1, moved_utc=NOON - timedelta(seconds=61)))
    found = heartbeat_of(silent, 1, NOON, LinkTimes())
    assert (found.mode, found.alarm) == (LinkMode.FALLBACK, AlarmLevel.WARNING)
    assert next_counter(COUNTERS - 1) == 0
