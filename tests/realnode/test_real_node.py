"""Real processes on a real node under the operator: one is stopped and resumed, one starts as planned, one never notices.

Power is cheap, dear and cheap again: each time the Site is changed, and the plan with it. All tests ask about that one story.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from audit_laws import broken_laws
from kube_objects import HEAT, pods_of, running_pods
from operated import LAB, OPERATOR, Operated, bands, heat_path, operated, priced, until_utc
from real_jobs import CLOCK, GRACE_S, TRAINING, RealJob

from scheduler.adapters.devcluster.audit import AuditEvent
from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import Object, condition
from scheduler.adapters.devcluster.cluster import REAL_NODE, DevCluster, Options
from scheduler.adapters.devcluster.realnode.node import NAME, RealNode

PLAN_S = 90.0
# The clock is looked at five times a second; a busy machine misses some, a stopped process all.
GAP_S = 5
# The second index has work to do until it is told how much is enough.
UNITS = (3, 1_000_000)
MORE = 20
PREEMPTIBLE = {
    "apiVersion": "heatdispatch.io/v1alpha1",
    "kind": "WorkloadClass",
    "metadata": {"name": "preemptible"},
    "spec": {
        "flexibility": "preemptible",
        "maxDelay": "24h",
        "maxPreemptions": 5,
        "checkpoint": {"costSeconds": 5},
        "waitingEurPerGpuHour": 0.002,
        "latenessEurPerGpuHour": 1.0,
        "valueEurPerGpuHour": 0.05,
    },
}


class Story(NamedTuple):
    """What has happened, told to all tests of this file."""

    world: Operated
    training: RealJob
    waiting: RealJob
    clock: RealJob
    stopped_pod: str
    done: int
    held: Mapping[str, str]


@pytest.fixture(scope="module")
def story(node_toolbox: Toolbox, untouched: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Everything, from the first plan to the last Job's end."""
    folder = tmp_path_factory.mktemp("real")
    with (
        DevCluster(node_toolbox, folder / "cluster", Options(users={OPERATOR: ()})) as cluster,
        RealNode(cluster, gpus=4, labels={"heatdispatch.io/plug": "loop"}),
        operated(cluster, folder / "operator") as world,
    ):
        cluster.admin.apply(heat_path(PREEMPTIBLE), PREEMPTIBLE)
        world.replica()
        cluster.wait("a first plan", lambda: world.plan().get("planId"), PLAN_S)
        yield told(world, folder)


def told(world: Operated, folder: Path) -> Story:
    """Cheap, dear and cheap power, and three Jobs that live through it or some of it."""
    cluster = world.cluster
    training = RealJob(name="training", class_name="preemptible", script=TRAINING, folder=folder / "training", units=UNITS)
    waiting = RealJob(name="waiting", class_name="deferrable", script=TRAINING, folder=folder / "waiting", units=(3,))
    clock = RealJob(name="clock", class_name=None, script=CLOCK, folder=folder / "clock")

    cluster.admin.create(world.jobs, clock.made())
    price(world, dear=False)
    cluster.admin.create(world.jobs, training.made())
    cluster.wait("one index done, one at work", lambda: at_work(world, training), PLAN_S)
    (pod,) = running_pods(cluster, LAB, "training")

    price(world, dear=True)
    cluster.admin.create(world.jobs, waiting.made())
    cluster.wait("a hold", lambda: world.held("waiting"), PLAN_S)
    held = world.marks("waiting")
    cluster.wait("no process of it", lambda: not processes(world, "training"), PLAN_S)
    done = training.told(1)[-1]
    training.want(1, done + MORE)
    assert processes(world, "waiting") == []

    price(world, dear=False)
    for name in ("waiting", "training"):
        cluster.wait(f"{name} complete", partial(complete, world, name), PLAN_S)
    clock.enough()
    cluster.wait("clock complete", partial(complete, world, "clock"))
    return Story(world, training, waiting, clock, pod["metadata"]["name"], done, held)


def price(world: Operated, *, dear: bool) -> None:
    """Change what power costs, and wait for a plan that knows: dear for two hours and cheap afterwards, or cheap all day."""
    before = world.plan()["planId"]
    world.cluster.admin.patch(f"{HEAT}/sites/quickstart", {"spec": {"electricity": {"bands": bands(dear=dear)}}})
    world.cluster.wait("a plan for it", lambda: priced(world.plan(), before, dear=dear), PLAN_S)


def processes(world: Operated, name: str) -> list[Object]:
    """Pods of a Job but those that are done."""
    return [pod for pod in pods_of(world.cluster, LAB, name) if pod["status"]["phase"] != "Succeeded"]


def at_work(world: Operated, training: RealJob) -> bool:
    """The first index is done, and the second one has begun."""
    return world.job("training")["status"].get("completedIndexes") == "0" and len(training.told(1)) > UNITS[0]


