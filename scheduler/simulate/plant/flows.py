"""Where the heat goes over one step: from us, from the boiler, through the tank, to the houses, or to our dry cooler."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from scheduler.simulate.plant.boiler import Boiler, fired
from scheduler.simulate.plant.network import HEAT, demand_kw, outdoor_c, standard_noise, supply_c
from scheduler.simulate.plant.spec import PlantSpec
from scheduler.simulate.plant.tank import charge_room_kw, discharge_room_kw, standing_loss_kw
from scheduler.units import h_from_s

QUARTER_S = 900.0
# Before it falls below the first share of its capacity the tank calls for the boiler by itself, and keeps it to the second.
LOW_TANK_FRACTION, ENOUGH_FRACTION = 0.1, 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What the plant cannot choose."""

    outdoor_c: float
    supply_c: float
    return_c: float
    demand_kw: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """What lasts from step to step."""

    level_kwh: float
    boiler: Boiler = Boiler()


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the PLC wants over a step: the most heat of ours that is taken, and whether the boiler runs."""

    take_at_most_kw: float
    boiler_on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """Mean kW over a step. taken + boiler + discharge = served + charge; offered = taken + dry_cooler."""

    duration_s: float
    offered_kw: float
    taken_kw: float
    dry_cooler_kw: float
    boiler_kw: float
    charge_kw: float
    discharge_kw: float
    loss_kw: float
    served_kw: float
    unserved_kw: float


def weather_at(spec: PlantSpec, at_utc: datetime) -> Weather:
    """Outdoor temperature, what the houses draw, and the water that is sent to them."""
    network = spec.network
    outdoor = outdoor_c(network, spec.seed, at_utc)
    return Weather(
        outdoor_c=outdoor,
        supply_c=supply_c(network, outdoor),
        return_c=network.return_c,
        demand_kw=demand_kw(network, outdoor, at_utc),
    )


def offered_kw(spec: PlantSpec, planned_kw: float, at_utc: datetime) -> float:
    """Heat that really comes where `planned_kw` was planned."""
    return max(planned_kw * (1.0 + spec.noise_fraction * standard_noise(spec.seed, HEAT, at_utc, QUARTER_S)), 0.0)


def flows_of(
    spec: PlantSpec, store: Store, orders: Orders, weather: Weather, offered: float, duration_s: float
) -> tuple[Flows, Store]:
    """One step of `duration_s`: our heat first, then the boiler where it is hot, then the tank."""
    hours = h_from_s(duration_s)
    loss_kw = min(standing_loss_kw(spec.tank, store.level_kwh), store.level_kwh / hours)
    room_kw = charge_room_kw(spec.tank, store.level_kwh, duration_s)
    taken_kw = min(offered, orders.take_at_most_kw, weather.demand_kw + room_kw)
    missing_kw = max(weather.demand_kw - taken_kw, 0.0)
    room_kw -= max(taken_kw - weather.demand_kw, 0.0)
    least_kwh = (ENOUGH_FRACTION if store.boiler.wanted else LOW_TANK_FRACTION) * spec.tank.capacity_kwh
    low = missing_kw > 0.0 and store.level_kwh - missing_kw * hours <= least_kwh
    boiler = fired(store.boiler, spec.boiler, orders.boiler_on or low, missing_kw, room_kw, duration_s)
    left_kw = weather.demand_kw - taken_kw - boiler.heat_kw
    discharge_kw = min(max(left_kw, 0.0), discharge_room_kw(store.level_kwh, loss_kw, duration_s))
    charge_kw = max(-left_kw, 0.0)
    unserved_kw = max(left_kw - discharge_kw, 0.0)
    level_kwh = store.level_kwh + (charge_kw - discharge_kw - loss_kw) * hours
    flows = Flows(
        duration_s=duration_s,
        offered_kw=offered,
        taken_kw=taken_kw,
        dry_cooler_kw=offered - taken_kw,
        boiler_kw=boiler.heat_kw,
        charge_kw=charge_kw,
        discharge_kw=discharge_kw,
        loss_kw=loss_kw,
        served_kw=weather.demand_kw - unserved_kw,
        unserved_kw=unserved_kw,
    )
    return flows, Store(level_kwh=min(max(level_kwh, 0.0), spec.tank.capacity_kwh), boiler=boiler)
