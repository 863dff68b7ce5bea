"""A cycle as a live page shows it: the measured hours before it, the plan after it, who waits and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from scheduler.core.forecast.outlook import outlook
from scheduler.core.planning.expected import is_expected
from scheduler.core.planning.problem import build_problem, plan_grid
from scheduler.domain.decision import Decision
from scheduler.domain.job import Flexibility, JobPhase, JobState
from scheduler.domain.live import LiveCounts, LiveCustomer, LiveJob, LiveSeries, LiveState
from scheduler.domain.outlook import Outlook
from scheduler.domain.plan import Explanation, Offer, PlanStatus
from scheduler.domain.problem import PlanProblem
from scheduler.domain.settings import Settings
from scheduler.domain.site import DemandSource, Offtake, Site
from scheduler.domain.snapshot import Snapshot
from scheduler.domain.time import BoolArray, FloatArray, Series, TimeGrid
from scheduler.units import S_PER_H

BACK_S = int(12 * S_PER_H)
AHEAD_S = int(48 * S_PER_H)
# A page is read by people: of more that wait the most urgent are listed, and all are counted.
MOST_JOBS = 60
MOST_NOTES = 12
DIGITS = 5
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What one cycle leaves behind. before: the state of the cycle before, whose measured levels go on to be shown."""

    site: Site
    settings: Settings
    snapshot: Snapshot
    decision: Decision
    before: LiveState | None = None


def live_state(policy: str, seen: Seen, *, simulated: bool = False) -> LiveState:
    """One policy after a cycle.

    Args:
        policy: its name.
        seen: the cycle; settings in force then.
        simulated: whether the site is made up.
    """
    site, settings, snapshot, plan = seen.site, seen.settings, seen.snapshot, seen.decision.plan
    planned = plan_grid(snapshot.observed_utc, settings)
    ahead = outlook(site, snapshot, settings, planned)
    problem = None if plan.status is PlanStatus.LET_GO else build_problem(site, snapshot, ahead, settings)
    series = _series(seen, ahead, problem)
    levels = [one.tank_level_kwh for one in snapshot.plants]
    return LiveState(
        policy=policy,
        site_name=site.name,
        time_zone=site.time_zone,
        currency=site.currency,
        at_utc=snapshot.observed_utc,
        cycle_s=settings.cycle_s,
        plan_max_age_s=settings.plan_max_age_s,
        mode=settings.mode,
        status=plan.status.value,
        degraded_reason=plan.degraded_reason,
        plan_id=plan.plan_id,
        rolling_gap=plan.report.rolling_gap if math.isfinite(plan.report.rolling_gap) else None,
        notes=(*ahead.degraded, *seen.decision.violations)[:MOST_NOTES],
        sources=snapshot.freshness,
        series=series,
        jobs=_waiting(seen),
        counts=_counts(seen),
        customers=tuple(_customer(one, ahead, seen.decision.offers) for one in site.offtakes),
        plug_ids=tuple(plug.plug_id for plug in site.plugs),
        tank_level_kwh=_sum_known(levels) if levels else None,
        tank_capacity_kwh=sum(plug.tank.capacity_kwh for plug in site.plugs if plug.tank is not None),
        simulated=simulated,
    )


