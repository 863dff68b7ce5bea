"""The levers by which later tests hurt a control plane, and that it never leaves anything behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import httpx
import pytest
from kube_objects import STRANGER

from scheduler.adapters.devcluster import audit, rbac
from scheduler.adapters.devcluster import cluster as subject
from scheduler.adapters.devcluster.arguments import PORTS
from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import ApiRefused, Object
from scheduler.adapters.devcluster.cluster import DevCluster, Options
from scheduler.adapters.devcluster.processes import ProcessDied, free_ports
from scheduler.adapters.devcluster.record import identity

MAPS = "/api/v1/namespaces/default/configmaps"
FORBIDDEN, GONE = 403, 410
GONE_S = 10.0
READ_MAPS = rbac.Rule(groups=("",), resources=("configmaps",), verbs=("get", "list", "watch"))


def config_map(name: str, **data: str) -> Object:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_a_killed_api_server_comes_back_with_its_data(own_cluster: DevCluster) -> None:
    own_cluster.admin.create(MAPS, config_map("kept", answer="42"))
    own_cluster.kill("kube-apiserver")
    with pytest.raises(httpx.TransportError):
        own_cluster.admin.get(MAPS)
    own_cluster.processes.check()
    own_cluster.restart("kube-apiserver")
    assert own_cluster.admin.get(f"{MAPS}/kept")["data"] == {"answer": "42"}


def test_old_versions_are_gone_after_compaction_and_restart(own_cluster: DevCluster) -> None:
    old = own_cluster.admin.create(MAPS, config_map("first"))["metadata"]["resourceVersion"]
    own_cluster.admin.create(MAPS, config_map("second"))
    assert own_cluster.compact() > int(old)
    own_cluster.restart("kube-apiserver")
    events = list(own_cluster.admin.watch(MAPS, old, seconds=5))
    assert [(event["type"], event["object"]["code"], event["object"]["reason"]) for event in events] == [
        ("ERROR", GONE, "Expired")
    ]


def test_a_stopped_api_server_hangs_and_goes_on(own_cluster: DevCluster) -> None:
    own_cluster.signal("kube-apiserver", signal.SIGSTOP)
    with pytest.raises(httpx.TimeoutException):
        own_cluster.admin.answer("GET", MAPS, timeout_s=0.5)
    own_cluster.signal("kube-apiserver", signal.SIGCONT)
    own_cluster.wait_ready()
    assert own_cluster.admin.answer("GET", MAPS).is_success


def test_a_program_that_ends_by_itself_is_reported_with_its_log(own_cluster: DevCluster) -> None:
    os.kill(own_cluster.processes.pids()["kwok"], signal.SIGKILL)

    def never() -> bool:
        return False

    with pytest.raises(ProcessDied, match=r"kwok ended with -9; its log .*kwok\.log ends with\n  "):
        own_cluster.wait("nothing", never, timeout_s=GONE_S)


def test_rights_are_what_rbac_gives(cluster: DevCluster) -> None:
    stranger = cluster.client(STRANGER)
    assert stranger.answer("GET", MAPS).status_code == FORBIDDEN
    rbac.allow(cluster.admin, "reader", STRANGER, (READ_MAPS,), namespace="default")
    cluster.wait("the right to read", lambda: stranger.answer("GET", MAPS).is_success)
    assert stranger.answer("POST", MAPS, config_map("refused")).status_code == FORBIDDEN


def test_the_audit_log_tells_who_wrote_what(cluster: DevCluster, namespace: str) -> None:
    start = audit.end(cluster.audit_log)
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    cluster.admin.create(maps, config_map("seen", answer="1"))
    cluster.admin.create(f"{maps}?dryRun=All", config_map("unseen"))
    cluster.admin.patch(f"{maps}/seen", {"data": {"answer": "2"}})
    cluster.admin.get(f"{maps}/seen")
    with pytest.raises(ApiRefused):
        cluster.client(STRANGER).delete(f"{maps}/seen")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden"}, "stringData": {"key": "never-logged"}}
    cluster.admin.create(f"/api/v1/namespaces/{namespace}/secrets", secret)
    cluster.admin.delete(f"{maps}/seen")

    def ours() -> list[audit.AuditEvent]:
        return [one for one in cluster.writes_since(start) if one.user in ("admin", STRANGER) and one.namespace == namespace]

    written = cluster.wait("five writes", lambda: (found := ours()) and len(found) >= 5 and found)
    assert written
    assert [(one.user, one.what, one.accepted) for one in written] == [
        ("admin", f"create configmaps {namespace}/seen", True),
        ("admin", f"patch configmaps {namespace}/seen", True),
        (STRANGER, f"delete configmaps {namespace}/seen", False),
        ("admin", f"create secrets {namespace}/hidden", True),
        ("admin", f"delete configmaps {namespace}/seen", True),
    ]
    assert written[1].body == {"data": {"answer": "2"}}
    assert "never-logged" not in cluster.audit_log.read_text("utf-8")


def test_nothing_is_left_of_a_cluster_whose_holder_is_killed(toolbox: Toolbox, tmp_path: Path) -> None:
    script = dedent("""
        import json, pathlib, sys, time
        from scheduler.adapters.devcluster.build import find
        from scheduler.adapters.devcluster.cluster import DevCluster
        with DevCluster(find(), pathlib.Path(sys.argv[1])) as cluster:
            print(json.dumps(list(cluster.processes.pids().values())), flush=True)
            time.sleep(600)
    """)
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "held")], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        pids = [int(text) for text in holder.stdout.readline().strip("[]\n").split(",")]
        present = [found for pid in pids if (found := identity(pid)) is not None]
        holder.kill()
    assert len(present) == 5
    until_s = time.monotonic() + GONE_S
    while any(one.alive() for one in present) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not [one for one in present if one.alive()]


def test_two_clusters_run_side_by_side(cluster: DevCluster, own_cluster: DevCluster) -> None:
    own_cluster.admin.create(MAPS, config_map("only-here"))
    assert own_cluster.url != cluster.url
    assert "only-here" not in {one["metadata"]["name"] for one in cluster.admin.items(MAPS)}


def test_a_port_that_is_taken_meanwhile_is_left_to_its_taker(
    toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taker:
        taken = taker.getsockname()[1]
        choices = [tuple(taken if name == "kube-apiserver" else port for name, port in zip(PORTS, free_ports(6), strict=True))]
        monkeypatch.setattr(subject, "free_ports", lambda count: choices.pop() if choices else free_ports(count))
        with DevCluster(toolbox, tmp_path / "second-try") as running:
            assert not running.url.endswith(f":{taken}")
            assert running.admin.answer("GET", "/readyz").is_success


def test_what_does_not_start_says_why(toolbox: Toolbox, tmp_path: Path) -> None:
    options = Options(apiserver_flags=("--no-such-flag",))
    with pytest.raises(ProcessDied, match="unknown flag: --no-such-flag"), DevCluster(toolbox, tmp_path / "broken", options):
        pass
