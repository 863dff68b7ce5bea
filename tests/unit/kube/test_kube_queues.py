"""Which pools a queue reaches, and how a Workload is sent to one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kube_world import AROUND, NOW, POOLS, job, view, workload
from small_world import ACTING

from scheduler.adapters.kubernetes.actions import Orders, write_for
from scheduler.adapters.kubernetes.guard import Drop, Fresh, judge
from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.marks import GATED_BY, HeldBy, Marks
from scheduler.adapters.kubernetes.objects import at, text, texts
from scheduler.adapters.kubernetes.queues import goes_to, reach_of, steered
from scheduler.adapters.kubernetes.runtime.kinds import WORKLOADS
from scheduler.adapters.kubernetes.writes import Effect, Write
from scheduler.domain.action import StartJob
from scheduler.domain.settings import Mode, Settings

KEY = "heat.example/pool"
NORTH, SOUTH = POOLS
ORDERS = Orders(now_utc=NOW, plan_id="7f3a", pools={pool.pool_id: pool for pool in POOLS})
FRESH = Fresh(now_utc=NOW, settings=ACTING, classes={})
QUEUED = {"kueue.x-k8s.io/queue-name": "gpu"}
GATED = {GATED_BY: "heatdispatch.io/gate", "heatdispatch.io/held-by": "admission"}
HELD = Marks(held_by=HeldBy.OPERATOR)
BOTH = replace(AROUND, reach={"lab/gpu": ("north", "south")})
Json = dict[str, Any]


def flavor(name: str, labels: dict[str, str], **spec: str) -> Json:
    return {"metadata": {"name": name}, "spec": {"nodeLabels": labels, **spec}}


def cluster_queue(*flavors: str, resource: str = "nvidia.com/gpu") -> Json:
    group = {"coveredResources": ["cpu", resource], "flavors": [{"name": name} for name in flavors]}
    return {"metadata": {"name": "all"}, "spec": {"resourceGroups": [group]}}


LOCAL: Json = {"metadata": {"name": "gpu", "namespace": "lab"}, "spec": {"clusterQueue": "all"}}
FLAVORS = [flavor("n", {KEY: "north"}), flavor("any", {"rack": "a"}), flavor("far", {KEY: "moon"})]


@pytest.mark.parametrize(
    ("names", "reached"),
    [(["n"], ("north",)), (["n", "any"], ("north", "south")), (["far"], ()), (["n", "far"], ("north",))],
)
def test_a_queue_reaches_the_pools_that_its_flavors_do_not_contradict(names: list[str], reached: tuple[str, ...]) -> None:
    assert reach_of([LOCAL], [cluster_queue(*names)], FLAVORS, POOLS) == {"lab/gpu": reached}


def test_what_is_not_known_or_has_a_topology_reaches_nothing_that_we_name() -> None:
    assert reach_of([LOCAL], [], FLAVORS, POOLS) == {}
    assert reach_of([LOCAL], [cluster_queue("n", "gone")], FLAVORS, POOLS) == {}
    assert reach_of([LOCAL], [cluster_queue("n", resource="example.com/fpga")], FLAVORS, POOLS) == {}
    assert reach_of([LOCAL], [cluster_queue("t")], [flavor("t", {}, topologyName="racks")], POOLS) == {}


def test_a_workload_is_told_where_to_and_keeps_all_else() -> None:
    given = workload()
    given["spec"]["podSets"][0]["template"]["spec"]["nodeSelector"] = {"disk": "fast", KEY: "south"}
    assert steered(given, None, NORTH) == f"its node selector {KEY}=south contradicts pool north"
    found = steered(given, {"disk": "fast"}, NORTH)  # an earlier wish of ours is not its own
    assert isinstance(found, list)
    (one,) = found
    assert texts(one, "template", "spec", "nodeSelector") == {"disk": "fast", KEY: "north"}
    assert one["template"]["spec"]["containers"] == given["spec"]["podSets"][0]["template"]["spec"]["containers"]
    assert (goes_to(given, SOUTH), goes_to(given, NORTH)) == (True, False)


def test_pods_without_gpus_are_left_where_they_are() -> None:
    """A launcher may not tolerate what GPU nodes are tainted with."""
    given = workload()
    launcher = {"name": "launcher", "count": 1, "template": {"spec": {"containers": [{"name": "main"}]}}}
    given["spec"]["podSets"].append(launcher)
    found = steered(given, None, NORTH)
    assert isinstance(found, list)
    assert found[1] == launcher
    assert goes_to({**given, "spec": {"podSets": found}}, NORTH)


def test_a_job_may_run_where_its_queue_reaches() -> None:
    def seen(*reached: str) -> JobView:
        return view(job(labels=QUEUED, suspend=True), workload=workload(), around=replace(AROUND, reach={"lab/gpu": reached}))

    assert seen("north", "south").state.job.pool_id is None
    assert seen("south").state.job.pool_id == "south"
    (problem,) = seen().problems
    assert (seen().insulated, problem.reason) == (True, "NoPool")


def started(seen: JobView, pool_id: str = "north") -> Write:
    """The write of a start."""
    found = write_for(StartJob(job_id=seen.job_id, pool_id=pool_id, at_utc=NOW, cap_w=None, reason=""), seen, ORDERS)
    assert isinstance(found, Write)
    return found


def test_a_gated_jobs_workload_is_told_first_and_then_the_gate_goes() -> None:
    given = job(labels=QUEUED, annotations=GATED, suspend=True)
    seen = view(given, workload=workload(), around=BOTH)
    first = started(seen)
    assert (first.kind, first.effect, first.places, first.lets_go) == (WORKLOADS, Effect.PLACE, True, False)
    assert judge(first, seen, FRESH) is None
    told = {**workload(), "spec": {**workload()["spec"], **at(first.change, "spec")}}
    then = started(view(given, workload=told, around=BOTH))
    assert (then.effect, then.annotations[GATED_BY]) == (Effect.RELEASE, None)
    assert at(then.change, "spec", "template", "spec", "nodeSelector") == {KEY: "north"}


def test_a_gated_job_that_kueue_has_not_taken_up_waits_for_that() -> None:
    """Its Workload might be made of the Job as it was, and would then contradict it."""
    seen = view(job(labels=QUEUED, annotations=GATED, suspend=True), around=BOTH)
    start = StartJob(job_id=seen.job_id, pool_id="north", at_utc=NOW, cap_w=None, reason="")
    assert write_for(start, seen, ORDERS) == "Kueue has not taken it up yet"


def test_where_the_reach_is_not_known_nothing_is_placed() -> None:
    seen = view(job(labels=QUEUED, annotations=GATED, suspend=True), workload=workload())
    assert (started(seen).effect, started(seen).places, started(seen).text) == (Effect.RELEASE, False, "Released (plan 7f3a)")


def test_a_workload_is_switched_on_and_told_where_to_in_one_write() -> None:
    queued = job(labels=QUEUED, suspend=True)
    seen = view(queued, workload=workload(active=False, marks=HELD), around=BOTH)
    write = started(seen, "south")
    assert (write.effect, at(write.change, "spec", "active")) == (Effect.RELEASE, True)
    (one,) = at(write.change, "spec", "podSets")
    assert text(one, "template", "spec", "nodeSelector", KEY) == "south"
    assert judge(write, seen, replace(FRESH, settings=Settings(mode=Mode.ADVISE))) is Drop.NOT_DISPATCH
    busy = view(queued, workload=workload(active=False, marks=HELD, conditions=("QuotaReserved",)), around=BOTH)
    start = StartJob(job_id=seen.job_id, pool_id="south", at_utc=NOW, cap_w=None, reason="")
    assert write_for(start, busy, ORDERS) == "Kueue has not taken its quota back yet"


def test_the_guard_lets_nobody_be_steered_who_is_not_held_by_us() -> None:
    given = job(labels=QUEUED, annotations=GATED, suspend=True)
    write = started(view(given, workload=workload(), around=BOTH))
    insulated = job(labels=QUEUED, annotations=GATED, suspend=True, class_name=None)
    assert judge(write, view(insulated, workload=workload(), around=BOTH), FRESH) is Drop.INSULATED
    free = job(labels=QUEUED, suspend=True)
    assert judge(write, view(free, workload=workload(), around=BOTH), FRESH) is Drop.NOT_HELD
    late = workload(conditions=("QuotaReserved",))
    assert judge(write, view(given, workload=late, around=BOTH), FRESH) is Drop.CONFLICT
    advising = replace(FRESH, settings=Settings(mode=Mode.ADVISE))
    assert judge(write, view(given, workload=workload(), around=BOTH), advising) is Drop.NOT_DISPATCH
