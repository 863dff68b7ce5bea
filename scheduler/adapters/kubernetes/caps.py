"""Caps of jobs as NodePower objects: which GPU, for which pod, how many watts, and only where all of that is certain.

A GPU is capped only if the node takes part, its agent sees one known pod on it, that pod belongs to a running job whose class
allows a slowdown, and the limit lies within what the GPU takes. Everything else has no cap. A node whose caps do not change is
not written: caps live on by the lease that the operator renews elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from typing import Any

from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.marks import CAPS, ENABLED
from scheduler.adapters.kubernetes.objects import NOTHING, Obj, at, count, labels_of, name_of, part, parts, text, uid_of
from scheduler.adapters.kubernetes.pools import FINISHED_PODS
from scheduler.adapters.kubernetes.quantities import GPU, amounts_of
from scheduler.adapters.kubernetes.runtime.kinds import NODE_POWERS, NODES
from scheduler.adapters.kubernetes.writes import Verb, Write
from scheduler.domain.job import JobClass, JobPhase

SAME_W = 0.5
# Of a GPU: split, without permission, not answering. One that is left to somebody else stays wished for: its agent tries again.
UNAVAILABLE = "unavailable"
# What a NodePower without caps states; with caps it is the policy's.
LEASE_S = 120.0
CHANGED = "CapsChanged"

Caps = Mapping[tuple[str, str], float]
"""Watts by (node, uid of the pod)."""


def wanted_caps(
    views: Iterable[JobView], caps_w: Mapping[str, float], classes: Mapping[str, JobClass]
) -> dict[tuple[str, str], float]:
    """Watts per GPU by (node, pod uid) for the pods of running jobs that may be slowed.

    Args:
        views: jobs as seen.
        caps_w: wanted limit per GPU by job id; a job that is not named has none.
        classes: by name.
    """
    found: dict[tuple[str, str], float] = {}
    for view in views:
        cap_w = caps_w.get(view.job_id)
        if cap_w is None or not _may_be_slowed(view, classes):
            continue
        for pod in view.pods:
            node = text(pod, "spec", "nodeName")
            if node and text(pod, "status", "phase") not in FINISHED_PODS:
                found[node, uid_of(pod)] = cap_w
    return found


def node_power_writes(
    wanted: Caps, nodes: Iterable[Obj], powers: Iterable[Obj], *, plan_id: str, lease_s: float
) -> tuple[Write, ...]:
    """Changed NodePower objects, in order of their names.

    Args:
        wanted: watts by node and pod.
        nodes: Nodes; those without the label do not take part.
        powers: NodePower objects as they are, with what the agents see in their status.
        plan_id: the plan that wishes so.
        lease_s: how long a cap outlives the last sign of life.
    """
    there = {name_of(node): node for node in nodes}
    found = []
    for power in sorted(powers, key=name_of):
        node = there.get(name_of(power), NOTHING)
        gpus = _caps_of(power, wanted) if takes_part(node) and not _agent_silent(power) else []
        if not _same(parts(power, "spec", "gpus"), gpus):
            found.append(_write(power, node, gpus, plan_id, lease_s))
    return tuple(found)


def takes_part(node: Obj) -> bool:
    """Whether the owner of a node allows caps on it."""
    return labels_of(node).get(CAPS) == ENABLED


def missing_powers(nodes: Iterable[Obj], powers: Container[str]) -> tuple[Write, ...]:
    """NodePower objects, without any cap, of GPU nodes that take part and have none yet, in order of their names.

    The agent of a node writes what it sees into the status and creates nothing. Each belongs to its Node, so the API server
    removes it with the Node.
    """
    return tuple(
        _write({"metadata": {"name": name_of(node)}, "spec": {"generation": -1}}, node, [], "", LEASE_S)
        for node in sorted(nodes, key=name_of)
        if takes_part(node)
        and name_of(node) not in powers
        and amounts_of(part(node, "status", "allocatable")).get(GPU, 0.0) > 0
    )


def caps_in_force(views: Iterable[JobView], powers: Iterable[Obj]) -> dict[str, float]:
    """The limit in force per GPU by job id: the lowest that an agent enforces below what it found."""
    by_pod: dict[str, list[float]] = {}
    for power in powers:
        for gpu in parts(power, "status", "gpus"):
            enforced, original = at(gpu, "enforcedWatts"), at(gpu, "originalWatts")
            if _number(enforced) and _number(original) and enforced < original - SAME_W:
                by_pod.setdefault(text(gpu, "podUid"), []).append(float(enforced))
    found = {view.job_id: [w for pod in view.pods for w in by_pod.get(uid_of(pod), ())] for view in views}
    return {job_id: min(watts) for job_id, watts in found.items() if watts}


def _may_be_slowed(view: JobView, classes: Mapping[str, JobClass]) -> bool:
    """Whether a job runs and its class allows a slowdown."""
    job_class = classes.get(view.state.job.class_name)
    if view.insulated or view.owner_took or view.state.phase is not JobPhase.RUNNING:
        return False
    return job_class is not None and job_class.max_slowdown_fraction > 0.0


def _agent_silent(power: Obj) -> bool:
    """Whether nothing is known of the node's GPUs."""
    return not parts(power, "status", "gpus")


