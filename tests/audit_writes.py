"""Laws of single writes: what may be written at all, to whose job, in which mode, by whom, and only once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial

from audit_case import HELD_BY, PLAN, Case, down, frees, held, is_workload, queued, withdraws
from audit_history import HEAT, JOBS, KUEUE, LEADS, LEASES, POWERS, WAITS, Change, at, named, noted, replica_of

from scheduler.adapters.devcluster.audit import AuditEvent

# A write and a renewal that crossed it: the log's times are the server's, not the wire's.
CROSSED_S = 1.0
LONGEST_CAP_S = 600
ALLOWED: Mapping[tuple[str, str, str], frozenset[str]] = {
    ("batch", "jobs", ""): frozenset({"patch"}),
    (KUEUE, "workloads", ""): frozenset({"patch"}),
    (KUEUE, "workloads", "status"): frozenset({"patch"}),
    (KUEUE, "admissionchecks", "status"): frozenset({"patch"}),
    ("", "events", ""): frozenset({"create", "patch"}),
    ("coordination.k8s.io", "leases", ""): frozenset({"create", "update", "patch"}),
    (HEAT, "dispatchplans", ""): frozenset({"create", "patch"}),
    (HEAT, "nodepowers", ""): frozenset({"create", "patch", "delete"}),
}
OF_OTHERS = (JOBS, (KUEUE, "workloads"), (KUEUE, "admissionchecks"))
LEVERS: Mapping[tuple[str, str], frozenset[str]] = {
    JOBS: frozenset({"suspend", "template", "podReplacementPolicy"}),
    (KUEUE, "workloads"): frozenset({"active", "podSets"}),
}


def told(event: AuditEvent) -> str:
    """A request in words."""
    return f"{event.at_utc:%H:%M:%S.%f} {event.what}"


def outside(case: Case) -> Iterator[str]:
    """Nothing is written outside our own kinds, Events, the Lease, and the lever and marks of Jobs and Workloads."""
    for one in case.tried:
        place = (one.group, one.resource, one.subresource)
        own_status = one.group == HEAT and one.subresource == "status" and one.verb == "patch"
        if not own_status and one.verb not in ALLOWED.get(place, ()):
            yield f"{told(one)}: this is never the operator's to write"
        elif place[2] == "" and set(at(one.body, "spec") or {}) - LEVERS.get(place[:2], set(at(one.body, "spec") or {})):
            yield f"{told(one)}: more of it than its lever and its place"


def precondition(case: Case) -> Iterator[str]:
    """Every write to somebody else's object says which version of it, and which object, it means.

    Of one that was refused by right the log has no body.
    """
    for one in case.tried:
        if one.body is None and not one.accepted:
            continue
        metadata = at(one.body, "metadata") or {}
        if (one.group, one.resource) in OF_OTHERS and not (metadata.get("resourceVersion") and metadata.get("uid")):
            yield f"{told(one)}: without the resourceVersion and the uid that were seen"


def insulated(case: Case) -> Iterator[str]:
    """An insulated job is never written to, but to end a hold of ours or to take our marks away; nor is it held at creation."""
    for one in case.ours:
        why = next(iter(_whys(case, one)), "")
        if why and not frees(one) and not withdraws(one):
            yield f"{one}: {why}"
    for one in case.history.changes:
        asked = at(one.event.body, "metadata", "annotations", HELD_BY)
        by_admission = one.kind == JOBS and not one.before and noted(one.after).get(HELD_BY) == "admission" and not asked
        if by_admission and case.always(one.at_utc, partial(case.insulated, one.after)):
            yield f"{one}: held at its creation, and {case.insulated(one.after, one.at_utc)}"


def _whys(case: Case, change: Change) -> Iterator[str]:
    """Why a job was insulated at every instant that the operator can have had in mind."""
    before = change.before
    if case.always(change.at_utc, lambda then: case.insulated(before, then)):
        yield case.insulated(before, change.at_utc)
    newly = down(change.after) and not held(before)
    if newly and not is_workload(before) and case.always(change.at_utc, lambda then: not case.opted_in(before, then)):
        yield "its namespace does not take part, and nobody handed it over"


def mode(case: Case) -> Iterator[str]:
    """Where no policy is in mode Dispatch, holds are ended, nothing else of others is written, and nothing is capped."""
    for one in case.ours:
        if case.always(one.at_utc, lambda then: not case.dispatches(then)) and not frees(one):
            yield f"{one}: no policy is in mode Dispatch"
    for one in case.history.changes:
        caps_now = one.kind == POWERS and one.event.user in case.users and at(one.event.body, "spec", "gpus")
        if caps_now and case.always(one.at_utc, lambda then: not case.dispatches(then)):
            yield f"{one}: a cap, and no policy is in mode Dispatch"


def queue(case: Case) -> Iterator[str]:
    """The suspension of a Job with a queue is Kueue's."""
    for one in case.ours:
        if one.kind == JOBS and queued(one.before) and "suspend" in (at(one.event.body, "spec") or {}):
            yield f"{one}: it belongs to a queue"


