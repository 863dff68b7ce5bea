"""The last links of chains by the name that a policy calls them: rules that nobody need be asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from scheduler.adapters.sources.blueprint import Card, Option
from scheduler.adapters.sources.fixed import FixedSource, constant, time_of_use
from scheduler.adapters.sources.providers.options import chosen
from scheduler.adapters.sources.rules import SMOOTHING_H, SignatureSource, profile, signature
from scheduler.core.accounting.told import LIMITS
from scheduler.domain.contract import ElectricityContract, EnergyPriceKind, TimeOfUseBand
from scheduler.domain.errors import Misconfigured
from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR, PRICE, unit_of
from scheduler.ports import SeriesSource

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HOURS_PER_DAY = 24
_DAY = "|".join(DAYS)
_BAND = re.compile(
    rf"(?:(?P<first>{_DAY})(?:-(?P<last>{_DAY}))?\s+)?(?:(?P<start>\d{{1,2}})-(?P<end>\d{{1,2}})\s+)?(?P<price>-?\d+(?:\.\d+)?)"
)
BANDS = "Mon-Fri 7-20 0.31, 0.18"


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a rule may need to know: the site's zone, and who tells the outdoor temperature (None: nobody)."""

    time_zone: str = "UTC"
    weather: SeriesSource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A card and the factory of its sources: make(name, quantity, options, around).

    make raises `Misconfigured` for what it cannot take.
    """

    card: Card
    make: Callable[[str, str, Mapping[str, str], Around], SeriesSource]


FIXED = Card(
    name="fixed",
    title="The same value always",
    quantities=(PRICE, CARBON, OUTDOOR, HEAT_DEMAND),
    options=(Option(name="value", meaning="the value: EUR/kWh, g/kWh, degC or kW"),),
)
TIME_OF_USE = Card(
    name="time_of_use",
    title="A price by local weekday and hour",
    quantities=(PRICE,),
    options=(Option(name="bands", meaning=f"EUR/kWh by weekdays and hours, the first that fits: {BANDS!r}"),),
)
PROFILE = Card(
    name="profile",
    title="Heat demand by local hour of the week",
    quantities=(HEAT_DEMAND,),
    options=(Option(name="values", meaning="24 values in kW from 00:00 on, or 168 from Monday 00:00 on, apart by blanks"),),
)
SIGNATURE = Card(
    name="signature",
    title="Heat demand by the outdoor temperature",
    quantities=(HEAT_DEMAND,),
    options=(
        Option(name="base_kw", meaning="demand on warm days, kW"),
        Option(name="slope_kw_per_k", meaning="more demand per kelvin below the base temperature, kW/K"),
        Option(name="base_c", meaning="outdoor temperature above which nothing is heated, degC", default="15"),
        Option(name="smoothing_h", meaning="how long buildings feel the cold, h", default=f"{SMOOTHING_H:g}"),
    ),
)


def fixed(name: str, quantity: str, options: Mapping[str, str], _around: Around) -> SeriesSource:
    """One value.

    Raises:
        Misconfigured: it is no number, or none that this quantity can have.
    """
    text, limits = chosen(FIXED, quantity, options)["value"], LIMITS[quantity]
    expected = f"a number of {unit_of(quantity)} from {limits.low:g} to {limits.high:g}"
    value = _number("fixed", "value", text, expected)
    if not limits.low <= value <= limits.high:
        raise Misconfigured(f"{text[:60]!r}", where="fixed, option value", expected=expected)
    return FixedSource(name, quantity, constant(value))


def by_time_of_use(name: str, quantity: str, options: Mapping[str, str], around: Around) -> SeriesSource:
    """A table of prices.

    Raises:
        Misconfigured: it cannot be read, or leaves an hour of the week without a price.
    """
    bands = tuple(_band(text.strip()) for text in chosen(TIME_OF_USE, quantity, options)["bands"].split(","))
    contract = ElectricityContract(kind=EnergyPriceKind.TIME_OF_USE, bands=bands)
    for weekday, day in enumerate(DAYS, start=1):
        for hour in range(HOURS_PER_DAY):
            if not any(weekday in band.weekdays and band.start_hour <= hour < band.end_hour for band in bands):
                raise _wrong(f"{day} {hour}:00 has no price")
    return FixedSource(name, quantity, time_of_use(contract, around.time_zone))


def by_profile(name: str, quantity: str, options: Mapping[str, str], around: Around) -> SeriesSource:
    """A week that repeats.

    Raises:
        Misconfigured: neither 24 nor 168 numbers, or one below zero.
    """
    texts = chosen(PROFILE, quantity, options)["values"].split()
    values_kw = [_number("profile", "values", text, "numbers of kW") for text in texts]
    if any(value < 0.0 for value in values_kw):
        raise Misconfigured("a demand below zero", where="profile, option values", expected="numbers of kW")
    return FixedSource(name, quantity, profile(values_kw, around.time_zone))


def by_signature(name: str, quantity: str, options: Mapping[str, str], around: Around) -> SeriesSource:
    """Demand at the weather's chain.

    Raises:
        Misconfigured: there is no such chain, or no building has such numbers.
    """
    given = chosen(SIGNATURE, quantity, options)
    base_kw, slope_kw_per_k, base_c, smoothing_h = (
        _number("signature", option.name, given[option.name], option.meaning) for option in SIGNATURE.options
    )
    rule = signature(base_kw, slope_kw_per_k, base_c, smoothing_h=smoothing_h)
    if around.weather is None:
        raise Misconfigured("nobody tells the outdoor temperature", where="signature", expected="a source of `weather` too")
    return SignatureSource(name, around.weather, rule, time_zone=around.time_zone, quantity=quantity)


def _number(rule: str, option: str, text: str, expected: str) -> float:
    """A finite number of an option."""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise Misconfigured(f"{text[:60]!r} is no number", where=f"{rule}, option {option}", expected=expected)
    return value


def _band(text: str) -> TimeOfUseBand:
    """`Mon-Fri 7-20 0.31`; without days every day, without hours all of them."""
    found = _BAND.fullmatch(text)
    if found is None:
        raise _wrong(f"{text[:60]!r}")
    first = 1 + DAYS.index(found["first"]) if found["first"] else 1
    last = 1 + DAYS.index(found["last"]) if found["last"] else first if found["first"] else len(DAYS)
    weekdays = range(first, last + 1) if first <= last else (*range(first, len(DAYS) + 1), *range(1, last + 1))
    start, end = (int(found["start"]), int(found["end"])) if found["start"] else (0, HOURS_PER_DAY)
    price, limits = float(found["price"]), LIMITS[PRICE]
    if not start < end <= HOURS_PER_DAY:
        raise _wrong(f"{text!r} ends before it begins; split it at midnight")
    if not limits.low <= price <= limits.high:
        raise _wrong(f"{text!r} is no price in EUR/kWh")
    return TimeOfUseBand(start_hour=start, end_hour=end, weekdays=tuple(weekdays), eur_per_kwh=price)


def _wrong(message: str) -> Misconfigured:
    """What is wrong with the bands."""
    return Misconfigured(message, where="time_of_use, option bands", expected=f"EUR/kWh for the whole week such as {BANDS!r}")


_ENTRIES = (
    Rule(card=FIXED, make=fixed),
    Rule(card=TIME_OF_USE, make=by_time_of_use),
    Rule(card=PROFILE, make=by_profile),
    Rule(card=SIGNATURE, make=by_signature),
)

RULES: Mapping[str, Rule] = {rule.card.name: rule for rule in _ENTRIES}
