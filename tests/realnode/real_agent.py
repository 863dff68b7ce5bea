"""The agent of the manifests on a real node: its DaemonSet as it is, but for what no image is there for.

In place of an image and NVIDIA's runtime the containers get the folders that Python and this code are in, and a pretended
library of the driver. The API server listens on loopback: pods reach it by a name, through a door at their gateway.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import yaml
from agent_process import RUN
from agent_site import AGENT, AGENTS
from gpu_machine import Machine

from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.realnode.images import BUSYBOX

NAME = "heat-dispatch-agent"
DAEMON_SETS = f"/apis/apps/v1/namespaces/{AGENTS}/daemonsets"
PODS = f"/api/v1/namespaces/{AGENTS}/pods?labelSelector=app.kubernetes.io/name%3D{NAME}"
RUNTIME_CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"
LABEL = {"heatdispatch.io/agent": "enabled"}
SERVED_NAME = "kubernetes.default.svc"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
REPOSITORY = Path(__file__).parents[2]
OF_LIBRARY = ("LD_LIBRARY_PATH", "FAKE_NVML_STATE")
OURS = "scheduler.entrypoints."
SYS_ADMIN = 21  # capability.h
# No pause, so that a test need not wait for one; patient with an agent on a machine that has much else to do.
SETS = ("--no-dry-run", "--pause-seconds=0", "--jitter-seconds=0", "--contact-seconds=20")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where pods find the API server: an address of the node, by the name that its certificate has."""

    address: str
    port: int

    @property
    def options(self) -> tuple[str, ...]:
        """Of the agent."""
        files = (f"--api-token={ACCOUNT}/token", f"--api-ca={ACCOUNT}/ca.crt")
        return (f"--api-server=https://{SERVED_NAME}:{self.port}", *files)


@contextmanager
def door_to(port: int, address: str) -> Iterator[Door]:
    """Let what comes to the node at a port of its own through to a port of loopback, byte by byte."""

    class Passage(BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as inner:
                back = threading.Thread(target=_pass_on, args=(inner, self.request), daemon=True)
                back.start()
                _pass_on(self.request, inner)
                back.join()

    with ThreadingTCPServer(("0.0.0.0", 0), Passage) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield Door(address=address, port=int(server.server_address[1]))
        server.shutdown()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while said := one.recv(1 << 16):
            other.sendall(said)
    for each in (one, other):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def daemon_set(door: Door, machine: Machine, journal: Path) -> Object:
    """The DaemonSet, for this node."""
    (found,) = yaml.safe_load_all((AGENT / "daemonset.yaml").read_text("utf-8"))
    spec, found["spec"]["minReadySeconds"] = found["spec"]["template"]["spec"], 0
    spec["hostAliases"] = [{"ip": door.address, "hostnames": [SERVED_NAME]}]
    next(one for one in spec["volumes"] if one["name"] == "journal")["hostPath"]["path"] = str(journal)
    shared = [*places(), machine.library.parent, machine.file.parent]
    spec["volumes"] += [{"name": f"host-{number}", "hostPath": {"path": str(one)}} for number, one in enumerate(shared)]
    agent, setter, standby = spec["containers"]
    for container in (agent, setter, standby):
        container["image"], container["imagePullPolicy"] = BUSYBOX, "Never"
        container["command"] = [sys.executable, "-c", RUN, container["command"][1]]
        container["env"] += [{"name": name, "value": machine.environment[name]} for name in OF_LIBRARY]
        container["volumeMounts"] += [
            {"name": f"host-{number}", "mountPath": str(one), "readOnly": one != machine.file.parent}
            for number, one in enumerate(shared)
        ]
    agent["args"] += door.options
    agent["readinessProbe"]["periodSeconds"] = 1
    for container in (setter, standby):
        container["args"] = [one for one in container["args"] if one != "--dry-run"] + list(SETS)
    probe = setter["livenessProbe"]["exec"]
    probe["command"] = [sys.executable, *probe["command"][1:]]
    made: Object = found
    return made


def places() -> list[Path]:
    """Folders that Python, this code and the libraries of both are in; none lies in another one."""
    given = {Path(one) for one in (sys.prefix, sys.base_prefix, REPOSITORY, "/usr", "/lib", "/lib64")}
    there = sorted(one for one in given if one.is_dir())
    return [one for one in there if not any(other in one.parents for other in there)]


def runtime_class() -> Object:
    """What NVIDIA's toolkit makes, of the runtime that there is."""
    return {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "runc"}


def processes(pod_uid: str) -> Iterator[Path]:
    """Folders of the processes of a pod."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if pod_uid in (process / "cgroup").read_text("utf-8"):
                yield process


def kill_setters(pod_uid: str, *, standby: bool) -> int:
    """Kill what runs in the container of the setter, or of its standby, at one moment; returns how many processes that were."""
    word = f'"standby": {str(standby).lower()}'
    found = []
    for process in processes(pod_uid):
        with suppress(OSError):
            if word in (process / "cmdline").read_text("utf-8"):
                found.append(int(process.name))
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return len(found)


def rights(pod_uid: str) -> dict[str, set[int]]:
    """Effective capabilities of the processes of a pod, by what of our code they run."""
    found: dict[str, set[int]] = {}
    for process in processes(pod_uid):
        with suppress(OSError):
            status = dict(line.split(":", 1) for line in (process / "status").read_text("utf-8").splitlines())
            bits = int(status["CapEff"], 16)
            for part in (process / "cmdline").read_text("utf-8").split("\0"):
                if part.startswith(OURS):
                    found.setdefault(part.removeprefix(OURS), set()).update(bit for bit in range(64) if bits >> bit & 1)
    return found


def ready(found: Object) -> bool:
    """Whether every pod of a DaemonSet is of its newest template, and ready, and no other is left."""
    status: dict[str, Any] = found["status"]
    wanted = status.get("desiredNumberScheduled", 0)
    seen = status.get("observedGeneration") == found["metadata"]["generation"]
    return bool(seen and wanted and wanted == status.get("updatedNumberScheduled") == status.get("numberReady"))
