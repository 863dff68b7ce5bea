"""At a gate: how much of the planned heat becomes a firm promise.

The plan's sale is the median; how well such medians came true is read from the plug's own delivered past, replayed with the
mean of its last days as the median a rule would have had. What bounds the promise is in `own_heat` and `firm`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import numpy as np

from scheduler.core.forecast.calendar import DAY_H, hour_number
from scheduler.core.forecast.own_heat import (
    OwnHeatLimits,
    OwnHeatRecord,
    own_heat_kw,
    remember,
    rule_median_kw,
    settle,
)
from scheduler.core.publishing.firm import Gate, firm_capability_kw, firm_promise, gates_between, priced_quantile
from scheduler.core.publishing.offers import on_slots
from scheduler.domain.contract import FirmRule
from scheduler.domain.outlook import Outlook
from scheduler.domain.plan import Plan
from scheduler.domain.settings import Settings
from scheduler.domain.site import Offtake, Plug, Site
from scheduler.domain.snapshot import Commitment, Snapshot
from scheduler.domain.time import FloatArray, Series, TimeGrid

REPLAYED_DAYS = 14


def promises_of(
    site: Site,
    snapshot: Snapshot,
    outlook: Outlook,
    plan: Plan,
    settings: Settings,
    records: Mapping[str, OwnHeatRecord] | None = None,
) -> tuple[Commitment, ...]:
    """New commitments of the gates that fell into the cycle that ends now; hours already promised are left alone.

    records: experience by offtake id; without one it is replayed from the delivered heat of the snapshot's history.
    """
    plugs = {plug.plug_id: plug for plug in site.plugs}
    known = records or {}
    now_utc = snapshot.observed_utc
    found: list[Commitment] = []
    for offtake in site.offtakes:
        if offtake.firm is None:
            continue
        taken = {one.start_utc for one in snapshot.commitments if one.offtake_id == offtake.offtake_id}
        before_utc = now_utc - timedelta(seconds=settings.cycle_s)
        for gate in gates_between(offtake.firm, site.time_zone, before_utc, now_utc):
            record = known.get(offtake.offtake_id)
            if record is None:
                record = replayed_record(snapshot.history.delivered_kw.get(offtake.plug_id), gate, site.time_zone)
            promised = promise(offtake, offtake.firm, plugs[offtake.plug_id], gate, plan, outlook, record)
            found += [one for one in promised if one.start_utc not in taken]
    return tuple(found)


def promise(
    offtake: Offtake, rule: FirmRule, plug: Plug, gate: Gate, plan: Plan, outlook: Outlook, record: OwnHeatRecord
) -> tuple[Commitment, ...]:
    """Commitments of one gate from the plan's sale to one customer."""
    sold_kw = on_slots(plan.sold_kw.get(offtake.offtake_id, np.zeros(plan.grid.slots)), plan)
    median_kw = hour_means(sold_kw, plan.grid, gate)
    demand_kw = hour_means(outlook.demand_kw[offtake.offtake_id].p10, outlook.grid, gate)
    starts, ends = [hour[0] for hour in gate.hours], [hour[1] for hour in gate.hours]
    limits = OwnHeatLimits(
        capability_kw=firm_capability_kw(plug, starts, ends),
        demand_kw=np.where(np.isfinite(demand_kw), demand_kw, 0.0),
        floor_kw=np.zeros(len(gate.hours)),
    )
    contract_kw = own_heat_kw(median_kw, record, limits, rule.quantile)
    worth_kw = own_heat_kw(median_kw, record, limits, min(rule.quantile, priced_quantile(rule)))
    return firm_promise(offtake, plug, gate, contract_kw, worth_kw)


def hour_means(per_slot: FloatArray, grid: TimeGrid, gate: Gate) -> FloatArray:
    """Means of slot values over the hours of a gate, (hours,); NaN where the grid does not reach."""
    found = []
    for start_utc, end_utc in gate.hours:
        first, stop = grid.slot_of(start_utc), grid.slot_of(end_utc)
        inside = 0 <= first < stop <= grid.slots
        found.append(float(per_slot[first:stop].mean()) if inside else float("nan"))
    return np.asarray(found)


def replayed_record(delivered_kw: Series | None, gate: Gate, time_zone: str) -> OwnHeatRecord:
    """Experience of the last days: at the gate's hour of each day, the median a rule would have had for the day after."""
    record = OwnHeatRecord()
    if delivered_kw is None or not gate.hours or delivered_kw.grid.slots == 0:
        return record
    now, first = hour_number(gate.at_utc), hour_number(gate.hours[0][0])
    for days in range(REPLAYED_DAYS + 1, 0, -1):
        back = days * DAY_H
        if now - back <= hour_number(delivered_kw.grid.start_utc):
            continue
        record = remember(record, first - back, rule_median_kw(delivered_kw, first - back, DAY_H, now - back, time_zone))
    return settle(record, delivered_kw)
