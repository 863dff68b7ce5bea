"""Heat and site side of the plan, one `add_*` per constraint family, over steps k; called by `aggregate`.

Everything is linear in the loads of the pools: G[z,k] mean GPUs held and P[z,k] mean extra GPU draw in kW. Heat variables are
per plug y: D delivered, ch / ds tank charge and discharge, S level at the end of a step, w dumped; s[o,k] sold per customer.
Power and heat are counted in `Scale.kw` kilowatts and GPUs in `Scale.gpus`, so that coefficients stay near one.
h_k are the hours of a step and el_k its mean all-in electricity price.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scheduler.core.planning.frame import Frame
from scheduler.core.planning.program import INF, Builder
from scheduler.core.planning.site_power import base_kw_el, cooling_per_draw
from scheduler.domain.problem import PlanPlug, PlanProblem
from scheduler.domain.time import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of one model unit of GPUs and of kW; about a hundredth of the site."""

    gpus: float
    kw: float


@dataclass(slots=True, kw_only=True, eq=False)
class PlugVars:
    """Column indices of one plug, each over steps; an empty array where the plug has no such part."""

    delivered: IntArray
    charge: IntArray
    discharge: IntArray
    level: IntArray
    dumped: IntArray
    on: IntArray
    start: IntArray
    rejection_slack: IntArray
    ramp_slack: IntArray
    pipe_slack: IntArray
    floor_slack: IntArray
    end_slack: IntArray


