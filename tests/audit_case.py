"""What the laws ask of a history: whose job it is, what its class is, who leads, what a write of the operator does."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from audit_history import (
    CLASSES,
    HEAT,
    JOBS,
    LEADS,
    LEASES,
    NAMESPACES,
    NOTHING,
    POLICIES,
    WORKLOADS,
    Change,
    History,
    Object,
    at,
    controller,
    labels,
    noted,
    plus,
)

from scheduler.adapters.devcluster.audit import AuditEvent

MARK = f"{HEAT}/"
CLASS, DISPATCH = MARK + "class", MARK + "dispatch"
HELD_BY, HELD_SINCE, HOLD_UNTIL = MARK + "held-by", MARK + "held-since", MARK + "hold-until"
HOLD_REASON, HOLD_TEXT, PLAN = MARK + "hold-reason", MARK + "hold-text", MARK + "plan"
QUEUE, GATED_BY, GATE = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/admission-gated-by", MARK + "gate"
GPU = "nvidia.com/gpu"
MANAGER = re.compile(r"(^|&)fieldManager=heat-dispatch(&|$)")
PARTS = re.compile(r"([0-9.]+)([hms])")
SIZES_S = {"h": 3600.0, "m": 60.0, "s": 1.0}
UNCLAIMED_S = 600.0
# Kinds beside Job that run to completion, and that Kueue stops and starts through their Workload.
BATCH = (
    *("AppWrapper", "JAXJob", "JobSet", "MPIJob", "PaddleJob", "PyTorchJob", "RayJob", "SparkApplication", "TFJob", "TrainJob"),
    "XGBoostJob",
)
# What a job is judged by, beside itself.
AROUND = (NAMESPACES, CLASSES, POLICIES)


def instant(text: str | None) -> datetime | None:
    """An instant as Kubernetes writes it; None when it is none."""
    try:
        found = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None


def seconds(text: str | None) -> float | None:
    """A duration such as 1h30m; None when it is none."""
    found = PARTS.findall(text or "")
    whole = bool(found) and "".join(number + unit for number, unit in found) == text
    return sum(float(number) * SIZES_S[unit] for number, unit in found) if whole else None


# What an owner may write, and whether it says anything.
READABLE: Mapping[str, Callable[[str], object]] = {
    MARK + "deadline": instant,
    MARK + "expected-duration": seconds,
    MARK + "start": "planned".__eq__,
    MARK + "allow-owned": "true".__eq__,
}


def born(obj: Object) -> datetime:
    """When an object was created."""
    found = instant(at(obj, "metadata", "creationTimestamp"))
    assert found is not None, obj
    return found


def is_workload(obj: Object) -> bool:
    """Whether it is a Workload, and not a Job."""
    return "podSets" in (at(obj, "spec") or {}) or "active" in (at(obj, "spec") or {})


def queued(obj: Object) -> bool:
    """Whether a Job belongs to a queue, so that its `suspend` is Kueue's."""
    return QUEUE in labels(obj)


def down(obj: Object) -> bool:
    """Whether the lever is down: a native Job suspended, a queued one gated by us, a Workload switched off."""
    if is_workload(obj):
        return at(obj, "spec", "active") is False
    if queued(obj):
        return GATE in [one.strip() for one in noted(obj).get(GATED_BY, "").split(",")]
    return at(obj, "spec", "suspend") is True


def held(obj: Object) -> bool:
    """Whether a hold of ours is in force, or one that its owner left to us, by what stands on the object."""
    given = noted(obj)
    handed = given.get(MARK + "start") == "planned" and not given.get(HELD_BY) and not given.get(MARK + "released")
    return bool(obj) and down(obj) and (given.get(HELD_BY) in ("operator", "admission") or queued(obj) or handed)


