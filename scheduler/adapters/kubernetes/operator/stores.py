"""Every kind that the operator looks at, each in its store with the indexes that are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from scheduler.adapters.kubernetes.objects import NOTHING, Obj, text, texts
from scheduler.adapters.kubernetes.runtime import kinds, trim
from scheduler.adapters.kubernetes.runtime.frozen import freeze
from scheduler.adapters.kubernetes.runtime.kinds import Kind
from scheduler.adapters.kubernetes.runtime.store import Store, owner_uids
from scheduler.adapters.kubernetes.workloads import flavors_of

OWNER = "owner"
# One for all of some thousand jobs.
SUSPENDS: Obj = freeze({"f:spec": {"f:suspend": {}}})
# What looks at jobs rest on.
VITAL = frozenset({kinds.JOBS.plural, kinds.PODS.plural, kinds.NODES.plural})
POLICY_KINDS = (kinds.SITES, kinds.PLUGS, kinds.OFFTAKES, kinds.CLASSES, kinds.POLICIES)
DECIDED_ON = VITAL | {kind.plural for kind in POLICY_KINDS} | {kinds.NAMESPACES.plural}


def job_trim(obj: dict[str, Any]) -> dict[str, Any]:
    """Keep a Job as `trim.job` does, and of managedFields who set `spec.suspend`: that tells its owner's hand from ours."""
    writers = [_suspend_only(entry) for entry in (obj.get("metadata") or {}).get("managedFields") or () if _suspends(entry)]
    kept = trim.job(obj)
    if writers:
        kept["metadata"]["managedFields"] = writers
    return kept


def _suspends(entry: dict[str, Any]) -> bool:
    """Whether an entry of managedFields owns `spec.suspend`."""
    return "f:suspend" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})


def _suspend_only(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry without its other fields."""
    named: dict[str, Any] = {key: entry[key] for key in ("manager", "operation", "subresource", "time") if key in entry}
    return {**named, "fieldsV1": SUSPENDS}


def _owned(kind: Kind, trimmed: trim.Trim) -> Store:
    return Store(kind, trim=trimmed, indexes={OWNER: owner_uids})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stores:
    """One store per kind; those of kinds that are not installed stay empty."""

    jobs: Store = field(default_factory=lambda: Store(kinds.JOBS, trim=job_trim))
    pods: Store = field(default_factory=lambda: _owned(kinds.PODS, trim.pod))
    nodes: Store = field(default_factory=lambda: Store(kinds.NODES, trim=trim.node))
    namespaces: Store = field(default_factory=lambda: Store(kinds.NAMESPACES))
    cron_jobs: Store = field(default_factory=lambda: Store(kinds.CRON_JOBS))
    workloads: Store = field(default_factory=lambda: _owned(kinds.WORKLOADS, trim.common))
    flavors: Store = field(default_factory=lambda: Store(kinds.RESOURCE_FLAVORS))
    local_queues: Store = field(default_factory=lambda: Store(kinds.LOCAL_QUEUES))
    cluster_queues: Store = field(default_factory=lambda: Store(kinds.CLUSTER_QUEUES))
    checks: Store = field(default_factory=lambda: Store(kinds.ADMISSION_CHECKS))
    powers: Store = field(default_factory=lambda: Store(kinds.NODE_POWERS))
    plans: Store = field(default_factory=lambda: Store(kinds.PLANS))
    policy: tuple[Store, ...] = field(default_factory=lambda: tuple(Store(kind) for kind in POLICY_KINDS))

    def all(self) -> tuple[Store, ...]:
        """Every store."""
        named = (
            self.jobs, self.pods, self.nodes, self.namespaces, self.cron_jobs, self.workloads, self.flavors, self.checks,
            self.local_queues, self.cluster_queues, self.powers, self.plans,
        )  # fmt: skip
        return (*named, *self.policy)

    @property
    def synced(self) -> bool:
        """True once everything that a decision rests on has been listed."""
        vital = (self.jobs, self.pods, self.nodes, self.namespaces)
        return all(store.synced for store in (*vital, *self.policy))

    def own_objects(self) -> tuple[Obj, ...]:
        """Objects of our kinds that say what is wanted: sites, plugs, offtakes, classes, policies."""
        return tuple(obj for store in self.policy for obj in store.all())

    def of_policy(self, kind: Kind) -> tuple[Obj, ...]:
        """Objects of one of these kinds."""
        return next(store for store in self.policy if store.kind == kind).all()

    def pods_of(self, uid: str) -> tuple[Obj, ...]:
        """Pods that an object owns."""
        return self.pods.by(OWNER, uid)

    def workload_of(self, uid: str) -> Obj:
        """The Kueue Workload that an object owns; empty without one."""
        return next(iter(self.workloads.by(OWNER, uid)), NOTHING)

    def flavor_labels(self, workload: Obj) -> dict[str, str]:
        """Node labels of the flavors that a Workload was admitted to."""
        found: dict[str, str] = {}
        for name in flavors_of(workload).values():
            flavor = self.flavors.get(name)
            found |= texts(flavor, "spec", "nodeLabels") if flavor is not None else {}
        return found

    def pool_by_flavor(self, pools: Iterable[tuple[str, dict[str, str]]]) -> dict[str, str]:
        """Pools of Kueue's flavors: a flavor whose node labels hold a pool's labels stands for that pool."""
        found: dict[str, str] = {}
        for flavor in self.flavors.all():
            labels = (flavor.get("spec") or {}).get("nodeLabels") or {}
            fitting = [pool for pool, own in pools if own and own.items() <= labels.items()]
            if len(fitting) == 1:
                found[text(flavor, "metadata", "name")] = fitting[0]
        return found