@dataclass(slots=True, kw_only=True, eq=False)
class PlantVars:
    """Column indices of the whole aggregate model; `gpus`, `draw`, `over`: (pools, steps), `sold`: (offtakes, steps)."""

    gpus: IntArray
    draw: IntArray
    over: IntArray
    sold: IntArray = field(default_factory=lambda: NONE)
    plugs: list[PlugVars] = field(default_factory=list)
    shortfall: IntArray = field(default_factory=lambda: NONE)
    site_slack: IntArray = field(default_factory=lambda: NONE)
    peak: IntArray = field(default_factory=lambda: NONE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plant:
    """What every family needs: the problem, its clock, the scale and the builder."""

    problem: PlanProblem
    frame: Frame
    scale: Scale
    build: Builder

    @property
    def kwh_hours(self) -> FloatArray:
        """Energy of one model unit of power held for each step, kWh."""
        return self.frame.hours * self.scale.kw

    @property
    def energy_eur(self) -> FloatArray:
        """EUR for one model unit of electric power held for each step."""
        return self.kwh_hours * self.frame.step_price_eur_per_kwh


# A thousandth of the last digit of a tariff in EUR/MWh to two places: it decides nothing but equal prices.
TIE_EUR_PER_KWH = 1e-6
NONE: IntArray = np.zeros(0, dtype=np.int64)


def pools_of(problem: PlanProblem, plug: int) -> list[int]:
    """Indices of the pools behind a plug."""
    return [index for index, pool in enumerate(problem.pools) if pool.plug == plug]


def gain(plug: PlanPlug, frame: Frame) -> FloatArray:
    """Delivered per recovered heat per step: cop / (cop - 1) with a pump, 1 in direct use."""
    if plug.cop is None:
        return np.ones(frame.steps)
    cop = frame.mean(plug.cop)
    ratio: FloatArray = cop / (cop - 1.0)
    return ratio


def electric_per_delivered(plug: PlanPlug, frame: Frame) -> FloatArray:
    """Electric kW per delivered kW: 1 / cop for the pump, minus the rejection that recovered heat saves."""
    pump = np.zeros(frame.steps) if plug.cop is None else 1.0 / frame.mean(plug.cop)
    return pump - plug.rejection_kw_per_kw / gain(plug, frame)


def add_capacity(plant: Plant, most_gpus: FloatArray, draw_per_gpu: FloatArray | None) -> PlantVars:
    """Pools hold no more GPUs than are free, or pay for it; flexible draw needs GPUs.

    0 <= G[z,k] <= mean gpus_free,   0 <= E[z,k] <= most_gpus[z] (slack),   P[z,k] <= draw_per_gpu[z] * (G[z,k] + E[z,k]).
    Cost: capacity penalty * h * E, and el * h * (room * (it - captured) + rejection * captured) per kW of P: cooling as if
    nothing were recovered. The load of the jobs equals G + E and P; those rows belong to the master problem. Where G + E and P
    are loads of runs the last row holds anyway, and None leaves it out.
    """
    problem, frame, scale, build = plant.problem, plant.frame, plant.scale, plant.build
    shape = (len(problem.pools), frame.steps)
    free = np.array([np.clip(frame.mean(pool.gpus_free), 0.0, None) for pool in problem.pools]).reshape(shape)
    over_eur = problem.penalties.capacity_eur_per_gpu_h * scale.gpus * frame.hours
    cooling = np.array([cooling_per_draw(problem, pool) for pool in range(shape[0])])
    gpus = build.columns("gpus", shape, upper=free / scale.gpus)
    over = build.columns("over", shape, cost=np.broadcast_to(over_eur, shape), upper=most_gpus[:, None] / scale.gpus)
    draw = build.columns("draw", shape, cost=cooling[:, None] * plant.energy_eur[None, :])
    if draw_per_gpu is not None:
        rows = build.rows("draw_needs_gpus", shape, upper=0.0)
        ratio = (draw_per_gpu * scale.gpus / scale.kw)[:, None]
        build.put(rows, draw, 1.0)
        build.put(rows, gpus, -ratio)
        build.put(rows, over, -ratio)
    return PlantVars(gpus=gpus, draw=draw, over=over)


def add_delivery(plant: Plant, index: int, found: PlantVars) -> IntArray:
    """Recovered heat is captured heat, up to the rating of pump or exchanger.

    D[k] <= rated[k];   D[k] / gain[k] <= base captured + sum_z captured_per_draw[z] * P[z,k].
    Cost: el * h * (1 / cop - rejection / gain) * D.
    """
    problem, frame, build = plant.problem, plant.frame, plant.build
    plug = problem.plugs[index]
    rated = np.clip(frame.mean(plug.rated_heat_kw), 0.0, None) / plant.scale.kw
    cost = electric_per_delivered(plug, frame) * plant.energy_eur
    delivered = build.columns(f"delivered_{index}", (frame.steps,), cost=cost, upper=rated)
    rows = build.rows(f"recovered_le_captured_{index}", (frame.steps,), upper=_base_captured(plant, index))
    build.put(rows, delivered, 1.0 / gain(plug, frame))
    for pool in pools_of(problem, index):
        build.put(rows, found.draw[pool], -problem.pools[pool].captured_kw_per_draw_kw)
    return delivered


def _base_captured(plant: Plant, index: int) -> FloatArray:
    """Captured base heat of a plug per step in model units."""
    pools = pools_of(plant.problem, index)
    total = sum((plant.problem.pools[pool].base_captured_kw for pool in pools), np.zeros(plant.frame.slots))
    return plant.frame.mean(total) / plant.scale.kw


def add_dump(plant: Plant, index: int) -> IntArray:
    """Heat that is delivered and thrown away again costs the electricity of the dry cooler."""
    plug = plant.problem.plugs[index]
    cost = plug.rejection_kw_per_kw * plant.energy_eur
    return plant.build.columns(f"dumped_{index}", (plant.frame.steps,), cost=cost)


def add_rejection_limit(plant: Plant, index: int, found: PlantVars, delivered: IntArray, dumped: IntArray) -> IntArray:
    """Captured - D / gain + dumped <= rejection_max + slack, the slack at the rejection penalty; none without a limit."""
    problem, frame, build, plug = plant.problem, plant.frame, plant.build, plant.problem.plugs[index]
    if plug.rejection_max_kw is None:
        return NONE
    cost = problem.penalties.rejection_eur_per_kwh * plant.kwh_hours
    slack = build.columns(f"rejection_slack_{index}", (frame.steps,), cost=cost)
    room = plug.rejection_max_kw / plant.scale.kw - _base_captured(plant, index)
    rows = build.rows(f"rejection_{index}", (frame.steps,), upper=room)
    build.put(rows, delivered, -1.0 / gain(plug, frame))
    build.put(rows, dumped, 1.0)
    build.put(rows, slack, -1.0)
    for pool in pools_of(problem, index):
        build.put(rows, found.draw[pool], problem.pools[pool].captured_kw_per_draw_kw)
    return slack


def add_pump_states(plant: Plant, index: int, delivered: IntArray, integral_steps: int) -> tuple[IntArray, IntArray]:
    """min_load * rated * on <= D <= rated * on;   start[k] >= on[k] - on[k-1], on[-1] = pump_on; starts cost EUR.

    `on` is relaxed to [0, 1] but for the first `integral_steps`. No rows for direct use or a pump without either price.
    """
    frame, build, plug = plant.frame, plant.build, plant.problem.plugs[index]
    if plug.cop is None or (plug.min_load_fraction <= 0.0 and plug.start_cost_eur <= 0.0):
        return NONE, NONE
    rated = np.clip(frame.mean(plug.rated_heat_kw), 0.0, None) / plant.scale.kw
    on = build.columns(f"on_{index}", (frame.steps,), upper=1.0, integer=np.arange(frame.steps) < integral_steps)
    start = build.columns(f"start_{index}", (frame.steps,), cost=plug.start_cost_eur, upper=1.0)
    most = build.rows(f"pump_most_{index}", (frame.steps,), upper=0.0)
    build.put(most, delivered, 1.0)
    build.put(most, on, -_useful_most(plant, index, rated))
    least = build.rows(f"pump_least_{index}", (frame.steps,), lower=0.0)
    build.put(least, delivered, 1.0)
    build.put(least, on, -plug.min_load_fraction * rated)
    first = np.where(np.arange(frame.steps) == 0, -float(plug.pump_on), 0.0)
    starts = build.rows(f"pump_start_{index}", (frame.steps,), lower=first)
    build.put(starts, start, 1.0)
    build.put(starts, on, -1.0)
    build.put(starts[1:], on[:-1], 1.0)
    return on, start


def _useful_most(plant: Plant, index: int, rated: FloatArray) -> FloatArray:
    """Heat per step beyond which a pump would only dump: demand, charging and pipe loss, or its least load.

    A relaxed start then costs more of a whole one. The rating stands where dumping may pay: at a price below 0 or with a ramp.
    """
    plug = plant.problem.plugs[index]
    if plug.ramp_kw_per_h is not None:
        return rated
    demand = sum(np.clip(plant.frame.mean(one.demand_kw), 0.0, None) for one in plant.problem.offtakes if one.plug == index)
    useful = np.maximum(plug.min_load_fraction * rated, (demand + plug.max_charge_kw + plug.pipe_loss_kw) / plant.scale.kw)
    return np.minimum(rated, np.where(plant.energy_eur < 0.0, rated, useful))


def add_ramp(plant: Plant, index: int, delivered: IntArray) -> IntArray:
    """|D[k] - D[k-1]| <= ramp * h_k + slack, the slack at the ramp penalty; the first step only when D[-1] is known."""
    problem, frame, build, scale = plant.problem, plant.frame, plant.build, plant.scale
    plug = problem.plugs[index]
    if plug.ramp_kw_per_h is None:
        return NONE
    cost = problem.penalties.ramp_eur_per_kwh * plant.kwh_hours
    slack = build.columns(f"ramp_slack_{index}", (2, frame.steps), cost=np.broadcast_to(cost, (2, frame.steps)))
    known = plug.delivered_kw if plug.delivered_kw is not None else 0.0
    before = np.where(np.arange(frame.steps) == 0, known, 0.0) / scale.kw
    limit = plug.ramp_kw_per_h * frame.hours / scale.kw
    if plug.delivered_kw is None:
        limit[0] = INF
    up = build.rows(f"ramp_up_{index}", (frame.steps,), upper=limit + before)
    down = build.rows(f"ramp_down_{index}", (frame.steps,), lower=before - limit)
    for rows, sign, part in ((up, -1.0, slack[0]), (down, 1.0, slack[1])):
        build.put(rows, delivered, 1.0)
        build.put(rows[1:], delivered[:-1], -1.0)
        build.put(rows, part, sign)
    return slack


def add_tank(plant: Plant, index: int) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray]:
    """Two-zone tank: S[k] = (1 - loss)^h S[k-1] + h ch[k] - h ds[k] - h fixed loss.

    min - slack <= S <= capacity;   S[last] + end slack >= tank_end. Cost: - end value * S[last], slacks at the tank penalty.
    Returns charge, discharge, level, floor slack, end slack.
    """
    problem, frame, build, scale = plant.problem, plant.frame, plant.build, plant.scale
    plug = problem.plugs[index]
    if plug.tank_capacity_kwh <= 0.0:
        return NONE, NONE, NONE, NONE, NONE
    shape = (frame.steps,)
    charge = build.columns(f"charge_{index}", shape, upper=plug.max_charge_kw / scale.kw)
    discharge = build.columns(f"discharge_{index}", shape, upper=plug.max_discharge_kw / scale.kw)
    last = np.arange(frame.steps) == frame.steps - 1
    worth = np.where(last, -plug.tank_end_value_eur_per_kwh * scale.kw, 0.0)
    level = build.columns(f"level_{index}", shape, cost=worth, lower=0.0, upper=plug.tank_capacity_kwh / scale.kw)
    penalty = problem.penalties.tank_end_eur_per_kwh * scale.kw
    floor = build.columns(f"floor_slack_{index}", shape, cost=penalty)
    end = build.columns(f"end_slack_{index}", (1,), cost=penalty)
    kept = (1.0 - plug.tank_loss_per_h_fraction) ** frame.hours
    known = np.where(np.arange(frame.steps) == 0, kept * plug.tank_level_kwh, 0.0) / scale.kw
    known = known - plug.tank_fixed_loss_kw * frame.hours / scale.kw
    balance = build.rows(f"tank_{index}", shape, lower=known, upper=known)
    build.put(balance, level, 1.0)
    build.put(balance[1:], level[:-1], -kept[1:])
    build.put(balance, charge, -frame.hours)
    build.put(balance, discharge, frame.hours)
    if plug.tank_fixed_loss_kw > 0.0:
        # An empty tank loses nothing: the part of the fixed loss that it cannot lose is given back, at the floor's price.
        spared = build.columns(f"spared_{index}", shape, cost=penalty, upper=plug.tank_fixed_loss_kw * frame.hours / scale.kw)
        build.put(balance, spared, -1.0)
        slack = np.concatenate([floor, spared])
    else:
        slack = floor
    if plug.tank_min_kwh > 0.0:
        rows = build.rows(f"tank_floor_{index}", shape, lower=plug.tank_min_kwh / scale.kw)
        build.put(rows, level, 1.0)
        build.put(rows, floor, 1.0)
    wish = build.rows(f"tank_end_{index}", (1,), lower=plug.tank_end_kwh / scale.kw)
    build.put(wish, level[-1:], 1.0)
    build.put(wish, end, 1.0)
    return charge, discharge, level, slack, end


