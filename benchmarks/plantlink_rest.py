"""The REST interface of the plant link, measured: `python -m benchmarks.plantlink_rest [--json FILE] [--markdown FILE]`.

The interface runs in a process of its own, on a desk in memory. *polling*: 50 plants, each over a TLS connection of its own,
ask once a second for heartbeat and schedule; ten more wait for each new schedule (`wait=30`), which comes every 10 s.
*hostile*: thousands of broken, huge and forged requests, forty at a time, while one plant goes on asking.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import ssl
import sys
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx

from benchmarks.rows import Row, quantile
from benchmarks.stages import asked_often
from benchmarks.telling import may_be_written, tell
from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.memory import MemoryDesk
from scheduler.adapters.plantlink.rest.connection import Patience
from scheduler.adapters.plantlink.rest.server import RestInterface
from scheduler.core.publishing.letters import LetterLimits
from scheduler.domain.link_options import Credential, RestOptions, TlsFiles

# Certificates, schedules and hostile requests lie with the tests, which share them.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

STAGES = ("polling", "hostile")
FAILED = 1
MS_PER_S = 1e3
KIB_PER_MB = 1e6 / 1024.0
POLL_S, POST_S, WAIT_S = 1.0, 10.0, 30
HOURS = 48
AT_ONCE = 40
TARGET_P99_MS, TARGET_SEEN_MS = 50.0, 1000.0


@dataclass(slots=True)
class Polled:
    """What plants saw: how long each answer took, s, and when a sequence was first seen by somebody who waited for it."""

    took_s: list[float] = field(default_factory=list)
    seen_s: list[tuple[int, float]] = field(default_factory=list)
    failed: int = 0


def offtake(number: int) -> str:
    """Of one of the plants."""
    return f"plant-{number:02d}"


def token(number: int) -> str:
    """Its token."""
    return f"{number:02d}" * 20


def serve(pipe: Connection, folder: str, tls: TlsFiles, plants: int) -> None:
    """The process of the interface: tells its port, posts schedules, and says in the end what it saw."""
    from link_world import CITY, POOL
    from rest_world import MUCH_ROOM, PLENTY, credentials

    names = (CITY, POOL, *(offtake(number) for number in range(plants)))
    limits = {name: LetterLimits(max_heat_kw=500.0, tank_kwh=None) for name in names}
    desk = MemoryDesk("site", limits, dict.fromkeys(names, "plug"), SystemClock())
    known = [*credentials(Path(folder))]
    for number in range(plants):
        (Path(folder) / offtake(number)).write_text(token(number), encoding="utf-8")
        secret = str(Path(folder) / offtake(number))
        known.append(Credential(name=offtake(number), secret_file=secret, offtakes=(offtake(number),)))
    options = RestOptions(port=0, tls=tls if folder.endswith("tls") else None, credentials=tuple(known), **PLENTY)
    interface = RestInterface(options, desk, SystemClock(), patience=Patience(request_s=0.5, idle_s=5.0), room=MUCH_ROOM)
    asyncio.run(_serve(pipe, interface, desk))


async def _serve(pipe: Connection, interface: RestInterface, desk: MemoryDesk) -> None:
    from link_world import until

    serving, posting = asyncio.create_task(interface.run()), asyncio.create_task(_post(desk))
    await until(lambda: not interface.trouble())
    pipe.send(interface.port)
    before_s = _processor_s()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), ended.set)
    await ended.wait()
    posting.cancel()
    serving.cancel()
    posted = (await asyncio.gather(posting, return_exceptions=True))[0]
    said = {"posted": POSTED, "letters": len(desk.letters), "refusals": len(desk.refusals), "ended": repr(posted)}
    pipe.send({**said, "processorS": _processor_s() - before_s})


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


POSTED: dict[int, float] = {}
"""When each sequence was posted, by the machine's monotonic clock."""


