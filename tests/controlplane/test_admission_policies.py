"""The admission policies on a real API server: who is held at creation."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_objects import HEAT, QUEUE, job, jobs_path

from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.cluster import DevCluster

POLICIES = Path(__file__).parents[2] / "policies" / "admission"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
PLURALS = {
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}
CLASS, HELD_BY, GATED_BY = "heatdispatch.io/class", "heatdispatch.io/held-by", "kueue.x-k8s.io/admission-gated-by"
CLASSES: dict[str, dict[str, Any]] = {
    "adm-later": {"flexibility": "deferrable", "maxDelay": "1h", "selectors": [{"matchLabels": {"team": "night"}}]},
    "adm-never": {"flexibility": "insulated"},
    "adm-other": {"flexibility": "deferrable", "maxDelay": "1h", "selectors": [{"matchLabels": {"stage": "dev"}}]},
}
POLICY = "adm-policy"


def api_object(kind: str, name: str, spec: Object) -> Object:
    """An object of ours."""
    return {"apiVersion": "heatdispatch.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def set_mode(cluster: DevCluster, mode: str) -> None:
    """Switch the policy."""
    cluster.admin.apply(f"{HEAT}/dispatchpolicies/{POLICY}", api_object("DispatchPolicy", POLICY, {"mode": mode}))


def asked(cluster: DevCluster, namespace: str, given: Object) -> Object:
    """A new Job as it would be stored."""
    return cluster.admin.create(f"{jobs_path(namespace)}?dryRun=All", given)


def held(found: Object) -> bool:
    """Whether admission holds it by suspension."""
    by_admission = (found["metadata"].get("annotations") or {}).get(HELD_BY) == "admission"
    assert by_admission == bool(found["spec"]["suspend"])
    return by_admission


def plain(name: str = "train", **labels: str) -> Object:
    """A Job that nobody suspends."""
    return job(name, suspend=False, labels={key.replace("__", "/"): value for key, value in labels.items()})


@pytest.fixture
def lab(cluster: DevCluster, namespace: str) -> Iterator[str]:
    """A namespace that takes part, the classes, a policy in mode Dispatch, and the admission policies in force."""
    cluster.admin.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"heatdispatch.io/dispatch": "enabled"}}})
    for name, spec in CLASSES.items():
        cluster.admin.apply(f"{HEAT}/workloadclasses/{name}", api_object("WorkloadClass", name, spec))
    set_mode(cluster, "Dispatch")
    objects = [found for path in sorted(POLICIES.glob("*.yaml")) for found in yaml.safe_load_all(path.read_text("utf-8"))]
    paths = [f"{ADMISSION}/{PLURALS[found['kind']]}/{found['metadata']['name']}" for found in objects]
    for path, found in zip(paths, objects, strict=True):
        cluster.admin.apply(path, found)
    flexible = plain(**{CLASS: "adm-later"})
    cluster.wait("policies in force", lambda: asked(cluster, namespace, flexible)["spec"]["suspend"] or None, 30.0)
    yield namespace
    for path in (*paths, f"{HEAT}/dispatchpolicies/{POLICY}", *(f"{HEAT}/workloadclasses/{name}" for name in CLASSES)):
        cluster.admin.delete(path)


def test_the_api_server_finds_no_fault_in_the_policies(cluster: DevCluster, lab: str) -> None:
    kinds = [kind for kind in PLURALS if not kind.endswith("Binding")]
    found = [one for kind in kinds for one in cluster.admin.items(f"{ADMISSION}/{PLURALS[kind]}")]
    ours = [one for one in found if one["metadata"]["name"].startswith("heatdispatch-")]
    assert len(ours) == 3
    assert [one["status"]["typeChecking"] for one in ours if "typeChecking" in one.get("status", {})] in ([], [{}])


def test_flexible_jobs_are_held_in_whatever_order_the_policies_run(cluster: DevCluster, lab: str) -> None:
    """The API server takes policies in any order, and another one after each change of them: many rounds, always held."""
    for number in range(6):
        cluster.admin.apply(f"{HEAT}/workloadclasses/adm-other", api_object("WorkloadClass", "adm-other", CLASSES["adm-other"]))
        path = f"{ADMISSION}/mutatingadmissionpolicies/heatdispatch-{'class' if number % 2 else 'hold'}"
        cluster.admin.patch(path, {"metadata": {"labels": {"round": str(number)}}})
        time.sleep(0.3)
        for _ in range(5):
            assert held(asked(cluster, lab, plain(**{CLASS: "adm-later"})))


def test_insulated_unknown_and_ambiguous_classes_are_never_held(cluster: DevCluster, lab: str) -> None:
    for labels in ({}, {CLASS: "adm-never"}, {CLASS: "typo"}):
        found = asked(cluster, lab, plain(**labels))
        assert not held(found)
        assert "annotations" not in found["metadata"]
    assert not held(asked(cluster, lab, plain(team="night", stage="dev")))


def test_the_class_may_come_from_a_selector_or_from_the_namespace(cluster: DevCluster, lab: str) -> None:
    found = asked(cluster, lab, plain(team="night"))
    assert held(found)
    assert found["metadata"]["annotations"]["heatdispatch.io/admitted-as"] == "adm-later"
    assert not held(asked(cluster, lab, plain(team="day")))
    cluster.admin.patch(f"/api/v1/namespaces/{lab}", {"metadata": {"labels": {CLASS: "adm-other"}}})
    cluster.wait("the namespace's class", lambda: held(asked(cluster, lab, plain())) or None, 10.0)
    assert not held(asked(cluster, lab, plain(**{CLASS: "adm-never"})))


def test_what_its_user_or_another_controller_keeps_is_left_alone(cluster: DevCluster, lab: str) -> None:
    own = asked(cluster, lab, job("own", suspend=True, labels={CLASS: "adm-later"}))
    assert HELD_BY not in own["metadata"].get("annotations", {})
    owned = plain(**{CLASS: "adm-later"})
    owner = {"apiVersion": "example.test/v1", "kind": "Workflow", "name": "w", "uid": "w", "controller": True}
    owned["metadata"]["ownerReferences"] = [owner]
    assert not held(asked(cluster, lab, owned))
    allowed = copy.deepcopy(owned)
    allowed["metadata"]["annotations"] = {"heatdispatch.io/allow-owned": "true"}
    assert held(asked(cluster, lab, allowed))
    owned["metadata"]["ownerReferences"] = [owner | {"apiVersion": "batch/v1", "kind": "CronJob"}]
    assert held(asked(cluster, lab, owned))


def test_what_its_owner_wrote_and_nobody_can_read_is_never_held(cluster: DevCluster, lab: str) -> None:
    """Such a Job is insulated: the operator would let it go, and it need not wait for that."""
    bad = {"deadline": "tomorrow", "expected-duration": "0s", "start": "soon", "allow-owned": "yes"}
    good = {"deadline": "2030-01-15T06:00:00+01:00", "expected-duration": "1h30.5m", "allow-owned": "true", "other": "any"}
    for notes, wanted in ((bad, False), (good, True)):
        for key, value in notes.items():
            given = plain(**{CLASS: "adm-later"})
            given["metadata"]["annotations"] = {f"heatdispatch.io/{key}": value}
            assert held(asked(cluster, lab, given)) == wanted, key


def test_jobs_without_gpus_and_other_namespaces_are_left_alone(cluster: DevCluster, lab: str) -> None:
    small = plain(**{CLASS: "adm-later"})
    small["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
    assert not held(asked(cluster, lab, small))
    assert not held(asked(cluster, "default", plain(**{CLASS: "adm-later"})))


def test_queued_jobs_are_gated_and_other_gates_stay(cluster: DevCluster, lab: str) -> None:
    """Whether it is suspended is Kueue's to say: where Kueue runs beside this cluster, its webhook does so."""
    queued = asked(cluster, lab, plain(**{CLASS: "adm-later", QUEUE: "gpu"}))
    assert queued["metadata"]["annotations"][GATED_BY] == "heatdispatch.io/gate"
    assert queued["metadata"]["annotations"][HELD_BY] == "admission"
    given = plain(**{CLASS: "adm-later", QUEUE: "gpu"})
    given["metadata"]["annotations"] = {GATED_BY: "budget.example/gate"}
    assert asked(cluster, lab, given)["metadata"]["annotations"][GATED_BY] == "budget.example/gate,heatdispatch.io/gate"