def add_heat_balance(plant: Plant, index: int, found: PlantVars, plug_vars: PlugVars) -> None:
    """D + ds + slack = sum of sold + ch + dumped + pipe loss; slack (a cold pipe) at the ramp penalty."""
    problem, frame, build, scale = plant.problem, plant.frame, plant.build, plant.scale
    loss = problem.plugs[index].pipe_loss_kw / scale.kw
    rows = build.rows(f"heat_{index}", (frame.steps,), lower=loss, upper=loss)
    build.put(rows, plug_vars.delivered, 1.0)
    build.put(rows, plug_vars.dumped, -1.0)
    if len(plug_vars.level):
        build.put(rows, plug_vars.discharge, 1.0)
        build.put(rows, plug_vars.charge, -1.0)
    if loss > 0.0:
        cost = problem.penalties.ramp_eur_per_kwh * plant.kwh_hours
        plug_vars.pipe_slack = build.columns(f"pipe_slack_{index}", (frame.steps,), cost=cost)
        build.put(rows, plug_vars.pipe_slack, 1.0)
    for number, offtake in enumerate(problem.offtakes):
        if offtake.plug == index:
            build.put(rows, found.sold[number], -1.0)


def priority_bonus(problem: PlanProblem) -> FloatArray:
    """EUR per kWh by which a sale looks better than it is, (offtakes,): a tie-break among the customers of a plug.

    Nothing for the last priority number of a plug, `TIE_EUR_PER_KWH` more for each number before it. Only ever a bonus, so
    that a bound proven with it holds without it; costs are recounted without it.
    """
    numbers: dict[int, set[int]] = {}
    for one in problem.offtakes:
        numbers.setdefault(one.plug, set()).add(one.priority)
    behind = [sum(number > one.priority for number in numbers[one.plug]) for one in problem.offtakes]
    return TIE_EUR_PER_KWH * np.asarray(behind, dtype=np.float64)


