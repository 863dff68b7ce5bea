"""Caps on a real API server: wished for where everything is certain, kept alive by one Lease, taken back with the mode.

No agent runs here: a test writes what one would see of a node's GPUs into the status of its NodePower.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from agent_peer import AgentPeer, slot, telemetry
from kube_objects import HEAT, running_pods
from operated import HOME, LAB, OPERATOR, Operated, operated

from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.cluster import DevCluster, NotReady, Options

NODE = "gpu-0"
OTHER_NODE = "gpu-1"
MODEST: Object = {
    "apiVersion": "heatdispatch.io/v1alpha1",
    "kind": "WorkloadClass",
    "metadata": {"name": "modest"},
    "spec": {
        "flexibility": "deferrable",
        "maxDelay": "3m",
        "maxSlowdown": 0.4,
        "waitingEurPerGpuHour": 0.002,
        "latenessEurPerGpuHour": 0.01,
        "valueEurPerGpuHour": 0.01,
    },
}


@pytest.fixture(scope="module")
def world(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A cluster of two nodes whose GPUs may be capped, with one operator, and power that is dear now."""
    folder = tmp_path_factory.mktemp("capped")
    with DevCluster(toolbox, folder / "cluster", Options(users={OPERATOR: ()})) as cluster:
        cluster.add_nodes(2, 8, {"heatdispatch.io/plug": "loop", "heatdispatch.io/caps": "enabled"})
        with operated(cluster, folder / "operator") as found:
            cluster.admin.apply(f"{HEAT}/workloadclasses/modest", MODEST)
            with AgentPeer(said(NODE, 100.0)) as one, AgentPeer(said(OTHER_NODE, 400.0)) as other:
                found.replica("--agent", f"{NODE}={one.url}", "--agent", f"{OTHER_NODE}={other.url}")
                cluster.wait("a first plan", lambda: found.plan().get("planId"), 60.0)
                yield found


def said(node: str, draw_w: float) -> Object:
    """What the agent of a node with eight GPUs that draw alike tells over HTTP."""
    gpus = [{"uuid": f"GPU-{number}", "podUid": ""} for number in range(8)]
    slots = [slot(1, {gpu["uuid"]: draw_w * 10.0 for gpu in gpus})]
    return telemetry(node, *gpus, slots=slots)


def power(world: Operated, node: str = NODE) -> Object:
    """The NodePower of a node; empty without one."""
    found = world.cluster.admin.items(f"{HEAT}/nodepowers")
    return next((one for one in found if one["metadata"]["name"] == node), {})


def capped(world: Operated, node: str = NODE) -> dict[str, float]:
    """Watts by pod that are wished for on a node."""
    return {one["podUid"]: one["capWatts"] for one in power(world, node).get("spec", {}).get("gpus", [])}


def seen_by_agent(world: Operated, node: str, pods: list[Object]) -> None:
    """Write into the status what the agent of a node would see: one GPU per pod."""
    gpus = [
        {"uuid": f"GPU-{number}", "podUid": pod["metadata"]["uid"], "minWatts": 200.0, "maxWatts": 700.0}
        for number, pod in enumerate(pods)
    ]
    world.cluster.admin.patch(f"{HEAT}/nodepowers/{node}/status", {"status": {"gpus": gpus}})


def pod_of(world: Operated, name: str) -> Object:
    """The running pod of a Job, waited for."""
    return world.cluster.wait("a pod", lambda: running_pods(world.cluster, LAB, name), 90.0)[0]


def beat(world: Operated) -> str:
    """When the Lease of the caps was renewed last; empty without one."""
    found = world.cluster.admin.items(f"/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases")
    return next((one["spec"].get("renewTime", "") for one in found if one["metadata"]["name"] == "heat-dispatch-caps"), "")


def moves(world: Operated) -> bool:
    """Whether the Lease of the caps is renewed within two beats."""
    before = beat(world)
    try:
        return bool(world.cluster.wait("a beat", lambda: beat(world) != before, 22.0))
    except NotReady:
        return False


def test_power_is_what_the_agents_measure(world: Operated) -> None:
    # 8 GPUs at 100 W and 8 at 400 W.
    line = 'heatdispatch_gpu_power_watts{pool="loop"} 4000.0'
    world.cluster.wait("measured power", lambda: line in world.replicas[0].page("/metrics"), 90.0)
    assert 'heatdispatch_agents{state="answering"} 2.0' in world.replicas[0].page("/metrics")


def test_each_node_that_takes_part_has_an_object_without_a_cap(world: Operated) -> None:
    made = world.cluster.wait(
        "NodePowers", lambda: [power(world, one) for one in (NODE, OTHER_NODE) if power(world, one)][1:], 60.0
    )
    owner = made[0]["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("Node", OTHER_NODE)
    assert (capped(world), beat(world)) == ({}, "")


def test_a_job_that_bears_it_is_capped_and_its_insulated_neighbour_is_not(world: Operated) -> None:
    world.submit("service", class_name=None, gpus=1, runs="600s")
    world.submit("slow", "modest", gpus=1, runs="600s")
    pods = [pod_of(world, name) for name in ("service", "slow")]
    for pod in pods:
        seen_by_agent(
            world, pod["spec"]["nodeName"], [one for one in pods if one["spec"]["nodeName"] == pod["spec"]["nodeName"]]
        )
    slow = pods[1]
    caps = world.cluster.wait("a cap", lambda: capped(world, slow["spec"]["nodeName"]), 90.0)
    assert list(caps) == [slow["metadata"]["uid"]]
    assert 0.5 * 700.0 <= caps[slow["metadata"]["uid"]] < 700.0


def test_an_unchanged_wish_is_kept_alive_and_not_written_again(world: Operated) -> None:
    before = [power(world, one)["metadata"]["resourceVersion"] for one in (NODE, OTHER_NODE)]
    assert moves(world)
    assert [power(world, one)["metadata"]["resourceVersion"] for one in (NODE, OTHER_NODE)] == before


def test_caps_go_with_the_mode_and_nothing_keeps_them_alive(world: Operated) -> None:
    world.policy(mode="Observe")
    world.cluster.wait("no cap", lambda: not capped(world, NODE) and not capped(world, OTHER_NODE), 60.0)
    world.cluster.admin.delete(f"/api/v1/nodes/{OTHER_NODE}")
    assert not moves(world)


def test_a_node_has_taken_its_object_along(world: Operated) -> None:
    world.cluster.wait("it is gone", lambda: not power(world, OTHER_NODE), 90.0)
    assert power(world)
