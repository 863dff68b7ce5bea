"""What operator and plant link share, in SQLite and in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from link_offers import NOON, PLC, STRANGER, letter, offer, promise, sign
from sqlalchemy import insert, text

from scheduler.adapters.ledger.migrate import upgrade
from scheduler.adapters.ledger.sql import engine_for, ledger_url
from scheduler.adapters.plantlink.store.database import Draft, LinkStore, Marks, Superseded
from scheduler.adapters.plantlink.store.letters import Taken
from scheduler.adapters.plantlink.store.life import BLOCK
from scheduler.adapters.plantlink.store.messages import KeptMessage
from scheduler.adapters.plantlink.store.schema import letter_table
from scheduler.core.publishing.issuing import Issue, issued
from scheduler.core.publishing.payloads import kind_of, payload_of
from scheduler.core.publishing.standing import MOST_KNOWN, MOST_STRANGE
from scheduler.domain.errors import HeatDispatchError
from scheduler.domain.plan import Offer
from scheduler.domain.plantlink import (
    Acknowledgement,
    AckVerdict,
    HeatRequest,
    Letter,
    LetterBody,
    LinkProtocol,
    MaintenanceNotice,
    ManualOverride,
    NetworkState,
    PlantSeen,
    Refusal,
    TankState,
)


@pytest.fixture(params=["sqlite", "postgresql"])
def link_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "l.sqlite") if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def store(link_url: str) -> Iterator[LinkStore]:
    found = LinkStore(link_url)
    yield found
    found.close()


def drafting(one: Offer, *, promised: bool = False) -> Callable[[KeptMessage | None], Draft | None]:
    def draft(last: KeptMessage | None) -> Draft | None:
        promises = [promise(1)] if promised else []
        issue = Issue(site_id="site", meter_point_id="MP-1", last=None if last is None else last.payload, promises=promises)
        payload = issued(one, issue)
        return None if payload is None else Draft(payload=payload, plan_id=one.plan_id)

    return draft


def test_sequences_follow_each_other_and_the_archive_gives_every_message_back(store: LinkStore) -> None:
    first = store.issue(sign(), {"town": drafting(offer(100.0))})
    same = store.issue(sign(), {"town": drafting(offer(100.0))})
    second = store.issue(sign(), {"town": drafting(offer(120.0))})
    assert [one.sequence for one in (*first, *same, *second)] == [1, 2]
    kept = store.messages_between("town", NOON - timedelta(hours=1), NOON + timedelta(hours=1))
    assert [(one.sequence, one.payload["kind"], one.payload["supersedes"]) for one in kept] == [
        (1, "plan", None),
        (2, "update", 1),
    ]
    assert store.newest()["town"] == kept[-1]


def test_promises_stand_in_the_transaction_of_their_message_once(store: LinkStore) -> None:
    store.issue(sign(), {"town": drafting(offer(), promised=True)}, [promise(1), promise(2)])
    store.issue(sign(), {"town": drafting(offer(90.0))}, [promise(1, firm_kw=10.0)])
    found = store.commitments(["town"], NOON, NOON + timedelta(days=1))
    assert found == (promise(1), promise(2))
    with pytest.raises(ValueError, match="does not follow"):
        store.issue(sign(), {"town": lambda _last: Draft(payload={"sequence": 9}, plan_id="x")}, [promise(3)])
    assert len(store.commitments(["town"], NOON, NOON + timedelta(days=1))) == 2


def test_what_an_older_leader_says_is_refused_and_nothing_of_it_is_kept(store: LinkStore) -> None:
    old = store.take_over(sign())
    new = store.take_over(sign(identity="b", host="there"))
    assert (old, new) == (1, 2)
    with pytest.raises(Superseded):
        store.issue(sign(term=old), {"town": drafting(offer())}, [promise(1)])
    with pytest.raises(Superseded):
        store.live(sign(term=old))
    store.live(sign(term=new, identity="b", host="there"))
    news = store.standing("site")
    assert news.life is not None
    assert (news.life.identity, news.life.term, news.messages) == ("b", 2, {})


def test_the_database_itself_refuses_to_change_what_was_said(store: LinkStore) -> None:
    store.issue(sign(), {"town": drafting(offer())}, [promise(1)])
    store.keep_letters([letter(ManualOverride(limit_kw=5.0)), letter(TankState(at_utc=NOON, level_kwh=5.0))])
    for statement in (
        "UPDATE link_message SET sequence = 7",
        "DELETE FROM link_commitment",
        "UPDATE link_commitment SET firm_kw = 0",
        "DELETE FROM link_letter",
        "UPDATE link_letter SET kind = 'tank'",
    ):
        with pytest.raises((HeatDispatchError, Exception), match="append-only"), store._transaction() as connection:
            connection.execute(text(statement))
    assert store.forget(NOON + timedelta(days=1)) == 1
    kept = store.letters_between("town", "override", NOON, NOON + timedelta(days=1))
    assert [one.letter.body for one in kept] == [ManualOverride(limit_kw=5.0)]


def test_a_letter_that_is_said_again_is_kept_once(store: LinkStore) -> None:
    override, network = ManualOverride(limit_kw=5.0, reason="pump"), NetworkState(at_utc=NOON, supply_c=70.0)
    bodies: list[LetterBody] = [
        override,
        override,
        network,
        override,
        network,
        Acknowledgement(sequence=3, verdict=AckVerdict.ACCEPTED),
    ]
    rows = store.keep_letters([letter(one) for one in bodies])
    assert [one.row is None for one in rows] == [False, True, False, True, True, False]
    assert store.keep_letters([letter(bodies[-1], at_utc=NOON + timedelta(days=2))]) == [Taken()]


def test_an_override_ends_by_our_operator_alone_and_the_same_one_may_come_again(store: LinkStore) -> None:
    override = ManualOverride(limit_kw=0.0)
    store.keep_letters([letter(override)])
    assert [one.letter.body for one in store.letters_of(["town"])["town"]] == [override]
    assert store.clear_override("town", "me", NOON)
    assert not store.clear_override("town", "me", NOON)
    assert store.letters_of(["town"])["town"] == ()
    assert store.keep_letters([letter(override, at_utc=NOON + timedelta(minutes=1))])[0].row is not None
    assert len(store.letters_of(["town"])["town"]) == 1


def test_an_override_that_came_while_another_was_cleared_stays(store: LinkStore) -> None:
    (judged,) = store.keep_letters([letter(ManualOverride(limit_kw=10.0))])
    store.keep_letters([letter(ManualOverride(limit_kw=0.0), at_utc=NOON + timedelta(seconds=1))])
    assert store.clear_override("town", "me", NOON, up_to_row=judged.row)
    assert [one.letter.body for one in store.letters_of(["town"])["town"]] == [ManualOverride(limit_kw=0.0)]


def test_who_reads_anew_hears_of_what_was_cleared_since(store: LinkStore) -> None:
    store.keep_letters([letter(ManualOverride(limit_kw=10.0))])
    assert store.clear_override("town", "me", NOON)
    assert [one.offtake_id for one in store.standing("site").clears] == ["town"]


def test_news_are_what_came_since_and_the_pulse_beats_when_somebody_else_writes(store: LinkStore, link_url: str) -> None:
    other = LinkStore(link_url)
    try:
        marks = store.standing("site").marks
        assert marks == Marks()
        before = store.pulse()
        assert store.pulse() == before
        other.issue(sign(), {"town": drafting(offer())})
        other.keep_letters([letter(TankState(at_utc=NOON, level_kwh=5.0))])
        assert before is None or store.pulse() != before
        news = store.news("site", marks)
        assert (list(news.messages), len(news.letters)) == (["town"], 1)
        assert store.news("site", news.marks).letters == ()
    finally:
        other.close()


def test_counters_are_reserved_in_blocks_that_never_overlap(store: LinkStore) -> None:
    assert store.reserve_beats(["town"]) == {"town": 0}
    assert store.reserve_beats(["town", "pool"]) == {"town": BLOCK, "pool": 0}


def test_what_was_heard_and_refused_is_kept_and_bounded(store: LinkStore) -> None:
    seen = PlantSeen(heard_utc=NOON, counter=4, moved_utc=NOON, counter_authenticated=True)
    refusal = Refusal(protocol=LinkProtocol.REST, sender=PLC.name, at_utc=NOON, what="no token")
    store.keep_heard({"town": seen, "nobody": PlantSeen()}, [(refusal, 3)])
    heard = store.heard()
    assert (list(heard), heard["town"].counter, heard["town"].moved_utc) == (["town"], 4, NOON)
    assert heard["town"].counter_authenticated
    store.keep_heard({"town": replace(seen, counter_authenticated=False)})
    assert not store.heard()["town"].counter_authenticated


def test_two_that_issue_in_turn_draw_different_sequences(store: LinkStore, link_url: str) -> None:
    other = LinkStore(link_url)
    try:
        done = [
            one.sequence
            for heat_kw in range(100, 160, 10)
            for which in (store, other)
            for one in which.issue(sign(), {"town": drafting(offer(heat_kw + (5.0 if which is other else 0.0)))})
        ]
        assert done == list(range(1, 13))
    finally:
        other.close()


def test_strangers_push_out_and_repeat_nothing_that_was_said_with_a_credential(store: LinkStore) -> None:
    """Sixty requests of theirs are more than stand; the same words count anew of who shows a credential."""
    zero = HeatRequest(heat_kw=0.0, start_utc=NOON, end_utc=NOON + timedelta(days=7))
    assert all(one.row is not None for one in store.keep_letters([letter(zero, sender=STRANGER), letter(zero)]))
    # Each is a little lower and a little shorter than the one before it: none says all that another one does.
    flood = [HeatRequest(heat_kw=99.0 - i, start_utc=NOON, end_utc=NOON + timedelta(days=9, minutes=-i)) for i in range(60)]
    told = store.keep_letters([letter(one, sender=STRANGER) for one in flood])
    assert [bool(one.refused) for one in told] == [False] * (MOST_STRANGE - 1) + [True] * (61 - MOST_STRANGE)
    assert "50 of them stand without a credential" in told[-1].refused
    standing = [kept.letter for kept in store.letters_of(["town"])["town"]]
    assert [one.body for one in standing if one.sender.authenticated] == [zero]
    assert [one.body for one in standing if not one.sender.authenticated] == [zero, *flood[: MOST_STRANGE - 1]]
    # Whoever asks for nothing at all says all that the others do.
    (less,) = store.keep_letters([letter(replace(zero, end_utc=NOON + timedelta(days=10)), sender=STRANGER)])
    assert less.row is not None
    assert len(store.letters_of(["town"])["town"]) == 2


def test_every_notice_stands_whose_end_is_to_come_and_who_says_too_many_is_told(store: LinkStore) -> None:
    """A summer of single hours, then a second notice of the first one's id: it is found, however long ago it came."""

    def notice(number: int, kw: float = 0.0) -> Letter:
        start_utc = NOON + timedelta(days=number)
        body = MaintenanceNotice(
            notice_id=f"m{number}", start_utc=start_utc, end_utc=start_utc + timedelta(hours=1), available_kw=kw
        )
        return letter(body)

    assert not any(one.refused for one in store.keep_letters([notice(i) for i in range(MOST_KNOWN)]))
    assert len(store.letters_of(["town"])["town"]) == MOST_KNOWN
    (refused,) = store.keep_letters([notice(MOST_KNOWN)])
    assert (refused.row, "200 of them stand" in refused.refused) == (None, True)
    assert store.keep_letters([notice(0)]) == [Taken()]
    assert store.keep_letters([notice(0, 5.0)])[0].row is not None
    assert store.keep_letters([notice(0)])[0].row is not None
    bodies = [one.letter.body for one in store.letters_of(["town"])["town"]]
    assert len(bodies) == MOST_KNOWN
    assert notice(0).body in bodies
    (later,) = store.keep_letters([replace(notice(MOST_KNOWN), received_utc=NOON + timedelta(hours=1))])
    assert later.row is not None, "one of them is over"


