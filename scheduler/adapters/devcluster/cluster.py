"""A control plane on loopback that lives as long as a `with` block: up in seconds, hurt on purpose, thrown away."""

from __future__ import annotations

import json
import platform
import secrets
import shutil
import signal
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx

from scheduler.adapters.devcluster import arguments, audit, kwok, rbac
from scheduler.adapters.devcluster.arguments import PORTS, Layout
from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.certificates import make_all
from scheduler.adapters.devcluster.client import ApiClient, ApiRefused, Object, condition
from scheduler.adapters.devcluster.processes import PortTaken, Processes, Upright, free_ports
from scheduler.domain.errors import Misconfigured, Permanent

Found = TypeVar("Found")

ADMIN = "admin"
CONTROLLER_MANAGER = "system:kube-controller-manager"
SCHEDULER = "system:kube-scheduler"
KUEUE = "system:serviceaccount:kueue-system:kueue-controller-manager"
REAL_NODE = "system:node:127.0.0.1"
USERS: Mapping[str, tuple[str, ...]] = {
    ADMIN: ("system:masters",),
    CONTROLLER_MANAGER: (),
    SCHEDULER: (),
    kwok.USER: (),
    KUEUE: (),
    REAL_NODE: ("system:nodes",),
}
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
# A cold, busy machine takes ten times as long as the four seconds of a quiet one.
START_S = 90.0
WAIT_S = 60.0
EVERY_S = 0.05
HANDS = 8
LOOKED_AT_PER_S, READY_PER_S = 500.0, 10.0
PROBE_S = 3.0


class NotReady(Permanent):
    """Something did not happen in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a cluster may have more: users (name -> groups; tokens are read once), feature gates, flags of the server."""

    users: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    feature_gates: str = ""
    apiserver_flags: tuple[str, ...] = ()


