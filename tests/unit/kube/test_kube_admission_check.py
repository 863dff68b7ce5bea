"""Answers to Kueue: our entry only, at the version that was seen."""

from __future__ import annotations

from typing import Any

from kube_world import NOW, POOLS, job, view, workload
from small_world import ACTING

from scheduler.adapters.kubernetes.admission_check import Check, answer, pending, ready, retry
from scheduler.adapters.kubernetes.guard import Drop, Fresh, judge
from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.writes import Effect, Verb
from scheduler.domain.settings import Mode, Settings

CHECK = Check(name="heat", flavor_labels={"heat.example/rack": "a"})
NORTH = POOLS[0]
QUEUED = {"kueue.x-k8s.io/queue-name": "gpu"}
PENDING = {"name": "heat", "state": "Pending", "message": "", "lastTransitionTime": "2026-01-14T09:40:00Z"}


def queued(
    *conditions: str, class_name: str | None = "deferrable", state: dict[str, Any] = PENDING, topology: bool = False
) -> JobView:
    given = workload(conditions=conditions or ("QuotaReserved",), checks=(state,))
    # Kueue gives every Job a topologyRequest that requests nothing.
    given["spec"]["podSets"][0]["topologyRequest"] = {"podIndexLabel": "i", **({"required": "rack"} if topology else {})}
    return view(job(labels=QUEUED, suspend=True, class_name=class_name), workload=given)


def test_ready_with_a_place() -> None:
    write = ready(queued(), CHECK, NORTH, NOW)
    assert write is not None
    assert (write.verb, write.subresource, write.version, write.effect) == (Verb.APPLY, "status", "88", Effect.CHECK_READY)
    assert write.change == {
        "status": {
            "admissionChecks": [
                {
                    "name": "heat",
                    "state": "Ready",
                    "message": "may start on north",
                    "lastTransitionTime": "2026-01-14T10:00:00Z",
                    "podSetUpdates": [{"name": "main", "nodeSelector": {"heat.example/pool": "north"}}],
                }
            ]
        }
    }
    assert not write.lets_go


def test_a_key_that_contradicts_would_fail_for_good_so_it_is_left_out() -> None:
    other_flavor = Check(name="heat", flavor_labels={"heat.example/pool": "south"})
    write = ready(queued(), other_flavor, NORTH, NOW)
    assert write is not None
    assert write.lets_go
    assert write.text == "may start: its own node labels contradict pool north"
    same_flavor = Check(name="heat", flavor_labels={"heat.example/pool": "north"})
    write = ready(queued(), same_flavor, NORTH, NOW)
    assert write is not None
    assert (write.lets_go, write.text) == (True, "may start")


def test_kueue_places_by_topology_itself() -> None:
    write = ready(queued(topology=True), CHECK, NORTH, NOW)
    assert write is not None
    assert (write.lets_go, write.text) == (True, "may start: Kueue places it by topology")


def test_insulated_workloads_are_answered_at_once_and_not_placed() -> None:
    seen = queued(class_name=None)
    write = ready(seen, CHECK, NORTH, NOW)
    assert write is not None
    assert write.lets_go
    for mode in Mode:
        assert judge(write, seen, Fresh(now_utc=NOW, settings=Settings(mode=mode), classes={})) is None


def test_only_a_workload_with_quota_that_waits_for_us_is_answered() -> None:
    assert ready(queued("Admitted"), CHECK, NORTH, NOW) is None
    assert ready(queued("QuotaReserved", "Evicted"), CHECK, NORTH, NOW) is None
    assert ready(queued("QuotaReserved", "Finished"), CHECK, NORTH, NOW) is None
    assert ready(queued(state={**PENDING, "state": "Ready"}), CHECK, NORTH, NOW) is None
    assert ready(queued(state={**PENDING, "name": "other"}), CHECK, NORTH, NOW) is None


def test_pending_is_said_once() -> None:
    write = pending(queued(), CHECK, "no place on north yet", NOW)
    assert write is not None
    (entry,) = write.change["status"]["admissionChecks"]
    assert entry == {**PENDING, "message": "no place on north yet"}
    assert write.effect is Effect.CHECK_TELL
    assert judge(write, queued(), Fresh(now_utc=NOW, settings=ACTING, classes={})) is None
    assert judge(write, queued(class_name=None), Fresh(now_utc=NOW, settings=ACTING, classes={})) is Drop.INSULATED
    said = queued(state={**PENDING, "message": "no place on north yet"})
    assert pending(said, CHECK, "no place on north yet", NOW) is None


def test_a_message_shuts_nothing_that_was_open() -> None:
    write = pending(queued(), CHECK, "no place on north yet", NOW)
    assert write is not None
    answered = queued("QuotaReserved", state={**PENDING, "state": "Ready"})
    assert judge(write, answered, Fresh(now_utc=NOW, settings=ACTING, classes={})) is Drop.CONFLICT
    assert pending(answered, CHECK, "too late", NOW) is None


def test_without_any_policy_kueue_is_answered_all_the_same() -> None:
    check = {"metadata": {"name": "heat"}, "spec": {"controllerName": "heatdispatch.io/admission"}}
    stranger = {"metadata": {"name": "heat"}, "spec": {"controllerName": "budget.example/check"}}
    write = answer(queued(), [check], NOW)
    assert write is not None
    assert (write.effect, write.lets_go) == (Effect.CHECK_READY, True)
    assert answer(queued(), [stranger], NOW) is None
    assert answer(queued("Admitted"), [check], NOW) is None


def test_a_retry_never_carries_a_delay() -> None:
    seen = queued("QuotaReserved")
    write = retry(seen, CHECK, "power is dear now", NOW)
    assert write is not None
    (entry,) = write.change["status"]["admissionChecks"]
    assert (entry["state"], entry["requeueAfterSeconds"]) == ("Retry", 0)
    fresh = Fresh(now_utc=NOW, settings=ACTING, classes={})
    assert judge(write, seen, fresh) is None
    assert judge(write, queued(class_name=None), fresh) is Drop.INSULATED
    assert judge(write, seen, Fresh(now_utc=NOW, settings=Settings(mode=Mode.ADVISE), classes={})) is Drop.NOT_DISPATCH
    assert judge(write, queued("QuotaReserved", "Evicted"), fresh) is Drop.CONFLICT
    assert judge(write, queued("QuotaReserved", "Admitted"), fresh) is Drop.STOP_NOT_ALLOWED
    assert retry(queued("Admitted"), CHECK, "no quota to give back", NOW) is None
