"""Nodes as pools: which node belongs where, what is free on it now, and whether a gang fits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scheduler.adapters.kubernetes.objects import Obj, at, holds, labels_of, name_of, part, parts, text, texts, uid_of
from scheduler.adapters.kubernetes.quantities import GPU, PODS, Amounts, Gang, amounts_of, requests_of

FINISHED_PODS = ("Succeeded", "Failed")
BLOCKING_EFFECTS = ("NoSchedule", "NoExecute")
HOSTNAME = "kubernetes.io/hostname"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSelector:
    """Which nodes are a pool; a job is placed on it by these very labels."""

    pool_id: str
    node_labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRoom:
    """One GPU node now. free: allocatable less what its pods ask for, in cores, bytes, GPUs and pods.

    open: it takes new pods: ready, not cordoned, not going. gpus_allocatable counts what works, busy or not; by_pod: GPUs of
    each pod on it, by the pod's uid.
    """

    name: str
    pool_id: str | None
    open: bool
    gpus_allocatable: int
    free: Amounts
    by_pod: Mapping[str, int] = field(default_factory=dict)
    node_labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Obj, ...] = ()

    @property
    def gpus_free(self) -> int:
        """GPUs that a new pod could get now."""
        return max(0, int(self.free.get(GPU, 0.0))) if self.open else 0


def pool_of(node_labels: Mapping[str, str], pools: Iterable[PoolSelector]) -> str | None:
    """The pool whose labels a node carries; None for none, and for more than one: what is not clear is not ours."""
    found = [each.pool_id for each in pools if each.node_labels and each.node_labels.items() <= node_labels.items()]
    return found[0] if len(found) == 1 else None


def rooms_of(nodes: Iterable[Obj], pods: Iterable[Obj], pools: Sequence[PoolSelector]) -> tuple[NodeRoom, ...]:
    """All nodes with GPUs, in order of their names."""
    on_node: dict[str, list[Obj]] = {}
    for pod in pods:
        if text(pod, "spec", "nodeName") and text(pod, "status", "phase") not in FINISHED_PODS:
            on_node.setdefault(text(pod, "spec", "nodeName"), []).append(pod)
    found = (_room(node, on_node.get(name_of(node), []), pools) for node in nodes)
    return tuple(sorted((room for room in found if room.gpus_allocatable > 0), key=lambda room: room.name))


def available_gpus(rooms: Iterable[NodeRoom], ours: Collection[str]) -> dict[str, int]:
    """GPUs by pool for the jobs of a snapshot: `Snapshot.available_gpus`.

    On open nodes everything that pods of nobody's job leave; on closed ones what the jobs of the snapshot still hold there.

    Args:
        rooms: the nodes.
        ours: uids of pods that belong to jobs of the snapshot, insulated ones among them.
    """
    found: dict[str, int] = {}
    for room in rooms:
        if room.pool_id is not None:
            held = sum(gpus for uid, gpus in room.by_pod.items() if uid in ours)
            others = sum(room.by_pod.values()) - held
            gpus = room.gpus_allocatable - others if room.open else held
            found[room.pool_id] = found.get(room.pool_id, 0) + max(0, gpus)
    return found


def fits(gang: Gang, pool_id: str, rooms: Iterable[NodeRoom]) -> bool:
    """Whether every pod of a gang finds a node of the pool now."""
    return placed(gang, pool_id, rooms) is not None


def placed(gang: Gang, pool_id: str | None, rooms: Iterable[NodeRoom]) -> tuple[NodeRoom, ...] | None:
    """The nodes after a gang took its place on a pool (None: on any), or None when not all of its pods find one.

    All pods are equal, so filling one node after the other finds a place whenever there is one.
    """
    left = gang.pods
    after = list(rooms)
    for index, room in enumerate(after):
        if left <= 0:
            break
        here = min(left, pods_that_fit(gang, pool_id, room))
        left -= here
        after[index] = less(room, gang.requests, here) if here else room
    return tuple(after) if left <= 0 else None


def _room(node: Obj, pods: Sequence[Obj], pools: Sequence[PoolSelector]) -> NodeRoom:
    """One node and its pods."""
    allocatable = amounts_of(part(node, "status", "allocatable"))
    asked = [requests_of(part(pod, "spec")) for pod in pods]
    free = {
        name: amount - (len(pods) if name == PODS else sum(each.get(name, 0.0) for each in asked))
        for name, amount in allocatable.items()
    }
    unschedulable = at(node, "spec", "unschedulable") is True
    return NodeRoom(
        name=name_of(node),
        pool_id=pool_of(labels_of(node), pools),
        open=holds(node, "Ready") and not unschedulable and not text(node, "metadata", "deletionTimestamp"),
        gpus_allocatable=int(allocatable.get(GPU, 0.0)),
        free=free,
        by_pod={uid_of(pod): int(each[GPU]) for pod, each in zip(pods, asked, strict=True) if each.get(GPU, 0.0) > 0.0},
        node_labels={HOSTNAME: name_of(node), **labels_of(node)},
        taints=parts(node, "spec", "taints"),
    )


def less(room: NodeRoom, requests: Amounts, pods: int) -> NodeRoom:
    """A node after some pods more."""
    taken = {**{name: pods * amount for name, amount in requests.items()}, PODS: float(pods)}
    return replace(room, free={name: amount - taken.get(name, 0.0) for name, amount in room.free.items()})


def pods_that_fit(gang: Gang, pool_id: str | None, room: NodeRoom) -> int:
    """How many pods of a gang a node takes now."""
    if not room.open or pool_id not in (None, room.pool_id) or not _welcome(gang.pod_spec, room):
        return 0
    wanted = {**{name: amount for name, amount in gang.requests.items() if amount > 0.0}, PODS: 1.0}
    return max(0, min(int(room.free.get(name, _unstated(name)) / amount + 1e-9) for name, amount in wanted.items()))


def _unstated(name: str) -> float:
    """Room for a resource that a node says nothing of: none; but a node that does not limit its pods takes any number."""
    return float(2**31) if name == PODS else 0.0


def _welcome(pod_spec: Obj, room: NodeRoom) -> bool:
    """Whether selector, required affinity and tolerations of a pod allow the node."""
    if not texts(pod_spec, "nodeSelector").items() <= room.node_labels.items():
        return False
    terms = parts(pod_spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    if terms and not any(_term_holds(term, room) for term in terms):
        return False
    tolerations = parts(pod_spec, "tolerations")
    blocking = [taint for taint in room.taints if taint.get("effect") in BLOCKING_EFFECTS]
    return all(any(_tolerates(each, taint) for each in tolerations) for taint in blocking)


def _tolerates(toleration: Obj, taint: Obj) -> bool:
    """Whether one toleration bears one taint."""
    if text(toleration, "effect") not in ("", taint.get("effect")):
        return False
    exists = text(toleration, "operator") == "Exists"
    if not text(toleration, "key"):
        return exists
    return text(toleration, "key") == text(taint, "key") and (exists or text(toleration, "value") == text(taint, "value"))


def _term_holds(term: Obj, room: NodeRoom) -> bool:
    """All expressions of a node selector term; an empty term finds nothing."""
    expressions, fields = parts(term, "matchExpressions"), parts(term, "matchFields")
    by_name = {"metadata.name": room.name}
    return bool(expressions or fields) and (
        all(_expression_holds(each, room.node_labels) for each in expressions)
        and all(_expression_holds(each, by_name) for each in fields)
    )


def _expression_holds(expression: Obj, given: Mapping[str, str]) -> bool:
    """One expression over labels; an operator that is not known here does not hold."""
    value = given.get(text(expression, "key"))
    values = at(expression, "values") or ()
    match text(expression, "operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            return _compares(operator, value, values)
        case _:
            return False


def _compares(operator: str, value: str | None, values: Sequence[str]) -> bool:
    """`Gt` and `Lt` over whole numbers."""
    try:
        here, bound = int(value or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return here > bound if operator == "Gt" else here < bound
