"""Kueue's Workload: where a queued job stands, and which of our levers reach it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from scheduler.adapters.kubernetes.marks import QUEUE, Problem
from scheduler.adapters.kubernetes.objects import (
    NOTHING,
    Obj,
    annotations_of,
    at,
    condition,
    controller_of,
    holds,
    instant,
    labels_of,
    parts,
    text,
    texts,
)
from scheduler.adapters.kubernetes.quantities import GPU

# Kinds that run to completion and that Kueue stops and starts again whole. Pods, StatefulSets and their like are services.
BATCH_OWNERS = frozenset(
    {
        "AppWrapper",
        "JAXJob",
        "Job",
        "JobSet",
        "MPIJob",
        "PaddleJob",
        "PyTorchJob",
        "RayJob",
        "SparkApplication",
        "TFJob",
        "TrainJob",
        "XGBoostJob",
    }
)
JOB_CONTROLLER = "kubernetes.io/job-controller"
ELASTIC = "kueue.x-k8s.io/elastic-job"
TOPOLOGY = ("kueue.x-k8s.io/podset-required-topology", "kueue.x-k8s.io/podset-preferred-topology")
# A topologyRequest may be there without any of these: Kueue gives one to every Job.
WISHES = ("required", "preferred", "unconstrained", "podSetSliceRequiredTopology")
PENDING, READY, RETRY = "Pending", "Ready", "Retry"


def queue_of(job: Obj, workload: Obj = NOTHING) -> str:
    """The LocalQueue of a job; empty for one that Kueue does not manage."""
    return text(workload, "spec", "queueName") or labels_of(job).get(QUEUE, "")


def active(workload: Obj) -> bool:
    """False while a Workload is switched off: it is evicted and not queued again."""
    return at(workload, "spec", "active") is not False


def admitted(workload: Obj) -> bool:
    """Whether Kueue lets the job run now."""
    return holds(workload, "Admitted") and not holds(workload, "Evicted")


def reserved(workload: Obj) -> bool:
    """Whether quota is held and a check may speak: never while an eviction is under way."""
    return holds(workload, "QuotaReserved") and not holds(workload, "Evicted") and not holds(workload, "Finished")


def finished(workload: Obj) -> bool:
    """Whether the job has ended."""
    return holds(workload, "Finished")


def started_utc(workload: Obj) -> datetime | None:
    """When its pods were all there, else when it was admitted; None when it is not."""
    if not admitted(workload):
        return None
    kind = "PodsReady" if holds(workload, "PodsReady") else "Admitted"
    return instant(condition(workload, kind), "lastTransitionTime")


def check_state(workload: Obj, check: str) -> Obj:
    """The state of one AdmissionCheck on a Workload; empty when it has none."""
    return next((each for each in parts(workload, "status", "admissionChecks") if each.get("name") == check), NOTHING)


def waits_for(workload: Obj, check: str) -> bool:
    """Whether Kueue waits for the word of an AdmissionCheck now: quota is held, and nothing of it is being undone."""
    return reserved(workload) and text(check_state(workload, check), "state") == PENDING


def flavors_of(workload: Obj) -> dict[str, str]:
    """ResourceFlavor of the GPUs by pod set, as admitted."""
    found = parts(workload, "status", "admission", "podSetAssignments")
    return {text(each, "name"): text(each, "flavors", GPU) for each in found}


def flavor_pool(workload: Obj, pool_by_flavor: Mapping[str, str]) -> str | None:
    """The pool that the admitted flavors stand for; None when they stand for none, or for several."""
    pools = {pool_by_flavor.get(flavor) for flavor in flavors_of(workload).values() if flavor}
    return pools.pop() if len(pools) == 1 else None


def uses_topology(workload: Obj) -> bool:
    """Whether Kueue places the pods itself, by topology: a node selector of ours could contradict it."""
    if any(at(each, "topologyRequest", wish) for each in parts(workload, "spec", "podSets") for wish in WISHES):
        return True
    if any(at(each, "topologyAssignment") is not None for each in parts(workload, "status", "admission", "podSetAssignments")):
        return True
    templates = (texts(each, "template", "metadata", "annotations") for each in parts(workload, "spec", "podSets"))
    return any(name in given for given in templates for name in TOPOLOGY)


def unsupported(workload: Obj, job: Obj) -> Problem | None:
    """Why a job is left alone whatever its class says."""
    owner = text(controller_of(workload), "kind")
    if owner and owner not in BATCH_OWNERS:
        return Problem(reason="NotABatchJob", text=f"it belongs to a {owner}, which does not run to completion")
    if "true" in (annotations_of(job).get(ELASTIC), annotations_of(workload).get(ELASTIC)):
        return Problem(reason="ElasticJob", text="it is an elastic job: Kueue resizes it while it runs")
    manager = text(job, "spec", "managedBy")
    if manager not in ("", JOB_CONTROLLER):
        return Problem(reason="RemoteJob", text=f"{manager} runs it (spec.managedBy), not the cluster's own controller")
    if text(workload, "status", "clusterName") or at(workload, "status", "nominatedClusterNames"):
        return Problem(reason="RemoteJob", text="MultiKueue runs it in another cluster")
    return None
