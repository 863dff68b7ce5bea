"""The desk on the database: what interfaces see, and what becomes of what plants say; the clock is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from link_offers import NOON, STRANGER, TOWN, HandClock, letter, offer, promise, sign

from scheduler.adapters.plantlink.store.database import LinkStore
from scheduler.adapters.plantlink.store.desk import MOST_REFUSED, StoredDesk
from scheduler.adapters.plantlink.store.publisher import SETTLED_S, StoredPublisher
from scheduler.core.publishing.letters import judged
from scheduler.core.publishing.standing import MOST_KNOWN
from scheduler.domain.link_life import OperatorLife
from scheduler.domain.link_options import LinkTimes
from scheduler.domain.plantlink import (
    AlarmLevel,
    Board,
    HeatRequest,
    Letter,
    LinkMode,
    LinkProtocol,
    MaintenanceNotice,
    ManualOverride,
    PlantHeartbeat,
    Receipt,
    Refusal,
    TankState,
)

WAIT_S = 20.0


class Pair:
    """An operator's side and a link's side of one file."""

    def __init__(self, path: Path) -> None:
        self.path, self.clock = path, HandClock()
        self.operator, self.link = LinkStore(str(path)), LinkStore(str(path))
        self.leads = True
        self.observes = False
        self.publisher = StoredPublisher(self.operator, self.clock, self.sign, lambda: (TOWN,), observes=lambda: self.observes)
        self.desk = StoredDesk(self.link, "site", "here", self.clock, LinkTimes())

    def sign(self) -> OperatorLife | None:
        return replace(sign(), at_utc=self.clock.at_utc) if self.leads else None

    def live(self, **changed: object) -> None:
        self.operator.live(replace(sign(), at_utc=self.clock.at_utc, **changed))  # type: ignore[arg-type] # fields of it

    def board(self) -> Board:
        return self.desk.boards()["town"]

    def close(self) -> None:
        self.operator.close()
        self.link.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    found = Pair(tmp_path / "link.sqlite")
    yield found
    found.close()


@asynccontextmanager
async def running(desk: StoredDesk) -> AsyncIterator[None]:
    task = asyncio.create_task(desk.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not ready():  # noqa: ASYNC110 - what is awaited changes by another task that knows nothing of us
            await asyncio.sleep(0.01)


def test_nothing_is_said_before_an_operator_beside_us_leads(pair: Pair) -> None:
    async def story() -> None:
        async with running(pair.desk):
            await until(lambda: "led yet" in pair.desk.trouble())
            assert pair.desk.boards() == {}
            pair.live(host="elsewhere", term=1)
            await until(lambda: "elsewhere leads" in pair.desk.trouble())
            assert pair.desk.boards() == {}
            pair.live(term=2)
            await until(lambda: bool(pair.desk.boards()))
            beat = pair.board().heartbeat
            assert (beat.boiler_on, beat.alarm, beat.last_sequence) == (True, AlarmLevel.CRITICAL, None)
            pair.live(host="elsewhere", term=3, identity="b")
            await until(lambda: not pair.desk.boards())

    asyncio.run(story())


def test_a_schedule_is_shown_and_the_boiler_rests_until_the_operator_is_silent(pair: Pair) -> None:
    async def story() -> None:
        pair.live()
        await pair.publisher.publish([offer()], (), [promise(1)])
        async with running(pair.desk):
            await until(lambda: bool(pair.desk.boards()) and not pair.board().heartbeat.boiler_on)
            board = pair.board()
            assert (board.schedule or {})["kind"] == "firm"
            assert board.heartbeat.last_sequence == 1
            version, counter = board.version, board.heartbeat.counter
            pair.clock.pass_s(39.0)
            await asyncio.sleep(0.6)
            assert not pair.board().heartbeat.boiler_on
            pair.clock.pass_s(2.0)
            await until(lambda: pair.board().heartbeat.boiler_on)
            assert pair.board().heartbeat.counter > counter
            assert (pair.board().heartbeat.mode, pair.board().version) == (LinkMode.FALLBACK, version)
            pair.live()
            await until(lambda: not pair.board().heartbeat.boiler_on)

    asyncio.run(story())


def test_a_contract_that_ended_long_ago_has_no_board(pair: Pair) -> None:
    async def story() -> None:
        await pair.publisher.publish([offer()], ())
        pair.clock.pass_s(2 * 86400.0)
        pair.live(offtakes=(replace(TOWN, offtake_id="pool"),))
        async with running(pair.desk):
            await until(lambda: bool(pair.desk.boards()))
            assert list(pair.desk.boards()) == ["pool"]

    asyncio.run(story())


def test_a_wall_clock_that_is_set_back_revives_nobody(pair: Pair) -> None:
    async def story() -> None:
        pair.live()
        await pair.publisher.publish([offer()], ())
        async with running(pair.desk):
            await until(lambda: bool(pair.desk.boards()) and not pair.board().heartbeat.boiler_on)
            pair.clock.pass_s(41.0)
            pair.clock.at_utc = NOON
            await until(lambda: pair.board().heartbeat.boiler_on)
            silent_s = pair.desk.silent_s()
            assert silent_s is not None
            assert silent_s == pytest.approx(41.0, abs=1e-6)

    asyncio.run(story())


def test_an_override_is_latched_over_a_restart_and_ended_by_us(pair: Pair) -> None:
    async def story() -> None:
        pair.live()
        await pair.publisher.publish([offer()], ())
        async with running(pair.desk):
            await until(lambda: bool(pair.desk.boards()))
            receipt = await pair.desk.hand_in(letter(ManualOverride(limit_kw=5.0)))
            assert receipt.accepted
            assert pair.board().heartbeat.mode is LinkMode.MANUAL
            before = pair.board().heartbeat.counter
        again = StoredDesk(pair.link, "site", "here", pair.clock)
        async with running(again):
            await until(lambda: bool(again.boards()))
            beat = again.boards()["town"].heartbeat
            assert (beat.mode, beat.boiler_on) == (LinkMode.MANUAL, True)
            assert beat.counter > before
            assert pair.operator.clear_override("town", "me", NOON)
            await until(lambda: again.boards()["town"].heartbeat.mode is LinkMode.AUTO)
            assert again.boards()["town"].seen.override is None

    asyncio.run(story())


def test_letters_are_judged_in_order_and_kept_before_they_are_accepted(pair: Pair) -> None:
    async def story() -> None:
        pair.live()
        await pair.publisher.publish([offer()], ())
        async with running(pair.desk):
            await until(lambda: bool(pair.desk.boards()) and pair.board().schedule is not None)
            span = {"start_utc": NOON, "end_utc": NOON.replace(hour=13)}
            asked = [
                letter(HeatRequest(heat_kw=50.0, **span), sender=STRANGER),
                letter(HeatRequest(heat_kw=60.0, **span), sender=STRANGER),
                letter(TankState(at_utc=NOON, level_kwh=400.0)),
                letter(TankState(at_utc=NOON, level_kwh=4000.0)),
                letter(TankState(at_utc=NOON, level_kwh=1.0), offtake_id="nobody"),
                letter(PlantHeartbeat(counter=7)),
            ]
            receipts = await asyncio.gather(*(pair.desk.hand_in(one) for one in asked))
            assert [one.accepted for one in receipts] == [True, False, True, False, False, True]
            kept = [one.letter.body for one in pair.operator.letters_of(["town"])["town"]]
            assert kept == [asked[0].body, asked[2].body]
            seen = pair.board().seen
            assert (seen.counter, seen.tank, seen.requested) == (7, asked[2].body, asked[0].body)
            assert pair.desk.counts.letters[("request", "refused")] == 1
        assert pair.operator.heard()["town"].counter == 7

    asyncio.run(story())


def test_a_letter_for_which_there_is_no_room_is_refused_and_its_sender_is_told(pair: Pair) -> None:
    def notice(number: int) -> Letter:
        start_utc = NOON + timedelta(days=number)
        body = MaintenanceNotice(
            notice_id=f"m{number}", start_utc=start_utc, end_utc=start_utc + timedelta(hours=1), available_kw=0.0
        )
        return letter(body)

    async def story() -> None:
        pair.live()
        async with running(pair.desk):
            await until(lambda: bool(pair.desk.boards()))
            pair.operator.keep_letters([notice(i) for i in range(MOST_KNOWN)])
            receipt = await pair.desk.hand_in(notice(MOST_KNOWN))
            assert (receipt.accepted, receipt.again, "200 of them stand" in receipt.reason) == (False, False, True)
            assert [key[2] for key in pair.desk._refused] == [f"maintenance: {receipt.reason}"]
            again = await pair.desk.hand_in(notice(0))
            assert again.accepted

    asyncio.run(story())


def test_after_a_restart_too_a_strangers_heartbeat_is_none_of_who_shows_a_credential(pair: Pair) -> None:
    async def story() -> None:
        pair.live()
        async with running(pair.desk):
            await until(lambda: bool(pair.desk.boards()))
            assert (await pair.desk.hand_in(letter(PlantHeartbeat(counter=7)))).accepted
        again = StoredDesk(pair.link, "site", "here", pair.clock)
        async with running(again):
            await until(lambda: bool(again.boards()))
            receipt = await again.hand_in(letter(PlantHeartbeat(counter=8), sender=STRANGER))
            assert (receipt.accepted, again.boards()["town"].seen.counter) == (False, 7)
            assert (await again.hand_in(letter(PlantHeartbeat(counter=9)))).accepted
            assert again.boards()["town"].seen.counter == 9

    asyncio.run(story())


def test_whoever_waits_hears_of_what_is_new_and_of_each_beat(pair: Pair) -> None:
    async def story() -> None:
        pair.live()
        async with running(pair.desk):
            await until(lambda: bool(pair.desk.boards()))
            version, beats = await pair.desk.changed(0, 0.0), await pair.desk.beats(-1, 0.0)
            waiting = asyncio.gather(pair.desk.changed(version, WAIT_S), pair.desk.beats(beats, WAIT_S))
            await pair.publisher.publish([offer()], ())
            assert all(now > before for now, before in zip(await waiting, (version, beats), strict=True))
            assert await pair.desk.changed(10**9, 0.01) < 10**9

    asyncio.run(story())


def test_the_end_says_that_boilers_must_start(pair: Pair) -> None:
    async def story() -> None:
        pair.live()
        await pair.publisher.publish([offer()], ())
        async with running(pair.desk):
            await until(lambda: bool(pair.desk.boards()) and not pair.board().heartbeat.boiler_on)
            await pair.desk.end()
            beat = pair.board().heartbeat
            assert (beat.boiler_on, beat.alarm_text) == (True, "the plant link is ending")

    asyncio.run(story())


def test_refusals_are_counted_and_never_more_than_can_be_kept(pair: Pair) -> None:
    async def story() -> None:
        async with running(pair.desk):
            for number in range(2 * MOST_REFUSED):
                refused = Refusal(protocol=LinkProtocol.MODBUS, sender=f"10.0.0.{number}", at_utc=NOON, what="x" * 1000)
                pair.desk.refuse(refused)
            assert len(pair.desk._refused) <= MOST_REFUSED + 1
            assert pair.desk.counts.refusals["modbus"] == 2 * MOST_REFUSED

    asyncio.run(story())


def test_a_contract_that_nobody_plans_any_more_starts_its_boiler(pair: Pair) -> None:
    """Its schedule is still valid, and the operator lives: for others."""

    async def story() -> None:
        pair.live()
        await pair.publisher.publish([offer()], ())
        async with running(pair.desk):
            await until(lambda: bool(pair.desk.boards()) and not pair.board().heartbeat.boiler_on)
            pair.live(offtakes=(replace(TOWN, offtake_id="pool"),))
            await until(lambda: pair.board().heartbeat.boiler_on)
            assert pair.board().heartbeat.mode is LinkMode.FALLBACK

    asyncio.run(story())


def test_what_we_fail_over_ends_neither_the_desk_nor_what_others_say(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(one: Letter, *more: Any) -> Receipt:
        if isinstance(one.body, TankState):
            raise OverflowError("date value out of range")
        return judged(one, *more)

    async def story() -> None:
        pair.live()
        await pair.publisher.publish([offer()], ())
        monkeypatch.setattr("scheduler.adapters.plantlink.store.desk.judged", failing)
        async with running(pair.desk):
            await until(lambda: bool(pair.desk.boards()))
            poison = await pair.desk.hand_in(letter(TankState(at_utc=NOON, level_kwh=1.0)))
            assert (poison.accepted, poison.reason) == (False, "cannot be judged")
            assert (await pair.desk.hand_in(letter(ManualOverride(limit_kw=0.0)))).accepted

    asyncio.run(story())


def test_what_was_turned_away_or_not_believed_is_kept_in_plain_words(pair: Pair) -> None:
    """A lone surrogate or a NUL, which a peer may send, is taken by no database."""

    async def story() -> None:
        pair.live()
        await pair.publisher.publish([offer()], ())
        async with running(pair.desk):
            await until(lambda: bool(pair.desk.boards()))
            what = "'\ud800\x00': unknown field"
            pair.desk.refuse(Refusal(protocol=LinkProtocol.OPCUA, sender="scada\ud800", at_utc=NOON, what=what))
            raised = HeatRequest(heat_kw=1e5, start_utc=NOON, end_utc=NOON.replace(hour=13))
            assert not (await pair.desk.hand_in(letter(raised, sender=STRANGER))).accepted
            kept = sorted(pair.desk._refused)
            assert kept[0][0] == "modbus"
            assert kept[0][2].startswith("request: without a credential")
            assert all(part.isprintable() for key in kept for part in key)
            await pair.desk._note()
            assert pair.desk._refused == {}

    asyncio.run(story())


# The operator's side.


def test_what_is_said_again_is_not_sent_again_until_it_runs_out(pair: Pair) -> None:
    async def story() -> None:
        first = await pair.publisher.publish([offer()], ())
        pair.clock.pass_s(900.0)
        at_utc = pair.clock.at_utc
        assert await pair.publisher.publish([offer(at_utc=at_utc)], ()) == ()
        pair.clock.pass_s(1800.0)
        later = await pair.publisher.publish([offer(at_utc=pair.clock.at_utc)], ())
        assert len(first) == len(later) == 1

    asyncio.run(story())


def test_what_stands_is_taken_back_when_all_is_let_go_or_we_only_look_on(pair: Pair) -> None:
    async def story() -> None:
        await pair.publisher.publish([offer()], ())
        assert await pair.publisher.publish([], ()) == ()
        pair.observes = True
        assert len(await pair.publisher.publish([], ())) == 1
        message = pair.operator.newest()["town"].payload
        assert (message["kind"], message["sequence"], message["boilerRequestKw"]) == ("cancel", 2, 100.0)
        assert pair.publisher.withdraw("all is let go", lambda: True) == ()
        pair.observes = False
        await pair.publisher.publish([offer()], ())
        assert pair.operator.newest()["town"].payload["kind"] == "plan"
        assert pair.publisher.withdraw("all is let go", lambda: False) == ()
        pair.clock.pass_s(SETTLED_S)
        assert len(pair.publisher.withdraw("all is let go", lambda: True)) == 1

    asyncio.run(story())


def test_a_promise_that_could_not_be_written_was_never_made(pair: Pair) -> None:
    """Its gate is answered anew, maybe with another one; both would be one too many."""

    async def story() -> None:
        pair.operator.take_over(replace(sign(), identity="b"))
        pair.operator.take_over(replace(sign(), identity="b"))
        assert await pair.publisher.publish([offer()], (), [promise(1)]) == ()
        pair.publisher._sign = lambda: replace(sign(), identity="b", term=2)
        assert len(await pair.publisher.publish([offer()], ())) == 1
        assert pair.operator.newest()["town"].payload["kind"] == "plan"
        assert pair.operator.commitments(["town"], NOON, NOON.replace(hour=23)) == ()

    asyncio.run(story())


def test_who_does_not_lead_says_nothing(pair: Pair) -> None:
    pair.leads = False
    assert asyncio.run(pair.publisher.publish([offer()], ())) == ()
    assert pair.operator.newest() == {}
