"""The patches of `actions` on a real API server, job controller and Kueue: what they say is what happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from kube_objects import QUEUE, job, jobs_path, pods_of, queue_objects, running_pods, workload_of

from scheduler.adapters.devcluster.client import condition
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.adapters.devcluster.kueue import API as KUEUE
from scheduler.adapters.kubernetes.actions import Orders, let_go, taken, write_for
from scheduler.adapters.kubernetes.admission_check import CONTROLLER, Check, ready
from scheduler.adapters.kubernetes.guard import Drop, Fresh, judge
from scheduler.adapters.kubernetes.jobs import JobView, Surroundings, read
from scheduler.adapters.kubernetes.marks import GATED_BY, PREFIX
from scheduler.adapters.kubernetes.pools import PoolSelector, fits, rooms_of
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.connection import Connection, configuration
from scheduler.adapters.kubernetes.runtime.errors import Conflict
from scheduler.adapters.kubernetes.stale import stale_writes
from scheduler.adapters.kubernetes.writes import Verb, Write
from scheduler.domain.action import Action, HoldJob, StartJob, StopJob
from scheduler.domain.job import Flexibility, JobClass, JobPhase
from scheduler.domain.settings import Mode, Settings

CLASS = JobClass(name="any", flexibility=Flexibility.PREEMPTIBLE, max_delay_s=86400.0, max_preemptions=2)
POOLS = {zone: PoolSelector(pool_id=zone, node_labels={"zone": zone}) for zone in ("a", "b")}
LABELS = {"heatdispatch.io/class": "any"}
DISPATCH = Settings(mode=Mode.DISPATCH)
KUEUE_S = 90.0


def now() -> datetime:
    """The API server lives in real time."""
    return datetime.now(tz=UTC)  # noqa: TID251 - the API server lives in real time


@dataclass
class Hand:
    """One Job, as the operator sees and writes it: look, decide, look once more, write."""

    cluster: DevCluster
    client: KubeClient
    namespace: str
    name: str
    queued: bool = False

    def view(self) -> JobView:
        """The job now."""
        given = self.cluster.admin.get(jobs_path(self.namespace, self.name))
        pods = tuple(pods_of(self.cluster, self.namespace, self.name))
        nodes = self.cluster.admin.items("/api/v1/nodes")
        namespace = self.cluster.admin.get(f"/api/v1/namespaces/{self.namespace}")
        around = Surroundings(
            now_utc=now(),
            classes={"any": CLASS},
            pools=tuple(POOLS.values()),
            pool_by_node={node["metadata"]["name"]: node["metadata"]["labels"].get("zone") for node in nodes},
            namespaces={self.namespace: namespace},
        )
        workload = (workload_of(self.cluster, self.namespace, self.name) if self.queued else None) or {}
        found = read(given, workload, pods, around)
        assert found is not None
        return found

    def fresh(self) -> Fresh:
        """What the guard knows."""
        nodes, pods = self.cluster.admin.items("/api/v1/nodes"), self.cluster.admin.items("/api/v1/pods")
        rooms = rooms_of(nodes, pods, tuple(POOLS.values()))
        return Fresh(now_utc=now(), settings=DISPATCH, classes={"any": CLASS}, rooms=rooms)

    def send(self, write: Write) -> None:
        """Write, as the operator's writer does."""
        if write.verb is Verb.PATCH:
            self.client.patch(write.kind, write.seen, write.change, write.subresource)
        else:
            self.client.apply_part(write.kind, write.seen, write.change, write.subresource)

    def do(self, action: Action) -> None:
        """Carry an action out; the controllers write too, so a conflict means to look again."""

        def once() -> bool:
            write = write_for(action, self.view(), Orders(now_utc=now(), plan_id="7f3a", pools=POOLS))
            assert isinstance(write, Write) or write == "its pods are not gone yet", write
            if not isinstance(write, Write):
                return False
            dropped = judge(write, self.view(), self.fresh())
            assert dropped in (None, Drop.CONFLICT)
            if dropped is None:
                try:
                    self.send(write)
                except Conflict:
                    return False
            return dropped is None

        self.cluster.wait(type(action).__name__, lambda: once() or None)

    def hold(self) -> None:
        """Hold for an hour."""
        until = now() + timedelta(hours=1)
        self.do(HoldJob(job_id="j", until_utc=until, planned_start_utc=None, reason="CheaperPower", text="Held"))

    def start(self, zone: str) -> None:
        """Start on a zone."""
        self.do(StartJob(job_id="j", pool_id=zone, at_utc=now(), cap_w=None, reason="Planned"))

    def stop(self) -> None:
        """Stop for at most an hour."""
        self.do(StopJob(job_id="j", at_utc=now(), resume_by_utc=now() + timedelta(hours=1), reason="CheaperPower"))

    def phase(self, wanted: JobPhase) -> JobView:
        """Wait for a phase."""
        self.cluster.wait(wanted.value, lambda: self.view().state.phase is wanted or None, KUEUE_S)
        return self.view()

    def node(self) -> str:
        """Node of its running pod."""
        pods = self.cluster.wait("a running pod", lambda: running_pods(self.cluster, self.namespace, self.name), KUEUE_S)
        return str(pods[0]["spec"]["nodeName"])


