"""Plugs, customers and promises as rows of the planning problem."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from scheduler.core.tariffs.heat_sale import heat_price_eur_per_kwh
from scheduler.core.thermal.heat_pump import cop
from scheduler.core.thermal.limits import rated_heat_kw
from scheduler.domain.outlook import Outlook
from scheduler.domain.problem import PlanCommitment, PlanOfftake, PlanPlug
from scheduler.domain.site import Plug, Site
from scheduler.domain.snapshot import PlantState, Snapshot
from scheduler.domain.time import FloatArray, Series, TimeGrid
from scheduler.units import MIN_PER_H, S_PER_DAY, h_from_s

# A temperature-indexed tariff looks at the local day before; two days cover it in every zone and on the days the clocks change.
OUTDOOR_PAST_S = 2 * S_PER_DAY


def plan_plugs(
    site: Site, snapshot: Snapshot, outlook: Outlook, prices: dict[str, FloatArray], all_in_eur_per_kwh: FloatArray
) -> tuple[PlanPlug, ...]:
    """Plugs with what the plant says about them now; `prices`: tariff per offtake and slot, all-in price of electricity."""
    states = {state.plug_id: state for state in snapshot.plants}
    return tuple(
        _plan_plug(plug, states.get(plug.plug_id), outlook.grid, _end_value(site, plug, prices, all_in_eur_per_kwh))
        for plug in site.plugs
    )


def _plan_plug(plug: Plug, state: PlantState | None, grid: TimeGrid, end_value: float) -> PlanPlug:
    """One plug; a tank whose level is not known counts as empty, so nothing is promised from it."""
    pump, tank = plug.heat_pump, plug.tank
    rated = rated_heat_kw(plug, grid)
    if state is not None and state.available_heat_kw is not None:
        rated = np.minimum(rated, max(0.0, state.available_heat_kw))
    level = tank.min_kwh if tank is not None and (state is None or state.tank_level_kwh is None) else 0.0
    if tank is not None and state is not None and state.tank_level_kwh is not None:
        level = min(tank.capacity_kwh, max(0.0, state.tank_level_kwh))
    return PlanPlug(
        plug_id=plug.plug_id,
        rated_heat_kw=rated,
        cop=None if pump is None else np.full(grid.slots, cop(pump.cop)),
        min_load_fraction=0.0 if pump is None else pump.min_load_fraction,
        start_cost_eur=0.0 if pump is None else pump.start_cost_eur,
        pump_on=False if state is None else state.heat_pump_on,
        pipe_loss_kw=plug.pipe_loss_kw,
        ramp_kw_per_h=None if plug.ramp_kw_per_min is None else plug.ramp_kw_per_min * MIN_PER_H,
        delivered_kw=None if state is None else state.heat_pump_heat_kw,
        tank_capacity_kwh=0.0 if tank is None else tank.capacity_kwh,
        tank_min_kwh=0.0 if tank is None else tank.min_kwh,
        tank_level_kwh=level,
        tank_end_kwh=0.0 if tank is None or not tank.end_at_least_initial else tank.initial_fraction * tank.capacity_kwh,
        max_charge_kw=0.0 if tank is None else tank.max_charge_kw,
        max_discharge_kw=0.0 if tank is None else tank.max_discharge_kw,
        tank_loss_per_h_fraction=0.0 if tank is None else tank.loss_per_hour_fraction,
        tank_fixed_loss_kw=0.0 if tank is None else tank.fixed_loss_kw,
        tank_end_value_eur_per_kwh=end_value,
        rejection_max_kw=plug.rejection_max_kw,
        rejection_kw_per_kw=plug.rejection_electric_fraction,
        room_kw_per_kw=plug.room_electric_fraction,
    )


def _end_value(site: Site, plug: Plug, prices: dict[str, FloatArray], all_in_eur_per_kwh: FloatArray) -> float:
    """Worth of a kWh left in the tank at the end of the horizon.

    It replaces heat made later: if heat is scarce then, it earns the tariff; if heat is plentiful, it saves the heat pump's
    electricity. Which of the two is not known two days ahead, so the mean of both, never above the tariff of the last day.
    """
    mine = [offtake for offtake in site.offtakes if offtake.plug_id == plug.plug_id]
    if plug.tank is None or not mine:
        return 0.0
    best = max(float(np.mean(prices[offtake.offtake_id][-96:])) for offtake in mine)
    saved = 0.0 if plug.heat_pump is None else float(np.mean(all_in_eur_per_kwh[-96:])) / cop(plug.heat_pump.cop)
    return max(0.0, min(best, 0.5 * (best + saved)))


def plan_offtakes(site: Site, outlook: Outlook, prices: dict[str, FloatArray]) -> tuple[PlanOfftake, ...]:
    """Customers with the median of what they would take and their tariff."""
    plugs = {plug.plug_id: index for index, plug in enumerate(site.plugs)}
    return tuple(
        PlanOfftake(
            offtake_id=offtake.offtake_id,
            plug=plugs[offtake.plug_id],
            demand_kw=np.clip(outlook.demand_kw[offtake.offtake_id].p50, 0.0, offtake.max_heat_kw),
            price_eur_per_kwh=prices[offtake.offtake_id],
            priority=offtake.priority,
        )
        for offtake in site.offtakes
    )


def heat_prices(site: Site, snapshot: Snapshot, outlook: Outlook) -> dict[str, FloatArray]:
    """Tariff per offtake and slot, EUR/kWh."""
    outdoor = outdoor_path(snapshot, outlook)
    return {
        offtake.offtake_id: heat_price_eur_per_kwh(offtake.tariff, outlook.grid, site.time_zone, outdoor)
        for offtake in site.offtakes
    }


def outdoor_path(snapshot: Snapshot, outlook: Outlook) -> Series | None:
    """Outdoor temperature measured over the last two days and forecast over the grid, on slots; None when nothing is known."""
    grid, past = outlook.grid, snapshot.history.outdoor
    before = int(OUTDOOR_PAST_S) // grid.slot_s
    start = grid.start_utc - timedelta(seconds=before * grid.slot_s)
    ahead_s = (start - past.grid.start_utc).total_seconds() + np.arange(before, dtype=np.float64) * grid.slot_s
    index = np.floor(ahead_s / past.grid.slot_s).astype(np.int64)
    inside = (index >= 0) & (index < past.grid.slots)
    measured = np.full(before, np.nan)
    measured[inside] = past.values[index[inside]]
    values = np.concatenate([measured, outlook.outdoor_c])
    if not np.any(np.isfinite(values)):
        return None
    joined = TimeGrid(start_utc=start, slot_s=grid.slot_s, slots=len(values))
    return Series(grid=joined, values=values, unit="degC", source="outdoor measured and forecast")


def plan_commitments(site: Site, snapshot: Snapshot, grid: TimeGrid) -> tuple[PlanCommitment, ...]:
    """Promises still owed inside the grid: (1 - tolerance) * promised kWh - delivered; parts past the horizon in proportion."""
    index = {offtake.offtake_id: (number, offtake) for number, offtake in enumerate(site.offtakes)}
    found = []
    for promise in snapshot.commitments:
        number, offtake = index.get(promise.offtake_id, (-1, None))
        start, end = max(0, grid.slot_of(promise.start_utc)), min(grid.slots, grid.slot_of(promise.end_utc))
        if offtake is None or offtake.firm is None or start >= end or promise.firm_kw <= 0.0:
            continue
        length_s = (min(promise.end_utc, grid.end_utc) - promise.start_utc).total_seconds()
        promised_kwh = promise.firm_kw * h_from_s(length_s)
        required = (1.0 - offtake.firm.tolerance_fraction) * promised_kwh - promise.delivered_kwh
        if required > 0.0:
            found.append(
                PlanCommitment(
                    offtake=number,
                    start_slot=start,
                    end_slot=end,
                    required_kwh=required,
                    shortfall_eur_per_kwh=offtake.firm.shortfall_eur_per_kwh,
                )
            )
    return tuple(sorted(found, key=lambda row: (row.start_slot, row.offtake)))