async def _post(desk: MemoryDesk) -> None:
    """A schedule of two days for everybody, every few seconds."""
    from link_world import schedule_of

    sequence = 0
    while True:
        sequence += 1
        made = schedule_of(sequence, hours=HOURS)
        POSTED[sequence] = time.monotonic()
        for name in desk.boards():
            await desk.post(name, {**made, "offtakeId": name})
            await asyncio.sleep(0.0)
        await desk.beat()
        await asyncio.sleep(POST_S)


async def polling(port: int, tls: ssl.SSLContext, plants: int, waiting: int, seconds: float) -> Polled:
    """Plants ask for so long."""
    found, until_s = Polled(), time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for number in range(plants):
            group.create_task(_polls(found, client(port, tls, number), number, until_s, number / plants))
        for number in range(waiting):
            group.create_task(_waits(found, client(port, tls, number), number, until_s))
    return found


def client(port: int, tls: ssl.SSLContext | None, number: int) -> httpx.AsyncClient:
    """One plant's."""
    scheme = "http" if tls is None else "https"
    headers = {"Authorization": f"Bearer {token(number)}"}
    base = f"{scheme}://127.0.0.1:{port}/v1/offtakes/{offtake(number)}/"
    return httpx.AsyncClient(base_url=base, headers=headers, verify=tls or True, timeout=60.0, trust_env=False)


async def _polls(found: Polled, plant: httpx.AsyncClient, number: int, until_s: float, offset_s: float) -> None:
    """Heartbeat and schedule once a second; the first second, in which connections are made, is not counted."""
    known, next_s = "", time.monotonic() + offset_s
    first = True
    async with plant:
        while next_s < until_s:
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))
            for path in ("heartbeat", "schedule"):
                began_s = time.perf_counter()
                answer = await plant.get(path, headers={"If-None-Match": known} if path == "schedule" and known else {})
                if not first:
                    found.took_s.append(time.perf_counter() - began_s)
                found.failed += answer.status_code not in (200, 304)
                known = answer.headers.get("ETag", known)
            first = False
            next_s += POLL_S


async def _waits(found: Polled, plant: httpx.AsyncClient, number: int, until_s: float) -> None:
    """Waits for one schedule after the other."""
    known = ""
    async with plant:
        while time.monotonic() < until_s:
            answer = await plant.get("schedule", params={"wait": WAIT_S}, headers={"If-None-Match": known} if known else {})
            if answer.status_code == httpx.codes.OK:
                if known:
                    found.seen_s.append((answer.json()["sequence"], time.monotonic()))
                known = answer.headers["ETag"]


class Process:
    """The interface's process, from the first question to its last word."""

    def __init__(self, folder: Path, tls: TlsFiles, plants: int) -> None:
        """Start it."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, str(folder), tls, plants), daemon=True)
        self._process.start()
        if not self._pipe.poll(60.0):
            raise TimeoutError("the interface does not listen")
        self.port: int = self._pipe.recv()

    def resident_mb(self) -> float:
        """Memory that it holds now."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text("utf-8").splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / KIB_PER_MB

    def end(self) -> dict[str, Any]:
        """Let it end; what it says of itself."""
        self._pipe.send("end")
        said: dict[str, Any] = self._pipe.recv() if self._pipe.poll(60.0) else {}
        self._process.join(10.0)
        return said


