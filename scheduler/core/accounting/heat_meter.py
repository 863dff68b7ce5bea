"""What a heat meter of EN 1434 computes: heat from the volume of water and the temperatures of both pipes.

    E = k * V * (T_supply - T_return),   k = rho(T_meter) * (h(T_supply) - h(T_return)) / (T_supply - T_return)  [kWh/(m3 K)]

Density and specific enthalpy of water at 16 bar by polynomials of degree 5 in degC, fitted to IAPWS-IF97 from 5 to 120 degC.
The worst error of k is 0.018 %. T_meter is the temperature of the pipe that the flow sensor sits in: water in the warmer pipe
is thinner, so a meter there counts more volume for the same heat, and k is smaller.
"""

from __future__ import annotations

import math

from scheduler.domain.settlement import MeterPosition
from scheduler.units import KJ_PER_KWH

COLDEST_C, HOTTEST_C = 5.0, 120.0
# kg/m3 and kJ/kg, highest power first.
DENSITY_KG_PER_M3 = (5.56126789e-10, -2.52479943e-07, 4.97063035e-05, -7.61234042e-03, 4.48131280e-02, 1000.67766)
ENTHALPY_KJ_PER_KG = (1.28015991e-10, -4.60170673e-08, 9.70600528e-06, -8.02688520e-04, 4.20243814, 1.62338828)
# Flow sensors: share of the reading, and the part that grows towards small flows, by class of EN 1434-1.
FLOW_ERROR = {1: (0.01, 0.0001), 2: (0.02, 0.0002), 3: (0.03, 0.0005)}
LARGEST_FLOW_ERROR = 0.05


def density_kg_per_m3(water_c: float) -> float:
    """Density of water at 16 bar."""
    return _polynomial(DENSITY_KG_PER_M3, water_c)


def enthalpy_kj_per_kg(water_c: float) -> float:
    """Specific enthalpy of water at 16 bar."""
    return _polynomial(ENTHALPY_KJ_PER_KG, water_c)


def k_kwh_per_m3_k(supply_c: float, return_c: float, position: MeterPosition) -> float:
    """Heat coefficient, kWh per m3 and K; NaN where a temperature lies outside 5 to 120 degC.

    The quotient of enthalpies is taken term by term, so that it goes on where both pipes are equally warm.
    """
    if not all(COLDEST_C <= one_c <= HOTTEST_C for one_c in (supply_c, return_c)):
        return math.nan
    meter_c = supply_c if position is MeterPosition.FLOW else return_c
    return density_kg_per_m3(meter_c) * _mean_slope(ENTHALPY_KJ_PER_KG, supply_c, return_c) / KJ_PER_KWH


def heat_kwh(volume_m3: float, supply_c: float, return_c: float, position: MeterPosition) -> float | None:
    """Heat carried by a volume; zero when the return is the warmer pipe, as a meter for heat counts; None outside its range."""
    k = k_kwh_per_m3_k(supply_c, return_c, position)
    return None if math.isnan(k) else max(0.0, k * volume_m3 * (supply_c - return_c))


def permissible_error_fraction(
    meter_class: int, spread_k: float, *, least_spread_k: float = 3.0, rated_over_flow: float = 1.0
) -> float:
    """By how much a whole meter may err, as a share of the heat: the sum of its three parts (EN 1434-1, on approval).

    Calculator 0.5 % + dTmin/dT, pair of sensors 0.5 % + 3 dTmin/dT, flow sensor by class, at most 5 %.

    Args:
        meter_class: 1, 2 or 3.
        spread_k: supply above return.
        least_spread_k: smallest spread that the meter is made for, dTmin.
        rated_over_flow: rated flow over flow, 1 at rated flow.
    """
    if spread_k <= 0.0:
        return math.inf
    share = least_spread_k / spread_k / 100.0
    base, small = FLOW_ERROR[meter_class]
    flow = min(LARGEST_FLOW_ERROR, base + small * rated_over_flow)
    return (0.005 + share) + (0.005 + 3.0 * share) + flow


def _polynomial(coefficients: tuple[float, ...], at: float) -> float:
    """Horner's rule."""
    total = 0.0
    for one in coefficients:
        total = total * at + one
    return total


def _mean_slope(coefficients: tuple[float, ...], a: float, b: float) -> float:
    """(p(a) - p(b)) / (a - b), without dividing: a^n - b^n = (a - b) * sum of a^j b^(n-1-j)."""
    total = 0.0
    for power, one in enumerate(reversed(coefficients)):
        total += one * sum(a**j * b ** (power - 1 - j) for j in range(power))
    return total
