"""A schedule as registers: what is written there, and that no torn or changed one is ever taken for whole."""

from __future__ import annotations

import asyncio
import zlib
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modbus_world import OFFTAKE, PLUG, SITE, START, Desk, SetClock, schedule

from scheduler.adapters.plantlink.modbus.image import bits_of, live_bytes, schedule_bytes
from scheduler.adapters.plantlink.modbus.reading import NotOurMap, Torn, heartbeat_of, intervals_in, low_word_first, schedule_of
from scheduler.adapters.plantlink.modbus.registers import (
    HEADER,
    HEARTBEAT,
    IDENTITY,
    INTERVAL,
    INTERVALS_START,
    SCHEDULE_START,
    SEAL,
)
from scheduler.core.publishing.message import Envelope, heat_schedule, problems
from scheduler.domain.plan import Offer
from scheduler.domain.plantlink import AlarmLevel, LinkMode
from scheduler.domain.time import TimeGrid


def words_of(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


def live(clock: SetClock, desk: Desk, swapped: bool = False) -> list[int]:
    board = desk.boards()[OFFTAKE]
    return words_of(live_bytes(board, clock.now_utc(), writable=False, low_word_first=swapped))


def identity(swapped: bool = False) -> list[int]:
    clock = SetClock()
    return live(clock, Desk(clock), swapped)[IDENTITY.start : IDENTITY.end]


def parts(words: list[int], swapped: bool) -> tuple[list[int], list[int], list[int]]:
    """Header, used intervals and seal of the registers from the schedule's first on."""
    header = words[: HEADER.words]
    first = INTERVALS_START - SCHEDULE_START
    count = intervals_in(header, swapped)
    return header, words[first : first + count * INTERVAL.words], words[SEAL.start - SCHEDULE_START :]


def read(words: list[int], swapped: bool = False) -> dict[str, object] | None:
    header, rows, seal = parts(words, swapped)
    return schedule_of(identity(swapped), header, rows, seal, swapped)


@pytest.mark.parametrize("slots", [1, 192, 288])
def test_a_schedule_comes_back_as_it_was(slots: int) -> None:
    sent = schedule(2**64 - 2, slots)
    for swapped in (False, True):
        assert read(words_of(schedule_bytes(sent, low_word_first=swapped)), swapped) == sent


def test_the_first_registers_by_hand() -> None:
    image = schedule_bytes(schedule(7, 1), low_word_first=False)
    # 2026-01-15T12:00:00Z is 1768478400 = 0x6968D6C0; plan is 1, dispatch 2, one interval, version 1.0.
    assert image[:16].hex() == "0000000000000007" + "0000000000000006"
    assert image[20:24].hex() == "6968d6c0"
    assert image[28:36].hex() == "0001" + "0002" + "0001" + "0100"
    # 100 kW = 100,000 W = 0x000186A0 in registers 402 and 403.
    at = 2 * (402 - 300)
    assert image[at : at + 4].hex() == "000186a0"
    # The checksum covers 100 registers of the header and 20 of the interval.
    end = 2 * (SEAL.start - SCHEDULE_START)
    assert int.from_bytes(image[end : end + 4], "big") == zlib.crc32(image[:240])
    assert image[end + 4 :].hex() == "0000000000000007"


def test_no_schedule_is_no_interval_and_no_sequence() -> None:
    words = words_of(schedule_bytes(None, low_word_first=False))
    assert words[HEADER.at("intervals").offset] == 0
    assert words[:4] == [0xFFFF] * 4
    assert read(words) is None


@settings(max_examples=80, deadline=None)
@given(st.integers(0, HEADER.words + 4 * INTERVAL.words - 1), st.integers(0, 15), st.booleans())
def test_one_changed_bit_is_never_taken_for_a_schedule(at: int, bit: int, swapped: bool) -> None:
    words = words_of(schedule_bytes(schedule(7, 4), low_word_first=swapped))
    words[at] ^= 1 << bit
    with pytest.raises(Torn):
        read(words, swapped)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 6), st.integers(1, 6), st.integers(1, 6))
def test_a_read_over_a_change_is_never_taken_for_a_schedule(requests: int, before: int, after: int) -> None:
    """The first so many requests see the old schedule, the others the new one."""
    old = words_of(schedule_bytes(schedule(7, before, 100.0), low_word_first=False))
    new = words_of(schedule_bytes(schedule(8, after, 50.0), low_word_first=False))
    edges = [0, HEADER.words, *(HEADER.words + 20 * i for i in range(1, before)), SEAL.start - SCHEDULE_START]
    cut = edges[min(requests, len(edges) - 1)]
    mixed = old[:cut] + new[cut:]
    if cut == 0:
        assert read(mixed) == schedule(8, after, 50.0)
    else:
        with pytest.raises(Torn):
            read(mixed)