def add_sales(plant: Plant) -> IntArray:
    """0 <= s[o,k] <= mean demand; cost - (mean price + priority bonus) * h * s. Returns the columns, (offtakes, steps)."""
    problem, frame, build, scale = plant.problem, plant.frame, plant.build, plant.scale
    shape = (len(problem.offtakes), frame.steps)
    if shape[0] == 0:
        return np.zeros(shape, dtype=np.int64)
    demand = np.array([np.clip(frame.mean(one.demand_kw), 0.0, None) for one in problem.offtakes]) / scale.kw
    price = np.array([frame.mean(one.price_eur_per_kwh) for one in problem.offtakes])
    worth = price + priority_bonus(problem)[:, None]
    return build.columns("sold", shape, cost=-worth * plant.kwh_hours, upper=demand)


def add_commitments(plant: Plant, sold: IntArray) -> IntArray:
    """Sum over the window of sold * hours inside + shortfall >= required; shortfall at its contract price (in kWh units)."""
    problem, frame, build, scale = plant.problem, plant.frame, plant.build, plant.scale
    promises = problem.commitments
    if not promises:
        return NONE
    cost = np.array([one.shortfall_eur_per_kwh for one in promises]) * scale.kw
    required = np.array([one.required_kwh for one in promises]) / scale.kw
    shortfall = build.columns("shortfall", (len(promises),), cost=cost)
    rows = build.rows("commitment", (len(promises),), lower=required)
    build.put(rows, shortfall, 1.0)
    ends = frame.step_start + frame.step_slots
    for row, one in zip(rows, promises, strict=True):
        inside = np.clip(np.minimum(ends, one.end_slot) - np.maximum(frame.step_start, one.start_slot), 0, None)
        steps = np.nonzero(inside)[0]
        build.put(row[None], sold[one.offtake, steps], inside[steps] * frame.slot_h)
    return shortfall