def complete(world: Operated, name: str) -> bool:
    """Whether a Job is over, and well."""
    return condition(world.job(name), "Complete") == "True"


def turns(story: Story, name: str) -> list[tuple[bool, AuditEvent]]:
    """Writes of the operator that changed `suspend` of a Job, with what it became."""
    patches = [one for one in story.world.written() if (one.resource, one.name) == ("jobs", name)]
    said = [(one.body["spec"]["suspend"], one) for one in patches if "suspend" in one.body.get("spec", {})]
    # The first of them repeat what the Job was created with.
    return [(now, one) for (before, _), (now, one) in pairwise([(True, patches[0]), *said]) if now is not before]


def came_utc(event: AuditEvent) -> datetime:
    """When a request came. Others may see what it did before its answer is out."""
    assert event.received_utc is not None
    return event.received_utc


def exit_code(event: AuditEvent) -> int | None:
    """How a container ended, if that is what the kubelet wrote."""
    statuses = event.body.get("status", {}).get("containerStatuses", [])
    ends = [one["state"]["terminated"]["exitCode"] for one in statuses if "terminated" in one.get("state", {})]
    return ends[0] if ends else None


def test_a_stopped_process_is_told_saves_and_is_gone_within_its_grace_period(story: Story) -> None:
    began, stopped, resumed = turns(story, "training")
    assert [now for now, _ in (began, stopped, resumed)] == [False, True, False]
    stop_utc = came_utc(stopped[1])
    by_node = [one for one in story.world.cluster.writes_since() if (one.user, one.name) == (REAL_NODE, story.stopped_pod)]
    gone = next(one for one in by_node if one.verb == "delete")
    assert 0.0 < (gone.at_utc - stop_utc).total_seconds() < GRACE_S
    # 143: it ended itself when it was told to; 137 would be SIGKILL.
    assert {code for one in by_node if (code := exit_code(one)) is not None} == {143}
    what, at_utc = story.training.life(1)[1]
    assert what == f"saved {story.done}"
    # Its clock shows whole seconds.
    assert stop_utc - timedelta(seconds=1) < at_utc < gone.at_utc


def test_it_resumes_where_it_was_and_every_unit_is_done_once(story: Story) -> None:
    done, resumed_utc = story.done, came_utc(turns(story, "training")[2][1])
    assert [what for what, _ in story.training.life(1)] == [
        "began after 0",
        f"saved {done}",
        f"began after {done}",
        f"finished after {done + MORE}",
    ]
    assert story.training.life(1)[2][1] > resumed_utc - timedelta(seconds=1)
    assert story.training.told(1) == list(range(1, done + MORE + 1))


def test_an_index_that_was_done_before_the_stop_stays_done(story: Story) -> None:
    assert [what for what, _ in story.training.life(0)] == ["began after 0", "finished after 3"]
    assert story.world.job("training")["status"]["completedIndexes"] == "0,1"


def test_a_deferrable_job_starts_when_the_plan_says_and_not_before(story: Story) -> None:
    """Held until power is cheaper, one or two hours ahead; a plan that knows better starts it. Nothing of it ran until then."""
    ((now, released),) = turns(story, "waiting")
    assert now is False
    held_utc = until_utc(story.held["held-since"])
    assert story.held["hold-text"].startswith("Held until ")
    assert until_utc(story.held["planned-start"]) - held_utc > timedelta(minutes=30)
    pods = [one for one in story.world.cluster.writes_since() if one.resource == "pods" and one.name.startswith("waiting-")]
    assert min(came_utc(one) for one in pods) > came_utc(released)
    assert [what for what, _ in story.waiting.life()] == ["began after 0", "finished after 3"]
    assert story.waiting.life()[0][1] > came_utc(released) - timedelta(seconds=1)


def test_an_insulated_job_never_notices(story: Story) -> None:
    """Its own clock has no gap, its one container was started once, and nobody but its controller wrote to it."""
    assert [what for what, _ in story.clock.life()] == ["began", "finished"]
    ticks = story.clock.told()
    assert ticks[0] <= story.training.life(1)[0][1].timestamp()
    assert ticks[-1] >= story.training.life(1)[-1][1].timestamp()
    assert max(after - before for before, after in pairwise(ticks)) <= GAP_S
    (pod,) = pods_of(story.world.cluster, LAB, "clock")
    assert [one["restartCount"] for one in pod["status"]["containerStatuses"]] == [0]
    assert pod["spec"]["nodeName"] == NAME
    assert [one.what for one in story.world.written() if one.name == "clock" or one.resource == "pods"] == []


def test_no_law_was_broken_in_all_of_this(story: Story) -> None:
    # The log tells that nodes have sent heartbeats, and not what is in them.
    assert [law for law in broken_laws(story.world.cluster, {OPERATOR}) if "kube-node-lease/" not in law] == []
