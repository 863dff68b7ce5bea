"""At a gate: how much of the heat that may come becomes a firm promise.

What the load lets the plant deliver is taken from the plan (captured heat of running, planned and expected work), what the
customer takes from the demand forecast; how wrong both may be, what may fail and what the tank carries is told by `scenarios`,
and how much of it is worth promising by `worth`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from scheduler.core.forecast.calendar import HOUR_S, hour_number
from scheduler.core.forecast.own_heat import PathErrors, path_errors
from scheduler.core.publishing.firm import answer, answered_utc, firm_capability_kw, firm_promise, in_force
from scheduler.core.publishing.offers import on_slots
from scheduler.core.publishing.scenarios import HeatAhead, Risks, draw
from scheduler.core.publishing.worth import choose
from scheduler.core.tariffs.gates import Gate, gates_due
from scheduler.core.thermal.capture import captured_per_draw
from scheduler.core.thermal.heat_pump import cop, delivered_kw
from scheduler.domain.job import Flexibility, JobPhase
from scheduler.domain.outlook import Outlook
from scheduler.domain.plan import Plan
from scheduler.domain.settings import Settings
from scheduler.domain.site import Offtake, Plug, Site, Tank
from scheduler.domain.snapshot import Band, Commitment, Snapshot
from scheduler.domain.time import FloatArray, Series, TimeGrid
from scheduler.units import h_from_s, kw_from_w

SCENARIOS = 400


def promises_of(
    site: Site, snapshot: Snapshot, outlook: Outlook, plan: Plan, settings: Settings, risks: Risks | None = None
) -> tuple[Commitment, ...]:
    """What the gates that have come since the last answered one make binding (`gates_due`, `answer`)."""
    plugs = {plug.plug_id: plug for plug in site.plugs}
    found: list[Commitment] = []
    for offtake in site.offtakes:
        if offtake.firm is None:
            continue
        plug = plugs[offtake.plug_id]
        bound = [one for one in snapshot.commitments if one.offtake_id == offtake.offtake_id]
        since_utc = answered_utc(bound, offtake.offtake_id)
        for gate in gates_due(offtake.firm, site.time_zone, since_utc, snapshot.observed_utc):
            if not gate.hours:
                continue
            steps = gate_steps(gate, snapshot.observed_utc)
            theirs_kw = others_kw(site, offtake, plan, (*snapshot.commitments, *found), steps)
            ahead = heat_ahead(site, offtake, snapshot, outlook, plan, gate, theirs_kw)
            ahead = replace(ahead, held_kw=held_kw(bound, steps))
            captured = snapshot.history.captured_kw.get(plug.plug_id)
            errors = errors_of(captured, steps, snapshot.observed_utc, site.time_zone)
            seed = settings.seed + hour_number(gate.at_utc)
            choice = choose(offtake.firm, ahead, draw(ahead, errors, risks or Risks(), SCENARIOS, seed))
            offered = firm_promise(offtake, plug, gate, choice.firm_kw[len(steps) - len(gate.hours) :])
            made = answer(gate, offered, bound)
            found += made
            bound += made
    return in_force(found)


def gate_steps(gate: Gate, now_utc: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """The periods of a gate, and before them steps of their length that reach back to now."""
    start_utc, end_utc = gate.hours[0]
    length = end_utc - start_utc
    before = max(0, -((now_utc - start_utc) // length))
    lead = tuple((start_utc - i * length, start_utc - (i - 1) * length) for i in range(before, 0, -1))
    return (*lead, *gate.hours)


def heat_ahead(
    site: Site,
    offtake: Offtake,
    snapshot: Snapshot,
    outlook: Outlook,
    plan: Plan,
    gate: Gate,
    theirs_kw: FloatArray,
) -> HeatAhead:
    """What is expected of one customer's heat in each step of a gate; where the plan does not reach, nothing is expected.

    theirs_kw: what is the other customers' of the plug, (steps,) (`others_kw`). Customers with a firm rule share the tank
    equally.
    """
    steps = gate_steps(gate, snapshot.observed_utc)
    plug = next(one for one in site.plugs if one.plug_id == offtake.plug_id)
    others = others_of(site, offtake)
    load_kw = np.maximum(0.0, step_means(deliverable_kw(plug, plan), plan.grid, steps) - theirs_kw)
    band = outlook.demand_kw[offtake.offtake_id]
    demand = [np.nan_to_num(step_means(values, outlook.grid, steps)) for values in (band.p10, band.p50, band.p90)]
    step_s = (steps[0][1] - steps[0][0]).total_seconds()
    share = 1.0 / (1 + sum(one.firm is not None for one in others))
    reserve_kw, reserve_kwh = reserve_of(site, plug, snapshot, plan, steps[-1][1])
    level_kwh = next((one.tank_level_kwh for one in snapshot.plants if one.plug_id == plug.plug_id), None)
    limit_kw = firm_capability_kw(plug, [step[0] for step in steps], [step[1] for step in steps])
    return HeatAhead(
        step_h=h_from_s(step_s),
        load_kw=np.nan_to_num(load_kw),
        capability_kw=np.minimum(np.maximum(0.0, limit_kw - theirs_kw), offtake.max_heat_kw),
        demand_kw=Band(p10=demand[0], p50=demand[1], p90=demand[2]),
        held_kw=np.zeros(len(steps)),
        due=np.arange(len(steps)) >= len(steps) - len(gate.hours),
        tank=None if plug.tank is None or level_kwh is None else _part(plug.tank, share),
        tank_kwh=share * (level_kwh or 0.0),
        nodes=sum(pool.gpus // pool.gpus_per_node for pool in site.pools if pool.plug_id == plug.plug_id),
        least_kw=0.0 if plug.heat_pump is None else plug.heat_pump.min_load_fraction * plug.heat_pump.rated_heat_kw,
        reserve_kw=share * reserve_kw,
        reserve_kwh=share * reserve_kwh,
    )


def others_of(site: Site, offtake: Offtake) -> list[Offtake]:
    """The other customers of a customer's plug."""
    return [one for one in site.offtakes if one.plug_id == offtake.plug_id and one.offtake_id != offtake.offtake_id]


