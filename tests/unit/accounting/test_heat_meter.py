"""EN 1434's heat coefficient against tabulated values, and heat by hand."""

from __future__ import annotations

import math

import pytest

from scheduler.core.accounting.heat_meter import (
    density_kg_per_m3,
    enthalpy_kj_per_kg,
    heat_kwh,
    k_kwh_per_m3_k,
    permissible_error_fraction,
)
from scheduler.domain.settlement import MeterPosition

# IAPWS-IF97 at 16 bar: supply, return, k with the meter in the return, k with it in the flow.
TABLE = [(55, 35, 1.1537, 1.1441), (75, 45, 1.1506, 1.1327), (75, 55, 1.1459, 1.1333), (90, 60, 1.1448, 1.1241)]


@pytest.mark.parametrize(("supply_c", "return_c", "in_return", "in_flow"), TABLE)
def test_the_coefficient_is_that_of_the_steam_tables(
    supply_c: float, return_c: float, in_return: float, in_flow: float
) -> None:
    # 0.018 % of 1.15 is 0.0002; the table is rounded to 0.0001.
    assert k_kwh_per_m3_k(supply_c, return_c, MeterPosition.RETURN) == pytest.approx(in_return, abs=2.6e-4)
    assert k_kwh_per_m3_k(supply_c, return_c, MeterPosition.FLOW) == pytest.approx(in_flow, abs=2.6e-4)


def test_ten_cubic_metres_by_hand() -> None:
    # rho(45) = 990.9 kg/m3, h(75) = 315.4, h(45) = 189.9 kJ/kg: 10 m3 * 990.9 * 125.5 / 3600 = 345.4 kWh.
    assert density_kg_per_m3(45.0) == pytest.approx(990.9, abs=0.2)
    assert enthalpy_kj_per_kg(75.0) - enthalpy_kj_per_kg(45.0) == pytest.approx(125.5, abs=0.1)
    assert heat_kwh(10.0, 75.0, 45.0, MeterPosition.RETURN) == pytest.approx(345.2, abs=0.4)
    assert heat_kwh(10.0, 75.0, 45.0, MeterPosition.FLOW) == pytest.approx(339.8, abs=0.4)


def test_the_constant_of_the_trade_reads_too_much() -> None:
    # 1.16 * 20 K * 1 m3 = 23.2 kWh against 1.1459 * 20 = 22.92: 1.2 % more, at 75/55 with the meter in the return.
    real_kwh = heat_kwh(1.0, 75.0, 55.0, MeterPosition.RETURN)
    assert real_kwh is not None
    assert 1.16 * 20.0 / real_kwh - 1.0 == pytest.approx(0.012, abs=0.001)


def test_equal_pipes_carry_nothing_and_a_warmer_return_takes_nothing_back() -> None:
    assert heat_kwh(5.0, 50.0, 50.0, MeterPosition.RETURN) == 0.0
    assert heat_kwh(5.0, 40.0, 50.0, MeterPosition.RETURN) == 0.0
    # In the limit k is rho * c: 988 kg/m3 * 4.18 kJ/(kg K) / 3600.
    assert k_kwh_per_m3_k(50.0, 50.0, MeterPosition.RETURN) == pytest.approx(988.0 * 4.18 / 3600.0, rel=2e-3)


def test_outside_its_range_nothing_is_known() -> None:
    assert math.isnan(k_kwh_per_m3_k(121.0, 40.0, MeterPosition.FLOW))
    assert heat_kwh(1.0, 60.0, 4.0, MeterPosition.RETURN) is None
    assert heat_kwh(1.0, math.nan, 40.0, MeterPosition.RETURN) is None


def test_a_meter_may_err_more_at_small_spreads() -> None:
    # Class 2 at 30 K, dTmin 3 K, rated flow: 0.5 + 0.1, 0.5 + 0.3, 2 + 0.02 -> 3.42 %.
    assert permissible_error_fraction(2, 30.0) == pytest.approx(0.0342)
    # At 3 K: 0.5 + 1, 0.5 + 3, 2.02 -> 7.02 %.
    assert permissible_error_fraction(2, 3.0) == pytest.approx(0.0702)
    # Class 3 far below rated flow: 3 + 0.05 * 100 = 8 -> capped at 5 %; 0.6 + 0.8 + 5.
    assert permissible_error_fraction(3, 30.0, rated_over_flow=100.0) == pytest.approx(0.064)
    assert permissible_error_fraction(1, 0.0) == math.inf
