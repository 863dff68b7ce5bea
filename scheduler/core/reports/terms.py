"""The contract in whole numbers, and the price of each local day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from scheduler.core.accounting.whole import micro_from_unit, wh_from_kwh, whole
from scheduler.core.tariffs.heat_sale import flat_price, outdoor_price
from scheduler.domain.contract import FirmRule, HeatTariff, TariffKind
from scheduler.domain.settlement import SettlementTerms
from scheduler.units import CENTS_PER_UNIT, S_PER_WHOLE_H


def terms_of(
    tariff: HeatTariff,
    firm: FirmRule | None,
    time_zone: str,
    currency: str = "EUR",
    *,
    availability_fraction: float | None = None,
    penalty_eur_per_h: float = 0.0,
    supply_min_c: float | None = None,
) -> SettlementTerms:
    """Terms of a contract; prices to a millionth of the currency per kWh, shares to a millionth."""
    rule = firm or FirmRule(tolerance_fraction=0.0, shortfall_eur_per_kwh=0.0, capacity_eur_per_kwh=0.0)
    return SettlementTerms(
        time_zone=time_zone,
        currency=currency,
        firm_period_s=max((one.resolution_s for one in rule.products), default=S_PER_WHOLE_H),
        tolerance_ppm_count=micro_from_unit(rule.tolerance_fraction),
        capacity_micro_count=micro_from_unit(rule.capacity_eur_per_kwh),
        shortfall_micro_count=micro_from_unit(rule.shortfall_eur_per_kwh),
        grade_micro_per_k_count=micro_from_unit(tariff.grade_eur_per_kwh_per_k),
        grade_reference_c=tariff.grade_reference_c,
        take_or_pay_wh_per_year=wh_from_kwh(tariff.take_or_pay_kwh_per_year),
        availability_ppm_count=None if availability_fraction is None else micro_from_unit(availability_fraction),
        penalty_cents_per_h=whole(penalty_eur_per_h, CENTS_PER_UNIT),
        supply_min_c=supply_min_c,
    )


def day_prices(tariff: HeatTariff, days: Sequence[date], outdoor_mean_c: Mapping[date, float]) -> dict[date, int]:
    """Price of each local day, millionths per kWh; `outdoor_mean_c` is by local day: a tariff asks that of the day before."""
    if tariff.kind is TariffKind.TEMPERATURE_INDEXED:
        return {day: micro_from_unit(outdoor_price(tariff, outdoor_mean_c.get(day - timedelta(days=1)))) for day in days}
    return {day: micro_from_unit(flat_price(tariff, day.year)) for day in days}


def days_of(first: date, last: date) -> tuple[date, ...]:
    """Local days from the first to the last, both among them."""
    return tuple(first + timedelta(days=index) for index in range((last - first).days + 1))