@pytest.fixture
def client(cluster: DevCluster) -> Iterator[KubeClient]:
    """The operator's own client."""
    with closing(Connection(configuration(cluster.kubeconfig()))) as connection:
        yield KubeClient(connection)


@pytest.fixture(autouse=True)
def opted_in(cluster: DevCluster, namespace: str) -> None:
    """The namespace takes part: its jobs may be held and stopped."""
    cluster.admin.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"heatdispatch.io/dispatch": "enabled"}}})


def created(cluster: DevCluster, client: KubeClient, namespace: str, **spec: object) -> Hand:
    """A Job that its owner left to the plan."""
    wanted = job("train", labels=LABELS, runs="600s", gpus=4)
    wanted["metadata"]["annotations"] = {PREFIX + "start": "planned"}
    wanted["spec"] |= spec
    cluster.admin.create(jobs_path(namespace), wanted)
    return Hand(cluster, client, namespace, "train")


def test_a_job_is_held_started_stopped_moved_and_let_finish(cluster: DevCluster, client: KubeClient, namespace: str) -> None:
    hand = created(cluster, client, namespace)
    hand.hold()
    held = hand.view()
    assert (held.held, held.state.phase, held.marks.reason) == (True, JobPhase.QUEUED, "CheaperPower")
    assert pods_of(cluster, namespace, "train") == []
    hand.start("b")
    assert hand.node().startswith("gpu-b")
    assert hand.phase(JobPhase.RUNNING).state.pool_id == "b"
    hand.stop()
    paused = hand.phase(JobPhase.PAUSED)
    assert (paused.state.preemptions, paused.state.pool_id, paused.held) == (1, "b", True)
    hand.start("a")
    assert hand.node().startswith("gpu-a")
    resumed = hand.view()
    assert (resumed.state.preemptions, resumed.state.pool_id, resumed.owner_took) == (1, "a", "")
    assert resumed.state.first_started_utc == paused.state.first_started_utc


def test_a_job_whose_pods_find_no_node_is_held_back(cluster: DevCluster, client: KubeClient, namespace: str) -> None:
    wanted = job("train", suspend=False, labels=LABELS, gpus=8, pods=3, selector={"zone": "b"})
    cluster.admin.create(jobs_path(namespace), wanted)
    hand = Hand(cluster, client, namespace, "train")
    assert not fits(hand.view().gangs[0], "b", hand.fresh().rooms)
    # Two of three pods got nodes at once: it runs, and a job that runs is not held.
    cluster.wait("two pods", lambda: len(running_pods(cluster, namespace, "train")) == 2 or None)
    assert (
        write_for(
            HoldJob(job_id="j", until_utc=now(), planned_start_utc=None, reason="r", text="t"),
            hand.view(),
            Orders(now_utc=now()),
        )
        == "it runs"
    )
    cluster.admin.create(jobs_path(namespace), job("late", suspend=False, labels=LABELS, gpus=8, selector={"zone": "b"}))
    late = Hand(cluster, client, namespace, "late")
    cluster.wait("a pod without a node", lambda: late.view().job["status"].get("active") == 1 and late.view().pods or None)
    late.hold()
    assert late.phase(JobPhase.QUEUED).held
    cluster.wait("no pods", lambda: not pods_of(cluster, namespace, "late"))

    def wish() -> Write | None:
        start = StartJob(job_id="j", pool_id="b", at_utc=now(), cap_w=None)
        found = write_for(start, late.view(), Orders(now_utc=now(), pools=POOLS))
        return found if isinstance(found, Write) else None

    write = cluster.wait("its last pod gone", wish)
    assert write is not None
    assert judge(write, late.view(), late.fresh()) is Drop.NO_FIT


def test_the_owners_hand_is_seen_even_when_nobody_watched(cluster: DevCluster, client: KubeClient, namespace: str) -> None:
    hand = created(cluster, client, namespace)
    hand.start("a")
    hand.phase(JobPhase.RUNNING)
    hand.stop()
    hand.phase(JobPhase.PAUSED)
    where = jobs_path(namespace, "train")
    for suspend in (False, True):
        cluster.admin.patch(f"{where}?fieldManager=kubectl-edit", {"spec": {"suspend": suspend}})
    assert hand.view().owner_took == "its owner suspended it"

    def remembered() -> bool:
        write = taken(hand.view())
        assert write is not None
        try:
            hand.send(write)
        except Conflict:
            return False
        return True

    cluster.wait("the owner's mark", lambda: remembered() or None)
    assert hand.view().owner_took == "its owner took it over"
    cluster.admin.patch(f"{where}?fieldManager=kubectl-edit", {"spec": {"suspend": False}})
    assert hand.view().owner_took == "its owner took it over"
    assert stale_writes([hand.view().job], [], now(), everything=True) == ()


