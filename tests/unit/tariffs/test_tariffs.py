"""Contracts by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.core.tariffs.energy import adder_eur_per_kwh, carbon_eur_per_kwh, demand_charge_eur, energy_eur_per_kwh
from scheduler.core.tariffs.heat_sale import avoided_cost, grade_bonus_eur_per_kwh, heat_price_eur_per_kwh
from scheduler.domain.contract import ElectricityContract, EnergyPriceKind, HeatTariff, TariffKind, TimeOfUseBand
from scheduler.domain.time import Series, TimeGrid, utc


def grid(start: str, hours: int) -> TimeGrid:
    return TimeGrid(start_utc=utc(start), slot_s=3600, slots=hours)


def test_spot_passes_and_negative_prices_are_legal() -> None:
    spot = np.array([0.05, -0.01])
    assert energy_eur_per_kwh(ElectricityContract(), grid("2026-01-05T00:00Z", 2), "UTC", spot).tolist() == [0.05, -0.01]


def test_time_of_use_is_local_and_knows_the_days_the_clocks_change() -> None:
    """Day band 06-22 on weekdays, else 0.10. Monday after the change to summer time: 04:00 UTC is 06:00 in Copenhagen."""
    band = TimeOfUseBand(start_hour=6, end_hour=22, weekdays=(1, 2, 3, 4, 5), eur_per_kwh=0.30)
    contract = ElectricityContract(kind=EnergyPriceKind.TIME_OF_USE, fixed_eur_per_kwh=0.10, bands=(band,))
    prices = energy_eur_per_kwh(contract, grid("2026-03-30T03:00Z", 3), "Europe/Copenhagen", np.zeros(3))
    assert prices.tolist() == [0.10, 0.30, 0.30]
    winter = energy_eur_per_kwh(contract, grid("2026-03-27T04:00Z", 2), "Europe/Copenhagen", np.zeros(2))
    assert winter.tolist() == [0.10, 0.30]
    sunday = energy_eur_per_kwh(contract, grid("2026-03-29T10:00Z", 1), "Europe/Copenhagen", np.zeros(1))
    assert sunday.tolist() == [0.10]


def test_a_band_may_run_over_midnight() -> None:
    band = TimeOfUseBand(start_hour=22, end_hour=6, weekdays=(), eur_per_kwh=0.08)
    contract = ElectricityContract(kind=EnergyPriceKind.TIME_OF_USE, fixed_eur_per_kwh=0.2, bands=(band,))
    assert energy_eur_per_kwh(contract, grid("2026-01-05T21:00Z", 10), "UTC", np.zeros(10)).tolist() == [0.2] + [0.08] * 8 + [
        0.2
    ]


def test_adder_carbon_and_demand_charge() -> None:
    """100 g/kWh at 80 EUR/t: 0.1 kg * 0.08 EUR/kg = 0.008 EUR/kWh. 120 kW at 9 EUR/kW: 1,080 EUR."""
    contract = ElectricityContract(network_eur_per_kwh=0.02, taxes_eur_per_kwh=0.005, demand_charge_eur_per_kw_month=9.0)
    assert adder_eur_per_kwh(contract) == pytest.approx(0.025)
    assert carbon_eur_per_kwh(np.array([100.0]), 80.0)[0] == pytest.approx(0.008)
    assert carbon_eur_per_kwh(np.array([np.nan]), 0.0)[0] == 0.0
    assert demand_charge_eur(contract, 120.0) == pytest.approx(1080.0)


def indexed() -> HeatTariff:
    return HeatTariff(
        kind=TariffKind.TEMPERATURE_INDEXED,
        scale_eur_per_kwh=0.045,
        temperature_base=0.94,
        floor_eur_per_kwh=0.010,
        ceiling_eur_per_kwh=0.110,
        without_outdoor_eur_per_kwh=0.040,
    )


def test_the_outdoor_tariff_looks_at_the_local_day_before() -> None:
    """Local Monday has a mean of 0 C, so all of local Tuesday costs 45 EUR/MWh; Tuesday at 10 C makes Wednesday 24.24."""
    outdoor_grid = grid("2026-01-04T23:00Z", 48)
    outdoor = Series(grid=outdoor_grid, values=np.repeat([0.0, 10.0], 24), unit="degC", source="test")
    prices = heat_price_eur_per_kwh(indexed(), grid("2026-01-05T22:00Z", 26), "Europe/Copenhagen", outdoor)
    assert prices[0] == pytest.approx(0.040)
    assert prices[1:25] == pytest.approx(np.full(24, 0.045))
    assert prices[25] == pytest.approx(0.045 * 0.94**10)


def test_the_outdoor_tariff_is_clipped_and_has_a_fallback() -> None:
    hours = grid("2026-01-06T00:00Z", 1)
    for outdoor_c, price in ((-60.0, 0.110), (60.0, 0.010), (float("nan"), 0.040)):
        outdoor = Series(grid=grid("2026-01-05T00:00Z", 24), values=np.full(24, outdoor_c), unit="degC", source="test")
        assert heat_price_eur_per_kwh(indexed(), hours, "UTC", outdoor)[0] == pytest.approx(price)


def test_the_flat_kinds() -> None:
    """Indexed: 30 * 1.02^2 * 1.1 = 34.333 EUR/MWh in 2026. Avoided: (40 + 0.202 * 80) / 0.9 = 62.4 EUR/MWh; half of the
    saving above an own cost of 20: 20 + 0.5 * 42.4 = 41.2 EUR/MWh."""
    hours = grid("2026-06-01T00:00Z", 1)

    def price(tariff: HeatTariff) -> float:
        return float(heat_price_eur_per_kwh(tariff, hours, "UTC")[0])

    assert price(HeatTariff(fixed_eur_per_kwh=0.03)) == 0.03
    escalating = HeatTariff(
        kind=TariffKind.INDEXED, fixed_eur_per_kwh=0.03, escalation_fraction_per_year=0.02, base_year=2024, index_fraction=1.1
    )
    assert price(escalating) == pytest.approx(0.03 * 1.02**2 * 1.1)
    avoided = HeatTariff(
        kind=TariffKind.AVOIDED_COST, fuel_eur_per_kwh=0.04, fuel_carbon_eur_per_tonne=80.0, own_cost_eur_per_kwh=0.02
    )
    assert avoided_cost(avoided) == pytest.approx(0.05616 / 0.9)
    assert price(avoided) == pytest.approx(0.0624)
    assert price(replace(avoided, kind=TariffKind.SHARED_SAVINGS)) == pytest.approx(0.0412)
    assert price(replace(avoided, kind=TariffKind.COST_PRICE)) == pytest.approx(0.02)


def test_a_grade_bonus_for_hotter_water() -> None:
    """2 EUR/MWh per K above 60 C: 75 C earns 30 EUR/MWh more, 55 C nothing."""
    tariff = HeatTariff(grade_reference_c=60.0, grade_eur_per_kwh_per_k=0.002)
    assert grade_bonus_eur_per_kwh(tariff, 75.0) == pytest.approx(0.03)
    assert grade_bonus_eur_per_kwh(tariff, 55.0) == 0.0
