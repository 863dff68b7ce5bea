"""Kueue's queues as ways to pools: which pools a queue's flavors reach, and how a Workload is steered to one of them.

Kueue takes the first flavor with room whose node labels the pod sets of the Workload do not contradict. It never looks at the
Job again: a node selector that was written on the Job alone contradicts the flavor that was taken, and Kueue then ends the
Workload for good. So the Workload is told first, and only pools that a flavor of its queue reaches are ever named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scheduler.adapters.kubernetes.objects import Obj, name_of, namespace_of, part, parts, text, texts
from scheduler.adapters.kubernetes.pools import PoolSelector
from scheduler.adapters.kubernetes.quantities import GPU, requests_of


def reach_of(
    local_queues: Iterable[Obj], cluster_queues: Iterable[Obj], flavors: Iterable[Obj], pools: Sequence[PoolSelector]
) -> Mapping[str, tuple[str, ...]]:
    """Pools that each queue (`NAMESPACE/NAME`) reaches by the flavors of its GPUs.

    Left out: queues of which something is not known, and those whose flavors have a topology, where Kueue places pods itself.
    """
    labels = {name_of(one): None if text(one, "spec", "topologyName") else texts(one, "spec", "nodeLabels") for one in flavors}
    by_cluster = {name_of(one): _reached(_gpu_flavors(one), labels, pools) for one in cluster_queues}
    found = {f"{namespace_of(one)}/{name_of(one)}": by_cluster.get(text(one, "spec", "clusterQueue")) for one in local_queues}
    return {queue: reached for queue, reached in found.items() if reached is not None}


def uses_gpus(pod_set: Obj) -> bool:
    """Whether a pod set asks for GPUs: only those are placed. A launcher without may not be welcome on GPU nodes."""
    return requests_of(part(pod_set, "template", "spec")).get(GPU, 0.0) > 0.0


def steered(workload: Obj, own: Mapping[str, str] | None, pool: PoolSelector) -> list[Any] | str:
    """Pod sets of a Workload, those with GPUs with a pool's labels in their node selectors, or why they cannot have them.

    Args:
        workload: as it was seen, without quota: Kueue refuses a change of its pod sets later.
        own: node selector of the Job that it stands for, which any earlier steering of ours is not part of; None: its own.
        pool: where to.
    """
    found: list[Any] = []
    for one in parts(workload, "spec", "podSets"):
        if not uses_gpus(one):
            found.append(one)
            continue
        asked = texts(one, "template", "spec", "nodeSelector") if own is None else dict(own)
        for key, value in pool.node_labels.items():
            if asked.get(key, value) != value:
                return f"its node selector {key}={asked[key]} contradicts pool {pool.pool_id}"
        spec = {**part(one, "template", "spec"), "nodeSelector": {**asked, **pool.node_labels}}
        found.append({**one, "template": {**part(one, "template"), "spec": spec}})
    return found


def goes_to(workload: Obj, pool: PoolSelector) -> bool:
    """Whether all pod sets of a Workload with GPUs ask for a pool's labels already."""
    asked = (texts(one, "template", "spec", "nodeSelector") for one in parts(workload, "spec", "podSets") if uses_gpus(one))
    return all(pool.node_labels.items() <= one.items() for one in asked)


def _gpu_flavors(cluster_queue: Obj) -> list[str] | None:
    """Names of the flavors by which a queue gives GPUs; None when it gives none."""
    for group in parts(cluster_queue, "spec", "resourceGroups"):
        if GPU in (group.get("coveredResources") or ()):
            return [text(flavor, "name") for flavor in parts(group, "flavors")]
    return None


def _reached(
    flavors: Sequence[str] | None, labels: Mapping[str, Mapping[str, str] | None], pools: Sequence[PoolSelector]
) -> tuple[str, ...] | None:
    """Pools whose labels some flavor does not contradict; None when a flavor is not known or places by topology."""
    given = [labels.get(name) for name in flavors or ()]
    if flavors is None or any(one is None for one in given):
        return None
    return tuple(
        pool.pool_id
        for pool in pools
        if any(all(pool.node_labels.get(key, value) == value for key, value in (one or {}).items()) for one in given)
    )