def test_a_request_stands_until_later_ones_speak_of_all_its_time(store: LinkStore) -> None:
    """Each quarter of an hour the same until spring: one stands. A short one lies within it, and ends."""
    spring_utc = NOON + timedelta(days=90)

    def asked(minute: int, kw: float, end_utc: datetime) -> Letter:
        at_utc = NOON + timedelta(minutes=minute)
        return letter(HeatRequest(heat_kw=kw, start_utc=at_utc, end_utc=end_utc), at_utc=at_utc)

    every = [asked(15 * i, 300.0, spring_utc) for i in range(100)]
    assert not any(one.refused for one in store.keep_letters(every))
    assert [one.letter for one in store.letters_of(["town"])["town"]] == every[-1:]
    short = asked(1600, 10.0, NOON + timedelta(minutes=1700))
    store.keep_letters([short])
    assert [one.letter for one in store.letters_of(["town"])["town"]] == [every[-1], short]
    # What was said before and is said again ends what came between.
    again = replace(every[-1], received_utc=NOON + timedelta(minutes=1601))
    assert store.keep_letters([again])[0].row is not None
    assert [one.letter for one in store.letters_of(["town"])["town"]] == [again]


def test_an_override_that_was_ended_may_be_pressed_again_while_a_strangers_stands(store: LinkStore) -> None:
    override = letter(ManualOverride(limit_kw=5.0))
    store.keep_letters([override])
    assert store.clear_override("town", "me", NOON)
    stranger = letter(ManualOverride(limit_kw=5.0), sender=STRANGER)
    assert store.keep_letters([stranger])[0].row is not None
    assert store.keep_letters([override])[0].row is not None
    assert [one.letter for one in store.letters_of(["town"])["town"]] == [stranger, override]


