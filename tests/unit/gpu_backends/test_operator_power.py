"""Whom the operator asks for power, whom it believes first, and which pods it knows by name."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from agent_peer import AgentPeer, slot, telemetry
from cli_files import run
from dcgm_pages import DRAW, labels, matrix, page

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.runtime.store import Store
from scheduler.adapters.metrics.registry import Metrics
from scheduler.adapters.telemetry.asking import Target, Trust
from scheduler.domain.errors import Misconfigured
from scheduler.domain.telemetry import GpuDraw, NodeDraw
from scheduler.entrypoints.commands import operator as command
from scheduler.entrypoints.operator.agents import AgentOptions
from scheduler.entrypoints.operator.options import Options
from scheduler.entrypoints.operator.power import DcgmOptions, Power, exporters, power_of

WAIT_S = 30.0


def put(store: Store, *objects: dict[str, object]) -> None:
    for obj in objects:
        store.put(store.frozen(dict(obj)))


def pod(name: str, *, namespace: str = "lab", node: str = "n0", ip: str = "127.0.0.1", **labels: str) -> dict[str, object]:
    """A running pod with one GPU, unless its labels make it something else."""
    gpus = {} if labels else {"requests": {"nvidia.com/gpu": "1"}}
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "main", "resources": gpus}]},
        "status": {"phase": "Running", "podIP": ip},
    }


@dataclass(slots=True)
class Says:
    """A source that says what a test wants."""

    said: dict[str, NodeDraw] = field(default_factory=dict)
    quiet: dict[str, str] = field(default_factory=dict)
    ran: threading.Event = field(default_factory=threading.Event)

    def draws(self) -> Mapping[str, NodeDraw]:
        return self.said

    def silent(self) -> Mapping[str, str]:
        return self.quiet

    def run(self, stopping: threading.Event) -> None:
        self.ran.set()
        stopping.wait(WAIT_S)


def node(name: str, draw_w: float) -> NodeDraw:
    gpus = (GpuDraw(uuid="GPU-0", draw_w=draw_w),)
    return NodeDraw(node=name, measured_utc=datetime(2026, 1, 14, tzinfo=UTC), gpus=gpus)


@pytest.mark.parametrize("name", [{"app.kubernetes.io/name": "dcgm-exporter"}, {"app": "nvidia-dcgm-exporter"}])
def test_exporters_are_the_running_pods_of_that_name_in_one_namespace(name: dict[str, str]) -> None:
    stores = Stores()
    put(
        stores.pods,
        pod("exporter-n0", namespace="gpu-operator", ip="10.0.0.7", **name),
        pod("exporter-n1", namespace="gpu-operator", node="n1", ip="fd00::7", **name),
        pod("impostor", node="n2", **name),
        pod("other", namespace="gpu-operator", node="n3", app="something"),
    )
    options = DcgmOptions(namespace="gpu-operator")
    found = sorted(exporters(options, stores.pods.all()), key=lambda one: one.node)
    assert found == [Target(node="n0", url="http://10.0.0.7:9400"), Target(node="n1", url="http://[fd00::7]:9400")]


def test_the_first_source_that_knows_a_node_is_believed_and_all_are_counted() -> None:
    agents = Says(said={"n0": node("n0", 100.0)}, quiet={"n1": "HTTP 401"})
    exporting, kept = Says(said={"n0": node("n0", 200.0), "n1": node("n1", 300.0)}), Says(quiet={"http://p": "HTTP 500"})
    power = Power({("agents",): agents, ("dcgm_nodes", "exporter"): exporting, ("dcgm_nodes", "prometheus"): kept})
    assert {name: one.draw_w for name, one in power.draws().items()} == {"n0": 100.0, "n1": 300.0}
    metrics = Metrics()
    power.gauges(metrics)
    text = metrics.exposition()[0].decode()
    for line in (
        'heatdispatch_agents{state="answering"} 1.0',
        'heatdispatch_agents{state="silent"} 1.0',
        'heatdispatch_dcgm_nodes{state="answering",way="exporter"} 2.0',
        'heatdispatch_dcgm_nodes{state="silent",way="prometheus"} 1.0',
    ):
        assert line in text


def test_every_source_runs_until_all_are_stopped() -> None:
    sources = [Says(), Says()]
    stopping = threading.Event()
    running = threading.Thread(
        target=Power({("agents",): sources[0], ("dcgm_nodes", "exporter"): sources[1]}).run, args=(stopping,)
    )
    running.start()
    assert all(source.ran.wait(WAIT_S) for source in sources)
    stopping.set()
    running.join(WAIT_S)
    assert not running.is_alive()


def test_agents_exporters_and_a_prometheus_are_asked_side_by_side() -> None:
    stores, clock = Stores(), SystemClock()
    for name in ("n0", "n1", "n2"):
        put(stores.nodes, {"metadata": {"name": name}})
    put(
        stores.pods,
        pod("train-0"),
        pod("done-0"),
        pod("exporter", namespace="gpu-operator", node="n1", app="nvidia-dcgm-exporter"),
    )
    said = telemetry("n0", {"uuid": "GPU-0", "podUid": "uid-train-0"}, slots=[slot(1, {"GPU-0": 1000.0})])
    of = {name: labels(0, host=f"hostname={name}", pod="lab/train-0") for name in ("n1", "n2")}
    stopping = threading.Event()
    with ExitStack() as stack:
        agent = stack.enter_context(AgentPeer(said))
        exporter = stack.enter_context(AgentPeer({}, raw=page((DRAW, of["n1"], 200.0))))
        kept = stack.enter_context(AgentPeer({}, raw=matrix((DRAW, of["n2"], [(clock.now_utc().timestamp(), 300.0)]))))
        dcgm = DcgmOptions(namespace="gpu-operator", port=int(exporter.url.rpartition(":")[2]), prometheus=kept.url)
        power = power_of(AgentOptions(named=(Target(node="n0", url=agent.url),)), dcgm, stores, clock)
        asking = threading.Thread(target=power.run, args=(stopping,))
        asking.start()
        until_s = time.monotonic() + WAIT_S
        while len(power.draws()) < 3 and time.monotonic() < until_s:
            time.sleep(0.05)
        found = power.draws()
        stopping.set()
        asking.join(WAIT_S)
    assert {name: one.draw_w for name, one in sorted(found.items())} == {"n0": 100.0, "n1": 200.0, "n2": 300.0}
    assert {gpu.pod_uid for one in found.values() for gpu in one.gpus} == {"uid-train-0"}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"prometheus": "prometheus:9090"}, "--prometheus-url"),
        ({"prometheus": "http://p", "match": 'cluster="a"} or {x="y"'}, "--prometheus-match"),
    ],
)
def test_what_was_typed_wrong_is_said(options: dict[str, str], why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        DcgmOptions(**options)  # type: ignore[arg-type]  # texts only


def test_the_command_says_it_before_it_starts() -> None:
    found = run("operator", "--prometheus-url", "prometheus:9090")
    assert found.exit_code == 2
    assert "--prometheus-url" in found.output


def test_the_command_passes_on_what_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Options] = []

    class Noted:
        def __init__(self, options: Options) -> None:
            given.append(options)

        def run(self) -> None:
            """Do nothing."""

    monkeypatch.setattr(command, "Operator", Noted)
    asked = (
        "--prometheus-url",
        "https://p:9090",
        "--prometheus-match",
        'cluster="a"',
        "--prometheus-token",
        "/t",
        "--dcgm-port",
        "9401",
    )
    assert run("operator", "--dcgm-namespace", "gpu-operator", *asked).exit_code == 0
    trust = Trust(token_file=Path("/t"))
    assert [one.dcgm for one in given] == [
        DcgmOptions(namespace="gpu-operator", port=9401, prometheus="https://p:9090", match='cluster="a"', trust=trust)
    ]
    assert run("operator").exit_code == 0
    assert given[-1].dcgm == DcgmOptions()
