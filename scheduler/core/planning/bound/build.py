"""From a replayable world to the problem of the bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np

from scheduler.core.planning.bound.problem import BoundJob, BoundOfftake, BoundPlug, BoundPool, BoundProblem, RunPoint
from scheduler.core.planning.bound.sale import sale_hours
from scheduler.core.thermal.capture import captured_kw, captured_per_draw
from scheduler.core.thermal.heat_pump import cop
from scheduler.core.thermal.host import node_kw, power_points
from scheduler.core.thermal.limits import rated_heat_kw
from scheduler.domain.errors import Misconfigured
from scheduler.domain.job import Flexibility
from scheduler.domain.site import Offtake, Plug, Pool, Site
from scheduler.domain.time import FloatArray, IntArray, TimeGrid
from scheduler.domain.world import JobTruth
from scheduler.units import S_PER_H, h_from_s, kw_from_w

# Draw of a job that states none, as a share of the GPU's maximum: what the virtual cluster gives it.
UNKNOWN_DRAW_FRACTION = 0.65


class WindowSeries(Protocol):
    """What really happened, on the slots of a grid that begins with the window, without holes; EUR/kWh and kW by offtake."""

    @property
    def grid(self) -> TimeGrid:
        """Slots from the start of the window to its end or later."""
        ...

    @property
    def energy_eur_per_kwh(self) -> FloatArray:
        """Energy part of the price of electricity."""
        ...

    @property
    def adder_eur_per_kwh(self) -> float:
        """Network and taxes on every kWh."""
        ...

    @property
    def carbon_eur_per_kwh(self) -> FloatArray:
        """Shadow price of carbon."""
        ...

    @property
    def heat_eur_per_kwh(self) -> dict[str, FloatArray]:
        """Tariff by offtake."""
        ...

    @property
    def demand_kw(self) -> dict[str, FloatArray]:
        """The most each offtake takes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Rows of time: `edges_h` from the start of the window, `slot` the slot of the series whose values hold in each row."""

    start_utc: datetime
    edges_h: FloatArray
    slot: IntArray


def bound_problem(
    site: Site,
    jobs: Sequence[JobTruth],
    series: WindowSeries,
    end_utc: datetime,
    *,
    promised_until_utc: datetime | None = None,
    by_slot: bool = False,
) -> BoundProblem:
    """The problem of a window from `series.grid.start_utc` to `end_utc`.

    Args:
        site: pools, plugs, contracts, classes.
        jobs: every job of the window with its true duration.
        series: what really happened; the very numbers that the strategies were charged with.
        end_utc: common end: by then every strategy that is compared has drained.
        promised_until_utc: firm heat is sold for hours that end by then (for none of those in which the last jobs run out);
            `end_utc` when not stated.
        by_slot: a row for each slot of the series, whatever changes in it: how finely a plant can be steered.

    Raises:
        Misconfigured: when the series end before the window, or an offtake's series has holes.
    """
    rows = rows_of(series, end_utc, by_slot=by_slot)
    _refuse_holes(series, rows)
    price = (series.energy_eur_per_kwh + series.adder_eur_per_kwh + series.carbon_eur_per_kwh)[rows.slot]
    plugs = tuple(_plug(site, plug, series, rows) for plug in site.plugs)
    until_utc = end_utc if promised_until_utc is None else min(end_utc, promised_until_utc)
    return BoundProblem(
        edges_h=rows.edges_h,
        price_eur_per_kwh=price,
        overhead_fraction=site.overhead_fraction_of_it,
        pools=tuple(_pool(site, pool) for pool in site.pools),
        plugs=plugs,
        offtakes=tuple(_offtake(site, offtake, series, rows, plugs, until_utc) for offtake in site.offtakes),
        jobs=tuple(_job(site, truth, rows.start_utc) for truth in jobs),
        steered=by_slot,
    )


def rows_of(series: WindowSeries, end_utc: datetime, *, by_slot: bool = False) -> Rows:
    """Clock hours where nothing changes inside an hour, else (or `by_slot`) the slots of the series.

    The last row may be cut by the end.

    Raises:
        Misconfigured: when the series end too early.
    """
    grid = series.grid
    window_s = (end_utc - grid.start_utc).total_seconds()
    if end_utc > grid.end_utc or window_s <= 0.0:
        raise Misconfigured(f"the window ends at {end_utc:%Y-%m-%d %H:%M}Z", where="bound", expected="an end inside the series")
    slots = int(np.ceil(window_s / grid.slot_s))
    begin_s = np.arange(slots, dtype=np.int64) * grid.slot_s
    hour = (int(grid.start_utc.timestamp()) + begin_s) // int(S_PER_H)
    whole_hours = not by_slot and _constant_in(series, hour)
    first = np.concatenate([[True], hour[1:] != hour[:-1]]) if whole_hours else np.ones(slots, dtype=bool)
    edges_s = np.concatenate([begin_s[first].astype(np.float64), [window_s]])
    return Rows(start_utc=grid.start_utc, edges_h=edges_s / S_PER_H, slot=np.flatnonzero(first))


def _constant_in(series: WindowSeries, hour: IntArray) -> bool:
    """True when no series changes inside a clock hour."""
    same = hour[1:] == hour[:-1]
    tables = [
        series.energy_eur_per_kwh,
        series.carbon_eur_per_kwh,
        *series.heat_eur_per_kwh.values(),
        *series.demand_kw.values(),
    ]
    return all(bool(np.all(values[1 : len(hour)][same] == values[: len(hour) - 1][same])) for values in tables)


def _refuse_holes(series: WindowSeries, rows: Rows) -> None:
    """An unknown price or demand would make the bound meaningless."""
    tables = {"price": series.energy_eur_per_kwh, "carbon": series.carbon_eur_per_kwh}
    tables |= {f"heat price of {name}": values for name, values in series.heat_eur_per_kwh.items()}
    tables |= {f"demand of {name}": values for name, values in series.demand_kw.items()}
    for name, values in tables.items():
        if not np.all(np.isfinite(values[rows.slot])):
            raise Misconfigured(f"{name} has holes in the window", where="bound", expected="a value in every slot")


def _pool(site: Site, pool: Pool) -> BoundPool:
    """A pool whose GPUs all idle."""
    index, plug = next((n, one) for n, one in enumerate(site.plugs) if one.plug_id == pool.plug_id)
    idle_kw = pool.gpus * kw_from_w(pool.power.gpu_idle_w)
    it_kw = node_kw(pool.power, pool.gpus, idle_kw)
    return BoundPool(
        pool_id=pool.pool_id,
        plug=index,
        gpus=pool.gpus,
        base_it_kw=it_kw,
        base_captured_kw=captured_kw(plug, idle_kw, it_kw),
        it_kw_per_draw_kw=pool.power.host_slope,
        captured_kw_per_draw_kw=captured_per_draw(plug, pool.power),
        max_extra_kw_per_gpu=max(0.0, kw_from_w(pool.power.gpu_max_w - pool.power.gpu_idle_w)),
    )


def _plug(site: Site, plug: Plug, series: WindowSeries, rows: Rows) -> BoundPlug:
    """A plug at rest, its tank at the stated level."""
    pump, tank = plug.heat_pump, plug.tank
    start_kwh = 0.0 if tank is None else tank.initial_fraction * tank.capacity_kwh
    tariffs = [series.heat_eur_per_kwh[one.offtake_id][rows.slot] for one in site.offtakes if one.plug_id == plug.plug_id]
    return BoundPlug(
        plug_id=plug.plug_id,
        rated_heat_kw=_most_in_rows(rated_heat_kw(plug, series.grid), rows),
        cop=None if pump is None else cop(pump.cop),
        min_load_fraction=0.0 if pump is None else pump.min_load_fraction,
        start_cost_eur=0.0 if pump is None else pump.start_cost_eur,
        pipe_loss_kw=plug.pipe_loss_kw,
        lag_h=h_from_s(plug.capture_lag_s),
        tank_capacity_kwh=0.0 if tank is None else tank.capacity_kwh,
        tank_start_kwh=start_kwh,
        tank_end_kwh=start_kwh if tank is not None and tank.end_at_least_initial else 0.0,
        tank_deficit_eur_per_kwh=max((float(np.max(values)) for values in tariffs), default=0.0),
        max_charge_kw=0.0 if tank is None else tank.max_charge_kw,
        max_discharge_kw=0.0 if tank is None else tank.max_discharge_kw,
        tank_loss_per_h_fraction=0.0 if tank is None else tank.loss_per_hour_fraction,
        rejection_kw_per_kw=plug.rejection_electric_fraction,
        room_kw_per_kw=plug.room_electric_fraction,
    )


def _most_in_rows(values: FloatArray, rows: Rows) -> FloatArray:
    """The largest slot value in each row: a limit that changes inside a row is relaxed, never tightened."""
    return np.asarray(np.maximum.reduceat(values, rows.slot))


def _offtake(
    site: Site,
    offtake: Offtake,
    series: WindowSeries,
    rows: Rows,
    plugs: tuple[BoundPlug, ...],
    until_utc: datetime,
) -> BoundOfftake:
    """A customer; what can be promised is limited by what the plug can hand over with its tank."""
    index = next(n for n, plug in enumerate(site.plugs) if plug.plug_id == offtake.plug_id)
    rule = offtake.firm
    most_kw = np.minimum(plugs[index].rated_heat_kw + plugs[index].max_discharge_kw, offtake.max_heat_kw)
    hours = () if rule is None else sale_hours(rule, site.time_zone, rows.start_utc, rows.edges_h, most_kw, until_utc)
    return BoundOfftake(
        offtake_id=offtake.offtake_id,
        plug=index,
        demand_kw=np.clip(series.demand_kw[offtake.offtake_id][rows.slot], 0.0, offtake.max_heat_kw),
        price_eur_per_kwh=series.heat_eur_per_kwh[offtake.offtake_id][rows.slot],
        sale_hours=hours,
        capacity_eur_per_kwh=0.0 if rule is None else rule.capacity_eur_per_kwh,
        shortfall_eur_per_kwh=0.0 if rule is None else rule.shortfall_eur_per_kwh,
        tolerance_fraction=0.0 if rule is None else rule.tolerance_fraction,
    )


def _job(site: Site, truth: JobTruth, start_utc: datetime) -> BoundJob:
    """A job as it really is, with every lever that its class allows in every pool it may use."""
    job, job_class = truth.job, site.job_class(truth.job.class_name)
    fixed = job_class.flexibility is Flexibility.INSULATED
    slowdown = 0.0 if fixed else job_class.max_slowdown_fraction
    pauses = job_class.max_preemptions if job_class.flexibility is Flexibility.PREEMPTIBLE else 0
    pools = [n for n, pool in enumerate(site.pools) if job.pool_id in (None, pool.pool_id) and job.gpus <= pool.gpus]
    due = job.deadline_utc
    # What a stop loses is never more than what has been done; a job that may stop at once could lose nothing.
    safe_redo_s = min(job_class.checkpoint_s, job_class.min_runtime_s * (1.0 - slowdown))
    return BoundJob(
        job_id=job.job_id,
        gpus=job.gpus,
        submit_h=max(0.0, h_from_s((job.submit_utc - start_utc).total_seconds())),
        work_h=h_from_s(truth.duration_s),
        due_h=None if due is None else h_from_s((due - start_utc).total_seconds()),
        points={n: _points(site, site.pools[n], truth, slowdown) for n in pools},
        waiting_eur_per_h=job.gpus * job_class.waiting_eur_per_gpu_h,
        lateness_eur_per_h=job.gpus * job_class.lateness_eur_per_gpu_h,
        slowdown_eur_per_h=job.gpus * job_class.value_eur_per_gpu_h,
        max_pauses=pauses,
        min_run_h=h_from_s(job_class.min_runtime_s),
        redo_h=h_from_s(safe_redo_s),
        at_once=fixed,
    )


def _points(site: Site, pool: Pool, truth: JobTruth, max_slowdown_fraction: float) -> tuple[RunPoint, ...]:
    """Allowed ways to run in a pool."""
    natural_w = truth.job.natural_power_w_per_gpu or UNKNOWN_DRAW_FRACTION * site.pools[0].power.gpu_max_w
    drawn_w = min(max(natural_w, pool.power.gpu_idle_w), pool.power.gpu_max_w)
    return tuple(
        RunPoint(extra_kw=truth.job.gpus * kw_from_w(point.draw_w - pool.power.gpu_idle_w), speed=point.speed)
        for point in power_points(site.caps, pool.power, drawn_w, max_slowdown_fraction)
    )
