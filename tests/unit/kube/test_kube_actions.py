"""The exact patches that the API gets. NOW is 2026-01-14 10:00 UTC."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from kube_world import AROUND, NOW, POOLS, ago, job, pod, suspended_condition, view, workload

from scheduler.adapters.kubernetes.actions import Orders, keep, let_go, taken, write_for
from scheduler.adapters.kubernetes.marks import GATED_BY, HeldBy, Marks
from scheduler.adapters.kubernetes.runtime.kinds import JOBS, WORKLOADS
from scheduler.adapters.kubernetes.writes import Effect, Verb, Write
from scheduler.domain.action import HoldJob, SetCap, StartJob, StopJob
from scheduler.domain.plan import Explanation, WaitReason

TOLD = "Held until 12:00 UTC, at the latest 20:00: power is 61 EUR/MWh cheaper from 12:00 (saves 4.10 EUR)"
ORDERS = Orders(now_utc=NOW, plan_id="7f3a", pools={pool.pool_id: pool for pool in POOLS})
HELD = Marks(
    held_by=HeldBy.OPERATOR, held_since_utc=ago(minutes=30), hold_until_utc=NOW + timedelta(hours=4), reason="PoolFull"
)
BY_ADMISSION = Marks(held_by=HeldBy.ADMISSION)
PAUSED = replace(HELD, stops=1, first_started_utc=ago(hours=5), work_done_s=7200.0, paused_s=600.0, pool_id="north")
QUEUED = {"kueue.x-k8s.io/queue-name": "gpu"}


def holding(until_h: float = 10.0, reason: str = "CheaperPower") -> HoldJob:
    start = NOW + timedelta(hours=2)
    return HoldJob(job_id="j", until_utc=NOW + timedelta(hours=until_h), planned_start_utc=start, reason=reason, text=TOLD)


def starting(pool_id: str = "north") -> StartJob:
    return StartJob(job_id="j", pool_id=pool_id, at_utc=NOW, cap_w=None, reason="Planned")


STOPPING = StopJob(job_id="j", at_utc=NOW, resume_by_utc=NOW + timedelta(hours=6), reason="CheaperPower")


def written(verdict: Write | None | str) -> Write:
    assert isinstance(verdict, Write), verdict
    return verdict


def marked(**names: str | None) -> dict[str, str | None]:
    return {f"heatdispatch.io/{name.replace('_', '-')}": value for name, value in names.items()}


class TestHold:
    def test_a_job_that_admission_holds_gets_its_end_and_its_reason(self) -> None:
        write = written(write_for(holding(), view(job(suspend=True, marks=BY_ADMISSION)), ORDERS))
        assert write.change == {
            "metadata": {
                "annotations": marked(
                    held_since="2026-01-14T10:00:00Z",
                    hold_until="2026-01-14T20:00:00Z",
                    hold_reason="CheaperPower",
                    hold_text=TOLD.replace("(saves", "(plan 7f3a, saves"),
                    planned_start="2026-01-14T12:00:00Z",
                    plan="7f3a",
                )
            },
            "spec": {"suspend": True},
        }
        assert (write.verb, write.kind, write.namespace, write.name) == (Verb.PATCH, JOBS, "lab", "train")
        assert (write.version, write.reason, write.effect) == ("77", "Held", Effect.HOLD)
        assert write.seen == {
            "metadata": {
                "namespace": "lab",
                "name": "train",
                "uid": "0a1b2c3d-0000-4000-8000-000000000001",
                "resourceVersion": "77",
            }
        }
        assert write.text.endswith("(plan 7f3a, saves 4.10 EUR)")

    def test_a_job_that_its_owner_left_to_the_plan_is_held_since_its_creation(self) -> None:
        """It was he who wrote `suspend`: the API server's record must not be read as an edit of ours."""
        given = job(suspend=True, annotations={"heatdispatch.io/start": "planned"})
        given["metadata"]["managedFields"] = [{"manager": "kubectl-create", "fieldsV1": {"f:spec": {"f:suspend": {}}}}]
        write = written(write_for(holding(), view(given), ORDERS))
        assert write.annotations["heatdispatch.io/held-by"] == "admission"
        given["metadata"]["annotations"] |= {name: value for name, value in write.annotations.items() if value is not None}
        assert view(given).held

    def test_a_job_whose_pods_wait_for_nodes_is_suspended(self) -> None:
        write = written(write_for(holding(), view(job(active=1), pod(None)), ORDERS))
        assert write.change["spec"] == {"suspend": True}
        assert write.annotations["heatdispatch.io/held-by"] == "operator"

    @pytest.mark.parametrize(
        ("given", "pods", "because"),
        [
            (job(), (pod("n0"),), "it runs"),
            (job(active=1), (), "its pods have their nodes"),
            (job(class_name=None), (), "insulated: never touched"),
            (job(suspend=True), (), "its owner suspended it"),
            (job(labels=QUEUED), (), "Kueue has not taken it up yet"),
        ],
    )
    def test_what_is_not_held(self, given: dict[str, Any], pods: tuple[dict[str, Any], ...], because: str) -> None:
        assert write_for(holding(), view(given, *pods), ORDERS) == because

    def test_a_namespace_that_takes_no_part(self) -> None:
        seen = view(job(active=1), pod(None), around=replace(AROUND, namespaces={}))
        assert write_for(holding(), seen, ORDERS) == "its namespace does not take part in holding jobs after their creation"

    def test_a_start_that_may_move_is_told_anew_only_when_the_old_or_the_new_one_is_near(self) -> None:
        def told(marked_h: float, planned_h: float) -> bool:
            at = NOW + timedelta(hours=marked_h)
            seen = view(job(suspend=True, marks=replace(HELD, reason="CheaperPower", planned_start_utc=at, plan_id="0000")))
            moved = replace(holding(until_h=4.0), planned_start_utc=NOW + timedelta(hours=planned_h))
            return write_for(moved, seen, ORDERS) is not None

        assert not told(1.1, 3.9)
        assert told(0.9, 3.9)
        assert told(3.9, 0.9)
        assert not told(0.9, 0.9)

    def test_the_same_hold_is_not_written_twice(self) -> None:
        marks = replace(HELD, reason="CheaperPower", planned_start_utc=NOW + timedelta(hours=2), plan_id="0000")
        seen = view(job(suspend=True, marks=marks))
        assert write_for(holding(until_h=4.01), seen, ORDERS) is None
        later = written(write_for(holding(until_h=4.02), seen, ORDERS))
        # 72 s later than it was; everything else stays, but for the plan that says so
        assert later.annotations == marked(
            hold_until="2026-01-14T14:01:12Z", hold_text=TOLD.replace("(saves", "(plan 7f3a, saves"), plan="7f3a"
        )

    def test_a_workload_is_switched_off_before_it_has_quota(self) -> None:
        given = job(suspend=True, labels=QUEUED)
        write = written(write_for(holding(), view(given, workload=workload()), ORDERS))
        assert (write.kind, write.change["spec"], write.version) == (WORKLOADS, {"active": False}, "88")
        reserved = workload(conditions=("QuotaReserved",))
        assert write_for(holding(), view(given, workload=reserved), ORDERS) == "Kueue is starting it"

    def test_a_gated_job_is_marked_only(self) -> None:
        gated = job(suspend=True, labels=QUEUED, annotations={GATED_BY: "heatdispatch.io/gate"}, marks=BY_ADMISSION)
        write = written(write_for(holding(), view(gated, workload=workload()), ORDERS))
        assert write.kind is JOBS
        assert "spec" not in write.change
        assert GATED_BY not in write.annotations
        assert write.effect is Effect.HOLD

    def test_a_gang_that_does_not_fit_keeps_its_end(self) -> None:
        seen = view(job(suspend=True, marks=HELD))
        write = keep(seen, "NoFit", "8 GPUs are not free on real nodes", ORDERS)
        assert write is not None
        assert write.annotations == marked(
            hold_until="2026-01-14T14:00:00Z",
            hold_reason="NoFit",
            hold_text="8 GPUs are not free on real nodes (plan 7f3a)",
            plan="7f3a",
        )
        assert keep(view(job(suspend=True, marks=replace(HELD, reason="NoFit"))), "NoFit", "still", ORDERS) is None
        assert keep(view(job(), pod()), "NoFit", "it runs", ORDERS) is None


