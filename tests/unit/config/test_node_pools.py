"""Nodes of a live cluster become pools."""

from __future__ import annotations

from typing import Any

from manifest_files import REFERENCE

from scheduler.config.kinds import Site, ThermalPlug
from scheduler.config.load import load_manifests
from scheduler.config.node_pools import MODEL_LABEL, seen_pools


def plug(name: str, **labels: str) -> ThermalPlug:
    """The reference plug with another name and selector."""
    (given,) = load_manifests(REFERENCE)[0].of(ThermalPlug)
    spec = given.spec.model_copy(update={"node_selector": labels})
    return given.model_copy(update={"metadata": given.metadata.model_copy(update={"name": name}), "spec": spec})


def site(**changes: Any) -> Site:
    """The reference site with its one pool changed."""
    (given,) = load_manifests(REFERENCE)[0].of(Site)
    (pool,) = given.spec.node_pools
    spec = given.spec.model_copy(update={"node_pools": [pool.model_copy(update=changes)]})
    return given.model_copy(update={"spec": spec})


def node(name: str, gpus: int, model: str = "H100", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {MODEL_LABEL: model, **labels}},
        "status": {"capacity": {"nvidia.com/gpu": str(gpus)} if gpus else {"cpu": "8"}},
    }


def test_nodes_of_a_plug_are_a_pool_named_after_it() -> None:
    nodes = [node(f"n{i}", 8, loop="a") for i in range(3)] + [node("cpu-only", 0, loop="a")]
    pools, told = seen_pools(nodes, [plug("loop-a", loop="a")], None)
    assert told == []
    assert [(one.pool.pool, one.pool.nodes, one.pool.gpus_per_node) for one in pools] == [("loop-a", 3, 8)]
    assert pools[0].node_labels == {"loop": "a"}


def test_two_models_on_a_plug_are_two_pools_told_apart_by_the_model() -> None:
    nodes = [node("n1", 8, loop="a"), node("n2", 4, "NVIDIA A100-SXM4", loop="a")]
    pools, _ = seen_pools(nodes, [plug("loop-a", loop="a")], None)
    assert [one.pool.pool for one in pools] == ["loop-a-h100", "loop-a-nvidia-a100-sxm4"]
    assert pools[1].node_labels == {"loop": "a", MODEL_LABEL: "NVIDIA A100-SXM4"}


def test_the_site_lends_name_and_power_figures() -> None:
    stated = site(pool="hall-1", plug="loop-a", gpu_model="H100", idle_node_kw=1.9)
    pools, _ = seen_pools([node("n1", 8, loop="a")], [plug("loop-a", loop="a")], stated)
    assert (pools[0].pool.pool, pools[0].pool.idle_node_kw, pools[0].pool.nodes) == ("hall-1", 1.9, 1)


def test_a_stated_pool_of_another_model_lends_nothing_when_there_are_two() -> None:
    nodes = [node("n1", 8, "B200", loop="a"), node("n2", 8, "H200", loop="a")]
    pools, _ = seen_pools(nodes, [plug("loop-a", loop="a")], site(pool="hall-1", plug="loop-a", gpu_model="H100"))
    assert [one.pool.pool for one in pools] == ["loop-a-b200", "loop-a-h200"]


def test_a_node_on_no_plug_or_on_two_is_left_out_and_told() -> None:
    plugs = [plug("loop-a", loop="a"), plug("loop-b", row="1"), plug("everywhere")]
    nodes = [node("lost", 8), node("both", 8, loop="a", row="1"), node("fine", 8, row="1")]
    pools, told = seen_pools(nodes, plugs, None)
    assert [one.pool.pool for one in pools] == ["loop-b"]
    assert [(one.where, one.message.split(":")[0]) for one in told] == [
        ("Node/lost", "on no ThermalPlug"),
        ("Node/both", "on several plugs (loop-a, loop-b)"),
    ]


def test_nodes_of_different_size_count_as_so_many_of_the_usual_size() -> None:
    # 8 + 8 + 4 + 4 + 4 GPUs: 4 is usual, 28 GPUs are seven such nodes.
    nodes = [node(f"n{i}", gpus, loop="a") for i, gpus in enumerate((8, 8, 4, 4, 4))]
    pools, _ = seen_pools(nodes, [plug("loop-a", loop="a")], None)
    assert (pools[0].pool.nodes, pools[0].pool.gpus_per_node) == (7, 4)
