"""The plant link over MQTT, measured: `python -m benchmarks.plantlink_mqtt [--json FILE] [--markdown FILE]`.

The interface runs in a process of its own, on a desk in memory, at a broker (mosquitto, or amqtt without it). *latency*: 50
customers, each over a connection of his own; how long a schedule of two days takes from the desk to a client of the broker's.
*hostile*: thousands of letters that are none, with the door that limits their number held open. *killed*: the process is
killed at random; how long until the broker says `offline` for it, and whether all stands again when it is back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np

from benchmarks.rows import Row, quantile
from benchmarks.stages import some_of
from benchmarks.telling import may_be_written, tell
from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.memory import MemoryDesk
from scheduler.adapters.plantlink.mqtt import hearing
from scheduler.adapters.plantlink.mqtt.client import MqttInterface
from scheduler.core.publishing.letters import KINDS, LetterLimits
from scheduler.domain.link_options import MqttOptions

# The broker and the schedules lie with the tests, which share them.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

STAGES = ("latency", "hostile", "killed")
MS_PER_S = 1e3
KIB_PER_MB = 1e6 / 1024.0
POST_S, BEAT_S, HOURS = 2.0, 1.0, 48
AT_ONCE = 10
TARGET_SEEN_MS, TARGET_OFFLINE_S = 1000.0, 60.0
WAIT_S = 60.0


def offtake(number: int) -> str:
    """One of the customers."""
    return f"plant-{number:02d}"


def serve(pipe: Connection, port: int, version: int, plants: int, *, is_open: bool) -> None:
    """The process of the interface: posts schedules, and says in the end what it saw."""
    if is_open:
        hearing.PER_LETTER_S, hearing.BURST = 1e-9, 1_000_000
    names = tuple(offtake(number) for number in range(plants))
    limits = {name: LetterLimits(max_heat_kw=500.0, tank_kwh=None) for name in names}
    desk = MemoryDesk("site", limits, dict.fromkeys(names, "plug"), SystemClock())
    options = MqttOptions(host="127.0.0.1", port=port, version=version, plain=True, listens=True, offtakes=names)
    asyncio.run(_serve(pipe, MqttInterface(options, desk, SystemClock()), desk))


async def _serve(pipe: Connection, interface: MqttInterface, desk: MemoryDesk) -> None:
    posted: dict[int, float] = {}
    jobs = [asyncio.create_task(interface.run()), asyncio.create_task(_post(desk, posted))]
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), ended.set)
    await ended.wait()
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
    used = resource.getrusage(resource.RUSAGE_SELF)
    said = {"posted": posted, "letters": len(desk.letters), "refusals": len(desk.refusals), "trouble": interface.trouble()}
    pipe.send({**said, "processorS": used.ru_utime + used.ru_stime})


async def _post(desk: MemoryDesk, posted: dict[int, float]) -> None:
    """A schedule of two days for everybody every few seconds, and heartbeats."""
    from link_world import schedule_of

    sequence = 0
    while True:
        sequence += 1
        made = schedule_of(sequence, hours=HOURS)
        posted[sequence] = time.monotonic()
        for name in desk.boards():
            await desk.post(name, {**made, "offtakeId": name})
        for _ in range(int(POST_S / BEAT_S)):
            await desk.beat()
            await asyncio.sleep(BEAT_S)


class Process:
    """The interface's process, from its start to its last word."""

    def __init__(self, port: int, version: int, plants: int, *, is_open: bool = False) -> None:
        """Start it."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        given = {"is_open": is_open}
        self._process = context.Process(target=serve, args=(theirs, port, version, plants), kwargs=given, daemon=True)
        self._process.start()

    def resident_mb(self) -> float:
        """Memory that it holds now."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text("utf-8").splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / KIB_PER_MB

    def kill(self) -> None:
        """As the machine does that runs out of memory."""
        self._process.kill()
        self._process.join()

    def end(self) -> dict[str, Any]:
        """Let it end; what it says of itself."""
        self._pipe.send("end")
        said: dict[str, Any] = self._pipe.recv() if self._pipe.poll(WAIT_S) else {}
        self._process.join(10.0)
        return said


