"""The plant by one stated rule, for plans that no solver made.

Sell captured heat up to demand, heat pump on while its margin is positive or a promise is open, charge surplus, discharge
deficit; customers are served in the order of their priority.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.recount import Loads, captured_kw, of_plug, step_hours, step_means
from scheduler.domain.plan import PlugFlows
from scheduler.domain.problem import PlanOfftake, PlanPlug, PlanProblem
from scheduler.domain.time import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Steps:
    """What the rule reads of one plug, arrays over steps."""

    plug: PlanPlug
    hours: FloatArray
    captured_kw: FloatArray
    rated_kw: FloatArray
    cop: FloatArray | None
    demand_kw: FloatArray
    owed_kw: FloatArray
    margin_eur_per_kwh: FloatArray

    def recovered_share(self, step: int) -> float:
        """Recovered per delivered heat: (COP - 1) / COP, 1 in direct use."""
        return 1.0 if self.cop is None else float((self.cop[step] - 1.0) / self.cop[step])


@dataclass(slots=True)
class _Memory:
    """What carries over from step to step."""

    tank_kwh: float
    delivered_kw: float


def plant_by_rule(problem: PlanProblem, loads: Loads) -> tuple[tuple[PlugFlows, ...], dict[str, FloatArray]]:
    """Flows of every plug and heat sold to every customer, per step."""
    flows: list[PlugFlows] = []
    sold: dict[str, FloatArray] = {}
    for index, plug in enumerate(problem.plugs):
        mine = sorted((one for one in problem.offtakes if one.plug == index), key=lambda one: (one.priority, one.offtake_id))
        steps = _steps(problem, plug, mine, of_plug(problem, index, captured_kw(problem, loads)))
        columns = _walk(steps)
        left = columns.pop("sold_kw")
        for offtake in mine:
            share = np.minimum(left, np.maximum(0.0, step_means(problem, offtake.demand_kw)))
            sold[offtake.offtake_id] = share
            left = left - share
        flows.append(PlugFlows(plug_id=plug.plug_id, captured_kw=steps.captured_kw, **columns))
    return tuple(flows), sold


def _steps(problem: PlanProblem, plug: PlanPlug, mine: list[PlanOfftake], captured: FloatArray) -> _Steps:
    """Means over steps, what is owed, and the gain of one more kWh delivered to the best customer."""
    count = len(problem.step_slots)
    price = step_means(problem, problem.spot_eur_per_kwh + problem.adder_eur_per_kwh + problem.carbon_eur_per_kwh)
    cop = None if plug.cop is None else step_means(problem, plug.cop)
    tariffs = [step_means(problem, one.price_eur_per_kwh) for one in mine]
    best = np.max(tariffs, axis=0) if tariffs else np.zeros(count)
    pump_share = 0.0 if cop is None else 1.0 / cop
    avoided = plug.rejection_kw_per_kw * (1.0 if cop is None else (cop - 1.0) / cop)
    return _Steps(
        plug=plug,
        hours=step_hours(problem),
        captured_kw=step_means(problem, captured),
        rated_kw=step_means(problem, plug.rated_heat_kw),
        cop=cop,
        demand_kw=sum((np.maximum(0.0, step_means(problem, one.demand_kw)) for one in mine), np.zeros(count)),
        owed_kw=_owed(problem, {one.offtake_id for one in mine}),
        margin_eur_per_kwh=np.asarray(best - price * (pump_share - avoided), dtype=np.float64),
    )


def _owed(problem: PlanProblem, offtake_ids: set[str]) -> FloatArray:
    """Promised heat as a constant flow over its window, mean kW per step."""
    owed = np.zeros(problem.grid.slots)
    for promise in problem.commitments:
        if problem.offtakes[promise.offtake].offtake_id in offtake_ids:
            hours = (promise.end_slot - promise.start_slot) * problem.grid.slot_h
            owed[promise.start_slot : promise.end_slot] += max(0.0, promise.required_kwh) / hours
    return step_means(problem, owed)


def _walk(steps: _Steps) -> dict[str, FloatArray]:
    """Step by step; arrays by the field names of PlugFlows, plus sold_kw."""
    plug = steps.plug
    before = float("inf") if plug.delivered_kw is None else plug.delivered_kw
    memory = _Memory(tank_kwh=plug.tank_level_kwh, delivered_kw=before)
    rows = [_step(steps, step, memory) for step in range(len(steps.hours))]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


def _step(steps: _Steps, step: int, memory: _Memory) -> dict[str, float]:
    """One step of the rule; moves `memory` on."""
    plug, hours = steps.plug, float(steps.hours[step])
    kept = max(0.0, memory.tank_kwh * (1.0 - plug.tank_loss_per_h_fraction) ** hours - plug.tank_fixed_loss_kw * hours)
    room_kw = max(0.0, min(plug.max_charge_kw, (plug.tank_capacity_kwh - kept) / hours))
    reach_kw = max(0.0, min(plug.max_discharge_kw, (kept - plug.tank_min_kwh) / hours))
    demand = float(steps.demand_kw[step])
    pays = float(steps.margin_eur_per_kwh[step]) > 0.0
    wanted = demand + room_kw if pays else max(0.0, float(steps.owed_kw[step]) - reach_kw)
    delivered = _delivered(steps, step, memory, wanted)
    pipe_loss = min(plug.pipe_loss_kw, delivered)
    useful = delivered - pipe_loss
    sold = min(useful, demand)
    charge = min(useful - sold, room_kw)
    discharge = min(demand - sold, reach_kw) if charge <= 0.0 else 0.0
    memory.tank_kwh = kept + (charge - discharge) * hours
    memory.delivered_kw = delivered
    recovered = delivered * steps.recovered_share(step)
    return {
        "recovered_kw": recovered,
        "delivered_kw": delivered,
        "pump_kw_el": delivered - recovered,
        "charge_kw": charge,
        "discharge_kw": discharge,
        "tank_kwh": memory.tank_kwh,
        "dumped_kw": useful - sold - charge,
        "rejected_kw": float(steps.captured_kw[step]) - recovered,
        "sold_kw": sold + discharge,
    }


def _delivered(steps: _Steps, step: int, memory: _Memory, wanted_kw: float) -> float:
    """What pump or exchanger deliver: as much as is wanted within capture, rating, ramp and minimum load."""
    plug = steps.plug
    rated = float(steps.rated_kw[step])
    most = min(rated, float(steps.captured_kw[step]) / max(1e-9, steps.recovered_share(step)))
    if plug.ramp_kw_per_h is not None:
        most = min(most, memory.delivered_kw + plug.ramp_kw_per_h * float(steps.hours[step]))
    delivered = max(0.0, min(most, wanted_kw + plug.pipe_loss_kw if wanted_kw > 0.0 else 0.0))
    return delivered if delivered >= plug.min_load_fraction * rated else 0.0
