"""What plants write over Modbus: letters that reduce, and nothing else, whatever is written."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modbus_world import OFFTAKE, OTHER_UNIT, START, UNIT, Desk, RawClient, SetClock, options, schedule, served

from scheduler.adapters.plantlink.modbus.answers import Answers, Caller
from scheduler.adapters.plantlink.modbus.frames import FunctionCode, Read, Refused, Write
from scheduler.adapters.plantlink.modbus.registers import ANSWER, BEAT, OVERRIDE, RECEIPT, REQUEST, Block
from scheduler.adapters.plantlink.modbus.words import block_values
from scheduler.adapters.plantlink.modbus.writes import Incomplete, Mailboxes, body_of
from scheduler.core.publishing.letters import reduces
from scheduler.domain.plantlink import (
    Acknowledgement,
    AckVerdict,
    HeatRequest,
    LetterBody,
    ManualOverride,
    PlantHeartbeat,
    Receipt,
)

EPOCH_S = int(START.timestamp())


async def reason(client: RawClient, unit: int = UNIT) -> str:
    words = await client.registers(RECEIPT.start, RECEIPT.words, unit, function=3)
    return str(block_values(RECEIPT, words, False)["reason"])


@pytest.mark.parametrize(
    ("block", "values", "body"),
    [
        (BEAT, {"counter": 5}, PlantHeartbeat(counter=5)),
        # All ones is a counter too: the largest.
        (BEAT, {"counter": None}, PlantHeartbeat(counter=2**32 - 1)),
        (
            REQUEST,
            {"heatKw": 12.5, "start": 0, "end": EPOCH_S + 900, "commit": 1},
            HeatRequest(heat_kw=12.5, start_utc=START, end_utc=START + timedelta(minutes=15)),
        ),
        (
            REQUEST,
            {"heatKw": 0.0, "start": EPOCH_S + 60, "end": 0, "commit": 9},
            HeatRequest(heat_kw=0.0, start_utc=START + timedelta(minutes=1), end_utc=START + timedelta(hours=3)),
        ),
        (OVERRIDE, {"limitKw": None, "commit": 1}, ManualOverride(limit_kw=0.0, reason="over Modbus")),
        (
            ANSWER,
            {"sequence": 7, "acceptedKw": 3.0, "verdict": 3, "commit": 1},
            Acknowledgement(sequence=7, verdict=AckVerdict.REJECTED, reason="over Modbus"),
        ),
    ],
)
def test_registers_become_letters(block: Block, values: dict[str, float | int | str | None], body: LetterBody) -> None:
    assert body_of(block, values, schedule(7), START) == body


@pytest.mark.parametrize(
    ("block", "values", "why"),
    [
        (REQUEST, {"heatKw": 1.0, "start": None, "end": None, "commit": 0}, "commit"),
        (REQUEST, {"heatKw": None, "start": None, "end": None, "commit": 1}, "heatKw: is missing"),
        (REQUEST, {"heatKw": 1e6 + 1, "start": None, "end": None, "commit": 1}, "heatKw: must be at most"),
        (REQUEST, {"heatKw": 1.0, "start": EPOCH_S, "end": EPOCH_S, "commit": 1}, "after start"),
        (ANSWER, {"sequence": None, "acceptedKw": None, "verdict": 3, "commit": 1}, "sequence"),
        (ANSWER, {"sequence": 7, "acceptedKw": None, "verdict": 1, "commit": 1}, "verdict"),
        (ANSWER, {"sequence": 7, "acceptedKw": None, "verdict": 2, "commit": 1}, "acceptedKw: is missing"),
    ],
)
def test_registers_that_are_no_letter_say_which(block: Block, values: dict[str, float | int | str | None], why: str) -> None:
    with pytest.raises(Incomplete, match=why):
        body_of(block, values, schedule(7), START)


def test_a_request_to_the_end_of_no_schedule_is_none() -> None:
    with pytest.raises(Incomplete, match="no schedule"):
        body_of(REQUEST, {"heatKw": 1.0, "start": None, "end": None, "commit": 1}, None, datetime.fromtimestamp(0, UTC))


def test_mailboxes_are_kept_for_the_clients_that_wrote_last() -> None:
    boxes = Mailboxes(most=2)
    boxes.of(1, "a").settle(5, Receipt(accepted=True))
    boxes.of(1, "b")
    assert boxes.of(1, "a").number == 5
    boxes.of(2, "a")
    boxes.of(1, "b")
    assert boxes.of(1, "a").number == 0


def test_a_letter_written_register_by_register_is_taken_with_its_last_one() -> None:
    async def run() -> None:
        async with served() as world:
            await world.desk.post(OFFTAKE, schedule(7))
            client = await world.raw()
            # 25 kW = 25,000 W = 0x000061A8
            for address, word in ((7020, 0), (7021, 0x61A8)):
                assert await client.ask(bytes((6, *address.to_bytes(2, "big"), *word.to_bytes(2, "big"))))
            assert not world.desk.letters
            assert await client.write(7022, 3) == bytes.fromhex("101b6e0001")
            assert [one.body for one in world.desk.letters] == [ManualOverride(limit_kw=25.0, reason="over Modbus")]
            assert await client.registers(RECEIPT.start, 2, function=3) == [3, 1]
            # What was written stands there, and is seen by whoever reads what was heard.
            assert await client.registers(7020, 3, function=3) == [0, 0x61A8, 3]
            assert await client.registers(164, 1) == [1]
            assert await client.registers(170, 2) == [0, 0x61A8]

    asyncio.run(run())


def test_refused_letters_say_why_to_their_sender_alone() -> None:
    async def run() -> None:
        async with served() as world:
            await world.desk.post(OFFTAKE, schedule(7))
            client = await world.raw()
            assert await client.write(7022, 1)
            # A second override may only be lower.
            assert await client.write(7020, 0, 1, 2) == b"\x90\x03"
            assert "only be reduced" in await reason(client)
            assert await reason(client, OTHER_UNIT) == ""
            # Acceptance is not said here, an unknown sequence is none of ours, and what has no commit is no letter.
            assert await client.write(7030, 0, 0, 0, 7, 0, 0, 1, 1) == b"\x90\x03"
            assert await client.write(7030, 0, 0, 0, 8, 0, 0, 3, 1) == b"\x90\x03"
            assert await reason(client) == "sequence: was never sent"
            assert await client.write(7010, 0, 1, 0, 0, 0, 0, 0) == b"\x90\x03"
            assert len(world.desk.letters) == 1
            assert await client.write(7000, 0xFFFF, 0xFFFF) == bytes.fromhex("101b580002")
            assert world.desk.boards()[OFFTAKE].seen.counter == 2**32 - 1

    asyncio.run(run())


def test_too_many_writes_are_put_off_and_noted_but_reading_goes_on() -> None:
    async def run() -> None:
        async with served(writes_per_min=60.0) as world:
            client = await world.raw()
            answers = [await client.write(7000, 0, i) for i in range(12)]
            assert answers[:10] == [bytes.fromhex("101b580002")] * 10
            assert answers[-1] == b"\x90\x06"
            assert world.desk.refusals[-1].what == "too many writes"
            assert await client.registers(0, 1) == [0x4844]

    asyncio.run(run())


def test_nothing_is_written_where_it_is_off() -> None:
    async def run() -> None:
        async with served(writable=False) as world:
            client = await world.raw()
            assert await client.write(7000, 0, 1) == b"\x90\x01"
            assert await client.ask(bytes.fromhex("061b580001")) == b"\x86\x01"
            assert await client.ask(bytes.fromhex("031b580001")) == b"\x83\x02"
            assert await client.registers(4, 1) == [0]
            assert not world.desk.letters
            assert world.desk.refusals[-1].what == "writing is off"

    asyncio.run(run())


WRITE = st.tuples(
    st.one_of(st.sampled_from([block.start for block in (BEAT, REQUEST, OVERRIDE, ANSWER)]), st.integers(6990, 7080)),
    st.lists(st.one_of(st.sampled_from([0, 1, 2, 3, 7, 0x61A8, 0xFFFF]), st.integers(0, 0xFFFF)), min_size=1, max_size=12),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(WRITE, max_size=25), st.booleans())
def test_whatever_is_written_only_ever_reduces(writes: list[tuple[int, list[int]]], swapped: bool) -> None:
    async def run() -> None:
        desk = Desk(SetClock())
        await desk.post(OFFTAKE, schedule(7))
        answers = Answers(options(low_word_first=swapped), desk, SetClock(), lambda: 0.0)
        for address, words in writes:
            before, known = desk.boards()[OFFTAKE], len(desk.letters)
            request = Write(function=FunctionCode.WRITE_MANY, address=address, words=tuple(words))
            try:
                await answers.pdu(Caller("192.0.2.1"), UNIT, request, desk.boards())
            except Refused:
                assert len(desk.letters) == known
                continue
            for letter in list(desk.letters)[known:]:
                assert not letter.sender.authenticated
                assert reduces(letter.body, before)
        read = Read(function=FunctionCode.READ_HOLDING, address=7000, count=74)
        assert len(await answers.pdu(Caller("192.0.2.1"), UNIT, read, desk.boards())) == 2 + 2 * 74

    asyncio.run(run())
