"""Exchange rates from a file: the European Central Bank's own (`eurofxref-daily.xml`), or a table that somebody has written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import yaml
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from scheduler.adapters.logs import Episode, Teller
from scheduler.core.signals.conversion import ExchangeRates
from scheduler.domain.errors import Misconfigured

MAX_BYTES = 1 << 20
CURRENCY = re.compile(r"[A-Z]{3}")
# What the bank calls its elements: an Envelope with Cube/Cube[@time]/Cube[@currency, @rate].
CUBE = "{http://www.ecb.int/vocabulary/2002-08-01/eurofxref}Cube"
EXPECTED = "lines as `DKK: 7.46` (one euro is 7.46), or the bank's eurofxref-daily.xml"


def read_rates(path: Path) -> ExchangeRates:
    """What one euro is in other currencies, by a file; a table of one's own has no date and holds until it is changed.

    Raises:
        Misconfigured: it is neither, or a rate in it can be none.
        OSError: it cannot be read.
    """
    if path.stat().st_size > MAX_BYTES:
        raise Misconfigured("the file is too large", where=path.name, expected=f"at most {MAX_BYTES} bytes")
    text = path.read_text("utf-8", errors="replace")
    dated_utc, said = _bank(path, text) if text.lstrip().startswith("<") else (None, _table(path, text))
    rates = {currency: _rate(path, currency, rate) for currency, rate in said.items()}
    if not rates:
        raise Misconfigured("no rate at all", where=path.name, expected=EXPECTED)
    return ExchangeRates(per_eur=rates, dated_utc=dated_utc)


def _table(path: Path, text: str) -> Mapping[str, object]:
    """A table of one's own."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Misconfigured(str(error).splitlines()[0], where=path.name, expected=EXPECTED) from None
    if not isinstance(found, dict):
        raise Misconfigured("no table of rates", where=path.name, expected=EXPECTED)
    return {str(currency): rate for currency, rate in found.items()}


def _bank(path: Path, text: str) -> tuple[datetime, Mapping[str, object]]:
    """The bank's file, and its day."""
    try:
        root: Element = fromstring(text)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise Misconfigured(f"no XML: {error}"[:200], where=path.name, expected=EXPECTED) from None
    days = [cube for cube in root.iter(CUBE) if "time" in cube.attrib]
    if not days:
        raise Misconfigured("no day of rates", where=path.name, expected=EXPECTED)
    day = max(days, key=lambda cube: cube.attrib["time"])
    try:
        dated_utc = datetime.fromisoformat(day.attrib["time"]).replace(tzinfo=UTC)
    except ValueError:
        raise Misconfigured(f"day {day.attrib['time'][:40]!r}", where=path.name, expected="a day as 2026-11-20") from None
    cubes = (cube.attrib for cube in day.iter(CUBE))
    return dated_utc, {one["currency"]: one.get("rate", "") for one in cubes if "currency" in one}


def _rate(path: Path, currency: str, rate: object) -> float:
    """One rate."""
    try:
        number = float(rate) if isinstance(rate, str | float | int) and not isinstance(rate, bool) else math.nan
    except ValueError:
        number = math.nan
    if not CURRENCY.fullmatch(currency) or not (math.isfinite(number) and number > 0.0):
        raise Misconfigured(
            f"{currency[:20]}: {str(rate)[:40]}", where=path.name, expected="a currency as DKK and a rate above 0"
        )
    return number


class RatesFile:
    """The rates of a file, read again when it has changed; one that was broken since leaves those of before, with their day."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            Misconfigured, OSError: as `read_rates` does.
        """
        self._path, self._mark = path, _mark_of(path)
        self._rates = read_rates(path)
        self._reading = Episode(Teller("sources"), "reading exchange rates")

    def __call__(self) -> ExchangeRates:
        """The rates now."""
        try:
            mark = _mark_of(self._path)
            if mark != self._mark:
                self._rates, self._mark = read_rates(self._path), mark
            self._reading.worked(file=self._path.name)
        except (Misconfigured, OSError) as error:
            self._reading.failed(error)
        return self._rates


def _mark_of(path: Path) -> tuple[int, int]:
    """Time of the last change in ns, and size."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size
