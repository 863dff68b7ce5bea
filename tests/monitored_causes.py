"""What makes the running system's alerts fire, and how they are waited for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hurt_operator import children
from monitored_world import Monitored
from prometheus_server import Sample
from signal_peer import Page, Route

PATIENCE_S = 120.0
# So long a solver is stopped for; and when it is stopped once more if nothing came of it.
HUNG_S, AGAIN_S = 12.0, 40.0


@dataclass(slots=True)
class Alerts:
    """Alerts since a test began; what fired before it is none of its."""

    system: Monitored
    began_s: float

    def fires(self, name: str, do: Callable[[], object] = lambda: None, patience_s: float = PATIENCE_S) -> Mapping[str, str]:
        """Wait until one fires, doing something again and again; returns its labels."""

        def look() -> list[Sample]:
            do()
            since_s = max(1, int(time.monotonic() - self.began_s))
            return self.system.prometheus.ask(f'max_over_time(ALERTS{{alertname="{name}",alertstate="firing"}}[{since_s}s])')

        found: list[Sample] = self.system.prometheus.wait(name, look, patience_s)
        return found[0].labels


def bent(route: Route) -> Route:
    """Grams as nobody has them."""

    def far_off(query: Mapping[str, str]) -> Page:
        status, headers, body = route(query)
        told = json.loads(body)
        told |= {name: [value and 1e6 * value for value in told[name]] for name in ("co2eq", "co2eq_forecast")}
        return status, headers, json.dumps(told).encode()

    return far_off


def capped(system: Monitored) -> bool:
    """Whether the first GPU has a cap."""
    return bool(system.machine[0].limit_milliwatt < 700_000)


def silenced(system: Monitored, journal: Path, alerts: Alerts) -> str:
    """Stop the agent until its cap is given back, and take the journal meanwhile; returns why the cap ended.

    Again, where the operator itself took the wish back in that moment: then nothing came back by itself.
    """
    for last in (False, False, True):
        journal.mkdir(mode=0o700, exist_ok=True)
        system.cluster.wait("a cap", lambda: capped(system), PATIENCE_S)
        system.agent.process.send_signal(signal.SIGSTOP)
        try:
            system.cluster.wait("the limit is back", lambda: not capped(system), PATIENCE_S)
            system.cluster.wait("no journal", lambda: taken(journal))
        finally:
            system.agent.process.send_signal(signal.SIGCONT)
        try:
            return alerts.fires("HeatDispatchCapExpired", patience_s=PATIENCE_S if last else 45.0)["reason"]
        except TimeoutError:
            if last:
                raise
    return ""


def taken(journal: Path) -> bool:
    """Remove a journal, out of which the setter takes a file in this very moment; whether it is gone."""
    shutil.rmtree(journal, ignore_errors=True)
    return not journal.exists()


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Nobody else can write into an SQLite file meanwhile, as while it is copied by a tool that locks it."""
    connection = sqlite3.connect(database, isolation_level=None, timeout=60.0)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.close()


# The solver: a child of the operator.


def solvers(operator: int) -> list[int]:
    """Process ids of the children that solve, also of one that is just being started."""
    found = []
    with suppress(OSError):
        for pid in children(operator):
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def tell(operator: int, number: signal.Signals) -> None:
    """Send a signal to every solver."""
    for pid in solvers(operator):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def hanging(system: Monitored) -> Iterator[Callable[[], None]]:
    """Gives what is to be called again and again: a solver stops, a plan is asked for, and it goes on `HUNG_S` later."""
    operator, began_s = system.operator.pid, [-AGAIN_S]

    def again() -> None:
        since_s = time.monotonic() - began_s[0]
        if since_s > AGAIN_S:
            tell(operator, signal.SIGSTOP)
            system.replan()
            began_s[0] = time.monotonic()
        elif since_s > HUNG_S:
            tell(operator, signal.SIGCONT)

    try:
        yield again
    finally:
        tell(operator, signal.SIGCONT)


@contextmanager
def dying(operator: int) -> Iterator[None]:
    """Every solver is killed as soon as it is there, as on a machine that has no memory for it."""
    stopping = threading.Event()

    def hunt() -> None:
        while not stopping.wait(0.02):
            tell(operator, signal.SIGKILL)

    hunter = threading.Thread(target=hunt, daemon=True)
    hunter.start()
    try:
        yield
    finally:
        stopping.set()
        hunter.join(20.0)
