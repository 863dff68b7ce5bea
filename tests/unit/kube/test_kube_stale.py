"""Which holds are over. Jobs were created at 09:00, NOW is 10:00."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from kube_world import AROUND, NOW, ago, job, pod, view, workload

from scheduler.adapters.kubernetes.admission_check import our_checks
from scheduler.adapters.kubernetes.marks import GATED_BY, HeldBy, Marks
from scheduler.adapters.kubernetes.stale import due_because, stale_writes
from scheduler.adapters.kubernetes.writes import Effect
from scheduler.domain.settings import Mode

HELD = Marks(held_by=HeldBy.OPERATOR, held_since_utc=ago(minutes=30), hold_until_utc=NOW + timedelta(hours=4))
PAST = replace(HELD, hold_until_utc=NOW)
GATED = {GATED_BY: "budget.example/gate,heatdispatch.io/gate"}
QUEUED = {"kueue.x-k8s.io/queue-name": "gpu"}


def test_a_hold_past_its_end_is_released_and_others_stay() -> None:
    (write,) = stale_writes([job("a", suspend=True, marks=HELD), job("b", suspend=True, marks=PAST)], [], NOW)
    assert (write.name, write.change["spec"], write.lets_go) == ("b", {"suspend": False}, True)
    assert write.annotations["heatdispatch.io/held-by"] is None
    assert write.text == "Hold ended: its time is over"


@pytest.mark.parametrize(("age_min", "over"), [(9.9, False), (10.0, True)])
def test_a_hold_of_admission_without_an_end_lasts_ten_minutes(age_min: float, over: bool) -> None:
    given = job(suspend=True, marks=Marks(held_by=HeldBy.ADMISSION), created=ago(minutes=age_min))
    handed_over = job(suspend=True, annotations={"heatdispatch.io/start": "planned"}, created=ago(minutes=age_min))
    assert [bool(stale_writes([each], [], NOW)) for each in (given, handed_over)] == [over, over]


def test_gates_end_too_and_other_gates_stay() -> None:
    (write,) = stale_writes([job(suspend=True, labels=QUEUED, annotations=GATED)], [workload()], NOW)
    assert write.annotations[GATED_BY] == "budget.example/gate"


def test_a_gate_on_a_job_that_its_owner_took_ends_too_and_it_stays_his() -> None:
    given = job(suspend=True, labels=QUEUED, annotations=GATED, marks=Marks(held_by=HeldBy.OWNER))
    (write,) = stale_writes([given], [], NOW)
    assert "heatdispatch.io/held-by" not in write.annotations
    assert due_because(view(given), Mode.DISPATCH, NOW) == "its owner took it over"


def test_workloads_switched_off_by_us_are_switched_on() -> None:
    off = workload(active=False, marks=PAST)
    (write,) = stale_writes([job(suspend=True, labels=QUEUED)], [off], NOW)
    assert write.change["spec"] == {"active": True}
    jobset = workload(active=False, marks=PAST, owner="JobSet")
    assert len(stale_writes([], [jobset], NOW)) == 1


def test_what_its_owner_holds_is_left_alone_always() -> None:
    his = [
        job("a", suspend=True),
        job("b", suspend=True, marks=Marks(held_by=HeldBy.OWNER)),
        job("c", marks=PAST),
        job("d", suspend=True, marks=Marks(released_utc=ago(minutes=40))),
    ]
    assert stale_writes(his, [], NOW, everything=True) == ()
    assert stale_writes([job(suspend=True, labels=QUEUED)], [workload(active=False)], NOW, everything=True) == ()


def test_everything_means_all_of_ours() -> None:
    given = [job("a", suspend=True, marks=HELD), job("b", suspend=True, labels=QUEUED, annotations=GATED), job("c")]
    assert [write.name for write in stale_writes(given, [], NOW, everything=True)] == ["a", "b"]


def test_a_hold_that_somebody_edited_into_nonsense_ends_too() -> None:
    given = job(suspend=True, annotations={"heatdispatch.io/held-by": "operator", "heatdispatch.io/hold-until": "never"})
    assert len(stale_writes([given], [], NOW)) == 1
    far = replace(HELD, held_since_utc=ago(days=30), hold_until_utc=NOW + timedelta(days=900))
    assert len(stale_writes([job(suspend=True, marks=far, created=ago(days=31))], [], NOW)) == 1


def test_jobs_without_gpus_are_released_like_all_others() -> None:
    assert len(stale_writes([job(gpus=0, suspend=True, marks=PAST)], [], NOW)) == 1


def test_ended_jobs_need_no_release() -> None:
    ended = job(suspend=True, marks=PAST, conditions=[{"type": "Failed", "status": "True"}])
    assert stale_writes([ended], [], NOW) == ()


def test_the_operator_lets_go_at_once_outside_dispatch_and_of_insulated_jobs() -> None:
    held = view(job(suspend=True, marks=HELD))
    assert due_because(held, Mode.DISPATCH, NOW) == ""
    assert due_because(held, Mode.OBSERVE, NOW) == "nothing is held in mode Observe"
    assert due_because(view(job(suspend=True, marks=HELD, class_name="typo")), Mode.DISPATCH, NOW) == "it is insulated"
    assert due_because(held, Mode.DISPATCH, NOW + timedelta(hours=4)) == "its time is over"
    assert due_because(view(job(), pod(), around=AROUND), Mode.OBSERVE, NOW) == ""


def test_a_check_of_ours_that_nobody_answers_is_answered() -> None:
    state = {"name": "heat", "state": "Pending", "message": "", "lastTransitionTime": "2026-01-14T09:40:00Z"}
    # quota is held since 09:40
    waiting = workload(conditions=("QuotaReserved",), checks=(state,))
    given = job(suspend=True, labels=QUEUED, class_name=None)
    assert stale_writes([given], [waiting], ago(minutes=11), checks=("heat",)) == ()
    for at_utc, everything in ((ago(minutes=10), False), (ago(minutes=19), True)):
        (write,) = stale_writes([given], [waiting], at_utc, checks=("heat", "other"), everything=everything)
        assert write.effect is Effect.CHECK_READY
        assert write.lets_go
    assert stale_writes([given], [waiting], NOW) == ()
    without_gpus = workload(conditions=("QuotaReserved",), checks=(state,), gpus=0)
    assert len(stale_writes([job(gpus=0, labels=QUEUED)], [without_gpus], NOW, checks=("heat",))) == 1
    ours = {"metadata": {"name": "heat"}, "spec": {"controllerName": "heatdispatch.io/admission"}}
    assert our_checks([ours, {"metadata": {"name": "budget"}, "spec": {"controllerName": "x"}}]) == ("heat",)
