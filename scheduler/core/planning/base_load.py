"""What the plan takes as given: insulated work now, queued and expected, and the GPUs and power it leaves to flexible jobs.

Insulated jobs are never decided on; they are load. Running ones hold their GPUs until a quantile of their remaining time
(`Settings.capacity_quantile`) and draw power with the probability that they still run. Queued ones start first come, first
served, as soon as they fit beside what already runs. Those to come are taken at their expected number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.core.forecast.durations import remaining_work_s, still_running
from scheduler.core.planning.work import Work, class_of, declared_s, natural_draw_w, release_slot
from scheduler.domain.job import Flexibility, JobClass, JobPhase, JobState
from scheduler.domain.outlook import Outlook
from scheduler.domain.problem import PlanPool
from scheduler.domain.settings import Settings
from scheduler.domain.site import Plug, Pool, Site
from scheduler.domain.snapshot import Snapshot
from scheduler.domain.time import FloatArray, TimeGrid
from scheduler.units import kw_from_w

# A job of which nothing is known but that it exists: nobody may hold, stop or cap it.
UNKNOWN_CLASS = JobClass(name="", flexibility=Flexibility.INSULATED)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Insulated:
    """Insulated work of one pool, arrays over slots: GPUs reserved for it and its expected draw above idle in kW."""

    reserved_gpus: FloatArray
    extra_draw_kw: FloatArray


def base_pools(
    site: Site, snapshot: Snapshot, outlook: Outlook, works: Sequence[Work], settings: Settings
) -> tuple[PlanPool, ...]:
    """Pools as the plan sees them: GPUs left for flexible jobs and the load without them."""
    insulated = [_pool_work(site, snapshot, outlook, works, settings, index) for index in range(len(site.pools))]
    shares = _arrival_shares(site, snapshot, insulated)
    found: list[PlanPool] = []
    for index, pool in enumerate(site.pools):
        coming = _arrivals(site, outlook, settings, pool, shares[index])
        room = _available(snapshot, pool)
        free = np.maximum(0.0, room - insulated[index].reserved_gpus)
        protected = np.minimum(free, _protected_gpus(works, index, outlook.grid))
        left = np.maximum(free - coming.reserved_gpus, protected)
        extra_kw = insulated[index].extra_draw_kw + coming.extra_draw_kw
        found.append(_plan_pool(site, pool, np.maximum(left, _running_gpus(works, index, outlook.grid)), extra_kw))
    return tuple(found)


def _available(snapshot: Snapshot, pool: Pool) -> float:
    """GPUs of a pool that work now; all of them when nobody says otherwise."""
    return float(min(pool.gpus, max(0, snapshot.available_gpus.get(pool.pool_id, pool.gpus))))


def _plan_pool(site: Site, pool: Pool, free: FloatArray, extra_draw_kw: FloatArray) -> PlanPool:
    """Base load of a pool: nodes never power down, idle GPUs and insulated draw pass the host's slope.

    it = gpus * base + slope * (gpus * idle + extra draw); captured = capture_gpu * gpu power + capture_other * the rest.
    """
    plug_index, plug = _plug_of(site, pool)
    gpu_kw = pool.gpus * kw_from_w(pool.power.gpu_idle_w) + extra_draw_kw
    it_kw = pool.gpus * pool.power.kw_per_gpu_base + pool.power.host_slope * gpu_kw
    return PlanPool(
        pool_id=pool.pool_id,
        plug=plug_index,
        gpus_free=free,
        base_it_kw=it_kw,
        base_captured_kw=plug.capture_gpu_fraction * gpu_kw + plug.capture_other_fraction * (it_kw - gpu_kw),
        it_kw_per_draw_kw=pool.power.host_slope,
        captured_kw_per_draw_kw=plug.capture_gpu_fraction + plug.capture_other_fraction * (pool.power.host_slope - 1.0),
        idle_w=pool.power.gpu_idle_w,
    )


def _plug_of(site: Site, pool: Pool) -> tuple[int, Plug]:
    """Index and plug behind a pool."""
    for index, plug in enumerate(site.plugs):
        if plug.plug_id == pool.plug_id:
            return index, plug
    raise KeyError(pool.plug_id)


def _pool_work(
    site: Site, snapshot: Snapshot, outlook: Outlook, works: Sequence[Work], settings: Settings, index: int
) -> Insulated:
    """Insulated jobs of one pool that run or wait."""
    pool, grid = site.pools[index], outlook.grid
    begin_s = np.arange(grid.slots, dtype=np.float64) * grid.slot_s
    reserved, draw = np.zeros(grid.slots), np.zeros(grid.slots)
    busy = _running_gpus(works, index, grid)
    room = _available(snapshot, pool)
    planned = {work.state.job.job_id for work in works}
    for state in _first_come(snapshot, planned, site, pool):
        job_class = class_of(site, state) or UNKNOWN_CLASS
        told_s = declared_s(state, job_class)
        need_s = remaining_work_s(outlook.durations, job_class.name, told_s, state.work_done_s, settings.capacity_quantile)
        slots = max(1, int(np.ceil(need_s / grid.slot_s)))
        first = release_slot(state, grid, snapshot.observed_utc)
        start = 0 if state.phase is JobPhase.RUNNING else _first_fit(room - reserved - busy, state.job.gpus, slots, first)
        if start is None:
            continue
        reserved[start : start + slots] += state.job.gpus
        ahead_s = begin_s - start * grid.slot_s + grid.slot_s / 2
        alive = still_running(outlook.durations, job_class.name, told_s, state.work_done_s, ahead_s)
        draw_w = natural_draw_w(state, pool, outlook.arrival_draw_w.get(job_class.name)) - pool.power.gpu_idle_w
        draw += kw_from_w(max(0.0, draw_w)) * state.job.gpus * np.where(ahead_s < 0.0, 0.0, alive)
    return Insulated(reserved_gpus=reserved, extra_draw_kw=draw)


def _first_come(snapshot: Snapshot, planned: set[str], site: Site, pool: Pool) -> list[JobState]:
    """Jobs of a pool that we do not plan: running ones, then queued ones in order of submission.

    A running job that is flexible but not ours (its owner suspended others of its kind, its gang outgrew the pool) is load too.
    A queued insulated job without a pool is counted where it may run first.
    """
    first = site.pools[0].pool_id if site.pools else ""
    mine = [
        state
        for state in snapshot.jobs
        if state.job.job_id not in planned
        and not state.owner_suspended
        and (state.pool_id or state.job.pool_id or first) == pool.pool_id
        and state.phase in (JobPhase.RUNNING, JobPhase.QUEUED)
        and state.job.gpus <= pool.gpus
    ]
    return sorted(mine, key=lambda state: (state.phase is not JobPhase.RUNNING, state.job.submit_utc, state.job.job_id))


def _first_fit(free: FloatArray, gpus: int, slots: int, first: int) -> int | None:
    """Slot from `first` on from which `gpus` are free for `slots` slots (or to the end of the grid); None: there is none."""
    bad = np.concatenate([[0], np.cumsum(free < gpus - 1e-9)])
    end = np.minimum(np.arange(len(free)) + slots, len(free))
    fits = np.flatnonzero(bad[end] - bad[: len(free)] == 0)
    fits = fits[fits >= first]
    return int(fits[0]) if len(fits) else None


def _running_gpus(works: Sequence[Work], index: int, grid: TimeGrid) -> FloatArray:
    """GPUs that running flexible jobs hold until their mean end at the slowest allowed speed: base load may not take these."""
    held = np.zeros(grid.slots)
    for work in works:
        if work.running and work.pools[0] == index:
            slots = int(np.ceil(work.mean_s / work.points[-1].speed / grid.slot_s)) + 1
            held[:slots] += work.state.job.gpus
    return held


def _protected_gpus(works: Sequence[Work], index: int, grid: TimeGrid) -> float:
    """Largest waiting gang of a pool: work that is only expected may not crowd it out for ever."""
    return float(max((work.state.job.gpus for work in works if not work.running and index in work.pools), default=0))


def _arrival_shares(site: Site, snapshot: Snapshot, insulated: Sequence[Insulated]) -> list[FloatArray]:
    """How expected arrivals spread over the pools: in proportion to the GPUs that insulated work leaves, (slots,) each."""
    free = [
        np.maximum(1e-9, _available(snapshot, pool) - mine.reserved_gpus)
        for pool, mine in zip(site.pools, insulated, strict=True)
    ]
    total = np.sum(free, axis=0)
    return [np.asarray(mine / total) for mine in free]


def _arrivals(site: Site, outlook: Outlook, settings: Settings, pool: Pool, share: FloatArray) -> Insulated:
    """Insulated work to come: whole GPUs reserved in the first hours, where plans are integral, expected ones after."""
    names = insulated_classes(site, outlook.arrival_gpus)
    gpus, draw = np.zeros(outlook.grid.slots), np.zeros(outlook.grid.slots)
    for name in names:
        mine = settings.arrival_weight * share * outlook.arrival_gpus[name]
        extra_w = max(0.0, outlook.arrival_draw_w.get(name, pool.power.gpu_idle_w) - pool.power.gpu_idle_w)
        gpus += mine
        draw += kw_from_w(extra_w) * mine
    fine = np.arange(outlook.grid.slots) < settings.fine_slots
    return Insulated(reserved_gpus=np.where(fine, np.floor(gpus), gpus), extra_draw_kw=draw)


def insulated_classes(site: Site, arrivals: Mapping[str, FloatArray]) -> tuple[str, ...]:
    """Names in `arrivals` of classes that nothing may be done to (unknown ones included)."""
    flexible = {found.name for found in site.classes if found.flexibility is not Flexibility.INSULATED}
    return tuple(name for name in sorted(arrivals) if name not in flexible)