def add_site(plant: Plant, found: PlantVars) -> tuple[IntArray, IntArray]:
    """Import of a step <= site limit + slack, and <= peak so far + increase, which pays the demand charge.

    Import = base + sum_z [(1 + overhead) it + cooling] P + sum_y [(1 / cop - rejection / gain) D + rejection * dumped].
    """
    problem, frame, build, scale = plant.problem, plant.frame, plant.build, plant.scale
    base = frame.mean(base_kw_el(problem))
    slack, peak = NONE, NONE
    limit = frame.mean(problem.site_limit_kw)
    steps = np.nonzero(np.isfinite(limit))[0]
    if len(steps):
        cost = problem.penalties.site_eur_per_kwh * plant.kwh_hours[steps]
        slack = build.columns("site_slack", (len(steps),), cost=cost)
        rows = build.rows("site_limit", (len(steps),), upper=(limit - base)[steps] / scale.kw)
        _put_import(plant, found, rows, steps)
        build.put(rows, slack, -1.0)
    if problem.demand_charge_eur_per_kw > 0.0:
        every = np.arange(frame.steps)
        peak = build.columns("peak", (1,), cost=problem.demand_charge_eur_per_kw * scale.kw)
        rows = build.rows("peak_import", (frame.steps,), upper=(problem.peak_kw - base) / scale.kw)
        _put_import(plant, found, rows, every)
        build.put(rows, peak, -1.0)
    return slack, peak


def _put_import(plant: Plant, found: PlantVars, rows: IntArray, steps: IntArray) -> None:
    """Flexible import of some steps on the left side of their rows."""
    problem = plant.problem
    for index, pool in enumerate(problem.pools):
        per_draw = (1.0 + problem.overhead_fraction) * pool.it_kw_per_draw_kw + cooling_per_draw(problem, index)
        plant.build.put(rows, found.draw[index, steps], per_draw)
    for plug, plug_vars in zip(problem.plugs, found.plugs, strict=True):
        plant.build.put(rows, plug_vars.delivered[steps], electric_per_delivered(plug, plant.frame)[steps])
        if plug.rejection_kw_per_kw > 0.0:
            plant.build.put(rows, plug_vars.dumped[steps], plug.rejection_kw_per_kw)
