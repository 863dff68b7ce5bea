"""One plug for one slot: heat pump, tank, customers and dry cooler, with every kWh accounted for.

Conservation (design invariant 8), all kW means over the slot:
    captured = recovered + rejected
    IT power = caught + room, caught = captured without a lag of the loop
    recovered + pump electricity = sold + charge - discharge + pipe loss + dumped
    level' = level - tank loss + (charge - discharge) * hours
Plain floats: this is the hot path of a year-long backtest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.core.thermal.heat_pump import cop
from scheduler.core.thermal.limits import plug_rating_kw
from scheduler.domain.site import Offtake, Plug
from scheduler.units import MIN_PER_H

NO_LIMIT = float("inf")
EPSILON_KW = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantModel:
    """A plug with what is computed once: COP (None: direct use), rating, customers in the order they are served."""

    plug: Plug
    offtakes: tuple[Offtake, ...]
    cop: float | None
    rated_heat_kw: float

    @property
    def recovered_share(self) -> float:
        """Recovered heat per delivered heat: (COP - 1) / COP, 1 in direct use."""
        return 1.0 if self.cop is None else (self.cop - 1.0) / self.cop

    @property
    def min_heat_kw(self) -> float:
        """Smallest delivered heat of the pump while it runs."""
        pump = self.plug.heat_pump
        return 0.0 if pump is None else pump.min_load_fraction * pump.rated_heat_kw


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantMemory:
    """What carries over from slot to slot."""

    tank_kwh: float
    pump_on: bool = False
    delivered_kw: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantLoad:
    """What a slot brings: captured heat, IT power, demand in the order of the model's offtakes.

    `available_kw` limits delivered heat (outage, maintenance). `caught_kw`: heat that enters the loop in this slot, where a
    lag lets it arrive later than that; None: what arrives is what enters.
    """

    captured_kw: float
    it_kw: float
    demand_kw: tuple[float, ...]
    available_kw: float = NO_LIMIT
    caught_kw: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantRequest:
    """What is asked of a plug for one slot: delivered heat, and limits of charge, discharge and total sale.

    least_kw: delivered even when nobody takes it, and then dumped through the dry cooler: how a pump is kept running.
    """

    pump_heat_kw: float
    charge_kw: float = NO_LIMIT
    discharge_kw: float = NO_LIMIT
    sell_kw: float = NO_LIMIT
    least_kw: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantFlows:
    """What happened in one slot, kW means; `sold_kw` in the order of the model's offtakes."""

    captured_kw: float
    recovered_kw: float
    rejected_kw: float
    delivered_kw: float
    pump_kw_el: float
    sold_kw: tuple[float, ...]
    charge_kw: float
    discharge_kw: float
    pipe_loss_kw: float
    dumped_kw: float
    tank_loss_kwh: float
    room_heat_kw: float
    rejection_kw_el: float
    room_kw_el: float
    pump_started: bool

    @property
    def total_sold_kw(self) -> float:
        """Sale to all customers."""
        return sum(self.sold_kw)


def plant_model(plug: Plug, offtakes: Sequence[Offtake]) -> PlantModel:
    """Prepare a plug and its customers, best priority (lowest number) first."""
    mine = sorted((one for one in offtakes if one.plug_id == plug.plug_id), key=lambda one: (one.priority, one.offtake_id))
    value = None if plug.heat_pump is None else cop(plug.heat_pump.cop)
    return PlantModel(plug=plug, offtakes=tuple(mine), cop=value, rated_heat_kw=plug_rating_kw(plug))


def initial_memory(plug: Plug) -> PlantMemory:
    """A plug at rest with its tank at the stated initial level."""
    tank = plug.tank
    return PlantMemory(tank_kwh=0.0 if tank is None else tank.initial_fraction * tank.capacity_kwh)


def margin_eur_per_kwh(model: PlantModel, heat_eur_per_kwh: float, electricity_eur_per_kwh: float) -> float:
    """Gain of delivering one kWh of heat: its price, minus pump electricity, plus the dry cooler that need not run."""
    pump_share = 0.0 if model.cop is None else 1.0 / model.cop
    avoided = model.plug.rejection_electric_fraction * model.recovered_share
    return heat_eur_per_kwh - electricity_eur_per_kwh * (pump_share - avoided)


def plant_rule(model: PlantModel, demand_kw: Sequence[float], margin: float) -> PlantRequest:
    """The stated rule of the baselines.

    Sell captured heat up to demand, pump on while its margin is positive, charge surplus, discharge deficit. On means on: where
    demand lies below the pump's least load and the tank is full, the rest is dumped. A pump that stopped for that would start
    again in the slot after, 6,700 times a year on the reference site with 192 GPUs, and any plan would look good beside it.
    """
    if margin <= 0.0:
        return PlantRequest(pump_heat_kw=0.0)
    tank = model.plug.tank
    spare = 0.0 if tank is None else tank.max_charge_kw
    useful_kw = sum(demand_kw) + spare + model.plug.pipe_loss_kw
    return PlantRequest(pump_heat_kw=max(useful_kw, model.min_heat_kw), least_kw=model.min_heat_kw)


