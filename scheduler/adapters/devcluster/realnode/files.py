"""What the programs of a node read: configuration of containerd, of pod networks, of the kubelet, and of `inside`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scheduler.adapters.devcluster.realnode.images import PAUSE
from scheduler.adapters.devcluster.realnode.needs import Means

# Folders at fixed places, which the node has for itself: ours lie over them. Paths of sockets below them are short enough.
RUN = "/run/containerd"
KUBELET = "/var/lib/kubelet"
SOCKET = f"{RUN}/containerd.sock"
COVERED = {
    RUN: "run",
    KUBELET: "kubelet",
    "/var/lib/cni": "networks",
    "/var/log/containers": "container-logs",
    # What agents keep on their node.
    "/var/lib/heat-dispatch": "heat-dispatch",
}
# Kernel settings that the kubelet and the `ptp` plugin set; they set copies.
COPIED = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
SETTINGS = Path("/proc/sys")
# Pods of two nodes on one machine are in networks that differ by the kubelet's port.
NETWORK = "10.88.{}.0/24"
SNAPSHOTTERS = ("aufs", "btrfs", "devmapper", "native", "overlayfs", "zfs")
SERVICES, SERVICES_PROGRAM = "heat-dispatch-services", Path(__file__).with_name("services.py")
MAX_PODS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a node keeps its files, on which ports of loopback its kubelet and the API server listen, and its groups' name.

    snapshotter: of containerd; runtimes: programs that are called as runc is, by the handler that a RuntimeClass names.
    """

    folder: Path
    port: int
    api_port: int
    group: str
    snapshotter: str = "native"
    runtimes: Mapping[str, Path] = field(default_factory=dict)


def write_all(place: Place, means: Means) -> None:
    """Write everything but the specification of `inside`."""
    for name in ("network", "scratch", "services", *COVERED.values()):
        (place.folder / name).mkdir()
    write_plugins(place.folder / "plugins", means)
    (place.folder / "network" / "10-pods.conflist").write_text(json.dumps(network(place), indent=1), encoding="utf-8")
    (place.folder / "containerd.toml").write_text(containerd(place), encoding="utf-8")
    (place.folder / "kubelet.json").write_text(json.dumps(kubelet(place), indent=1), encoding="utf-8")


def write_plugins(folder: Path, means: Means) -> None:
    """The machine's network plugins and ours in one folder, since containerd looks into one only."""
    folder.mkdir()
    for plugin in Path(means.network_plugins).iterdir():
        (folder / plugin.name).symlink_to(plugin)
    own = folder / SERVICES
    own.write_text(f"#!/bin/sh\nexec {shlex.join([sys.executable, '-I', str(SERVICES_PROGRAM)])}\n", encoding="utf-8")
    own.chmod(0o755)


def network(place: Place) -> dict[str, Any]:
    """Pods have a pair of interfaces to the machine each, which goes when they go; there is no bridge."""
    addresses = {
        "type": "host-local",
        "dataDir": str(place.folder / "addresses"),
        "ranges": [[{"subnet": NETWORK.format(place.port % 256)}]],
    }
    services = {"type": SERVICES, "folder": str(place.folder / "services"), "port": place.api_port}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": False, "ipam": addresses}, services]}


def containerd(place: Place) -> str:
    """Only the parts that Kubernetes needs, all under one folder.

    Snapshots are layers where the folder's file system bears that, and copies else. Without CAP_SYS_RESOURCE runc may not lower
    an oom score: the setting spares it the attempt.
    """
    more = "".join(_runtime(name, program) for name, program in place.runtimes.items())
    unused = ", ".join(f'"io.containerd.snapshotter.v1.{name}"' for name in SNAPSHOTTERS if name != place.snapshotter)
    return f"""\
version = 2
root = "{place.folder}/containerd"
state = "{RUN}"
disabled_plugins = ["io.containerd.internal.v1.opt", {unused}]
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{place.folder}/plugins"
    conf_dir = "{place.folder}/network"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{place.snapshotter}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
{more}"""


def _runtime(name: str, program: Path) -> str:
    return f"""\
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
        SystemdCgroup = false
        BinaryName = "{program}"
"""


def kubelet(place: Place) -> dict[str, Any]:
    """A kubelet on loopback that leaves firewalls alone, takes either version of control groups and evicts nothing for disk."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "address": "127.0.0.1",
        "port": place.port,
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(place.folder.parent / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{place.group}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "podLogsDir": str(place.folder / "pod-logs"),
        "volumePluginDir": str(place.folder / "volume-plugins"),
        "resolvConf": "",
        "maxPods": MAX_PODS,
        "nodeStatusUpdateFrequency": "5s",
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }


def copies(place: Place) -> dict[str, str]:
    """Kernel settings, and files with their values of now which lie over them."""
    found: dict[str, str] = {}
    (place.folder / "settings").mkdir()
    for name in COPIED:
        if (SETTINGS / name).is_file():
            copy = place.folder / "settings" / name.replace("/", ".")
            copy.write_text((SETTINGS / name).read_text("utf-8"), encoding="utf-8")
            found[str(SETTINGS / name)] = str(copy)
    return found


def covers(place: Place) -> dict[str, str]:
    """Folders, and those of the node that lie over them."""
    return {folder: str(place.folder / name) for folder, name in COVERED.items()}