class TestRelease:
    def test_a_job_that_never_ran_is_placed(self) -> None:
        write = written(write_for(starting(), view(job(suspend=True, marks=HELD)), ORDERS))
        assert write.change == {
            "metadata": {
                "annotations": marked(
                    held_by=None,
                    held_since=None,
                    hold_until=None,
                    hold_reason=None,
                    released="2026-01-14T10:00:00Z",
                    pool="north",
                    placed="heat.example/pool",
                )
            },
            "spec": {"suspend": False, "template": {"spec": {"nodeSelector": {"heat.example/pool": "north"}}}},
        }
        assert (write.reason, write.text, write.effect) == (
            "Released",
            "Released on north (Planned) (plan 7f3a)",
            Effect.RELEASE,
        )
        assert write.places
        assert not write.lets_go

    def test_what_runs_needs_no_release(self) -> None:
        assert write_for(starting(), view(job(), pod()), ORDERS) is None
        assert write_for(starting(), view(job(labels=QUEUED), workload=workload()), ORDERS) is None

    def test_its_own_selector_is_left_to_it(self) -> None:
        given = job(suspend=True, marks=HELD)
        given["spec"]["template"]["spec"]["nodeSelector"] = {"heat.example/pool": "south", "disk": "fast"}
        write = written(write_for(starting("south"), view(given), ORDERS))
        assert write.change["spec"] == {"suspend": False}
        refused = write_for(starting("north"), view(given), ORDERS)
        assert refused == "its node selector heat.example/pool=south contradicts pool north"

    def test_a_paused_job_moves_when_its_last_pod_is_gone(self) -> None:
        marks = replace(PAUSED, placed=("heat.example/pool",))

        def paused(**status: Any) -> dict[str, Any]:
            given = job(class_name="preemptible", suspend=True, marks=marks, startTime="2026-01-14T05:00:00Z", **status)
            given["spec"]["template"]["spec"]["nodeSelector"] = {"heat.example/pool": "north"}
            return given

        gone = paused(conditions=[suspended_condition()], active=0)
        write = written(write_for(starting("south"), view(gone), ORDERS))
        assert write.change["spec"]["template"] == {"spec": {"nodeSelector": {"heat.example/pool": "south"}}}
        assert write.reason == "Resumed"
        # 600 s before and half an hour of this pause
        assert write.annotations["heatdispatch.io/paused"] == "2400s"
        assert write_for(starting("south"), view(paused(active=1)), ORDERS) == "its pods are not gone yet"
        same = written(write_for(starting("north"), view(gone), ORDERS))
        assert same.change["spec"] == {"suspend": False}

    def test_no_twin_runs_beside_pods_that_still_save_their_state(self) -> None:
        cases: list[tuple[str, tuple[dict[str, Any], ...]]] = [("active", ()), ("terminating", ()), ("failed", (pod("n0"),))]
        for name, pods in cases:
            given = job(class_name="preemptible", suspend=True, marks=PAUSED)
            given["status"][name] = 1
            assert write_for(starting("north"), view(given, *pods), ORDERS) == "its pods are not gone yet"
            assert let_go(view(given, *pods), "its time is over", NOW) is not None

    def test_keys_of_an_earlier_placement_go(self) -> None:
        given = job(suspend=True, marks=replace(HELD, placed=("old.example/zone",)))
        given["spec"]["template"]["spec"]["nodeSelector"] = {"old.example/zone": "a", "disk": "fast"}
        write = written(write_for(starting("south"), view(given), ORDERS))
        assert write.change["spec"]["template"]["spec"]["nodeSelector"] == {
            "old.example/zone": None,
            "heat.example/pool": "south",
        }

    def test_our_gate_goes_and_others_stay(self) -> None:
        given = job(suspend=True, labels=QUEUED, annotations={GATED_BY: "budget.example/gate,heatdispatch.io/gate"})
        write = written(write_for(starting(), view(given, workload=workload()), ORDERS))
        assert write.annotations[GATED_BY] == "budget.example/gate"
        assert "spec" not in write.change
        assert write.effect is Effect.RELEASE

    def test_a_workload_is_switched_on_without_a_place(self) -> None:
        given = job(class_name="preemptible", suspend=True, labels=QUEUED)
        write = written(write_for(starting(), view(given, workload=workload(active=False, marks=PAUSED)), ORDERS))
        assert write.change["spec"] == {"active": True}
        assert (write.reason, write.lets_go) == ("Resumed", True)

    def test_letting_go_needs_neither_plan_nor_place(self) -> None:
        write = let_go(view(job(suspend=True, marks=HELD)), "its time is over", NOW)
        assert write is not None
        assert write.change["spec"] == {"suspend": False}
        assert write.lets_go
        assert (write.reason, write.text) == ("LetGo", "Hold ended: its time is over")
        assert let_go(view(job(suspend=True)), "", NOW) is None


