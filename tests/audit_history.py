"""The story of a cluster, told from its API server's audit log: every object as it was before and after every write.

The log is the only witness: each accepted write of a Job, a Workload, a Namespace, a Lease or an object of ours is in it with
the object as it was afterwards, at its resourceVersion, and versions order all writes of one API server.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from scheduler.adapters.devcluster.audit import AuditEvent

Object = Mapping[str, Any]
HEAT = "heatdispatch.io"
KUEUE = "kueue.x-k8s.io"
JOBS, WORKLOADS = ("batch", "jobs"), (KUEUE, "workloads")
NAMESPACES, LEASES = ("", "namespaces"), ("coordination.k8s.io", "leases")
CLASSES, POLICIES, POWERS = (HEAT, "workloadclasses"), (HEAT, "dispatchpolicies"), (HEAT, "nodepowers")
CRON_JOBS = ("batch", "cronjobs")
TOLD = (JOBS, CRON_JOBS, WORKLOADS, NAMESPACES, LEASES, CLASSES, POLICIES, POWERS)
# The Lease of the operator's leader, and the one by which those who wait find each other.
LEADS, WAITS = "heat-dispatch-operator", "heat-dispatch-standby"
IDENTITY = re.compile(r"\(([^)]*)\)$")
NOTHING: Object = {}


def at(obj: Any, *path: str) -> Any:
    """What stands at a path; None when something on the way is missing."""
    for key in path:
        obj = obj.get(key) if isinstance(obj, Mapping) else None
    return obj


def noted(obj: Object) -> Mapping[str, str]:
    """Annotations."""
    return at(obj, "metadata", "annotations") or {}


def labels(obj: Object) -> Mapping[str, str]:
    """Labels."""
    return at(obj, "metadata", "labels") or {}


def named(obj: Object) -> str:
    """NAMESPACE/NAME, or NAME."""
    namespace = at(obj, "metadata", "namespace")
    return f"{namespace}/{at(obj, 'metadata', 'name')}" if namespace else str(at(obj, "metadata", "name"))


def controller(obj: Object) -> Object:
    """The owner that controls an object; empty without one."""
    return next((one for one in at(obj, "metadata", "ownerReferences") or () if one.get("controller")), NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One accepted write. before is empty for a new object, after for one that is gone."""

    event: AuditEvent
    uid: str
    version: int
    before: Object
    after: Object

    @property
    def kind(self) -> tuple[str, str]:
        """Group and resource."""
        return self.event.group, self.event.resource

    @property
    def at_utc(self) -> datetime:
        """When it was done."""
        return self.event.at_utc

    @property
    def subject(self) -> Object:
        """The object, in whatever state there is one."""
        return self.after or self.before

    def __str__(self) -> str:
        """In words."""
        return f"{self.at_utc:%H:%M:%S.%f} {self.event.what}"


@dataclass
class History:
    """Every change, in the order of versions; and what was so at any instant."""

    events: Sequence[AuditEvent]
    changes: list[Change] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    _when: dict[tuple[tuple[str, str], ...], list[datetime]] = field(default_factory=dict)
    _by_uid: dict[str, list[Change]] = field(default_factory=dict)
    _by_name: dict[tuple[str, str], dict[str, tuple[list[datetime], list[Change]]]] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Iterable[AuditEvent]) -> History:
        """Tell the story of answered requests."""
        made = cls(events=sorted(events, key=lambda one: one.at_utc))
        steps, last = [], 0
        for event in made.events:
            for uid, version, obj in made._steps(event) if event.accepted and event.writes else ():
                # The log is written as answers end; what was done first has the smaller version. Who goes tells none.
                last = max(last, version)
                steps.append((version or last, event, uid, obj))
        for version, event, uid, obj in sorted(steps, key=lambda one: one[0]):
            made._note(event, uid, version, obj)
        return made

    def _steps(self, event: AuditEvent) -> Iterator[tuple[str, int, Object]]:
        """(uid, version, object then) of each object that a request changed."""
        if (event.group, event.resource) not in TOLD or event.subresource in ("finalize", "scale"):
            return
        answer = event.answer
        if not isinstance(answer, Mapping):
            self.unseen.append(event.what)
        elif event.verb == "deletecollection":
            for item in answer.get("items") or ():
                yield str(at(item, "metadata", "uid")), 0, NOTHING
        elif answer.get("kind") == "Status":
            yield str(at(answer, "details", "uid")), 0, NOTHING
        else:
            uid, version = str(at(answer, "metadata", "uid")), int(at(answer, "metadata", "resourceVersion") or 0)
            gone = event.verb == "delete" and not at(answer, "metadata", "deletionTimestamp")
            yield uid, 0 if gone else version, NOTHING if gone else answer

    def _note(self, event: AuditEvent, uid: str, version: int, obj: Object) -> None:
        """Remember one step of an object's life."""
        life = self._by_uid.setdefault(uid, [])
        before = life[-1].after if life else NOTHING
        found = Change(event=event, uid=uid, version=version, before=before, after=obj)
        if not found.subject:
            return
        life.append(found)
        self.changes.append(found)
        times, changes = self._by_name.setdefault(found.kind, {}).setdefault(named(found.subject), ([], []))
        times.append(found.at_utc)
        changes.append(found)

    def life(self, uid: str) -> Sequence[Change]:
        """Every change of one object."""
        return self._by_uid.get(uid, ())

    def lives(self, kind: tuple[str, str]) -> Iterator[Sequence[Change]]:
        """The lives of all objects of a kind."""
        return (life for life in self._by_uid.values() if life[0].kind == kind)

    def then(self, kind: tuple[str, str], name: str, at_utc: datetime) -> Object:
        """An object as it was at an instant; empty when it was not there."""
        times, changes = self._by_name.get(kind, {}).get(name, ((), ()))
        place = bisect_right(times, at_utc)
        return changes[place - 1].after if place else NOTHING

    def all_then(self, kind: tuple[str, str], at_utc: datetime) -> list[Object]:
        """All objects of a kind as they were at an instant."""
        return [obj for obj in (self.then(kind, name, at_utc) for name in self._by_name.get(kind, ())) if obj]

    def instants(self, kinds: Collection[tuple[str, str]], after_utc: datetime, until_utc: datetime) -> list[datetime]:
        """When anything of some kinds changed, in a span of time, and its two ends."""
        return sorted({after_utc, *(one for one in self._whens(tuple(kinds)) if after_utc < one < until_utc), until_utc})

    def _whens(self, kinds: tuple[tuple[str, str], ...]) -> list[datetime]:
        """When anything of some kinds changed but for its status."""
        if kinds not in self._when:
            found = (one for one in self.changes if one.kind in kinds and one.event.subresource != "status")
            self._when[kinds] = sorted(one.at_utc for one in found)
        return self._when[kinds]

    @cached_property
    def bound(self) -> Mapping[str, list[datetime]]:
        """When pods were given their nodes, by NAMESPACE/NAME of the pod."""
        found: dict[str, list[datetime]] = {}
        for one in self.events:
            if one.resource == "pods" and one.subresource == "binding" and one.accepted:
                found.setdefault(f"{one.namespace}/{one.name}", []).append(one.at_utc)
        return found


def replica_of(event: AuditEvent) -> str:
    """Which replica of the operator asked, from its User-Agent; empty when it does not say."""
    found = IDENTITY.search(event.agent)
    return found.group(1) if found else ""


def plus(at_utc: datetime, seconds: float) -> datetime:
    """An instant so many seconds later."""
    return at_utc + timedelta(seconds=seconds)
