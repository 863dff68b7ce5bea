"""The runtime on a real API server: requests, caches, server-side apply, Events, and two replicas of which one is hurt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from kube_objects import STRANGER, job

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.devcluster import audit, rbac
from scheduler.adapters.devcluster.cluster import CRDS as CRD_PATH
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.adapters.kubernetes.runtime import trim
from scheduler.adapters.kubernetes.runtime.backoff import Backoff
from scheduler.adapters.kubernetes.runtime.client import ALL, KubeClient, Selection
from scheduler.adapters.kubernetes.runtime.conditions import Condition, Truth, merged
from scheduler.adapters.kubernetes.runtime.connection import Connection, Timeouts, configuration
from scheduler.adapters.kubernetes.runtime.errors import AlreadyExists, Conflict, Forbidden, Gone, Invalid, NotFound
from scheduler.adapters.kubernetes.runtime.events import EventRecorder
from scheduler.adapters.kubernetes.runtime.fence import Unfenced
from scheduler.adapters.kubernetes.runtime.kinds import (
    CONFIG_MAPS,
    EVENTS,
    JOBS,
    LEASES,
    NODE_POWERS,
    NODES,
    PLANS,
    Kind,
)
from scheduler.adapters.kubernetes.runtime.limiter import WriteLimiter
from scheduler.adapters.kubernetes.runtime.reflector import Reflector, ReflectorOptions
from scheduler.adapters.kubernetes.runtime.store import Store
from scheduler.adapters.kubernetes.runtime.writer import OutOfReach, Reach, Writer

HERE = Path(__file__).parent
CRDS = HERE.parents[1] / "manifests" / "crds"
LEASE_S = 3
LONG_LEASE_S = 60
# More rounds look longer for the moment between the fence and the system call.
ROUNDS = int(os.environ.get("HEAT_DISPATCH_LEADER_ROUNDS", "2"))
PLAN = {"spec": {"policyRef": "site"}}
CLOCK = SystemClock()


def client_of(cluster: DevCluster, user: str = "admin", timeouts: Timeouts | None = None) -> KubeClient:
    return KubeClient(Connection(configuration(cluster.kubeconfig(user))), timeouts)


@pytest.fixture
def client(cluster: DevCluster) -> KubeClient:
    """A client of the shared cluster."""
    return client_of(cluster)


def writer(client: KubeClient, reach: Reach = Reach.FULL) -> Writer:
    return Writer(client, Unfenced(), WriteLimiter(CLOCK, time.sleep), time.sleep, reach=lambda: reach)


def eventually(holds: Callable[[], object], within_s: float = 60.0) -> bool:
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        if holds():
            return True
        time.sleep(0.02)
    return bool(holds())


@contextmanager
def reflecting(client: KubeClient, kind: Kind, selection: Selection = ALL, **options: Any) -> Iterator[Reflector]:
    options = {"backoff": Backoff(base_s=0.1, max_s=1.0), **options}
    store = Store(kind, trim=trim.job if kind == JOBS else trim.common)
    reflector = Reflector(
        client, store, CLOCK, np.random.default_rng(1).random, selection=selection, options=ReflectorOptions(**options)
    )
    reflector.start()
    try:
        yield reflector
    finally:
        reflector.stop()


def names(reflector: Reflector) -> set[str]:
    return {obj["metadata"]["name"] for obj in reflector.store.all()}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def test_requests_and_refusals(cluster: DevCluster, client: KubeClient, namespace: str) -> None:
    assert client.version()["major"] == "1"
    seen = client.create(CONFIG_MAPS, config_map("a", x="1"), namespace)
    with pytest.raises(AlreadyExists):
        client.create(CONFIG_MAPS, config_map("a"), namespace)
    client.patch(CONFIG_MAPS, seen, {"data": {"x": "2"}})
    with pytest.raises(Conflict):
        client.patch(CONFIG_MAPS, seen, {"data": {"x": "3"}})
    with pytest.raises(Invalid) as caught:
        client.create(JOBS, {"metadata": {"name": "j"}, "spec": {"parallelism": -1}}, namespace)
    assert "spec.parallelism" in {cause.field for cause in caught.value.causes}
    with pytest.raises(Forbidden):
        client_of(cluster, STRANGER).get(CONFIG_MAPS, "a", namespace)
    client.delete(CONFIG_MAPS, seen)
    with pytest.raises(NotFound):
        client.get(CONFIG_MAPS, "a", namespace)


def test_a_namesake_is_a_conflict_and_not_a_surprise(client: KubeClient, namespace: str) -> None:
    seen = client.create(CONFIG_MAPS, config_map("twin"), namespace)
    client.delete(CONFIG_MAPS, seen)
    client.create(CONFIG_MAPS, config_map("twin"), namespace)
    with pytest.raises(Conflict):
        client.delete(CONFIG_MAPS, seen)
    with pytest.raises(Conflict):
        client.patch(CONFIG_MAPS, {"metadata": {**seen["metadata"]}}, {"data": {"x": "1"}})


def test_a_reflector_follows_jobs_page_by_page(client: KubeClient, namespace: str) -> None:
    for number in range(7):
        client.create(JOBS, job(f"job-{number}"), namespace)
    with reflecting(client, JOBS, Selection(namespace=namespace), page_size=3) as reflector:
        assert eventually(lambda: len(names(reflector)) == 7)
        seen = reflector.store.get("job-0", namespace)
        assert seen is not None
        assert seen["kind"] == "Job"
        assert "managedFields" not in seen["metadata"]
        assert "image" in seen["spec"]["template"]["spec"]["containers"][0]
        client.patch(JOBS, seen, {"metadata": {"labels": {"heatdispatch.io/class": "batch"}}})
        client.delete(JOBS, client.get(JOBS, "job-1", namespace))
        assert eventually(lambda: "job-1" not in names(reflector))
        labelled = reflector.store.get("job-0", namespace)
        assert labelled is not None
        assert labelled["metadata"]["labels"]["heatdispatch.io/class"] == "batch"
        assert reflector.relists == 1


def test_a_kind_that_comes_goes_and_comes_back(own_cluster: DevCluster) -> None:
    """Not installed keeps nobody waiting; a CRD deleted while running takes its objects out of the cache."""
    crds = [yaml.safe_load((CRDS / "nodepowers.yaml").read_text("utf-8"))]
    client = client_of(own_cluster)
    with reflecting(client, NODE_POWERS, absent_s=0.2, missing_s=1.0) as reflector:
        assert eventually(lambda: reflector.store.synced)
        assert reflector.missing
        for _ in range(2):
            own_cluster.apply_crds(crds)
            writer(client).apply(NODE_POWERS, {"spec": {"planId": "p", "generation": 1, "gpus": []}}, "node-1")
            assert eventually(lambda: names(reflector) == {"node-1"})
            own_cluster.admin.delete(f"{CRD_PATH}/nodepowers.heatdispatch.io")
            assert eventually(lambda: reflector.missing and not names(reflector))


def test_rights_that_are_taken_away_and_given_back(own_cluster: DevCluster) -> None:
    """What was seen stays, its age tells; a 403 is never final."""
    rule = rbac.Rule(groups=("",), resources=("configmaps",), verbs=("get", "list", "watch"))
    admin = client_of(own_cluster)
    rbac.allow(own_cluster.admin, "reader", STRANGER, (rule,))
    client = client_of(own_cluster, STRANGER)
    # A watch that is open goes on without its rights: how soon they are missed is how long a watch lasts.
    with reflecting(client, CONFIG_MAPS, Selection(namespace="default"), watch_s=2.0) as reflector:
        assert eventually(lambda: reflector.store.synced)
        before = names(reflector)
        rbac.allow(own_cluster.admin, "reader", STRANGER, ())
        assert eventually(lambda: reflector.failures >= 2)
        assert names(reflector) == before
        assert reflector.age_of_last_turn_s() < 20.0
        admin.create(CONFIG_MAPS, config_map("meanwhile"), "default")
        rbac.allow(own_cluster.admin, "reader", STRANGER, (rule,))
        assert eventually(lambda: "meanwhile" in names(reflector))


def test_apply_owns_its_fields_and_lets_go_of_what_it_no_longer_says(client: KubeClient, namespace: str) -> None:
    door, name = writer(client), f"plan-{namespace}"
    ready = Condition(type="Ready", status=Truth.TRUE, reason="PlanCurrent", message="plan 1")
    seen = door.apply(PLANS, PLAN, name)
    assert seen is not None
    status = {"status": {"planId": "1", "held": 3, "conditions": merged(seen, [ready], CLOCK.now_utc())}}
    seen = door.apply(PLANS, status, name, "status", seen=seen)
    assert seen is not None
    assert seen["status"]["conditions"][0]["observedGeneration"] == 1
    assert {entry["manager"] for entry in seen["metadata"]["managedFields"]} == {"heat-dispatch"}
    assert door.apply(PLANS, status, name, "status", seen=seen) is None
    seen = door.apply(PLANS, {"status": {"planId": "2"}}, name, "status", seen=seen)
    assert seen is not None
    assert seen["status"]["planId"] == "2"
    assert "held" not in seen["status"]
    assert not seen["status"]["conditions"]
    door.delete(PLANS, seen)


def test_a_part_of_somebody_elses_object(client: KubeClient, namespace: str) -> None:
    seen = client.create(CONFIG_MAPS, config_map("shared", theirs="1"), namespace)
    door = writer(client)
    door.apply_part(CONFIG_MAPS, seen, {"data": {"ours": "1"}})
    with pytest.raises(Conflict):
        door.apply_part(CONFIG_MAPS, seen, {"data": {"ours": "2"}})
    assert client.get(CONFIG_MAPS, "shared", namespace)["data"] == {"theirs": "1", "ours": "1"}


def test_a_dry_writer_leaves_other_peoples_objects_alone(cluster: DevCluster, client: KubeClient, namespace: str) -> None:
    seen = client.create(JOBS, job("train"), namespace)
    start = audit.end(cluster.audit_log)
    door = writer(client, Reach.DRY)
    with pytest.raises(OutOfReach):
        door.patch(JOBS, seen, {"spec": {"suspend": False}})
    recorder = EventRecorder(lambda: door, CLOCK)
    recorder.say({**seen, "kind": "Job", "apiVersion": "batch/v1"}, "WouldHold", "would be held until 02:15")
    assert recorder.flush() == 1

    def ours() -> list[str]:
        return [one.resource for one in cluster.writes_since(start) if one.user == "admin" and one.namespace == namespace]

    assert eventually(lambda: ours() == ["events"])


def test_events_show_the_newest_sentence_and_a_count(client: KubeClient, namespace: str) -> None:
    seen = client.create(JOBS, job("train"), namespace)
    about = {**seen, "kind": "Job", "apiVersion": "batch/v1"}
    recorder = EventRecorder(lambda: writer(client, Reach.DRY), CLOCK, instance="replica-1")
    for text in ("Held until 02:15 UTC", "Held until 02:15 UTC", "Held until 03:00 UTC"):
        recorder.say(about, "Held", text)
        recorder.flush()
    assert recorder.dropped == 0
    selection = Selection(namespace=namespace, fields="involvedObject.name=train,reason=Held")
    [event] = client.list(EVENTS, selection)
    assert (event["message"], event["count"], event["type"]) == ("Held until 03:00 UTC", 3, "Normal")
    assert event["involvedObject"]["uid"] == seen["metadata"]["uid"]


def test_events_of_cluster_scoped_objects_and_of_a_deleted_namespace(client: KubeClient, namespace: str) -> None:
    recorder = EventRecorder(lambda: writer(client, Reach.DRY), CLOCK)
    node = {**client.list(NODES)[0], "kind": "Node", "apiVersion": "v1"}
    recorder.say(node, "PoolConflict", f"two policies want it ({namespace})")
    assert recorder.flush() == 1
    recorder.say({"kind": "Job", "metadata": {"namespace": "never-was", "name": "x", "uid": "u"}}, "Held", "x")
    assert recorder.flush() == 0
    assert recorder.dropped == 1


def test_a_cache_survives_the_api_servers_faults(own_cluster: DevCluster) -> None:
    """Killed and restarted, versions compacted away, and frozen in the middle of a watch: right again each time."""
    client = client_of(own_cluster, timeouts=Timeouts(connect_s=1.0, read_s=1.0, list_read_s=3.0))
    maps = Selection(namespace="default")
    with reflecting(client, CONFIG_MAPS, maps, silence_s=2.0) as reflector:
        assert eventually(lambda: reflector.store.synced)
        old = client.create(CONFIG_MAPS, config_map("before"), "default")["metadata"]["resourceVersion"]
        client.create(CONFIG_MAPS, config_map("between"), "default")
        assert eventually(lambda: {"before", "between"} <= names(reflector))

        own_cluster.kill("kube-apiserver")
        assert eventually(lambda: reflector.failures >= 2)
        assert "before" in names(reflector)
        own_cluster.compact()
        own_cluster.restart("kube-apiserver")
        client.create(CONFIG_MAPS, config_map("after-restart"), "default")
        assert eventually(lambda: "after-restart" in names(reflector) and not reflector.doubtful)

        with pytest.raises(Gone):
            list(client.watch(CONFIG_MAPS, old, maps, timeout_s=5.0))

        relists = reflector.relists
        own_cluster.signal("kube-apiserver", signal.SIGSTOP)
        assert eventually(lambda: reflector.doubtful)
        own_cluster.signal("kube-apiserver", signal.SIGCONT)
        own_cluster.wait_ready()
        client.create(CONFIG_MAPS, config_map("after-silence"), "default")
        assert eventually(lambda: "after-silence" in names(reflector))
        assert reflector.relists > relists


@dataclass
class Replica:
    """A process that runs for the Lease, and what it said."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        self.said += (line.strip() for line in self.process.stdout)

    def leads(self) -> bool:
        return bool(self.said) and self.said[-1].startswith("leading")

    def is_over(self) -> bool:
        return bool(self.said) and self.said[-1].startswith("over")


