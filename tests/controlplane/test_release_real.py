"""`heat-dispatch release` on a real API server: holds end without an operator."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from kube_objects import job, jobs_path
from typer.testing import CliRunner, Result

from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.connection import Connection, configuration
from scheduler.adapters.kubernetes.runtime.errors import Conflict
from scheduler.adapters.kubernetes.runtime.kinds import JOBS
from scheduler.entrypoints.cli import app

NOW = datetime.now(UTC)  # noqa: TID251 - the command reads the machine's clock
HELD_BY, UNTIL = "heatdispatch.io/held-by", "heatdispatch.io/hold-until"


def held(cluster: DevCluster, namespace: str, name: str, hours: float | None, by: str = "operator") -> None:
    """A job as the operator leaves it: suspended and marked by its own hand, with an end so many hours from now."""
    cluster.admin.create(jobs_path(namespace), job(name, runs="600s", suspend=False))
    marks = {HELD_BY: by, "heatdispatch.io/held-since": f"{NOW - timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}"}
    if hours is not None:
        marks[UNTIL] = f"{NOW + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"
    client = KubeClient(Connection(configuration(cluster.kubeconfig())))
    change = {"metadata": {"annotations": marks}, "spec": {"suspend": True}}

    def patched() -> bool:
        # The job controller writes its status in these very moments.
        try:
            client.patch(JOBS, client.get(JOBS, name, namespace), change)
        except Conflict:
            return False
        return True

    cluster.wait("the patch", patched)


def release(cluster: DevCluster, *arguments: str) -> Result:
    """The command, as the clusters' administrator."""
    return CliRunner().invoke(app, ["release", *arguments, "--kubeconfig", str(cluster.kubeconfig())])


def suspended(cluster: DevCluster, namespace: str, name: str) -> bool:
    return bool(cluster.admin.get(jobs_path(namespace, name))["spec"].get("suspend"))


def test_only_what_is_over_is_let_go(cluster: DevCluster, namespace: str) -> None:
    held(cluster, namespace, "over", -0.5)
    held(cluster, namespace, "waits", 3.0)
    held(cluster, namespace, "unclaimed", None, by="admission")
    cluster.admin.create(jobs_path(namespace), job("his"))
    dry = release(cluster, "--stale", "--dry-run")
    assert f"would let go: Job {namespace}/over: Hold ended: its time is over" in dry.output
    assert suspended(cluster, namespace, "over")
    done = release(cluster, "--stale")
    assert done.exit_code == 0, done.output
    state = {name: suspended(cluster, namespace, name) for name in ("over", "waits", "unclaimed", "his")}
    assert state == {"over": False, "waits": True, "unclaimed": False, "his": True}
    marks = cluster.admin.get(jobs_path(namespace, "over"))["metadata"]["annotations"]
    assert HELD_BY not in marks
    assert UNTIL not in marks
    assert f"{namespace}/" not in release(cluster, "--stale").output


def test_all_lets_every_hold_of_ours_go_and_leaves_what_is_its_owners(cluster: DevCluster, namespace: str) -> None:
    held(cluster, namespace, "waits", 3.0)
    cluster.admin.create(jobs_path(namespace), job("his"))
    done = release(cluster, "--all", "--json", "-")
    assert done.exit_code == 0, done.output
    told = [one for one in json.loads(done.stdout)["released"] if one["namespace"] == namespace]
    assert [(one["name"], one["error"]) for one in told] == [("waits", "")]
    assert not suspended(cluster, namespace, "waits")
    assert suspended(cluster, namespace, "his")


def test_it_must_be_said_which(cluster: DevCluster) -> None:
    for wrong in ((), ("--stale", "--all")):
        done = release(cluster, *wrong)
        assert done.exit_code == 2
        assert "--stale, --all, --uninstall, --leases or --override, one of them" in done.output
