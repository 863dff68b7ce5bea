"""Units and currencies of others become ours: by a table, never by a guess."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from scheduler.core.signals.refusals import Refusal, Reject
from scheduler.domain.signals import Told
from scheduler.units import (
    CENTS_PER_UNIT,
    FREEZING_FAHRENHEIT,
    G_PER_KG,
    K_PER_DEGREE_FAHRENHEIT,
    KELVIN_OFFSET_C,
    KG_PER_POUND,
    KWH_PER_MWH,
    S_PER_DAY,
    W_PER_KW,
)

EURO = "EUR"
MAX_AGE_S = 10.0 * S_PER_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRates:
    """What one euro is in other currencies, by their three letters, as the European Central Bank states it.

    dated_utc: the day they are of; None: somebody has fixed them, and they hold until he changes them. Older than max_age_s
    they convert nothing.
    """

    per_eur: Mapping[str, float] = field(default_factory=dict)
    dated_utc: datetime | None = None
    max_age_s: float = MAX_AGE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A unit in terms of ours: ours = value * scale / divisor + offset; `currency`: what money in it is to be changed from."""

    ours: str
    scale: float = 1.0
    divisor: float = 1.0
    offset: float = 0.0
    currency: str = EURO


# What a currency's hundredth is called where prices are stated in it.
HUNDREDTHS = {"ct": EURO, "GBp": "GBP"}
KWH_OF = {"kWh": 1.0, "MWh": KWH_PER_MWH}
FACTORS: Mapping[str, Factor] = {
    "g/kWh": Factor(ours="g/kWh"),
    "kg/kWh": Factor(ours="g/kWh", scale=G_PER_KG),
    "kg/MWh": Factor(ours="g/kWh", scale=G_PER_KG, divisor=KWH_PER_MWH),
    "lb/MWh": Factor(ours="g/kWh", scale=KG_PER_POUND * G_PER_KG, divisor=KWH_PER_MWH),
    "degC": Factor(ours="degC"),
    "K": Factor(ours="degC", offset=-KELVIN_OFFSET_C),
    "degF": Factor(ours="degC", scale=K_PER_DEGREE_FAHRENHEIT, offset=-FREEZING_FAHRENHEIT * K_PER_DEGREE_FAHRENHEIT),
    "W": Factor(ours="kW", divisor=W_PER_KW),
    "kW": Factor(ours="kW"),
    "MW": Factor(ours="kW", scale=W_PER_KW),
}


def factor_of(unit: str) -> Factor | None:
    """A unit in terms of ours; None for one that is not known.

    Prices are MONEY/kWh or MONEY/MWh, money being three capital letters (EUR, DKK) or a hundredth by its name (ct, GBp).
    """
    money, _, energy = unit.partition("/")
    known = FACTORS.get(unit)
    if known is not None or energy not in KWH_OF:
        return known
    if money in HUNDREDTHS:
        return Factor(ours="EUR/kWh", divisor=KWH_OF[energy] * CENTS_PER_UNIT, currency=HUNDREDTHS[money])
    if len(money) == len(EURO) and money.isascii() and money.isalpha() and money.isupper():
        return Factor(ours="EUR/kWh", divisor=KWH_OF[energy], currency=money)
    return None


def per_eur_of(currency: str, rates: ExchangeRates, now_utc: datetime) -> float | str:
    """What one euro is in a currency, or why that is not known."""
    if currency == EURO:
        return 1.0
    per_eur = rates.per_eur.get(currency)
    if per_eur is None:
        return f"no exchange rate for {currency}"
    if not (math.isfinite(per_eur) and per_eur > 0.0):
        return f"the exchange rate for {currency} is {per_eur:g}"
    if rates.dated_utc is not None:
        age_s = (now_utc - rates.dated_utc).total_seconds()
        if not -S_PER_DAY <= age_s <= rates.max_age_s:
            return f"the exchange rates are of {rates.dated_utc:%Y-%m-%d}"
    return per_eur


def converted(told: Told, unit: str, rates: ExchangeRates, *, now_utc: datetime) -> Told | Refusal:
    """The same values in another unit, one of ours; or why they cannot be had in it."""
    if told.unit == unit:
        return told
    factor = factor_of(told.unit)
    if factor is None or factor.ours != unit:
        why = f"{told.quantity}: {told.unit!r} is no unit that could become {unit}"
        return Refusal(kind=Reject.UNIT, count=len(told.values), why=why)
    per_eur = per_eur_of(factor.currency, rates, now_utc)
    if isinstance(per_eur, str):
        return Refusal(kind=Reject.CURRENCY, count=len(told.values), why=f"{told.quantity}: {per_eur}")
    return replace(told, values=told.values * factor.scale / (factor.divisor * per_eur) + factor.offset, unit=unit)