class TestStop:
    def test_what_was_done_is_written_with_the_lever(self) -> None:
        told = Explanation(
            job_id="lab/train@0a1b2c3d",
            reason=WaitReason.CHEAPER_POWER,
            text="Paused until 14:00 UTC: power is cheaper then (saves 9.00 EUR)",
            start_utc=NOW + timedelta(hours=4),
            latest_start_utc=None,
            saves_eur=9.0,
            may_move=False,
        )
        seen = view(job(class_name="preemptible"), pod("n1"))
        write = written(write_for(STOPPING, seen, replace(ORDERS, told={told.job_id: told})))
        assert write.change["spec"] == {"suspend": True, "podReplacementPolicy": "Failed"}
        assert write.annotations == marked(
            held_by="operator",
            held_since="2026-01-14T10:00:00Z",
            hold_until="2026-01-14T16:00:00Z",
            hold_reason="CheaperPower",
            hold_text="Paused until 14:00 UTC: power is cheaper then (plan 7f3a, saves 9.00 EUR)",
            planned_start="2026-01-14T14:00:00Z",
            plan="7f3a",
            pool="north",
            first_started="2026-01-14T09:30:00Z",
            stops="1",
            work_done="1800s",
        )
        assert write.reason == "Stopped"

    def test_a_workload_is_switched_off_never_suspended(self) -> None:
        admitted = workload(conditions=("QuotaReserved", "Admitted"))
        seen = view(job(class_name="preemptible", labels=QUEUED), pod(), workload=admitted)
        write = written(write_for(STOPPING, seen, ORDERS))
        assert (write.kind, write.change["spec"]) == (WORKLOADS, {"active": False})

    def test_a_policy_of_replacement_that_waits_already_is_not_written(self) -> None:
        given = job(class_name="preemptible")
        given["spec"]["podReplacementPolicy"] = "Failed"
        assert written(write_for(STOPPING, view(given, pod()), ORDERS)).change["spec"] == {"suspend": True}

    def test_what_was_started_after_the_decision_is_not_stopped_by_it(self) -> None:
        """Its hold ended and it runs again: the next decision may stop it, this one was carried out."""
        late = view(job(class_name="preemptible"), pod("n1", started=NOW + timedelta(minutes=5)))
        assert write_for(STOPPING, late, ORDERS) == "it was started after that was decided"

    def test_only_what_runs_is_stopped(self) -> None:
        assert write_for(STOPPING, view(job(class_name="preemptible", suspend=True, marks=HELD)), ORDERS) == "it does not run"

    def test_a_stop_and_what_follows_add_up(self) -> None:
        """Stop after 30 min, resume after 1 h: the annotations alone tell the whole life."""
        given = job(class_name="preemptible")
        stop = written(write_for(STOPPING, view(given, pod("n1")), ORDERS))
        applied = {**given["metadata"]["annotations"], **{k: v for k, v in stop.annotations.items() if v is not None}}
        given["metadata"]["annotations"] = applied
        given["spec"]["suspend"] = True
        later = replace(AROUND, now_utc=NOW + timedelta(hours=1))
        paused = view(given, around=later)
        assert (paused.state.paused_s, paused.state.work_done_s, paused.state.preemptions) == (3600.0, 1800.0, 1)
        resume = written(write_for(starting("north"), paused, replace(ORDERS, now_utc=later.now_utc)))
        assert resume.annotations["heatdispatch.io/paused"] == "3600s"


