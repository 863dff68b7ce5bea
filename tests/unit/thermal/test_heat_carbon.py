"""Carbon of delivered heat, by hand and by its laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.thermal.heat_carbon import heat_g_per_kwh
from scheduler.core.thermal.heat_pump import cop
from scheduler.domain.site import Cop, CopModel, HeatPump


def pump(fixed_cop: float) -> HeatPump:
    """A heat pump whose COP is a number."""
    return HeatPump(rated_heat_kw=500.0, min_load_fraction=0.2, start_cost_eur=1.0, cop=fixed(fixed_cop))


def fixed(value: float) -> Cop:
    """A COP that is told."""
    return Cop(model=CopModel.FIXED, source_in_c=40.0, source_out_c=35.0, sink_in_c=50.0, sink_out_c=70.0, fixed_cop=value)


def test_a_heat_pump_at_cop_4_carries_a_quarter_of_the_grid() -> None:
    # 300 g/kWh x 1/4 = 75 g per kWh of heat; with 2 % of pumping 300 x 0.02 = 6 g more.
    assert heat_g_per_kwh(np.array([300.0, 0.0]), pump(4.0)).tolist() == [75.0, 0.0]
    assert heat_g_per_kwh(np.array([300.0]), pump(4.0), 0.02).tolist() == pytest.approx([81.0])


@given(st.lists(st.floats(0.0, 2500.0), min_size=1, max_size=8), st.floats(0.5, 20.0), st.floats(0.0, 0.1))
def test_it_is_never_negative_and_zero_for_direct_heat_without_pumping(
    grid: list[float], fixed_cop: float, pumping: float
) -> None:
    intensity = np.array(grid)
    assert heat_g_per_kwh(intensity, None).tolist() == [0.0] * len(grid)
    lifted, moved = heat_g_per_kwh(intensity, pump(fixed_cop)), heat_g_per_kwh(intensity, pump(fixed_cop), pumping)
    assert np.all(lifted >= 0.0)
    assert np.all(moved >= lifted)
    # Never more than heat made of the same electricity alone.
    assert np.all(lifted <= intensity / cop(fixed(1.0)) + 1e-9)
