"""The cluster at one instant as the plan sees it: jobs read, nodes counted, each policy with what is its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import is_
from types import MappingProxyType
from typing import Any

from scheduler.adapters.kubernetes.admission_check import our_checks
from scheduler.adapters.kubernetes.caps import caps_in_force
from scheduler.adapters.kubernetes.classes import Selector, selectors_of
from scheduler.adapters.kubernetes.jobs import JobView, Surroundings, read
from scheduler.adapters.kubernetes.objects import NOTHING, Obj, controller_of, labels_of, name_of, text, uid_of
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.pools import NodeRoom, PoolSelector, available_gpus, pool_of, rooms_of
from scheduler.adapters.kubernetes.queues import reach_of
from scheduler.adapters.kubernetes.runtime import kinds
from scheduler.adapters.kubernetes.runtime.frozen import Key, key_of
from scheduler.domain.job import JobClass, JobPhase, JobState
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site

NO_POOL = "NoPool"
# Phases in which no clock runs: what was seen of such a job stays true until one of its objects changes.
TIMELESS = (JobPhase.QUEUED, JobPhase.DONE)
EMPTY: Mapping[Key, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Governance:
    """One policy: its part of the site, its settings, the labels of its pools, the selectors of classes."""

    policy: str
    site: Site
    settings: Settings
    pools: tuple[PoolSelector, ...]
    selectors: tuple[Selector, ...] = ()

    @property
    def classes(self) -> Mapping[str, JobClass]:
        """Classes by name."""
        return {one.name: one for one in self.site.classes}

    @property
    def selector_by_pool(self) -> Mapping[str, PoolSelector]:
        """Labels of each pool."""
        return {one.pool_id: one for one in self.pools}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """Jobs of one policy by job id, and the nodes."""

    now_utc: datetime
    views: Mapping[str, JobView]
    rooms: tuple[NodeRoom, ...] = ()

    def states(self) -> tuple[JobState, ...]:
        """States in order of submission, without jobs that may only run in another policy's pools."""
        found = (view.state for view in self.views.values() if not elsewhere(view))
        return tuple(sorted(found, key=lambda state: (state.job.submit_utc, state.job.job_id)))

    def available_gpus(self) -> dict[str, int]:
        """GPUs by pool that work and are not held by pods of nobody's job."""
        ours = {uid_of(pod) for view in self.views.values() for pod in view.pods}
        return available_gpus(self.rooms, ours)


def elsewhere(view: JobView) -> bool:
    """Whether none of this policy's pools may hold a job, and none does: it is another policy's, or nobody's."""
    return any(problem.reason == NO_POOL for problem in view.problems) and view.state.pool_id is None


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """One job as it was read, and the objects that it was read from; they are immutable, so the same ones say the same."""

    job: Obj
    workload: Obj
    pods: tuple[Obj, ...]
    view: JobView | None

    def holds(self, job: Obj, workload: Obj, pods: tuple[Obj, ...], around: Surroundings) -> bool:
        """Whether reading these would say the same: nothing has changed, no clock runs, and no cap plays a part."""
        same = self.job is job and self.workload is workload and len(self.pods) == len(pods) and all(map(is_, self.pods, pods))
        if not same or self.view is None:
            return same
        state = self.view.state
        return state.phase in TIMELESS and state.cap_w is None and state.job.job_id not in around.caps_w


