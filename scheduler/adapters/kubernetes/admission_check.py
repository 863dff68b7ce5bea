"""Answers to Kueue's AdmissionCheck, as it wants them: server-side apply of our entry alone, at the version that was seen.

A check that nobody answers keeps its workload waiting for ever. So every workload that has quota is answered: Ready at once,
with the place if it is ours to give. Pending keeps the quota and is for moments only; longer holds use the gate or `active`,
and the entry's message says why and until when.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.marks import Problem, write_instant
from scheduler.adapters.kubernetes.objects import Obj, name_of, namespace_of, parts, text, texts, uid_of, version_of
from scheduler.adapters.kubernetes.pools import PoolSelector
from scheduler.adapters.kubernetes.queues import uses_gpus
from scheduler.adapters.kubernetes.runtime.kinds import WORKLOADS
from scheduler.adapters.kubernetes.workloads import (
    PENDING,
    READY,
    RETRY,
    check_state,
    finished,
    reserved,
    uses_topology,
    waits_for,
)
from scheduler.adapters.kubernetes.writes import Verb, Write

CONTROLLER = "heatdispatch.io/admission"
MAX_MESSAGE = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One AdmissionCheck of ours, and the labels that an admitted flavor brings along."""

    name: str
    flavor_labels: Mapping[str, str] = field(default_factory=dict)


def our_checks(admission_checks: Iterable[Obj]) -> tuple[str, ...]:
    """Names of the AdmissionChecks that are ours to answer."""
    return tuple(name_of(each) for each in admission_checks if text(each, "spec", "controllerName") == CONTROLLER)


def ready(view: JobView, check: Check, pool: PoolSelector | None, now_utc: datetime) -> Write | None:
    """Let an admitted-to-be workload start, on a pool where that is ours to say; None when Kueue does not wait for us."""
    if not waits_for(view.workload, check.name):
        return None
    placed = None if pool is None or view.insulated or view.owner_took else _place(view.workload, check, pool)
    updates = placed if isinstance(placed, list) else []
    where = f" on {pool.pool_id}" if pool is not None and updates else ""
    problem = f": {placed.text}" if isinstance(placed, Problem) else ""
    entry: dict[str, Any] = {"state": READY, "message": f"may start{where}{problem}"}
    if updates:
        entry["podSetUpdates"] = updates
    return _answer(view, check, entry, "Released", now_utc)


def answer(view: JobView, admission_checks: Iterable[Obj], now_utc: datetime) -> Write | None:
    """Ready without any wish, to the first of our checks that Kueue waits for; None when it waits for none."""
    found = (ready(view, Check(name=name), None, now_utc) for name in our_checks(admission_checks))
    return next((one for one in found if one is not None), None)


def pending(view: JobView, check: Check, because: str, now_utc: datetime) -> Write | None:
    """Say in an entry that is Pending anyway what our answer waits for; None when it has been said, or is none to be given."""
    given = check_state(view.workload, check.name)
    answered = text(given, "state") != PENDING or finished(view.workload)
    if answered or text(given, "message") == because[:MAX_MESSAGE]:
        return None
    return _answer(view, check, {"state": PENDING, "message": because[:MAX_MESSAGE]}, "Held", now_utc)


def retry(view: JobView, check: Check, because: str, now_utc: datetime) -> Write | None:
    """Give quota back and queue again at once; None without quota.

    The delay is always written, as zero: Kueue keeps the last delay it was told, and with one it neither stops nor requeues
    the workload until it has passed.
    """
    if not reserved(view.workload):
        return None
    entry = {"state": RETRY, "message": because[:MAX_MESSAGE], "requeueAfterSeconds": 0}
    return _answer(view, check, entry, "Stopped", now_utc)


def _place(workload: Obj, check: Check, pool: PoolSelector) -> list[dict[str, Any]] | Problem:
    """Pod set updates that add the pool's labels: additive only, as a key that is there with another value fails for good."""
    if uses_topology(workload):
        return Problem(reason="Topology", text="Kueue places it by topology")
    updates = []
    for pod_set in (each for each in parts(workload, "spec", "podSets") if uses_gpus(each)):
        given = {**texts(pod_set, "template", "spec", "nodeSelector"), **check.flavor_labels}
        if any(given.get(key, value) != value for key, value in pool.node_labels.items()):
            return Problem(reason="PoolConflict", text=f"its own node labels contradict pool {pool.pool_id}")
        # Also what the pod set asks for already: Kueue starts a job with what flavor and checks give, not with its pod sets.
        selector = {key: value for key, value in pool.node_labels.items() if key not in check.flavor_labels}
        if selector:
            updates.append({"name": text(pod_set, "name"), "nodeSelector": selector})
    return updates


def _answer(view: JobView, check: Check, entry: dict[str, Any], reason: str, now_utc: datetime) -> Write:
    """Our entry of the list, the object's version beside it: an answer to an older question is a conflict."""
    workload = view.workload
    before = check_state(workload, check.name)
    same = text(before, "state") == entry["state"]
    since = text(before, "lastTransitionTime") if same else ""
    state = {"name": check.name, "lastTransitionTime": since or write_instant(now_utc), **entry}
    return Write(
        verb=Verb.APPLY,
        kind=WORKLOADS,
        namespace=namespace_of(workload),
        name=name_of(workload),
        uid=uid_of(workload),
        version=version_of(workload),
        change={"status": {"admissionChecks": [state]}},
        subresource="status",
        job_id=view.job_id,
        reason=reason,
        text=str(entry["message"]),
    )
