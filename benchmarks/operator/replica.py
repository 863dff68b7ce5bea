"""One operator process beside the cluster: started as a user starts it, watched from outside, ended by its id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.operator.world import ROOT
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.adapters.devcluster.processes import cpu_s, dying_with_us, resident_mb

RUN = "import sys; from scheduler.entrypoints.cli import main; sys.exit(main())"
EVERY_S = 0.25
END_S = 30.0


@dataclass(slots=True, eq=False)
class Replica:
    """A running operator, with what it and its solver child took of memory and processor so far."""

    user: str
    process: subprocess.Popen[bytes]
    log: Path
    began_s: float
    peak_mb: float = 0.0
    child_peak_mb: float = 0.0
    child_cpu_s: float = 0.0
    _children: dict[int, float] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def now_mb(self) -> float:
        """Resident memory now, MB."""
        return resident_mb(self.process.pid)

    def cpu_s(self) -> float:
        """Processor seconds so far, without the solver child."""
        return cpu_s(self.process.pid)

    def solver_cpu_s(self) -> float:
        """Processor seconds of solver children so far."""
        return sum(self._children.values())

    def fresh_peak(self) -> None:
        """Forget the peak: what comes is measured by itself."""
        self.peak_mb = self.now_mb()

    def told(self, event: str, since_line: int = 0) -> list[dict[str, Any]]:
        """Its log lines of one event."""
        return [line for line in self.lines()[since_line:] if line.get("event") == event]

    def lines(self) -> list[dict[str, Any]]:
        """Everything that it has logged so far."""
        return list(_parsed(self.log.read_text("utf-8")))

    def cycles(self) -> list[dict[str, Any]]:
        """What it said of each cycle."""
        return self.told("cycle")

    def page(self, path: str) -> str:
        """A page of its probes."""
        started = self.told("started")
        return httpx.get(f"http://127.0.0.1:{started[0]['port']}{path}", timeout=10.0).text if started else ""

    def leads(self) -> bool:
        """Whether it leads."""
        return "role: leader" in self.page("/readyz?verbose")

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, by its process id, and wait until it is gone."""
        self._stopping.set()
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(END_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def watch_memory(self) -> None:
        """Sample until ended; the target of a thread."""
        while not self._stopping.wait(EVERY_S) and self.process.poll() is None:
            self.peak_mb = max(self.peak_mb, self.now_mb())
            for pid in children(self.process.pid):
                self.child_peak_mb = max(self.child_peak_mb, resident_mb(pid))
                try:
                    self._children[pid] = cpu_s(pid)
                except OSError:
                    continue


def start(cluster: DevCluster, folder: Path, user: str, number: int, *, hurried: bool = False) -> Replica:
    """Start one replica as `heat-dispatch operator` does, or the hurried one of the small mode."""
    log, identity, ledger = folder / f"{user}-{number}.log", f"{user}-{number}", f"sqlite:///{folder}/{user}.db"
    kubeconfig = str(cluster.kubeconfig(user))
    command = ["-c", RUN, "operator", "--kubeconfig", kubeconfig, "--host", "127.0.0.1", "--port", "0"]
    command += ["--identity", identity, "--ledger", ledger, "--log-format", "json"]
    if hurried:
        command = ["-m", "benchmarks.operator.hurried", kubeconfig, identity, ledger]
    with log.open("wb") as out:
        began_s = time.monotonic()
        process = subprocess.Popen(
            dying_with_us([sys.executable, *command]), stderr=out, stdout=out, cwd=ROOT, env=dict(os.environ)
        )
    replica = Replica(user=user, process=process, log=log, began_s=began_s)
    threading.Thread(target=replica.watch_memory, daemon=True, name=f"memory-{identity}").start()
    return replica


def children(pid: int) -> list[int]:
    """Process ids of the children of a process, of whichever of its threads."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(one) for one in path.read_text("utf-8").split()]
        except OSError:
            continue
    return found


def _parsed(text: str) -> Iterator[dict[str, Any]]:
    """JSON lines; what is none (a warning of a library, half a line) is left out."""
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found
