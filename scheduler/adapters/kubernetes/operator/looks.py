"""The cluster as a look for `observe`: every job once, under the policy it belongs to, and what the GPUs of each pool do."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from scheduler.adapters.kubernetes import workloads
from scheduler.adapters.kubernetes.jobs import JobView, read
from scheduler.adapters.kubernetes.objects import (
    Obj,
    condition,
    controller_of,
    holds,
    instant,
    name_of,
    namespace_of,
    part,
    text,
    uid_of,
)
from scheduler.adapters.kubernetes.operator.view import Reader, Seen
from scheduler.adapters.kubernetes.runtime.store import Change, ChangeType, Store
from scheduler.core.accounting.attributed import job_draw_w, metered_power
from scheduler.core.accounting.modelled import PoolPower
from scheduler.core.accounting.observing import JobLook
from scheduler.domain.job import JobPhase
from scheduler.domain.site import Site
from scheduler.domain.telemetry import NodeDraw, PodDraw

# What controllers and people put behind the name of a job to make it unique: numbers, and the API server's five letters.
_SUFFIX = re.compile(r"(?:-\d+|-(?=[a-z]*\d)[bcdfghjklmnpqrstvwxz2456789]{5})+$")

MOST_DEPARTED = 5000
NO_DRAWS: Mapping[str, PodDraw] = {}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One policy's part of the site, and the cluster as it sees it."""

    site: Site
    seen: Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUse:
    """GPUs of a pool now. others: of pods that are nobody's job; gone: on nodes that are closed, sick or away."""

    pool_id: str
    insulated: int = 0
    flexible: int = 0
    others: int = 0
    free: int = 0
    gone: int = 0


class Departed:
    """Completed Jobs that were deleted between two looks, as `ttlSecondsAfterFinished: 0` does: they have been all the same."""

    def __init__(self, jobs: Store, most: int = MOST_DEPARTED) -> None:
        """Watch `jobs`; of more than `most` the last ones are remembered."""
        self._gone: deque[Obj] = deque(maxlen=most)
        jobs.subscribe(self._told)

    def take(self) -> tuple[Obj, ...]:
        """Those that have gone since they were last asked for."""
        return tuple(self._gone.popleft() for _ in range(len(self._gone)))

    def _told(self, change: Change) -> None:
        """Remember a Job that is removed and was complete."""
        if change.type is ChangeType.REMOVED and change.old is not None and holds(change.old, "Complete"):
            self._gone.append(change.old)


def part_of(site: Site, reader: Reader, now_utc: datetime, departed: Sequence[Obj] = ()) -> Part:
    """What a policy sees now, completed Jobs as large as they were: a view to plan on counts only the pods that are left.

    departed: completed Jobs that are not in the stores any more.
    """
    seen = reader.seen(now_utc)
    completed = [*(job for job in reader.stores.jobs.all() if holds(job, "Complete")), *departed]
    if not completed:
        return Part(site=site, seen=seen)
    around, stores = reader.around(now_utc), reader.stores
    views = [read(_entire(job), stores.workload_of(uid_of(job)), stores.pods_of(uid_of(job)), around) for job in completed]
    entire = {view.job_id: view for view in views if view is not None}
    return Part(site=site, seen=replace(seen, views={**seen.views, **entire}))


def _entire(job: Obj) -> Obj:
    """A Job without its count of pods that have done their work."""
    return {**job, "status": {key: value for key, value in part(job, "status").items() if key != "succeeded"}}


def whole_site(parts: Sequence[Part]) -> Site:
    """The parts of all policies as one site; what they do not divide is as the first has it."""
    first = parts[0].site
    pools = {pool.pool_id: pool for each in parts for pool in each.site.pools}
    plugs = {plug.plug_id: plug for each in parts for plug in each.site.plugs}
    classes = {one.name: one for each in reversed(parts) for one in each.site.classes}
    return replace(first, pools=tuple(pools.values()), plugs=tuple(plugs.values()), classes=tuple(classes.values()))