def ended(obj: Object) -> bool:
    """Whether a job is over, or about to go."""
    states = [one for one in at(obj, "status", "conditions") or () if one.get("status") == "True"]
    over = any(one.get("type") in ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget", "Finished") for one in states)
    return not obj or over or bool(at(obj, "metadata", "deletionTimestamp"))


def frees(change: Change) -> bool:
    """Whether a write only ends a hold of ours, or lets Kueue start what waits, and says nothing about the place."""
    body = change.event.body or {}
    if change.event.subresource == "status":
        checks = at(body, "status", "admissionChecks") or ()
        return bool(checks) and all(one.get("state") == "Ready" and not one.get("podSetUpdates") for one in checks)
    return held(change.before) and not down(change.after) and "template" not in (at(body, "spec") or {})


def withdraws(change: Change) -> bool:
    """Whether a write only takes our marks away and notes that the owner has the job."""
    body = change.event.body or {}
    given = {key: value for key, value in noted(body).items() if value is not None}
    return not at(body, "spec") and given in ({}, {HELD_BY: "owner"}) and noted(change.after).get(HELD_BY) in (None, "owner")


# From here on the API server did not do it, and does not know why.
BROKEN_CODE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Reign:
    """What the Lease said from one write of it to the next."""

    holder: str
    from_utc: datetime
    asked_utc: datetime
    lease_s: float

    @property
    def over_utc(self) -> datetime:
        """When it ends if nobody renews it."""
        return plus(self.asked_utc, self.lease_s)

    def covers(self, replica: str, at_utc: datetime, crossed_s: float) -> bool:
        """Whether a replica leads; one that does not say who it is, whether anybody does."""
        return bool(self.holder) and replica in ("", self.holder) and at_utc <= plus(self.over_utc, crossed_s)


@dataclass(frozen=True, kw_only=True)
class Case:
    """The evidence, and what is allowed for. late_s: how late the operator may know of a change in another object.

    tick_s: how long a hold that is over may stand, a guard's tick and some patience. there: the Jobs of the cluster as they are
    now, None when nobody can ask it.
    """

    events: Sequence[AuditEvent]
    users: frozenset[str]
    there: Sequence[Object] | None = None
    late_s: float = 3.0
    tick_s: float = 45.0

    @cached_property
    def history(self) -> History:
        """The story of every object."""
        return History.of(self.events)

    @cached_property
    def until_utc(self) -> datetime:
        """The end of the log."""
        return max((one.at_utc for one in self.events), default=datetime.min.replace(tzinfo=UTC))

    @cached_property
    def tried(self) -> Sequence[AuditEvent]:
        """Every write that the operator asked for, whatever became of it.

        A head whose body was kept back, as by a leader whose lease has run out, asks for nothing: the API server answers 500.
        """
        written = [one for one in self.events if one.user in self.users and one.writes]
        return [one for one in written if one.body is not None or one.code < BROKEN_CODE]

    @cached_property
    def ours(self) -> Sequence[Change]:
        """Every write of the operator that a Job or a Workload took."""
        return [one for one in self.history.changes if one.event.user in self.users and one.kind in (JOBS, WORKLOADS)]

    # What was so around an instant.

    def always(self, at_utc: datetime, question: Callable[[datetime], object]) -> bool:
        """Whether something was so at every instant at which the operator's knowledge may have been from."""
        return all(question(one) for one in self._lately(at_utc))

    def largest(self, at_utc: datetime, amount: Callable[[datetime], float]) -> float:
        """The largest that an amount was at any of these instants."""
        return max(amount(one) for one in self._lately(at_utc))

    def smallest(self, at_utc: datetime, amount: Callable[[datetime], float]) -> float:
        """The smallest that an amount was at any of these instants."""
        return min(amount(one) for one in self._lately(at_utc))

    def _lately(self, at_utc: datetime) -> list[datetime]:
        """The instants that the operator's knowledge of other objects may have been from."""
        return self.history.instants(AROUND, at_utc - timedelta(seconds=self.late_s), at_utc)

    def dispatches(self, at_utc: datetime) -> bool:
        """Whether any policy is in mode Dispatch."""
        return any(at(one, "spec", "mode") == "Dispatch" for one in self.history.all_then(POLICIES, at_utc))

    def max_hold_s(self, at_utc: datetime) -> float:
        """The longest hold that any policy allows."""
        told = (seconds(at(one, "spec", "queue", "maxHold")) for one in self.history.all_then(POLICIES, at_utc))
        return max((one for one in told if one is not None), default=0.0)

    def job_of(self, obj: Object, at_utc: datetime) -> Object:
        """The Job of a Workload, where it has one; a Job itself."""
        owner = controller(obj) if is_workload(obj) else NOTHING
        if owner.get("kind") != "Job":
            return obj
        return self.history.then(JOBS, f"{at(obj, 'metadata', 'namespace')}/{owner['name']}", at_utc) or obj

    def namespace_of(self, obj: Object, at_utc: datetime) -> Object:
        """Its Namespace."""
        return self.history.then(NAMESPACES, str(at(obj, "metadata", "namespace")), at_utc)

    def class_of(self, obj: Object, at_utc: datetime) -> Object:
        """The WorkloadClass of a job; empty without a class, with an unknown one and with several."""
        job = self.job_of(obj, at_utc)
        for given in (labels(job), labels(self.namespace_of(job, at_utc))):
            if CLASS in given:
                return self.history.then(CLASSES, given[CLASS], at_utc)
        found = [one for one in self.history.all_then(CLASSES, at_utc) if any(_finds(s, job) for s in _selectors(one))]
        return found[0] if len(found) == 1 else NOTHING

    def insulated(self, obj: Object, at_utc: datetime) -> str:
        """Why nothing may be done to a job; empty when something may."""
        job, job_class = self.job_of(obj, at_utc), self.class_of(obj, at_utc)
        if at(job_class, "spec", "flexibility") not in ("deferrable", "preemptible"):
            return "it has no class that may be held"
        given, owner = noted(job), controller(job)
        bad = [key for key, readable in READABLE.items() if key in given and not readable(given[key])]
        if bad:
            return f"{' and '.join(bad)} cannot be read"
        whole = owner.get("kind") in (("Job", *BATCH) if is_workload(job) else ("CronJob", "Job"))
        if owner and not whole and given.get(MARK + "allow-owned") != "true":
            return f"a {owner.get('kind')} controls it"
        return "" if is_workload(job) or _gpus(job) else "it asks for no GPU"

    def opted_in(self, obj: Object, at_utc: datetime) -> bool:
        """Whether a job may be held or stopped: its namespace takes part, or its owner left the start to the plan."""
        namespace = self.namespace_of(obj, at_utc)
        return labels(namespace).get(DISPATCH) == "enabled" or noted(obj).get(MARK + "start") == "planned"

    # Whose job it is.

    def others(self, change: Change) -> bool:
        """Whether a write was neither the operator's nor a person's `heat-dispatch release`."""
        return change.event.user not in self.users and not MANAGER.search(change.event.query)

    def took_over(self, uid: str) -> Change | None:
        """The write by which its owner made a native Job his own: created suspended, or `suspend` edited."""
        for one in self.history.life(uid):
            if one.kind != JOBS or queued(one.subject) or not one.after or not self.others(one):
                continue
            before, after = at(one.before, "spec", "suspend") is True, at(one.after, "spec", "suspend") is True
            handed = HELD_BY in noted(one.after) or noted(one.after).get(MARK + "start") == "planned"
            if (one.before and before != after) or (not one.before and after and not handed):
                return one
        return None

    # Who leads.

    @cached_property
    def reigns(self) -> Sequence[Reign]:
        """What the operator's Lease said, in order."""
        leases = [one for one in self.history.changes if one.kind == LEASES and one.event.name == LEADS]
        ours = {one.uid for one in leases if one.event.user in self.users}
        changes = [one for one in leases if one.uid in ours]
        return [
            Reign(
                holder=str(at(one.after, "spec", "holderIdentity") or ""),
                from_utc=one.at_utc,
                asked_utc=one.event.received_utc or one.at_utc,
                lease_s=float(at(one.after, "spec", "leaseDurationSeconds") or 0.0),
            )
            for one in changes
        ]

    def reign(self, at_utc: datetime) -> Reign | None:
        """What the Lease said at an instant; None before there was one."""
        place = bisect_right([one.from_utc for one in self.reigns], at_utc)
        return self.reigns[place - 1] if place else None

    def led_s(self, from_utc: datetime, until_utc: datetime) -> float:
        """For how long of a span of time some replica led."""
        total_s = 0.0
        for number, one in enumerate(self.reigns):
            later = self.reigns[number + 1].from_utc if number + 1 < len(self.reigns) else self.until_utc
            if one.holder:
                begin, end = max(from_utc, one.from_utc), min(until_utc, later, one.over_utc)
                total_s += max(0.0, (end - begin).total_seconds())
        return total_s


def _gpus(job: Object) -> bool:
    """Whether a Job's pods ask for GPUs."""
    containers = at(job, "spec", "template", "spec", "containers") or ()
    return any(GPU in (at(one, "resources", part) or {}) for one in containers for part in ("limits", "requests"))


def _selectors(job_class: Object) -> Iterator[Object]:
    """Selectors of a class that select at all."""
    return (one for one in at(job_class, "spec", "selectors") or () if any(one.values()))


def _finds(selector: Object, job: Object) -> bool:
    """Whether a selector means a job."""
    names, queues = selector.get("namespaces") or (), selector.get("queues") or ()
    wanted = selector.get("matchLabels") or {}
    return (
        (not names or at(job, "metadata", "namespace") in names)
        and (not queues or labels(job).get(QUEUE) in queues)
        and all(labels(job).get(key) == value for key, value in wanted.items())
    )
