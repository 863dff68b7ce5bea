"""Watts to heat by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from scheduler.core.thermal.capture import captured_kw, captured_per_draw, lag_end_kw, lagged_kw
from scheduler.core.thermal.heat_pump import carnot_cop, cop, delivered_kw, jensen_cop, lorenz_cop, recovered_kw
from scheduler.core.thermal.host import node_kw, power_points, speed_at
from scheduler.domain.site import Caps, Cop, CopModel, NodePower, Plug

POWER = NodePower(kw_per_gpu_base=0.125, host_slope=1.32, gpu_idle_w=70, gpu_max_w=700)
CAPS = Caps(
    levels=(1.0, 0.85, 0.7, 0.57),
    binding_draw_fraction=0.95,
    speed_of_ratio=((1.0, 1.0), (0.9, 0.98), (0.8, 0.95), (0.7, 0.91), (0.6, 0.84), (0.5, 0.72)),
)
PLUG = Plug(plug_id="p", max_heat_kw=100, capture_gpu_fraction=0.9, capture_other_fraction=0.3)


def jensen(source_in_c: float, source_out_c: float, sink_in_c: float, sink_out_c: float) -> Cop:
    return Cop(
        model=CopModel.JENSEN, source_in_c=source_in_c, source_out_c=source_out_c, sink_in_c=sink_in_c, sink_out_c=sink_out_c
    )


def test_an_eight_gpu_node() -> None:
    """8 GPUs at 400 W: 0.125 * 8 + 1.32 * 3.2 = 1.0 + 4.224 = 5.224 kW; the published node at that cap drew 5.09 kW."""
    assert node_kw(POWER, 8, 3.2) == pytest.approx(5.224)
    assert node_kw(POWER, 8, 3.2) == pytest.approx(5.09, rel=0.03)


def test_levels_above_the_natural_draw_merge() -> None:
    """A job of 418 W: caps of 700, 595 and 490 W change nothing; 399 W binds: draw 379.05 W, ratio 0.9068."""
    points = power_points(CAPS, POWER, 418.0, 0.3)
    assert [point.level for point in points] == [1.0, 0.57]
    assert points[0].draw_w == 418.0
    assert points[1].draw_w == pytest.approx(0.95 * 399.0)
    # Between (0.9, 0.98) and (1.0, 1.0): 0.98 + 0.2 * (0.90682 - 0.9) = 0.98136.
    assert points[1].speed == pytest.approx(0.98 + 0.2 * (0.95 * 399.0 / 418.0 - 0.9))


def test_levels_too_slow_for_the_class_are_left_out() -> None:
    """600 W natural: 595 W -> 565.25 W (0.988), 490 -> 465.5 W, ratio 0.7758 (0.9403), 399 -> 0.6318 (0.8622)."""
    assert [point.level for point in power_points(CAPS, POWER, 600.0, 0.3)] == [1.0, 0.85, 0.7, 0.57]
    assert [point.level for point in power_points(CAPS, POWER, 600.0, 0.1)] == [1.0, 0.85, 0.7]
    assert [point.level for point in power_points(CAPS, POWER, 600.0, 0.0)] == [1.0]
    assert [point.level for point in power_points(replace(CAPS, enabled=False), POWER, 600.0, 0.3)] == [1.0]


def test_speed_falls_to_nothing_below_the_curve() -> None:
    assert speed_at(CAPS, 0.25) == pytest.approx(0.36)
    assert speed_at(CAPS, 1.2) == 1.0


def test_capture_by_component() -> None:
    """500 W of GPU, node 0.125 + 0.66 = 0.785 kW: 0.9 * 0.5 + 0.3 * 0.285 = 0.5355 kW; slope 0.9 + 0.3 * 0.32 = 0.996."""
    assert captured_kw(PLUG, 0.5, 0.785) == pytest.approx(0.5355)
    assert captured_per_draw(PLUG, POWER) == pytest.approx(0.996)


def test_lag_is_a_first_order_response() -> None:
    """Lag equal to the slot: mean = target + (previous - target) * (1 - 1/e)."""
    assert lagged_kw(0.0, 10.0, 0.0, 900.0) == 10.0
    assert lagged_kw(0.0, 10.0, 900.0, 900.0) == pytest.approx(10.0 - 10.0 * (1.0 - math.exp(-1.0)))
    assert lag_end_kw(0.0, 10.0, 900.0, 900.0) == pytest.approx(10.0 * (1.0 - math.exp(-1.0)))
    assert lag_end_kw(0.0, 10.0, 0.0, 900.0) == 10.0


@pytest.mark.parametrize(
    ("spec", "ideal", "real"),
    [
        (jensen(30, 22, 45, 75), 9.9, 4.1),
        (jensen(45, 35, 45, 75), 16.8, 5.4),
        (jensen(45, 35, 45, 65), 22.0, 6.4),
    ],
)
def test_jensen_with_ammonia(spec: Cop, ideal: float, real: float) -> None:
    """Values computed from the published coefficients, rounded to one place."""
    assert lorenz_cop(spec) == pytest.approx(ideal, abs=0.05)
    assert jensen_cop(spec) == pytest.approx(real, abs=0.055)


def test_isobutane_and_the_other_models() -> None:
    spec = jensen(45, 35, 45, 70)
    assert 3.0 < jensen_cop(replace(spec, refrigerant="isobutane")) < lorenz_cop(spec)
    # Carnot: 343.15 / (343.15 - 308.15) = 9.804, half of it 4.902.
    assert carnot_cop(replace(spec, model=CopModel.CARNOT)) == pytest.approx(4.902, abs=0.001)
    assert cop(replace(spec, model=CopModel.FIXED, fixed_cop=3.5)) == 3.5
    assert cop(replace(spec, model=CopModel.FIXED, fixed_cop=0.2)) == pytest.approx(1.05)


def test_recovered_and_delivered_are_inverse() -> None:
    """COP 5: 80 kW recovered + 20 kW of electricity = 100 kW delivered."""
    assert delivered_kw(80.0, 5.0) == pytest.approx(100.0)
    assert recovered_kw(100.0, 5.0) == pytest.approx(80.0)
