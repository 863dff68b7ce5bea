"""Snapshot and outlook become a planning problem: plain arrays with everything that a plan may decide, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.core.planning.base_load import base_pools
from scheduler.core.planning.expected import UNPLACED_EUR_PER_GPU_H, expected_jobs
from scheduler.core.planning.plant_rows import heat_prices, plan_commitments, plan_offtakes, plan_plugs
from scheduler.core.planning.work import Work, deadline_utc, release_slot, works
from scheduler.core.tariffs.energy import adder_eur_per_kwh, carbon_eur_per_kwh, energy_eur_per_kwh
from scheduler.domain.job import Flexibility
from scheduler.domain.outlook import Outlook
from scheduler.domain.problem import PlanJob, PlanProblem
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot
from scheduler.domain.time import FloatArray, IntArray, TimeGrid
from scheduler.units import S_PER_H, h_from_s, kw_from_w

# A pause on a forecast is thought to last about this long when its gain is doubted (optimisation.md 2, value.md).
PAUSE_H = 6.0


def plan_grid(observed_utc: datetime, settings: Settings) -> TimeGrid:
    """Planning grid: slots aligned to the clock (UTC), the first one contains `observed_utc`."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    slots_before = int((observed_utc - epoch).total_seconds() // settings.slot_s)
    start = epoch + timedelta(seconds=slots_before * settings.slot_s)
    return TimeGrid(start_utc=start, slot_s=settings.slot_s, slots=settings.horizon_slots)


# Length of the farthest steps.
FAR_STEP_H = 4


