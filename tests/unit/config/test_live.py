"""Objects of a live cluster: the sound ones are planned with, the others are told what is wrong."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from manifest_files import REFERENCE

from scheduler.config.kinds.site import NodePool
from scheduler.config.lines import read_documents
from scheduler.config.live import Live, governed, live_manifests, name_of
from scheduler.config.load import load_manifests
from scheduler.config.to_domain import site_from
from scheduler.domain.errors import Misconfigured
from scheduler.domain.time import utc

NOW = utc("2026-11-01T00:00Z")


def reference() -> dict[str, dict[str, Any]]:
    """The example's manifests by `Kind/name`, as the API would serve them."""
    found = {}
    for path in sorted(REFERENCE.glob("*.yaml")):
        for document in read_documents(path.read_text(), path.name)[0]:
            obj = copy.deepcopy(document.value)
            obj["metadata"] |= {
                "uid": "u-1",
                "generation": 3,
                "resourceVersion": "17",
                "creationTimestamp": "2026-10-01T00:00:00Z",
                "generateName": "x-",
                "managedFields": [{"manager": "kubectl"}],
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
            }
            obj["status"] = {"conditions": [], "somethingElse": 1}
            found[name_of(obj)] = obj
    return found


def read(objects: dict[str, dict[str, Any]], pools: tuple[NodePool, ...] = ()) -> Live:
    return live_manifests(objects.values(), pools, NOW)


def one(objects: dict[str, dict[str, Any]], kind: str) -> dict[str, Any]:
    """The first object of a kind."""
    return next(obj for name, obj in objects.items() if name.startswith(f"{kind}/"))


def test_objects_of_a_cluster_say_the_same_as_files() -> None:
    live = read(reference())
    assert not [told for name in live.findings for told in live.errors(name)]
    from_cluster, from_files = site_from(live.manifests), site_from(load_manifests(REFERENCE)[0])
    # Objects come in the order of their names, whatever order the API serves them in.
    assert list(from_cluster.classes) == sorted(from_files.classes, key=lambda one: one.name)
    assert replace(from_cluster, classes=from_files.classes) == from_files


def test_a_bad_offtake_is_left_out_and_told_and_the_rest_stands() -> None:
    objects = reference()
    one(objects, "HeatOfftake")["spec"]["tariff"]["kind"] = "free"
    live = read(objects)
    (told,) = live.errors(name_of(one(objects, "HeatOfftake")))
    assert "'free' is not allowed here" in told.message
    assert told.field == "spec.tariff.kind"
    site = governed(live, one(objects, "DispatchPolicy")["metadata"]["name"]).site
    assert site.offtakes == ()
    assert site.gpus == 256


def test_what_depends_on_a_bad_object_is_left_out_too() -> None:
    objects = reference()
    plug = one(objects, "ThermalPlug")
    plug["spec"]["capacity"]["maxHeatKw"] = -1.0
    live = read(objects)
    assert live.errors(name_of(plug))
    (told,) = live.errors(name_of(one(objects, "HeatOfftake")))
    assert "there is no ThermalPlug" in told.message
    assert live.errors(name_of(one(objects, "Site")))
    with pytest.raises(Misconfigured, match="no Site"):
        governed(live, one(objects, "DispatchPolicy")["metadata"]["name"])


def test_the_nodes_that_are_there_take_the_place_of_the_pools_of_the_site() -> None:
    objects = reference()
    plug = one(objects, "ThermalPlug")["metadata"]["name"]
    pool = NodePool(pool="seen", plug=plug, nodes=3, gpus_per_node=8, gpu_model="H100")
    live = read(objects, (pool,))
    site = governed(live, one(objects, "DispatchPolicy")["metadata"]["name"]).site
    assert [(each.pool_id, each.gpus) for each in site.pools] == [("seen", 24)]


def test_a_cache_may_hand_out_immutable_objects() -> None:
    def frozen(value: Any) -> Any:
        if isinstance(value, dict):
            return MappingProxyType({key: frozen(item) for key, item in value.items()})
        return tuple(frozen(item) for item in value) if isinstance(value, list) else value

    objects = reference()
    live = live_manifests([frozen(obj) for obj in objects.values()], (), NOW)
    assert live.findings == read(objects).findings
    assert site_from(live.manifests) == site_from(read(objects).manifests)


def two_policies(first: list[str], second: list[str]) -> dict[str, dict[str, Any]]:
    """Two pools `a` and `b` on one plug, and two policies for some of them each."""
    objects = reference()
    site = one(objects, "Site")
    (given,) = site["spec"]["nodePools"]
    site["spec"]["nodePools"] = [given | {"pool": "a", "nodes": 20}, given | {"pool": "b", "nodes": 12}]
    policy = one(objects, "DispatchPolicy")
    del objects[name_of(policy)]
    for name, pools in (("p1", first), ("p2", second)):
        made = copy.deepcopy(policy)
        made["metadata"]["name"] = name
        made["spec"]["pools"] = pools
        objects[name_of(made)] = made
    return objects


def test_each_policy_gets_its_pools() -> None:
    live = read(two_policies(["a"], ["b"]))
    assert [pool.pool_id for pool in governed(live, "p1").site.pools] == ["a"]
    assert governed(live, "p2").site.gpus == 12 * 8


def test_the_second_policy_of_a_pool_is_not_used_and_says_so() -> None:
    live = read(two_policies(["a"], ["a", "b"]))
    (told,) = live.errors("DispatchPolicy/p2")
    assert "shares pools with policy 'p1'" in told.message
    assert governed(live, "p1").site.gpus == 20 * 8
    with pytest.raises(Misconfigured, match="p2"):
        governed(live, "p2")


def test_a_horizon_that_cannot_be_planned_is_an_error_of_its_policy() -> None:
    objects = two_policies(["a"], ["b"])
    objects["DispatchPolicy/p2"]["spec"]["cycle"] = {"horizon": "1h"}
    live = read(objects)
    assert "1h cannot be planned" in live.errors("DispatchPolicy/p2")[0].message
    assert live.errors("DispatchPolicy/p1") == ()
    assert governed(live, "p1").policy == "p1"


def test_foreign_objects_are_passed_over() -> None:
    objects = reference() | {"Pod/x": {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x"}}, "none": {}}
    assert read(objects).findings == read(reference()).findings
