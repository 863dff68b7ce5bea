from __future__ import annotations

from typing import Any

from kube_world import POOLS, job, node, pod, rooms

from scheduler.adapters.kubernetes.pools import PoolSelector, available_gpus, fits, placed, pool_of
from scheduler.adapters.kubernetes.quantities import Gang, gang_of_job


def gang(pods: int, gpus: int = 8, **spec: Any) -> Gang:
    found = job(pods=pods, gpus=gpus)
    found["spec"]["template"]["spec"].update(spec)
    return gang_of_job(found)


def test_a_node_belongs_to_the_one_pool_whose_labels_it_carries() -> None:
    assert pool_of({"heat.example/pool": "north", "zone": "a"}, POOLS) == "north"
    assert pool_of({"zone": "a"}, POOLS) is None
    both = (*POOLS, PoolSelector(pool_id="zone", node_labels={"zone": "a"}))
    assert pool_of({"heat.example/pool": "north", "zone": "a"}, both) is None


def test_pods_are_packed_on_nodes_not_on_sums() -> None:
    # 12 GPUs are free on north, but 4 + 8: a pod of 8 fits once, a pod of 4 three times
    seen = rooms(node("n0"), node("n1"), pods=(pod("n0", gpus=4),))
    assert fits(gang(1), "north", seen)
    assert not fits(gang(2), "north", seen)
    assert fits(gang(3, gpus=4), "north", seen)
    assert not fits(gang(4, gpus=4), "north", seen)


def test_a_pool_is_not_helped_by_another() -> None:
    seen = rooms(node("n0"), node("s0", "south"))
    assert not fits(gang(2), "north", seen)
    assert placed(gang(2), None, seen) is not None


def test_a_gang_that_took_its_place_leaves_less_for_the_next() -> None:
    after = placed(gang(1), "north", rooms(node("n0"), node("n1")))
    assert after is not None
    assert fits(gang(1), "north", after)
    assert not fits(gang(2), "north", after)


def test_cordoned_unready_and_leaving_nodes_take_nothing() -> None:
    leaving = node("n2")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-14T09:00:00Z"
    assert not fits(gang(1), "north", rooms(node("n0", cordoned=True), node("n1", ready=False), leaving))


def test_ended_pods_hold_nothing() -> None:
    assert fits(gang(1), "north", rooms(node("n0"), pods=(pod("n0", phase="Succeeded"),)))


def test_other_resources_count_too() -> None:
    hungry = gang(1)
    big = Gang(pods=1, requests={**hungry.requests, "memory": 600.0 * 2**30}, pod_spec=hungry.pod_spec)
    assert not fits(big, "north", rooms(node("n0")))
    unheard_of = Gang(pods=1, requests={**hungry.requests, "rdma/hca": 1.0}, pod_spec=hungry.pod_spec)
    assert not fits(unheard_of, "north", rooms(node("n0")))


def test_taints_need_a_toleration() -> None:
    tainted = node("n0")
    tainted["spec"]["taints"] = [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]
    seen = rooms(tainted)
    assert not fits(gang(1), "north", seen)
    assert fits(gang(1, tolerations=[{"key": "gpu", "operator": "Exists"}]), "north", seen)
    assert fits(gang(1, tolerations=[{"operator": "Exists"}]), "north", seen)
    assert fits(gang(1, tolerations=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]), "north", seen)
    assert not fits(gang(1, tolerations=[{"key": "gpu", "value": "no"}]), "north", seen)


def test_node_selector_and_required_affinity_are_kept() -> None:
    named = node("n0")
    named["metadata"]["labels"]["gpu.count"] = "8"
    seen = rooms(named)

    def with_terms(*expressions: dict[str, Any]) -> Gang:
        terms = {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}
        return gang(1, affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}})

    assert not fits(gang(1, nodeSelector={"zone": "b"}), "north", seen)
    assert fits(gang(1, nodeSelector={"gpu.count": "8"}), "north", seen)
    assert fits(with_terms({"key": "gpu.count", "operator": "Gt", "values": ["4"]}), "north", seen)
    assert not fits(with_terms({"key": "gpu.count", "operator": "Lt", "values": ["4"]}), "north", seen)
    assert fits(with_terms({"key": "gpu.count", "operator": "In", "values": ["4", "8"]}), "north", seen)
    assert not fits(with_terms({"key": "gpu.count", "operator": "NotIn", "values": ["8"]}), "north", seen)
    assert fits(with_terms({"key": "zone", "operator": "DoesNotExist"}), "north", seen)
    assert not fits(with_terms({"key": "zone", "operator": "Exists"}), "north", seen)
    assert not fits(with_terms({"key": "zone", "operator": "Unheard"}), "north", seen)


def test_available_gpus_leave_out_other_pods_and_closed_nodes() -> None:
    # n0: 8 - 2 of a stranger = 6; n1 is cordoned and still runs 8 GPUs of ours: 8; s0 is not ready: 0
    pods = (pod("n0", uid="stranger", gpus=2), pod("n0", uid="ours-a", gpus=4), pod("n1", uid="ours-b", gpus=8))
    seen = rooms(node("n0"), node("n1", cordoned=True), node("s0", "south", ready=False), pods=pods)
    assert available_gpus(seen, {"ours-a", "ours-b"}) == {"north": 14, "south": 0}