def job_looks(parts: Iterable[Part], draws: Mapping[str, PodDraw] = NO_DRAWS) -> tuple[JobLook, ...]:
    """Every job of the parts once, in order of their uids; what runs on nodes of no pool is none of ours.

    Each policy sees all jobs. One that runs belongs to the policy whose pool it runs on, another to the first that may plan it.
    `draws` are what agents measure now, by pod.
    """
    best: dict[str, tuple[int, JobLook]] = {}
    for each in parts:
        models = {pool.pool_id: pool.gpu_model for pool in each.site.pools}
        gpus = {uid: count for room in each.seen.rooms for uid, count in room.by_pod.items()}
        for view in each.seen.views.values():
            rank = _rank(view, models)
            uid = uid_of(view.job or view.workload)
            if rank is not None and (uid not in best or rank < best[uid][0]):
                pods = {uid_of(pod): gpus[uid_of(pod)] for pod in view.pods if gpus.get(uid_of(pod), 0) > 0}
                best[uid] = (rank, replace(job_look(view, models), draw_w=job_draw_w(pods, draws)))
    return tuple(best[uid][1] for uid in sorted(best))


def _rank(view: JobView, pools: Mapping[str, str]) -> int | None:
    """How much a job belongs to a policy, 0 most; None: it runs elsewhere."""
    if view.state.pool_id in pools:
        return 0
    if view.state.phase is JobPhase.RUNNING and view.state.started_utc is not None:
        return None
    return 2 if view.insulated else 1


def job_look(view: JobView, models: Mapping[str, str]) -> JobLook:
    """One job; `models` are the GPUs by pool: where there are several, what a workload draws depends on them."""
    model = models.get(view.state.pool_id or "") if len(set(models.values())) > 1 else None
    workload = workload_of(view)
    return JobLook(
        job_uid=uid_of(view.job or view.workload),
        workload=workload if model is None else f"{workload} on {model}",
        state=view.state,
        started_utc=started_utc(view),
        succeeded_utc=succeeded_utc(view),
    )


def workload_of(view: JobView) -> str:
    """What its owner calls jobs of this kind: namespace and name of what made it, or its own, without what only counts runs."""
    subject = view.job or view.workload
    made_by = text(controller_of(subject), "name")
    prefix = text(subject, "metadata", "generateName").rstrip("-")
    name = made_by or prefix or name_of(subject)
    return f"{namespace_of(subject)}/{_SUFFIX.sub('', name) or name}"


def started_utc(view: JobView) -> datetime | None:
    """When a job began to run first; None before, or when nobody can tell."""
    if view.state.phase is JobPhase.QUEUED:
        return None
    return view.state.first_started_utc or instant(view.job, "status", "startTime") or workloads.started_utc(view.workload)


def succeeded_utc(view: JobView) -> datetime | None:
    """When a job had done its work; None while it has not, or when it failed."""
    if view.job:
        ended_utc = instant(view.job, "status", "completionTime") or instant(
            condition(view.job, "Complete"), "lastTransitionTime"
        )
        return ended_utc if holds(view.job, "Complete") else None
    finished = condition(view.workload, "Finished")
    done = holds(view.workload, "Finished") and text(finished, "reason") == "Succeeded"
    return instant(finished, "lastTransitionTime") if done else None


def metered_pools(parts: Iterable[Part], draws: Mapping[str, NodeDraw]) -> dict[str, PoolPower]:
    """Power of the pools whose nodes' agents tell of it, by pool; `draws` by node."""
    found: dict[str, PoolPower] = {}
    for mine in parts:
        told = [(room.pool_id, draws[room.name]) for room in mine.seen.rooms if room.name in draws]
        for pool in mine.site.pools:
            power = metered_power(pool, (draw for pool_id, draw in told if pool_id == pool.pool_id))
            if power is not None:
                found[pool.pool_id] = power
    return found


def pool_uses(mine: Part) -> tuple[PoolUse, ...]:
    """What the GPUs of each pool of a policy do now, by the pods that hold them."""
    insulated = {uid_of(pod) for view in mine.seen.views.values() if view.insulated for pod in view.pods}
    ours = {uid_of(pod) for view in mine.seen.views.values() for pod in view.pods}
    found = []
    for pool in mine.site.pools:
        rooms = [room for room in mine.seen.rooms if room.pool_id == pool.pool_id]
        held = {uid: gpus for room in rooms for uid, gpus in room.by_pod.items()}
        fixed = sum(gpus for uid, gpus in held.items() if uid in insulated)
        jobs = sum(gpus for uid, gpus in held.items() if uid in ours)
        free = sum(max(0, room.gpus_allocatable - sum(room.by_pod.values())) for room in rooms if room.open)
        busy = sum(held.values())
        found.append(
            PoolUse(
                pool_id=pool.pool_id,
                insulated=fixed,
                flexible=jobs - fixed,
                others=busy - jobs,
                free=free,
                gone=max(0, pool.gpus - busy - free),
            )
        )
    return tuple(found)
