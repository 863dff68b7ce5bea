"""Customers that store heat by themselves: a digester, a pool, a greenhouse as one lumped thermal mass.

    C dT/dt = heat - demand

`demand` is the heat that holds the temperature (losses, fresh water, the process), C is in kWh/K. More heat than demand warms
the mass, less cools it, so demand can be served early or late as long as the temperature stays between its limits and moves
no faster than allowed. The daily limit is applied as a rate at every moment, max_k_per_day / 24 per hour: stricter than the
contract, and then no window of a day can break it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.domain.site import ThermalMass
from scheduler.domain.time import FloatArray
from scheduler.units import H_PER_DAY

# Heat that warms a cubic metre by one kelvin: water 998 kg/m3 x 4.18 kJ/(kg K), concrete 2400 x 0.88, air 1.2 x 1.005, / 3600.
WATER_KWH_PER_M3_K = 1.159
CONCRETE_KWH_PER_M3_K = 0.587
AIR_KWH_PER_M3_K = 0.000335
# A biogas digester: "not more than 1 degC per week" (zorg-biogas.com).
DIGESTER_MAX_K_PER_DAY = 1.0 / 7.0
TOLERANCE_K = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Heat that may be moved: taken now in advance of later demand, or left out now and made up later, kWh."""

    early_kwh: float
    late_kwh: float


def kwh_per_k(water_m3: float = 0.0, concrete_m3: float = 0.0, air_m3: float = 0.0) -> float:
    """Thermal mass C in kWh/K of what a customer is made of: digester and pool mostly water, a greenhouse floor and air."""
    return WATER_KWH_PER_M3_K * water_m3 + CONCRETE_KWH_PER_M3_K * concrete_m3 + AIR_KWH_PER_M3_K * air_m3


def rate_kw(mass: ThermalMass) -> float:
    """Largest difference between heat and demand: C * max_k_per_day / 24."""
    return mass.kwh_per_k * mass.max_k_per_day / H_PER_DAY


def shiftable(mass: ThermalMass, temperature_c: float, within_h: float) -> Shift:
    """Heat that can be moved within some hours from a temperature, both ways.

    early = min(C (max - T), rate * hours), late = min(C (T - min), rate * hours); zero from outside the limits.
    """
    reach_kwh = rate_kw(mass) * within_h
    return Shift(
        early_kwh=min(reach_kwh, mass.kwh_per_k * max(0.0, mass.max_c - temperature_c)),
        late_kwh=min(reach_kwh, mass.kwh_per_k * max(0.0, temperature_c - mass.min_c)),
    )


def heat_limits_kw(mass: ThermalMass, temperature_c: float, demand_kw: float, duration_h: float) -> tuple[float, float]:
    """(least, most) mean heat of a slot that keeps the mass within its limits; least is never below zero.

    A mass that is too cold must be warmed as fast as it may, one that is too warm cooled as fast as it may.
    """
    rate = rate_kw(mass)
    to_max_kw = mass.kwh_per_k * (mass.max_c - temperature_c) / duration_h
    to_min_kw = mass.kwh_per_k * (mass.min_c - temperature_c) / duration_h
    most = max(0.0, demand_kw + min(rate, max(-rate, to_max_kw)))
    least = max(0.0, demand_kw + max(-rate, min(rate, to_min_kw)))
    return min(least, most), most


def temperature_after_c(mass: ThermalMass, temperature_c: float, heat_kw: float, demand_kw: float, duration_h: float) -> float:
    """Temperature at the end of a slot: T + (heat - demand) * hours / C."""
    return temperature_c + (heat_kw - demand_kw) * duration_h / mass.kwh_per_k


def temperature_path_c(
    mass: ThermalMass, start_c: float, heat_kw: FloatArray, demand_kw: FloatArray, slot_h: float
) -> FloatArray:
    """Temperature at the end of each slot, (slots,)."""
    return np.asarray(start_c + np.cumsum(heat_kw - demand_kw) * slot_h / mass.kwh_per_k)


def broken_limits(
    mass: ThermalMass, start_c: float, heat_kw: FloatArray, demand_kw: FloatArray, slot_h: float
) -> tuple[str, ...]:
    """What a heat profile does to the mass that it must not; empty when it may be delivered so."""
    path = np.concatenate([[start_c], temperature_path_c(mass, start_c, heat_kw, demand_kw, slot_h)])
    day = max(1, round(H_PER_DAY / slot_h))
    found: list[str] = []
    if path.max() > max(mass.max_c, start_c) + TOLERANCE_K:
        found.append(f"{path.max():.2f} degC, at most {mass.max_c:g}")
    if path.min() < min(mass.min_c, start_c) - TOLERANCE_K:
        found.append(f"{path.min():.2f} degC, at least {mass.min_c:g}")
    swing_k = fastest_swing_k(path, day)
    if swing_k > mass.max_k_per_day + TOLERANCE_K:
        found.append(f"{swing_k:.2f} K within a day, at most {mass.max_k_per_day:g}")
    return tuple(found)


def fastest_swing_k(path_c: FloatArray, window: int) -> float:
    """Largest difference between two temperatures that lie at most `window` slots apart."""
    steps = range(1, min(window, len(path_c) - 1) + 1)
    return max((float(np.abs(path_c[step:] - path_c[:-step]).max()) for step in steps), default=0.0)
