"""Caps per node: only where GPU, pod, class and limits are certain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kube_world import CLASSES, job, node, pod, view
from small_world import INSULATED

from scheduler.adapters.kubernetes.caps import caps_in_force, missing_powers, node_power_writes, wanted_caps
from scheduler.adapters.kubernetes.marks import HeldBy, Marks
from scheduler.adapters.kubernetes.writes import Effect, Verb, Write

JOB_ID = "lab/train@0a1b2c3d"
WANTED = {("n0", "pod-1"): 400.0}


def taking_part(name: str = "n0") -> dict[str, Any]:
    found = node(name)
    found["metadata"]["labels"]["heatdispatch.io/caps"] = "enabled"
    return found


def gpu(uuid: str = "GPU-0", pod_uid: str | None = "pod-1", **more: float | str | None) -> dict[str, Any]:
    seen = {"uuid": uuid, "podUid": pod_uid, "minWatts": 200.0, "maxWatts": 700.0, **more}
    return {key: value for key, value in seen.items() if value is not None}


def power(
    name: str = "n0", *gpus: dict[str, Any], caps: tuple[dict[str, Any], ...] = (), generation: int = 3
) -> dict[str, Any]:
    spec = {"planId": "old", "generation": generation, "leaseSeconds": 120.0, "gpus": list(caps)}
    return {"metadata": {"name": name, "uid": f"power-{name}"}, "spec": spec, "status": {"gpus": list(gpus)}}


def writes(*powers: dict[str, Any], nodes: tuple[dict[str, Any], ...] = (taking_part(),)) -> tuple[Write, ...]:
    return node_power_writes(WANTED, nodes, powers, plan_id="7f3a", lease_s=120.0)


def test_all_gpus_of_the_pod_are_capped() -> None:
    (write,) = writes(power("n0", gpu("GPU-1"), gpu("GPU-0"), gpu("GPU-2", "stranger"), gpu("GPU-3", None)))
    assert write.change == {
        "metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n0", "uid": "node-n0"}]},
        "spec": {
            "planId": "7f3a",
            "generation": 4,
            "leaseSeconds": 120.0,
            "gpus": [
                {"uuid": "GPU-0", "podUid": "pod-1", "capWatts": 400.0},
                {"uuid": "GPU-1", "podUid": "pod-1", "capWatts": 400.0},
            ],
        },
    }
    assert (write.verb, write.name, write.effect, write.text) == (Verb.APPLY, "n0", Effect.CAP, "2 GPUs capped (plan 7f3a)")


@pytest.mark.parametrize("condition", ["free", "capped", "waiting", "restoring", "yielded", None])
def test_a_gpu_that_is_served_is_capped_however_it_stands(condition: str | None) -> None:
    (write,) = writes(power("n0", gpu(condition=condition, why="")))
    assert write.change["spec"]["gpus"] == [{"uuid": "GPU-0", "podUid": "pod-1", "capWatts": 400.0}]


def test_what_does_not_change_is_not_written() -> None:
    cap = {"uuid": "GPU-0", "podUid": "pod-1", "capWatts": 400.2}
    assert writes(power("n0", gpu(), caps=(cap,))) == ()
    assert writes(power("n1", gpu(pod_uid="stranger")), nodes=(taking_part("n1"),)) == ()


@pytest.mark.parametrize(
    "seen",
    [
        (gpu(), gpu(pod_uid="pod-2")),  # two pods on one GPU
        (gpu(minWatts=450.0),),
        (gpu(maxWatts=400.0),),
        (gpu(minWatts=None),),
        (gpu(pod_uid="somebody-else"),),
        (gpu(condition="unavailable"),),
        (),
    ],
)
def test_in_doubt_there_is_no_cap_and_an_old_one_goes(seen: tuple[dict[str, Any], ...]) -> None:
    assert writes(power("n0", *seen)) == ()
    (write,) = writes(power("n0", *seen, caps=({"uuid": "GPU-0", "podUid": "pod-1", "capWatts": 400.0},)))
    assert write.change["spec"]["gpus"] == []


def test_a_node_that_takes_no_part_is_not_capped() -> None:
    assert writes(power("n0", gpu()), nodes=(node("n0"),)) == ()


def test_caps_are_wanted_for_pods_of_running_jobs_whose_class_bears_them() -> None:
    caps = {JOB_ID: 400.0}
    running = view(job(), pod("n0"), pod("n0", uid="ended", phase="Succeeded"), pod(None, uid="waits"))
    assert wanted_caps([running], caps, CLASSES) == WANTED
    assert wanted_caps([running], {}, CLASSES) == {}
    assert wanted_caps([view(job(class_name=None), pod("n0"))], caps, CLASSES) == {}
    assert wanted_caps([view(job(marks=Marks(held_by=HeldBy.OWNER)), pod("n0"))], caps, CLASSES) == {}
    rigid = {**CLASSES, "deferrable": replace(CLASSES["deferrable"], max_slowdown_fraction=0.0)}
    assert wanted_caps([running], caps, rigid) == {}
    assert wanted_caps([running], caps, {"insulated": INSULATED}) == {}


def test_a_cap_is_in_force_when_an_agent_says_so() -> None:
    running = view(job(), pod("n0"))
    capped = power("n0", gpu(enforcedWatts=400.0, originalWatts=700.0), gpu("GPU-1", enforcedWatts=450.0, originalWatts=700.0))
    assert caps_in_force([running], [capped]) == {JOB_ID: 400.0}
    assert caps_in_force([running], [power("n0", gpu(enforcedWatts=700.0, originalWatts=700.0))]) == {}
    assert caps_in_force([running], [power("n0", gpu())]) == {}


def test_a_node_with_gpus_that_takes_part_gets_its_object_once() -> None:
    bare = taking_part("cpu-only")
    bare["status"]["allocatable"].pop("nvidia.com/gpu")
    nodes = [taking_part("n1"), taking_part("n0"), node("closed"), bare]
    (write,) = missing_powers(nodes, {"n1"})
    spec = {"planId": "", "generation": 0, "leaseSeconds": 120.0, "gpus": []}
    assert (write.name, write.change["spec"], write.effect) == ("n0", spec, Effect.CAP)
    assert write.change["metadata"]["ownerReferences"][0]["uid"] == "node-n0"