def owner(case: Case) -> Iterator[str]:
    """Once its owner has edited `suspend`, or created a Job suspended, nothing is written to it but that it is his."""
    for one in case.ours:
        took = case.took_over(one.uid) if one.kind == JOBS else None
        if took is not None and took.version < one.version and not withdraws(one):
            yield f"{one}: its owner took it over at {took.at_utc:%H:%M:%S.%f}"


def lease(case: Case) -> Iterator[str]:
    """Only the replica that holds the Lease at that instant writes anything but a bid for it, or that it waits for it."""
    for one in case.tried:
        if (one.group, one.resource) == LEASES and one.name in (LEADS, WAITS):
            continue
        asked_utc = one.received_utc or one.at_utc
        reign = case.reign(asked_utc)
        before = case.reign(asked_utc - timedelta(seconds=CROSSED_S))
        if not any(each is not None and each.covers(replica_of(one), asked_utc, CROSSED_S) for each in (reign, before)):
            holder = "nobody" if reign is None or not reign.holder else f"{reign.holder} until {reign.over_utc:%H:%M:%S.%f}"
            yield f"{told(one)}: by {replica_of(one) or one.user}, when {holder} held the Lease"


def twice(case: Case) -> Iterator[str]:
    """No decision is carried out twice: no write that changes nothing, no second hold or stop of one plan, no equal writes."""
    lowered: set[tuple[str, str]] = set()
    sent: set[tuple[str, str]] = set()
    for one in case.ours:
        body = {**(one.event.body or {}), "metadata": noted(one.event.body or {})}
        place, plan = one.uid + one.event.subresource, noted(one.after).get(PLAN, "")
        if one.before and at(one.before, "metadata", "resourceVersion") == str(one.version):
            yield f"{one}: it changed nothing"
        elif (place, json.dumps(body, sort_keys=True)) in sent:
            yield f"{one}: the very same was written before"
        if down(one.after) and not down(one.before):
            if (one.uid, plan) in lowered:
                yield f"{one}: held or stopped a second time by plan {plan}"
            lowered.add((one.uid, plan))
        sent.add((place, json.dumps(body, sort_keys=True)))


def caps(case: Case) -> Iterator[str]:
    """Every cap is a lease with an end, by a plan, for a pod that is named."""
    for one in case.tried:
        spec = at(one.body, "spec") or {}
        if (one.group, one.resource) != POWERS or one.subresource or not spec.get("gpus"):
            continue
        lease_s = spec.get("leaseSeconds")
        if not isinstance(lease_s, int) or not 0 < lease_s <= LONGEST_CAP_S or not spec.get("planId"):
            yield f"{told(one)}: a cap without its lease or its plan"
        if any(not (gpu.get("uuid") and gpu.get("podUid") and gpu.get("capWatts")) for gpu in spec["gpus"]):
            yield f"{told(one)}: a cap that does not say of which pod on which GPU"


def blind(case: Case) -> Iterator[str]:
    """The log has told everything: no write of a kind that matters without its answer, no Job that it does not know."""
    for what in case.history.unseen:
        yield f"{what}: the log does not say what became of it"
    for job in case.there or ():
        uid, version = at(job, "metadata", "uid"), at(job, "metadata", "resourceVersion")
        known = {at(one.after, "metadata", "resourceVersion") for one in case.history.life(uid)}
        if version not in known:
            yield f"Job {named(job)} is there at version {version}, of which the log does not tell"
