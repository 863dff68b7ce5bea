"""Whatever a Job looks like and whatever is decided about it, what reaches the API server keeps design section 4."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from kube_world import AROUND, CLASSES, NOW, POOLS, job, node, pod, rooms, suspended_condition, workload
from small_world import ACTING

from scheduler.adapters.kubernetes.actions import Orders, let_go, taken, write_for
from scheduler.adapters.kubernetes.admission_check import Check, pending, ready, retry
from scheduler.adapters.kubernetes.guard import Fresh, judge, latest_end_utc
from scheduler.adapters.kubernetes.jobs import JobView, read
from scheduler.adapters.kubernetes.marks import GATED_BY, HeldBy, Marks, marks_of, read_instant, to_annotations
from scheduler.adapters.kubernetes.stale import stale_writes
from scheduler.adapters.kubernetes.writes import Effect, Write
from scheduler.domain.action import Action, HoldJob, StartJob, StopJob
from scheduler.domain.job import Flexibility, JobPhase
from scheduler.domain.settings import Mode

ORDERS = Orders(now_utc=NOW, plan_id="7f3a", pools={pool.pool_id: pool for pool in POOLS})
CHECK = Check(name="heat")
SECONDS = st.integers(-400_000, 400_000)
INSTANTS = SECONDS.map(lambda seconds: NOW + timedelta(seconds=seconds))
ENDS = st.sampled_from([-60, 60, 3_540, 3_660, 40_000, 136_000, 172_000, 300_000]).map(lambda s: NOW + timedelta(seconds=s))
MAYBE_INSTANT = st.one_of(st.none(), INSTANTS)
DURATIONS = st.integers(0, 400_000).map(float)
# Printable text, as annotations are UTF-8; commas part the keys of `placed`.
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters=","), max_size=20)

MARKS = st.builds(
    Marks,
    held_by=st.sampled_from([None, *HeldBy]),
    held_since_utc=MAYBE_INSTANT,
    hold_until_utc=MAYBE_INSTANT,
    reason=WORDS,
    text=WORDS,
    planned_start_utc=MAYBE_INSTANT,
    plan_id=WORDS,
    released_utc=MAYBE_INSTANT,
    pool_id=st.sampled_from([None, "north", "south", "gone"]),
    placed=st.sampled_from([(), ("heat.example/pool",), ("heat.example/pool", "old.example/zone")]),
    first_started_utc=MAYBE_INSTANT,
    stops=st.integers(0, 5),
    paused_s=DURATIONS,
    work_done_s=DURATIONS,
)
# Holds as we write them, with any end.
HOLDS = st.builds(
    Marks,
    held_by=st.sampled_from([HeldBy.OPERATOR, HeldBy.ADMISSION]),
    held_since_utc=st.just(NOW - timedelta(minutes=20)),
    hold_until_utc=st.one_of(st.none(), INSTANTS, st.just(NOW + timedelta(days=900))),
    stops=st.integers(0, 2),
)
NOISE = st.dictionaries(
    st.sampled_from(
        [
            f"heatdispatch.io/{name}"
            for name in ("deadline", "expected-duration", "start", "allow-owned", "held-by", "hold-until", "stops", "paused")
        ]
    ),
    st.one_of(
        WORDS,
        st.sampled_from(["planned", "true", "1h", "operator", "admission", "2026-01-15T00:00:00Z", "9999-12-31T23:59:59Z"]),
    ),
    max_size=3,
)


def rarely(draw: st.DrawFn, one_in: int = 8) -> bool:
    """True once in a while: most jobs are ordinary ones, or nothing interesting passes."""
    return draw(st.integers(1, one_in)) == 1


@st.composite
def jobs(draw: st.DrawFn) -> dict[str, Any]:
    """A batch Job in any state, with marks of ours, of its owner's, or both mixed up."""
    annotations = draw(NOISE) if rarely(draw, 4) else {}
    queued = rarely(draw, 3)
    if queued and draw(st.booleans()):
        annotations[GATED_BY] = draw(
            st.sampled_from(["heatdispatch.io/gate", "x.example/g", "x.example/g, heatdispatch.io/gate"])
        )
    conditions = draw(st.sampled_from([[], [], [suspended_condition()], [suspended_condition("False")]]))
    if rarely(draw):
        conditions = [*conditions, {"type": "Complete", "status": "True"}]
    odd_class = st.sampled_from([None, "insulated", "typo"])
    found = job(
        class_name=draw(odd_class if rarely(draw, 4) else st.sampled_from(["deferrable", "preemptible"])),
        gpus=draw(st.sampled_from([4, 8])) if not rarely(draw) else 0,
        pods=draw(st.integers(1, 3)),
        suspend=draw(st.booleans()),
        labels={"kueue.x-k8s.io/queue-name": "gpu"} if queued else {},
        marks=draw(st.one_of(MARKS, HOLDS)) if draw(st.booleans()) else None,
        created=NOW - timedelta(seconds=draw(st.sampled_from([60, 3_600, 40_000, 180_000]))),
        conditions=conditions,
        active=draw(st.integers(0, 1)),
        failed=1 if rarely(draw) else 0,
    )
    found["metadata"]["annotations"].update(annotations)
    if draw(st.booleans()):
        found["status"]["startTime"] = "2026-01-14T09:00:00Z"
    if rarely(draw):
        found["spec"]["template"]["spec"]["nodeSelector"] = {"heat.example/pool": draw(st.sampled_from(["north", "west"]))}
    return found


