"""A random week on a real API server: the operator dispatches, people do what people do, and the audit log is read afterwards.

The week is drawn by chance from a seed and lasts a minute. For a longer one, or another:

    make week WEEK_SECONDS=600 WEEK_SEED=7
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

import pytest
from admission import admit, free_lease
from audit_case import HELD_BY, MARK, Case, born, down, ended, held
from audit_history import JOBS, Change, at, noted, plus
from audit_laws import broken_laws
from operated import OPERATOR, operated
from random_week import GPUS, NODES, Made, Week

from scheduler.adapters.devcluster.audit import AuditEvent, events
from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.cluster import DevCluster, Options

SECONDS, SEED = "HEAT_DISPATCH_WEEK_SECONDS", "HEAT_DISPATCH_WEEK_SEED"
JOB_CONTROLLER = "system:serviceaccount:kube-system:job-controller"
# Until the Job controller has made the pods of a new Job, on a machine that has much to do.
STARTS_S = 20.0
INSULATED = (None, "week-never", "typo")


@pytest.fixture(scope="module")
def week(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Week]:
    """A week that was lived, with the operator still there and every hold still in force."""
    folder = tmp_path_factory.mktemp("week")
    seed, seconds = int(os.environ.get(SEED, "1")), float(os.environ.get(SECONDS, "60"))
    print(f"{SEED}={seed} {SECONDS}={seconds:g}")
    with DevCluster(toolbox, folder / "cluster", Options(users={OPERATOR: ()})) as cluster:
        cluster.add_nodes(NODES, GPUS, {"heatdispatch.io/plug": "loop"})
        with operated(cluster, folder / "operator") as world:
            lived = Week(world, seed)
            lived.prepare()
            admit(cluster)
            free_lease(cluster)
            world.replica()
            cluster.wait("a first plan", lambda: world.plan().get("planId"))
            lived.live(seconds)
            yield lived


@pytest.fixture(scope="module")
def case(week: Week) -> Case:
    """The evidence when the week was over."""
    read = tuple(events(week.world.cluster.audit_log))
    return Case(events=read, users=frozenset({OPERATOR}))


def untouched(week: Week) -> list[Made]:
    """Insulated Jobs on which nobody laid a hand."""
    return [made for made in week.jobs if made.class_name in INSULATED and not made.touched]


def about_pods(case: Case, made: Made, verb: str) -> list[AuditEvent]:
    """What was asked of a Job's pods."""
    name = re.compile(rf"{made.name}-([a-z0-9]{{5}})?")
    return [
        one
        for one in case.events
        if (one.resource, one.verb, one.namespace) == ("pods", verb, made.namespace)
        and one.accepted
        and name.fullmatch(one.name)
    ]


def told(week: Week, case: Case) -> str:
    """What the week was, and what the operator made of it, in a line for those who run many."""
    did: Counter[str] = Counter()
    for one in case.ours:
        if down(one.after) and not held(one.before):
            did["stopped" if noted(one.after).get(MARK + "stops") != noted(one.before).get(MARK + "stops") else "held"] += 1
        elif held(one.before) and not down(one.after):
            did["resumed" if noted(one.after).get(MARK + "paused") else "released"] += 1
        else:
            did["noted"] += 1
    admitted = sum(not one.before and held(one.after) for one in case.history.changes if one.kind == JOBS)
    return f"{sum(week.done.values())} deeds, {len(week.jobs)} jobs, {admitted} held at creation; operator: {dict(did)}"


def test_no_law_was_broken(week: Week, case: Case) -> None:
    print(told(week, case))
    assert broken_laws(week.world.cluster, {OPERATOR}) == []


def test_it_was_a_full_week(week: Week, case: Case) -> None:
    """Nothing is proved by a week in which nothing happened."""
    print(told(week, case))
    assert len(week.done) >= 18
    assert len(case.ours) >= 20
    assert len({one.uid for one in case.ours}) >= 10
    assert len(untouched(week)) >= 3


def test_insulated_jobs_ran_as_if_nobody_were_there(week: Week, case: Case) -> None:
    for made in untouched(week):
        life = case.history.life(made.uid)
        assert not [one for one in life if one.event.user == OPERATOR or down(one.after) or HELD_BY in noted(one.after)], made
        begun = [one for one in about_pods(case, made, "create") if one.user == JOB_CONTROLLER]
        # A Job that is seconds old may wait for its controller, one that is older may not.
        old = plus(born(life[0].after), STARTS_S) < case.until_utc
        assert begun or not old, made
        for pod in begun:
            assert pod.at_utc <= plus(born(life[0].after), STARTS_S), made
            assert not at(pod.body, "spec", "nodeSelector"), made
            assert not at(pod.body, "spec", "schedulingGates"), made
        gone = [one for one in about_pods(case, made, "delete") if not over_by(life, one)]
        assert gone == [], made


def over_by(life: Sequence[Change], event: AuditEvent) -> bool:
    """Whether a Job was over when something was asked."""
    return any(ended(one.after) for one in life if one.at_utc <= event.at_utc)


def test_insulated_pods_that_wait_wait_for_the_scheduler_alone(week: Week) -> None:
    """Each has its node, or the scheduler says that none has room."""
    names = {made.name for made in untouched(week)}
    for namespace in {made.namespace for made in untouched(week)}:
        for pod in week.admin.items(f"/api/v1/namespaces/{namespace}/pods"):
            path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}"
            if pod["metadata"].get("labels", {}).get("batch.kubernetes.io/job-name") in names:
                assert week.world.cluster.wait("a node, or why not", partial(placed_or_told, week, path))


def placed_or_told(week: Week, path: str) -> bool:
    """Whether a pod has its node, or is gone by now, or the scheduler has said why it has none."""
    answer = week.admin.answer("GET", path)
    pod = answer.json() if answer.is_success else {}
    said = [one.get("reason") for one in at(pod, "status", "conditions") or () if one["type"] == "PodScheduled"]
    return not pod or bool(at(pod, "spec", "nodeName")) or said == ["Unschedulable"]


def test_after_dispatch_nothing_is_held(week: Week) -> None:
    """All that is held when the policy ceases to dispatch is let go, and no law is broken on the way."""
    week.settle()
    if not any(one.process.poll() is None for one in week.world.replicas):
        week.world.replica()
    week.world.policy(mode="Observe")

    def none_held() -> bool:
        """Of Jobs that their owners have taken over the mark may be left."""
        there = [one for one in week.admin.items("/apis/batch/v1/jobs") if held(one) and not ended(one)]
        now = Case(events=tuple(events(week.world.cluster.audit_log)), users=frozenset({OPERATOR}))
        return all(now.took_over(str(at(one, "metadata", "uid"))) for one in there)

    week.world.cluster.wait("every hold to end", none_held, 60.0, every_s=1.0)
    assert broken_laws(week.world.cluster, {OPERATOR}) == []
