"""An operator beside Kueue, with two loops of which one has a customer, queues that ask it, and a price that is set by hand.

The lever on the plan is the Site's time-of-use bands: two dear hours of a day from now on, or none; nothing else is touched. So
few dear hours are under the tenth of the horizon by which the plan doubts what a pause would gain: it dares to stop jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from kube_objects import HEAT, QUEUE, job, pods_of
from operated import LAB, OPERATOR, Operated, bands, operated, priced, quickstart

from scheduler.adapters.devcluster import kueue as kueue_beside
from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import Object, condition
from scheduler.adapters.devcluster.cluster import DevCluster, Options
from scheduler.adapters.devcluster.kueue import API as KUEUE
from scheduler.adapters.devcluster.kwok import GPU

PLUG = "heatdispatch.io/plug"
# The loop without and the one with a customer for its heat.
ALONE, SOLD = "loop-a", "loop-b"
CHECK = "heat"
VERSION = "kueue.x-k8s.io/v1beta2"
POLICIES = Path(__file__).parents[1] / "policies" / "admission"
EXAMPLE = Path(__file__).parents[1] / "examples" / "kueue" / "queues.yaml"
FIRST_PLAN_S = 60.0
# A new plan after a price has changed, and all that follows from it.
TURN_S = 60.0
# May wait a day and be stopped once, though not in its first seconds; it goes wherever the plan wants it.
SWING: dict[str, Any] = {
    "flexibility": "preemptible",
    "migratable": True,
    "maxDelay": "24h",
    "minRuntime": "5s",
    "maxPreemptions": 1,
    "waitingEurPerGpuHour": 0.002,
    "valueEurPerGpuHour": 0.05,
}


def plant() -> list[Object]:
    """The quickstart on two loops; the neighbour takes heat of the second one."""
    found: list[Object] = []
    for obj in quickstart():
        if obj["kind"] == "ThermalPlug":
            for name in (ALONE, SOLD):
                found.append(deepcopy(obj))
                found[-1]["metadata"]["name"] = name
                found[-1]["spec"]["nodeSelector"] = {PLUG: name}
                found[-1]["spec"]["metering"]["meterPointId"] = f"quickstart-{name}"
            continue
        if obj["kind"] == "Site":
            obj["spec"]["electricity"]["bands"] = bands(dear=True)
        if obj["kind"] == "HeatOfftake":
            obj["spec"]["plugRef"] = SOLD
        if obj["kind"] == "WorkloadClass":
            obj["spec"]["migratable"] = True
            if obj["metadata"]["name"] == "soon":
                # Shorter than it is to the next quarter hour, nearly always: until then a plan may keep it.
                obj["spec"]["maxDelay"] = "5s"
        found.append(obj)
    swing = {"apiVersion": "heatdispatch.io/v1alpha1", "kind": "WorkloadClass", "metadata": {"name": "swing"}, "spec": SWING}
    return [*found, swing]


def queues() -> list[tuple[str, Object]]:
    """Paths and objects: our check, and queues that ask it.

    `loops` is the example's, with a flavor for each loop; `checked` has one flavor that is everywhere, `racks` one by whose
    topology Kueue places pods; `crowded` has room for one job of four GPUs, and gives it to the one of highest priority.
    """
    flavors: dict[str, Object] = {"anywhere": {}, "racks": {"nodeLabels": {PLUG: ALONE}, "topologyName": "hosts"}}
    levels = {"levels": [{"nodeLabel": PLUG}, {"nodeLabel": "kubernetes.io/hostname"}]}
    found = [_of_example(obj) for obj in yaml.safe_load_all(EXAMPLE.read_text("utf-8"))]
    found += [_kueue("Topology", "topologies", "hosts", levels), *priorities(low=10, high=1000)]
    found += [_kueue("ResourceFlavor", "resourceflavors", name, spec) for name, spec in flavors.items()]
    for name, given, gpus in (("checked", ["anywhere"], 32), ("racks", ["racks"], 32), ("crowded", ["anywhere"], 4)):
        quota = [{"name": "cpu", "nominalQuota": "64"}, {"name": GPU, "nominalQuota": str(gpus)}]
        spec = {
            "namespaceSelector": {},
            "resourceGroups": [
                {"coveredResources": ["cpu", GPU], "flavors": [{"name": flavor, "resources": quota} for flavor in given]}
            ],
            "admissionChecksStrategy": {"admissionChecks": [{"name": CHECK}]},
            "preemption": {"withinClusterQueue": "LowerPriority"},
        }
        found.append(_kueue("ClusterQueue", "clusterqueues", name, spec))
        found.append(_kueue("LocalQueue", f"namespaces/{LAB}/localqueues", name, {"clusterQueue": name}))
    return found


def priorities(**values: int) -> list[tuple[str, Object]]:
    """Kueue's priority classes."""
    kind, where = "WorkloadPriorityClass", "workloadpriorityclasses"
    found = [(name, value, _kueue(kind, where, name, {})) for name, value in values.items()]
    return [(path, {**obj, "value": value, "description": name}) for name, value, (path, obj) in found]


def _of_example(obj: Object) -> tuple[str, Object]:
    """An object of the example, in the lab."""
    plural, head = f"{obj['kind'].lower()}s", obj["metadata"]
    where = f"namespaces/{LAB}/{plural}" if "namespace" in head else plural
    return _kueue(obj["kind"], where, head["name"], obj["spec"])


