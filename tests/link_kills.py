"""Operator's publisher and plant link as processes on one SQLite file, killed at random, before the eyes of a plant over REST.

In tests times are shortened (`SHORT`): the operator counts as gone after 1.5 s instead of 40 s, and so early the plant's own
watchdog bites. The benchmark can take them as they are in a plant (`REAL`).
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx
import numpy as np
from link_offers import TOWN, offer, sign

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.store.database import LinkStore
from scheduler.adapters.plantlink.store.messages import canonical
from scheduler.adapters.plantlink.store.publisher import StoredPublisher
from scheduler.domain.link_life import OperatorLife
from scheduler.domain.link_options import Credential, LinkOptions, LinkTimes, RestOptions
from scheduler.domain.snapshot import Commitment
from scheduler.entrypoints.link.interfaces import interfaces_of
from scheduler.entrypoints.link.process import LinkPlace, PlantLink

# The machine may be busy: what must hold is a bound, not a speed.
SLACK_S = 10.0
TOKEN = "a-token-of-more-than-thirty-two-letters"
WORK = multiprocessing.get_context("forkserver")
WORK.set_forkserver_preload(["link_kills", "scheduler.adapters.plantlink.rest.server"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast everything goes, s: alive_s, beat_s as `LinkTimes`; watchdog_s: the plant's own; life_s: between two signs of
    life of the operator; cycle_s: between two plans; poll_s: between two looks of the plant; before_s: at most before a kill.
    """

    alive_s: float
    watchdog_s: float
    beat_s: float
    life_s: float
    cycle_s: float
    poll_s: float
    before_s: float

    @property
    def limit_s(self) -> float:
        """When the boiler must run at the latest, by the time-outs alone."""
        return max(self.alive_s, self.watchdog_s)


SHORT = Pace(alive_s=1.5, watchdog_s=1.5, beat_s=0.4, life_s=0.3, cycle_s=0.15, poll_s=0.05, before_s=0.6)
# The watchdog as docs/plant-integration.md asks for it.
REAL = Pace(alive_s=40.0, watchdog_s=45.0, beat_s=10.0, life_s=5.0, cycle_s=10.0, poll_s=2.0, before_s=10.0)


# The two processes.


def run_operator(database: str, told: str, seed: int, pace: Pace) -> None:
    """Say that we live, publish another plan many times a second, and write down outside what was acknowledged to us."""
    store, clock, chance = LinkStore(database), SystemClock(), np.random.default_rng(seed)
    base = OperatorLife(site_id="site", identity=f"op-{seed}", host="here", term=0, at_utc=clock.now_utc(), offtakes=(TOWN,))
    term = store.take_over(base)

    def alive() -> OperatorLife:
        return sign(term=term, identity=base.identity, at_utc=clock.now_utc())

    publisher = StoredPublisher(store, clock, alive, lambda: (TOWN,))
    spoken_s = 0.0
    with Path(told).open("a", encoding="utf-8") as out:
        while True:
            if time.monotonic() - spoken_s >= pace.life_s:
                store.live(alive())
                spoken_s = time.monotonic()
            now_utc = clock.now_utc()
            hour_utc = now_utc.replace(minute=0, second=0, microsecond=0) + timedelta(hours=int(chance.integers(1, 20)))
            bound = Commitment(
                offtake_id="town",
                start_utc=hour_utc,
                end_utc=hour_utc + timedelta(hours=1),
                firm_kw=float(chance.integers(1, 90)),
                gate_utc=now_utc,
            )
            one = offer(float(chance.integers(90, 200)), at_utc=now_utc, slots=96)
            kept = asyncio.run(publisher.publish([one], (), [bound]))
            line = {"messages": kept, "start": bound.start_utc.isoformat(), "gate": now_utc.isoformat(), "kw": bound.firm_kw}
            out.write(json.dumps(line) + "\n")
            out.flush()
            time.sleep(pace.cycle_s)


def run_link(database: str, secret: str, port: int, pace: Pace) -> None:
    """A plant link with one REST interface."""
    rest = RestOptions(
        port=port,
        credentials=(Credential(name="plc", secret_file=secret, offtakes=("town",)),),
        requests_per_s=500.0,
        burst=500,
    )
    options = LinkOptions(
        site_id="site", rest=rest, times=LinkTimes(beat_s=pace.beat_s, alive_s=pace.alive_s, plant_silent_s=0.0)
    )
    place = LinkPlace(host="here", pages_port=0)
    asyncio.run(PlantLink(options, interfaces_of(options), LinkStore(database), SystemClock(), place).run())


# The plant.


