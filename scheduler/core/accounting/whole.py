"""From measured floats to the whole numbers of a settlement, and money of whole numbers: halves are rounded away from zero."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from scheduler.units import CENTS_PER_UNIT, MICRO_PER_UNIT, S_PER_WHOLE_H, W_PER_KW, WH_PER_KWH

PPM = MICRO_PER_UNIT
# Wh * millionths per kWh: so many make one cent.
WH_MICRO_PER_CENT = WH_PER_KWH * MICRO_PER_UNIT // int(CENTS_PER_UNIT)


def whole(value: float, per_unit: float) -> int:
    """The decimal that a float is written as, times `per_unit`, as the nearest whole number.

    The written decimal counts and not the binary one, so that 0.0125 is a half where a person sees one.
    """
    return int((Decimal(repr(float(value))) * int(per_unit)).to_integral_value(rounding=ROUND_HALF_UP))


def wh_from_kwh(energy_kwh: float) -> int:
    """Whole Wh."""
    return whole(energy_kwh, WH_PER_KWH)


def kwh_from_wh(energy_wh: int) -> float:
    """A float that `wh_from_kwh` turns back into the same number."""
    return energy_wh / WH_PER_KWH


def w_from_kw_whole(power_kw: float) -> int:
    """Whole W: a firm value as it is sent."""
    return whole(power_kw, W_PER_KW)


def micro_from_unit(price: float) -> int:
    """Whole millionths of a price."""
    return whole(price, MICRO_PER_UNIT)


def divided(number: int, by: int) -> int:
    """A quotient of whole numbers, halves away from zero; `by` > 0."""
    quotient = (2 * abs(number) + by) // (2 * by)
    return -quotient if number < 0 else quotient


def wh_of(power_w: int, duration_s: int) -> int:
    """Energy of a power over a time, whole Wh."""
    return divided(power_w * duration_s, S_PER_WHOLE_H)


def cents(energy_wh: int, price_micro: int) -> int:
    """Money for energy at a price in millionths per kWh: rounded once, to a whole cent."""
    return divided(energy_wh * price_micro, WH_MICRO_PER_CENT)


def share(number: int, ppm: int) -> int:
    """A share in millionths of a whole number."""
    return divided(number * ppm, PPM)
