"""The OPC UA server of the plant link, measured: `python -m benchmarks.plantlink_opcua [--json FILE] [--markdown FILE]`.

The server runs in a process of its own, on a desk in memory, with certificates. *plants*: each subscribes to its schedule (48
hours) and heartbeat, and reads both once a second; a new schedule comes to all of them every 10 s. *hostile*: thousands of
broken, forged and endless requests while one plant goes on reading, and some of somebody who is trusted.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import resource
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from benchmarks.rows import Row, quantile
from benchmarks.stages import asked_often
from benchmarks.telling import may_be_written, tell
from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.memory import MemoryDesk
from scheduler.adapters.plantlink.opcua.limits import Limits
from scheduler.adapters.plantlink.opcua.model import HEARTBEAT, SCHEDULE
from scheduler.adapters.plantlink.opcua.self_signed import Pair, self_signed
from scheduler.adapters.plantlink.opcua.server import OpcuaInterface
from scheduler.core.publishing.letters import LetterLimits
from scheduler.domain.link_options import OpcuaOptions

# Schedules and hostile requests lie with the tests, which share them.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

STAGES = ("plants", "hostile")
MS_PER_S = 1e3
KIB_PER_MB = 1e6 / 1024.0
READ_S, POST_S, BEAT_S = 1.0, 10.0, 10.0
SLOTS, AT_ONCE, PUBLISHING_MS, INDEX = 192, 16, 200, 2
TARGET_P99_MS, TARGET_SEEN_MS = 100.0, 1000.0
# All plants here have one address; an enemy who has to wait measures only his own patience.
PLENTY = Limits(connections=200, per_address=200, new_per_s=1e6, new_burst=10**7, handshake_s=3.0, message_s=2.0)


def offtake(number: int) -> str:
    """Of one of the plants."""
    return f"plant-{number:02d}"


def serve(pipe: Connection, folder: str, plants: int) -> None:
    """The process of the server: tells its port, posts schedules, and says in the end what it saw."""
    asyncio.run(_serve(pipe, Path(folder), plants))


async def _serve(pipe: Connection, folder: Path, plants: int) -> None:
    logged: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign] # as logging.Handler is used
    logging.getLogger().addHandler(handler)
    names = [offtake(number) for number in range(plants)]
    kw = LetterLimits(max_heat_kw=500.0, tank_kwh=None)
    desk = MemoryDesk("site", dict.fromkeys(names, kw), dict.fromkeys(names, "plug"), SystemClock())
    options = OpcuaOptions(
        port=0, certificate=str(folder / "link.der"), key=str(folder / "link.key"), trusted=str(folder / "trusted"),
        certificates={name: (name,) for name in names},
    )  # fmt: skip
    interface = OpcuaInterface(options, desk, SystemClock(), limits=PLENTY)
    running = asyncio.create_task(interface.run())
    await interface.listening.wait()
    posted: dict[int, float] = {}
    posting = asyncio.create_task(_post(desk, posted))
    pipe.send(interface.port)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), ended.set)
    await ended.wait()
    running.cancel()
    posting.cancel()
    await asyncio.gather(running, posting, return_exceptions=True)
    used = resource.getrusage(resource.RUSAGE_SELF)
    pipe.send(
        {
            "posted": posted, "letters": len(desk.letters), "refusals": len(desk.refusals), "logged": logged,
            "processorS": used.ru_utime + used.ru_stime,
        }
    )  # fmt: skip


async def _post(desk: MemoryDesk, posted: dict[int, float]) -> None:
    """A schedule of two days and a heartbeat for everybody, every ten seconds."""
    from opcua_world import schedule

    sequence = 0
    while True:
        sequence += 1
        posted[sequence] = time.monotonic()
        now_utc = SystemClock().now_utc()
        for name in desk.boards():
            await desk.post(name, schedule(now_utc, sequence, intervals=SLOTS, offtakeId=name))
        await desk.beat()
        await asyncio.sleep(POST_S)


class Process:
    """The server's process, from its certificates to its last word."""

    def __init__(self, folder: Path, plants: int) -> None:
        """Start it."""
        (folder / "trusted").mkdir(parents=True)
        now_utc = SystemClock().now_utc()
        self.ours = self_signed(folder, "link", now_utc)
        self.plant = self_signed(folder, "plant", now_utc)
        self.plants: list[Pair] = []
        for number in range(plants):
            made = self_signed(folder, offtake(number), now_utc)
            (folder / "trusted" / made.certificate.name).write_bytes(made.certificate.read_bytes())
            self.plants.append(made)
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, str(folder), plants), daemon=True)
        self._process.start()
        if not self._pipe.poll(60.0):
            raise TimeoutError("the server does not listen")
        self.port: int = self._pipe.recv()

    def resident_mb(self) -> float:
        """Memory that it holds now."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text("utf-8").splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / KIB_PER_MB

    async def client(self, number: int) -> Client:
        """Of one plant, not connected."""
        client, own = Client(f"opc.tcp://127.0.0.1:{self.port}", timeout=30.0), self.plants[number]
        client.application_uri = f"urn:heat-dispatch:{offtake(number)}"
        key = own.key.rename(own.key.with_suffix(".pem")) if own.key.exists() else own.key.with_suffix(".pem")
        await client.set_security(
            SecurityPolicyBasic256Sha256, own.certificate, key, server_certificate=str(self.ours.certificate)
        )
        return client

    def end(self) -> dict[str, Any]:
        """Let it end; what it says of itself."""
        self._pipe.send("end")
        said: dict[str, Any] = self._pipe.recv() if self._pipe.poll(60.0) else {}
        self._process.join(10.0)
        return said


@dataclass(slots=True)
class Seen:
    """What plants saw: how long a read took, s, and when each sequence came to a subscription."""

    took_s: list[float] = field(default_factory=list)
    sequences: list[tuple[int, float]] = field(default_factory=list)

    async def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        """As asyncua calls it."""
        if node.nodeid.Identifier.endswith("/Sequence"):
            self.sequences.append((value, time.monotonic()))


def node_ids(number: int) -> list[ua.NodeId]:
    """Of a whole schedule and the heartbeat."""
    return [ua.NodeId(ua.String(f"{offtake(number)}/{one.path}"), ua.Int16(INDEX)) for one in (*SCHEDULE, *HEARTBEAT)]


async def _reads(client: Client, seen: Seen, number: int, until_s: float) -> None:
    nodes = node_ids(number)
    while time.monotonic() < until_s:
        began_s = time.perf_counter()
        await client.uaclient.read_attributes(nodes, ua.AttributeIds.Value)
        seen.took_s.append(time.perf_counter() - began_s)
        await asyncio.sleep(READ_S)


def plant_rows(given: argparse.Namespace, folder: Path) -> list[Row]:
    """Plants with a subscription, which read once a second as well."""
    process, seen = Process(folder / "plants", given.plants), Seen()

    async def all_of_them() -> float:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(await process.client(number)) for number in range(given.plants)]
            for number, client in enumerate(clients):
                subscription = await client.create_subscription(PUBLISHING_MS, seen)
                await subscription.subscribe_data_change([client.get_node(one) for one in node_ids(number)])
            ready_s = time.monotonic()
            await asyncio.gather(*(_reads(client, seen, i, ready_s + given.seconds) for i, client in enumerate(clients)))
        return ready_s

    ready_s = asyncio.run(all_of_them())
    resident_mb, said = process.resident_mb(), process.end()
    took_ms = [one * MS_PER_S for one in seen.took_s]
    came = [(said["posted"].get(sequence, 0.0), at_s) for sequence, at_s in seen.sequences]
    lag_ms = [(at_s - posted_s) * MS_PER_S for posted_s, at_s in came if posted_s > ready_s]
    behind = {"reads": len(took_ms), "p50": round(quantile(took_ms, 0.5), 1), "variables": len(SCHEDULE) + len(HEARTBEAT)}
    lag = {"p50": round(quantile(lag_ms, 0.5)), "came": len(lag_ms), "publishing ms": PUBLISHING_MS}
    cpu = {"seconds": given.seconds, "processor s": round(said["processorS"], 1), "lines in the log": len(said["logged"])}
    return [
        Row(key="p99", what="a schedule and heartbeat read, p99", value=quantile(took_ms, 0.99), unit="ms",
            at_most=TARGET_P99_MS, behind=behind),
        Row(key="seen", what="from desk to subscriber, slowest", value=max(lag_ms), unit="ms",
            at_most=TARGET_SEEN_MS, behind=lag),
        Row(key="memory", what="memory of the process", value=resident_mb, unit="MB", behind=cpu),
    ]  # fmt: skip


def hostile_rows(given: argparse.Namespace, folder: Path) -> list[Row]:
    """Thousands of requests that nobody should take, while one plant goes on reading."""
    from opcua_hostile import attacked, attacks, betrayals, betrayed

    process, seen = Process(folder / "hostile", 2), Seen()
    trusted = process.plants[0].certificate.read_bytes()

    async def attack() -> tuple[list[Any], float]:
        await attacked(process.port, attacks(150, 0, trusted), AT_ONCE)  # What is loaded on first use is no growth.
        before_mb = process.resident_mb()
        async with await process.client(0) as plant:
            reading = asyncio.create_task(_reads(plant, seen, 0, float("inf")))
            came = await attacked(process.port, attacks(given.attacks, given.seed, trusted), AT_ONCE)
            await betrayed(lambda: process.client(1), betrayals(given.attacks // 10, given.seed, node_ids(1)[3]))
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        return came, before_mb

    began_s = time.monotonic()
    came, before_mb = asyncio.run(attack())
    after_mb, took_s, said = process.resident_mb(), time.monotonic() - began_s, process.end()
    wrong = [(one.name, what) for one, what in came if what not in {"closed", "fault", "answered"}]
    for one in [*wrong[:10], *said["logged"][:10]]:
        print(f"wrong: {one}", file=sys.stderr)
    took_ms = [one * MS_PER_S for one in seen.took_s]
    sent = {"sent": len(came), "by a trusted one": given.attacks // 10, "seconds": round(took_s, 1),
            "processor s": round(said["processorS"], 1), "noted": said["refusals"]}  # fmt: skip
    meanwhile = {"reads": len(took_ms), "p50": round(quantile(took_ms, 0.5), 1)}
    return [
        Row(key="accepted", what="hostile letters taken", value=float(said["letters"]), unit="", at_most=0.0, behind=sent),
        Row(key="wrong", what="of them hung, or believed", value=float(len(wrong)), unit="", at_most=0.0),
        Row(key="logged", what="lines in the log", value=float(len(said["logged"])), unit="", at_most=0.0),
        Row(key="meanwhile", what="a read meanwhile, p99", value=quantile(took_ms, 0.99), unit="ms", behind=meanwhile),
        Row(key="grown", what="memory that it grew by", value=after_mb - before_mb, unit="MB",
            behind={"before": round(before_mb, 1)}),
    ]  # fmt: skip


def main() -> int:
    given = arguments()
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for stage in given.stages:
            rows += (plant_rows if stage == "plants" else hostile_rows)(given, Path(folder))
    tell(rows, "OPC UA", f"{given.plants} plants", given, plants=given.plants)
    return 0


def arguments() -> argparse.Namespace:
    parser = asked_often("plantlink_opcua", __doc__, STAGES, plants=20)
    parser.add_argument("--attacks", type=int, default=10_000, help="hostile requests (%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of the hostile requests (%(default)s)")
    may_be_written(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
