"""The plant's watchdog: by hand, and on a server that is killed or stands still."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from modbus_world import OFFTAKE, START, UNIT, WAIT_S

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.modbus.client import ModbusPlantClient
from scheduler.adapters.plantlink.modbus.watchdog import Watchdog
from scheduler.domain.plantlink import AlarmLevel, Heartbeat, LinkMode

SERVER = Path(__file__).resolve().parents[2] / "modbus_process.py"
BEAT = Heartbeat(
    offtake_id=OFFTAKE, counter=1, at_utc=START, last_sequence=7, mode=LinkMode.AUTO, bypass=False, boiler_on=False,
    boiler_kw=0.0, alarm=AlarmLevel.NONE,
)  # fmt: skip


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_the_boiler_is_on_until_the_counter_has_moved_and_after_it_stood_still() -> None:
    dog = Watchdog(30.0)
    assert dog.boiler_on(START)
    dog.sees(BEAT, START)
    assert dog.boiler_on(START)
    dog.sees(replace(BEAT, counter=2), START + after(10.0))
    assert not dog.boiler_on(START + after(40.0))
    # The same counter again is no sign of life.
    dog.sees(replace(BEAT, counter=2), START + after(35.0))
    assert dog.boiler_on(START + after(41.0))


def test_a_read_that_failed_is_no_sign_of_life_and_a_wish_for_the_boiler_counts_at_once() -> None:
    dog = Watchdog(30.0)
    for i in range(3):
        dog.sees(replace(BEAT, counter=i), START + after(10.0 * i))
    dog.sees(None, START + after(30.0))
    assert not dog.boiler_on(START + after(50.0))
    assert dog.boiler_on(START + after(51.0))
    dog.sees(replace(BEAT, counter=9, boiler_on=True), START + after(52.0))
    assert dog.boiler_on(START + after(52.0))


@contextmanager
def server() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server process and its port."""
    path = os.pathsep.join((str(SERVER.parent), os.environ.get("PYTHONPATH", "")))
    with subprocess.Popen(
        [sys.executable, str(SERVER)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


async def until_boiler(client: ModbusPlantClient, dog: Watchdog, wanted: bool) -> None:
    """Watch as a PLC does, until the boiler is as wanted.

    Raises:
        TimeoutError: it never was.
    """
    clock = SystemClock()
    async with asyncio.timeout(WAIT_S):
        while True:
            dog.sees(await client.heartbeat(), clock.now_utc())
            if dog.boiler_on(clock.now_utc()) is wanted:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stands still"])
def test_a_server_that_is_gone_starts_the_boiler(how: signal.Signals) -> None:
    with server() as (process, port):

        async def run() -> None:
            client = ModbusPlantClient("127.0.0.1", port, UNIT, timeout_s=0.5)
            # Ten beats must be missing, so that a slow machine is not taken for a dead one.
            dog = Watchdog(2.0)
            await until_boiler(client, dog, wanted=False)
            process.send_signal(how)
            await until_boiler(client, dog, wanted=True)
            assert client.trouble()
            client.close()

        asyncio.run(run())
