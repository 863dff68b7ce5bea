"""The last look at fresh state: it drops, with a stable reason, and never adds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from kube_world import AROUND, CLASSES, NOW, POOLS, ago, job, node, pod, rooms, view, workload
from small_world import ACTING

from scheduler.adapters.kubernetes.actions import Orders, let_go, taken, write_for
from scheduler.adapters.kubernetes.guard import Drop, Fresh, judge
from scheduler.adapters.kubernetes.marks import GATED_BY, HeldBy, Marks
from scheduler.adapters.kubernetes.writes import Write
from scheduler.domain.action import Action, HoldJob, StartJob, StopJob
from scheduler.domain.settings import Mode

ORDERS = Orders(now_utc=NOW, plan_id="7f3a", pools={pool.pool_id: pool for pool in POOLS})
HELD = Marks(held_by=HeldBy.OPERATOR, held_since_utc=ago(minutes=30), hold_until_utc=NOW + timedelta(hours=4))
FRESH = Fresh(now_utc=NOW, settings=ACTING, classes=CLASSES, rooms=rooms(node("n0"), node("n1")))
QUEUED = {"kueue.x-k8s.io/queue-name": "gpu"}
START = StartJob(job_id="j", pool_id="north", at_utc=NOW, cap_w=None)


def holding(until_h: float = 10.0) -> HoldJob:
    return HoldJob(job_id="j", until_utc=NOW + timedelta(hours=until_h), planned_start_utc=None, reason="r", text="t")


def stopping(until_h: float = 10.0) -> StopJob:
    return StopJob(job_id="j", at_utc=NOW, resume_by_utc=NOW + timedelta(hours=until_h))


def written(action: Action, given: dict[str, Any], *pods: dict[str, Any], **more: Any) -> Write:
    found = write_for(action, view(given, *pods, **more), ORDERS)
    assert isinstance(found, Write), found
    return found


def test_a_hold_of_a_waiting_job_passes() -> None:
    given = job(suspend=True, marks=HELD)
    assert judge(written(holding(), given), view(given), FRESH) is None
    waiting = job(active=1)
    assert judge(written(holding(), waiting, pod(None)), view(waiting, pod(None)), FRESH) is None


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.ADVISE])
def test_nothing_is_held_in_another_mode(mode: Mode) -> None:
    given = job(suspend=True, marks=HELD)
    fresh = replace(FRESH, settings=replace(ACTING, mode=mode))
    assert judge(written(holding(), given), view(given), fresh) is Drop.NOT_DISPATCH
    assert judge(written(START, given), view(given), fresh) is Drop.NOT_DISPATCH
    gone = let_go(view(given), "mode changed", NOW)
    assert gone is not None
    assert judge(gone, view(given), fresh) is None


def test_an_object_that_moved_on_was_made_anew_or_is_gone() -> None:
    given = job(suspend=True, marks=HELD)
    write = written(holding(), given)
    newer = job(suspend=True, marks=HELD)
    newer["metadata"]["resourceVersion"] = "78"
    assert judge(write, view(newer), FRESH) is Drop.CONFLICT
    other = job(suspend=True, marks=HELD)
    other["metadata"]["uid"] = "ffff"
    assert judge(write, view(other), FRESH) is Drop.UID_CHANGED
    assert judge(write, None, FRESH) is Drop.GONE
    ended = job(suspend=True, marks=HELD, conditions=[{"type": "Complete", "status": "True"}])
    assert judge(write, view(ended), FRESH) is Drop.GONE


def test_a_job_that_became_insulated_or_its_owners_in_between() -> None:
    given = job(suspend=True, marks=HELD)
    hold, start = written(holding(), given), written(START, given)
    insulated = job(suspend=True, marks=HELD, class_name="insulated")
    assert judge(hold, view(insulated), FRESH) is Drop.INSULATED
    assert judge(start, view(insulated), FRESH) is Drop.INSULATED
    his = job(marks=HELD)
    assert judge(hold, view(his, pod()), FRESH) is Drop.OWNER_TOOK
    assert judge(start, view(his, pod()), FRESH) is Drop.OWNER_TOOK


def test_an_insulated_job_that_is_held_may_be_let_go_but_not_started_for_its_owner() -> None:
    held = job(suspend=True, marks=HELD, class_name="insulated")
    gone = let_go(view(held), "it is insulated", NOW)
    assert gone is not None
    assert judge(gone, view(held), FRESH) is None
    assert judge(gone, view(job(suspend=True, class_name="insulated")), FRESH) is Drop.OWNER_TOOK
    assert judge(gone, view(job(class_name="insulated"), pod()), FRESH) is Drop.INSULATED
    assert judge(gone, view(job(), pod()), FRESH) is Drop.NOT_HELD


def test_every_hold_has_an_end_in_its_legal_time() -> None:
    given = job(suspend=True, marks=HELD)
    # submitted at 09:00, maxDelay 48 h: 09:00 the day after tomorrow, 47 h from now
    assert judge(written(holding(47.0), given), view(given), FRESH) is None
    assert judge(written(holding(47.1), given), view(given), FRESH) is Drop.END_TOO_LATE
    short = replace(FRESH, settings=replace(ACTING, max_hold_s=7200.0))
    assert judge(written(holding(1.5), given), view(given), short) is Drop.END_TOO_LATE
    assert judge(written(holding(-0.1), given), view(given), FRESH) is Drop.HOLD_OVER
    endless = written(holding(), given)
    annotations = {**endless.annotations, "heatdispatch.io/hold-until": None}
    without = replace(endless, change={"metadata": {"annotations": annotations}, "spec": {"suspend": True}})
    assert judge(without, view(given), FRESH) is Drop.NO_END


def test_a_deadline_and_the_next_tick_bound_the_hold() -> None:
    due = job(suspend=True, marks=HELD, annotations={"heatdispatch.io/deadline": "2026-01-14T15:00:00Z"})
    assert judge(written(holding(5.1), due), view(due), FRESH) is Drop.END_TOO_LATE
    assert judge(written(holding(4.9), due), view(due), FRESH) is None
    made = job(suspend=True, marks=HELD, annotations={"heatdispatch.io/allow-owned": "true"})
    made["metadata"]["ownerReferences"] = [{"kind": "CronJob", "name": "n", "uid": "c", "controller": True}]
    around = replace(AROUND, cron_jobs={"c": {"spec": {"schedule": "0 12 * * *"}}})
    assert judge(written(holding(2.1), made, around=around), view(made, around=around), FRESH) is Drop.END_TOO_LATE
    assert judge(written(holding(1.9), made, around=around), view(made, around=around), FRESH) is None


def test_a_job_that_got_its_nodes_in_between_is_not_held() -> None:
    write = written(holding(), job(active=1), pod(None))
    assert judge(write, view(job(active=1), pod("n0")), FRESH) is Drop.STOP_NOT_ALLOWED
    assert judge(write, view(job(active=2), pod(None)), FRESH) is Drop.RUNS
    queued = job(suspend=True, labels=QUEUED)
    hold = written(holding(), queued, workload=workload())
    assert judge(hold, view(queued, workload=workload(conditions=("QuotaReserved",))), FRESH) is Drop.RUNS


class TestStop:
    """The class: at least 2 h between stops, at most 2 of them."""

    def judged(self, *, ran_h: float = 3.0, stops: int = 0, class_name: str = "preemptible") -> Drop | None:
        given = job(class_name="preemptible", marks=Marks(stops=stops), created=ago(hours=10))
        running = pod("n0", started=ago(hours=ran_h))
        write = written(stopping(), given, running)
        given["metadata"]["labels"]["heatdispatch.io/class"] = class_name
        return judge(write, view(given, running), FRESH)

    def test_within_its_class(self) -> None:
        assert self.judged() is None
        assert self.judged(stops=1) is None

    def test_never_before_its_minimum_run_time_nor_too_often_nor_another_class(self) -> None:
        assert self.judged(ran_h=1.9) is Drop.STOP_NOT_ALLOWED
        assert self.judged(stops=2) is Drop.STOP_NOT_ALLOWED
        assert self.judged(class_name="deferrable") is Drop.STOP_NOT_ALLOWED

    def test_where_nobody_opted_in_no_job_is_stopped(self) -> None:
        given, running = job(class_name="preemptible", created=ago(hours=10)), pod(started=ago(hours=3))
        write = written(stopping(), given, running)
        apart = view(given, running, around=replace(AROUND, namespaces={"lab": {"metadata": {"name": "lab"}}}))
        assert judge(write, apart, FRESH) is Drop.STOP_NOT_ALLOWED

    def test_a_stop_that_is_not_counted_is_none(self) -> None:
        given = job(class_name="preemptible", created=ago(hours=10))
        running = pod("n0", started=ago(hours=3))
        write = written(stopping(), given, running)
        uncounted = {key: value for key, value in write.annotations.items() if key != "heatdispatch.io/stops"}
        quiet = replace(write, change={"metadata": {"annotations": uncounted}, "spec": {"suspend": True}})
        assert judge(quiet, view(given, running), FRESH) is Drop.STOP_NOT_ALLOWED


class TestFit:
    """A native gang is released only if every pod finds a node now."""

    GIVEN = job(pods=2, suspend=True, marks=HELD)

    def test_two_free_nodes_hold_two_pods_of_eight(self) -> None:
        assert judge(written(START, self.GIVEN), view(self.GIVEN), FRESH) is None

    def test_a_busy_node_does_not(self) -> None:
        busy = replace(FRESH, rooms=rooms(node("n0"), node("n1"), pods=(pod("n1", gpus=1),)))
        assert judge(written(START, self.GIVEN), view(self.GIVEN), busy) is Drop.NO_FIT

    def test_what_counts_is_where_it_will_run_not_where_it_ran(self) -> None:
        marks = replace(HELD, stops=1, pool_id="north", placed=("heat.example/pool",))
        moved = job(class_name="preemptible", suspend=True, marks=marks)
        moved["spec"]["template"]["spec"]["nodeSelector"] = {"heat.example/pool": "north"}
        south = StartJob(job_id="j", pool_id="south", at_utc=NOW, cap_w=None)
        room = replace(FRESH, rooms=rooms(node("s0", "south")))
        assert judge(written(south, moved), view(moved), room) is None
        assert judge(written(START, moved), view(moved), room) is Drop.NO_FIT

    def test_letting_go_does_not_ask(self) -> None:
        busy = replace(FRESH, rooms=())
        start = written(START, self.GIVEN)
        assert judge(start, view(self.GIVEN), replace(busy, letting_go=True)) is None
        past = job(pods=2, suspend=True, marks=replace(HELD, hold_until_utc=NOW))
        assert judge(written(START, past), view(past), busy) is None

    def test_a_queued_job_is_kueues_to_place(self) -> None:
        gated = job(suspend=True, labels=QUEUED, annotations={GATED_BY: "heatdispatch.io/gate"})
        assert judge(written(START, gated), view(gated), replace(FRESH, rooms=())) is None


def test_the_owners_mark_needs_an_owner_who_took_over() -> None:
    his = job(marks=HELD)
    mark = taken(view(his, pod()))
    assert mark is not None
    assert judge(mark, view(his, pod()), FRESH) is None
    observing = replace(FRESH, settings=replace(ACTING, mode=Mode.OBSERVE))
    assert judge(mark, view(his, pod()), observing) is Drop.NOT_DISPATCH
    assert judge(mark, view(job(suspend=True, marks=HELD)), FRESH) is Drop.NOT_HELD
