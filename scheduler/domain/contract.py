"""Contracts: what electricity costs, what heat earns, what a promise is worth."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EnergyPriceKind(StrEnum):
    """How the energy part of the electricity price is formed."""

    SPOT = "spot"
    FIXED = "fixed"
    TIME_OF_USE = "timeOfUse"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeOfUseBand:
    """Price of local hours [start_hour, end_hour) on the given ISO weekdays (1 = Monday)."""

    start_hour: int
    end_hour: int
    weekdays: tuple[int, ...]
    eur_per_kwh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectricityContract:
    """All-in price = energy part + network_eur_per_kwh + taxes_eur_per_kwh; the demand charge falls on the month's peak."""

    kind: EnergyPriceKind = EnergyPriceKind.SPOT
    fixed_eur_per_kwh: float = 0.0
    bands: tuple[TimeOfUseBand, ...] = ()
    network_eur_per_kwh: float = 0.0
    taxes_eur_per_kwh: float = 0.0
    demand_charge_eur_per_kw_month: float = 0.0
    carbon_price_eur_per_tonne: float = 0.0


class TariffKind(StrEnum):
    """Shape of a heat tariff."""

    FIXED = "fixed"
    INDEXED = "indexed"
    TEMPERATURE_INDEXED = "temperatureIndexed"
    AVOIDED_COST = "avoidedCost"
    SHARED_SAVINGS = "sharedSavings"
    COST_PRICE = "costPrice"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatTariff:
    """Price of one delivered kWh of heat; which fields matter depends on `kind`.

    - FIXED: fixed_eur_per_kwh.
    - INDEXED: fixed_eur_per_kwh * (1 + escalation_fraction_per_year) ** full years since base_year, times index / base index.
    - TEMPERATURE_INDEXED: clip(scale_eur_per_kwh * base ** T, floor, ceiling), T the mean outdoor temperature of the local
      day before; plus grade_eur_per_kwh_per_k for each K of delivered supply temperature above grade_reference_c.
    - AVOIDED_COST: fuel_eur_per_kwh / boiler_efficiency_fraction + fuel carbon cost.
    - SHARED_SAVINGS: share_fraction of (avoided cost - own marginal cost).
    - COST_PRICE: own cost per kWh, no margin.
    """

    kind: TariffKind = TariffKind.FIXED
    fixed_eur_per_kwh: float = 0.0
    escalation_fraction_per_year: float = 0.0
    base_year: int = 0
    index_fraction: float = 1.0
    scale_eur_per_kwh: float = 0.0
    temperature_base: float = 1.0
    floor_eur_per_kwh: float = 0.0
    ceiling_eur_per_kwh: float = float("inf")
    without_outdoor_eur_per_kwh: float | None = None
    grade_reference_c: float = 0.0
    grade_eur_per_kwh_per_k: float = 0.0
    fuel_eur_per_kwh: float = 0.0
    boiler_efficiency_fraction: float = 0.9
    fuel_carbon_g_per_kwh: float = 202.0
    fuel_carbon_eur_per_tonne: float = 0.0
    share_fraction: float = 0.5
    own_cost_eur_per_kwh: float = 0.0
    take_or_pay_kwh_per_year: float = 0.0


class Revise(StrEnum):
    """What a gate may do to a period that is bound already; nothing is ever lowered."""

    NEVER = "never"
    UP = "up"


class Silence(StrEnum):
    """What the customer's silence to a promise means: it binds all the same, or nothing is owed until he accepts it."""

    BIND = "bind"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmProduct:
    """What one gate a day makes binding: a kW for each period of `resolution_s`, 900, 1800 or 3600 s.

    Delivery goes from local time `start_local`, `start_day` days after the gate's local day, to the local time `hours` later.
    """

    gate_local: str = "10:30"
    start_local: str = "00:00"
    start_day: int = 1
    hours: int = 24
    resolution_s: int = 3600
    revise: Revise = Revise.NEVER


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmRule:
    """Firm heat: at each local gate, a kW for each delivery period becomes binding.

    Shortfall of a period in kWh = max(0, (1 - tolerance_fraction) * promised - delivered), paid at shortfall_eur_per_kwh.

    products: all of one resolution. Without any there is one: at `gate_local` the first `delivery_hours` of the next local day.
    kept_fraction: share of the promised time in which promises must be kept within the tolerance; 0: the contract asks for
    none. on_silence: what no acknowledgement means. late_s: so long after a gate it is still answered.
    """

    gate_local: str = "10:30"
    quantile: float = 0.1
    tolerance_fraction: float = 0.05
    shortfall_eur_per_kwh: float = 0.16
    capacity_eur_per_kwh: float = 0.004
    delivery_hours: int = 24
    products: tuple[FirmProduct, ...] = ()
    kept_fraction: float = 0.0
    on_silence: Silence = Silence.BIND
    late_s: float = 7200.0

    @property
    def sold(self) -> tuple[FirmProduct, ...]:
        """The products, at least one."""
        return self.products or (FirmProduct(gate_local=self.gate_local, hours=min(24, self.delivery_hours)),)
