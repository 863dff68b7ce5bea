"""The cluster that is measured on: nodes, our kinds, the rights of two replicas, and Jobs of the usual size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import yaml

from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.adapters.devcluster.kwok import GPU, RUN_TIME
from scheduler.config.kinds import KINDS

ROOT = Path(__file__).parents[2]
API = "heatdispatch.io/v1alpha1"
HEAT = f"/apis/{API}"
HOME, LAB = "heat-dispatch", "lab"
JOBS = f"/apis/batch/v1/namespaces/{LAB}/jobs"
POLICY = "bench"
LEASE_HOME = "kube-system"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{LEASE_HOME}/leases/heat-dispatch-operator"
# Each replica is a user of its own, so that the audit log tells them apart.
REPLICAS = ("operator-a", "operator-b")
ZONE = "Europe/Copenhagen"
LOOPS = ("north", "south")
GPUS_PER_NODE = 8
HANDS = 16
# kW of heat per node of eight GPUs, for tanks, customers and limits to have a size that matters.
HEAT_KW_PER_NODE = 5.0
# Share of jobs by class; those without a class are insulated and run at once.
CLASS_SHARES = (("", 0.2), ("deferrable", 0.6), ("preemptible", 0.2))
GPU_SHARES = ((1, 0.45), (2, 0.25), (4, 0.2), (8, 0.1))
HOURS = (1, 2, 4, 8, 12)
# No pod ends while it is measured.
NEVER_ENDS = "48h"
ENVIRONMENT, VOLUMES = 15, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the cluster is."""

    nodes: int
    jobs: int
    seed: int = 1

    @property
    def heat_kw(self) -> float:
        """Heat of a loop with everything running."""
        return HEAT_KW_PER_NODE * self.nodes / len(LOOPS)


def install(cluster: DevCluster, size: Size, now_utc: datetime) -> None:
    """Kinds, namespaces, rights, nodes, and our objects in Dispatch mode."""
    cluster.apply_crds(yaml.safe_load(path.read_text("utf-8")) for path in sorted((ROOT / "manifests" / "crds").glob("*.yaml")))
    for name, labels in ((HOME, {}), (LAB, {"heatdispatch.io/dispatch": "enabled"})):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        cluster.admin.apply(f"/api/v1/namespaces/{name}", namespace)
    for obj in yaml.safe_load_all((ROOT / "manifests" / "rbac" / "operator.yaml").read_text("utf-8")):
        _grant(cluster, obj)
    for number, loop in enumerate(LOOPS):
        count = size.nodes // len(LOOPS) + (number < size.nodes % len(LOOPS))
        cluster.add_nodes(count, GPUS_PER_NODE, {"heatdispatch.io/plug": loop}, prefix=f"gpu-{loop}")
    for obj in kinds(size, now_utc):
        cluster.admin.apply(f"{HEAT}/{KINDS[obj['kind']].plural}/{obj['metadata']['name']}", obj)


def free_lease(cluster: DevCluster) -> None:
    """Leave a Lease behind as a leader does that has stopped: the first to come waits a second instead of a lease's length."""
    name = LEASE.rpartition("/")[2]
    spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 1}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "namespace": LEASE_HOME}}
    cluster.admin.apply(LEASE, {**lease, "spec": spec}, manager="benchmark")


def _grant(cluster: DevCluster, obj: Object) -> None:
    """Apply one object of manifests/rbac; bindings are to the replicas' users."""
    if obj["kind"] == "ServiceAccount":
        return
    name, namespace = obj["metadata"]["name"], obj["metadata"].get("namespace")
    if obj["kind"].endswith("Binding"):
        group = "rbac.authorization.k8s.io"
        obj = {**obj, "subjects": [{"kind": "User", "name": user, "apiGroup": group} for user in REPLICAS]}
    scope = f"/namespaces/{namespace}" if namespace else ""
    cluster.admin.apply(f"/apis/rbac.authorization.k8s.io/v1{scope}/{obj['kind'].lower()}s/{name}", obj)


def kinds(size: Size, now_utc: datetime) -> Iterator[Object]:
    """Site, plugs, customers, classes and the policy."""
    yield _own("Site", POLICY, {"timeZone": ZONE, "electricity": {"kind": "timeOfUse", "bands": dear_now(now_utc)}})
    for loop in LOOPS:
        yield _own("ThermalPlug", loop, _plug(loop, size))
        yield _own("HeatOfftake", f"town-{loop}", _offtake(loop, size))
    weights = {"waitingEurPerGpuHour": 0.002, "latenessEurPerGpuHour": 1.0, "valueEurPerGpuHour": 0.05}
    yield _own("WorkloadClass", "deferrable", {"flexibility": "deferrable", "maxDelay": "24h", **weights})
    yield _own(
        "WorkloadClass", "preemptible", {"flexibility": "preemptible", "maxDelay": "24h", "maxPreemptions": 2, **weights}
    )
    # In a hurry: released as soon as there is room.
    yield _own("WorkloadClass", "soon", {"flexibility": "deferrable", "maxDelay": "1m", **weights})
    yield policy()


def policy(solve_budget_s: float | None = None) -> Object:
    """The policy; a budget other than the default makes it a changed one."""
    budget = {} if solve_budget_s is None else {"solveBudgetSeconds": solve_budget_s}
    return _own("DispatchPolicy", POLICY, {"mode": "Dispatch", "cycle": {"every": "15m", **budget}})


