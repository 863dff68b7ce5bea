"""What the operator stands on: native Jobs that are held, placed, released, stopped and resumed on nodes that pretend."""

from __future__ import annotations

from datetime import datetime

import pytest
from kube_objects import job, jobs_path, pods_of, running_pods

from scheduler.adapters.devcluster.client import ApiRefused, condition
from scheduler.adapters.devcluster.cluster import DevCluster

UNPROCESSABLE = 422
RUNS_S = 2.0


def test_a_held_job_is_placed_released_and_runs_its_time(cluster: DevCluster, namespace: str) -> None:
    where = jobs_path(namespace, "held")
    cluster.admin.create(jobs_path(namespace), job("held", gpus=4, runs="2s"))
    cluster.wait("Suspended", lambda: condition(cluster.admin.get(where), "Suspended") == "True")
    assert pods_of(cluster, namespace, "held") == []
    cluster.admin.patch(where, {"spec": {"template": {"spec": {"nodeSelector": {"zone": "b"}}}}})
    cluster.admin.patch(where, {"spec": {"suspend": False}})
    pod = cluster.wait("a running pod", lambda: running_pods(cluster, namespace, "held"))[0]
    assert pod["spec"]["nodeName"] in ("gpu-b-0", "gpu-b-1")
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "4"
    cluster.wait("Complete", lambda: condition(cluster.admin.get(where), "Complete") == "True")
    status = cluster.admin.get(where)["status"]
    took_s = (datetime.fromisoformat(status["completionTime"]) - datetime.fromisoformat(status["startTime"])).total_seconds()
    # Times of the API have whole seconds: a run of 2.0 s may show as 1 s.
    assert took_s >= RUNS_S - 1.0
    assert status["succeeded"] == 1


def test_a_running_job_is_stopped_moved_and_resumed(cluster: DevCluster, namespace: str) -> None:
    where = jobs_path(namespace, "moved")
    cluster.admin.create(jobs_path(namespace), job("moved", suspend=False, runs="600s", selector={"zone": "a"}))
    first = cluster.wait("a running pod", lambda: running_pods(cluster, namespace, "moved"))[0]
    assert first["spec"]["nodeName"].startswith("gpu-a")
    elsewhere = {"spec": {"template": {"spec": {"nodeSelector": {"zone": "b"}}}}}
    with pytest.raises(ApiRefused, match="field is immutable") as refused:
        cluster.admin.patch(where, elsewhere)
    assert refused.value.code == UNPROCESSABLE
    cluster.admin.patch(where, {"spec": {"suspend": True}})
    cluster.wait("Suspended", lambda: condition(cluster.admin.get(where), "Suspended") == "True")
    cluster.wait("no pods", lambda: not pods_of(cluster, namespace, "moved"))
    assert "startTime" not in cluster.admin.get(where)["status"]
    cluster.admin.patch(where, elsewhere)
    cluster.admin.patch(where, {"spec": {"suspend": False}})
    second = cluster.wait("a running pod", lambda: running_pods(cluster, namespace, "moved"))[0]
    assert second["spec"]["nodeName"].startswith("gpu-b")
    assert second["metadata"]["uid"] != first["metadata"]["uid"]


def test_finished_indexes_of_a_stopped_job_stay_finished(cluster: DevCluster, namespace: str) -> None:
    where = jobs_path(namespace, "indexed")
    wanted = job("indexed", suspend=False, runs="1s", pods=4)
    wanted["spec"] |= {"completionMode": "Indexed", "parallelism": 1}
    cluster.admin.create(jobs_path(namespace), wanted)
    cluster.wait("two indexes", lambda: cluster.admin.get(where)["status"].get("succeeded", 0) >= 2)
    cluster.admin.patch(where, {"spec": {"suspend": True}})
    cluster.wait("Suspended", lambda: condition(cluster.admin.get(where), "Suspended") == "True")
    finished = cluster.admin.get(where)["status"]["completedIndexes"]
    assert finished.startswith("0")
    cluster.admin.patch(where, {"spec": {"suspend": False}})
    cluster.wait("Complete", lambda: condition(cluster.admin.get(where), "Complete") == "True")
    assert cluster.admin.get(where)["status"]["completedIndexes"] == "0-3"


def test_a_job_that_fits_nowhere_waits(cluster: DevCluster, namespace: str) -> None:
    cluster.admin.create(jobs_path(namespace), job("large", gpus=9, suspend=False))

    def reason() -> str | None:
        return next((condition(pod, "PodScheduled", "message") for pod in pods_of(cluster, namespace, "large")), None)

    message = cluster.wait("an unschedulable pod", reason)
    assert "Insufficient nvidia.com/gpu" in (message or "")
