"""Times as people write them in tables: with an offset, as seconds, or by the clock on some wall."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from scheduler.adapters.sources.blueprint import Card, Option
from scheduler.adapters.sources.providers.options import whole
from scheduler.adapters.sources.providers.parsing import Row, bad, epoch_s
from scheduler.adapters.sources.providers.spacing import rows_of
from scheduler.domain.errors import Misconfigured
from scheduler.units import MILLI_PER_UNIT, S_PER_MIN

ISO, SECONDS, MILLISECONDS = "iso", "unix", "unix-ms"
FORMAT = Option(name="timeFormat", meaning="iso, unix (seconds), unix-ms, or as %d.%m.%Y %H:%M", default=ISO)
ZONE = Option(name="timeZone", meaning="time zone of times without an offset", default="UTC")
START, END = "start", "end"
OF = Option(
    name="timeOf", meaning="whether a time is that at which its value begins, or ends", default=START, choices=(START, END)
)
LENGTH = Option(name="minutes", meaning="minutes that a value holds, 1 to 1440; not given: to the next value", default="")
OPTIONS = (FORMAT, ZONE, OF, LENGTH)
MOST_MINUTES = 1440
LONGEST = 60
# A found text or number, and where it stood.
Found = tuple[object, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How times are written."""

    form: str
    zone: ZoneInfo

    def seconds(self, found: Sequence[Found]) -> list[int | None]:
        """Seconds since 1970 in UTC of the times of a document, in its order.

        A local time in the hour that the clock has twice is the first of them where it stands first, the second where it stands
        again, in the direction in which the document runs; one that stands only once could be either: None.

        Raises:
            BadAnswer: one is no time, or an hour that the clock never showed.
        """
        if self.form in {SECONDS, MILLISECONDS}:
            return [_number_s(value, where, self.form == MILLISECONDS) for value, where in found]
        read = [self._read(value, where) for value, where in found]
        times = Counter(at for at in read if at.tzinfo is None and self._twice(at))
        backwards = len(read) > 1 and _plain(read[0]) > _plain(read[-1])
        seen: Counter[datetime] = Counter()
        out: list[int | None] = []
        for at, (value, where) in zip(read, found, strict=True):
            if at not in times:
                out.append(self._at_s(at, value, where, fold=0))
                continue
            if times[at] > 2:
                bad(where, value, "a local time at most twice on the day when clocks go back")
            out.append(self._at_s(at, value, where, fold=seen[at] ^ int(backwards)) if times[at] == 2 else None)
            seen[at] += 1
        return out

    def _read(self, value: object, where: str) -> datetime:
        """A time, aware where it has an offset."""
        if not isinstance(value, str) or len(value) > LONGEST:
            bad(where, value, f"a time as text, timeFormat {self.form}")
        try:
            return datetime.fromisoformat(value.strip()) if self.form == ISO else datetime.strptime(value.strip(), self.form)  # noqa: DTZ007 # the zone is judged by whoever called
        except ValueError:
            bad(where, value, f"a time, timeFormat {self.form}")

    def _twice(self, at: datetime) -> bool:
        """Whether the clock of the zone shows a local time twice."""
        first, second = (at.replace(tzinfo=self.zone, fold=fold).utcoffset() for fold in (0, 1))
        return first is not None and second is not None and first > second

    def _at_s(self, at: datetime, value: object, where: str, *, fold: int) -> int:
        """Seconds of a time, local where it has no offset."""
        if at.microsecond:
            bad(where, value, "a time in whole seconds")
        try:
            if at.tzinfo is not None:
                return epoch_s(int(at.timestamp()), where)
            local = at.replace(tzinfo=self.zone, fold=fold)
            back = local.astimezone(UTC).astimezone(self.zone)
        except (ValueError, OverflowError):
            bad(where, value, "a time between 1990 and 2100")
        if back.replace(tzinfo=None) != at:
            bad(where, value, f"a time that clocks of {self.zone.key} have shown")
        return epoch_s(int(local.timestamp()), where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How times are written, and of which interval a value is: length_s long (None: to the next), before its time or after."""

    times: Times
    length_s: int | None
    ends: bool

    def rows(self, found: Sequence[tuple[Found, float]], where: str) -> list[Row]:
        """Times and values of a document as intervals; without those of which the time could be either of two.

        Raises:
            BadAnswer: a time is none, or nothing says how long values hold.
        """
        at = self.times.seconds([time for time, _ in found])
        points = [(at_s, value) for at_s, (_, value) in zip(at, found, strict=True) if at_s is not None]
        return rows_of(points, where, length_s=self.length_s, ends=self.ends)


def timing_of(card: Card, options: Mapping[str, str]) -> Timing:
    """The timing that the options state.

    Raises:
        Misconfigured: a format without year, month, day, hour and minute, a zone that is none, or another length.
    """
    length = options[LENGTH.name]
    return Timing(
        times=_times(card, options[FORMAT.name], options[ZONE.name]),
        length_s=int(whole(card, LENGTH.name, length, 1, MOST_MINUTES) * S_PER_MIN) if length else None,
        ends=options[OF.name] == END,
    )


def _times(card: Card, form: str, zone: str) -> Times:
    """How times are written."""
    if form not in {ISO, SECONDS, MILLISECONDS} and not _works(form):
        expected = f"{ISO}, {SECONDS}, {MILLISECONDS} or a format of year, month, day, hour and minute as %d.%m.%Y %H:%M"
        raise Misconfigured(f"{form!r}", where=f"{card.name}, option {FORMAT.name}", expected=expected)
    try:
        return Times(form=form, zone=ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Misconfigured(f"{zone!r}", where=f"{card.name}, option {ZONE.name}", expected="a zone as Europe/Berlin") from None


def _works(form: str) -> bool:
    """Whether a format loses nothing of a minute that is written and read with it."""
    some_utc = datetime(2026, 11, 21, 13, 45, tzinfo=UTC)
    try:
        return len(form) <= LONGEST and datetime.strptime(some_utc.strftime(form), form).replace(tzinfo=UTC) == some_utc
    except (ValueError, re.error, OverflowError):
        return False


def _plain(at: datetime) -> datetime:
    """A time without its zone, to see which way a document runs."""
    return at.replace(tzinfo=None)


def _number_s(value: object, where: str, milli: bool) -> int:
    """Whole seconds of a number, or of a text of digits as a table has it."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value.strip()) <= 16:
        value = int(value.strip())
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or (milli and value % int(MILLI_PER_UNIT)):
        bad(where, value, "whole seconds since 1970" + (", in milliseconds" if milli else ""))
    return epoch_s(value // int(MILLI_PER_UNIT) if milli else value, where)
