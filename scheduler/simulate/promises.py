"""Firm heat in the virtual world: the same rule for every strategy, fed with what that strategy expects of itself.

At each gate the promise of an hour is the contract's quantile of own deliverable heat (`core/forecast/own_heat`), made of a
median (a plan's sale, or for a rule the pattern of its own last days) and of how well such medians came true so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from scheduler.core.forecast.calendar import HOUR_S, hour_number
from scheduler.core.forecast.outlook import outlook
from scheduler.core.forecast.own_heat import OwnHeatLimits, OwnHeatRecord, own_heat_kw, remember, rule_median_kw, settle
from scheduler.core.planning.problem import plan_grid
from scheduler.core.publishing.firm import answer, firm_capability_kw, firm_promise, in_force
from scheduler.core.tariffs.gates import Gate, gates_due, hours_of
from scheduler.core.thermal.capture import captured_kw
from scheduler.core.thermal.heat_pump import cop, delivered_kw
from scheduler.core.thermal.host import node_kw
from scheduler.domain.plan import Plan
from scheduler.domain.settings import Settings
from scheduler.domain.site import Offtake, Plug, Site
from scheduler.domain.snapshot import Commitment, Snapshot
from scheduler.domain.time import FloatArray, Series, TimeGrid
from scheduler.units import h_from_s, kw_from_w


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """One promised hour and what was delivered in it."""

    offtake_id: str
    start_utc: datetime
    end_utc: datetime
    promised_kwh: float
    delivered_kwh: float
    shortfall_kwh: float


class PromiseBook:
    """Commitments of a run and the experience that they are made from.

    Firm products are sold for hours inside the window only: everybody knows that the work ends with it.
    """

    def __init__(self, site: Site, window_utc: tuple[datetime, datetime], slot_s: int, *, certain: bool = False) -> None:
        """Begin without promises and without experience; `certain`: all is known, what a plan sells comes true."""
        self.site, self.slot_s, self.certain = site, slot_s, certain
        start_utc, self.end_utc = window_utc
        self.records = {one.offtake_id: OwnHeatRecord() for one in site.offtakes}
        self.commitments: list[Commitment] = []
        self.answered_utc = start_utc - timedelta(seconds=1)

    def gates_until(self, now_utc: datetime) -> list[tuple[Offtake, Gate]]:
        """Gates that have come since the last call, with their offtake."""
        found = [
            (offtake, gate)
            for offtake in self.site.offtakes
            if offtake.firm is not None
            for gate in self._inside(gates_due(offtake.firm, self.site.time_zone, self.answered_utc, now_utc))
        ]
        self.answered_utc = now_utc
        return found

    def _inside(self, gates: Sequence[Gate]) -> list[Gate]:
        """Gates with the delivery hours that end inside the window."""
        return [replace(gate, hours=tuple(hour for hour in gate.hours if hour[1] <= self.end_utc)) for gate in gates]

    def answer(self, offtake: Offtake, gate: Gate, snapshot: Snapshot, sold: Series, plan: Plan | None) -> None:
        """Promise for the hours of one gate; `sold` is what the strategy has sold to this offtake so far."""
        rule = offtake.firm
        if rule is None or not gate.hours:
            return
        plug = next(one for one in self.site.plugs if one.plug_id == offtake.plug_id)
        record = settle(self.records[offtake.offtake_id], sold)
        hourly, hour_of = hours_of(gate)
        first, count = hour_number(hourly.hours[0][0]), len(hourly.hours)
        now = hour_number(snapshot.observed_utc)
        median = (
            rule_median_kw(sold if sold.grid.slots else None, first, count, now, self.site.time_zone)
            if plan is None
            else planned_kw(plan, offtake.offtake_id, hourly)
        )
        limits = limits_of(self.site, offtake, plug, hourly, snapshot, self.slot_s)
        if self.certain and plan is not None:
            contract = np.minimum(limits.capability_kw, np.where(np.isfinite(median), median, 0.0))
        else:
            contract = own_heat_kw(median, record, limits, rule.quantile)
        self.records[offtake.offtake_id] = remember(record, first, median)
        offered = firm_promise(offtake, plug, gate, contract[list(hour_of)])
        mine = [one for one in self.commitments if one.offtake_id == offtake.offtake_id]
        self.commitments = list(in_force([*self.commitments, *answer(gate, offered, mine)]))

    def open(self, now_utc: datetime, sold: dict[str, Series]) -> tuple[Commitment, ...]:
        """Commitments that are not over, with what has been delivered of the one under way."""
        return tuple(
            replace(one, delivered_kwh=delivered_kwh(sold[one.offtake_id], one.start_utc, now_utc))
            for one in self.commitments
            if one.end_utc > now_utc
        )

    def settle_hours(self, end_utc: datetime, sold: dict[str, Series]) -> tuple[Hour, ...]:
        """All promised hours that have ended by `end_utc`: shortfall = max(0, (1 - tolerance) * promised - delivered)."""
        tolerance = {one.offtake_id: one.firm.tolerance_fraction for one in self.site.offtakes if one.firm is not None}
        hours = []
        for one in self.commitments:
            if one.end_utc > end_utc:
                continue
            promised = one.firm_kw * h_from_s((one.end_utc - one.start_utc).total_seconds())
            delivered = delivered_kwh(sold[one.offtake_id], one.start_utc, one.end_utc)
            hours.append(
                Hour(
                    offtake_id=one.offtake_id,
                    start_utc=one.start_utc,
                    end_utc=one.end_utc,
                    promised_kwh=promised,
                    delivered_kwh=delivered,
                    shortfall_kwh=max(0.0, (1.0 - tolerance[one.offtake_id]) * promised - delivered),
                )
            )
        return tuple(hours)


def delivered_kwh(sold: Series, start_utc: datetime, end_utc: datetime) -> float:
    """Heat sold between two instants on slot boundaries."""
    grid = sold.grid
    first, stop = max(0, grid.slot_of(start_utc)), max(0, min(grid.slots, grid.slot_of(end_utc)))
    return float(sold.values[first:stop].sum()) * grid.slot_h if stop > first else 0.0


def planned_kw(plan: Plan, offtake_id: str, gate: Gate) -> FloatArray:
    """Mean planned sale in each hour of a gate, (hours,); NaN where the plan does not reach."""
    per_slot = np.repeat(plan.sold_kw[offtake_id], plan.step_slots)
    return hour_means(per_slot, plan.grid, gate)


def hour_means(per_slot: FloatArray, grid: TimeGrid, gate: Gate) -> FloatArray:
    """Means of slot values over the hours of a gate; NaN where the grid does not reach."""
    found = []
    for start_utc, end_utc in gate.hours:
        first, stop = grid.slot_of(start_utc), grid.slot_of(end_utc)
        inside = 0 <= first < stop <= grid.slots
        found.append(float(per_slot[first:stop].mean()) if inside else float("nan"))
    return np.asarray(found)


def limits_of(site: Site, offtake: Offtake, plug: Plug, gate: Gate, snapshot: Snapshot, slot_s: int) -> OwnHeatLimits:
    """What bounds a promise of any strategy: the plug, the low quantile of demand, the heat of idle GPUs."""
    settings = Settings(slot_s=slot_s, horizon_slots=int(48 * HOUR_S) // slot_s)
    grid = plan_grid(snapshot.observed_utc, settings)
    demand = hour_means(outlook(site, snapshot, settings, grid).demand_kw[offtake.offtake_id].p10, grid, gate)
    starts, ends = [hour[0] for hour in gate.hours], [hour[1] for hour in gate.hours]
    return OwnHeatLimits(
        capability_kw=firm_capability_kw(plug, starts, ends),
        demand_kw=np.where(np.isfinite(demand), demand, 0.0),
        floor_kw=np.full(len(starts), idle_heat_kw(site, plug)),
    )


def idle_heat_kw(site: Site, plug: Plug) -> float:
    """Heat that idle GPUs alone let the plug deliver; nothing when the heat pump's minimum load lies above it."""
    pools = [pool for pool in site.pools if pool.plug_id == plug.plug_id]
    draws = [pool.gpus * kw_from_w(pool.power.gpu_idle_w) for pool in pools]
    caught = sum(captured_kw(plug, draw, node_kw(pool.power, pool.gpus, draw)) for pool, draw in zip(pools, draws, strict=True))
    if plug.heat_pump is None:
        return max(0.0, caught - plug.pipe_loss_kw)
    heat = delivered_kw(caught, cop(plug.heat_pump.cop))
    least = plug.heat_pump.min_load_fraction * plug.heat_pump.rated_heat_kw
    return heat - plug.pipe_loss_kw if heat >= least else 0.0
