"""Whatever is lost, repeated or late: a plant ends with the newest valid message, and a sender never uses a sequence again."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from link_offers import NOON, HandClock, offer, sign

from scheduler.adapters.plantlink.store.database import Draft, LinkStore
from scheduler.adapters.plantlink.store.messages import KeptMessage
from scheduler.core.publishing.conversation import Held, Standing, Step, in_force, received, standing
from scheduler.core.publishing.issuing import Issue, cancelled, issued
from scheduler.core.publishing.message import parsed

MINUTES = st.integers(0, 400)
# What the sender does, and after how many minutes: offer some heat, withdraw, or restart.
DEEDS = st.lists(
    st.tuples(st.sampled_from(("offer", "withdraw", "restart")), st.integers(0, 50), st.integers(0, 90)), max_size=8
)


def sent(deeds: list[tuple[str, int, int]]) -> list[dict[str, object]]:
    """Messages of a sender that remembers nothing but its last message."""
    found: list[dict[str, object]] = []
    at_utc = NOON
    for deed, heat_kw, minutes in deeds:
        at_utc += timedelta(minutes=minutes)
        last = found[-1] if found else None
        made = None
        if deed == "offer":
            made = issued(offer(float(heat_kw), at_utc=at_utc, slots=8), Issue(site_id="s", meter_point_id="m", last=last))
        elif deed == "withdraw" and last is not None:
            made = cancelled(last, at_utc, "withdrawn")
        found += [] if made is None else [made]
    return found


@settings(max_examples=60, deadline=None)
@given(deeds=DEEDS, data=st.data(), at_min=MINUTES)
def test_the_newest_that_came_holds_in_any_order_and_never_beyond_its_time(
    deeds: list[tuple[str, int, int]], data: st.DataObject, at_min: int
) -> None:
    messages = sent(deeds)
    came = data.draw(st.lists(st.sampled_from(messages), max_size=12)) if messages else []
    now_utc, held = NOON + timedelta(minutes=at_min), Held(offtake_id="town")
    for message in came:
        found = received(held, message, now_utc)
        assert (found.step in {Step.TAKEN, Step.EXPIRED}) == (found.held is not held)
        held = found.held
    newest = max(came, key=lambda one: int(str(one["sequence"])), default=None)
    assert held.message == newest
    assert_in_force(held, newest, now_utc)


def assert_in_force(held: Held, newest: dict[str, object] | None, now_utc: datetime) -> None:
    """What is acted on is the newest message, if it is a schedule and still valid."""
    acted = in_force(held, now_utc)
    if newest is None or newest["kind"] == "cancel":
        assert acted is None
        return
    until_utc = parsed(newest["validUntil"])
    assert until_utc is not None
    assert acted == (newest if now_utc < until_utc else None)


@settings(max_examples=40, deadline=None)
@given(deeds=DEEDS)
def test_sequences_of_one_sender_rise_by_one_and_say_whom_they_supersede(deeds: list[tuple[str, int, int]]) -> None:
    messages = sent(deeds)
    assert [one["sequence"] for one in messages] == list(range(1, len(messages) + 1))
    assert [one["supersedes"] for one in messages] == [None, *range(1, len(messages))][: len(messages)]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=DEEDS)
def test_a_sender_that_restarts_goes_on_behind_its_last_sequence(
    deeds: list[tuple[str, int, int]], tmp_path_factory: object
) -> None:
    folder: Path = tmp_path_factory.mktemp("restarts")  # type: ignore[attr-defined] # pytest's own factory
    store, clock, kept = LinkStore(str(folder / "l.sqlite")), HandClock(), list[int]()
    for deed, heat_kw, minutes in deeds:
        clock.pass_s(60.0 * minutes)
        if deed == "restart":
            store.close()
            store = LinkStore(str(folder / "l.sqlite"))
            continue
        one = offer(float(heat_kw), at_utc=clock.now_utc(), slots=8, withdrawn=deed == "withdraw")

        def draft(last: KeptMessage | None, one: object = one) -> Draft | None:
            issue = Issue(site_id="s", meter_point_id="m", last=None if last is None else last.payload)
            payload = issued(one, issue)  # type: ignore[arg-type] # an offer
            return None if payload is None else Draft(payload=payload, plan_id="p")

        kept += [message.sequence for message in store.issue(sign(), {"town": draft})]
    store.close()
    assert kept == list(range(1, len(kept) + 1))


def test_what_is_foreign_or_malformed_changes_nothing() -> None:
    (message,) = sent([("offer", 10, 0)])
    held = received(Held(offtake_id="town"), message, NOON).held
    assert received(held, {**message, "offtakeId": "pool", "sequence": 9}, NOON).step is Step.FOREIGN
    assert received(held, {**message, "sequence": "9"}, NOON).step is Step.MALFORMED
    assert received(held, message, NOON).step is Step.REPEATED
    assert standing(held, NOON + timedelta(hours=1)) is Standing.EXPIRED
    assert received(held, {**message, "sequence": 0}, NOON).step is Step.OLD
