"""The whole system as processes beside a real API server, and a real Prometheus that reads it as the chart says.

An operator that dispatches, an agent with a setter and eight pretended GPUs, a plant link with a software plant, sources on a
stand-in, Jobs of several classes, and heat that was promised yesterday: more than there will be, so that it falls short.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml
from agent_process import AgentProcess, running_agent
from agent_site import AGENTS, site_on
from gpu_machine import Machine
from kube_objects import running_pods
from kubelet_peer import KubeletPeer, holding
from operated import HOME, LAB, OPERATOR, Operated, Replica, now_utc, operated, quickstart
from prometheus_server import RULES, Pod, Prometheus, free_port, hurried, rendered, running_prometheus, scrape_configs
from setter_process import STEADY, SetterProcess, running_setter
from signal_peer import Peer, signal_peer
from signal_site import fixed, routes_of, source

from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.cluster import DevCluster, Options
from scheduler.adapters.plantlink.store.database import LinkStore
from scheduler.domain.link_life import LinkedOfftake, OperatorLife
from scheduler.domain.snapshot import Commitment

ROOT = Path(__file__).parents[1]
PROGRAM = "import sys; from scheduler.entrypoints.start import main; sys.exit(main())"
OFFTAKE, SITE, NODE = "neighbour", "quickstart", "gpu-0"
PLANT_TOKEN = "a-plant-token-of-more-than-thirty-two-letters"
VALUES = """
monitoring: {podMonitor: true, prometheusRule: true}
plantLink: {enabled: true, config: {site: quickstart}}
"""
# More than the neighbour wants and the loop has.
PROMISED_KW = 12.0
CLASSES: Mapping[str, Object] = {
    # Bears a cap, and hardly waits.
    "modest": {"flexibility": "deferrable", "maxDelay": "3m", "maxSlowdown": 0.4, "valueEurPerGpuHour": 0.01},
    # Its holds end while a test looks on.
    "brief": {"flexibility": "deferrable", "maxDelay": "40s", "valueEurPerGpuHour": 0.05},
}


def objects() -> list[Object]:
    """The quickstart with a firm contract, sources on the stand-in and two more classes; its sources are added later."""
    found = quickstart()
    for obj in found:
        if obj["kind"] == "HeatOfftake":
            obj["spec"]["firm"] = {"shortfallEurPerKwh": 0.16, "products": [{"gate": "10:30"}]}
    for name, spec in CLASSES.items():
        spec = {"waitingEurPerGpuHour": 0.002, "latenessEurPerGpuHour": 0.01, **spec}
        head = {"apiVersion": "heatdispatch.io/v1alpha1", "kind": "WorkloadClass", "metadata": {"name": name}}
        found.append({**head, "spec": spec})
    return found


def promised(ledger: str) -> None:
    """Write down what another leader promised for the hours around now."""
    store, at_utc = LinkStore(ledger), now_utc()
    hour_utc = at_utc.replace(minute=0, second=0, microsecond=0)
    point = "quickstart-loop"
    linked = LinkedOfftake(offtake_id=OFFTAKE, plug_id="loop", max_heat_kw=12.0, tank_kwh=20.0, meter_point_id=point)
    sign = OperatorLife(site_id=SITE, identity="before", host="elsewhere", term=0, at_utc=at_utc, offtakes=(linked,))
    try:
        sign = replace(sign, term=store.take_over(sign))
        promises = [
            Commitment(
                offtake_id=OFFTAKE,
                start_utc=hour_utc + timedelta(hours=hour),
                end_utc=hour_utc + timedelta(hours=hour + 1),
                firm_kw=PROMISED_KW,
                gate_utc=at_utc - timedelta(hours=12),
            )
            for hour in range(-1, 12)
        ]
        store.issue(sign, {}, promises)
    finally:
        store.close()


@dataclass(slots=True, eq=False)
class Monitored:
    """Everything that runs."""

    world: Operated
    machine: Machine
    kubelet: KubeletPeer
    setter: SetterProcess
    agent: AgentProcess
    link: Replica
    plant: Replica
    peer: Peer
    prometheus: Prometheus
    rest_port: int
    folder: Path
    scrapes: list[Object]
    asked: int = 0

    @property
    def cluster(self) -> DevCluster:
        """The control plane."""
        return self.world.cluster

    @property
    def operator(self) -> Replica:
        """The operator that began first."""
        return self.world.replicas[0]

    def sits(self, name: str, uuid: str) -> None:
        """Wait for the pod of a Job, and let it hold a GPU as the kubelet would say."""
        pod = self.cluster.wait(f"a pod of {name}", lambda: running_pods(self.cluster, LAB, name), 90.0)[0]
        self.kubelet.pods = [*self.kubelet.pods, holding(pod["metadata"]["name"], uuid, namespace=LAB)]

    def replan(self) -> None:
        """Ask for a plan: the policy is another one than it was."""
        self.asked += 1
        self.world.policy(objective={"carbonPriceEurPerTonne": self.asked / 1000.0})

    def letter(self, kind: str, body: Object, token: str = PLANT_TOKEN) -> int:
        """Say something as the plant; returns the status."""
        url = f"http://127.0.0.1:{self.rest_port}/v1/offtakes/{OFFTAKE}/letters/{kind}"
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.post(url, json=body, headers=headers, timeout=10.0, trust_env=False).status_code


def started(folder: Path, name: str, *arguments: str) -> Replica:
    """A command of ours as a process."""
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stdout=out, stderr=out, env=dict(os.environ))
    return Replica(process=process, log=log)


@contextmanager
def running(folder: Path, name: str, *arguments: str) -> Iterator[Replica]:
    """The same, ended afterwards."""
    found = started(folder, name, *arguments)
    try:
        yield found
    finally:
        end(found.process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, also one that was stopped."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def replica(world: Operated, folder: Path, **changed: Any) -> Replica:
    """Start one more `monitored_operator`; `world` ends it."""
    options = {
        "kubeconfig": str(world.cluster.kubeconfig(OPERATOR)),
        "identity": f"replica-{len(world.replicas)}",
        "ledger": ledger(folder),
        "namespace": HOME,
        "lease_namespace": "kube-system",
        "agents": [],
        "agents_token": str(folder / "agents-token"),
        **changed,
    }
    log = folder / f"operator-{len(world.replicas)}.log"
    with log.open("wb") as out:
        command = [sys.executable, str(Path(__file__).with_name("monitored_operator.py")), json.dumps(options)]
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT, env=dict(os.environ))
    world.replicas.append(Replica(process=process, log=log))
    return world.replicas[-1]


def ledger(folder: Path) -> str:
    """URL of the one database."""
    return f"sqlite:///{folder}/ledger.db"


def link_file(folder: Path, rest_port: int, pages_port: int, modbus_port: int) -> Path:
    """The plant link's setup: REST that works, and Modbus on a port that somebody else may have."""
    (folder / "plant-token").write_text(PLANT_TOKEN, encoding="ascii")
    config = {
        "site": SITE,
        "ledger": ledger(folder),
        "pages": {"port": pages_port},
        "rest": {
            "port": rest_port,
            "requestsPerS": 500.0,
            "burst": 1000,
            "credentials": [{"name": "plc", "secretFile": "plant-token", "offtakes": [OFFTAKE]}],
        },
        "modbus": {"port": modbus_port, "units": {"1": OFFTAKE}},
    }
    file = folder / "link.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return file