@dataclass(slots=True)
class Heard:
    """What a client of the broker's heard, by the machine's monotonic clock: schedules, and the status of each customer."""

    schedules: list[tuple[int, float]] = field(default_factory=list)
    beats: int = 0
    status: dict[str, tuple[bytes, float]] = field(default_factory=dict)

    def all_are(self, status: bytes, plants: int) -> bool:
        """Whether every customer sees this status."""
        return len(self.status) == plants and all(found == status for found, _ in self.status.values())


@asynccontextmanager
async def listening(port: int) -> AsyncIterator[Heard]:
    """A client that hears everything of ours."""
    heard = Heard()
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("heat-dispatch/site/#", qos=1)
        task = asyncio.create_task(_listen(client, heard))
        try:
            yield heard
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _listen(client: aiomqtt.Client, heard: Heard) -> None:
    async for message in client.messages:
        now_s = time.monotonic()
        _, _, name, what, *_ = str(message.topic).split("/")
        if what == "schedule" and not message.retain:
            # Read so far only: a client that parses fifty schedules at once would measure itself.
            at = message.payload.find(b'"sequence":')
            heard.schedules.append((int(message.payload[at + 11 : at + 31].partition(b",")[0]), now_s))
        elif what == "status":
            heard.status[name] = (message.payload, now_s)
        heard.beats += what == "heartbeat"


def latency_rows(given: argparse.Namespace, port: int) -> list[Row]:
    """From the desk to a client of the broker's."""
    process = Process(port, given.mqtt, given.plants)

    async def story() -> Heard:
        from link_world import until

        async with listening(port) as heard:
            await until(lambda: heard.all_are(b"online", given.plants))
            heard.schedules.clear()
            await asyncio.sleep(given.seconds)
            return heard

    heard = asyncio.run(story())
    resident_mb = process.resident_mb()
    said = process.end()
    lag_ms = [(at_s - said["posted"][sequence]) * MS_PER_S for sequence, at_s in heard.schedules]
    behind = {"seen": len(lag_ms), "p50": round(quantile(lag_ms, 0.5), 1), "p99": round(quantile(lag_ms, 0.99), 1)}
    return [
        Row(
            key="seen", what="a schedule from the desk to a client, the slowest", value=max(lag_ms), unit="ms",
            at_most=TARGET_SEEN_MS, behind=behind,
        ),
        Row(key="memory", what="memory of the process", value=resident_mb, unit="MB", behind={"customers": given.plants}),
    ]  # fmt: skip


def hostile_payloads(number: int, seed: int) -> list[tuple[str, bytes]]:
    """Kinds and payloads, none of which is a letter: cut off, of the wrong type, doubled, endless, or noise."""
    generator, kinds = np.random.default_rng(seed), [*KINDS, "valve", "..", "$x"]
    made: list[tuple[str, bytes]] = []
    for i in range(number):
        kind, noise = kinds[int(generator.integers(len(kinds)))], generator.bytes(int(generator.integers(1, 200)))
        good = json.dumps({"counter": int(generator.integers(1 << 31)), "limitKw": 1.0, "at": "2026-01-15T10:00:00Z"}).encode()
        forms = (
            noise, good[: int(generator.integers(1, len(good) - 1))], b"[" * int(generator.integers(1, 60_000)), b"null",
            b'{"counter":1,"counter":1}', b'{"limitKw":NaN}', b'{"limitKw":1e999}', b'{"counter":' + b"9" * 4000 + b"}",
            good[:-1] + b',"unknown":1}', b'{"sequence":1,"verdict":' + noise.hex().encode() + b"}", b" " * 65_537,
        )  # fmt: skip
        made.append((kind, forms[i % len(forms)]))
    return made


async def _said(enemy: aiomqtt.Client, kind: str, payload: bytes) -> None:
    await enemy.publish(f"heat-dispatch/site/{offtake(0)}/plant/{kind}", payload, qos=1)


