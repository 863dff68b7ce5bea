"""What a kWh of electricity costs: energy part, network and taxes, carbon as a shadow price, demand charge."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np

from scheduler.domain.contract import ElectricityContract, EnergyPriceKind, TimeOfUseBand
from scheduler.domain.time import FloatArray, TimeGrid
from scheduler.units import G_PER_KG, KG_PER_TONNE


def energy_eur_per_kwh(contract: ElectricityContract, grid: TimeGrid, zone: str, spot_eur_per_kwh: FloatArray) -> FloatArray:
    """Energy part per slot, shape [slots]: the spot price, one fixed price, or time-of-use bands in local time.

    A slot that no band covers costs `fixed_eur_per_kwh`.
    """
    if contract.kind is EnergyPriceKind.SPOT:
        return np.asarray(spot_eur_per_kwh, dtype=np.float64)
    prices = np.full(grid.slots, contract.fixed_eur_per_kwh)
    if contract.kind is EnergyPriceKind.TIME_OF_USE:
        local = ZoneInfo(zone)
        for slot in range(grid.slots):
            at = grid.time_of(slot).astimezone(local)
            band = band_at(contract.bands, at.hour, at.isoweekday())
            if band is not None:
                prices[slot] = band.eur_per_kwh
    return prices


def band_at(bands: tuple[TimeOfUseBand, ...], hour: int, weekday: int) -> TimeOfUseBand | None:
    """First band that covers a local hour; a band with end <= start runs over midnight."""
    for band in bands:
        inside = (
            band.start_hour <= hour < band.end_hour
            if band.start_hour < band.end_hour
            else hour >= band.start_hour or hour < band.end_hour
        )
        if inside and (not band.weekdays or weekday in band.weekdays):
            return band
    return None


def adder_eur_per_kwh(contract: ElectricityContract) -> float:
    """Network tariff and taxes on every kWh."""
    return contract.network_eur_per_kwh + contract.taxes_eur_per_kwh


def carbon_eur_per_kwh(intensity_g_per_kwh: FloatArray, price_eur_per_tonne: float) -> FloatArray:
    """Shadow price of the carbon of one kWh per slot; zero without a carbon price, whatever the intensity."""
    if price_eur_per_tonne == 0.0:
        return np.zeros_like(intensity_g_per_kwh)
    return intensity_g_per_kwh / (G_PER_KG * KG_PER_TONNE) * price_eur_per_tonne


def demand_charge_eur(contract: ElectricityContract, peak_kw: float) -> float:
    """The month's demand charge for a peak in kW."""
    return contract.demand_charge_eur_per_kw_month * max(0.0, peak_kw)