@dataclass(slots=True, eq=False)
class Reader:
    """Reads jobs of one policy out of the stores. What does not change from job to job is worked out once per `around`.

    Reading thousands of jobs that wait takes a second, and it is done several times a minute: those that have not changed since
    the last time are not read again.
    """

    stores: Stores
    governance: Governance
    _last: tuple[Surroundings | None, Mapping[Key, _Read]] = (None, EMPTY)

    def around(self, now_utc: datetime) -> Surroundings:
        """What every job is read against."""
        rules, stores = self.governance, self.stores
        pools = [(one.pool_id, dict(one.node_labels)) for one in rules.pools]
        nodes = {name_of(node): pool_of(labels_of(node), rules.pools) for node in stores.nodes.all()}
        bare = Surroundings(
            now_utc=now_utc,
            classes=rules.classes,
            selectors=rules.selectors,
            namespaces={name_of(one): one for one in stores.namespaces.all()},
            cron_jobs={uid_of(one): one for one in stores.cron_jobs.all()},
            pools=rules.pools,
            pool_by_node=nodes,
            pool_by_flavor=stores.pool_by_flavor(pools),
            reach=reach_of(stores.local_queues.all(), stores.cluster_queues.all(), stores.flavors.all(), rules.pools),
            checks=our_checks(stores.checks.all()),
        )
        if not any(labels.get("gpus") for labels in (power.get("status") or {} for power in stores.powers.all())):
            return bare
        capped = self._all(bare)
        return replace(bare, caps_w=caps_in_force(capped, stores.powers.all()))

    def seen(self, now_utc: datetime) -> Seen:
        """All jobs and nodes now."""
        around = self.around(now_utc)
        rooms = rooms_of(self.stores.nodes.all(), self.stores.pods.all(), self.governance.pools)
        return Seen(now_utc=now_utc, views={view.job_id: view for view in self._all(around)}, rooms=rooms)

    def one(self, namespace: str, name: str, around: Surroundings) -> JobView | None:
        """One native or queued Job as it is now; None when it is gone or asks for no GPU."""
        job = self.stores.jobs.get(name, namespace)
        return None if job is None else self._read(job, around)

    def foreign(self, namespace: str, name: str, around: Surroundings) -> JobView | None:
        """One Kueue Workload that belongs to another kind than Job, as it is now."""
        workload = self.stores.workloads.get(name, namespace)
        return None if workload is None or _of_job(workload) else read(NOTHING, workload, self._pods_of(workload), around)

    def _all(self, around: Surroundings) -> Sequence[JobView]:
        """Every job and every Workload of another kind."""
        found: Iterable[JobView | None] = self._jobs(around)
        others = [
            read(NOTHING, workload, self._pods_of(workload), around)
            for workload in self.stores.workloads.all()
            if not _of_job(workload)
        ]
        return [view for view in (*found, *others) if view is not None]

    def _jobs(self, around: Surroundings) -> list[JobView | None]:
        """Every Job; what was read before against the same surroundings is taken over where it holds."""
        last, known = self._last
        if last is None or replace(last, now_utc=around.now_utc, caps_w=around.caps_w, speeds=around.speeds) != around:
            known = EMPTY
        fresh: dict[Key, _Read] = {}
        for job in self.stores.jobs.all():
            key, uid = key_of(job), uid_of(job)
            workload, pods, before = self.stores.workload_of(uid), self.stores.pods_of(uid), known.get(key)
            if before is None or not before.holds(job, workload, pods, around):
                before = _Read(job, workload, pods, read(job, workload, pods, around))
            fresh[key] = before
        self._last = (around, fresh)
        return [one.view for one in fresh.values()]

    def _read(self, job: Obj, around: Surroundings) -> JobView | None:
        """One Job with its pods and Workload."""
        return read(job, self.stores.workload_of(uid_of(job)), self.stores.pods_of(uid_of(job)), around)

    def _pods_of(self, workload: Obj) -> tuple[Obj, ...]:
        """Pods of the object that a Workload stands for."""
        return self.stores.pods_of(text(controller_of(workload), "uid"))


def selectors_in(stores: Stores) -> tuple[Selector, ...]:
    """Selectors of the WorkloadClasses that are there."""
    return selectors_of(stores.of_policy(kinds.CLASSES))


def _of_job(workload: Obj) -> bool:
    """Whether a Workload belongs to a batch Job."""
    return text(controller_of(workload), "kind") == kinds.JOBS.kind
