"""Which job is looked at first."""

from __future__ import annotations

from typing import Any

from kube_world import job

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.operator.hands import Hands, JobKey
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.runtime.events import EventRecorder
from scheduler.adapters.kubernetes.runtime.queue import WorkQueue
from scheduler.adapters.metrics.registry import Metrics


def named(name: str, version: str = "1") -> dict[str, Any]:
    obj: dict[str, Any] = dict(job())
    return {**obj, "metadata": {**obj["metadata"], "name": name, "resourceVersion": version}}


def test_a_new_job_comes_before_a_thousand_others_that_have_moved() -> None:
    clock, stores = SystemClock(), Stores()
    queue: WorkQueue[JobKey] = WorkQueue(clock, lambda: 0.5)
    hands = Hands(stores, queue, lambda _desk: None, EventRecorder(lambda: None, clock), clock, Metrics())
    for number in range(1000):
        stores.jobs.put(stores.jobs.frozen(named(f"old-{number}")))
    while hands.work():
        pass
    hands.look_at_all()
    stores.jobs.put(stores.jobs.frozen(named("old-7", "2")))
    stores.jobs.put(stores.jobs.frozen(named("new")))
    first, second = queue.take(0.0), queue.take(0.0)
    assert first is not None
    assert second is not None
    assert (first[2], second[2]) == ("new", "old-0")