def _caps_of(power: Obj, wanted: Caps) -> list[dict[str, Any]]:
    """Caps of one node; a GPU with several pods, without one, or with limits that do not fit has none."""
    seen = parts(power, "status", "gpus")
    occupants = Counter(text(gpu, "uuid") for gpu in seen)
    found = []
    for gpu in seen:
        cap_w = wanted.get((name_of(power), text(gpu, "podUid")))
        if cap_w is not None and occupants[text(gpu, "uuid")] == 1 and _takes(gpu, cap_w):
            found.append({"uuid": text(gpu, "uuid"), "podUid": text(gpu, "podUid"), "capWatts": float(cap_w)})
    return sorted(found, key=lambda each: str(each["uuid"]))


def _takes(gpu: Obj, cap_w: float) -> bool:
    """Whether a GPU takes a limit; one that says nothing of its limits, or that it cannot be capped, takes none."""
    low, high = at(gpu, "minWatts"), at(gpu, "maxWatts")
    return text(gpu, "condition") != UNAVAILABLE and _number(low) and _number(high) and low <= cap_w < high


def _number(value: object) -> bool:
    """Whether a JSON value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(before: tuple[Obj, ...], after: list[dict[str, Any]]) -> bool:
    """Whether the caps are the same, but for half a watt."""
    one = {(text(gpu, "uuid"), text(gpu, "podUid")): at(gpu, "capWatts") for gpu in before}
    other = {(gpu["uuid"], gpu["podUid"]): gpu["capWatts"] for gpu in after}
    return one.keys() == other.keys() and all(_number(one[key]) and abs(one[key] - other[key]) < SAME_W for key in one)


def _write(power: Obj, node: Obj, gpus: list[dict[str, Any]], plan_id: str, lease_s: float) -> Write:
    """The wish for one node; it is our own object, so it is applied whole: what is left out would be removed."""
    spec = {
        "planId": plan_id,
        "generation": count(power, "spec", "generation") + 1,
        "leaseSeconds": float(lease_s),
        "gpus": gpus,
    }
    return Write(
        verb=Verb.APPLY,
        kind=NODE_POWERS,
        namespace="",
        name=name_of(power),
        uid=uid_of(power),
        version="",
        change={"metadata": {"ownerReferences": [_owner(node)]}, "spec": spec} if node else {"spec": spec},
        reason=CHANGED,
        text=f"{len(gpus)} GPUs capped (plan {plan_id})" if gpus else "no GPU capped",
    )


def _owner(node: Obj) -> dict[str, str]:
    """The Node as the owner of its NodePower."""
    return {"apiVersion": NODES.api_version, "kind": NODES.kind, "name": name_of(node), "uid": uid_of(node)}
