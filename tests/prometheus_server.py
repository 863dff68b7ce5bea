"""A real Prometheus on loopback, set up as the chart sets one up: its PodMonitors and its rules.

with running_prometheus(folder, config, rules) as prometheus:
    prometheus.ask('up == 1')
"""

from __future__ import annotations

import copy
import math
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from scheduler.adapters.devcluster.client import Object

CHART = Path(__file__).parents[1] / "helm" / "heat-dispatch"
RULES = CHART / "files" / "rules.yaml"
REQUIRED = "HEAT_DISPATCH_REQUIRE_CONTROLPLANE"
PATIENCE_S = 60.0
# Between two readings; the chart's own interval is for months, not for a test.
EVERY = "2s"

Labels = Mapping[str, str]


def program(name: str) -> str:
    """Where a program of Prometheus is; skips without it, or fails where everything has to be there."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        words = f"no {name} on this machine (`make promtool`)"
        if os.environ.get(REQUIRED) and shutil.which("apt-get"):
            pytest.fail(f"{words} ({REQUIRED} is set)", pytrace=False)
        pytest.skip(words)
    return found


def free_port() -> int:
    """A port of loopback that is free now, and that the system gives to nobody who asks for any."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


def rendered(helm: Path, folder: Path, values: str) -> list[Object]:
    """What the chart makes of some values."""
    file = folder / "values.yaml"
    file.write_text(values, encoding="utf-8")
    command = [str(helm), "template", "heat-dispatch", str(CHART), "--namespace", "heat-dispatch", "--values", str(file)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    return [obj for obj in yaml.safe_load_all(done.stdout) if obj]


# From a PodMonitor to a scrape configuration.


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A process that plays a pod: the object of the chart that makes it, its name and node, and by port where it listens."""

    maker: tuple[str, str]
    name: str
    node: str
    addresses: Mapping[str, str]


def scrape_configs(objects: Sequence[Object], pods: Sequence[Pod], folder: Path) -> list[Object]:
    """The chart's PodMonitors for these processes: paths, schemes, tokens and labels are the monitors' own.

    A monitor that finds none of the chart's pods, or a port that none of their containers has, is a fault of the chart.
    `folder` has a file for each Secret and key that a monitor names, NAME-KEY.
    """
    found = []
    for monitor in (obj for obj in objects if obj["kind"] == "PodMonitor"):
        makers = _selected(monitor, objects)
        assert makers, f"{monitor['metadata']['name']} finds no pod of the chart"
        for number, endpoint in enumerate(monitor["spec"]["podMetricsEndpoints"]):
            assert set(endpoint) <= {"port", "path", "interval", "scheme", "authorization", "relabelings"}, endpoint
            place = {(obj["kind"], obj["metadata"]["name"]): container for obj in makers for container in [_has(obj, endpoint)]}
            mine = [pod for pod in pods if pod.maker in place and endpoint["port"] in pod.addresses]
            found.append(_scrape(monitor, number, endpoint, [(pod, place[pod.maker]) for pod in mine], folder))
    return found


def _selected(monitor: Object, objects: Sequence[Object]) -> list[Object]:
    """The objects of the monitor's namespace whose pods have its labels."""
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    makers = [obj for obj in objects if "template" in obj.get("spec", {}) and "containers" in _pod_spec(obj)]
    return [
        obj
        for obj in makers
        if wanted <= obj["spec"]["template"]["metadata"]["labels"].items()
        and obj["metadata"]["namespace"] == monitor["metadata"]["namespace"]
    ]


def _pod_spec(obj: Object) -> Object:
    found: Object = obj["spec"]["template"].get("spec", {})
    return found


def _has(obj: Object, endpoint: Object) -> str:
    """The container with the endpoint's port."""
    names = [
        container["name"]
        for container in _pod_spec(obj)["containers"]
        if endpoint["port"] in {port["name"] for port in container.get("ports", [])}
    ]
    assert len(names) == 1, f"port {endpoint['port']} is that of {names}"
    return str(names[0])


def _scrape(monitor: Object, number: int, endpoint: Object, pods: Sequence[tuple[Pod, str]], folder: Path) -> Object:
    """One endpoint, with the labels that the Prometheus operator gives it."""
    namespace, name = monitor["metadata"]["namespace"], monitor["metadata"]["name"]
    found: Object = {
        "job_name": f"podMonitor/{namespace}/{name}/{number}",
        "metrics_path": endpoint["path"],
        "scheme": endpoint.get("scheme", "http"),
        "scrape_interval": EVERY,
        "scrape_timeout": EVERY,
        "honor_labels": False,
        "static_configs": [
            {
                "targets": [pod.addresses[endpoint["port"]]],
                "labels": {
                    "job": f"{namespace}/{name}",
                    "namespace": namespace,
                    "container": container,
                    "pod": pod.name,
                    "endpoint": endpoint["port"],
                    "__meta_kubernetes_pod_node_name": pod.node,
                },
            }
            for pod, container in pods
        ],
        "relabel_configs": [
            {"source_labels": rule["sourceLabels"], "target_label": rule["targetLabel"]}
            for rule in endpoint.get("relabelings", ())
        ],
    }
    if "authorization" in endpoint:
        secret = endpoint["authorization"]["credentials"]
        file = folder / f"{secret['name']}-{secret['key']}"
        assert file.exists(), f"no secret {file.name}"
        found["authorization"] = {"type": "Bearer", "credentials_file": str(file)}
    return found


def hurried(rules: Object, shorter: Mapping[str, Mapping[str, str]]) -> Object:
    """The chart's rules without waiting; shorter: by alert parts of its expression, and what stands in their place."""
    found = copy.deepcopy(rules)
    for group in found["groups"]:
        group["interval"] = EVERY
        for rule in group["rules"]:
            rule.pop("for", None)
            for old, new in shorter.get(rule.get("alert"), {}).items():
                assert old in rule["expr"], rule["expr"]
                rule["expr"] = rule["expr"].replace(old, new)
    return found


# The process.


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an answer, and its value."""

    labels: Labels
    value: float


@dataclass(slots=True)
class Prometheus:
    """One that runs."""

    url: str
    folder: Path

    def reads(self, scrapes: Sequence[Object]) -> None:
        """Read others from now on."""
        configure(self.folder, scrapes)
        httpx.post(f"{self.url}/-/reload", timeout=30.0, trust_env=False).raise_for_status()

    def ask(self, expr: str) -> list[Sample]:
        """An instant query.

        Raises:
            ValueError: it is refused.
        """
        answer = httpx.post(f"{self.url}/api/v1/query", data={"query": expr}, timeout=30.0, trust_env=False).json()
        if answer["status"] != "success":
            raise ValueError(f"{expr}: {answer['error']}")
        found = answer["data"]["result"]
        return [Sample({**one["metric"]}, float(one["value"][1])) for one in found]

    def known(self, expr: str) -> list[Sample]:
        """The same, without what is no number."""
        return [one for one in self.ask(expr) if not math.isnan(one.value)]

    def firing(self, since: str = "10s") -> set[str]:
        """Alerts that have fired within a time."""
        found = self.ask(f'max_over_time(ALERTS{{alertstate="firing"}}[{since}])')
        return {one.labels["alertname"] for one in found}

    def problems(self) -> list[str]:
        """Targets that cannot be read and rules that cannot be evaluated."""
        targets = self._get("targets")["activeTargets"]
        groups = self._get("rules")["groups"]
        return [f"{one['scrapeUrl']}: {one['lastError']}" for one in targets if one["lastError"]] + [
            f"{rule['name']}: {rule['lastError']}" for group in groups for rule in group["rules"] if rule.get("lastError")
        ]

    def label_values(self, metric: str, label: str) -> list[str]:
        """What Grafana offers for `label_values(metric, label)`."""
        return sorted({one.labels[label] for one in self.ask(metric) if label in one.labels})

    def wait(self, what: str, ready: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
        """Ask until it is so.

        Raises:
            TimeoutError: it never was.
        """
        until_s = time.monotonic() + patience_s
        while not (found := ready()):
            if time.monotonic() > until_s:
                raise TimeoutError(f"never: {what}; firing {sorted(self.firing())}; {self.problems()}")
            time.sleep(0.2)
        return found

    def _get(self, page: str) -> Any:
        return httpx.get(f"{self.url}/api/v1/{page}", timeout=30.0, trust_env=False).json()["data"]


@contextmanager
def running_prometheus(folder: Path, scrapes: Sequence[Object], rules: Object, *more: str) -> Iterator[Prometheus]:
    """Run one until left, with more options if need be; what it has heard goes with it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    configure(folder, scrapes)
    address, log = f"127.0.0.1:{free_port()}", folder / "log"
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.enable-lifecycle"]
    options += [f"--web.listen-address={address}", *more]
    with log.open("wb") as out:
        process = subprocess.Popen([program("prometheus"), *options], cwd=folder, stdout=out, stderr=out)
    try:
        until_s = time.monotonic() + PATIENCE_S
        while not _ready(f"http://{address}/-/ready"):
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < until_s, log.read_text("utf-8")
            time.sleep(0.1)
        yield Prometheus(url=f"http://{address}", folder=folder)
    finally:
        process.kill()
        process.wait(30.0)


def configure(folder: Path, scrapes: Sequence[Object]) -> None:
    """Write what is read, and by which rules it is judged."""
    config = {"global": {"evaluation_interval": EVERY}, "rule_files": ["rules.yml"], "scrape_configs": list(scrapes)}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")


def _ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
