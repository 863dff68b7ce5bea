"""Jobs that wait are not read again while nothing about them has changed; what is told of them is the same as if they were."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from kube_world import NOW, POOLS, Json, job, node, pod
from small_world import ACTING, small_site

from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.operator.view import Governance, Reader
from scheduler.adapters.kubernetes.runtime.store import Store
from scheduler.domain.job import JobPhase

DISPATCHED = {"heatdispatch.io/dispatch": "enabled"}
LATER = NOW + timedelta(hours=1)


def put(store: Store, obj: Json, **metadata: Any) -> None:
    store.put(store.frozen({**obj, "metadata": {**obj["metadata"], **metadata}}))


def world() -> tuple[Stores, Reader]:
    """A waiting, a running and a paused job, read by one policy."""
    stores = Stores()
    put(stores.nodes, node("n0"))
    put(stores.namespaces, {"metadata": {"name": "lab", "uid": "lab"}})
    put(stores.jobs, job("waits", suspend=True, annotations={"heatdispatch.io/held-by": "admission"}), uid="w")
    put(stores.jobs, job("runs", ready=1, startTime="2026-01-14T09:00:00Z"), uid="r")
    own = {"kind": "Job", "name": "runs", "uid": "r", "controller": True}
    put(stores.pods, pod("n0"), ownerReferences=[own])
    paused = {"heatdispatch.io/held-by": "operator", "heatdispatch.io/held-since": "2026-01-14T09:30:00Z"}
    put(stores.jobs, job("paused", suspend=True, annotations={**paused, "heatdispatch.io/stops": "1"}), uid="p")
    put(stores.jobs, job("small", gpus=0), uid="s")
    rules = Governance(policy="p", site=small_site(), settings=ACTING, pools=POOLS)
    return stores, Reader(stores, rules)


def by_name(reader: Reader, at: Any = NOW) -> dict[str, JobView]:
    return {view.job["metadata"]["name"]: view for view in reader.seen(at).views.values()}


def test_a_job_that_waits_is_read_once_and_one_that_runs_each_time() -> None:
    _, reader = world()
    first, later = by_name(reader), by_name(reader, LATER)
    assert first.keys() == later.keys() == {"waits", "runs", "paused"}
    assert later["waits"] is first["waits"]
    # An hour later it has run, and paused, an hour longer.
    assert later["runs"].state.run_s == first["runs"].state.run_s + 3600.0
    assert later["paused"].state.paused_s == first["paused"].state.paused_s + 3600.0


def test_whatever_changes_is_read_again() -> None:
    stores, reader = world()
    first = by_name(reader)
    put(stores.jobs, job("waits", gpus=2, suspend=True), uid="w", resourceVersion="78")
    changed = by_name(reader)["waits"]
    assert (first["waits"].state.job.gpus, changed.state.job.gpus) == (8, 2)
    own = {"kind": "Job", "name": "waits", "uid": "w", "controller": True}
    put(stores.pods, pod("n0", uid="pod-2"), ownerReferences=[own])
    assert len(by_name(reader)["waits"].pods) == 1


def test_other_surroundings_are_other_views() -> None:
    stores, reader = world()
    first = by_name(reader)
    assert not first["waits"].opted_in
    put(stores.namespaces, {"metadata": {"name": "lab", "uid": "lab", "labels": DISPATCHED}}, resourceVersion="2")
    assert by_name(reader)["waits"].opted_in


def test_a_job_that_is_gone_is_forgotten_and_one_without_gpus_is_none() -> None:
    stores, reader = world()
    assert "small" not in by_name(reader)
    gone = stores.jobs.get("waits", "lab")
    assert gone is not None
    stores.jobs.remove(gone)
    assert "waits" not in by_name(reader)


def test_what_is_kept_says_what_a_fresh_look_would() -> None:
    _, reader = world()
    by_name(reader)
    kept = by_name(reader, LATER)["waits"]
    assert kept.state.phase is JobPhase.QUEUED
    fresh = reader.one("lab", "waits", reader.around(LATER))
    assert fresh == kept