def hostile_rows(given: argparse.Namespace, port: int) -> list[Row]:
    """Thousands of letters that nobody should take."""
    process = Process(port, given.mqtt, 1, is_open=True)

    async def story() -> tuple[float, float, float, bool]:
        from link_world import until

        async with listening(port) as heard, aiomqtt.Client("127.0.0.1", port) as enemy:
            await until(lambda: heard.all_are(b"online", 1))
            before_mb, began_s = process.resident_mb(), time.monotonic()
            letters = hostile_payloads(given.letters, given.seed)
            for first in range(0, len(letters), AT_ONCE):
                await asyncio.gather(*(_said(enemy, *letter) for letter in letters[first : first + AT_ONCE]))
            took_s, beats = time.monotonic() - began_s, heard.beats
            await until(lambda: heard.beats >= beats + 3)
            return before_mb, process.resident_mb(), took_s, heard.all_are(b"online", 1)

    before_mb, after_mb, took_s, stands = asyncio.run(story())
    said = process.end()
    behind = {"sent": given.letters, "seconds": round(took_s, 1), "refused": said["refusals"], "online": str(stands)}
    return [
        Row(
            key="accepted", what="hostile letters that were taken", value=float(said["letters"]), unit="", at_most=0.0,
            behind=behind,
        ),
        Row(
            key="grown", what="memory that it grew by", value=after_mb - before_mb, unit="MB",
            behind={"before": round(before_mb, 1)},
        ),
    ]  # fmt: skip


def killed_rows(given: argparse.Namespace, port: int) -> list[Row]:
    """Killed again and again, each time at another moment."""
    plants, generator = min(5, given.plants), np.random.default_rng(given.seed)

    async def story() -> list[float]:
        from link_world import until

        offline_s: list[float] = []
        async with listening(port) as heard:
            for _ in range(given.kills):
                process = Process(port, given.mqtt, plants)
                await until(lambda: heard.all_are(b"online", plants))
                await asyncio.sleep(float(generator.uniform(0.0, 1.5)))
                killed_s = time.monotonic()
                process.kill()
                await until(lambda: heard.all_are(b"offline", plants))
                offline_s.append(max(at_s for _, at_s in heard.status.values()) - killed_s)
        return offline_s

    offline_s = asyncio.run(story())
    behind = {"kills": len(offline_s), "p50": round(quantile(offline_s, 0.5), 3)}
    return [
        Row(
            key="offline", what="from a kill to `offline` at every customer, the slowest", value=max(offline_s), unit="s",
            at_most=TARGET_OFFLINE_S, behind=behind,
        )
    ]  # fmt: skip


def main() -> int:
    from link_broker import MOSQUITTO, link_broker

    given = arguments()
    kind = "mosquitto" if MOSQUITTO is not None else "amqtt"
    if kind == "amqtt":
        given.mqtt = 4
    measures = {"latency": latency_rows, "hostile": hostile_rows, "killed": killed_rows}
    rows: list[Row] = []
    for stage in given.stages:
        with tempfile.TemporaryDirectory() as folder, link_broker(Path(folder), kind) as broker:
            rows += measures[stage](given, broker.port)
    tell(rows, "MQTT", f"{given.plants} customers, {kind}", given, plants=given.plants, broker=kind, mqtt=given.mqtt)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plantlink_mqtt", description=__doc__.splitlines()[0])
    parser.add_argument("--stages", type=some_of(STAGES), default=",".join(STAGES), help="which of them (%(default)s)")
    parser.add_argument("--plants", type=int, default=50, help="customers (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long schedules are watched (%(default)s)")
    parser.add_argument("--letters", type=int, default=10_000, help="hostile letters (%(default)s)")
    parser.add_argument("--kills", type=int, default=20, help="how often the process is killed (%(default)s)")
    parser.add_argument("--mqtt", type=int, choices=(4, 5), default=5, help="4: MQTT 3.1.1; 5 needs mosquitto (%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of hostile letters and kills (%(default)s)")
    may_be_written(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