def test_what_an_older_version_wrote_stands_too(store: LinkStore) -> None:
    """Its link knows of no table of what stands, and goes on beside ours while an installation changes."""
    first, second = ManualOverride(limit_kw=50.0), ManualOverride(limit_kw=5.0)
    store.keep_letters([letter(first)])
    with store._writing() as connection:
        row = {
            "offtake_id": "town", "kind": "override", "digest": "of its own", "sender": "10.0.0.9", "protocol": "modbus",
            "authenticated": False, "received_utc": NOON, "payload_json": json.dumps(payload_of(second)),
        }  # fmt: skip
        connection.execute(insert(letter_table), row)
    assert [one.letter.body for one in store.letters_of(["town"])["town"]] == [first, second]
    store.keep_letters([letter(ManualOverride(limit_kw=40.0))])
    assert [one.letter.body for one in store.letters_of(["town"])["town"]] == [second, ManualOverride(limit_kw=40.0)]


def test_a_database_of_an_older_version_is_brought_up_to_date_with_all_that_stands(link_url: str) -> None:
    engine = engine_for(ledger_url(link_url))
    upgrade(engine, "0003")
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO link_heard (offtake_id, heard_utc, counter) VALUES ('town', '2026-01-15 12:00:00', 4)")
        )
    requests = [HeatRequest(heat_kw=1.0 + i, start_utc=NOON, end_utc=NOON + timedelta(minutes=i)) for i in range(120)]
    bodies: list[LetterBody] = [
        ManualOverride(),
        *requests,
        *(Acknowledgement(sequence=i, verdict=AckVerdict.ACCEPTED) for i in range(20)),
    ]
    with engine.begin() as connection:
        for i, body in enumerate(bodies):
            at_utc = NOON if isinstance(body, Acknowledgement) else NOON - timedelta(minutes=1)
            row = {
                "offtake_id": "town", "kind": kind_of(body), "digest": str(i), "sender": "plc", "protocol": "rest",
                "authenticated": True, "received_utc": at_utc, "payload_json": json.dumps(payload_of(body)),
            }  # fmt: skip
            connection.execute(insert(letter_table), row)
    engine.dispose()
    store = LinkStore(link_url)
    try:
        assert (store.heard()["town"].counter, store.heard()["town"].counter_authenticated) == (4, False)
        standing = [one.letter.body for one in store.letters_of(["town"])["town"]]
        assert [one for one in standing if isinstance(one, ManualOverride | HeatRequest)] == [bodies[0], *requests[1:]]
        assert len([one for one in standing if isinstance(one, Acknowledgement)]) == 20
        # None of them was refused, and none is in the way of the next one.
        assert store.keep_letters([letter(replace(requests[-1], heat_kw=7.0))])[0].row is not None
        standing = [one.letter.body for one in store.letters_of(["town"])["town"]]
        assert [one.heat_kw for one in standing if isinstance(one, HeatRequest)] == [7.0]
    finally:
        store.close()
