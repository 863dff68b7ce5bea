"""Processor and memory of the agent and of its setter, from /proc, while all GPUs are capped and somebody reads telemetry."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx
from agent_world import NodeWorld, Pace

from benchmarks.rows import Row

READY_S, SETTLE_S, POLL_S = 60.0, 10.0, 10.0
MOST_CORE_PERCENT, MOST_AGENT_MB, MOST_SETTER_MB = 0.5, 45.0, 20.0
BYTES_PER_KIB, BYTES_PER_MB = 1024.0, 1e6


def cost_rows(library: Path, folder: Path, *, gpus: int, seconds: float, say: Callable[[str], None]) -> list[Row]:
    """Run a node as a site would: wishes and Lease from an API server, renewed every ten seconds, telemetry read as often.

    A watch without events has a bookmark a minute, as of a real API server (k8s.io/apiserver, cacher: bookmarkFrequency).
    """
    pace = Pace(gpus=gpus, beat_s=10.0, lease_s=120.0, pause_s=1.0, by_api=True, bookmark_s=60.0, standby=True)
    with tempfile.TemporaryDirectory(dir=folder) as own, NodeWorld(Path(own), library, 1, pace) as world:
        if not world.pass_s(READY_S, world.all_capped):
            raise RuntimeError(f"no caps: {world.agent.told()[-2000:]} {world.setter.told()[-2000:]}")
        world.pass_s(SETTLE_S)
        say(f"{gpus} GPUs capped; measuring for {seconds:g} s")
        standby = world.containers[-1]
        groups = {
            "agent": [world.agent.pid],
            "guardian": [world.setter.pid],
            "worker": world.setter.children(),
            "standby": [standby.pid, *standby.children()],
        }
        before = {name: processor_s(pids) for name, pids in groups.items()}
        began_s = time.monotonic()
        while time.monotonic() - began_s < seconds:
            poll(world)
            world.pass_s(min(POLL_S, max(0.0, seconds - (time.monotonic() - began_s))))
        passed_s = time.monotonic() - began_s
        share = {name: 100.0 * (processor_s(pids) - before[name]) / passed_s for name, pids in groups.items()}
        rss = {name: megabytes(pids, "status", "VmRSS:") for name, pids in groups.items()}
        pss = {name: megabytes(pids, "smaps_rollup", "Pss:") for name, pids in groups.items()}
        # What the guardian has for itself comes on top; what it shares, it shares with its worker first of all.
        whole = rss["worker"] + megabytes(groups["guardian"], "smaps_rollup", "Private_")
        behind = megabytes(standby.children(), "status", "VmRSS:") + megabytes([standby.pid], "smaps_rollup", "Private_")
    both = ("guardian", "worker")
    return [
        Row(key="agent-core", what=f"agent: share of a core, {gpus} GPUs at 1 Hz", value=share["agent"], unit="%",
            at_most=MOST_CORE_PERCENT, behind={"over s": passed_s}),
        Row(key="agent-rss", what="agent: resident memory", value=rss["agent"], unit="MB", at_most=MOST_AGENT_MB,
            behind={"proportional": pss["agent"]}),
        Row(key="setter-core", what="setter: share of a core", value=sum(share[name] for name in both), unit="%",
            behind={name: share[name] for name in both}),
        Row(key="setter-rss", what="setter: resident memory of the process that sets", value=rss["worker"],
            unit="MB", at_most=MOST_SETTER_MB, behind={"guardian": rss["guardian"]}),
        Row(key="setter-whole", what="setter: both processes, pages that they share counted once", value=whole,
            unit="MB", at_most=MOST_SETTER_MB, behind={f"PSS of {name}": pss[name] for name in both}),
        Row(key="standby-core", what="standby, while it waits: share of a core", value=share["standby"], unit="%", behind={}),
        Row(key="standby-whole", what="standby, while it waits: both processes, pages that they share counted once",
            value=behind, unit="MB", behind={"proportional": pss["standby"]}),
    ]  # fmt: skip


def poll(world: NodeWorld) -> None:
    """Read telemetry and metrics, as the operator and Prometheus do."""
    line = next((line for line in world.agent.told().splitlines() if " started " in line and "port=" in line), "")
    if not line:
        return
    port = line.partition("port=")[2].split()[0]
    for path in ("/v1/telemetry", "/metrics"):
        httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5.0, trust_env=False).raise_for_status()


def processor_s(pids: Iterable[int]) -> float:
    """Processor time that processes have taken, of their own and the system's."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def megabytes(pids: Iterable[int], file: str, key: str) -> float:
    """Memory of processes in MB of a million bytes."""
    kib = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/{file}").read_text("ascii").splitlines()
        kib += sum(int(line.split()[1]) for line in lines if line.startswith(key))
    return kib * BYTES_PER_KIB / BYTES_PER_MB
