"""Public holidays by country, from the `holidays` package; what forecasts of a site take for Sundays."""

from __future__ import annotations

from datetime import date
from functools import cache

from scheduler.domain.errors import Misconfigured

# No clock is asked here: so many years are known in advance, and as many of the past as series are likely to hold.
FIRST_YEAR, LAST_YEAR = 2010, 2050
EXPECTED = "ISO 3166, such as DK, or with a part of the country, such as DE-BY"


@cache
def holidays_of(country: str) -> tuple[date, ...]:
    """Public holidays of a country, or of a part of it ("DE-BY"), in rising order; none for an empty name.

    Raises:
        ValueError: a country or a part of one that the package does not know.
    """
    if not country:
        return ()
    # Loaded only by those who name a country: seven megabytes.
    import holidays

    code, _, part = country.upper().partition("-")
    try:
        found = holidays.country_holidays(code, subdiv=part or None, years=range(FIRST_YEAR, LAST_YEAR + 1))
    except NotImplementedError:
        raise ValueError(f"no holidays are known of {country!r}") from None
    return tuple(sorted(found))


def checked_holidays(country: str, where: str) -> tuple[date, ...]:
    """`holidays_of` of what somebody gave.

    Raises:
        Misconfigured: a country or a part of one that the package does not know.
    """
    try:
        return holidays_of(country)
    except ValueError as unknown:
        raise Misconfigured(str(unknown), where=where, expected=EXPECTED) from None
