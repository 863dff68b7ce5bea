"""Pools of a live cluster: its GPU nodes by plug and model, with what the Site states about them.

A node hangs on the plug whose `nodeSelector` it carries. Nodes of one plug and one GPU model are a pool. A pool that the Site
states for that plug and model lends its name and its power figures; without one the pool is named after the plug and has the
defaults.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scheduler.config.findings import Finding, warning
from scheduler.config.kinds import Site, ThermalPlug
from scheduler.config.kinds.site import NodePool

GPU_RESOURCE = "nvidia.com/gpu"
MODEL_LABEL = "nvidia.com/gpu.product"
UNKNOWN_MODEL = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPool:
    """A pool and the labels by which its nodes, and they alone, are found."""

    pool: NodePool
    node_labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """A GPU node: its plug, model and GPUs."""

    plug: str
    model: str
    gpus: int


def seen_pools(
    nodes: Iterable[Mapping[str, Any]], plugs: Sequence[ThermalPlug], site: Site | None
) -> tuple[tuple[SeenPool, ...], list[Finding]]:
    """Pools of the nodes that are there, in the order of plugs and models, and warnings about nodes that belong nowhere."""
    findings: list[Finding] = []
    groups: dict[tuple[str, str], list[_Node]] = {}
    for obj in nodes:
        node = _node(obj, plugs, findings)
        if node is not None:
            groups.setdefault((node.plug, node.model), []).append(node)
    models = Counter(plug for plug, _ in groups)
    stated = site.spec.node_pools if site is not None else []
    found = []
    for (plug, model), group in sorted(groups.items()):
        selector = next(one.spec.node_selector for one in plugs if one.name == plug)
        labels = {**selector, MODEL_LABEL: model} if models[plug] > 1 else dict(selector)
        found.append(SeenPool(pool=_pool(plug, model, group, (stated, models[plug])), node_labels=labels))
    return tuple(found), findings


def _node(obj: Mapping[str, Any], plugs: Sequence[ThermalPlug], findings: list[Finding]) -> _Node | None:
    """A node with GPUs and its one plug; None for all others."""
    metadata = obj.get("metadata") or {}
    labels, name = metadata.get("labels") or {}, metadata.get("name", "?")
    count = str(((obj.get("status") or {}).get("capacity") or {}).get(GPU_RESOURCE, "0"))
    gpus = int(count) if count.isdecimal() else 0
    if gpus <= 0:
        return None
    mine = [plug.name for plug in plugs if plug.spec.node_selector and plug.spec.node_selector.items() <= labels.items()]
    if not mine:
        findings.append(warning(f"Node/{name}", "", "on no ThermalPlug: its heat is not counted and its jobs are not touched"))
    if len(mine) > 1:
        text = f"on several plugs ({', '.join(sorted(mine))}): its jobs are not touched"
        findings.append(warning(f"Node/{name}", "", text, "labels of one plug's nodeSelector"))
    return _Node(plug=mine[0], model=labels.get(MODEL_LABEL) or UNKNOWN_MODEL, gpus=gpus) if len(mine) == 1 else None


def _pool(plug: str, model: str, group: Sequence[_Node], context: tuple[Sequence[NodePool], int]) -> NodePool:
    """One pool; nodes of different size count as so many of the usual size."""
    stated, models = context
    sizes = Counter(node.gpus for node in group)
    usual = max(sizes, key=lambda size: (sizes[size], size))
    nodes = max(1, round(sum(node.gpus for node in group) / usual))
    here = [one for one in stated if one.plug == plug]
    told = next((one for one in here if one.gpu_model == model), here[0] if len(here) == 1 and models == 1 else None)
    seen = {"plug": plug, "nodes": nodes, "gpus_per_node": usual, "gpu_model": model}
    if told is not None:
        return told.model_copy(update=seen)
    return NodePool.model_validate({"pool": plug if models == 1 else _name(plug, model), **seen})


def _name(plug: str, model: str) -> str:
    """A name for a pool of several on a plug: `loop-a-nvidia-h100-80gb`."""
    return f"{plug}-{re.sub(r'[^a-z0-9]+', '-', model.lower()).strip('-') or UNKNOWN_MODEL}"
