"""Offers: what the plan means for each heat customer, with how sure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np

from scheduler.core.forecast.own_heat import OwnHeatRecord, ratio_quantile
from scheduler.core.planning.plant_rows import outdoor_path
from scheduler.core.publishing.firm import firm_capability_kw
from scheduler.core.thermal.heat_carbon import heat_g_per_kwh
from scheduler.core.thermal.supply import mean_outdoor_c, supply_on_curve_c, within_band_c
from scheduler.domain.outlook import Outlook
from scheduler.domain.plan import Offer, Plan, PlanStatus
from scheduler.domain.settings import Mode, Settings
from scheduler.domain.site import Offtake, Plug, Site
from scheduler.domain.snapshot import Commitment, Snapshot
from scheduler.domain.time import FloatArray, TimeGrid

# The near hours are decided, the far ones hang on an unknown queue: the band opens with this e-folding, hours.
OPENING_H = 12.0
NEAR_WIDTH_FRACTION = 0.04
# A boiler needs about an hour from cold to heat.
BOILER_LEAD_S = 3600.0
# 10 % quantile of a standard normal, to turn a half band into a standard deviation.
Z_P90 = 1.2815515655446004


def offers_of(
    site: Site,
    snapshot: Snapshot,
    outlook: Outlook,
    plan: Plan,
    settings: Settings,
    records: Mapping[str, OwnHeatRecord] | None = None,
) -> tuple[Offer, ...]:
    """One offer per customer on the plan's grid; none in Observe. Advisory unless the mode is Dispatch.

    records: delivered against expected heat by offtake id, from which the far end of the band is learned; without one the
    prior of `own_heat` stands.
    After a let-go the median and the firm heat of the offer are zero: it is withdrawn, and the boiler is asked for.
    """
    if settings.mode is Mode.OBSERVE:
        return ()
    plugs = {plug.plug_id: plug for plug in site.plugs}
    known = records or {}
    return tuple(
        offer_of(offtake, plugs[offtake.plug_id], snapshot, outlook, plan, settings, known.get(offtake.offtake_id))
        for offtake in site.offtakes
    )


def offer_of(
    offtake: Offtake,
    plug: Plug,
    snapshot: Snapshot,
    outlook: Outlook,
    plan: Plan,
    settings: Settings,
    record: OwnHeatRecord | None,
) -> Offer:
    """The offer of one customer."""
    grid, name = plan.grid, offtake.offtake_id
    let_go = plan.status is PlanStatus.LET_GO
    max_kw = np.zeros(grid.slots) if let_go else np.minimum(slot_capability_kw(plug, grid), offtake.max_heat_kw)
    sold_kw = on_slots(plan.sold_kw.get(name, np.zeros(grid.slots)), plan)
    p50_kw = np.zeros(grid.slots) if let_go else np.clip(sold_kw, 0.0, max_kw)
    demand = outlook.demand_kw[name]
    low, high = widths(grid, record or OwnHeatRecord())
    p10_kw = np.minimum(p50_kw, np.minimum(low * p50_kw, resampled(demand.p10, outlook.grid, grid)))
    p90_kw = np.maximum(p50_kw, np.minimum(max_kw, np.minimum(high * p50_kw, resampled(demand.p90, outlook.grid, grid))))
    promised_kw = firm_on_slots(snapshot.commitments, name, grid)
    tolerance = offtake.firm.tolerance_fraction if offtake.firm is not None else 0.0
    owed_kw = (1.0 - tolerance) * promised_kw
    return Offer(
        offtake_id=name,
        plug_id=plug.plug_id,
        plan_id=plan.plan_id,
        issued_utc=snapshot.observed_utc,
        valid_until_utc=snapshot.observed_utc + timedelta(seconds=settings.plan_max_age_s),
        grid=grid,
        p50_kw=p50_kw,
        p10_kw=p10_kw,
        p90_kw=p90_kw,
        firm_kw=np.zeros(grid.slots) if let_go else np.minimum(promised_kw, max_kw),
        min_kw=np.zeros(grid.slots),
        max_kw=max_kw,
        supply_c=supply_path_c(offtake, plug, snapshot, outlook, grid),
        return_max_c=plug.return_max_c,
        shortfall_probability=shortfall_probability(owed_kw, p10_kw, p50_kw, p90_kw),
        boiler_request_kw=boiler_request_kw(
            grid, p50_kw, promised_kw, resampled(demand.p50, outlook.grid, grid) if let_go else None
        ),
        advisory=settings.mode is not Mode.DISPATCH,
        withdrawn=let_go,
        heat_g_per_kwh=_carbon(plug, outlook, grid),
    )


def _carbon(plug: Plug, outlook: Outlook, grid: TimeGrid) -> FloatArray | None:
    """Carbon of a kWh of the plug's heat in each slot, g; None where no source tells of the grid's."""
    if not outlook.carbon_known:
        return None
    return heat_g_per_kwh(resampled(outlook.carbon_g_per_kwh, outlook.grid, grid), plug.heat_pump)


def on_slots(values: FloatArray, plan: Plan) -> FloatArray:
    """Values per slot: as they are, or spread from the plan's steps."""
    if len(values) == plan.grid.slots:
        return np.asarray(values)
    return np.repeat(values, plan.step_slots)[: plan.grid.slots]


