"""Supply curves by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.thermal.supply import (
    direct_is_enough,
    mean_outdoor_c,
    network_curve,
    supply_on_curve_c,
    within_band_c,
)
from scheduler.domain.site import Cop, CopModel, HeatPump, Plug

NAN = float("nan")
# A German network as PyPSA-Eur states it: 109 degC at 0 degC outdoors and below, 82 at 10 and above.
GERMAN = network_curve(109.0, 82.0)
SPEC = Cop(model=CopModel.JENSEN, source_in_c=45.0, source_out_c=35.0, sink_in_c=45.0, sink_out_c=75.0)


def test_a_network_runs_hot_in_the_cold_and_cooler_when_mild() -> None:
    # Half-way between 0 and 10 degC: (109 + 82) / 2 = 95.5; at 8 degC: 109 - 0.8 * 27 = 87.4.
    found = supply_on_curve_c(GERMAN, np.asarray([-12.0, 0.0, 5.0, 8.0, 10.0, 25.0]))
    assert found.tolist() == pytest.approx([109.0, 109.0, 95.5, 87.4, 82.0, 82.0])


def test_an_unknown_outdoor_temperature_is_taken_for_cold() -> None:
    assert supply_on_curve_c(GERMAN, np.asarray([NAN, 10.0])).tolist() == [109.0, 82.0]


def test_a_curve_may_have_any_points() -> None:
    curve = ((-10.0, 75.0), (0.0, 70.0), (15.0, 55.0))
    # Between 0 and 15 degC one K outdoors is one K of supply; between -10 and 0 half a K.
    assert supply_on_curve_c(curve, np.asarray([-4.0, 6.0])).tolist() == pytest.approx([72.0, 64.0])


def test_the_mean_looks_back_and_never_ahead() -> None:
    # Slots of 24 h, mean of 72 h: 0 / 1, (0 + 6) / 2, (0 + 6 + 3) / 3, (6 + 3 + 9) / 3.
    assert mean_outdoor_c(np.asarray([0.0, 6.0, 3.0, 9.0]), 24.0).tolist() == [0.0, 3.0, 3.0, 6.0]


def test_unknown_hours_are_left_out_of_the_mean() -> None:
    found = mean_outdoor_c(np.asarray([NAN, 6.0, NAN, 8.0, NAN, NAN, NAN]), 24.0)
    # nothing; 6; 6; (6 + 8) / 2; 8; 8; nothing within three days
    assert found.tolist() == pytest.approx([NAN, 6.0, 6.0, 7.0, 8.0, 8.0, NAN], nan_ok=True)


def test_a_plug_delivers_what_it_can() -> None:
    plug = Plug(
        plug_id="p",
        max_heat_kw=100.0,
        capture_gpu_fraction=0.9,
        capture_other_fraction=0.3,
        supply_min_c=50.0,
        supply_max_c=80.0,
    )
    asked = np.asarray([40.0, 66.0, 95.0])
    assert within_band_c(plug, asked).tolist() == [50.0, 66.0, 80.0]
    pumped = replace(plug, heat_pump=HeatPump(rated_heat_kw=100.0, min_load_fraction=0.2, start_cost_eur=1.0, cop=SPEC))
    assert within_band_c(pumped, asked).tolist() == [50.0, 66.0, 75.0]


def test_direct_use_needs_a_pinch() -> None:
    assert direct_is_enough(45.0, 40.0)
    assert not direct_is_enough(45.0, 41.0)


@given(st.lists(st.floats(-30.0, 35.0), min_size=2, max_size=40), st.floats(50.0, 80.0), st.floats(0.0, 40.0))
def test_colder_never_means_cooler_water(outdoor: list[float], low_c: float, rise_k: float) -> None:
    curve = network_curve(low_c + rise_k, low_c)
    supply = supply_on_curve_c(curve, np.sort(np.asarray(outdoor)))
    assert np.all(np.diff(supply) <= 1e-9)
    assert supply.min() >= low_c - 1e-9
    assert supply.max() <= low_c + rise_k + 1e-9


@given(st.lists(st.floats(-30.0, 35.0), min_size=1, max_size=60), st.sampled_from([0.25, 1.0, 24.0]))
def test_a_mean_lies_among_what_it_is_made_of(outdoor: list[float], slot_h: float) -> None:
    found = mean_outdoor_c(np.asarray(outdoor), slot_h)
    assert found.min() >= min(outdoor) - 1e-9
    assert found.max() <= max(outdoor) + 1e-9
    assert found[0] == pytest.approx(outdoor[0])