@st.composite
def workloads(draw: st.DrawFn) -> dict[str, Any]:
    """Its Kueue Workload in any state."""
    kinds = ["QuotaReserved", "Admitted", "Evicted", "PodsReady", "Finished"]
    return workload(
        active=draw(st.booleans()),
        conditions=tuple(draw(st.lists(st.sampled_from(kinds), unique=True, max_size=3))),
        marks=draw(st.one_of(st.none(), MARKS)),
        owner=draw(st.sampled_from(["Job", "Job", "JobSet", "StatefulSet"])),
        labels=draw(st.sampled_from([{}, {"heatdispatch.io/class": "preemptible"}])),
        checks=draw(st.sampled_from([(), ({"name": "heat", "state": "Pending", "message": ""},)])),
    )


STORIES = ("held", "held", "held", "paused", "waits", "runs", "ran before", "his", "he started it")


@st.composite
def stories(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    """A native Job as it usually is: held, paused, waiting for a node, running, running after a pause, or its owner's."""
    story = draw(st.sampled_from(STORIES))
    past = Marks(released_utc=NOW - timedelta(hours=9), stops=draw(st.integers(1, 2)), pool_id="north")
    held = replace(draw(HOLDS), stops=0)
    paused = replace(held, stops=1, held_by=HeldBy.OPERATOR)
    found = job(
        class_name=draw(st.sampled_from(["deferrable", "deferrable", "preemptible", "preemptible", "insulated"])),
        suspend=story in ("held", "paused", "his"),
        marks={"held": held, "paused": paused, "ran before": past, "he started it": held}.get(story),
        created=NOW - timedelta(hours=draw(st.sampled_from([0, 1, 10, 47]))),
        active=1 if story == "waits" else 0,
    )
    started = NOW - timedelta(seconds=draw(st.sampled_from([60, 7_199, 7_200, 30_000])))
    pods = {"waits": (pod(None),), "runs": (pod("n0", started=started),), "ran before": (pod("n0", started=started),)}
    return found, pods.get(story, ())


@st.composite
def views(draw: st.DrawFn) -> JobView:
    """A job as it is read: in order, or in any disorder."""
    if draw(st.integers(1, 5)) <= 3:
        ordered, ordered_pods = draw(stories())
        found = read(ordered, {}, ordered_pods, AROUND)
        assert found is not None
        return found
    given = draw(jobs())
    has_queue = "kueue.x-k8s.io/queue-name" in given["metadata"]["labels"]
    queued = draw(workloads()) if has_queue and draw(st.booleans()) else {}
    if queued and rarely(draw, 3):
        given = {}
    suspended = given and given["spec"]["suspend"]
    nodes = [] if suspended and not rarely(draw) else draw(st.lists(st.sampled_from(["n0", "s0", None]), max_size=2))
    pods = tuple(pod(name, uid=f"pod-{index}") for index, name in enumerate(nodes))
    return read(given, queued, pods, AROUND) or read_anyway()


def read_anyway() -> JobView:
    """A plain held job, where what was drawn asks for no GPU."""
    found = read(job(suspend=True, marks=Marks(held_by=HeldBy.ADMISSION)), {}, (), AROUND)
    assert found is not None
    return found


HOLDING: st.SearchStrategy[Action] = st.builds(
    HoldJob, job_id=st.just("j"), until_utc=ENDS, planned_start_utc=MAYBE_INSTANT, reason=WORDS, text=WORDS
)
STARTING: st.SearchStrategy[Action] = st.builds(
    StartJob, job_id=st.just("j"), pool_id=st.sampled_from(["north", "south", "gone"]), at_utc=st.just(NOW), cap_w=st.none()
)
STOPPING: st.SearchStrategy[Action] = st.builds(
    StopJob, job_id=st.just("j"), at_utc=st.just(NOW), resume_by_utc=ENDS, reason=WORDS
)
ACTIONS: st.SearchStrategy[Action] = st.one_of(HOLDING, STARTING, STOPPING)


@st.composite
def decisions(draw: st.DrawFn) -> tuple[JobView, JobView, Action]:
    """What was believed of a job when its write was made, what is true when it is sent, and what was decided."""
    true = draw(views())
    sensible = STOPPING if true.state.phase is JobPhase.RUNNING else st.one_of(HOLDING, STARTING)
    return (draw(views()) if rarely(draw, 3) else true), true, draw(ACTIONS if rarely(draw, 4) else sensible)


ROOMS = st.sampled_from([(), rooms(node("n0")), rooms(node("n0"), node("n1"), node("s0", "south"))])
MODES = st.sampled_from([*Mode, *[Mode.DISPATCH] * 3])


quick = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@quick
@given(decision=decisions(), seen=ROOMS, mode=MODES, endless=st.integers(1, 8).map(lambda number: number == 1))
def test_what_is_sent_about_a_job_is_safe(
    decision: tuple[JobView, JobView, Action], seen: Any, mode: Mode, endless: bool
) -> None:
    """The write was made of what was believed; the guard sees what is. Both carry the same uid and version here."""
    believed, view, action = decision
    fresh = Fresh(now_utc=NOW, settings=replace(ACTING, mode=mode), classes=CLASSES, rooms=seen)
    write = write_for(action, believed, ORDERS)
    if endless and isinstance(write, Write):
        told = {name: value for name, value in write.annotations.items() if name != "heatdispatch.io/hold-until"}
        write = replace(write, change={**write.change, "metadata": {"annotations": told}})
    if not isinstance(write, Write) or judge(write, view, fresh) is not None:
        return
    event(write.effect.value)
    assert not view.owner_took, "a job that is its owner's was touched"
    assert view.state.phase is not JobPhase.DONE
    assert mode is Mode.DISPATCH or write.lets_go, "another mode than Dispatch did more than let go"
    assert not view.insulated or write.lets_go, "an insulated job was touched"
    assert write.seen["metadata"]["uid"]
    assert write.seen["metadata"]["resourceVersion"]
    if write.effect is Effect.RELEASE:
        assert view.held, "a job was started that nobody of us held"
        return
    assert write.effect is Effect.HOLD
    job_class = CLASSES[view.state.job.class_name]
    until = read_instant(write.hold_until_text)
    assert until is not None, "a hold without an end"
    assert NOW < until <= latest_end_utc(view, job_class, NOW, ACTING)
    assert until <= view.state.job.submit_utc + timedelta(seconds=job_class.max_delay_s)
    if view.state.phase is JobPhase.RUNNING:
        assert job_class.flexibility is Flexibility.PREEMPTIBLE
        assert view.state.run_s >= job_class.min_runtime_s
        assert view.state.preemptions < job_class.max_preemptions


@quick
@given(view=views(), action=ACTIONS)
def test_suspend_is_kueues_on_a_queued_job(view: JobView, action: Action) -> None:
    write = write_for(action, view, ORDERS)
    if isinstance(write, Write) and (view.workload or "kueue.x-k8s.io/queue-name" in view.job["metadata"]["labels"]):
        assert "suspend" not in write.change.get("spec", {})


@quick
@given(view=views(), mode=MODES)
def test_whoever_asks_an_insulated_job_is_only_let_go(view: JobView, mode: Mode) -> None:
    """Beyond decisions: taking over, letting go, answers to Kueue."""
    fresh = Fresh(now_utc=NOW, settings=replace(ACTING, mode=mode), classes=CLASSES)
    asked = [
        taken(view),
        let_go(view, "test", NOW),
        ready(view, CHECK, POOLS[0], NOW),
        pending(view, CHECK, "test", NOW),
        retry(view, CHECK, "test", NOW),
    ]
    for write in asked:
        if write is None or judge(write, view, fresh) is not None:
            continue
        if view.insulated or mode is not Mode.DISPATCH:
            assert write.lets_go or (write.effect is Effect.MARK and mode is Mode.DISPATCH)
        if write.effect is Effect.RELEASE:
            assert view.held
            assert not view.owner_took


@quick
@given(view=views(), action=ACTIONS)
def test_an_insulated_or_owned_job_yields_no_write_at_all(view: JobView, action: Action) -> None:
    if view.insulated or view.owner_took:
        assert not isinstance(write_for(action, view, ORDERS), Write)


@quick
@given(marks=MARKS)
def test_marks_survive_being_written(marks: Marks) -> None:
    written = {name: value for name, value in to_annotations(marks).items() if value is not None}
    assert marks_of({"metadata": {"annotations": written}}) == marks


@quick
@given(annotations=st.dictionaries(st.sampled_from(sorted(to_annotations(Marks()))), WORDS, max_size=6))
def test_no_annotation_is_ever_an_error(annotations: dict[str, str]) -> None:
    given = job(annotations=annotations)
    found = read(given, {}, (), AROUND)
    assert found is not None
    assert set(marks_of(given).unreadable) <= set(annotations)


def patched(obj: dict[str, Any], change: Any) -> dict[str, Any]:
    """A JSON merge patch (RFC 7386)."""
    found = dict(obj)
    for key, value in change.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = patched(found.get(key) or {}, value) if isinstance(value, dict) else value
    return found


@quick
@given(
    given=st.one_of(jobs(), stories().map(lambda story: story[0])),
    queued=st.one_of(st.none(), st.none(), workloads()),
    everything=st.sampled_from([False, False, True]),
)
def test_every_hold_of_ours_ends_without_the_operator(
    given: dict[str, Any], queued: dict[str, Any] | None, everything: bool
) -> None:
    """The CronJob alone, run a few times after any time that a hold can last, leaves none of them."""
    later = NOW + timedelta(days=31 if not everything else 0)
    one, other = given, queued
    for _ in range(3):
        others = [other] if other is not None else []
        for write in stale_writes([one], others, later, checks=("heat",), everything=everything):
            assert write.lets_go
            if write.effect is Effect.RELEASE and write.uid == one["metadata"]["uid"]:
                one = patched(one, write.change)
            elif write.effect is Effect.RELEASE and other is not None:
                other = patched(other, write.change)
    ended = {each["type"] for obj in (one, other or {}) for each in obj.get("status", {}).get("conditions", ())}
    if ended & {"Complete", "Finished"}:
        return
    ours = ("operator", "admission")
    assert "heatdispatch.io/gate" not in one["metadata"]["annotations"].get(GATED_BY, "")
    queued_up = "kueue.x-k8s.io/queue-name" in one["metadata"]["labels"] or other is not None
    held_by = one["metadata"]["annotations"].get("heatdispatch.io/held-by")
    assert queued_up or not one["spec"]["suspend"] or held_by not in ours
    if other is not None:
        assert other["spec"]["active"] or other["metadata"]["annotations"].get("heatdispatch.io/held-by") not in ours