def step_slots(grid: TimeGrid, fine_slots: int, time_zone: str, hourly_slots: int = 192) -> IntArray:
    """Slots per step: single slots first, at least `fine_slots` and on to the next local clock hour, then whole hours.

    Firm heat is owed by the local hour, so no hourly step may straddle one. After `hourly_slots` of those, where nothing is
    promised yet and prices are guesses, steps have FAR_STEP_H hours. The last step ends with the grid.
    """
    per_hour = max(1, int(S_PER_H) // grid.slot_s)
    fine = min(fine_slots, grid.slots)
    local = grid.time_of(fine).astimezone(ZoneInfo(time_zone))
    past_s = local.minute * 60 + local.second
    fine = min(grid.slots, fine + (-past_s % int(S_PER_H)) // grid.slot_s)
    near = min(grid.slots, fine + hourly_slots // per_hour * per_hour)
    hours, rest = divmod(near - fine, per_hour)
    long, end = divmod(grid.slots - near, per_hour * FAR_STEP_H)
    steps = [1] * fine + [per_hour] * hours + [rest] * (rest > 0) + [per_hour * FAR_STEP_H] * long + [end] * (end > 0)
    return np.asarray(steps, dtype=np.int64)


def commit_slots_of(settings: Settings) -> int:
    """Slots in which decisions are integral: at least until the next cycle."""
    return min(settings.horizon_slots, max(1, settings.commit_slots, -(-settings.cycle_s // settings.slot_s)))


def build_problem(site: Site, snapshot: Snapshot, outlook: Outlook, settings: Settings) -> PlanProblem:
    """Write the rolling-horizon problem of one instant.

    Args:
        site: pools, plugs, offtakes, classes, contracts.
        snapshot: what was seen.
        outlook: what is expected, on the planning grid (`plan_grid`).
        settings: horizon, steps, levers, weights.
    """
    grid, commit = outlook.grid, commit_slots_of(settings)
    flexible = works(site, snapshot.jobs, outlook.durations, outlook.arrival_draw_w, settings)
    spot, adder, carbon, tail = _prices(site, outlook)
    pools = base_pools(site, snapshot, outlook, flexible, settings)
    all_in = spot + adder + carbon
    heat_eur_per_kwh = heat_prices(site, snapshot, outlook)
    doubt = stop_doubt_eur_per_kw(all_in, settings)
    jobs = tuple(plan_job(site, work, grid, settings, doubt, snapshot.observed_utc) for work in flexible)
    limit_kw = float("inf") if site.site_limit_kw is None else site.site_limit_kw
    return PlanProblem(
        grid=grid,
        step_slots=step_slots(grid, settings.fine_slots, site.time_zone, settings.hourly_slots),
        commit_slots=commit,
        spot_eur_per_kwh=spot,
        adder_eur_per_kwh=adder,
        carbon_eur_per_kwh=carbon,
        tail_eur_per_kwh=tail,
        overhead_fraction=site.overhead_fraction_of_it,
        site_limit_kw=np.full(grid.slots, limit_kw),
        pools=pools,
        plugs=plan_plugs(site, snapshot, outlook, heat_eur_per_kwh, all_in),
        offtakes=plan_offtakes(site, outlook, heat_eur_per_kwh),
        jobs=jobs + expected_jobs(site, outlook, settings, commit),
        commitments=plan_commitments(site, snapshot, grid),
        demand_charge_eur_per_kw=site.electricity.demand_charge_eur_per_kw_month,
        peak_kw=snapshot.peak_kw,
        pump_slots=settings.pump_slots,
        penalties=settings.penalties,
    )


def _prices(site: Site, outlook: Outlook) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Energy, adder, carbon per slot and the all-in price after the horizon, EUR/kWh."""
    contract, grid = site.electricity, outlook.grid
    spot = energy_eur_per_kwh(contract, grid, site.time_zone, outlook.spot_eur_per_kwh)
    flat = adder_eur_per_kwh(contract)
    carbon = carbon_eur_per_kwh(outlook.carbon_g_per_kwh, contract.carbon_price_eur_per_tonne)
    tail_grid = TimeGrid(start_utc=grid.end_utc, slot_s=grid.slot_s, slots=len(outlook.tail_spot_eur_per_kwh))
    tail = energy_eur_per_kwh(contract, tail_grid, site.time_zone, outlook.tail_spot_eur_per_kwh)
    return spot, np.full(grid.slots, flat), carbon, tail + flat + float(carbon.mean() if len(carbon) else 0.0)


def stop_doubt_eur_per_kw(all_in_eur_per_kwh: FloatArray, settings: Settings) -> float:
    """Price of the doubt about a stop per kW that it moves: a share of what a pause through the whole price spread would save.

    stop_margin_fraction * PAUSE_H * (q90 - q10 of the all-in price): 1.2 * 6 h * 0.10 EUR/kWh = 0.72 EUR/kW.
    """
    low, high = np.quantile(all_in_eur_per_kwh, (0.1, 0.9))
    return settings.stop_margin_fraction * PAUSE_H * float(high - low)


def plan_job(site: Site, work: Work, grid: TimeGrid, settings: Settings, doubt_eur_per_kw: float, now_utc: datetime) -> PlanJob:
    """One flexible job as a plan of now sees it; `doubt_eur_per_kw` prices a stop by the draw it would move."""
    state, job_class, gpus = work.state, work.job_class, work.state.job.gpus
    due = deadline_utc(state, job_class)
    due_s = None if due is None else (due - grid.start_utc).total_seconds()
    latest = int((work.hold_until_utc - grid.start_utc).total_seconds() // grid.slot_s)
    lateness = gpus * job_class.lateness_eur_per_gpu_h
    late_s = 0.0 if due_s is None else max(0.0, grid.slots * grid.slot_s + work.mean_s - due_s)
    draw_kw = gpus * kw_from_w(work.points[0].draw_w - site.pools[work.pools[0]].power.gpu_idle_w)
    redone = gpus * job_class.value_eur_per_gpu_h * h_from_s(job_class.checkpoint_s)
    return PlanJob(
        job_id=state.job.job_id,
        gpus=gpus,
        pools=work.pools,
        work_s=work.mean_s,
        tail_work_s=work.tail_s,
        points=work.points,
        release_slot=release_slot(state, grid, now_utc),
        latest_start_slot=None if work.running else (latest if settings.levers.shifting else -1),
        due_s=due_s,
        running_pool=work.pools[0] if work.running else None,
        running_point=_point_of(work) if work.running else None,
        stoppable=_stoppable(work, settings, grid),
        stop_slot=_stop_slot(work, grid),
        resume_work_s=job_class.checkpoint_s,
        preemption_eur=redone * (1.0 + settings.stop_margin_fraction) + max(0.0, draw_kw) * doubt_eur_per_kw,
        waiting_eur_per_h=gpus * job_class.waiting_eur_per_gpu_h,
        lateness_eur_per_h=lateness,
        slowdown_eur_per_h=gpus * job_class.value_eur_per_gpu_h,
        unplaced_eur=UNPLACED_EUR_PER_GPU_H * gpus * h_from_s(work.mean_s) + lateness * h_from_s(late_s),
    )


def _point_of(work: Work) -> int:
    """Index of the power point in force: the fastest whose draw the limit in force allows, else the slowest."""
    cap_w = work.state.cap_w
    if cap_w is None:
        return 0
    allowed = [index for index, point in enumerate(work.points) if point.draw_w <= cap_w + 1e-6]
    return allowed[0] if allowed else len(work.points) - 1


def _stoppable(work: Work, settings: Settings, grid: TimeGrid) -> bool:
    """True for a running preemptible job with stops left that may still be kept waiting for a slot or more."""
    preemptible = work.running and work.state.may_stop and work.job_class.flexibility is Flexibility.PREEMPTIBLE
    may_wait = work.hold_until_utc >= grid.time_of(2)
    left = work.state.preemptions < work.job_class.max_preemptions
    return preemptible and settings.levers.pausing and left and may_wait


def _stop_slot(work: Work, grid: TimeGrid) -> int:
    """First slot at whose start the minimum run time is over."""
    left_s = work.job_class.min_runtime_s - work.state.run_s
    return max(0, -(-int(np.ceil(left_s)) // grid.slot_s)) if work.running else 0
