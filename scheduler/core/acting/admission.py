"""A job that comes between two cycles: one pricing of its options on the last plan's duals and a look whether it fits.

No solver runs. The duals say what a GPU-hour and a kWh of draw cost the rest of the plan in every slot, so the cheapest option
at those prices is what the full plan would most likely give the job; the next cycle plans it properly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.explain import clock
from scheduler.core.planning.quotes import quotes
from scheduler.domain.plan import Duals, WaitReason
from scheduler.domain.problem import PlanJob, PlanProblem
from scheduler.domain.time import FloatArray
from scheduler.units import eur_per_mwh_from_eur_per_kwh

# A later start must be worth this much per GPU, or the job starts now: the prices are up to an hour old.
LEAST_GAIN_EUR_PER_GPU = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Start now (`pool`, `point` set, `start_slot` now) or hold until `start_slot`, at the latest `latest_start_slot`.

    pool and point index the problem's pools and the job's points; for a hold they are what is planned, not promised.
    saves_eur: by how much the chosen start is cheaper for the site than the cheapest start now, at the last plan's prices.
    """

    job_id: str
    start_now: bool
    pool: int | None
    point: int | None
    start_slot: int | None
    latest_start_slot: int | None
    saves_eur: float
    reason: WaitReason | None
    text: str


def admit(problem: PlanProblem, duals: Duals, job: PlanJob, *, now_slot: int, free_gpus: FloatArray) -> Admission:
    """Decide about one new job between two cycles.

    Args:
        problem: the problem of the last plan; grid, prices after the horizon and pools are read, its jobs are not.
        duals: prices of the last plan, on the same grid.
        job: the new job, slots counted from the problem's grid.
        now_slot: the slot in which the job would start if it started now.
        free_gpus: GPUs free at this moment, per pool.
    """
    fitting = [pool for pool in job.pools if job.gpus <= free_gpus[pool] + 1e-9]
    if not any(job.gpus <= float(np.max(problem.pools[pool].gpus_free, initial=0.0)) for pool in job.pools):
        return _unplaceable(problem, job)
    now_slot = min(max(0, now_slot), problem.grid.slots - 1)
    priced = quotes(problem, duals, job, now_slot)
    later = priced.copy()
    later[:, :, : now_slot + 1] = np.inf
    pool_later, point_later, slot_later = (int(one) for one in np.unravel_index(np.argmin(later), later.shape))
    best_later = float(later[pool_later, point_later, slot_later])
    rows = [index for index, pool in enumerate(job.pools) if pool in fitting]
    now = np.full_like(priced[:, :, 0], np.inf)
    now[rows] = priced[rows, :, now_slot]
    pool_now, point_now = (int(one) for one in np.unravel_index(np.argmin(now), now.shape))
    best_now = float(now[pool_now, point_now])
    if np.isfinite(best_now) and best_now - best_later <= LEAST_GAIN_EUR_PER_GPU * job.gpus:
        return _start(problem, job, (job.pools[pool_now], point_now, now_slot))
    if not np.isfinite(best_later):
        return _wait_for_room(problem, job, now_slot)
    chosen = (job.pools[pool_later], point_later, slot_later)
    cheapest_now = float(priced[:, :, now_slot].min())
    return _hold(problem, duals, job, (now_slot, bool(rows)), chosen, cheapest_now - best_later)


def _start(problem: PlanProblem, job: PlanJob, chosen: tuple[int, int, int]) -> Admission:
    """Start on a pool at a cap level."""
    pool, point, slot = chosen
    level = job.points[point].level
    capped = "" if point == 0 else f" at {level:.0%} of the GPU's power limit"
    return Admission(
        job_id=job.job_id,
        start_now=True,
        pool=pool,
        point=point,
        start_slot=slot,
        latest_start_slot=job.latest_start_slot,
        saves_eur=0.0,
        reason=None,
        text=f"Starts now on {problem.pools[pool].pool_id}{capped}: no later start is cheaper",
    )


def _hold(
    problem: PlanProblem, duals: Duals, job: PlanJob, now: tuple[int, bool], chosen: tuple[int, int, int], saves_eur: float
) -> Admission:
    """Hold for a cheaper or a possible start; `now` is (slot, whether any pool has room)."""
    pool, point, slot = chosen
    now_slot, fits = now
    if fits:
        gain = float(duals.draw_eur_per_kwh[pool, now_slot] - duals.draw_eur_per_kwh[pool, slot])
        price = eur_per_mwh_from_eur_per_kwh(gain)
        dearer = (
            f"GPU power is worth {price:.0f} EUR/MWh less to the site then" if price >= 1 else "GPUs are wanted by others now"
        )
        reason = WaitReason.CHEAPER_POWER if price >= 1 else WaitReason.POOL_FULL
    else:
        dearer, reason = f"no pool has {job.gpus} free GPUs now", WaitReason.NO_FIT
    latest = job.latest_start_slot
    last = "" if latest is None or latest < slot else f", at the latest {clock(problem, latest)}"
    worth = f" (saves {saves_eur:.2f} EUR)" if 0.005 <= saves_eur < np.inf else ""
    return Admission(
        job_id=job.job_id,
        start_now=False,
        pool=pool,
        point=point,
        start_slot=slot,
        latest_start_slot=latest,
        saves_eur=max(0.0, saves_eur) if np.isfinite(saves_eur) else 0.0,
        reason=reason,
        text=f"Held until {clock(problem, slot)} UTC{last}: {dearer}{worth}",
    )


def _wait_for_room(problem: PlanProblem, job: PlanJob, now_slot: int) -> Admission:
    """Its latest start is now and nothing is free: it starts as soon as it fits."""
    names = ", ".join(problem.pools[pool].pool_id for pool in job.pools)
    return Admission(
        job_id=job.job_id,
        start_now=False,
        pool=None,
        point=None,
        start_slot=now_slot,
        latest_start_slot=job.latest_start_slot,
        saves_eur=0.0,
        reason=WaitReason.NO_FIT,
        text=f"Starts as soon as {job.gpus} GPUs are free on {names}: it may wait no longer",
    )


def _unplaceable(problem: PlanProblem, job: PlanJob) -> Admission:
    """No eligible pool ever has enough GPUs."""
    most = max((float(np.max(problem.pools[pool].gpus_free, initial=0.0)) for pool in job.pools), default=0.0)
    return Admission(
        job_id=job.job_id,
        start_now=False,
        pool=None,
        point=None,
        start_slot=None,
        latest_start_slot=job.latest_start_slot,
        saves_eur=0.0,
        reason=WaitReason.UNPLACEABLE,
        text=f"Needs {job.gpus} GPUs at once; its pools have at most {most:.0f} for flexible jobs",
    )
