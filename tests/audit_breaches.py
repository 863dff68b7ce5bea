"""Every law of the operator, broken once or more by hand; each breach says which law it must be found by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from audit_scene import BEGIN, OPERATOR, USER, Scene, stamp

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
