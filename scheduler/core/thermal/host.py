"""From GPU draw to node wall power, and from a cap level to draw and speed."""

from __future__ import annotations

import numpy as np

from scheduler.core.thermal.capped import draw_under_w
from scheduler.domain.problem import PowerPoint
from scheduler.domain.site import Caps, NodePower
from scheduler.units import kw_from_w

# Speed against draw over natural draw, descending. generic_training and memory_bound: summary of published cap sweeps on
# training jobs and of memory-bound decoding; compute_bound: FP8 inference at rising caps on Hopper. Defaults, to be re-fitted.
POWER_PROFILES: dict[str, tuple[tuple[float, float], ...]] = {
    "generic_training": ((1.0, 1.0), (0.9, 0.98), (0.8, 0.95), (0.7, 0.91), (0.6, 0.84), (0.5, 0.72)),
    "compute_bound": ((1.0, 1.0), (0.857, 0.92), (0.714, 0.83), (0.643, 0.80), (0.571, 0.77), (0.5, 0.72), (0.429, 0.69)),
    "memory_bound": ((1.0, 1.0), (0.5, 1.0)),
}
SLOWDOWN_TOLERANCE = 1e-9


def node_kw(power: NodePower, gpus: int, draw_kw: float) -> float:
    """Wall power in kW of nodes with `gpus` GPUs that draw `draw_kw` together: base * gpus + slope * draw."""
    return power.kw_per_gpu_base * gpus + power.host_slope * draw_kw


def speed_at(caps: Caps, ratio: float) -> float:
    """Relative throughput at a draw of `ratio` times the natural draw: linear between the points of the curve.

    Below the last point the curve goes on to (0, 0), so that a very deep cap is never flattered.
    """
    if ratio >= 1.0:
        return 1.0
    points = sorted(caps.speed_of_ratio)
    ratios = [0.0] + [point[0] for point in points]
    speeds = [0.0] + [point[1] for point in points]
    return float(np.interp(ratio, ratios, speeds))


def capped_draw_w(caps: Caps, cap_w: float, natural_w: float) -> float:
    """Draw under a cap in W: the natural draw when the cap is above it, else `binding_draw_fraction` of the cap."""
    return draw_under_w(natural_w, cap_w, caps.binding_draw_fraction)


def power_points(caps: Caps, power: NodePower, natural_w: float, max_slowdown_fraction: float) -> tuple[PowerPoint, ...]:
    """Distinguishable cap levels of a job, fastest first; the first one is uncapped.

    Levels whose cap lies above the natural draw change nothing and merge into the first; levels slower than
    1 - max_slowdown_fraction are left out.
    """
    points = [PowerPoint(level=1.0, cap_w=power.gpu_max_w, draw_w=natural_w, speed=1.0)]
    if not caps.enabled or max_slowdown_fraction <= 0.0:
        return tuple(points)
    for level in sorted(caps.levels, reverse=True):
        cap_w = max(level * power.gpu_max_w, power.gpu_min_w)
        draw_w = max(capped_draw_w(caps, cap_w, natural_w), power.gpu_idle_w)
        if draw_w >= points[-1].draw_w - SLOWDOWN_TOLERANCE:
            continue
        speed = speed_at(caps, draw_w / natural_w)
        if speed >= 1.0 - max_slowdown_fraction - SLOWDOWN_TOLERANCE:
            points.append(PowerPoint(level=level, cap_w=cap_w, draw_w=draw_w, speed=speed))
    return tuple(points)


def gpu_draw_kw(gpus: int, draw_w: float) -> float:
    """Draw of a gang in kW."""
    return gpus * kw_from_w(draw_w)
