"""A real node of a cluster that runs: processes in containers, signals, logs, `kubectl exec`; gone with its first process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

import httpx

from scheduler.adapters.devcluster.build import NotBuilt
from scheduler.adapters.devcluster.client import ApiRefused, condition
from scheduler.adapters.devcluster.cluster import REAL_NODE, DevCluster, NotReady
from scheduler.adapters.devcluster.kwok import GPU
from scheduler.adapters.devcluster.processes import Command, ProcessDied, Upright, free_ports
from scheduler.adapters.devcluster.realnode import files, images, needs, remains
from scheduler.adapters.devcluster.record import Identity, identity

INSIDE = Path(__file__).with_name("inside.py")
PROCESS = "real-node"
FOLDER = "node"
# The name by which the API server reaches the kubelet.
NAME = "127.0.0.1"
PATH = f"/api/v1/nodes/{NAME}"
PROGRAMS = ("containerd", "kubelet")
START_S = 90.0
# For each further image to be unpacked, on a busy machine.
IMAGE_S = 120.0
STOP_S = 20.0
EVERY_S = 0.05


@dataclass(slots=True)
class RealNode(Upright):
    """Use it in a `with` block inside that of its cluster; one for each cluster.

    gpus: how many `nvidia.com/gpu` it says it has (nothing is behind them; none where a device plugin is to say it); labels: of
    the Node; group: name of its control groups; port: its kubelet's.
    """

    cluster: DevCluster
    gpus: int = 2
    labels: Mapping[str, str] = field(default_factory=dict)
    images: Sequence[Path] = ()
    runtimes: Mapping[str, Path] = field(default_factory=dict)
    started_s: float = 0.0
    group: str = ""
    port: int = 0

    @property
    def folder(self) -> Path:
        """Where it keeps everything but its logs; gone when it is."""
        return self.cluster.folder / FOLDER

    @property
    def kubelet_folder(self) -> Path:
        """What the kubelet has at `/var/lib/kubelet`: `device-plugins`, `pod-resources`."""
        return self.folder / files.COVERED[files.KUBELET]

    @property
    def gateway(self) -> str:
        """Address by which its pods reach this machine."""
        subnet = files.NETWORK.format(self.port % 256)
        return str(next(ip_network(subnet).hosts()))

    def start(self) -> None:
        """Bring it up and wait until pods may come.

        Raises:
            Misconfigured: where the machine lacks something, with all that it lacks.
            NotBuilt: without a kubelet.
            ProcessDied, NotReady: with the end of a log.
        """
        begun_s = time.monotonic()
        means = needs.means()
        if self.cluster.toolbox.missing(["kubelet"]):
            raise NotBuilt("the kubelet is not built: run `heat-dispatch dev cluster build --with kubelet`")
        self.folder.mkdir(mode=0o755)
        (self.port,) = free_ports(1)
        self.group = f"{remains.PREFIX}{os.getpid()}-{self.port}"
        api_port = httpx.URL(self.cluster.url).port or 0
        place = files.Place(
            folder=self.folder,
            port=self.port,
            api_port=api_port,
            group=self.group,
            snapshotter="overlayfs" if needs.may_overlay(self.folder) else "native",
            runtimes=self.runtimes,
        )
        files.write_all(place, means)
        remains.clear_stale()
        remains.make_cgroups(self.group)
        spec = self.folder / "inside.json"
        spec.write_text(json.dumps(self._spec(place, means), indent=1), encoding="utf-8")
        separate = (means.programs["unshare"], *needs.NAMESPACES)
        self.cluster.processes.start(PROCESS, Command(arguments=(*separate, sys.executable, "-I", str(INSIDE), str(spec))))
        try:
            patience_s = START_S + IMAGE_S * len(self.images)
            self.cluster.wait("the node is registered", lambda: self.cluster.admin.get(PATH), patience_s)
            self._equip()
            self.cluster.wait("the node is ready", self._ready, START_S)
        except (NotReady, ProcessDied) as error:
            raise type(error)(f"{error}\n{self.tails()}") from error
        self.started_s = time.monotonic() - begun_s

    def _spec(self, place: files.Place, means: needs.Means) -> dict[str, object]:
        """What `inside` does."""
        toolbox, kubeconfig = self.cluster.toolbox, self.cluster.kubeconfig(REAL_NODE)
        archive = images.archive(means.programs["busybox"])
        return {
            "covered": files.covers(place),
            "copied": files.copies(place),
            "scratch": f"{place.folder}/scratch",
            "path": means.path,
            "logs": str(self.cluster.folder),
            "containerd": [means.programs["containerd"], "--config", f"{place.folder}/containerd.toml"],
            "load": [
                [
                    *(means.programs["ctr"], "--address", files.SOCKET, "--namespace", "k8s.io"),
                    *("images", "import", "--snapshotter", place.snapshotter, str(one)),
                ]
                for one in (archive, *self.images)
            ],
            "kubelet": [
                str(toolbox.program("kubelet")),
                f"--config={place.folder}/kubelet.json",
                f"--kubeconfig={kubeconfig}",
                f"--root-dir={files.KUBELET}",
                f"--cert-dir={place.folder}/certificates",
                f"--hostname-override={NAME}",
            ],
        }

    def _equip(self) -> None:
        """Labels, and GPUs in name."""
        admin = self.cluster.admin
        admin.patch(PATH, {"metadata": {"labels": dict(self.labels)}})
        sizes = {GPU: str(self.gpus)} if self.gpus else {}
        admin.patch(f"{PATH}/status", {"status": {"capacity": sizes, "allocatable": sizes}})

    def _ready(self) -> bool:
        node = self.cluster.admin.get(PATH)
        equipped = not self.gpus or node["status"]["allocatable"].get(GPU) == str(self.gpus)
        return equipped and condition(node, "Ready") == "True" and not node["spec"].get("taints")

    def stop(self) -> None:
        """End it with all its pods at once, and leave nothing on the machine but its logs.

        Raises:
            NotReady: when something is left, with what it is.
        """
        first = self._first_process()
        self.cluster.processes.kill(PROCESS)
        until_s = time.monotonic() + STOP_S
        while first is not None and first.alive() and time.monotonic() < until_s:
            time.sleep(EVERY_S)
        left = remains.clear_cgroups(self.group) if self.group else ()
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(httpx.HTTPError, ApiRefused):
            self.cluster.admin.delete(PATH)
        if left:
            raise NotReady(f"a real node left {', '.join(map(str, left))}")

    # --- its processes

    def _first_process(self) -> Identity | None:
        """The one that all others end with."""
        holder = self.cluster.processes.pids().get(PROCESS)
        return next((found for pid in children(holder) if (found := identity(pid))), None) if holder else None

    def pids(self) -> dict[str, int]:
        """Process ids of containerd and the kubelet, as everybody else sees them."""
        first = self._first_process()
        found = {} if first is None else {name_of(pid): pid for pid in children(first.pid)}
        return {name: pid for name, pid in found.items() if name in PROGRAMS}

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send containerd or the kubelet a signal."""
        known = identity(self.pids()[name])
        if known is not None:
            known.send(number)

    def restart_kubelet(self) -> None:
        """Kill the kubelet, and wait for the one that is started in its place. Pods live on.

        Raises:
            NotReady, ProcessDied: with the end of a log.
        """
        before = self.pids()["kubelet"]
        self.signal("kubelet", signal.SIGKILL)
        self.cluster.wait("another kubelet", lambda: self.pids().get("kubelet", before) != before, START_S)

    def tails(self) -> str:
        """Ends of their logs."""
        processes = self.cluster.processes
        return "\n".join(f"{processes.log(name)} ends with\n{processes.tail(name)}" for name in (PROCESS, *PROGRAMS))


def children(pid: int) -> list[int]:
    """Process ids of a process's children."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text("utf-8").rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def name_of(pid: int) -> str:
    """Name of a process's program; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8").strip()
    except OSError:
        return ""
