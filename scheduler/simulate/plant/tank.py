"""The plant's tank: two zones of water, hot above cold."""

from __future__ import annotations

import math

from scheduler.core.publishing.message import WATER_KJ_PER_M3_K
from scheduler.simulate.plant.spec import TankSpec
from scheduler.units import h_from_s, kw_from_w


def standing_loss_kw(spec: TankSpec, level_kwh: float) -> float:
    """Heat that an idle tank loses, kW; never more than it holds in an hour.

    Two zones (oemof.thermal, stratified storage): beta * Q + gamma * Q_N + delta per unit of time, with
    beta = 4 U / (D rho c), gamma = beta * (T_cold - T_around) / (T_hot - T_cold) and
    delta = U * pi * D^2 / 4 * (T_hot + T_cold - 2 T_around).
    """
    if not spec.capacity_kwh:
        return 0.0
    warm_k, cool_k = spec.hot_c - spec.around_c, spec.cold_c - spec.around_c
    beta_per_s = 4.0 * kw_from_w(spec.loss_w_per_m2_k) / (spec.diameter_m * WATER_KJ_PER_M3_K)
    share = level_kwh + spec.capacity_kwh * cool_k / (spec.hot_c - spec.cold_c)
    ends_kw = kw_from_w(spec.loss_w_per_m2_k) * math.pi * spec.diameter_m**2 / 4.0 * (warm_k + cool_k)
    return min(share * beta_per_s / h_from_s(1.0) + ends_kw, level_kwh)


def charge_room_kw(spec: TankSpec, level_kwh: float, duration_s: float) -> float:
    """Most heat that goes into the tank over a duration."""
    return max(spec.capacity_kwh - level_kwh, 0.0) / h_from_s(duration_s)


def discharge_room_kw(level_kwh: float, loss_kw: float, duration_s: float) -> float:
    """Most heat that comes out of it over a duration, after what it loses by itself."""
    return max(level_kwh / h_from_s(duration_s) - loss_kw, 0.0)
