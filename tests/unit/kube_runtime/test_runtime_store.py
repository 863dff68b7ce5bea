"""Caches hand out immutable objects and find them by index."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from scheduler.adapters.kubernetes.runtime import trim
from scheduler.adapters.kubernetes.runtime.frozen import EMPTY, Frozen, freeze, thaw
from scheduler.adapters.kubernetes.runtime.kinds import PODS
from scheduler.adapters.kubernetes.runtime.store import Change, ChangeType, Store, label, node_name, owner_uids

INDEXES = {"owner": owner_uids, "queue": label("queue"), "node": node_name}


def pod(name: str, version: int, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "team", "uid": f"u-{name}", "resourceVersion": str(version)}
    metadata |= more.pop("metadata", {})
    return {"metadata": metadata, **more}


def store() -> Store:
    return Store(PODS, trim=trim.pod, indexes=INDEXES)


def test_freeze_is_deep_and_stays_json() -> None:
    raw = {"a": {"b": [1, {"c": []}]}, "e": {}}
    frozen = freeze(raw)
    assert isinstance(frozen, Frozen)
    assert frozen["e"] is EMPTY
    assert json.loads(json.dumps(frozen)) == raw == thaw(frozen)
    raw["a"]["b"].append(2)
    assert len(frozen["a"]["b"]) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.__setitem__("a", 1),
        lambda d: d.__delitem__("a"),
        lambda d: d.update(a=1),
        lambda d: d.pop("a"),
        lambda d: d.popitem(),
        lambda d: d.clear(),
        lambda d: d.setdefault("z", 1),
        lambda d: d.__ior__({"a": 1}),
        lambda d: d["a"].__setitem__("b", 1),
    ],
)
def test_frozen_refuses_every_change(change: Any) -> None:
    frozen = freeze({"a": {"b": 0}})
    with pytest.raises(TypeError, match="immutable"):
        change(frozen)
    assert frozen == {"a": {"b": 0}}


def test_frozen_is_copied_and_pickled() -> None:
    frozen = freeze({"a": {"b": [1]}})
    assert copy.deepcopy(frozen) == frozen
    assert pickle.loads(pickle.dumps(frozen)) == frozen
    assert isinstance(pickle.loads(pickle.dumps(frozen))["a"], Frozen)
    changed = thaw(frozen)
    changed["a"]["b"].append(2)
    assert frozen["a"]["b"] == (1,)


def test_not_synced_before_the_first_list() -> None:
    before, after = store(), store()
    after.replace(())
    assert (before.synced, after.synced) == (False, True)
    assert before.count() == after.count() == 0


def test_indexes_follow_changes() -> None:
    pods = store()
    owned = {"ownerReferences": [{"uid": "job-1"}], "labels": {"queue": "q"}}
    pods.put(pods.frozen(pod("a", 1, metadata=owned, spec={"nodeName": "n1"})))
    pods.put(pods.frozen(pod("b", 2, metadata=owned)))
    assert [obj["metadata"]["name"] for obj in pods.by("owner", "job-1")] == ["a", "b"]
    assert len(pods.by("node", "n1")) == 1
    pods.put(pods.frozen(pod("a", 3, metadata={"labels": {"queue": "other"}}, spec={"nodeName": "n2"})))
    assert [obj["metadata"]["name"] for obj in pods.by("owner", "job-1")] == ["b"]
    assert pods.by("node", "n1") == ()
    assert len(pods.by("queue", "other")) == 1
    pods.remove(pods.frozen(pod("a", 4)))
    assert pods.by("queue", "other") == ()
    with pytest.raises(KeyError):
        pods.by("no such index", "x")


def test_a_relist_tells_only_what_changed() -> None:
    pods, told = store(), list[Change]()
    pods.replace([pods.frozen(pod("a", 1)), pods.frozen(pod("b", 2))])
    pods.subscribe(told.append)
    assert [(change.type, change.key) for change in told] == [
        (ChangeType.ADDED, ("team", "a")),
        (ChangeType.ADDED, ("team", "b")),
    ]
    told.clear()
    pods.replace([pods.frozen(pod("b", 2)), pods.frozen(pod("c", 3))])
    assert [(change.type, change.key[1]) for change in told] == [(ChangeType.REMOVED, "a"), (ChangeType.ADDED, "c")]
    told.clear()
    pods.put(pods.frozen(pod("c", 4)))
    pods.remove(pods.frozen(pod("never seen", 5)))
    assert [(change.type, change.key[1]) for change in told] == [(ChangeType.CHANGED, "c")]
    old, new = told[0].old, told[0].new
    assert old is not None
    assert new is not None
    assert (old["metadata"]["resourceVersion"], new["metadata"]["resourceVersion"]) == ("3", "4")


def test_a_listener_that_fails_costs_nobody_a_change() -> None:
    pods, told = store(), list[Change]()

    def broken(_change: Change) -> None:
        raise RuntimeError("a bug")

    pods.subscribe(broken)
    pods.subscribe(told.append)
    pods.replace([pods.frozen(pod(name, number)) for number, name in enumerate("abc")])
    assert [change.key[1] for change in told] == ["a", "b", "c"]


def test_a_namesake_in_place_of_a_deleted_object_is_told_as_changed() -> None:
    pods, told = store(), list[Change]()
    pods.put(pods.frozen(pod("a", 1)))
    pods.subscribe(told.append)
    pods.replace([pods.frozen(pod("a", 9, metadata={"uid": "another"}))])
    assert told[-1].type is ChangeType.CHANGED
    assert told[-1].new is not None
    assert told[-1].new["metadata"]["uid"] == "another"


def test_trimming_drops_bulk_and_keeps_what_is_decided_on() -> None:
    raw = pod(
        "a",
        1,
        metadata={"managedFields": [{"manager": "x"}], "annotations": {trim.LAST_APPLIED: "{}", "keep": "1"}},
        spec={
            "nodeName": "n",
            "volumes": [{"name": "v"}],
            "schedulingGates": [{"name": "g"}],
            "terminationGracePeriodSeconds": 30,
            "containers": [{"name": "c", "env": [{"name": "E"}], "resources": {"limits": {"nvidia.com/gpu": "8"}}}],
        },
        status={"phase": "Running", "podIPs": [], "containerStatuses": [{"name": "c", "image": "i", "state": {"running": {}}}]},
    )
    kept = store().frozen(raw)
    assert kept["apiVersion"] == "v1"
    assert kept["kind"] == "Pod"
    assert kept["metadata"]["annotations"] == {"keep": "1"}
    assert "managedFields" not in kept["metadata"]
    assert thaw(kept["spec"]) == {
        "nodeName": "n",
        "schedulingGates": [{"name": "g"}],
        "terminationGracePeriodSeconds": 30,
        "containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": "8"}}}],
    }
    assert thaw(kept["status"]) == {"phase": "Running", "containerStatuses": [{"name": "c", "state": {"running": {}}}]}


def test_trimming_a_job_and_a_node() -> None:
    template = {"spec": {"volumes": [1], "nodeSelector": {"pool": "a"}, "containers": [{"name": "c", "command": ["x"]}]}}
    kept = trim.job({"metadata": {}, "spec": {"suspend": True, "template": template}})
    assert kept["spec"] == {
        "suspend": True,
        "template": {"spec": {"nodeSelector": {"pool": "a"}, "containers": [{"name": "c"}]}},
    }
    assert trim.node({"status": {"images": [1], "capacity": {"cpu": "1"}}})["status"] == {"capacity": {"cpu": "1"}}
    assert trim.job({}) == {}
