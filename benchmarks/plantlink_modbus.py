"""The Modbus server of the plant link, measured: `python -m benchmarks.plantlink_modbus [--json FILE] [--markdown FILE]`.

The server runs in a process of its own, on a desk in memory. *polling*: 50 plants ask once a second for heartbeat and seal, and
read each new schedule of 48 hours whole, all at once. *hostile*: thousands of broken and forged requests while one plant
goes on asking. *deaths*: the process is killed at random instants, and a watchdog of 2 s beside it has to start the boiler.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import Row, quantile
from benchmarks.stages import asked_often
from benchmarks.telling import may_be_written, tell
from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.memory import MemoryDesk
from scheduler.adapters.plantlink.modbus import server as serving
from scheduler.adapters.plantlink.modbus.client import ROWS_A_READ, ModbusPlantClient
from scheduler.adapters.plantlink.modbus.reading import intervals_in, schedule_of
from scheduler.adapters.plantlink.modbus.registers import HEADER, HEARTBEAT, IDENTITY, INTERVAL, INTERVALS_START, SEAL
from scheduler.adapters.plantlink.modbus.server import ModbusInterface
from scheduler.adapters.plantlink.modbus.watchdog import Watchdog
from scheduler.core.publishing.letters import LetterLimits
from scheduler.domain.link_options import ModbusOptions

# Schedules, hostile requests and a server to kill lie with the tests, which share them.
TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

STAGES = ("polling", "hostile", "deaths")
MS_PER_S = 1e3
KIB_PER_MB = 1e6 / 1024.0
POLL_S, POST_S = 1.0, 5.0
SLOTS, AT_ONCE, READS_ALONE = 192, 4, 50
# The schedules of the tests are of January: one that has run out is not shown.
LASTS = {"validUntil": "2100-01-01T00:00:00Z"}
WATCHDOG_S, LOOK_S = 2.0, 0.05
TARGET_P99_MS, TARGET_SEEN_MS, TARGET_BOILER_S = 50.0, 2000.0, 60.0


def offtake(number: int) -> str:
    """Of one of the plants."""
    return f"plant-{number:02d}"


def serve(pipe: Connection, plants: int, posting: bool) -> None:
    """The process of the server: tells its port, posts schedules, and says in the end what it saw."""
    serving.MAX_PER_CLIENT = serving.MAX_CONNECTIONS  # Here all plants have one address.
    asyncio.run(_serve(pipe, plants, posting))


class Listed(logging.Handler):
    """Puts what is logged, from warnings on, into a list."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """One more line."""
        self.lines.append(record.getMessage())


async def _serve(pipe: Connection, plants: int, posting: bool) -> None:
    from link_world import until
    from modbus_world import schedule

    logged: list[str] = []
    logging.getLogger().addHandler(Listed(logged))
    names = [offtake(number) for number in range(plants)]
    limits = dict.fromkeys(names, LetterLimits(max_heat_kw=500.0, tank_kwh=None))
    desk = MemoryDesk("site", limits, dict.fromkeys(names, "plug"), SystemClock())
    units = {number + 1: name for number, name in enumerate(names)}
    options = ModbusOptions(port=0, units=units, writable=True, writes_per_min=1e7)
    interface = ModbusInterface(options, desk, SystemClock())
    running = asyncio.create_task(interface.run())
    for name in names:
        await desk.post(name, {**schedule(7, SLOTS, offtake_id=name), **LASTS})
    await until(lambda: not interface.trouble())
    pipe.send(interface.port)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), ended.set)
    posted: dict[int, float] = {}
    task = asyncio.create_task(_post(desk, posted)) if posting else None
    await ended.wait()
    for one in (running, task):
        if one is not None:
            one.cancel()
    await asyncio.gather(*(one for one in (running, task) if one is not None), return_exceptions=True)
    used = resource.getrusage(resource.RUSAGE_SELF)
    pipe.send(
        {
            "posted": posted, "letters": len(desk.letters), "refusals": len(desk.refusals), "logged": logged,
            "cpuS": used.ru_utime + used.ru_stime,
        }
    )  # fmt: skip


async def _post(desk: MemoryDesk, posted: dict[int, float]) -> None:
    """A schedule of two days for everybody, every few seconds."""
    from modbus_world import schedule

    sequence = 7
    while True:
        await asyncio.sleep(POST_S)
        sequence += 1
        posted[sequence] = time.monotonic()
        for name in desk.boards():
            await desk.post(name, {**schedule(sequence, SLOTS, offtake_id=name), **LASTS})
        await desk.beat()


class Process:
    """The server's process, from the first question to its last word."""

    def __init__(self, plants: int, posting: bool) -> None:
        """Start it."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, plants, posting), daemon=True)
        self._process.start()
        if not self._pipe.poll(60.0):
            raise TimeoutError("the server does not listen")
        self.port: int = self._pipe.recv()

    def resident_mb(self) -> float:
        """Memory that it holds now."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text("utf-8").splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / KIB_PER_MB

    def cpu_s(self) -> float:
        """Processor time that it has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> dict[str, Any]:
        """Let it end; what it says of itself."""
        self._pipe.send("end")
        said: dict[str, Any] = self._pipe.recv() if self._pipe.poll(60.0) else {}
        self._process.join(10.0)
        return said


@dataclass(slots=True)
class Polled:
    """What plants saw: how long an answer and a whole schedule took, s, and when each sequence was read whole.

    asked_s: of answers while nobody read a whole schedule; reading: how many do so now.
    """

    asked_s: list[float] = field(default_factory=list)
    reading: int = 0
    whole_s: list[float] = field(default_factory=list)
    seen: list[tuple[int, float]] = field(default_factory=list)


async def _polls(found: Polled, port: int, number: int, until_s: float, offset_s: float) -> None:
    """One plant: its heartbeat and its seal once a second, and its schedule whenever the seal has changed."""
    from modbus_world import RawClient

    client, unit = await RawClient.at(port), number + 1
    identity = await client.registers(IDENTITY.start, IDENTITY.words, unit)
    await asyncio.sleep(offset_s)
    last, next_s = await client.registers(SEAL.start, SEAL.words, unit), time.monotonic()
    while next_s < until_s:
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))
        for block in (HEARTBEAT, SEAL):
            began_s, quiet = time.perf_counter(), not found.reading
            words = await client.registers(block.start, block.words, unit)
            if quiet and not found.reading:
                found.asked_s.append(time.perf_counter() - began_s)
        if words != last:
            began_s = time.perf_counter()
            found.reading += 1
            sequence = await _whole(client, unit, identity)
            found.reading -= 1
            found.whole_s.append(time.perf_counter() - began_s)
            found.seen.append((sequence, time.monotonic()))
            last = words
        next_s += POLL_S
    await client.close()


async def _whole(client: Any, unit: int, identity: list[int]) -> int:
    """Read all of a schedule; returns its sequence once checksum and seal were found to fit."""
    header = await client.registers(HEADER.start, HEADER.words, unit)
    end = INTERVALS_START + intervals_in(header, False) * INTERVAL.words
    rows: list[int] = []
    for at in range(INTERVALS_START, end, ROWS_A_READ):
        rows += await client.registers(at, min(ROWS_A_READ, end - at), unit)
    seal = await client.registers(SEAL.start, SEAL.words, unit)
    schedule = schedule_of(identity, header, rows, seal, False)
    assert schedule is not None
    return int(str(schedule["sequence"]))


async def _alone(port: int) -> list[float]:
    """Seconds of each whole read by the plant's client, alone."""
    took_s = []
    for _ in range(READS_ALONE):
        client = ModbusPlantClient("127.0.0.1", port)
        await client.heartbeat()
        began_s = time.perf_counter()
        assert await client.schedule() is not None
        took_s.append(time.perf_counter() - began_s)
        client.close()
    return took_s