@dataclass(slots=True)
class Plc:
    """A plant that polls, with a watchdog of its own: the boiler runs unless it hears again and again that it need not."""

    port: int
    watchdog_s: float
    heard_s: float = 0.0
    resting: bool = False
    contents: dict[int, bytes] = field(default_factory=dict)
    quarrels: list[str] = field(default_factory=list)

    def look(self, client: httpx.Client) -> None:
        """Read heartbeat and schedule once."""
        with suppress(httpx.HTTPError, ValueError, KeyError):
            beat = client.get("/v1/offtakes/town/heartbeat")
            if beat.status_code != 200:
                return
            said = beat.json()
            self.heard_s, self.resting = time.monotonic(), not said["boilerOn"]
            answer = client.get("/v1/offtakes/town/schedule")
            if answer.status_code == 200:
                self._keep(int(answer.json()["sequence"]), answer.content)

    def _keep(self, sequence: int, content: bytes) -> None:
        """One sequence has one content, for ever."""
        if self.contents.setdefault(sequence, content) != content:
            self.quarrels.append(f"sequence {sequence} came with two contents")

    @property
    def boiler_on(self) -> bool:
        """Whether the boiler runs."""
        return not self.resting or time.monotonic() - self.heard_s > self.watchdog_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill, and how long it took until the boiler ran."""

    whom: str
    boiler_s: float


class FaultRun:
    """Both processes, the plant, and what came of it."""

    def __init__(self, folder: Path, seed: int, pace: Pace = SHORT) -> None:
        """Nothing runs yet."""
        self._pace = pace
        self.database, self.told, self.secret = str(folder / "ledger.sqlite"), str(folder / "told"), str(folder / "secret")
        Path(self.secret).write_text(TOKEN, encoding="utf-8")
        Path(self.told).touch()
        self.plc, self.kills = Plc(port=free_port(), watchdog_s=pace.watchdog_s), list[Kill]()
        self._chance, self._starts = np.random.default_rng(seed), seed * 100_000
        self._running: dict[str, BaseProcess] = {}
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.plc.port}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=0.5
        )

    def run(self, kills: int) -> None:
        """Kill one or both so many times; each time the boiler must start, and rest again when both are back."""
        LinkStore(self.database).close()
        try:
            for _ in range(kills):
                for name in ("operator", "link"):
                    self._start(name)
                self._until(lambda: not self.plc.boiler_on, "the boiler never rested")
                self._poll(float(self._chance.uniform(0.0, self._pace.before_s)))
                whom = (("operator",), ("link",), ("operator", "link"))[int(self._chance.integers(3))]
                self._kill(whom)
        finally:
            for process in self._running.values():
                process.kill()
                process.join()
            self._client.close()

    def _start(self, name: str) -> None:
        if name in self._running:
            return
        self._starts += 1
        target: Callable[..., None] = run_operator if name == "operator" else run_link
        last: tuple[object, ...] = (self.told, self._starts) if name == "operator" else (self.secret, self.plc.port)
        self._running[name] = WORK.Process(target=target, args=(self.database, *last, self._pace), daemon=True)
        self._running[name].start()

    def _kill(self, whom: tuple[str, ...]) -> None:
        """SIGKILL, then watch the plant."""
        for name in whom:
            process = self._running.pop(name)
            process.kill()
            process.join()
        began_s = time.monotonic()
        self._until(lambda: self.plc.boiler_on, f"the boiler did not start after {'+'.join(whom)} was killed")
        self.kills.append(Kill(whom="+".join(whom), boiler_s=time.monotonic() - began_s))

    def _until(self, ready: Callable[[], bool], otherwise: str) -> None:
        end_s = time.monotonic() + self._pace.alive_s + self._pace.watchdog_s + SLACK_S
        while not ready():
            assert time.monotonic() < end_s, otherwise
            self._poll(0.0)

    def _poll(self, for_s: float) -> None:
        end_s = time.monotonic() + for_s
        while True:
            self.plc.look(self._client)
            if time.monotonic() >= end_s:
                return
            time.sleep(self._pace.poll_s)

    # What came of it.

    def broken(self) -> list[str]:
        """Everything that is wrong; empty when nothing is."""
        store, found = LinkStore(self.database), list(self.plc.quarrels)
        try:
            far = SystemClock().now_utc() + timedelta(days=2)
            kept = store.messages_between("town", far - timedelta(days=4), far)
            promises = {
                (one.start_utc.isoformat(), one.gate_utc.isoformat()): one.firm_kw
                for one in store.commitments(["town"], far - timedelta(days=4), far)
                if one.gate_utc is not None
            }
        finally:
            store.close()
        sequences = [one.sequence for one in kept]
        if sequences != list(range(1, len(kept) + 1)):
            found.append(f"sequences do not rise by one: {sequences[:20]}")
        archived = {one.sequence: canonical(one.payload) for one in kept}
        found += [
            f"sequence {one} is not archived as it was sent"
            for one, data in self.plc.contents.items()
            if archived.get(one) != data
        ]
        ids = {str(one.payload["messageId"]) for one in kept}
        for line in Path(self.told).read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # a line that the kill cut short was told to nobody
                told = json.loads(line)
                found += [f"message {one} was lost" for one in told["messages"] if one not in ids]
                if promises.get((told["start"], told["gate"])) != told["kw"]:
                    found.append(f"the promise of {told['start']} was lost")
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