def test_a_header_that_tells_of_too_many_intervals_is_torn() -> None:
    words = words_of(schedule_bytes(schedule(7, 1), low_word_first=False))
    words[HEADER.at("intervals").offset] = 289
    with pytest.raises(Torn):
        intervals_in(words[: HEADER.words], False)


def test_another_devices_registers_are_told_apart() -> None:
    assert low_word_first(identity()) is False
    assert low_word_first(identity(swapped=True)) is True
    for wrong in ([0] * 104, [0x4844, 0, 0x0102, 0x0304], [0x4844, 1, 0x0201, 0x0403]):
        with pytest.raises(NotOurMap):
            low_word_first(wrong)


async def _identity_and_heartbeat() -> None:
    clock = SetClock()
    desk = Desk(clock)
    await desk.post(OFFTAKE, schedule(7) | {"boilerRequestKw": 12.5})
    await desk.beat()
    for swapped in (False, True):
        words = live(clock, desk, swapped)
        beat = heartbeat_of(words[HEARTBEAT.start : HEARTBEAT.end], OFFTAKE, swapped)
        assert beat == desk.boards()[OFFTAKE].heartbeat
        assert (beat.boiler_on, beat.boiler_kw, beat.mode) == (True, 12.5, LinkMode.AUTO)
    text = b"".join(word.to_bytes(2, "big") for word in identity()[8:]).replace(b"\0", b" ").decode().split()
    assert text == [SITE, PLUG, OFFTAKE]


async def _the_boiler_may_stay_off_only_while_the_heartbeat_is_fresh() -> None:
    clock = SetClock()
    desk = Desk(clock)
    await desk.post(OFFTAKE, schedule(7))
    await desk.beat()
    for seconds, needed in ((0.0, False), (40.0, False), (41.0, True), (-41.0, True)):
        clock.at_utc = START
        clock.passes(seconds)
        board = desk.boards()[OFFTAKE]
        assert bits_of(board, clock.now_utc()) == (not needed,) * 6
        assert live(clock, desk)[HEARTBEAT.address("noBoilerNeeded")] == (0 if needed else 1)


def test_registers_that_cannot_be_understood_ask_for_the_boiler() -> None:
    for words in ([0] * HEARTBEAT.words, [0xFFFF] * HEARTBEAT.words):
        beat = heartbeat_of(words, OFFTAKE, False)
        assert (beat.boiler_on, beat.mode) == (True, LinkMode.FALLBACK)
    assert heartbeat_of([0xFFFF] * HEARTBEAT.words, OFFTAKE, False).alarm is AlarmLevel.CRITICAL


def test_identity_and_heartbeat() -> None:
    asyncio.run(_identity_and_heartbeat())


def test_the_boiler_may_stay_off_only_while_the_heartbeat_is_fresh() -> None:
    asyncio.run(_the_boiler_may_stay_off_only_while_the_heartbeat_is_fresh())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.booleans())
def test_any_offer_comes_back_as_it_was_sent_but_for_rounding(seed: int, slots: int, swapped: bool) -> None:
    """Heat, flow and probability as exact as the message; temperatures to 0.01 degrees C, g CO2 to 0.1."""
    rng = np.random.default_rng(seed)
    low, middle, high = np.sort(rng.uniform(0.0, 250_000.0, (3, slots)), axis=0)
    offer = Offer(
        offtake_id=OFFTAKE, plug_id=PLUG, plan_id="p", issued_utc=START, valid_until_utc=START + timedelta(hours=3),
        grid=TimeGrid(start_utc=START, slot_s=900, slots=slots), p50_kw=middle, p10_kw=low, p90_kw=high, firm_kw=low,
        min_kw=np.zeros(slots), max_kw=high, supply_c=rng.uniform(45.0, 120.0, slots),
        return_max_c=float(rng.uniform(0.0, 40.0)),
        shortfall_probability=rng.uniform(0.0, 1.0, slots), boiler_request_kw=float(rng.uniform(0.0, 1e6)),
        heat_g_per_kwh=rng.uniform(0.0, 900.0, slots),
    )  # fmt: skip
    envelope = Envelope(site_id=SITE, meter_point_id="m", sequence=seed)
    sent = heat_schedule(offer, envelope)
    found = read(words_of(schedule_bytes(sent, low_word_first=swapped)), swapped)
    assert found is not None
    assert problems(found) == ()
    rough = {"supplyC": 0.0051, "returnMaxC": 0.0051, "gco2PerKwhHeat": 0.051}
    sent_rows, found_rows = sent.pop("intervals"), found.pop("intervals")
    assert found == sent
    assert isinstance(sent_rows, list)
    assert isinstance(found_rows, list)
    for one, other in zip(sent_rows, found_rows, strict=True):
        assert {key: value for key, value in one.items() if key not in rough} == {
            key: value for key, value in other.items() if key not in rough
        }
        assert all(abs(one[key] - other[key]) <= by for key, by in rough.items())