def test_nothing_is_held_outside_dispatch_nor_without_a_policy(cluster: DevCluster, lab: str) -> None:
    flexible = plain(**{CLASS: "adm-later"})
    for mode in ("Observe", "Advise"):
        set_mode(cluster, mode)
        cluster.wait(f"mode {mode}", lambda: not held(asked(cluster, lab, flexible)) or None, 10.0)
        set_mode(cluster, "Dispatch")
        cluster.wait("mode Dispatch", lambda: held(asked(cluster, lab, flexible)) or None, 10.0)
    cluster.admin.delete(f"{HEAT}/dispatchpolicies/{POLICY}")
    cluster.wait("no policy", lambda: not held(asked(cluster, lab, flexible)) or None, 10.0)
    set_mode(cluster, "Dispatch")


def test_whoever_turns_the_lever_of_a_held_job_has_it_for_good(cluster: DevCluster, lab: str) -> None:
    """Off and on again before anybody looked leaves no other trace: it is the creator's own field, with its old value."""

    def holder(name: str, change: Object, query: str = "") -> str:
        """Who holds a Job after a change of it."""
        cluster.admin.create(jobs_path(lab), plain(name, **{CLASS: "adm-later"}))
        cluster.admin.patch(f"{jobs_path(lab, name)}{query}", change)
        return str(cluster.admin.get(jobs_path(lab, name))["metadata"]["annotations"].get(HELD_BY))

    assert holder("scaled", {"spec": {"parallelism": 2}}) == "admission"
    assert holder("labelled", {"metadata": {"labels": {"a": "b"}}}) == "admission"
    assert holder("released", {"spec": {"suspend": False}}, "?fieldManager=heat-dispatch") == "admission"
    cluster.wait(
        "the policy in force", lambda: holder(f"lifted-{time.monotonic_ns()}", {"spec": {"suspend": False}}) == "owner"
    )
    cluster.admin.create(jobs_path(lab), job("left", labels={CLASS: "adm-later"}) | {"metadata": handed("left")})
    for suspend in (False, True):
        cluster.admin.patch(jobs_path(lab, "left"), {"spec": {"suspend": suspend}})
    assert cluster.admin.get(jobs_path(lab, "left"))["metadata"]["annotations"][HELD_BY] == "owner"


def handed(name: str) -> Object:
    """Metadata of a Job whose start its owner leaves to the plan."""
    return {"name": name, "annotations": {"heatdispatch.io/start": "planned"}}
