from __future__ import annotations

from typing import Any

from kube_world import job

from scheduler.adapters.kubernetes.classes import Choice, choose_class, selectors_of

KNOWN = ("deferrable", "insulated", "preemptible")


def workload_class(name: str, *selectors: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"selectors": list(selectors)}}


NIGHTLY = workload_class("deferrable", {"namespaces": ["lab"], "matchLabels": {"team": "night"}})
QUEUED = workload_class("preemptible", {"queues": ["spot"]}, {"namespaces": ["sandbox"]})


def chosen(
    job_object: dict[str, Any], namespace: dict[str, Any] | None = None, *classes: dict[str, Any], queue: str = ""
) -> Choice:
    return choose_class(job_object, namespace or {}, selectors_of(classes), KNOWN, queue)


def test_the_jobs_label_wins_over_its_namespaces_and_that_over_selectors() -> None:
    namespace = {"metadata": {"name": "lab", "labels": {"heatdispatch.io/class": "preemptible"}}}
    labelled = {"team": "night"}
    assert chosen(job(class_name="insulated", labels=labelled), namespace, NIGHTLY).class_name == "insulated"
    assert chosen(job(class_name=None, labels=labelled), namespace, NIGHTLY).class_name == "preemptible"
    assert chosen(job(class_name=None, labels=labelled), {}, NIGHTLY).class_name == "deferrable"


def test_without_a_class_a_job_is_insulated_and_nobody_is_bothered() -> None:
    assert chosen(job(class_name=None), {}, NIGHTLY, QUEUED) == Choice(class_name="insulated")


def test_all_that_a_selector_names_must_hold() -> None:
    assert chosen(job(class_name=None), {}, NIGHTLY).class_name == "insulated"
    assert chosen(job(class_name=None), {}, QUEUED, queue="spot").class_name == "preemptible"
    assert chosen(job(class_name=None, labels={"kueue.x-k8s.io/queue-name": "spot"}), {}, QUEUED).class_name == "preemptible"
    assert chosen(job(class_name=None), {}, workload_class("deferrable", {})).class_name == "insulated"


def test_two_matching_classes_insulate() -> None:
    choice = chosen(job(class_name=None, labels={"team": "night"}), {}, NIGHTLY, QUEUED, queue="spot")
    assert choice.class_name == "insulated"
    assert choice.problem is not None
    assert choice.problem.reason == "AmbiguousClass"
    assert "deferrable and preemptible" in choice.problem.text


def test_two_selectors_of_one_class_do_not_disagree() -> None:
    twice = workload_class("deferrable", {"namespaces": ["lab"]}, {"queues": ["spot"]})
    assert chosen(job(class_name=None), {}, twice, queue="spot") == Choice(class_name="deferrable")


def test_an_unknown_class_insulates_and_proposes_a_name() -> None:
    choice = chosen(job(class_name="deferable"))
    assert choice.class_name == "insulated"
    assert choice.problem is not None
    assert choice.problem.reason == "UnknownClass"
    assert "did you mean deferrable?" in choice.problem.text
