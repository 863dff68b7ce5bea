"""An installation by Helm on a real node: pods that run from the image, as the chart makes them and with its rights alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pretended_runtime
import yaml
from device_plugin import DevicePlugin
from docs_shell import LINES, Made, fitting, typed
from gpu_machine import Machine
from kube_objects import HEAT, running_pods
from operated import LAB, RUN, bands, heat_path, priced, quickstart
from real_jobs import RealJob

from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import Object, condition
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.adapters.devcluster.kwok import GPU
from scheduler.adapters.devcluster.realnode.node import PATH, RealNode

CHART = Path(__file__).parents[2] / "helm" / "heat-dispatch"
RELEASE, HOME, AGENTS = "heat-dispatch", "heat-dispatch", "heat-dispatch-agents"
LABELS = {f"heatdispatch.io/{key}": value for key, value in (("plug", "loop"), ("caps", "enabled"), ("agent", "enabled"))}
GPUS = ("GPU-0000", "GPU-0001", "GPU-0002", "GPU-0003")
TOKEN = "a-token-of-the-plant-that-nobody-guesses-0123456789"
REST = 8443
# A busy machine starts a pod of ours in a minute.
WITHIN_S = 300.0
NOBODY = 65532
# What stands in the way of a test alone: pauses of the setter, and memory that two processors have not.
VALUES: Object = {
    "image": {"repository": "localhost/heat-dispatch", "pullPolicy": "Never"},
    "operator": {"resources": {"requests": {"cpu": "50m", "memory": "256Mi"}}, "livePage": {"enabled": True}},
    "plantLink": {
        "enabled": True,
        "config": {
            "site": "quickstart",
            "rest": {
                "host": "0.0.0.0",
                "port": REST,
                "plain": True,
                "credentials": [
                    {"name": "town", "secretFile": "/etc/heat-dispatch/link/plant/token", "offtakes": ["neighbour"]}
                ],
            },
        },
        "secrets": ["plant"],
        "service": {"ports": {"rest": REST}},
    },
    "agent": {"dryRun": False, "extraSetterArgs": ["--pause-seconds=0", "--jitter-seconds=0", "--contact-seconds=20"]},
}


@dataclass(slots=True)
class Installation:
    """A cluster with a real node, and the chart on it."""

    cluster: DevCluster
    node: RealNode
    machine: Machine
    folder: Path

    def helm(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Helm, with nothing of this machine's user."""
        with self.begun(*arguments) as running:
            out, errors = running.communicate(timeout=2 * WITHIN_S)
        done = subprocess.CompletedProcess(arguments, running.returncode, out, errors)
        assert not check or done.returncode == 0, f"{done.stdout}{done.stderr}\n{self.told()}"
        return done

    def begun(self, *arguments: str) -> subprocess.Popen[str]:
        """The same, at work."""
        return subprocess.Popen(
            [
                str(self.cluster.toolbox.program("helm")),
                "--kubeconfig",
                str(self.cluster.kubeconfig()),
                "--namespace",
                HOME,
                *arguments,
            ],
            env=os.environ | self.helms_own(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def helms_own(self) -> Mapping[str, str]:
        """Where Helm keeps what it keeps."""
        return {name: str(self.folder / name) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}

    def typed(self, name: str, made: Made) -> str:
        """What a line of a page prints that whoever runs the cluster types in the repository; $AGENT is a pod of the agent."""
        self.values()
        agents = [pod["metadata"]["name"] for pod in self.pods(AGENTS)]
        return typed(fitting(LINES[name], made), self.folder, {**self.owners(), "AGENT": next(iter(agents), "")})

    def owners(self) -> Mapping[str, str]:
        """The environment of whoever runs the cluster."""
        places = {str(self.cluster.toolbox.program(name).parent): None for name in ("kubectl", "helm")}
        path = ":".join([*places, os.environ["PATH"]])
        return {**self.helms_own(), "KUBECONFIG": str(self.cluster.kubeconfig()), "PATH": path}

    def values(self, **more: Any) -> str:
        """A file of values."""
        file = self.folder / "values.yaml"
        file.write_text(yaml.safe_dump(VALUES | more), encoding="utf-8")
        return str(file)

    def install(self) -> None:
        """Install, and wait until every pod is ready."""
        self.helm("install", RELEASE, str(CHART), "--values", self.values(), "--wait", f"--timeout={WITHIN_S:.0f}s")

    def wait(self, what: str, ready: Any, within_s: float = WITHIN_S) -> Any:
        """Wait, and tell what the pods have told when it does not come."""
        try:
            return self.cluster.wait(what, ready, within_s)
        except Exception as error:
            raise AssertionError(f"{error}\n{self.told()}") from error

    def told(self) -> str:
        """What pods of ours have told last, those that ended too."""
        kubectl = [str(self.cluster.toolbox.program("kubectl")), "--kubeconfig", str(self.cluster.kubeconfig())]
        found = ""
        for namespace in (HOME, AGENTS):
            for pod in self.pods(namespace):
                name = pod["metadata"]["name"]
                command = [*kubectl, "--namespace", namespace, "logs", name, "--all-containers", "--tail=15", "--prefix"]
                said = subprocess.run(command, capture_output=True, text=True, check=False)
                states = [one.get("state") for one in pod["status"].get("containerStatuses", [])]
                found += f"--- {namespace}/{name} {pod['status'].get('phase')} {states}\n{said.stdout}{said.stderr}"
        return found

    # What is there.

    def pods(self, namespace: str = HOME, selector: str = "") -> list[Object]:
        """Pods of a namespace."""
        return self.cluster.admin.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")

    def operator(self) -> Object:
        """The one pod of the operator that is not about to end."""
        found = self.pods(selector="app.kubernetes.io/name%3Dheat-dispatch-operator")
        (one,) = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return one

    def plan(self) -> Object:
        """Status of the plan; empty before the first one."""
        found = self.cluster.admin.items(f"{HEAT}/dispatchplans")
        return found[0].get("status", {}) if found else {}

    def state(self, mode: str) -> None:
        """What people state: a site whose power is dear now, a plug, a customer, a policy, classes."""
        for obj in [*quickstart(mode), MODEST]:
            self.cluster.admin.apply(heat_path(obj), obj)

    def mode(self, mode: str) -> None:
        """Change the policy's mode, and wait until the operator has read it: until then it lets go of what is held."""
        path = f"{HEAT}/dispatchpolicies/quickstart"
        generation = self.cluster.admin.patch(path, {"spec": {"mode": mode}})["metadata"]["generation"]

        def read() -> bool:
            conditions = self.cluster.admin.get(path).get("status", {}).get("conditions", [])
            return any(one["type"] == "Ready" and one.get("observedGeneration") == generation for one in conditions)

        self.wait("the policy is read", read)

    def price(self, *, dear: bool) -> None:
        """Change what power costs, and wait for a plan that knows."""
        before = self.plan()["planId"]
        self.cluster.admin.patch(f"{HEAT}/sites/quickstart", {"spec": {"electricity": {"bands": bands(dear=dear)}}})
        self.wait("a plan for it", lambda: priced(self.plan(), before, dear=dear))

    def submit(self, job: RealJob, *, dry: bool = False) -> Object:
        """Create a Job as a user does, who knows nothing of holds, or only see what would become of it."""
        made = job.made()
        made["spec"]["suspend"] = False
        made["metadata"].get("annotations", {}).pop("heatdispatch.io/held-by", None)
        path = f"/apis/batch/v1/namespaces/{LAB}/jobs{'?dryRun=All' if dry else ''}"
        return self.cluster.admin.create(path, made)

    def held(self, name: str) -> bool:
        """Whether a Job is held by us, with an end."""
        found = self.job(name)
        return bool(found["spec"].get("suspend")) and "heatdispatch.io/hold-until" in found["metadata"].get("annotations", {})

    def complete(self, name: str) -> bool:
        """Whether a Job is over, and well."""
        return condition(self.job(name), "Complete") == "True"

    def running(self, name: str) -> bool:
        """Whether a process of a Job runs."""
        return bool(running_pods(self.cluster, LAB, name))

    def job(self, name: str) -> Object:
        """A Job as it is."""
        return self.cluster.admin.get(f"/apis/batch/v1/namespaces/{LAB}/jobs/{name}")

    def limits_w(self) -> list[float]:
        """Power limits of the machine's GPUs, in W."""
        return [self.machine[number].limit_milliwatt / 1000.0 for number in range(len(GPUS))]


@contextmanager
def ground(toolbox: Toolbox, image: Path, machine: Machine, folder: Path) -> Iterator[Installation]:
    """What is there before anybody installs: a node with GPUs and NVIDIA's runtime, a volume, namespaces, a plant's token."""
    runtimes = {"nvidia": pretended_runtime.written(folder, machine.library, machine.file)}
    with (
        DevCluster(toolbox, folder / "cluster") as cluster,
        RealNode(cluster, gpus=0, labels=LABELS, images=(image,), runtimes=runtimes) as node,
        DevicePlugin(node.kubelet_folder / "device-plugins", GPUS),
    ):
        cluster.wait("its GPUs", partial(has_gpus, cluster), 60.0)
        for name in ("helm", "manifests"):
            (folder / name).symlink_to(CHART.parents[1] / name)
        volume = folder / "volume"
        volume.mkdir()
        os.chown(volume, NOBODY, NOBODY)
        for path, obj in objects(volume):
            cluster.admin.create(path, obj)
        yield Installation(cluster, node, machine, folder)


def has_gpus(cluster: DevCluster) -> bool:
    """Whether the kubelet knows of the plugin's devices."""
    return bool(cluster.admin.get(PATH)["status"]["allocatable"].get(GPU) == str(len(GPUS)))


def objects(volume: Path) -> Iterator[tuple[str, Object]]:
    """What whoever runs a cluster has made, with the path where it is created."""
    for name, labels in (
        (HOME, {"pod-security.kubernetes.io/enforce": "restricted"}),
        (LAB, {"heatdispatch.io/dispatch": "enabled"}),
    ):
        yield "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "nvidia"}
    yield "/apis/node.k8s.io/v1/runtimeclasses", runtime
    disk = {
        "capacity": {"storage": "5Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": str(volume)},
    }
    yield (
        "/api/v1/persistentvolumes",
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": disk},
    )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "plant"}, "stringData": {"token": TOKEN}}
    yield f"/api/v1/namespaces/{HOME}/secrets", secret