def _own(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def dear_now(now_utc: datetime, hours: int = 3) -> list[Object]:
    """Bands of a day on which power is dear for some hours from now on, and then cheaper by the hour."""
    hour_now = now_utc.astimezone(ZoneInfo(ZONE)).hour
    dear = {(hour_now + ahead) % 24 for ahead in range(hours)}
    prices = {hour: 0.9 if hour in dear else 0.05 + 0.002 * ((hour * 7) % 24) for hour in range(24)}
    return [{"startHour": hour, "endHour": hour + 1, "eurPerKwh": round(price, 4)} for hour, price in prices.items()]


def _plug(loop: str, size: Size) -> Object:
    return {
        "nodeSelector": {"heatdispatch.io/plug": loop},
        "temperature": {"supplyMinC": 40, "supplyMaxC": 55, "returnMaxC": 45},
        "capacity": {"maxHeatKw": size.heat_kw},
        "capture": {"gpu": 0.9, "other": 0.3},
        "storage": {
            "capacityKwh": size.heat_kw,
            "maxChargeKw": 0.3 * size.heat_kw,
            "maxDischargeKw": 0.3 * size.heat_kw,
            "lossPerHourFraction": 0.005,
            "endAtLeastInitial": False,
        },
        "metering": {"meterPointId": loop, "position": "return", "meterClass": "2", "calibrationDue": "2030-12-31"},
    }


def _offtake(loop: str, size: Size) -> Object:
    return {
        "plugRef": loop,
        "sink": "building",
        "requirement": {"supplyC": 50, "maxHeatKw": 0.6 * size.heat_kw, "annualMwh": 2.0 * size.heat_kw, "availability": 0.5},
        "demand": {"source": "constant", "constantKw": 0.4 * size.heat_kw},
        "tariff": {"kind": "fixed", "fixedEurPerKwh": 0.06},
        "interruptible": True,
        "auxiliaryHeat": True,
    }


# Jobs.


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One Job to create; class_name empty: insulated."""

    name: str
    class_name: str
    gpus: int
    hours: int


def job_specs(prefix: str, count: int, seed: int, *, insulated: bool = True) -> list[JobSpec]:
    """Jobs by their shares, in an order that tells nothing; without `insulated` all of them may be held."""
    rng = np.random.default_rng(seed)
    shares = [one for one in CLASS_SHARES if insulated or one[0]]
    whole = sum(share for _, share in shares)
    classes = rng.choice([name for name, _ in shares], count, p=[share / whole for _, share in shares])
    gpus = rng.choice([gpus for gpus, _ in GPU_SHARES], count, p=[share for _, share in GPU_SHARES])
    hours = rng.choice(HOURS, count)
    rows = zip(classes, gpus, hours, strict=True)
    return [
        JobSpec(name=f"{prefix}-{number:05d}", class_name=str(name), gpus=int(gpu), hours=int(hour))
        for number, (name, gpu, hour) in enumerate(rows)
    ]


def job_object(spec: JobSpec) -> Object:
    """A Job as large as real ones are; one of a class is held at its creation, as the admission policy does."""
    metadata: dict[str, Any] = {"name": spec.name, "annotations": {"heatdispatch.io/expected-duration": f"{spec.hours}h"}}
    if spec.class_name:
        metadata["labels"] = {"heatdispatch.io/class": spec.class_name}
        metadata["annotations"]["heatdispatch.io/held-by"] = "admission"
    container = {
        "name": "train",
        "image": "registry.example.test/team/train:2026.11",
        "command": ["python", "-m", "train"],
        "args": ["--config", "/etc/train/config.yaml", "--resume"],
        "env": [{"name": f"SETTING_{number}", "value": f"value of setting {number}"} for number in range(ENVIRONMENT)],
        "volumeMounts": [{"name": f"data-{number}", "mountPath": f"/data/{number}"} for number in range(VOLUMES)],
        "resources": {"requests": {GPU: str(spec.gpus), "cpu": "1"}, "limits": {GPU: str(spec.gpus)}},
    }
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": f"data-{number}", "emptyDir": {}} for number in range(VOLUMES)],
    }
    template = {"metadata": {"annotations": {RUN_TIME: NEVER_ENDS}}, "spec": pod}
    body = {"suspend": bool(spec.class_name), "backoffLimit": 0, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": body}


def create_jobs(cluster: DevCluster, specs: Iterable[JobSpec]) -> None:
    """Create Jobs as fast as the API server takes them."""
    with ThreadPoolExecutor(HANDS) as hands:
        list(hands.map(lambda spec: cluster.admin.create(JOBS, job_object(spec)), specs))


def undecided(jobs: Sequence[Object]) -> list[str]:
    """Names of Jobs that nobody holds with an end and a reason, that nobody released, and that do not run as they came."""
    return [job["metadata"]["name"] for job in jobs if not decided(job)]


def decided(job: Object) -> bool:
    """Whether a Job is held with an end and a reason, was released, or was never held."""
    marks = job["metadata"].get("annotations", {})
    held = "heatdispatch.io/hold-until" in marks and "heatdispatch.io/hold-text" in marks
    if job["spec"].get("suspend"):
        return held
    return "heatdispatch.io/held-by" not in marks