def polling_rows(given: argparse.Namespace) -> list[Row]:
    """50 plants at 1 Hz, and each new schedule read whole."""
    process, found = Process(given.plants, posting=True), Polled()

    async def all_of_them() -> tuple[list[float], float]:
        before_s = process.cpu_s()
        alone_s = await _alone(process.port)
        used_s = process.cpu_s() - before_s
        until_s = time.monotonic() + given.seconds
        plants = (_polls(found, process.port, i, until_s, i / given.plants) for i in range(given.plants))
        await asyncio.gather(*plants)
        return alone_s, used_s

    alone_s, used_s = asyncio.run(all_of_them())
    alone_ms, per_read_ms = [one * MS_PER_S for one in alone_s], used_s / len(alone_s) * MS_PER_S
    resident_mb, said = process.resident_mb(), process.end()
    asked_ms, whole_ms = ([one * MS_PER_S for one in some] for some in (found.asked_s, found.whole_s))
    lag_ms = [(at_s - said["posted"][sequence]) * MS_PER_S for sequence, at_s in found.seen]
    behind = {"answers": len(asked_ms), "p50": round(quantile(asked_ms, 0.5), 2)}
    cpu = {"seconds": given.seconds, "processor s": round(said["cpuS"], 2)}
    together = {"p50": round(quantile(whole_ms, 0.5), 1), "reads": len(whole_ms)}
    lag = {"p50": round(quantile(lag_ms, 0.5)), "asked every s": POLL_S}
    return [
        Row(key="p99", what="an answer, p99", value=quantile(asked_ms, 0.99), unit="ms", at_most=TARGET_P99_MS, behind=behind),
        Row(key="alone", what="192 intervals read whole, one plant", value=quantile(alone_ms, 0.5), unit="ms"),
        Row(key="processor", what="processor time of the server for that", value=per_read_ms, unit="ms"),
        Row(key="whole", what="the same by all at once, p99", value=quantile(whole_ms, 0.99), unit="ms", behind=together),
        Row(key="seen", what="from desk to read whole", value=max(lag_ms), unit="ms", at_most=TARGET_SEEN_MS, behind=lag),
        Row(key="memory", what="memory of the process", value=resident_mb, unit="MB", behind=cpu),
    ]