def test_caps_are_not_written_on_jobs() -> None:
    cap = SetCap(job_id="j", cap_w=400.0, at_utc=NOW, lease_s=120.0)
    assert write_for(cap, view(job(), pod()), ORDERS) == "caps are written per node"


def test_an_ended_job_is_left_alone() -> None:
    ended = job(conditions=[{"type": "Complete", "status": "True"}])
    assert write_for(starting(), view(ended), ORDERS) == "it has ended"


class TestTaken:
    def test_the_owners_hand_is_remembered(self) -> None:
        write = taken(view(job(marks=PAUSED), pod()))
        assert write is not None
        assert write.effect is Effect.MARK
        assert "spec" not in write.change
        assert write.annotations == marked(held_by="owner", held_since=None, hold_until=None, hold_reason=None)
        assert write.text.startswith("Its owner started it himself: it is not held, released or stopped")

    def test_where_the_api_server_noted_it_already_what_is_left_of_the_hold_goes(self) -> None:
        write = taken(view(job(suspend=True, marks=replace(HELD, held_by=HeldBy.OWNER))))
        assert write is not None
        assert write.effect is Effect.MARK
        assert "spec" not in write.change
        left = {key.removeprefix("heatdispatch.io/") for key, value in write.annotations.items() if value is None}
        assert {"held-since", "hold-until", "hold-reason"} <= left
        assert write.annotations["heatdispatch.io/held-by"] == "owner"

    def test_where_we_left_no_trace_there_is_nothing_to_remember(self) -> None:
        assert taken(view(job(suspend=True))) is None
        assert taken(view(job(marks=Marks(held_by=HeldBy.OWNER)))) is None
        assert taken(view(job(), pod())) is None