def test_a_stale_hold_is_let_go_and_a_decision_about_an_older_job_conflicts(
    cluster: DevCluster, client: KubeClient, namespace: str
) -> None:
    hand = created(cluster, client, namespace)
    hand.hold()
    given = cluster.admin.get(jobs_path(namespace, "train"))
    assert stale_writes([given], [], now()) == ()
    (write,) = stale_writes([given], [], now() + timedelta(hours=1))
    cluster.admin.delete(jobs_path(namespace, "train"))
    created(cluster, client, namespace).hold()
    # The Job of that name is another one now, and a later one.
    with pytest.raises(Conflict):
        hand.send(write)
    with pytest.raises(Conflict):
        hand.send(replace(write, uid=hand.view().job["metadata"]["uid"]))
    cluster.wait("let go", lambda: _sent(hand) or None)
    assert hand.node()
    assert not hand.view().held


def _sent(hand: Hand) -> bool:
    """End the hold, or say that the job has changed meanwhile."""
    write = let_go(hand.view(), "its time is over", now())
    assert write is not None
    try:
        hand.send(write)
    except Conflict:
        return False
    return True


def test_a_gated_job_and_its_workload(kueue: DevCluster, client: KubeClient, namespace: str) -> None:
    """Gate, release, run; stop by `active`, resume."""
    name = f"patches-{namespace}"
    for path, wanted in queue_objects(name, namespace):
        kueue.admin.create(path, wanted)
    given = job("train", suspend=False, labels={**LABELS, QUEUE: name}, runs="600s")
    given["metadata"]["annotations"] = {GATED_BY: "heatdispatch.io/gate", PREFIX + "held-by": "admission"}
    kueue.admin.create(jobs_path(namespace), given)
    hand = Hand(kueue, client, namespace, "train", queued=True)
    kueue.wait("its workload", lambda: workload_of(kueue, namespace, "train"), KUEUE_S)
    hand.hold()
    gated = hand.view()
    assert (gated.held, gated.state.phase, gated.marks.reason) == (True, JobPhase.QUEUED, "CheaperPower")
    hand.start("a")
    assert hand.node().startswith("gpu-a")
    assert hand.phase(JobPhase.RUNNING).owner_took == ""
    hand.stop()
    assert hand.phase(JobPhase.PAUSED).state.preemptions == 1
    kueue.wait("no pods", lambda: not pods_of(kueue, namespace, "train"), KUEUE_S)
    assert hand.view().held
    hand.start("a")
    assert hand.node().startswith("gpu-a")
    assert hand.view().state.preemptions == 1


def test_the_admission_check_is_answered_with_a_place(kueue: DevCluster, client: KubeClient, namespace: str) -> None:
    name, version = f"checked-{namespace}", "kueue.x-k8s.io/v1beta2"
    head = {"apiVersion": version, "kind": "AdmissionCheck", "metadata": {"name": name}}
    kueue.admin.create(f"{KUEUE}/admissionchecks", {**head, "spec": {"controllerName": CONTROLLER}})
    for path, wanted in queue_objects(name, namespace, (name,)):
        kueue.admin.create(path, wanted)
    at = now().strftime("%Y-%m-%dT%H:%M:%SZ")
    active = {"type": "Active", "status": "True", "reason": "Running", "message": "ready", "lastTransitionTime": at}
    kueue.admin.apply(f"{KUEUE}/admissionchecks/{name}/status", {**head, "status": {"conditions": [active]}})
    given = job("train", suspend=False, labels={**LABELS, QUEUE: name}, runs="600s")
    kueue.admin.create(jobs_path(namespace), given)
    hand = Hand(kueue, client, namespace, "train", queued=True)
    rack = PoolSelector(pool_id="loop", node_labels={"heatdispatch.io/plug": "loop"})

    def answered() -> bool:
        write = ready(hand.view(), Check(name=name, flavor_labels={"zone": "a"}), rack, now())
        if write is None:
            return False
        assert judge(write, hand.view(), hand.fresh()) in (None, Drop.CONFLICT)
        try:
            hand.send(write)
        except Conflict:
            return False
        return True

    kueue.wait("answered", lambda: answered() or None, KUEUE_S)
    assert hand.node().startswith("gpu-a")
    (pod,) = running_pods(kueue, namespace, "train")
    assert pod["spec"]["nodeSelector"] == {"zone": "a", "heatdispatch.io/plug": "loop"}
    states = (workload_of(kueue, namespace, "train") or {})["status"]["admissionChecks"]
    assert condition({"status": {"conditions": [{**states[0], "type": "x"}]}}, "x", "state") == "Ready"