def hostile_rows(given: argparse.Namespace) -> list[Row]:
    """Thousands of requests that nobody should take, while one plant goes on asking."""
    from modbus_hostile import attacked, attacks, wrongly

    process, found = Process(1, posting=False), Polled()

    async def attack() -> tuple[list[Any], float]:
        await attacked(process.port, attacks(150, 0), AT_ONCE)  # What is loaded on first use is no growth.
        before_mb = process.resident_mb()
        polls = asyncio.create_task(_polls(found, process.port, 0, float("inf"), 0.0))
        came = await attacked(process.port, attacks(given.attacks, given.seed), AT_ONCE)
        polls.cancel()
        await asyncio.gather(polls, return_exceptions=True)
        return came, before_mb

    began_s = time.monotonic()
    came, before_mb = asyncio.run(attack())
    after_mb, took_s, said = process.resident_mb(), time.monotonic() - began_s, process.end()
    wrong = [(one.name, answer.hex()) for one, answer in came if wrongly(answer)]
    for one in [*wrong[:10], *said["logged"][:10]]:
        print(f"wrong: {one}", file=sys.stderr)
    asked_ms = [one * MS_PER_S for one in found.asked_s]
    sent = {"sent": len(came), "seconds": round(took_s, 1), "processor s": round(said["cpuS"], 1)}
    meanwhile = {"answers": len(asked_ms), "p50": round(quantile(asked_ms, 0.5), 2)}
    return [
        Row(key="accepted", what="hostile letters taken", value=float(said["letters"]), unit="", at_most=0.0, behind=sent),
        Row(key="wrong", what="of them not refused, or a fault of ours", value=float(len(wrong)), unit="", at_most=0.0),
        Row(key="logged", what="lines in the log", value=float(len(said["logged"])), unit="", at_most=0.0),
        Row(key="meanwhile", what="an answer meanwhile, p99", value=quantile(asked_ms, 0.99), unit="ms", behind=meanwhile),
        Row(key="grown", what="memory that it grew by", value=after_mb - before_mb, unit="MB"),
    ]


def death_rows(given: argparse.Namespace) -> list[Row]:
    """The process is killed at random instants after it said that no boiler is needed."""
    rng = np.random.default_rng(given.seed)
    took_s = [_death(float(rng.uniform(0.0, 0.5))) for _ in range(given.deaths)]
    behind = {"deaths": len(took_s), "watchdog s": WATCHDOG_S, "p50": round(quantile(took_s, 0.5), 2)}
    what = "from a kill to the boiler, slowest"
    return [Row(key="boiler", what=what, value=max(took_s), unit="s", at_most=TARGET_BOILER_S, behind=behind)]


def _death(after_s: float) -> float:
    """Seconds from a kill until the watchdog wants the boiler."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    command = [sys.executable, str(TESTS / "modbus_process.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            return asyncio.run(_watched(process, int(process.stdout.readline()), after_s))
        finally:
            process.kill()


async def _watched(process: subprocess.Popen[str], port: int, after_s: float) -> float:
    """Watch as a PLC does; the process is killed a while after it was first believed."""
    clock, dog = SystemClock(), Watchdog(WATCHDOG_S)
    client = ModbusPlantClient("127.0.0.1", port, timeout_s=0.5)

    async def watched(wanted: bool) -> None:
        while dog.boiler_on(clock.now_utc()) is not wanted:
            dog.sees(await client.heartbeat(), clock.now_utc())
            await asyncio.sleep(LOOK_S)

    await watched(False)
    await asyncio.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    killed_s = time.monotonic()
    await watched(True)
    client.close()
    return time.monotonic() - killed_s


def main() -> int:
    given = arguments()
    made = {"polling": polling_rows, "hostile": hostile_rows, "deaths": death_rows}
    rows = [row for stage in given.stages for row in made[stage](given)]
    tell(rows, "Modbus TCP", f"{given.plants} plants", given, plants=given.plants)
    return 0


def arguments() -> argparse.Namespace:
    parser = asked_often("plantlink_modbus", __doc__, STAGES, plants=50)
    parser.add_argument("--attacks", type=int, default=10_000, help="hostile requests (%(default)s)")
    parser.add_argument("--deaths", type=int, default=50, help="kills (%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of requests and kills (%(default)s)")
    may_be_written(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
