"""The checker of the operator's laws can fail: each law is broken once by hand, and a lawful story breaks none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from audit_breaches import ALSO, BREACHES, Breach, never_ended
from audit_laws import LAWS, broken
from audit_scene import OPERATOR, USER, Obj, Scene, stamp


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