def plants(stack: ExitStack, folder: Path) -> tuple[Replica, Replica, int, int]:
    """The link and a plant that talks to it; then the ports of REST and of the link's pages. Modbus finds its port taken."""
    rest_port, pages_port, taken = free_port(), free_port(), stack.enter_context(socket.socket())
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    file = link_file(folder, rest_port, pages_port, taken.getsockname()[1])
    link = stack.enter_context(running(folder, "link", "plant-link", "--config", str(file)))
    options = ["--protocol", "rest", "--address", f"http://127.0.0.1:{rest_port}", "--offtake", OFFTAKE, "--site", SITE]
    options += ["--secret-file", str(folder / "plant-token"), "--peak-kw", "9"]
    plant = stack.enter_context(running(folder, "plant", "plant-sim", *options))
    return link, plant, rest_port, pages_port


def agent_on(
    stack: ExitStack, cluster: DevCluster, folder: Path, machine: Machine
) -> tuple[KubeletPeer, SetterProcess, AgentProcess]:
    """Agent and setter of the one node, with its rights, beside a kubelet that says which pod holds which GPU."""
    site = site_on(cluster, folder, (NODE, "other-0"))
    token = folder / "api-token"
    token.write_text(site.tokens[NODE], encoding="ascii")
    (folder / "pods").mkdir()
    kubelet = stack.enter_context(KubeletPeer(folder / "pods"))
    setter = stack.enter_context(running_setter(machine, folder, rules=STEADY))
    arguments = ["--node", NODE, "--wishes", "api", "--lease-namespace", HOME, "--api-server", cluster.url]
    arguments += ["--api-token", str(token), "--api-ca", str(cluster.folder / "ca.crt"), "--setter", str(setter.socket)]
    arguments += ["--pod-resources", str(kubelet.folder), "--token-file", str(folder / "agents-token")]
    agent = stack.enter_context(running_agent(machine, folder, *arguments))
    agent.token = (folder / "agents-token").read_text("ascii")
    cluster.wait("the agent listens", lambda: agent.url, 60.0)
    return kubelet, setter, agent


def host(url: str) -> str:
    """HOST:PORT of a URL."""
    return url.removeprefix("http://")


