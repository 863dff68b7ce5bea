"""Flexible work that nobody has submitted yet, as jobs of the plan that may wait and be capped like the real ones.

Expected arrivals matter more than any other forecast: a plan blind to them fills the cheap night with what it knows and
finds the queue full. As fixed load they would sit in the dear hours in which they arrive; as jobs they compete for the cheap
ones. The expected busy GPUs of a class, if it all ran at once, are cut at EDGES_H into pieces of the same area:

    gpus * work_s = integral of arrival_gpus over the piece,    release = start of the piece, never inside the commit window
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scheduler.core.planning.work import cap_points
from scheduler.domain.job import Flexibility, JobClass
from scheduler.domain.outlook import Outlook
from scheduler.domain.problem import PlanJob
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.units import h_from_s, s_from_h

EXPECTED_PREFIX = "expected:"
# Pieces grow with the distance: what comes soon decides about what starts now.
EDGES_H = (0.0, 2.0, 4.0, 8.0, 12.0, 18.0, 24.0, 32.0, 40.0, 48.0, 72.0, 96.0, 120.0, 144.0, 168.0)
# Less than a quarter of a GPU-hour is noise.
LEAST_GPU_H = 0.25
# A piece must fit beside others: at most this share of the smallest pool.
LARGEST_SHARE = 0.25
# Room to the deadline of work whose deadline is not known, as a share of the class's longest delay.
SLACK_FRACTION = 0.5
# Worth of a GPU-hour that the plan leaves undone: above any power price (0.5 kW at 1 EUR/kWh) and any waiting.
UNPLACED_EUR_PER_GPU_H = 1.0


def is_expected(job_id: str) -> bool:
    """True for a job of the plan that stands for work to come."""
    return job_id.startswith(EXPECTED_PREFIX)


def expected_jobs(site: Site, outlook: Outlook, settings: Settings, commit_slots: int) -> tuple[PlanJob, ...]:
    """Pieces of the work expected of every flexible class; none when the arrival weight is 0 or nothing is expected."""
    flexible = [found for found in site.classes if found.flexibility is not Flexibility.INSULATED and site.pools]
    return tuple(
        job
        for job_class in flexible
        if job_class.name in outlook.arrival_gpus
        for job in _pieces(site, outlook, settings, job_class, commit_slots)
    )


def _pieces(site: Site, outlook: Outlook, settings: Settings, job_class: JobClass, commit_slots: int) -> Iterator[PlanJob]:
    """Cut the expected load of one class into jobs."""
    grid = outlook.grid
    busy = settings.arrival_weight * outlook.arrival_gpus[job_class.name]
    edges = np.unique(np.minimum(np.round(np.asarray(EDGES_H) / grid.slot_h).astype(np.int64), grid.slots))
    largest = max(1.0, LARGEST_SHARE * min(pool.gpus for pool in site.pools))
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        area_gpu_h = float(busy[start:end].sum()) * grid.slot_h
        if not area_gpu_h > LEAST_GPU_H:
            continue
        length_h = float(end - start) * grid.slot_h
        gpus = max(1, int(min(np.ceil(area_gpu_h / length_h), largest)))
        parts = max(1, round(area_gpu_h / (gpus * length_h)))
        for part in range(parts):
            name = f"{EXPECTED_PREFIX}{job_class.name}:{int(start):04d}:{part:03d}"
            release = max(int(start), commit_slots)
            yield _piece(site, outlook, settings, job_class, (name, gpus, area_gpu_h / (parts * gpus), release))


def _piece(
    site: Site, outlook: Outlook, settings: Settings, job_class: JobClass, shape: tuple[str, int, float, int]
) -> PlanJob:
    """One piece as a job: (name, gpus, hours of work, release slot)."""
    name, gpus, work_h, release = shape
    grid, pool = outlook.grid, site.pools[0]
    work_s = s_from_h(work_h)
    slack_s = (
        job_class.default_deadline_s if job_class.default_deadline_s is not None else SLACK_FRACTION * job_class.max_delay_s
    )
    due_s = release * grid.slot_s + work_s + slack_s
    late_h = max(0.0, h_from_s(grid.slots * grid.slot_s + work_s - due_s))
    lateness = gpus * job_class.lateness_eur_per_gpu_h
    return PlanJob(
        job_id=name,
        gpus=gpus,
        pools=tuple(range(len(site.pools))),
        work_s=work_s,
        tail_work_s=work_s,
        points=cap_points(site, job_class, pool, outlook.arrival_draw_w[job_class.name], settings),
        release_slot=release,
        latest_start_slot=grid.slots if settings.levers.shifting else release - 1,
        due_s=due_s,
        waiting_eur_per_h=gpus * job_class.waiting_eur_per_gpu_h,
        lateness_eur_per_h=lateness,
        slowdown_eur_per_h=gpus * job_class.value_eur_per_gpu_h,
        unplaced_eur=UNPLACED_EUR_PER_GPU_H * gpus * work_h + lateness * late_h,
    )