def _kueue(kind: str, where: str, name: str, spec: Mapping[str, Any]) -> tuple[str, Object]:
    return f"{KUEUE}/{where}", {"apiVersion": VERSION, "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}


def jobset_kind() -> Object:
    """The kind JobSet, whose own controller is not here: enough for Kueue, which suspends, places and starts it."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1alpha2", "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}}
    names = {"kind": "JobSet", "plural": "jobsets", "singular": "jobset", "listKind": "JobSetList"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "jobsets.jobset.x-k8s.io"},
        "spec": {"group": "jobset.x-k8s.io", "scope": "Namespaced", "names": names, "versions": [version]},
    }


def hold_new_jobs(cluster: DevCluster) -> None:
    """Put the admission policies in force, which hold new jobs at their creation."""
    for path, obj in admission_policies():
        cluster.admin.apply(path, obj)
    cluster.wait("policies in force", lambda: held_at_creation(cluster), 30.0)


def hold_no_new_jobs(cluster: DevCluster) -> None:
    """Take them away again, for whoever uses the cluster next."""
    for path, _ in admission_policies():
        cluster.admin.delete(path)
    cluster.wait("policies gone", lambda: not held_at_creation(cluster), 30.0)


def admission_policies() -> list[tuple[str, Object]]:
    """Paths and objects."""
    found = []
    for obj in yaml.safe_load_all((POLICIES / "hold-new-jobs.yaml").read_text("utf-8")):
        plural = "mutatingadmissionpolicybindings" if obj["kind"].endswith("Binding") else "mutatingadmissionpolicies"
        found.append((f"/apis/admissionregistration.k8s.io/v1/{plural}/{obj['metadata']['name']}", obj))
    return found


def held_at_creation(cluster: DevCluster) -> bool:
    """Whether a new Job of a class would be held."""
    probe = job("probe", suspend=False, labels={"heatdispatch.io/class": "deferrable"})
    return bool(cluster.admin.create(f"/apis/batch/v1/namespaces/{LAB}/jobs?dryRun=All", probe)["spec"]["suspend"])


def price(world: Operated, *, dear: bool) -> str:
    """Make power dear now or cheap for all time; returns the plan that says so."""
    before, path = world.plan().get("planId"), f"{HEAT}/sites/quickstart"
    stated = world.cluster.admin.get(path)["metadata"]["generation"]
    site = world.cluster.admin.patch(path, {"spec": {"electricity": {"bands": bands(dear=dear)}}})
    if site["metadata"]["generation"] != stated:
        world.cluster.wait("a plan at the new price", lambda: priced(world.plan(), before, dear=dear), TURN_S)
    return str(world.plan()["planId"])


def queued(
    world: Operated, name: str, queue: str, class_name: str | None = "deferrable", priority: str = "", **shape: Any
) -> None:
    """Create a Job with a queue as its owner would; what holds it is none of his business."""
    labels = {QUEUE: queue, **({} if class_name is None else {"heatdispatch.io/class": class_name})}
    labels |= {"kueue.x-k8s.io/priority-class": priority} if priority else {}
    made = job(name, **{"gpus": 4, "suspend": False, "labels": labels, **shape})
    made["metadata"]["annotations"] = {"heatdispatch.io/expected-duration": "1h"}
    world.cluster.admin.create(world.jobs, made)


def workload(world: Operated, name: str) -> Object:
    """Kueue's Workload of an object; empty before it is there."""
    found = world.cluster.admin.items(f"{KUEUE}/namespaces/{LAB}/workloads")
    owned = (one for one in found if any(owner["name"] == name for owner in one["metadata"].get("ownerReferences", [])))
    return next(owned, {})


def noted(obj: Object) -> dict[str, str]:
    """What stands on an object of ours."""
    prefix = "heatdispatch.io/"
    given = obj.get("metadata", {}).get("annotations") or {}
    return {key.removeprefix(prefix): value for key, value in given.items() if key.startswith(prefix)}


def check_of(obj: Object) -> Object:
    """Our check's entry on a Workload."""
    given = obj.get("status", {}).get("admissionChecks", [])
    return next((one for one in given if one["name"] == CHECK), {})


def switched_off(world: Operated, name: str) -> Object:
    """A job's Workload, once it is switched off and its hold is marked with an end; empty until then."""
    found = workload(world, name)
    off = found and found["spec"].get("active") is False and "hold-until" in noted(found)
    return found if off else {}


def loops_of(world: Operated, name: str) -> set[str]:
    """Loops on which a Job's pods are or were."""
    nodes = {one["spec"].get("nodeName", "") for one in pods_of(world.cluster, LAB, name)}
    return {node.rpartition("-")[0] for node in nodes}


def complete(world: Operated, name: str) -> bool:
    """Whether a Job has ended well."""
    return condition(world.job(name), "Complete") == "True"


@contextmanager
def governed(toolbox: Toolbox, folder: Path) -> Iterator[Operated]:
    """The cluster with Kueue and one operator, which has made its first plan."""
    with DevCluster(toolbox, folder / "cluster", Options(users={OPERATOR: ()})) as cluster:
        for loop in (ALONE, SOLD):
            cluster.add_nodes(4, 8, {PLUG: loop}, prefix=loop)
        cluster.apply_crds([jobset_kind()])
        kueue_beside.start(cluster, ("batch/job", "jobset.x-k8s.io/jobset"))
        with operated(cluster, folder / "operator", objects=plant()) as found:
            for path, obj in queues():
                cluster.admin.create(path, obj)
            found.replica()
            cluster.wait("a first plan", lambda: found.plan().get("planId"), FIRST_PLAN_S)
            yield found