def _series(seen: Seen, ahead: Outlook, problem: PlanProblem | None) -> LiveSeries:
    """Measured before now, planned from now on."""
    site, past, plan, offers = seen.site, seen.snapshot.history, seen.decision.plan, seen.decision.offers
    slot_s = ahead.grid.slot_s
    back = BACK_S // slot_s
    slots = back + min(ahead.grid.slots, AHEAD_S // slot_s)
    grid = TimeGrid(start_utc=ahead.grid.start_utc - timedelta(seconds=back * slot_s), slot_s=slot_s, slots=slots)
    was, comes = np.arange(slots) < back, np.arange(slots) >= back

    def measured(series: Iterable[Series | None]) -> FloatArray:
        return _only(_added([_of_series(one, grid) for one in series], slots), was)

    def told(values: Iterable[FloatArray]) -> FloatArray:
        return _only(_added([on_grid(one, ahead.grid, grid) for one in values], slots), comes)

    def offered(part: Callable[[Offer], FloatArray]) -> FloatArray:
        return _only(_added([on_grid(part(one), one.grid, grid) for one in offers], slots), comes)

    def planned(values: FloatArray) -> FloatArray:
        return _only(on_grid(np.repeat(values, plan.step_slots), plan.grid, grid), comes)

    sold = _added(list(plan.sold_kw.values()), len(plan.step_slots))
    tanks = [flows.tank_kwh for flows in plan.flows if any(p.plug_id == flows.plug_id and p.tank for p in site.plugs)]
    spot = on_grid(ahead.spot_eur_per_kwh, ahead.grid, grid)
    low, high = ahead.spot_p10_eur_per_kwh, ahead.spot_p90_eur_per_kwh
    bands = tuple(ahead.demand_kw.values())
    flexible, expected, insulated, there = _gpus(seen, problem, grid)
    levels = _levels(seen, grid, back)
    return _rounded(
        LiveSeries(
            grid=grid,
            now_slot=back,
            delivered_kw=measured(past.delivered_kw.get(plug.plug_id) for plug in site.plugs),
            demand_kw=measured(_demand(one, seen.snapshot) for one in site.offtakes),
            demand_p10_kw=told(one.p10 for one in bands),
            demand_p50_kw=told(one.p50 for one in bands),
            demand_p90_kw=told(one.p90 for one in bands),
            planned_kw=offered(lambda one: one.p50_kw) if offers else planned(sold),
            planned_p10_kw=offered(lambda one: one.p10_kw),
            planned_p90_kw=offered(lambda one: one.p90_kw),
            firm_kw=offered(lambda one: one.firm_kw),
            price_eur_per_kwh=np.where(was, _of_series(past.price, grid), spot),
            price_p10_eur_per_kwh=spot * np.nan if low is None else _only(on_grid(low, ahead.grid, grid), comes),
            price_p90_eur_per_kwh=spot * np.nan if high is None else _only(on_grid(high, ahead.grid, grid), comes),
            tank_kwh=np.where(comes, planned(_added(tanks, len(plan.step_slots))), levels),
            gpus_insulated=np.where(comes, insulated, _of_series(past.insulated_gpus, grid)),
            gpus_flexible=np.where(comes, flexible, _carried(seen, grid, "gpus_flexible")),
            gpus_expected=_only(expected, comes),
            gpus_there=there,
        )
    )


def _rounded(series: LiveSeries) -> LiveSeries:
    """Digits that nobody can see are not kept."""
    names = [one.name for one in fields(series) if isinstance(getattr(series, one.name), np.ndarray)]
    return replace(series, **{name: np.round(getattr(series, name), DIGITS) for name in names})


def on_grid(values: FloatArray, own: TimeGrid, grid: TimeGrid) -> FloatArray:
    """Values of one grid on the slots of another, by the slot that holds each start; NaN beyond its ends, (grid.slots,)."""
    shift_s = (grid.start_utc - own.start_utc).total_seconds()
    index = np.floor((shift_s + np.arange(grid.slots) * grid.slot_s) / own.slot_s).astype(np.int64)
    inside = (index >= 0) & (index < len(values))
    if not len(values):
        return np.full(grid.slots, np.nan)
    return np.where(inside, np.asarray(values, dtype=np.float64)[np.clip(index, 0, len(values) - 1)], np.nan)


def _of_series(series: Series | None, grid: TimeGrid) -> FloatArray:
    return np.full(grid.slots, np.nan) if series is None else on_grid(series.values, series.grid, grid)


def _only(values: FloatArray, where: BoolArray) -> FloatArray:
    return np.where(where, values, np.nan)


def _added(parts: list[FloatArray], slots: int) -> FloatArray:
    """Their sum; NaN where one of them is not known, or where there are none."""
    return np.sum(parts, axis=0, dtype=np.float64) if parts else np.full(slots, np.nan)


def _demand(offtake: Offtake, snapshot: Snapshot) -> Series | None:
    """What a customer took or would have taken; of a constant one his constant."""
    found = snapshot.history.heat_demand_kw.get(offtake.offtake_id)
    if found is not None or offtake.demand_source is not DemandSource.CONSTANT:
        return found
    grid = TimeGrid(start_utc=snapshot.observed_utc - timedelta(seconds=AHEAD_S), slot_s=2 * AHEAD_S, slots=1)
    return Series(grid=grid, values=np.array([offtake.constant_demand_kw]), unit="kW", source="contract")


def _gpus(seen: Seen, problem: PlanProblem | None, grid: TimeGrid) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """GPUs of jobs that are here, of work to come, of insulated work, and all, on `grid`."""
    plan, snapshot = seen.decision.plan, seen.snapshot
    there = float(sum(snapshot.available_gpus.get(pool.pool_id, pool.gpus) for pool in seen.site.pools))
    if problem is None:
        unknown = np.full(grid.slots, np.nan)
        return unknown, unknown, unknown, np.full(grid.slots, there)
    sizes = {one.job_id: one.gpus for one in problem.jobs}
    here, coming = np.zeros(plan.grid.slots), np.zeros(plan.grid.slots)
    for job in plan.jobs:
        into = coming if is_expected(job.job_id) else here
        for option in job.options:
            into[option.start_slot : option.end_slot] += option.weight * sizes.get(job.job_id, 0)
    free = _added([pool.gpus_free for pool in problem.pools], problem.grid.slots)
    insulated = np.maximum(0.0, there - on_grid(free, problem.grid, grid))
    return on_grid(here, plan.grid, grid), on_grid(coming, plan.grid, grid), insulated, np.full(grid.slots, there)


def _levels(seen: Seen, grid: TimeGrid, back: int) -> FloatArray:
    """Tank levels as they were measured cycle by cycle, in between as planned then."""
    values = _carried(seen, grid, "tank_kwh")
    level = _sum_known([one.tank_level_kwh for one in seen.snapshot.plants])
    if level is not None and back > 0 and any(plug.tank for plug in seen.site.plugs):
        values[back - 1] = level
    return values


def _carried(seen: Seen, grid: TimeGrid, name: str) -> FloatArray:
    """A series of the state before on this grid: what it had, and what it foresaw until now; NaN without one."""
    before = seen.before
    if before is None:
        return np.full(grid.slots, np.nan)
    return on_grid(getattr(before.series, name), before.series.grid, grid)


def _sum_known(values: Iterable[float | None]) -> float | None:
    """The sum; None where one is not known."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _flexible(site: Site, state: JobState) -> bool:
    names = {one.name: one for one in site.classes}
    found = names.get(state.job.class_name)
    return found is not None and found.flexibility is not Flexibility.INSULATED


def _waiting(seen: Seen) -> tuple[LiveJob, ...]:
    """Flexible jobs that do not run: those whose time ends first, first."""
    told = {one.job_id: one for one in seen.decision.plan.explanations}
    found = [
        _job(state, told.get(state.job.job_id))
        for state in seen.snapshot.jobs
        if state.phase in (JobPhase.QUEUED, JobPhase.PAUSED) and _flexible(seen.site, state)
    ]
    # One without any end comes last.
    found.sort(key=lambda one: (one.latest_start_utc or one.deadline_utc or NEVER, one.job_id))
    return tuple(found[:MOST_JOBS])


def _job(state: JobState, told: Explanation | None) -> LiveJob:
    job = state.job
    return LiveJob(
        job_id=job.job_id,
        class_name=job.class_name,
        gpus=job.gpus,
        reason="" if told is None else told.reason.value,
        text="" if told is None else told.text,
        start_utc=None if told is None else told.start_utc,
        latest_start_utc=None if told is None else told.latest_start_utc,
        deadline_utc=job.deadline_utc,
        saves_eur=0.0 if told is None else told.saves_eur,
        may_move=told is not None and told.may_move,
        paused=state.phase is JobPhase.PAUSED,
    )


def _counts(seen: Seen) -> LiveCounts:
    jobs = [one for one in seen.snapshot.jobs if one.phase is not JobPhase.DONE]
    flexible = [one for one in jobs if _flexible(seen.site, one)]
    running = [one for one in jobs if one.phase is JobPhase.RUNNING]
    pools = seen.site.pools
    return LiveCounts(
        waiting=sum(one.phase is JobPhase.QUEUED for one in flexible),
        paused=sum(one.phase is JobPhase.PAUSED for one in flexible),
        running=sum(one.phase is JobPhase.RUNNING for one in flexible),
        capped=sum(one.cap_w is not None for one in running),
        insulated=len(jobs) - len(flexible),
        gpus_busy=sum(one.job.gpus for one in running),
        gpus_there=sum(seen.snapshot.available_gpus.get(pool.pool_id, pool.gpus) for pool in pools),
    )


def _customer(offtake: Offtake, ahead: Outlook, offers: tuple[Offer, ...]) -> LiveCustomer:
    offer = next((one for one in offers if one.offtake_id == offtake.offtake_id), None)
    band = ahead.demand_kw.get(offtake.offtake_id)
    return LiveCustomer(
        offtake=offtake,
        demand_kw=None if band is None else float(band.p50[0]),
        planned_kw=None if offer is None else _at(offer.p50_kw, offer, ahead),
        firm_kw=None if offer is None else _at(offer.firm_kw, offer, ahead),
        boiler_request_kw=0.0 if offer is None else offer.boiler_request_kw,
    )


def _at(values: FloatArray, offer: Offer, ahead: Outlook) -> float | None:
    """The value of the slot that has begun."""
    slot = offer.grid.slot_of(ahead.grid.start_utc)
    return float(values[slot]) if 0 <= slot < len(values) else None
