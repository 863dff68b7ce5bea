"""Jobs as the API serves them, read as the domain's JobState. NOW is 10:00; jobs were created at 09:00."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from kube_world import AROUND, NOW, ago, at, job, pod, suspended_condition, view, workload

from scheduler.adapters.kubernetes.jobs import Lever, read, unbound
from scheduler.adapters.kubernetes.marks import GATED_BY, HeldBy, Marks
from scheduler.domain.job import Flexibility, JobPhase

HELD = Marks(held_by=HeldBy.OPERATOR, held_since_utc=ago(minutes=30), hold_until_utc=NOW + timedelta(hours=4))
STOPPED = replace(
    HELD,
    stops=1,
    first_started_utc=ago(hours=5),
    work_done_s=7200.0,
    paused_s=600.0,
    pool_id="north",
    released_utc=ago(hours=6),
)
QUEUED = {"kueue.x-k8s.io/queue-name": "gpu"}


def test_a_running_job() -> None:
    given = {"heatdispatch.io/expected-duration": "3h", "heatdispatch.io/deadline": "2026-01-15T06:00:00Z"}
    around = replace(AROUND, caps_w={"lab/train@0a1b2c3d": 400.0}, speeds={"lab/train@0a1b2c3d": 0.9})
    seen = view(job(pods=2, annotations=given), pod("n0"), pod("n1", uid="pod-2", started=ago(minutes=20)), around=around)
    state = seen.state
    assert state.job.job_id == "lab/train@0a1b2c3d"
    assert (state.job.class_name, state.job.gpus) == ("deferrable", 16)
    assert state.job.submit_utc == ago(hours=1)
    assert state.job.declared_duration_s == 10800.0
    assert state.job.deadline_utc == NOW + timedelta(hours=20)
    assert (state.phase, state.pool_id, state.cap_w) == (JobPhase.RUNNING, "north", 400.0)
    assert state.started_utc == state.first_started_utc == ago(minutes=30)
    # 30 min at a speed of 0.9
    assert (state.run_s, state.work_done_s) == (1800.0, 1620.0)
    assert not seen.held
    assert not state.owner_suspended


def test_a_held_job_waits_and_its_class_says_its_duration() -> None:
    seen = view(job(suspend=True, marks=HELD))
    assert seen.held
    assert seen.state.phase is JobPhase.QUEUED
    assert seen.state.pool_id is None
    assert seen.state.job.declared_duration_s == 14400.0
    assert not seen.state.owner_suspended


def test_a_paused_job_keeps_its_past_over_restarts_of_everything() -> None:
    state = view(job(class_name="preemptible", suspend=True, marks=STOPPED)).state
    assert (state.phase, state.preemptions, state.pool_id) == (JobPhase.PAUSED, 1, "north")
    # 10 min of an earlier pause and 30 min of this one
    assert state.paused_s == 600.0 + 1800.0
    assert state.pause_start_utc == ago(minutes=30)
    assert state.work_done_s == 7200.0
    assert state.first_started_utc == ago(hours=5)
    assert state.started_utc is None


def test_a_resumed_job_adds_its_run_to_what_was_saved() -> None:
    marks = replace(STOPPED, held_by=None, held_since_utc=None, hold_until_utc=None)
    state = view(job(class_name="preemptible", marks=marks), pod("n0")).state
    assert state.phase is JobPhase.RUNNING
    assert state.work_done_s == 7200.0 + 1800.0
    assert state.first_started_utc == ago(hours=5)
    assert state.started_utc == ago(minutes=30)


def test_a_released_job_whose_pods_have_no_nodes_yet_has_its_gpus_spoken_for() -> None:
    state = view(job(marks=Marks(released_utc=ago(minutes=1), pool_id="south")), pod(None)).state
    assert (state.phase, state.pool_id, state.started_utc, state.run_s) == (JobPhase.RUNNING, "south", None, 0.0)


def test_a_job_that_nobody_held_waits_for_the_scheduler() -> None:
    seen = view(job(active=1), pod(None))
    assert seen.state.phase is JobPhase.QUEUED
    assert unbound(seen)
    assert not unbound(view(job(active=2), pod(None)))
    assert not unbound(view(job(active=1), pod("n0")))
    assert not unbound(view(job(active=1, failed=1), pod(None)))


@pytest.mark.parametrize("kind", ["Complete", "Failed"])
def test_an_ended_job(kind: str) -> None:
    ended = job(conditions=[{"type": kind, "status": "True"}])
    assert view(ended).state.phase is JobPhase.DONE


def test_a_job_that_is_being_deleted_has_ended_for_us() -> None:
    leaving = job(suspend=True, marks=HELD)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-14T09:59:00Z"
    assert view(leaving).state.phase is JobPhase.DONE


def test_between_two_pods_a_job_still_runs() -> None:
    assert view(job(failed=1)).state.phase is JobPhase.RUNNING


def test_jobs_without_gpus_are_nobodys_business_unless_they_are_held() -> None:
    assert read(job(gpus=0), {}, (), AROUND) is None
    held = view(job(gpus=0, suspend=True, marks=HELD))
    assert held.insulated
    assert held.held
    assert [problem.reason for problem in held.problems] == ["NoGpu"]


class TestOwnersHand:
    """Design 6: a Job that its user created suspended, or whose `suspend` he edits, is his for good."""

    def test_created_suspended(self) -> None:
        seen = view(job(suspend=True))
        assert seen.state.owner_suspended
        assert not seen.held

    def test_created_suspended_and_started_by_himself(self) -> None:
        assert view(job(conditions=[suspended_condition("False")]), pod()).state.owner_suspended

    def test_handed_over(self) -> None:
        seen = view(job(suspend=True, annotations={"heatdispatch.io/start": "planned"}))
        assert seen.held
        assert not seen.state.owner_suspended

    def test_handed_over_and_started_by_himself_after_all(self) -> None:
        given = job(annotations={"heatdispatch.io/start": "planned"}, conditions=[suspended_condition("False")])
        assert view(given, pod()).state.owner_suspended

    def test_handed_over_released_and_suspended_again(self) -> None:
        given = job(suspend=True, annotations={"heatdispatch.io/start": "planned"}, marks=Marks(released_utc=ago(minutes=9)))
        assert view(given).state.owner_suspended

    def test_held_and_started_by_himself(self) -> None:
        seen = view(job(marks=HELD), pod())
        assert seen.owner_took == "its owner started it himself"
        assert not seen.held

    def test_released_and_suspended_by_himself(self) -> None:
        assert view(job(suspend=True, marks=Marks(released_utc=ago(minutes=9)))).state.owner_suspended

    def test_released_by_us_and_running_is_ours_to_see(self) -> None:
        given = job(marks=Marks(released_utc=ago(minutes=9)), conditions=[suspended_condition("False")])
        assert not view(given, pod()).state.owner_suspended

    def test_marked_for_good(self) -> None:
        assert view(job(marks=Marks(held_by=HeldBy.OWNER)), pod()).state.owner_suspended

    @pytest.mark.parametrize("as_text", [False, True])
    def test_an_edit_that_nobody_watched_is_found_in_managed_fields(self, as_text: bool) -> None:
        def written_by(manager: str) -> dict[str, Any]:
            given = job(suspend=True, marks=HELD)
            fields = '{"f:spec": {"f:suspend": {}}}' if as_text else {"f:spec": {"f:suspend": {}}}
            given["metadata"]["managedFields"] = [
                {"manager": manager, "fieldsV1": fields},
                {"manager": "kube-controller-manager", "subresource": "status", "fieldsV1": fields},
            ]
            return given

        assert view(written_by("kubectl-edit")).state.owner_suspended
        assert view(written_by("heat-dispatch")).held


class TestInsulation:
    """What is not clear is not touched, and its owner hears why."""

    def reasons(self, given: dict[str, Any], **around: Any) -> list[str]:
        seen = view(given, around=replace(AROUND, **around))
        assert seen.insulated
        assert seen.flexibility is Flexibility.INSULATED
        return [problem.reason for problem in seen.problems]

    def test_no_class(self) -> None:
        assert self.reasons(job(class_name=None)) == []
        assert self.reasons(job(class_name="insulated")) == []

    def test_unknown_class(self) -> None:
        assert self.reasons(job(class_name="typo")) == ["UnknownClass"]

    def test_bad_values(self) -> None:
        given = {"heatdispatch.io/deadline": "soon", "heatdispatch.io/expected-duration": "-1h"}
        assert self.reasons(job(annotations=given)) == ["BadDeadline", "BadDuration"]

    def test_edited_marks(self) -> None:
        assert self.reasons(job(annotations={"heatdispatch.io/stops": "x"})) == ["BadMark"]

    def test_slices_of_gpus(self) -> None:
        given = job()
        given["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] = {"nvidia.com/mig-1g.10gb": "1"}
        assert self.reasons(given) == ["SharedGpu"]

    def test_a_selector_that_no_pool_carries(self) -> None:
        given = job()
        given["spec"]["template"]["spec"]["nodeSelector"] = {"heat.example/pool": "west"}
        assert self.reasons(given) == ["NoPool"]

    def test_a_job_that_another_controller_runs(self) -> None:
        given = job()
        given["spec"]["managedBy"] = "kueue.x-k8s.io/multikueue"
        assert self.reasons(given) == ["RemoteJob"]
        given["spec"]["managedBy"] = "kubernetes.io/job-controller"
        assert not view(given).insulated

    def test_another_controller(self) -> None:
        given = job()
        given["metadata"]["ownerReferences"] = [{"kind": "Workflow", "name": "nightly", "uid": "w", "controller": True}]
        assert self.reasons(given) == ["OwnedByController"]
        given["metadata"]["annotations"]["heatdispatch.io/allow-owned"] = "true"
        assert not view(given).insulated


def test_a_node_selector_of_its_own_leaves_one_pool() -> None:
    given = job()
    assert view(given).state.job.pool_id is None
    given["spec"]["template"]["spec"]["nodeSelector"] = {"heat.example/pool": "south"}
    assert view(given).state.job.pool_id == "south"
    given["metadata"]["annotations"]["heatdispatch.io/placed"] = "heat.example/pool"
    assert view(given).state.job.pool_id is None


class TestCronJobs:
    """Held at most until the next tick; its Job was made for 09:00, the schedule is hourly, its duration 30 min."""

    def start_by(self, policy: str = "Allow", **spec: Any) -> tuple[Any, list[str]]:
        given = job(annotations={"heatdispatch.io/expected-duration": "30m"})
        given["metadata"]["ownerReferences"] = [{"kind": "CronJob", "name": "nightly", "uid": "c", "controller": True}]
        cron_job = {"spec": {"schedule": "0 * * * *", "concurrencyPolicy": policy, **spec}}
        seen = view(given, around=replace(AROUND, cron_jobs={"c": cron_job}))
        return seen.state.job.start_by_utc, [problem.reason for problem in seen.problems]

    def test_until_the_next_tick(self) -> None:
        assert self.start_by() == (NOW, [])
        assert self.start_by(schedule="0 12 * * *", timeZone="Europe/Copenhagen") == (NOW + timedelta(hours=1), [])

    @pytest.mark.parametrize("policy", ["Forbid", "Replace"])
    def test_a_tick_that_skips_or_replaces_leaves_time_to_run(self, policy: str) -> None:
        assert self.start_by(policy) == (NOW - timedelta(minutes=30), [])

    def test_a_schedule_that_cannot_be_read_insulates(self) -> None:
        assert self.start_by(schedule="whenever") == (None, ["CronScheduleUnknown"])

    def test_a_cron_job_that_is_not_known_insulates(self) -> None:
        given = job()
        given["metadata"]["ownerReferences"] = [{"kind": "CronJob", "name": "nightly", "uid": "c", "controller": True}]
        assert [problem.reason for problem in view(given).problems] == ["CronJobUnknown"]


class TestKueue:
    """Queued jobs: `suspend` is Kueue's, ours are gate and `active`."""

    def test_gated_at_creation(self) -> None:
        gated = job(suspend=True, labels=QUEUED, annotations={GATED_BY: "heatdispatch.io/gate"})
        for seen in (view(gated), view(gated, workload=workload())):
            assert (seen.lever, seen.held, seen.state.phase) == (Lever.GATE, True, JobPhase.QUEUED)
            assert not seen.state.owner_suspended

    def test_waiting_in_the_queue(self) -> None:
        seen = view(job(suspend=True, labels=QUEUED), workload=workload())
        assert (seen.lever, seen.held, seen.state.phase) == (Lever.ACTIVE, False, JobPhase.QUEUED)
        assert not seen.state.owner_suspended
        assert view(job(suspend=True, labels=QUEUED)).lever is Lever.GATE

    def test_admitted_and_running(self) -> None:
        admitted = workload(conditions=("QuotaReserved", "Admitted"))
        assert view(job(labels=QUEUED), workload=admitted).state.phase is JobPhase.RUNNING
        state = view(job(labels=QUEUED), pod(), workload=admitted).state
        assert (state.phase, state.pool_id, state.started_utc) == (JobPhase.RUNNING, "north", ago(minutes=30))

    def test_paused_by_us(self) -> None:
        stopped = workload(active=False, marks=STOPPED)
        seen = view(job(class_name="preemptible", suspend=True, labels=QUEUED), workload=stopped)
        assert (seen.held, seen.state.phase, seen.state.preemptions) == (True, JobPhase.PAUSED, 1)
        assert seen.target is stopped

    def test_switched_off_or_on_by_its_owner(self) -> None:
        assert view(job(labels=QUEUED), workload=workload(active=False)).owner_took == "its owner switched it off"
        assert view(job(labels=QUEUED), workload=workload(marks=HELD)).owner_took == "its owner started it himself"

    def test_our_gate_taken_away_by_its_owner(self) -> None:
        given = job(labels=QUEUED, marks=Marks(held_by=HeldBy.ADMISSION))
        assert view(given, workload=workload()).owner_took == "its owner took our gate away himself"

    def test_another_gate_is_another_controllers(self) -> None:
        given = job(labels=QUEUED, annotations={GATED_BY: "budget.example/gate"})
        assert view(given, workload=workload()).state.owner_suspended

    def test_a_workload_of_another_kind(self) -> None:
        seen = view({}, workload=workload(owner="JobSet", labels={"heatdispatch.io/class": "deferrable"}))
        assert seen.state.job.job_id == "lab/job-train@0badcafe"
        assert not seen.insulated
        service = view({}, workload=workload(owner="StatefulSet", labels={"heatdispatch.io/class": "deferrable"}))
        assert [problem.reason for problem in service.problems] == ["NotABatchJob"]

    def test_elastic_and_remote_workloads_are_left_alone(self) -> None:
        elastic = job(labels=QUEUED, annotations={"kueue.x-k8s.io/elastic-job": "true"})
        assert [problem.reason for problem in view(elastic, workload=workload()).problems] == ["ElasticJob"]
        remote = workload()
        remote["status"]["clusterName"] = "far-away"
        assert [problem.reason for problem in view(job(labels=QUEUED), workload=remote).problems] == ["RemoteJob"]

    def test_the_pool_of_an_admitted_flavor(self) -> None:
        admitted = workload(conditions=("QuotaReserved", "Admitted"))
        assignment = {"name": "main", "flavors": {"nvidia.com/gpu": "flavor-s"}}
        admitted["status"]["admission"] = {"podSetAssignments": [assignment]}
        around = replace(AROUND, pool_by_flavor={"flavor-s": "south"})
        assert view(job(labels=QUEUED), workload=admitted, around=around).state.pool_id == "south"


def test_time_passes() -> None:
    later = view(job(), pod(), around=at(AROUND, hours=1)).state
    assert later.run_s == 5400.0