# Bears to run slower, and lets it be known when it does.
MODEST: Object = {
    "apiVersion": "heatdispatch.io/v1alpha1",
    "kind": "WorkloadClass",
    "metadata": {"name": "modest"},
    "spec": {
        "flexibility": "deferrable",
        "maxDelay": "20s",
        "maxSlowdown": 0.4,
        "waitingEurPerGpuHour": 0.002,
        "latenessEurPerGpuHour": 0.01,
        "valueEurPerGpuHour": 0.01,
    },
}


def plant_sim(url: str, token: Path, seconds: int) -> Mapping[str, Any]:
    """What a heat plant outside the cluster has to tell after so many seconds."""
    told = ["plant-sim", "--protocol", "rest", "--address", url, "--offtake", "neighbour", "--secret-file", str(token)]
    command = [sys.executable, "-c", RUN, *told, "--seconds", str(seconds), "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WITHIN_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return json_of(done.stdout)


def seconds_of(begun_s: float) -> float:
    """How long ago that was, in s."""
    return time.monotonic() - begun_s


def json_of(text: str) -> Mapping[str, Any]:
    """A JSON object."""
    found: Mapping[str, Any] = json.loads(text)
    return found


def left_of(found: Installation) -> set[str]:
    """Everything in the cluster that is ours by its label or its name, as kind and name.

    But the kinds, which are kept, the namespace that was there before, and Events, which go by themselves.
    """
    kubectl = [str(found.cluster.toolbox.program("kubectl")), "--kubeconfig", str(found.cluster.kubeconfig())]

    def asked(*arguments: str) -> str:
        return subprocess.run([*kubectl, *arguments], capture_output=True, text=True, check=True).stdout

    kinds = {one for one in asked("api-resources", "--verbs=list", "--output=name").split() if not one.startswith("events")}
    ours = set()
    for obj in json.loads(asked("get", ",".join(sorted(kinds)), "--all-namespaces", "--output=json"))["items"]:
        name, labels = obj["metadata"]["name"], obj["metadata"].get("labels", {})
        known = labels.get("app.kubernetes.io/part-of") == "heat-dispatch" or "heat-dispatch" in name or "heatdispatch" in name
        if (
            known
            and obj["kind"] not in {"CustomResourceDefinition", "APIService"}
            and (obj["kind"], name) != ("Namespace", HOME)
        ):
            ours.add(f"{obj['kind']} {name}")
    return ours