@contextmanager
def replica(cluster: DevCluster, namespace: str, identity: str, lease_s: int = LEASE_S) -> Iterator[Replica]:
    command = [sys.executable, str(HERE / "leading_process.py"), str(cluster.kubeconfig()), namespace, identity, str(lease_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        try:
            yield Replica(process)
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def writers(cluster: DevCluster, start: int) -> list[str]:
    """Whose writes the API server took, in the order in which it did."""
    taken = [one for one in cluster.writes_since(start) if one.resource == "nodepowers" and one.accepted]
    return [str(one.body["spec"]["planId"]).partition("-")[0] for one in taken]


def in_turns(names_of_writers: list[str]) -> list[str]:
    """Runs of the same writer: what must never come back after another has written."""
    return [name for name, before in zip(names_of_writers, ["", *names_of_writers], strict=False) if name != before]


@pytest.fixture
def power_lease(cluster: DevCluster, client: KubeClient, namespace: str) -> Iterator[int]:
    """A Lease that is free at once; gives the place in the audit log."""
    body = {"metadata": {"name": "leader"}, "spec": {"leaseDurationSeconds": 1}}
    client.create(LEASES, body, namespace)
    yield audit.end(cluster.audit_log)
    client.delete(NODE_POWERS, client.get(NODE_POWERS, "shared"))


def test_a_killed_leader_is_followed_within_its_lease(cluster: DevCluster, namespace: str, power_lease: int) -> None:
    with replica(cluster, namespace, "a") as first:
        assert eventually(first.leads)
        with replica(cluster, namespace, "b") as second:
            time.sleep(2.0)
            first.process.kill()
            killed_s = time.monotonic()
            assert eventually(second.leads)
            # A lease that was renewed just before, seen up to one turn late, the turn that takes it; the rest is the machine's.
            assert time.monotonic() - killed_s < LEASE_S + 10.0
            assert eventually(lambda: "b" in writers(cluster, power_lease))
    assert in_turns(writers(cluster, power_lease)) == ["a", "b"]


def test_a_stopped_leader_never_writes_after_another_has(cluster: DevCluster, namespace: str, power_lease: int) -> None:
    """SIGSTOP in the middle of writing, past the lease; SIGCONT with the loop of the old term still running."""
    with replica(cluster, namespace, "a") as first:
        assert eventually(first.leads)
        with replica(cluster, namespace, "b") as second:
            time.sleep(1.5)
            leader, standby, turns = first, second, ["a"]
            for _ in range(ROUNDS):
                assert eventually(lambda: writers(cluster, power_lease)[-3:] == 3 * turns[-1:])
                leader.process.send_signal(signal.SIGSTOP)
                assert eventually(standby.leads)
                turns.append("b" if turns[-1] == "a" else "a")
                assert eventually(lambda: writers(cluster, power_lease)[-1] == turns[-1])
                leader.process.send_signal(signal.SIGCONT)
                assert eventually(leader.is_over)
                leader, standby = standby, leader
            time.sleep(0.5)
    assert in_turns(writers(cluster, power_lease)) in (turns, [*turns, "b" if turns[-1] == "a" else "a"])


def test_a_leader_that_leaves_hands_over_at_once(cluster: DevCluster, namespace: str, power_lease: int) -> None:
    """A lease of a minute: a successor that had to wait for its end would come far too late, however slow the machine is."""
    with replica(cluster, namespace, "a", LONG_LEASE_S) as first:
        assert eventually(first.leads)
        with replica(cluster, namespace, "b", LONG_LEASE_S) as second:
            assert eventually(lambda: "a" in writers(cluster, power_lease))
            time.sleep(1.5)
            first.process.terminate()
            first.process.wait(60)
            left_s = time.monotonic()
            assert eventually(second.leads)
            assert time.monotonic() - left_s < LONG_LEASE_S / 2
            assert eventually(lambda: "b" in writers(cluster, power_lease))
    assert in_turns(writers(cluster, power_lease)) == ["a", "b"]


def test_the_crds_of_this_folder_are_those_of_the_kinds_we_write() -> None:
    """The runtime names kinds by hand, since adapters cannot see `config`: names and versions must agree with the CRDs."""
    served = {}
    for path in CRDS.glob("*.yaml"):
        spec = yaml.safe_load(path.read_text("utf-8"))["spec"]
        served[spec["names"]["kind"]] = (spec["group"], spec["versions"][0]["name"], spec["names"]["plural"])
    for kind in (PLANS, NODE_POWERS):
        assert served[kind.kind] == (kind.group, kind.version, kind.plural)
