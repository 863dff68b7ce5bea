"""What a kWh of heat earns, by kind of tariff."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.domain.contract import HeatTariff, TariffKind
from scheduler.domain.time import FloatArray, Series, TimeGrid
from scheduler.units import eur_per_kwh_from_carbon


def heat_price_eur_per_kwh(tariff: HeatTariff, grid: TimeGrid, zone: str, outdoor: Series | None = None) -> FloatArray:
    """Heat price per slot, shape [slots]; `outdoor` must reach back to the local day before the first slot.

    Days without a known outdoor temperature take the tariff's `without_outdoor_eur_per_kwh` (its floor when not stated).
    """
    days = local_days(grid, zone)
    if tariff.kind is TariffKind.TEMPERATURE_INDEXED:
        means = {} if outdoor is None else daily_means_c(outdoor, zone)
        by_day = {day: outdoor_price(tariff, means.get(day - timedelta(days=1))) for day in set(days)}
    else:
        by_day = {day: flat_price(tariff, day.year) for day in set(days)}
    return np.array([by_day[day] for day in days], dtype=np.float64)


def flat_price(tariff: HeatTariff, year: int) -> float:
    """Price of the kinds that do not follow the weather, in a given year."""
    if tariff.kind is TariffKind.FIXED:
        return tariff.fixed_eur_per_kwh
    if tariff.kind is TariffKind.INDEXED:
        years = max(0, year - tariff.base_year)
        return tariff.fixed_eur_per_kwh * (1.0 + tariff.escalation_fraction_per_year) ** years * tariff.index_fraction
    if tariff.kind is TariffKind.AVOIDED_COST:
        return avoided_cost(tariff)
    if tariff.kind is TariffKind.SHARED_SAVINGS:
        return tariff.own_cost_eur_per_kwh + tariff.share_fraction * (avoided_cost(tariff) - tariff.own_cost_eur_per_kwh)
    return tariff.own_cost_eur_per_kwh


def avoided_cost(tariff: HeatTariff) -> float:
    """What the customer's own boiler would have cost per kWh of heat: (fuel + its carbon) / efficiency."""
    carbon = eur_per_kwh_from_carbon(tariff.fuel_carbon_g_per_kwh, tariff.fuel_carbon_eur_per_tonne)
    return (tariff.fuel_eur_per_kwh + carbon) / tariff.boiler_efficiency_fraction


def outdoor_price(tariff: HeatTariff, mean_outdoor_c: float | None) -> float:
    """clip(scale * base ** T, floor, ceiling) for the mean outdoor temperature T of the local day before."""
    if mean_outdoor_c is None:
        known = tariff.without_outdoor_eur_per_kwh
        return tariff.floor_eur_per_kwh if known is None else known
    raw = tariff.scale_eur_per_kwh * float(tariff.temperature_base**mean_outdoor_c)
    return min(tariff.ceiling_eur_per_kwh, max(tariff.floor_eur_per_kwh, raw))


def grade_bonus_eur_per_kwh(tariff: HeatTariff, supply_c: float) -> float:
    """Extra price for heat hotter than the contract's reference temperature."""
    return tariff.grade_eur_per_kwh_per_k * max(0.0, supply_c - tariff.grade_reference_c)


def local_days(grid: TimeGrid, zone: str) -> list[date]:
    """Local calendar day of each slot's start."""
    local = ZoneInfo(zone)
    return [grid.time_of(slot).astimezone(local).date() for slot in range(grid.slots)]


def daily_means_c(outdoor: Series, zone: str) -> dict[date, float]:
    """Mean outdoor temperature of each local day with at least one known value."""
    sums: dict[date, tuple[float, int]] = {}
    for day, value in zip(local_days(outdoor.grid, zone), outdoor.values.tolist(), strict=True):
        if value == value:  # not NaN
            total, count = sums.get(day, (0.0, 0))
            sums[day] = (total + value, count + 1)
    return {day: total / count for day, (total, count) in sums.items()}
