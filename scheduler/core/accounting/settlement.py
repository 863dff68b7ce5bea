"""Firm heat: what was promised, what came, what is owed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scheduler.domain.contract import FirmRule


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmResult:
    """One delivery period of one customer."""

    promised_kwh: float
    delivered_kwh: float
    shortfall_kwh: float
    capacity_eur: float
    shortfall_eur: float


def settle(rule: FirmRule, promised_kwh: float, delivered_kwh: float) -> FirmResult:
    """Settle one delivery period: shortfall = max(0, (1 - tolerance) * promised - delivered); the promise is paid."""
    shortfall = max(0.0, (1.0 - rule.tolerance_fraction) * promised_kwh - delivered_kwh)
    return FirmResult(
        promised_kwh=promised_kwh,
        delivered_kwh=delivered_kwh,
        shortfall_kwh=shortfall,
        capacity_eur=-rule.capacity_eur_per_kwh * promised_kwh,
        shortfall_eur=rule.shortfall_eur_per_kwh * shortfall,
    )


def settle_all(results: Iterable[FirmResult]) -> FirmResult:
    """Sum of delivery periods."""
    found = list(results)
    return FirmResult(
        promised_kwh=sum(one.promised_kwh for one in found),
        delivered_kwh=sum(one.delivered_kwh for one in found),
        shortfall_kwh=sum(one.shortfall_kwh for one in found),
        capacity_eur=sum(one.capacity_eur for one in found),
        shortfall_eur=sum(one.shortfall_eur for one in found),
    )


def take_or_pay_eur(minimum_kwh: float, delivered_kwh: float, price_eur_per_kwh: float) -> float:
    """What the customer pays for heat it did not take: the gap to the year's minimum at the tariff."""
    return max(0.0, minimum_kwh - delivered_kwh) * price_eur_per_kwh
