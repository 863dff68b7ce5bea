"""The checker of the operator's laws can fail: each law is broken once by hand, and a lawful story breaks none."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from audit_case import Case
from audit_laws import LAWS, broken

from scheduler.adapters.devcluster.audit import AuditEvent

BEGIN = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
OPERATOR, USER, SCHEDULER = "operator", "admin", "system:kube-scheduler"
Obj = dict[str, Any]
RESOURCES: Mapping[str, tuple[str, str]] = {
    "Job": ("batch", "jobs"),
    "CronJob": ("batch", "cronjobs"),
    "Workload": ("kueue.x-k8s.io", "workloads"),
    "Namespace": ("", "namespaces"),
    "Lease": ("coordination.k8s.io", "leases"),
    "WorkloadClass": ("heatdispatch.io", "workloadclasses"),
    "DispatchPolicy": ("heatdispatch.io", "dispatchpolicies"),
    "NodePower": ("heatdispatch.io", "nodepowers"),
    "ConfigMap": ("", "configmaps"),
}


def stamp(at_utc: datetime) -> str:
    """An instant as Kubernetes writes it."""
    return f"{at_utc:%Y-%m-%dT%H:%M:%SZ}"


def merged(old: Any, change: Any) -> Any:
    """A JSON merge patch."""
    if not isinstance(change, dict):
        return change
    found = dict(old) if isinstance(old, dict) else {}
    for key, value in change.items():
        found[key] = merged(found.get(key), value)
    return {key: value for key, value in found.items() if value is not None}


@dataclass
class Scene:
    """A cluster made of its audit log: everything that is done is answered at once, at the next version."""

    now_utc: datetime = BEGIN
    version: int = 100
    events: list[AuditEvent] = field(default_factory=list)
    objects: dict[tuple[str, str], Obj] = field(default_factory=dict)
    told: bool = True

    def wait(self, seconds: float) -> None:
        """Let time pass; the leader renews its lease meanwhile."""
        until = self.now_utc + timedelta(seconds=seconds)
        while self.now_utc < until:
            self.now_utc = min(until, self.now_utc + timedelta(seconds=2))
            if ("Lease", "heat-dispatch-operator") in self.objects:
                self.lease()

    def ask(self, user: str, verb: str, kind: str, name: str, body: Any, *, answer: Any, code: int = 200, **more: str) -> None:
        """Write a line of the log."""
        group, resource = RESOURCES[kind]
        agent = "heat-dispatch (replica-0)" if user == OPERATOR else "kubectl"
        namespace = "" if kind in ("Namespace", "WorkloadClass", "DispatchPolicy", "NodePower") else "lab"
        given: dict[str, Any] = {"subresource": "", "query": "", "agent": agent, "namespace": namespace, **more}
        event = AuditEvent(
            at_utc=self.now_utc,
            received_utc=self.now_utc,
            user=user,
            verb=verb,
            group=group,
            resource=resource,
            name=name,
            code=code,
            body=body,
            answer=answer if self.told else None,
            **given,
        )
        self.events.append(event)

    def create(self, kind: str, name: str, body: Obj, user: str = USER, *, asked: Obj | None = None, **more: Any) -> Obj:
        """A new object; `asked` when admission changed it."""
        self.version += 1
        metadata = {"name": name, "uid": f"{kind}-{name}", "resourceVersion": str(self.version)}
        metadata["creationTimestamp"] = stamp(self.now_utc)
        if kind in ("Job", "Workload", "CronJob"):
            metadata["namespace"] = "lab"
        found: Obj = {**body, "metadata": {**body.get("metadata", {}), **metadata}}
        self.objects[kind, name] = found
        self.ask(user, "create", kind, name, body if asked is None else asked, answer=copy.deepcopy(found), **more)
        return found

    def patch(self, kind: str, name: str, change: Obj, user: str = OPERATOR, *, seen: bool = True, **more: Any) -> None:
        """A merge patch, at the version that is there."""
        old = self.objects[kind, name]
        new = merged(old, change)
        body = (
            merged(change, {"metadata": {key: old["metadata"][key] for key in ("uid", "resourceVersion")}}) if seen else change
        )
        # A merge patch keeps its nulls.
        for key, value in (change.get("metadata", {}).get("annotations") or {}).items():
            body["metadata"].setdefault("annotations", {})[key] = value
        if new != old:
            self.version += 1
            new["metadata"]["resourceVersion"] = str(self.version)
        self.objects[kind, name] = new
        self.ask(user, more.pop("verb", "patch"), kind, name, body, answer=copy.deepcopy(new), **more)

    def lease(self, holder: str = "replica-0", lease_s: int = 12) -> None:
        """Take or renew the Lease."""
        spec: Obj = {"spec": {"holderIdentity": holder, "leaseDurationSeconds": lease_s, "renewTime": stamp(self.now_utc)}}
        more: dict[str, Any] = {"namespace": "heat-dispatch", "agent": f"heat-dispatch ({holder})"}
        if ("Lease", "heat-dispatch-operator") in self.objects:
            spec["spec"]["transitions"] = self.version
            self.patch("Lease", "heat-dispatch-operator", spec, verb="update", **more)
        else:
            self.create("Lease", "heat-dispatch-operator", spec, OPERATOR, **more)

    def job(self, name: str = "train", class_name: str | None = "later", *, suspend: bool = False, **notes: str) -> None:
        """A Job of a user."""
        labels = {} if class_name is None else {"heatdispatch.io/class": class_name}
        container = {"name": "c", "resources": {"limits": {"nvidia.com/gpu": "4"}}}
        spec = {"suspend": suspend, "template": {"spec": {"containers": [container]}}}
        annotations = {f"heatdispatch.io/{key.replace('_', '-')}": value for key, value in notes.items()}
        self.create("Job", name, {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec})

    def hold(self, name: str = "train", *, hours: float = 1.0, plan: str = "plan-1", **more: Any) -> None:
        """Hold it as the operator does."""
        notes = {
            "held-by": "operator",
            "held-since": stamp(self.now_utc),
            "hold-until": stamp(self.now_utc + timedelta(hours=hours)),
            "hold-reason": "Cheaper",
            "hold-text": "Held until later",
            "plan": plan,
            **more.pop("notes", {}),
        }
        annotations = {f"heatdispatch.io/{key}": value for key, value in notes.items()}
        self.patch("Job", name, {"metadata": {"annotations": annotations}, "spec": {"suspend": True}}, **more)

    def release(self, name: str = "train", **more: Any) -> None:
        """Let it go."""
        gone = ("held-by", "held-since", "hold-until", "hold-reason", "hold-text", "plan")
        annotations: dict[str, str | None] = {f"heatdispatch.io/{key}": None for key in gone}
        annotations["heatdispatch.io/released"] = stamp(self.now_utc)
        self.patch("Job", name, {"metadata": {"annotations": annotations}, "spec": {"suspend": False, **more}})

    def bind(self, name: str = "train") -> None:
        """One of its pods gets a node."""
        body = {"target": {"name": "gpu-0"}}
        event = AuditEvent(
            at_utc=self.now_utc,
            user=SCHEDULER,
            verb="create",
            group="",
            resource="pods",
            subresource="binding",
            namespace="lab",
            name=f"{name}-abcde",
            code=201,
            body=body,
            query="",
        )
        self.events.append(event)

    def case(self, **more: Any) -> Case:
        """The evidence as the checker gets it."""
        there = [obj for (kind, _), obj in self.objects.items() if kind == "Job"]
        return Case(events=self.events, users=frozenset({OPERATOR}), there=there, **more)


@pytest.fixture
def scene() -> Scene:
    """An opted-in namespace, three classes, a policy that dispatches, and a leader."""
    made = Scene()
    made.create("Namespace", "lab", {"metadata": {"labels": {"heatdispatch.io/dispatch": "enabled"}}})
    made.create("WorkloadClass", "later", {"spec": {"flexibility": "deferrable", "maxDelay": "24h"}})
    stoppable = {"flexibility": "preemptible", "maxDelay": "24h", "minRuntime": "10m", "maxPreemptions": 1}
    made.create("WorkloadClass", "stoppable", {"spec": stoppable})
    made.create("WorkloadClass", "never", {"spec": {"flexibility": "insulated"}})
    made.create("DispatchPolicy", "main", {"spec": {"mode": "Dispatch", "queue": {"maxHold": "4h"}}})
    made.lease()
    made.wait(10)
    return made


def laws_broken(scene: Scene, **more: Any) -> list[str]:
    """Names of the broken laws."""
    return sorted({line.partition(":")[0] for line in broken(scene.case(**more))})


def test_a_lawful_day_breaks_no_law(scene: Scene) -> None:
    scene.job()
    scene.wait(2)
    scene.hold()
    scene.wait(1800)
    scene.release(template={"spec": {"nodeSelector": {"pool": "a"}}})
    scene.job("stops", "stoppable")
    scene.bind("stops")
    scene.wait(601)
    scene.hold("stops", plan="plan-2", notes={"stops": "1"})
    scene.wait(60)
    scene.release("stops")
    scene.job("plain", None)
    scene.wait(60)
    assert broken(scene.case()) == []


Breach = Callable[[Scene], None]


def pods(scene: Scene) -> None:
    scene.ask(OPERATOR, "delete", "ConfigMap", "x", None, answer=None)


def status_of_a_job(scene: Scene) -> None:
    scene.job()
    scene.patch("Job", "train", {"status": {"ready": 1}}, subresource="status")


def parallelism(scene: Scene) -> None:
    scene.job()
    scene.hold()
    scene.release(parallelism=3)


def blind_patch(scene: Scene) -> None:
    scene.job()
    scene.hold(seen=False)


def no_class(scene: Scene) -> None:
    scene.job(class_name=None)
    scene.hold()
    scene.release()


def unknown_class(scene: Scene) -> None:
    scene.job(class_name="typo")
    scene.hold()
    scene.release()


def insulated_class(scene: Scene) -> None:
    scene.job(class_name="never")
    scene.hold()
    scene.release()


def bad_deadline(scene: Scene) -> None:
    scene.job(deadline="tomorrow")
    scene.hold()
    scene.release()


def not_opted_in(scene: Scene) -> None:
    scene.patch("Namespace", "lab", {"metadata": {"labels": {"heatdispatch.io/dispatch": None}}}, USER)
    scene.wait(5)
    scene.job()
    scene.hold()


def held_at_creation(scene: Scene) -> None:
    scene.create(
        "Job",
        "plain",
        {"metadata": {"annotations": {"heatdispatch.io/held-by": "admission"}}, "spec": {"suspend": True}},
        asked={"spec": {}},
    )
    scene.patch("Job", "plain", {"spec": {"suspend": False}})


def observing(scene: Scene) -> None:
    scene.job()
    scene.patch("DispatchPolicy", "main", {"spec": {"mode": "Observe"}}, USER)
    scene.wait(5)
    scene.hold()


def placing_in_observe(scene: Scene) -> None:
    scene.job()
    scene.hold()
    scene.patch("DispatchPolicy", "main", {"spec": {"mode": "Advise"}}, USER)
    scene.wait(5)
    scene.release(template={"spec": {"nodeSelector": {"pool": "a"}}})


def queued_job(scene: Scene) -> None:
    labels = {"heatdispatch.io/class": "later", "kueue.x-k8s.io/queue-name": "gpu"}
    scene.job()
    scene.patch("Job", "train", {"metadata": {"labels": labels}}, USER)
    scene.patch("Job", "train", {"spec": {"suspend": True}})


def after_its_owner(scene: Scene) -> None:
    scene.job()
    scene.hold()
    scene.patch("Job", "train", {"spec": {"suspend": False}}, USER)
    scene.wait(5)
    scene.hold(plan="plan-2")


def created_suspended(scene: Scene) -> None:
    scene.job(suspend=True)
    scene.patch("Job", "train", {"spec": {"suspend": False}})


def standby(scene: Scene) -> None:
    scene.job()
    scene.hold(agent="heat-dispatch (replica-1)")


def stale_leader(scene: Scene) -> None:
    scene.job()
    scene.now_utc += timedelta(seconds=15)
    scene.hold()


def second_hold_of_a_plan(scene: Scene) -> None:
    scene.job()
    scene.hold()
    scene.wait(10)
    scene.release()
    scene.wait(10)
    scene.hold(hours=2)


def nothing_changed(scene: Scene) -> None:
    scene.job()
    scene.hold()
    scene.patch("Job", "train", {"spec": {"suspend": True}})


def no_end(scene: Scene) -> None:
    scene.job()
    scene.hold(notes={"hold-until": "later"})


def past_end(scene: Scene) -> None:
    scene.job()
    scene.hold(hours=-1)
    scene.release()


def no_plan(scene: Scene) -> None:
    scene.job()
    scene.hold(notes={"plan": ""})


def past_max_delay(scene: Scene) -> None:
    scene.patch("WorkloadClass", "later", {"spec": {"maxDelay": "30m"}}, USER)
    scene.wait(5)
    scene.job()
    scene.hold(hours=1)


def past_max_hold(scene: Scene) -> None:
    scene.job()
    scene.hold(hours=5)


def past_deadline(scene: Scene) -> None:
    scene.job(deadline=stamp(scene.now_utc + timedelta(minutes=30)))
    scene.hold(hours=1)


def past_the_next_tick(scene: Scene) -> None:
    scene.create("CronJob", "minutely", {"metadata": {}, "spec": {"schedule": "* * * * *"}})
    scene.job()
    owner = {"kind": "CronJob", "name": "minutely", "uid": "CronJob-minutely", "controller": True}
    scene.patch("Job", "train", {"metadata": {"ownerReferences": [owner]}}, USER)
    scene.hold(hours=0.02)


def begun_before_it_was(scene: Scene) -> None:
    scene.job()
    scene.hold(notes={"held-since": stamp(BEGIN - timedelta(hours=1))})


def never_ended(scene: Scene) -> None:
    scene.job()
    scene.hold(hours=0.1)
    scene.wait(6 * 60 + 60)


def never_claimed(scene: Scene) -> None:
    scene.job(suspend=True, held_by="admission")
    scene.wait(600 + 60)


def held_in_observe(scene: Scene) -> None:
    scene.job()
    scene.hold()
    scene.patch("DispatchPolicy", "main", {"spec": {"mode": "Observe"}}, USER)
    scene.wait(60)


def held_without_class(scene: Scene) -> None:
    scene.job()
    scene.hold()
    scene.patch("Job", "train", {"metadata": {"labels": {"heatdispatch.io/class": None}}}, USER)
    scene.wait(60)


def stopped_deferrable(scene: Scene) -> None:
    scene.job()
    scene.bind()
    scene.wait(700)
    scene.hold(notes={"stops": "1"})


def stopped_early(scene: Scene) -> None:
    scene.job(class_name="stoppable")
    scene.wait(700)
    scene.bind()
    scene.wait(500)
    scene.hold(notes={"stops": "1"})


def stopped_too_often(scene: Scene) -> None:
    scene.job(class_name="stoppable")
    for number in (1, 2):
        scene.bind()
        scene.wait(700)
        scene.hold(plan=f"plan-{number}", notes={"stops": str(number)})
        scene.wait(10)
        scene.release()


def not_counted(scene: Scene) -> None:
    scene.job(class_name="stoppable")
    scene.bind()
    scene.wait(700)
    scene.hold()


def power(scene: Scene, **more: Any) -> None:
    spec = {"planId": "p", "leaseSeconds": 120, "gpus": [{"uuid": "GPU-1", "podUid": "u", "capWatts": 300}], **more}
    scene.create("NodePower", "gpu-0", {"spec": spec}, OPERATOR)


def cap_for_ever(scene: Scene) -> None:
    power(scene, leaseSeconds=None)


def cap_for_anybody(scene: Scene) -> None:
    power(scene, gpus=[{"uuid": "GPU-1", "capWatts": 300}])


def cap_in_observe(scene: Scene) -> None:
    scene.patch("DispatchPolicy", "main", {"spec": {"mode": "Observe"}}, USER)
    scene.wait(5)
    power(scene)


def without_answers(scene: Scene) -> None:
    scene.told = False
    scene.job()


def unknown_job(scene: Scene) -> None:
    scene.job()
    scene.objects["Job", "train"]["metadata"]["resourceVersion"] = "7"


BREACHES: Mapping[Breach, str] = {
    pods: "outside",
    status_of_a_job: "outside",
    parallelism: "outside",
    blind_patch: "precondition",
    no_class: "insulated",
    unknown_class: "insulated",
    insulated_class: "insulated",
    bad_deadline: "insulated",
    not_opted_in: "insulated",
    held_at_creation: "insulated",
    observing: "mode",
    placing_in_observe: "mode",
    queued_job: "queue",
    after_its_owner: "owner",
    created_suspended: "owner",
    standby: "lease",
    stale_leader: "lease",
    second_hold_of_a_plan: "twice",
    nothing_changed: "twice",
    no_end: "marks",
    past_end: "marks",
    no_plan: "marks",
    past_max_delay: "long",
    past_max_hold: "long",
    past_deadline: "long",
    past_the_next_tick: "long",
    begun_before_it_was: "long",
    never_ended: "ends",
    never_claimed: "ends",
    held_in_observe: "ends",
    held_without_class: "ends",
    stopped_deferrable: "stops",
    stopped_early: "stops",
    stopped_too_often: "stops",
    not_counted: "stops",
    cap_for_ever: "caps",
    cap_for_anybody: "caps",
    cap_in_observe: "mode",
    without_answers: "blind",
    unknown_job: "blind",
}
ALSO: Mapping[Breach, set[str]] = {
    # A Job that was not queued at its creation is held by the wrong lever, without marks.
    queued_job: {"marks"},
}


@pytest.mark.parametrize("breach", BREACHES, ids=lambda breach: breach.__name__)
def test_each_law_can_be_broken(scene: Scene, breach: Breach) -> None:
    breach(scene)
    found = set(laws_broken(scene))
    assert BREACHES[breach] in found
    assert found <= {BREACHES[breach]} | ALSO.get(breach, set())


def test_every_law_is_broken_by_some_test() -> None:
    assert set(BREACHES.values()) == set(LAWS)


def test_a_law_can_be_left_out_by_its_name(scene: Scene) -> None:
    never_ended(scene)
    assert broken(scene.case(), without={"ends"}) == []
    with pytest.raises(AssertionError, match="there is no law"):
        broken(scene.case(), without={"end"})


def test_holds_may_stand_while_nobody_leads(scene: Scene) -> None:
    scene.job()
    scene.hold(hours=0.1)
    scene.now_utc += timedelta(minutes=20)
    scene.lease()
    scene.wait(20)
    scene.release()
    assert laws_broken(scene) == []


def test_what_the_api_server_never_read_is_no_breach(scene: Scene) -> None:
    """A refusal by right, and the head of a request whose body a stopped leader kept back when he went on."""
    scene.job()
    scene.ask(OPERATOR, "patch", "Job", "train", None, answer=None, code=403)
    scene.now_utc += timedelta(seconds=15)
    scene.ask(OPERATOR, "patch", "Job", "train", None, answer=None, code=500)
    assert set(laws_broken(scene)) - {"ends"} == set()


def test_what_the_operator_cannot_know_yet_is_no_breach(scene: Scene) -> None:
    scene.job()
    scene.patch("DispatchPolicy", "main", {"spec": {"mode": "Observe"}}, USER)
    scene.wait(2)
    scene.hold()
    scene.release()
    assert laws_broken(scene) == []
    assert laws_broken(scene, late_s=1.0) == ["mode"]


def test_an_owner_takes_his_job_and_the_operator_notes_it(scene: Scene) -> None:
    scene.job()
    scene.hold()
    scene.patch("Job", "train", {"spec": {"suspend": False}}, USER)
    notes = {f"heatdispatch.io/{key}": None for key in ("held-since", "hold-until", "hold-reason", "hold-text", "plan")}
    scene.patch("Job", "train", {"metadata": {"annotations": {**notes, "heatdispatch.io/held-by": "owner"}}})
    scene.patch("Job", "train", {"spec": {"suspend": True}}, USER)
    scene.wait(4000)
    assert laws_broken(scene) == []


def test_a_person_who_releases_with_our_command_is_not_taken_for_the_owner(scene: Scene) -> None:
    scene.job()
    scene.hold()
    scene.patch("Job", "train", {"spec": {"suspend": False}}, USER, query="fieldManager=heat-dispatch")
    scene.wait(10)
    scene.hold(plan="plan-2")
    scene.release()
    assert laws_broken(scene) == []


def test_a_workload_is_judged_by_the_class_of_its_job(scene: Scene) -> None:
    owner = {"kind": "Job", "name": "train", "uid": "Job-train", "controller": True}
    for name, class_name, wanted in (("train", "later", []), ("other", None, ["insulated"])):
        scene.job(name, class_name)
        workload: Obj = {"metadata": {"ownerReferences": [{**owner, "name": name}]}, "spec": {"podSets": [], "active": True}}
        scene.create("Workload", name, workload)
        notes = {
            "held-by": "operator",
            "held-since": stamp(scene.now_utc),
            "hold-until": stamp(scene.now_utc + timedelta(hours=1)),
            "hold-reason": "Cheaper",
            "hold-text": "Held",
            "plan": "p",
        }
        annotations = {f"heatdispatch.io/{key}": value for key, value in notes.items()}
        scene.patch("Workload", name, {"metadata": {"annotations": annotations}, "spec": {"active": False}})
        assert laws_broken(scene) == wanted
