"""Heat caught by the cooling loop: one fraction of what GPUs draw, another of the rest of the node."""

from __future__ import annotations

import math

from scheduler.domain.site import NodePower, Plug


def captured_kw(plug: Plug, draw_kw: float, it_kw: float) -> float:
    """Heat in kW that reaches the loop: gpu fraction of GPU draw + other fraction of the rest; what remains warms the room."""
    return plug.capture_gpu_fraction * draw_kw + plug.capture_other_fraction * (it_kw - draw_kw)


def captured_per_draw(plug: Plug, power: NodePower) -> float:
    """Extra captured kW per extra kW of GPU draw: gpu + other * (host_slope - 1)."""
    return plug.capture_gpu_fraction + plug.capture_other_fraction * (power.host_slope - 1.0)


def lagged_kw(previous_kw: float, target_kw: float, lag_s: float, duration_s: float) -> float:
    """Mean captured heat over a slot behind a first-order lag: x' = (target - x) / lag, x = `previous_kw` at its start.

    mean = target + (previous - target) * lag / duration * (1 - exp(-duration / lag)).
    """
    if lag_s <= 0.0:
        return target_kw
    share = lag_s / duration_s * -math.expm1(-duration_s / lag_s)
    return target_kw + (previous_kw - target_kw) * share


def lag_end_kw(previous_kw: float, target_kw: float, lag_s: float, duration_s: float) -> float:
    """Captured heat at the end of that slot: target + (previous - target) * exp(-duration / lag).

    The loop's water holds lag * x of heat, so over any stretch: sum of means * duration + lag * (x_end - x_start) = sum of
    targets * duration.
    """
    return target_kw if lag_s <= 0.0 else target_kw + (previous_kw - target_kw) * math.exp(-duration_s / lag_s)
