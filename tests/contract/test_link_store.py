"""What operator and plant link share, in SQLite and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from link_offers import NOON, PLC, STRANGER, letter, offer, promise, sign
from sqlalchemy import text

from scheduler.adapters.plantlink.store.database import Draft, LinkStore, Marks, Superseded
from scheduler.adapters.plantlink.store.life import BLOCK
from scheduler.adapters.plantlink.store.messages import KeptMessage
from scheduler.core.publishing.issuing import Issue, issued
from scheduler.domain.errors import HeatDispatchError
from scheduler.domain.plan import Offer
from scheduler.domain.plantlink import (
    Acknowledgement,
    AckVerdict,
    HeatRequest,
    LetterBody,
    LinkProtocol,
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
    assert [row is None for row in rows] == [False, True, False, True, True, False]
    assert store.keep_letters([letter(bodies[-1], at_utc=NOON + timedelta(days=2))]) == [None]


def test_an_override_ends_by_our_operator_alone_and_the_same_one_may_come_again(store: LinkStore) -> None:
    override = ManualOverride(limit_kw=0.0)
    store.keep_letters([letter(override)])
    assert [one.letter.body for one in store.letters_of(["town"])["town"]] == [override]
    assert store.clear_override("town", "me", NOON)
    assert not store.clear_override("town", "me", NOON)
    assert store.letters_of(["town"])["town"] == ()
    assert store.keep_letters([letter(override, at_utc=NOON + timedelta(minutes=1))])[0] is not None
    assert len(store.letters_of(["town"])["town"]) == 1


def test_an_override_that_came_while_another_was_cleared_stays(store: LinkStore) -> None:
    (judged,) = store.keep_letters([letter(ManualOverride(limit_kw=10.0))])
    store.keep_letters([letter(ManualOverride(limit_kw=0.0), at_utc=NOON + timedelta(seconds=1))])
    assert store.clear_override("town", "me", NOON, up_to_row=judged)
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
    seen = PlantSeen(heard_utc=NOON, counter=4, moved_utc=NOON)
    refusal = Refusal(protocol=LinkProtocol.REST, sender=PLC.name, at_utc=NOON, what="no token")
    store.keep_heard({"town": seen, "nobody": PlantSeen()}, [(refusal, 3)])
    heard = store.heard()
    assert (list(heard), heard["town"].counter, heard["town"].moved_utc) == (["town"], 4, NOON)


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
    assert all(row is not None for row in store.keep_letters([letter(zero, sender=STRANGER), letter(zero)]))
    flood = [replace(zero, end_utc=NOON + timedelta(minutes=1 + i)) for i in range(60)]
    store.keep_letters([letter(one, sender=STRANGER) for one in flood])
    standing = [kept.letter for kept in store.letters_of(["town"])["town"]]
    assert [one.body for one in standing if one.sender.authenticated] == [zero]
    assert len(standing) == 51