def resampled(values: FloatArray, from_grid: TimeGrid, to_grid: TimeGrid) -> FloatArray:
    """Values of one grid on the slots of another, by the slot that contains each start; the ends go on."""
    shift_s = (to_grid.start_utc - from_grid.start_utc).total_seconds()
    index = np.floor((shift_s + np.arange(to_grid.slots) * to_grid.slot_s) / from_grid.slot_s).astype(np.int64)
    return np.asarray(values[np.clip(index, 0, len(values) - 1)])


def slot_capability_kw(plug: Plug, grid: TimeGrid) -> FloatArray:
    """What the plug can deliver in each slot, maintenance and redundancy class taken off, (slots,)."""
    starts: list[datetime] = [grid.time_of(slot) for slot in range(grid.slots)]
    return firm_capability_kw(plug, starts, [grid.time_of(slot + 1) for slot in range(grid.slots)])


def widths(grid: TimeGrid, record: OwnHeatRecord) -> tuple[FloatArray, FloatArray]:
    """p10 and p90 of delivered / planned per slot, opening from a few per cent now to what the record says of a day ahead."""
    opened = 1.0 - np.exp(-(np.arange(grid.slots) + 0.5) * grid.slot_h / OPENING_H)
    far_low, far_high = min(1.0, ratio_quantile(record, 0.1)), max(1.0, ratio_quantile(record, 0.9))
    near_low, near_high = 1.0 - NEAR_WIDTH_FRACTION, 1.0 + NEAR_WIDTH_FRACTION
    low = near_low + (min(near_low, far_low) - near_low) * opened
    high = near_high + (max(near_high, far_high) - near_high) * opened
    return low, high


def firm_on_slots(commitments: Sequence[Commitment], offtake_id: str, grid: TimeGrid) -> FloatArray:
    """Firm kW of one customer in each slot, (slots,); zero where nothing is promised."""
    out = np.zeros(grid.slots)
    for promise in commitments:
        if promise.offtake_id != offtake_id:
            continue
        low, high = grid.slot_of(promise.start_utc), -(-(promise.end_utc - grid.start_utc).total_seconds() // grid.slot_s)
        out[max(0, low) : max(0, int(high))] = promise.firm_kw
    return out


def normal_share(z: FloatArray) -> FloatArray:
    """Standard normal distribution function."""
    return np.asarray([0.5 * (1.0 + math.erf(float(value) / math.sqrt(2.0))) for value in z])


def shortfall_probability(owed_kw: FloatArray, p10_kw: FloatArray, p50_kw: FloatArray, p90_kw: FloatArray) -> FloatArray:
    """P(delivered < owed) per slot, from a two-piece normal through the band; zero where nothing is owed."""
    below = owed_kw < p50_kw
    half = np.where(below, p50_kw - p10_kw, p90_kw - p50_kw)
    sigma = np.maximum(half / Z_P90, 1e-6)
    return np.where(owed_kw > 0.0, normal_share((owed_kw - p50_kw) / sigma), 0.0)


def boiler_request_kw(grid: TimeGrid, p50_kw: FloatArray, firm_kw: FloatArray, let_go_kw: FloatArray | None) -> float:
    """Heat to make ready elsewhere within the boiler's lead: promised but not expected; after a let-go the whole demand."""
    near = slice(0, max(1, int(BOILER_LEAD_S // grid.slot_s)))
    missing_kw = np.maximum(0.0, firm_kw - p50_kw) if let_go_kw is None else np.maximum(firm_kw, let_go_kw)
    return float(missing_kw[near].max(initial=0.0))


def supply_path_c(offtake: Offtake, plug: Plug, snapshot: Snapshot, outlook: Outlook, grid: TimeGrid) -> FloatArray:
    """Supply temperature in each slot of `grid`: the customer's curve as far as the plug reaches, else what it gives."""
    if not offtake.supply_curve:
        return np.full(grid.slots, supply_c(plug))
    path = outdoor_path(snapshot, outlook)
    known = np.full(outlook.grid.slots, np.nan) if path is None else mean_outdoor_c(path.values, path.grid.slot_h)
    asked = supply_on_curve_c(offtake.supply_curve, known[-outlook.grid.slots :])
    return resampled(within_band_c(plug, asked), outlook.grid, grid)


def supply_c(plug: Plug) -> float:
    """Supply temperature at the hand-off: the heat pump's sink, never above what the plug allows."""
    if plug.heat_pump is None:
        return plug.supply_max_c
    return min(plug.supply_max_c, plug.heat_pump.cop.sink_out_c)
