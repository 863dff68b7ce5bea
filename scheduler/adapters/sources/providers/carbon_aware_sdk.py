"""Carbon Aware SDK of the Green Software Foundation: one's own server that stands in front of a carbon service."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.adapters.sources.blueprint import Answer, Ask, Card, NothingYet, Option, Schedule
from scheduler.adapters.sources.providers.options import chosen, plain
from scheduler.adapters.sources.providers.parsing import Node, Row, bad, instant, json_of, told
from scheduler.adapters.sources.providers.spacing import rows_of
from scheduler.domain.observed import CARBON
from scheduler.domain.signals import Basis, Grade, Told
from scheduler.units import S_PER_DAY, S_PER_H, S_PER_MIN

# Two days back; the server asks its own service anew each time.
BACK = timedelta(days=1)

CARD = Card(
    name="carbon_aware_sdk",
    title="Carbon Aware SDK",
    quantities=(CARBON,),
    options=(
        Option(name="location", meaning="location as the server's /locations names it, as northeurope"),
        Option(
            name="basis",
            meaning="what its data source tells: WattTime marginal, Electricity Maps average; no answer says it",
            choices=tuple(Basis),
        ),
        Option(name="forecast", meaning="whether its data source has forecasts", default="yes", choices=("yes", "no")),
        Option(name="url", meaning="address of the server"),
    ),
    licence="MIT; the terms of the data source behind it hold",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonAwareSdk:
    """One location: what was observed of the last day, and the present forecast."""

    url: str
    location: str
    basis: Basis
    forecast: bool

    @property
    def schedule(self) -> Schedule:
        """As often as the services behind it have news."""
        return Schedule(every_s=15 * S_PER_MIN)

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        """What was observed, and the forecast where there is one; then the observed is not needed."""
        params = {"location": self.location, "time": _text(now_utc - BACK), "toTime": _text(now_utc)}
        seen = Ask(url=f"{self.url}/emissions/bylocations", params=params, optional=self.forecast)
        ahead = Ask(url=f"{self.url}/emissions/forecasts/current", params={"location": self.location})
        return (ahead, seen) if self.forecast else (seen,)

    def follow(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Ask, ...]:
        """Nothing follows."""
        return ()

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        """Lists of observations and of forecasts, in g/kWh."""
        found: list[Told] = []
        for answer in answers:
            part = answer.ask.url.rpartition("/")[2]
            document = json_of(answer, part)
            found += (
                [self._observed(document)] if part == "bylocations" else [self._expected(node) for node in document.items()]
            )
        if not found:
            raise NothingYet(f"{CARBON}: the server has no forecast for {self.location}")
        return tuple(found)

    def _observed(self, document: Node) -> Told:
        """[{location, time, rating, duration "00:05:00"}]; where duration is missing, the way to the next value."""
        nodes = list(document.items())
        points = [(_seconds(node.field("time")), node.field("rating").number_or_nan()) for node in nodes]
        lengths = [_duration_s(node.maybe("duration")) for node in nodes]
        known = [length_s for length_s in lengths if length_s is not None]
        if points and len(known) == len(points):
            rows: list[Row] = [
                (start_s, start_s + length_s, value) for (start_s, value), length_s in zip(points, known, strict=True)
            ]
        else:
            rows = rows_of(points, document.where)
        return told(CARBON, rows, "g/kWh", Grade.MEASURED, basis=self.basis)

    def _expected(self, node: Node) -> Told:
        """{location, generatedAt, forecastData: [{timestamp, duration (minutes), value}]}."""
        location, made = node.field("location"), node.field("generatedAt")
        if location.text() != self.location:
            bad(location.where, location.value, self.location)
        rows = [_expected_row(point) for point in node.field("forecastData").items()]
        issued_utc = instant(made.text(), made.where)
        return told(CARBON, rows, "g/kWh", Grade.FORECAST, issued_utc=issued_utc, basis=self.basis)


def make(quantity: str, options: Mapping[str, str]) -> CarbonAwareSdk:
    """A provider from its options.

    Raises:
        Misconfigured: a quantity or an option that it does not know.
    """
    known = chosen(CARD, quantity, options)
    return CarbonAwareSdk(
        url=known["url"],
        location=plain(CARD, "location", known["location"], r"[A-Za-z0-9_.-]{1,60}", "a location as northeurope"),
        basis=Basis(known["basis"]),
        forecast=known["forecast"] == "yes",
    )


def _text(at_utc: datetime) -> str:
    """An instant as the server wants it."""
    return f"{at_utc:%Y-%m-%dT%H:%M:%SZ}"


def _seconds(node: Node) -> int:
    """A time of an observation, which may have parts of a second: seven digits of them in the documentation."""
    text = re.sub(r"(\.\d{6})\d{1,3}", r"\1", node.text())
    return round(instant(text, node.where).timestamp())


def _duration_s(node: Node | None) -> int | None:
    """Seconds of "hh:mm:ss" or "d.hh:mm:ss"; None where it is missing or zero, which is what an unset one looks like."""
    if node is None or node.value is None:
        return None
    found = re.fullmatch(r"(?:(\d{1,2})\.)?(\d\d):(\d\d):(\d\d)(?:\.\d+)?", node.text())
    if found is None:
        bad(node.where, node.value, "a duration as 00:05:00")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return int(days * S_PER_DAY + hours * S_PER_H + minutes * S_PER_MIN + seconds) or None


def _expected_row(point: Node) -> Row:
    """One value of a forecast."""
    length = point.field("duration")
    length_s = length.number() * S_PER_MIN
    if not S_PER_MIN <= length_s <= S_PER_DAY or length_s != int(length_s):
        bad(length.where, length.value, "minutes, one to a day's")
    start_s = _seconds(point.field("timestamp"))
    return start_s, start_s + int(length_s), point.field("value").number_or_nan()
