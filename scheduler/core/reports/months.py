"""Local months, days and delivery periods in UTC: a day has 23, 24 or 25 hours, a month begins when its first day does."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from scheduler.domain.errors import Misconfigured

Span = tuple[datetime, datetime]


def first_day(month: str) -> date:
    """First day of "2026-01".

    Raises:
        Misconfigured: when it is no month.
    """
    try:
        return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        raise Misconfigured(f"{month!r} is no month", where="month", expected="a year and a month, such as 2026-01") from None


def month_span(month: str, time_zone: str) -> Span:
    """[start, end) of a local month."""
    first = first_day(month)
    following = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    return midnight(first, time_zone), midnight(following, time_zone)


def year_start(month: str, time_zone: str) -> datetime:
    """Begin of the local year that a month belongs to."""
    return midnight(first_day(month).replace(month=1), time_zone)


def midnight(day: date, time_zone: str) -> datetime:
    """Begin of a local day; where the clock skips midnight, as if it had not changed yet."""
    return datetime.combine(day, time(), tzinfo=ZoneInfo(time_zone)).astimezone(UTC)


def period_start(at_utc: datetime, zone: ZoneInfo, period_s: int) -> datetime:
    """Begin of the delivery period of an instant; periods lie on whole multiples of local time."""
    offset = at_utc.astimezone(zone).utcoffset() or timedelta()
    since_s = int((at_utc + offset).timestamp()) % period_s
    return at_utc.replace(microsecond=0) - timedelta(seconds=since_s)


def whole_slots(start_utc: datetime, end_utc: datetime, slot_s: int) -> int:
    """How many slots there are between two instants, the last of them perhaps cut short."""
    return -(-int((end_utc - start_utc).total_seconds()) // slot_s)