def polling_rows(given: argparse.Namespace, folder: Path) -> list[Row]:
    """50 plants at 1 Hz over TLS."""
    from rest_world import Authority

    folder = folder / "tls"
    folder.mkdir()
    authority = Authority(folder)
    process = Process(folder, authority.issue("server"), given.plants)
    found = asyncio.run(polling(process.port, authority.client_context(), given.plants, min(10, given.plants), given.seconds))
    resident_mb, said = process.resident_mb(), process.end()
    took_ms = [one * MS_PER_S for one in found.took_s]
    lag_ms = [(at_s - said["posted"][sequence]) * MS_PER_S for sequence, at_s in found.seen_s]
    behind = {"answers": len(took_ms), "failed": found.failed, "p50": round(quantile(took_ms, 0.5), 2)}
    return [
        Row(key="p99", what="an answer, p99", value=quantile(took_ms, 0.99), unit="ms", at_most=TARGET_P99_MS, behind=behind),
        Row(key="max", what="an answer, the slowest", value=max(took_ms), unit="ms"),
        Row(key="failed", what="answers that were none", value=float(found.failed), unit="", at_most=0.0),
        Row(
            key="seen", what="from the desk to who waits, the slowest", value=max(lag_ms), unit="ms", at_most=TARGET_SEEN_MS,
            behind={"seen": len(lag_ms), "p50": round(quantile(lag_ms, 0.5), 2)},
        ),
        Row(
            key="processor", what="processor time of the process per answer, schedules made too",
            value=said["processorS"] * MS_PER_S / len(took_ms), unit="ms", behind={"seconds": given.seconds},
        ),
        Row(key="memory", what="memory of the process", value=resident_mb, unit="MB"),
    ]  # fmt: skip


def hostile_rows(given: argparse.Namespace, folder: Path) -> list[Row]:
    """Thousands of requests that nobody should take, over plain HTTP: most of them are about HTTP itself."""
    from rest_hostile import attacked, attacks, wrongly

    folder = folder / "plain"
    folder.mkdir()
    process = Process(folder, TlsFiles(certificate="", key=""), 1)

    async def both() -> tuple[list[Any], Polled]:
        found = Polled()
        polls = asyncio.create_task(_polls(found, client(process.port, None, 0), 0, float("inf"), 0.0))
        came = await attacked(process.port, attacks(given.attacks, given.seed), AT_ONCE)
        polls.cancel()
        await asyncio.gather(polls, return_exceptions=True)
        return came, found

    asyncio.run(_warmed(process.port))
    before_mb, began_s = process.resident_mb(), time.monotonic()
    came, found = asyncio.run(both())
    after_mb, took_s, said = process.resident_mb(), time.monotonic() - began_s, process.end()
    wrong = [(one.name, one.data[:200], status) for one, status in came if wrongly(one, status)]
    for one in wrong[:10]:
        print(f"wrongly answered: {one}", file=sys.stderr)
    took_ms = [one * MS_PER_S for one in found.took_s]
    behind = {"sent": len(came), "seconds": round(took_s, 1), "refused": said["refusals"]}
    return [
        Row(
            key="accepted", what="hostile letters that were taken", value=float(said["letters"]), unit="", at_most=0.0,
            behind=behind,
        ),
        Row(key="wrong", what="of them answered by yes or a fault of ours", value=float(len(wrong)), unit="", at_most=0.0),
        Row(
            key="meanwhile", what="an answer to a plant meanwhile, p99", value=quantile(took_ms, 0.99), unit="ms",
            behind={"answers": len(took_ms), "failed": found.failed},
        ),
        Row(
            key="grown", what="memory that it grew by", value=after_mb - before_mb, unit="MB",
            behind={"before": round(before_mb, 1)},
        ),
    ]  # fmt: skip


async def _warmed(port: int) -> None:
    """A first few of them: what is loaded on first use is no growth."""
    from rest_hostile import attacked, attacks

    await attacked(port, attacks(120, seed=0))


def main() -> int:
    given = arguments()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for stage in given.stages:
            rows += (polling_rows if stage == "polling" else hostile_rows)(given, Path(folder))
    tell(rows, "REST", f"{given.plants} plants", given, plants=given.plants)
    return 0


def arguments() -> argparse.Namespace:
    parser = asked_often("plantlink_rest", __doc__, STAGES, plants=50)
    parser.add_argument("--attacks", type=int, default=10_000, help="hostile requests (%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of the hostile requests (%(default)s)")
    may_be_written(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
