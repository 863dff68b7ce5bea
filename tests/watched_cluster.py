"""A small cluster whose stores show the lives of a few jobs at any minute: what tests of the watcher look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kube_world import NOW, Json, job, node, pod

from scheduler.adapters.kubernetes.marks import write_instant
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.runtime.store import Store


def at(minute: float) -> datetime:
    return NOW + timedelta(minutes=minute)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One job's life in minutes after ten o'clock; deleted half an hour after its end."""

    name: str
    class_name: str | None
    node: str
    created: float
    started: float
    ended: float = 1e4
    capped: tuple[float, float] = (1e4, 1e4)


LIVES = (
    Told(name="web", class_name=None, node="s0", created=-60, started=-60),
    Told(name="train-1", class_name="deferrable", node="n0", created=20, started=20, ended=110),
    Told(name="tune-1", class_name="preemptible", node="n1", created=35, started=40, capped=(120, 180)),
    # Comes, works for 40 s and ends between two looks.
    Told(name="quick-1", class_name="deferrable", node="n0", created=111 + 1 / 6, started=111 + 1 / 6, ended=111 + 5 / 6),
)


@dataclass(slots=True)
class Cluster:
    """Stores that show the lives at an instant, and the clock that tells it."""

    stores: Stores = field(default_factory=Stores)
    minute: float = 0.0

    def now_utc(self) -> datetime:
        return at(self.minute)

    def show(self, minute: float) -> None:
        """Fill the stores as the API server would."""
        self.minute = minute
        there = [life for life in LIVES if life.created <= minute < life.ended + 30]
        stores = self.stores
        put(stores.nodes, [node("n0"), node("n1"), node("s0", "south")])
        put(stores.namespaces, [{"metadata": {"name": "lab", "labels": {"heatdispatch.io/dispatch": "enabled"}}}])
        put(stores.jobs, [job_of(life, minute) for life in there])
        running = [life for life in there if life.started <= minute < life.ended]
        put(stores.pods, [pod_of(life) for life in running])
        put(stores.powers, [power_of(life) for life in running if life.capped[0] <= minute < life.capped[1]])


def put(store: Store, objects: list[Json]) -> None:
    store.replace([store.frozen(one) for one in objects])


def job_of(life: Told, minute: float) -> Json:
    status: Json = {}
    if life.started <= minute:
        status = {"startTime": write_instant(at(life.started)), "active": 1, "ready": 1}
    if life.ended <= minute:
        ended = write_instant(at(life.ended))
        done = {"type": "Complete", "status": "True", "lastTransitionTime": ended}
        status = {"startTime": status["startTime"], "completionTime": ended, "succeeded": 1, "conditions": [done]}
    found = job(life.name, class_name=life.class_name, created=at(life.created), **status)
    found["metadata"] |= {"uid": f"uid-{life.name}", "resourceVersion": f"{life.name}-{minute}"}
    return found


def pod_of(life: Told) -> Json:
    found = pod(life.node, uid=f"pod-{life.name}", started=at(life.started))
    found["metadata"]["ownerReferences"] = [{"kind": "Job", "name": life.name, "uid": f"uid-{life.name}", "controller": True}]
    return found


def power_of(life: Told) -> Json:
    """What an agent says of a node on which a job is capped at 400 W."""
    gpu = {"uuid": "GPU-1", "podUid": f"pod-{life.name}", "enforcedWatts": 400.0, "originalWatts": 700.0}
    return {"metadata": {"name": life.node, "uid": f"power-{life.node}"}, "status": {"gpus": [gpu]}}