class DevCluster(Upright):
    """etcd, API server, controller manager, scheduler and kwok in a folder. Start it in the main thread.

    Programs are named as their files are: `kill("kube-apiserver")`. After `stop` the logs and the audit log are still there.
    """

    def __init__(self, toolbox: Toolbox, folder: Path, options: Options | None = None) -> None:
        """Nothing is started yet; `folder` must be empty or absent."""
        self.options = options or Options()
        self.folder = folder.resolve()
        self.toolbox = toolbox
        self.processes = Processes(self.folder)
        self.tokens: dict[str, str] = {}
        self.started_s: dict[str, float] = {}
        self._layout = Layout(folder=self.folder, toolbox=toolbox)
        self._clients: dict[str, ApiClient] = {}

    # --- up and down

    def start(self) -> None:
        """Bring everything up; a second time on other ports when one was taken between choosing and binding it.

        Raises:
            Misconfigured: on another system than Linux, or without openssl.
            ProcessDied: when a program ends, with the end of its log.
            NotReady: when it does not get ready, with the end of its log.
        """
        if platform.system() != "Linux":
            raise Misconfigured("a cluster ends with its holder by a feature of Linux", expected="Linux")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_all(self.folder)
        self._write_tokens()
        try:
            self._start_once()
        except PortTaken:
            self.stop()
            self._start_once()

    def _start_once(self) -> None:
        begun_s = time.monotonic()
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self._layout = Layout(folder=self.folder, toolbox=self.toolbox, ports=ports)
        for user in self.tokens:
            self._write_kubeconfig(user)
        gates = self.options.feature_gates
        self.processes.start("etcd", arguments.etcd(self._layout))
        self.processes.start("kube-apiserver", arguments.apiserver(self._layout, gates, self.options.apiserver_flags))
        self.wait_ready()
        self.started_s["API server"] = time.monotonic() - begun_s
        rbac.allow(self.admin, "kwok-controller", kwok.USER, kwok.RULES)
        manager = arguments.controller_manager(self._layout, CONTROLLER_MANAGER, gates)
        self.processes.start("kube-controller-manager", manager)
        self.processes.start("kube-scheduler", arguments.scheduler(self._layout, SCHEDULER, gates))
        self.processes.start("kwok", arguments.kwok(self._layout, kwok.USER, kwok.SELECTOR))
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self.wait("the default service account", lambda: self.admin.get(account), START_S, log_of="kube-controller-manager")
        for name, path in (("kube-scheduler", "/readyz"), ("kube-controller-manager", "/healthz")):
            self.wait(f"{name} ready", partial(self._healthy, name, path), START_S, log_of=name)
        self.started_s["all"] = time.monotonic() - begun_s

    def stop(self) -> None:
        """End every program, by process id. Their logs stay, their data goes."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self.processes.stop()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def _healthy(self, name: str, path: str) -> bool:
        address = f"https://127.0.0.1:{self._layout.ports[name]}{path}"
        # These two sign their certificates themselves.
        return httpx.get(address, verify=False, timeout=PROBE_S, trust_env=False).is_success

    # --- who may ask, and how

    def _write_tokens(self) -> None:
        users = {**USERS, **self.options.users}
        self.tokens = {user: secrets.token_hex(16) for user in users}
        quoted = ((self.tokens[user], user, user, ",".join(groups)) for user, groups in users.items())
        path = self.folder / "tokens.csv"
        path.write_text("".join('{},{},{},"{}"\n'.format(*line) for line in quoted), encoding="utf-8")
        path.chmod(0o600)

    def _write_kubeconfig(self, user: str) -> None:
        self.write_kubeconfig(self.kubeconfig(user), self.tokens[user])

    def write_kubeconfig(self, path: Path, token: str) -> None:
        """A kubeconfig for a token, of a service account for instance."""
        trust = b64encode((self.folder / "ca.crt").read_bytes()).decode()
        name = "heat-dispatch"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": self.url, "certificate-authority-data": trust}}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=1), encoding="utf-8")

    def kubeconfig(self, user: str = ADMIN) -> Path:
        """The kubeconfig of a user."""
        return self._layout.kubeconfig(user)

    @property
    def url(self) -> str:
        """Address of the API server."""
        return self._layout.url

    @property
    def admin(self) -> ApiClient:
        """A client that may do everything."""
        return self.client(ADMIN)

    def client(self, user: str) -> ApiClient:
        """The client of a user."""
        if user not in self._clients:
            self._clients[user] = self.client_of(self.tokens[user])
        return self._clients[user]

    def client_of(self, token: str) -> ApiClient:
        """A client with a token; the caller closes it."""
        return ApiClient.to(self.url, str(self.folder / "ca.crt"), token)

    # --- waiting

    def wait(
        self,
        what: str,
        ready: Callable[[], Found],
        timeout_s: float = WAIT_S,
        *,
        log_of: str = "",
        every_s: float = EVERY_S,
    ) -> Found:
        """Ask until the answer is true; requests that fail count as "not yet". Returns the answer.

        Raises:
            NotReady: after `timeout_s`, with the last error, and the end of a log when one is named.
            ProcessDied: as soon as a program has ended that was not killed on purpose.
        """
        until_s, last = time.monotonic() + timeout_s, ""
        while time.monotonic() < until_s:
            try:
                found = ready()
                if found:
                    return found
            except (httpx.HTTPError, ApiRefused) as error:
                last = f"; last error: {error}"
            self.processes.check()
            time.sleep(every_s)
        tail = f"\n{self.processes.log(log_of)} ends with\n{self.processes.tail(log_of)}" if log_of else ""
        raise NotReady(f"{what}: not within {timeout_s:g} s{last}{tail}")

    def wait_ready(self, timeout_s: float = START_S) -> None:
        """Return when the API server says that it is ready."""
        self.wait("API server ready", partial(self._answers, "/readyz"), timeout_s, log_of="kube-apiserver")

    # --- faults

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.processes.kill(name)

    def restart(self, name: str) -> None:
        """Kill it, when it runs, and start it on the same port and data; an API server is ready when this returns."""
        self.processes.restart(name)
        if name in ("kube-apiserver", "etcd"):
            self.wait_ready()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP makes it hang, SIGCONT lets it go on."""
        self.processes.signal(name, number)

    def compact(self) -> int:
        """Throw away every version but the newest, through etcd's JSON gateway. Returns its revision.

        The API server answers from its watch cache until it is restarted; after that, old versions are 410 Expired.
        """
        with httpx.Client(base_url=self._layout.etcd_url, trust_env=False) as etcd:
            revision = etcd.post("/v3/kv/range", json={"key": "AA=="}).raise_for_status().json()["header"]["revision"]
            etcd.post("/v3/kv/compaction", json={"revision": revision, "physical": True}).raise_for_status()
        return int(revision)

    # --- what is in it

    def add_nodes(self, count: int, gpus: int, labels: Mapping[str, str] | None = None, prefix: str = "gpu") -> tuple[str, ...]:
        """Nodes of so many GPUs that pretend to run pods; named PREFIX-0, PREFIX-1, ... Returns once all are ready."""
        names = tuple(f"{prefix}-{number}" for number in range(count))
        admin = self.admin
        with ThreadPoolExecutor(HANDS) as hands:
            list(hands.map(lambda name: admin.create("/api/v1/nodes", kwok.node(name, gpus, labels or {})), names))
        # A look at a thousand nodes is a list of megabytes.
        every_s, timeout_s = EVERY_S + count / LOOKED_AT_PER_S, START_S + count / READY_PER_S
        self.wait("nodes ready", lambda: self._nodes_ready(names), timeout_s, log_of="kwok", every_s=every_s)
        return names

    def _nodes_ready(self, names: Iterable[str]) -> bool:
        nodes = {node["metadata"]["name"]: node for node in self.admin.items("/api/v1/nodes")}
        return all(condition(nodes.get(name), "Ready") == "True" and not nodes[name]["spec"].get("taints") for name in names)

    def apply_crds(self, crds: Iterable[Object]) -> None:
        """Apply CustomResourceDefinitions. Returns once all are served."""
        applied = [self.admin.apply(f"{CRDS}/{crd['metadata']['name']}", crd) for crd in crds]
        for crd in applied:
            path, spec = f"{CRDS}/{crd['metadata']['name']}", crd["spec"]
            served = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
            self.wait(f"{path} established", partial(self._established, path))
            self.wait(f"{served} served", partial(self._answers, served))

    def _established(self, path: str) -> bool:
        return condition(self.admin.get(path), "Established") == "True"

    def _answers(self, path: str) -> bool:
        return self.admin.answer("GET", path, timeout_s=PROBE_S).is_success

    @property
    def audit_log(self) -> Path:
        """The API server's audit log; `audit.events` reads it."""
        return self._layout.audit_log

    def writes_since(self, start_byte: int = 0) -> list[audit.AuditEvent]:
        """Requests that were meant to change something, from a place in the audit log on (`audit.end`)."""
        return [event for event in audit.events(self.audit_log, start_byte) if event.writes]

    def to_json(self) -> dict[str, Any]:
        """Where it is, and what it is made of."""
        return {
            "server": self.url,
            "kubeconfig": str(self.kubeconfig()),
            "kubectl": self._layout.program("kubectl"),
            "folder": str(self.folder),
            "auditLog": str(self.audit_log),
            "processes": self.processes.pids(),
            "startedSeconds": {name: round(seconds, 2) for name, seconds in self.started_s.items()},
        }