@contextmanager
def monitored(toolbox: Toolbox, library: Path, folder: Path, shorter: Mapping[str, Mapping[str, str]]) -> Iterator[Monitored]:
    """Start everything, and the Jobs; `shorter`: what of the alerts' expressions takes too long for a test."""
    chart = rendered(toolbox.program("helm"), folder, VALUES)
    with ExitStack() as stack:
        cluster = stack.enter_context(DevCluster(toolbox, folder / "cluster", Options(users={OPERATOR: ()})))
        cluster.add_nodes(1, 8, {"heatdispatch.io/plug": "loop", "heatdispatch.io/caps": "enabled"})
        cluster.add_nodes(1, 0, {}, prefix="other")
        world = stack.enter_context(operated(cluster, folder / "operator", objects=objects()))
        secrets = secrets_of(chart, folder)
        machine = Machine.create(folder, library, gpus=8)
        kubelet, setter, agent = agent_on(stack, cluster, folder, machine)
        peer = stack.enter_context(signal_peer(routes_of(("energy_charts", "open_meteo"), now_utc())))
        world.policy(sources=chains(peer))
        promised(ledger(folder))
        nobody = f"http://127.0.0.1:{free_port()}"
        agents = [f"{NODE}={agent.url}", f"other-0={nobody}"]
        operator = replica(world, folder, agents=agents)
        link, plant, rest_port, pages_port = plants(stack, folder)
        cluster.wait("the operator listens", operator.port, 60.0)
        addresses = {"http": f"127.0.0.1:{operator.port()}", "link-pages": f"127.0.0.1:{pages_port}"}
        pods = [
            Pod(
                maker=("Deployment", "heat-dispatch-operator"),
                name="heat-dispatch-operator-0",
                node="control-0",
                addresses=addresses,
            ),
            Pod(
                maker=("DaemonSet", "heat-dispatch-agent"), name="agent-0", node=NODE, addresses={"telemetry": host(agent.url)}
            ),
        ]
        rules = hurried(yaml.safe_load(RULES.read_text("utf-8")), shorter)
        scrapes = scrape_configs(chart, pods, secrets)
        prometheus = stack.enter_context(running_prometheus(folder / "prometheus", scrapes, rules))
        found = Monitored(
            world=world, machine=machine, kubelet=kubelet, setter=setter, agent=agent, link=link, plant=plant, peer=peer,
            prometheus=prometheus, rest_port=rest_port, folder=folder, scrapes=scrapes,
        )  # fmt: skip
        work(found)
        yield found


def secrets_of(chart: Sequence[Object], folder: Path) -> Path:
    """The chart's own token for the agents, where Prometheus and the agents find it."""
    place = folder / "secrets"
    place.mkdir()
    for obj in chart:
        if obj["kind"] == "Secret" and obj["metadata"]["namespace"] == AGENTS:
            for key, value in obj["data"].items():
                (place / f"{obj['metadata']['name']}-{key}").write_bytes(base64.b64decode(value))
                shutil.copy(place / f"{obj['metadata']['name']}-{key}", folder / "agents-token")
    return place


def chains(peer: Peer) -> Object:
    """Sources of the policy: weather by its first source, carbon by its second, since the first has no pages."""
    broken = f"{peer.url}/nobody"
    return {
        "weather": [source("open_meteo", "outdoor", peer.url)],
        "carbon": [source("energy_charts", "carbon", broken), fixed(300.0)],
    }


def work(found: Monitored) -> None:
    """Jobs of several classes, once Prometheus has seen a first plan: capped, held, held too long, insulated, deleted."""
    world, cluster, prometheus = found.world, found.cluster, found.prometheus
    cluster.wait("a first plan", lambda: world.plan().get("planId"), 90.0)
    # What is counted from here on is seen to rise.
    begun = 'heatdispatch_job_decided_seconds_count{policy="quickstart"} and on () count(up == 1) == 3'
    try:
        prometheus.wait("Prometheus reads everybody", lambda: prometheus.ask(begun), 90.0)
    except TimeoutError as error:
        raise AssertionError(f"{found.link.told()}{found.operator.told()}") from error
    prometheus.wait("the plant's word", lambda: found.letter("tank", {"at": moment(), "levelKwh": 12.0}) < 300)
    world.submit("service", class_name=None, gpus=1, runs="600s")
    world.submit("slow", "modest", gpus=1, runs="600s")
    world.submit("night", gpus=2, runs="600s")
    world.submit("gone", gpus=2)
    cluster.wait("they are held", lambda: all(world.held(name) for name in ("night", "gone")), 90.0)
    cluster.admin.delete(f"{world.jobs}/gone")
    found.sits("slow", "GPU-0000")
    found.sits("service", "GPU-0001")
    # A plan with these jobs, and with the tank that the plant has told of.
    world.policy(objective={"carbonPriceEurPerTonne": 1.0})


def moment() -> str:
    """Now, as letters have it."""
    return f"{now_utc():%Y-%m-%dT%H:%M:%SZ}"