def follow_request(model: PlantModel, planned: PlantRequest, demand_kw: Sequence[float], margin: float) -> PlantRequest:
    """A planned slot met by real demand: keep the tank on its planned path, sell what demand takes.

    Demand above the plan is served from the pump while that pays; demand below it lowers the pump before it fills the tank.
    Missing heat takes from planned charging first, then from the tank up to the planned sale.
    """
    demand = sum(demand_kw)
    wanted = demand if margin > 0.0 and planned.pump_heat_kw > EPSILON_KW else min(demand, planned.sell_kw)
    pump = wanted - planned.discharge_kw + planned.charge_kw + model.plug.pipe_loss_kw
    if planned.pump_heat_kw <= EPSILON_KW:
        return PlantRequest(pump_heat_kw=0.0, charge_kw=0.0, discharge_kw=max(planned.discharge_kw, 0.0), sell_kw=wanted)
    # A pump that would fall under its minimum load runs at it, charges the rest and dumps what does not fit, as the plan has
    # it, rather than stop for a slot.
    floor = model.min_heat_kw if planned.pump_heat_kw >= model.min_heat_kw - EPSILON_KW else 0.0
    spare = max(0.0, floor - pump)
    cover = max(0.0, min(demand, planned.sell_kw))
    return PlantRequest(
        pump_heat_kw=max(pump, floor),
        charge_kw=planned.charge_kw + spare,
        discharge_kw=max(planned.discharge_kw, cover),
        sell_kw=wanted,
        least_kw=floor,
    )


def step_plant(
    model: PlantModel, memory: PlantMemory, load: PlantLoad, request: PlantRequest, duration_h: float
) -> tuple[PlantFlows, PlantMemory]:
    """Carry a request out as far as physics allows; rejecting heat is always possible."""
    plug = model.plug
    demand = [max(0.0, min(value, one.max_heat_kw)) for value, one in zip(load.demand_kw, model.offtakes, strict=True)]
    captured_kw, it_kw = load.captured_kw, load.it_kw
    wish = min(sum(demand), request.sell_kw)
    room_kw, reach_kw, loss_kwh = tank_limits(plug, memory.tank_kwh, duration_h)
    charge_limit, discharge_limit = min(room_kw, max(0.0, request.charge_kw)), min(reach_kw, max(0.0, request.discharge_kw))
    ceiling = min(
        model.rated_heat_kw, load.available_kw, captured_kw / model.recovered_share, ramp_top(plug, memory, duration_h)
    )
    useful = max(wish + charge_limit + plug.pipe_loss_kw, request.least_kw)
    delivered = min(max(0.0, request.pump_heat_kw), max(0.0, ceiling), useful)
    if delivered < model.min_heat_kw - EPSILON_KW:
        delivered = 0.0
    pipe_loss = min(plug.pipe_loss_kw, delivered)
    net = delivered - pipe_loss
    sold = min(net, wish)
    charge = min(net - sold, charge_limit)
    dumped = net - sold - charge
    discharge = min(wish - sold, discharge_limit)
    sales = serve(demand, sold + discharge)
    recovered = delivered * model.recovered_share
    rejected = max(0.0, captured_kw - recovered)
    room_heat = max(0.0, it_kw - (captured_kw if load.caught_kw is None else load.caught_kw))
    flows = PlantFlows(
        captured_kw=captured_kw,
        recovered_kw=recovered,
        rejected_kw=rejected,
        delivered_kw=delivered,
        pump_kw_el=delivered - recovered,
        sold_kw=sales,
        charge_kw=charge,
        discharge_kw=discharge,
        pipe_loss_kw=pipe_loss,
        dumped_kw=dumped,
        tank_loss_kwh=loss_kwh,
        room_heat_kw=room_heat,
        rejection_kw_el=plug.rejection_electric_fraction * (rejected + dumped),
        room_kw_el=plug.room_electric_fraction * room_heat,
        pump_started=delivered > 0.0 and not memory.pump_on and model.cop is not None,
    )
    level = memory.tank_kwh - loss_kwh + (charge - discharge) * duration_h
    return flows, PlantMemory(tank_kwh=level, pump_on=delivered > 0.0, delivered_kw=delivered)


def tank_limits(plug: Plug, level_kwh: float, duration_h: float) -> tuple[float, float, float]:
    """(largest charge kW, largest discharge kW, loss kWh) of a slot that starts at `level_kwh`."""
    tank = plug.tank
    if tank is None:
        return 0.0, 0.0, 0.0
    standing = level_kwh * (1.0 - (1.0 - tank.loss_per_hour_fraction) ** duration_h)
    loss_kwh = min(level_kwh, standing + tank.fixed_loss_kw * duration_h)
    left_kwh = level_kwh - loss_kwh
    room_kw = max(0.0, min(tank.max_charge_kw, (tank.capacity_kwh - left_kwh) / duration_h))
    reach_kw = max(0.0, min(tank.max_discharge_kw, (left_kwh - tank.min_kwh) / duration_h))
    return room_kw, reach_kw, loss_kwh


def ramp_top(plug: Plug, memory: PlantMemory, duration_h: float) -> float:
    """Highest delivered heat that the ramp allows from the last slot's; falling is never held back."""
    if plug.ramp_kw_per_min is None:
        return NO_LIMIT
    return memory.delivered_kw + plug.ramp_kw_per_min * duration_h * MIN_PER_H


def serve(demand_kw: Sequence[float], heat_kw: float) -> tuple[float, ...]:
    """Share heat among customers in their order."""
    left = heat_kw
    out: list[float] = []
    for demand in demand_kw:
        one = min(demand, left)
        out.append(one)
        left -= one
    return tuple(out)