def others_kw(
    site: Site, offtake: Offtake, plan: Plan, bound: Sequence[Commitment], steps: Sequence[tuple[datetime, datetime]]
) -> FloatArray:
    """What of the plug's heat is the other customers' in each step, (steps,) in kW.

    Of each the larger of what the plan sells him and what is promised to him at any time of the step: so all promises of a
    plug together never exceed what it can give, in whatever order they are made.
    """
    found = np.zeros(len(steps))
    for one in others_of(site, offtake):
        sold = plan.sold_kw.get(one.offtake_id)
        sold_kw = np.zeros(len(steps)) if sold is None else np.nan_to_num(step_means(on_slots(sold, plan), plan.grid, steps))
        mine = in_force(promise for promise in bound if promise.offtake_id == one.offtake_id)
        owed_kw = [
            max((each.firm_kw for each in mine if each.start_utc < end_utc and start_utc < each.end_utc), default=0.0)
            for start_utc, end_utc in steps
        ]
        found += np.maximum(sold_kw, owed_kw)
    return found


def _part(tank: Tank, share: float) -> Tank:
    """A share of a tank."""
    return replace(
        tank,
        capacity_kwh=share * tank.capacity_kwh,
        min_kwh=share * tank.min_kwh,
        max_charge_kw=share * tank.max_charge_kw,
        max_discharge_kw=share * tank.max_discharge_kw,
        fixed_loss_kw=share * tank.fixed_loss_kw,
    )


def deliverable_kw(plug: Plug, plan: Plan) -> FloatArray:
    """Heat that the planned load lets a plug deliver without its tank, (slots,): captured heat through the pump at full use."""
    flows = next(one for one in plan.flows if one.plug_id == plug.plug_id)
    captured = on_slots(flows.captured_kw, plan)
    if plug.heat_pump is None:
        return np.maximum(0.0, captured - plug.pipe_loss_kw)
    factor = delivered_kw(1.0, cop(plug.heat_pump.cop))
    return np.maximum(0.0, np.minimum(captured * factor, plug.heat_pump.rated_heat_kw) - plug.pipe_loss_kw)


def reserve_of(site: Site, plug: Plug, snapshot: Snapshot, plan: Plan, end_utc: datetime) -> tuple[float, float]:
    """Heat in kW and kWh of waiting work that may be started any time and that the plan leaves until the delivery is over."""
    later = {one.job_id for one in plan.jobs if one.main is None or plan.grid.time_of(one.main.start_slot) >= end_utc}
    pools = [pool for pool in site.pools if pool.plug_id == plug.plug_id]
    if not pools:
        return 0.0, 0.0
    factor = captured_per_draw(plug, pools[0].power)
    factor *= 1.0 if plug.heat_pump is None else delivered_kw(1.0, cop(plug.heat_pump.cop))
    flexible = {one.name for one in site.classes if one.flexibility is not Flexibility.INSULATED}
    free = sum(snapshot.available_gpus.get(pool.pool_id, 0) for pool in pools)
    power_kw = energy_kwh = 0.0
    for state in snapshot.jobs:
        job = state.job
        if state.phase is JobPhase.RUNNING:
            free -= job.gpus
        elif job.job_id in later and job.class_name in flexible and job.natural_power_w_per_gpu is not None:
            heat_kw = factor * job.gpus * kw_from_w(job.natural_power_w_per_gpu - pools[0].power.gpu_idle_w)
            energy_kwh += heat_kw * h_from_s(job.declared_duration_s)
            power_kw += heat_kw
    most_kw = factor * max(0, free) * kw_from_w(pools[0].power.gpu_max_w)
    return max(0.0, min(power_kw, most_kw)), max(0.0, energy_kwh)


def errors_of(
    captured_kw: Series | None, steps: Sequence[tuple[datetime, datetime]], now_utc: datetime, time_zone: str
) -> PathErrors:
    """How wrong paths of captured heat were on earlier days, seen from the same time of day, per step."""
    length_s = (steps[0][1] - steps[0][0]).total_seconds()
    per_hour = max(1, round(HOUR_S / length_s))
    now = hour_number(now_utc)
    hours = -(-len(steps) // per_hour)
    errors = path_errors(captured_kw, max(now, hour_number(steps[0][0])), hours, now, time_zone)
    return replace(errors, ratio=np.repeat(errors.ratio, per_hour, axis=1)[:, : len(steps)])


def held_kw(bound: Sequence[Commitment], steps: Sequence[tuple[datetime, datetime]]) -> FloatArray:
    """What binds already in each step, kW."""
    known = {(one.start_utc, one.end_utc): one.firm_kw for one in in_force(bound)}
    return np.asarray([known.get(step, 0.0) for step in steps])


def step_means(per_slot: FloatArray, grid: TimeGrid, steps: Sequence[tuple[datetime, datetime]]) -> FloatArray:
    """Means of slot values over steps, (steps,); NaN where the grid ends before; one before the first slot takes that one."""
    found = []
    for start_utc, end_utc in steps:
        first = max(0, grid.slot_of(start_utc))
        stop = max(first + 1, grid.slot_of(end_utc - timedelta(microseconds=1)) + 1)
        found.append(float(per_slot[first:stop].mean()) if stop <= grid.slots else float("nan"))
    return np.asarray(found)
