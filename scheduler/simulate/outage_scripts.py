"""Scripts of outages by name and in short: `standard`, `lies`, or `price+heat:6h:frozen@2026-01-06T12:00Z`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar
from zoneinfo import ZoneInfo

from scheduler.core.tariffs.gates import local_instant
from scheduler.domain.errors import Misconfigured
from scheduler.domain.time import utc
from scheduler.domain.world import Scenario
from scheduler.simulate.knowledge import PUBLISHED_AT
from scheduler.simulate.outages import OutageKind, Source, SourceOutage
from scheduler.units import S_PER_DAY, S_PER_H, S_PER_MIN

Word = TypeVar("Word", bound=StrEnum)

ALL = "all"
# What the names of their runs begin with.
OUTAGE = "outage of "
HOUR, DAY, WEEK = "1h", "1d", "1w"
BEFORE_PUBLICATION = timedelta(minutes=30)
SECONDS = {"m": S_PER_MIN, "h": S_PER_H, "d": S_PER_DAY, "w": 7 * S_PER_DAY}
# Each source alone and all at once.
EVERY = (*(one.value for one in Source), ALL)
LIES = (OutageKind.FROZEN, OutageKind.NULLS, OutageKind.NONSENSE)
SETS: dict[str, tuple[str, ...]] = {
    "standard": tuple(f"{what}:{long}" for long in (HOUR, DAY, WEEK) for what in EVERY),
    "lies": tuple(f"{what}:{DAY}:{kind.value}" for kind in LIES for what in EVERY),
}
EXPECTED = (
    f"{' or '.join(SETS)}, or SOURCE:LENGTH[:KIND][@START] such as {ALL}:1d or price+heat:6h:frozen@2026-01-06T12:00Z; "
    f"sources {', '.join(EVERY)}; lengths such as 30m, 6h, 1d, 1w; kinds {', '.join(OutageKind)}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageScript:
    """One run with outages: some sources fail alike between two instants."""

    sources: tuple[Source, ...]
    kind: OutageKind
    length: str
    start_s: float
    end_s: float
    what: str

    @property
    def key(self) -> str:
        """Name of its run."""
        return f"{OUTAGE}{self.what}, {self.length} {self.kind} from {self.start_s / S_PER_H:g} h"

    @property
    def outages(self) -> tuple[SourceOutage, ...]:
        """One for each source."""
        return tuple(SourceOutage(source=one, kind=self.kind, start_s=self.start_s, end_s=self.end_s) for one in self.sources)


def scripts_of(specs: Iterable[str], scenario: Scenario) -> tuple[OutageScript, ...]:
    """Scripts in the order given, each once.

    Raises:
        Misconfigured: for what is no script, or an outage that does not begin within the period.
    """
    made = (script_of(text, scenario) for spec in specs for text in expanded(spec.strip()))
    return tuple({one.key: one for one in made}.values())


def expanded(spec: str) -> Iterator[str]:
    """The members of a ready-made set, which may have a start: `standard@2026-01-06T12:00Z`; else the script itself."""
    name, at, start = spec.partition("@")
    for one in SETS.get(name, (name,)):
        yield one + at + start


def script_of(text: str, scenario: Scenario) -> OutageScript:
    """One script; without a start it begins at `worst_start_utc`.

    Raises:
        Misconfigured: as above.
    """
    where = f"--outages {text}"
    body, _, start = text.partition("@")
    what, _, rest = body.partition(":")
    length, _, kind = rest.partition(":")
    try:
        sources = tuple(Source) if what == ALL else tuple(dict.fromkeys(one_of(Source, each) for each in what.split("+")))
        long_s = seconds_of(length)
        chosen = one_of(OutageKind, kind) if kind else OutageKind.SILENT
        start_utc = instant_of(start) if start else worst_start_utc(scenario)
    except ValueError as error:
        raise Misconfigured(str(error), where=where, expected=EXPECTED) from None
    start_s = (start_utc - scenario.start_utc).total_seconds()
    if not 0.0 <= start_s < scenario.days * S_PER_DAY:
        end_utc = scenario.start_utc + timedelta(days=scenario.days)
        raise Misconfigured(
            f"{start_utc:%Y-%m-%dT%H:%MZ} is outside the period",
            where=where,
            expected=f"from {scenario.start_utc:%Y-%m-%dT%H:%MZ} to before {end_utc:%Y-%m-%dT%H:%MZ}",
        )
    return OutageScript(sources=sources, kind=chosen, length=length, start_s=start_s, end_s=start_s + long_s, what=what)


def one_of(words: type[Word], text: str) -> Word:
    """A word of a list.

    Raises:
        ValueError: it is not in the list.
    """
    if text not in set(words):
        raise ValueError(f"{text!r} is none of {', '.join(words)}")
    return words(text)


def instant_of(text: str) -> datetime:
    """An instant with its offset.

    Raises:
        ValueError: it is none.
    """
    try:
        return utc(text)
    except ValueError:
        raise ValueError(f"{text!r} is no instant with its offset, such as 2026-01-06T12:00Z") from None


def seconds_of(length: str) -> float:
    """Seconds of 30m, 6h, 1d or 1w.

    Raises:
        ValueError: for anything else.
    """
    number, unit = length[:-1], length[-1:]
    if unit not in SECONDS or not number.isdecimal() or int(number) == 0:
        raise ValueError(f"{length!r} is no length of time")
    return int(number) * SECONDS[unit]


def worst_start_utc(scenario: Scenario) -> datetime:
    """Half an hour before the next day's prices are told, on the second local day; in a period of one day on the first.

    A source that falls silent an hour later has told them already, and its outage of a day goes unnoticed.
    """
    zone = ZoneInfo(scenario.site.time_zone)
    day = scenario.start_utc.astimezone(zone).date() + timedelta(days=1 if scenario.days > 1 else 0)
    at_utc = local_instant(day, PUBLISHED_AT, zone) - BEFORE_PUBLICATION
    return at_utc if at_utc >= scenario.start_utc else at_utc + timedelta(days=1)
