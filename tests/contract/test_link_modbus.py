"""The Modbus server as independent peers see it: pymodbus behind our client, libmodbus by `mbpoll`, and a bare socket."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys

import pytest
from modbus_world import OFFTAKE, OTHER, OTHER_UNIT, SITE, START, UNIT, Served, schedule, served

from scheduler.adapters.plantlink.modbus.client import ModbusPlantClient
from scheduler.core.publishing.message import problems
from scheduler.domain.errors import Misconfigured
from scheduler.domain.plantlink import AckVerdict, LinkMode, LinkProtocol

MBPOLL = shutil.which("mbpoll")


def client_of(world: Served, unit: int = UNIT) -> ModbusPlantClient:
    return ModbusPlantClient("127.0.0.1", world.port, unit)


@pytest.mark.parametrize("low_word_first", [False, True])
def test_a_plant_reads_the_schedule_that_was_posted_in_either_order_of_words(low_word_first: bool) -> None:
    async def run() -> None:
        async with served(low_word_first=low_word_first) as world:
            sent = schedule(2**40 + 5, slots=192)
            await world.desk.post(OFFTAKE, sent)
            client = client_of(world)
            found = await client.schedule()
            assert found is not None
            assert problems(found) == ()
            assert found == sent
            client.close()

    asyncio.run(run())


def test_every_plant_reads_its_own_schedule_and_the_newest() -> None:
    async def run() -> None:
        async with served() as world:
            town, pool = client_of(world), client_of(world, OTHER_UNIT)
            assert await town.schedule() is None
            assert town.trouble() == ""
            await world.desk.post(OFFTAKE, schedule(1))
            await world.desk.post(OTHER, schedule(9, offtake_id=OTHER))
            first, second = await town.schedule(), await pool.schedule()
            assert (first or {}).get("sequence") == 1
            assert (second or {}).get("offtakeId") == OTHER
            await world.desk.post(OFFTAKE, schedule(2, slots=288))
            newer = await town.schedule()
            assert newer == schedule(2, slots=288)
            assert await town.schedule() is newer
            town.close()
            pool.close()

    asyncio.run(run())


def test_the_heartbeat_says_what_the_board_says() -> None:
    async def run() -> None:
        async with served() as world:
            client = client_of(world)
            before = await client.heartbeat()
            assert before is not None
            assert (before.boiler_on, before.boiler_kw, before.mode) == (True, None, LinkMode.FALLBACK)
            await world.desk.post(OFFTAKE, {**schedule(7), "boilerRequestKw": 0.0})
            await world.desk.beat()
            after = await client.heartbeat()
            assert after == world.desk.boards()[OFFTAKE].heartbeat
            assert after is not None
            assert not after.boiler_on
            client.close()

    asyncio.run(run())


def test_a_plant_withdraws_heat_and_is_told_what_became_of_it() -> None:
    async def run() -> None:
        async with served() as world:
            await world.desk.post(OFFTAKE, schedule(7))
            client = client_of(world)
            assert (await client.say("heartbeat", {"counter": 41})).accepted
            until = {"start": "2026-01-15T12:00:00Z", "end": "2026-01-15T13:00:00Z"}
            assert (await client.say("request", {"heatKw": 30.5, **until})).accepted
            more = await client.say("request", {"heatKw": 31.0, **until})
            assert not more.accepted
            assert "only be reduced" in more.reason
            assert (await client.say("acknowledgement", {"sequence": 7, "verdict": "partial", "acceptedKw": 12.5})).accepted
            late = await client.say("acknowledgement", {"sequence": 8, "verdict": "rejected"})
            assert late.reason == "sequence: was never sent"
            assert (await client.say("override", {"limitKw": 5.0})).accepted
            seen = world.desk.boards()[OFFTAKE].seen
            assert (seen.counter, seen.requested and seen.requested.heat_kw) == (41, 30.5)
            assert seen.acknowledged is not None
            assert (seen.acknowledged.verdict, seen.acknowledged.accepted_kw) == (AckVerdict.PARTIAL, 12.5)
            assert seen.override is not None
            assert seen.override.limit_kw == 5.0
            assert {(one.sender.authenticated, one.sender.protocol) for one in world.desk.letters} == {
                (False, LinkProtocol.MODBUS)
            }
            client.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("kind", "payload", "why"),
    [
        ("tank", {"at": "2026-01-15T12:00:00Z", "levelKwh": 5.0}, "Modbus carries"),
        ("acknowledgement", {"sequence": 1, "verdict": "accepted"}, "no credentials"),
        ("override", {"limit": 5.0}, "unknown field"),
    ],
)
def test_what_modbus_cannot_say_is_refused_before_it_is_sent(kind: str, payload: dict[str, object], why: str) -> None:
    client = ModbusPlantClient("127.0.0.1", 1)
    receipt = asyncio.run(client.say(kind, payload))
    assert not receipt.accepted
    assert why in receipt.reason


def test_without_pymodbus_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymodbus.client", None)
    with pytest.raises(Misconfigured, match=r"pip install heat-dispatch\[modbus\]"):
        ModbusPlantClient("127.0.0.1", 1)


def test_a_unit_that_is_not_ours_is_told_by_its_exception() -> None:
    async def run() -> None:
        async with served() as world:
            client = client_of(world, 99)
            assert await client.schedule() is None
            assert client.trouble() == "answered with exception 10 (gateway path)"
            client.close()

    asyncio.run(run())


def test_nobody_there_is_no_schedule_and_no_heartbeat_with_a_reason() -> None:
    async def run() -> None:
        client = ModbusPlantClient("127.0.0.1", 1, timeout_s=1.0)
        assert await client.heartbeat() is None
        assert "nobody answers" in client.trouble()
        assert await client.schedule() is None
        assert not (await client.say("override", {})).accepted

    asyncio.run(run())


def test_while_another_replica_is_in_charge_nothing_is_said() -> None:
    async def run() -> None:
        async with served() as world:
            await world.desk.post(OFFTAKE, schedule(7))
            client = client_of(world)
            assert await client.schedule() is not None
            world.desk.in_charge = False
            assert await client.schedule() is None
            assert await client.heartbeat() is None
            raw = await world.raw()
            assert await raw.ask(bytes((4, 0, 0, 0, 1))) == b""
            world.desk.in_charge = True
            assert await client.schedule() is not None
            assert client.trouble() == ""
            client.close()

    asyncio.run(run())


# Debian's mbpoll is libmodbus, in C: another language, other authors.


def polled(port: int, *arguments: str) -> tuple[int, str]:
    """Exit code and output of one poll; -0: addresses as on the wire, -1: once."""
    assert MBPOLL is not None
    done = subprocess.run(
        [MBPOLL, "-m", "tcp", "-p", str(port), "-0", "-1", "-a", str(UNIT), *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def numbers(text: str) -> list[int]:
    """Values of its lines `[address]:  value`, without what it adds in brackets."""
    return [int(found, 0) for found in re.findall(r"^\[\d+\]:\s+(-?\w+)", text, re.MULTILINE)]


@pytest.mark.skipif(MBPOLL is None, reason="mbpoll is not installed (`make plant-peers`)")
def test_libmodbus_reads_and_writes_the_same() -> None:
    async def run() -> None:
        async with served() as world:
            await world.desk.post(OFFTAKE, schedule(7, slots=2))
            await world.desk.beat()

            async def poll(*arguments: str) -> tuple[int, str]:
                return await asyncio.to_thread(polled, world.port, *arguments)

            code, text = await poll("-t", "3:int", "-B", "-r", "2", "-c", "1", "127.0.0.1")
            assert (code, numbers(text)) == (0, [0x01020304]), text
            # Start of the first interval and its median in W: 2026-01-15T12:00:00Z, 100 kW.
            code, text = await poll("-t", "3:int", "-B", "-r", "400", "-c", "2", "127.0.0.1")
            assert (code, numbers(text)) == (0, [int(START.timestamp()), 100_000]), text
            code, text = await poll("-t", "1", "-r", "0", "-c", "6", "127.0.0.1")
            assert (code, numbers(text)) == (0, [1, 1, 1, 1, 1, 1]), text
            # An override of 25 kW, in W, by several registers at once; then the answer to what may not be written.
            code, text = await poll("-t", "4:hex", "-r", "7020", "127.0.0.1", "0x0", "0x61A8", "0x1")
            assert code == 0, text
            override = world.desk.boards()[OFFTAKE].seen.override
            assert override is not None
            assert override.limit_kw == 25.0
            code, text = await poll("-t", "4", "-r", "0", "127.0.0.1", "1")
            assert code != 0
            assert "Illegal data address" in text

    asyncio.run(run())


def test_a_bare_socket_reads_who_we_are() -> None:
    async def run() -> None:
        async with served() as world:
            raw = await world.raw()
            head = await raw.registers(0, 8)
            assert head[:4] == [0x4844, 2, 0x0102, 0x0304]
            site = b"".join(word.to_bytes(2, "big") for word in await raw.registers(8, 32))
            assert site.rstrip(b"\0").decode() == SITE
            assert await raw.registers(0, 104, function=3) == await raw.registers(0, 104)

    asyncio.run(run())
