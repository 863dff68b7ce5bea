"""Coefficient of performance of a heat pump and the balance around it."""

from __future__ import annotations

import math

from scheduler.domain.site import Cop, CopModel
from scheduler.units import kelvin_from_c

# Coefficients a, b, c of Jensen et al. (2018), as tabulated for large heat pumps: dr_H = a (T_snk,out - T_src,out + 2 dT_pp)
# + b dT_snk + c, and the same form for w.
JENSEN_DR_H = {"ammonia": (0.2, 0.2, 0.016), "isobutane": (-0.0011, 0.3, 2.4)}
JENSEN_W = {"ammonia": (0.0014, -0.0015, 0.039), "isobutane": (0.0035, -0.0033, 0.053)}
MIN_LIFT_K = 10.0
MIN_COP = 1.05


def log_mean_k(hot_k: float, cold_k: float) -> float:
    """Thermodynamic mean temperature of a stream in K: (a - b) / ln(a / b); the plain value for a flat stream."""
    return hot_k if math.isclose(hot_k, cold_k, abs_tol=1e-9) else (hot_k - cold_k) / math.log(hot_k / cold_k)


def lorenz_cop(spec: Cop) -> float:
    """Ideal COP between two streams: T_H / (T_H - T_C) with log-mean temperatures; the lift is at least 10 K."""
    sink_k = log_mean_k(kelvin_from_c(spec.sink_out_c), kelvin_from_c(spec.sink_in_c))
    source_k = log_mean_k(kelvin_from_c(spec.source_in_c), kelvin_from_c(spec.source_out_c))
    return sink_k / max(MIN_LIFT_K, sink_k - source_k)


def jensen_cop(spec: Cop) -> float:
    """COP of Jensen et al. (2018).

    COP = COP_L (1 + (dr_H + dT_pp) / T_H) / (1 + (dr_H + dr_C + 2 dT_pp) / dT_lift) eta_is (1 - w) + 1 - eta_is - f_Q,
    dr_C = (T_src,in - T_src,out) / 2.

    Raises:
        KeyError: for a refrigerant without coefficients.
    """
    sink_k = log_mean_k(kelvin_from_c(spec.sink_out_c), kelvin_from_c(spec.sink_in_c))
    source_k = log_mean_k(kelvin_from_c(spec.source_in_c), kelvin_from_c(spec.source_out_c))
    lift_k = max(MIN_LIFT_K, sink_k - source_k)
    reach_k = spec.sink_out_c - spec.source_out_c + 2.0 * spec.pinch_k
    glide_k = spec.sink_out_c - spec.sink_in_c
    dr_h = linear(JENSEN_DR_H[spec.refrigerant], reach_k, glide_k)
    work = linear(JENSEN_W[spec.refrigerant], reach_k, glide_k)
    dr_c = (spec.source_in_c - spec.source_out_c) / 2.0
    ideal = sink_k / lift_k
    top = 1.0 + (dr_h + spec.pinch_k) / sink_k
    bottom = 1.0 + (dr_h + dr_c + 2.0 * spec.pinch_k) / lift_k
    eta = spec.isentropic_fraction
    return ideal * top / bottom * eta * (1.0 - work) + 1.0 - eta - spec.heat_loss_fraction


def linear(coefficients: tuple[float, float, float], reach_k: float, glide_k: float) -> float:
    """Jensen's form a * reach + b * glide + c."""
    a, b, c = coefficients
    return a * reach_k + b * glide_k + c


def carnot_cop(spec: Cop) -> float:
    """Carnot COP between sink outlet and source outlet times a quality grade; the lift is at least 10 K."""
    sink_k, source_k = kelvin_from_c(spec.sink_out_c), kelvin_from_c(spec.source_out_c)
    return spec.carnot_fraction * sink_k / max(MIN_LIFT_K, sink_k - source_k)


def cop(spec: Cop) -> float:
    """Delivered heat per electricity; at least 1.05, since a machine at 1 would be a heater."""
    if spec.model is CopModel.JENSEN:
        value = jensen_cop(spec)
    elif spec.model is CopModel.CARNOT:
        value = carnot_cop(spec)
    else:
        value = spec.fixed_cop
    return max(MIN_COP, value)


def delivered_kw(recovered_kw: float, cop_value: float) -> float:
    """Delivered heat from recovered heat: recovered * COP / (COP - 1)."""
    return recovered_kw * cop_value / (cop_value - 1.0)


def recovered_kw(delivered: float, cop_value: float) -> float:
    """Recovered heat behind delivered heat: delivered * (COP - 1) / COP."""
    return delivered * (cop_value - 1.0) / cop_value
