"""When to ask next: by the provider's schedule while all is well, at growing distances while it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from scheduler.adapters.sources.blueprint import Schedule
from scheduler.units import S_PER_DAY, S_PER_H, S_PER_MIN

# Everybody asks at the full minute; we come a little later, each at another moment.
LITTLE_S = S_PER_MIN
# After so long what should have been published is late in a way that asking often does not mend.
PATIENCE_S = 6.0 * S_PER_H
# "The new day is there" when all but so much of it is: some markets' days end an hour or two before midnight.
DAY_SHORT = timedelta(hours=2)
FIRST_S, LEAST_LONGEST_S, LONGEST_S = 60.0, 5.0 * S_PER_MIN, S_PER_H
# Nothing will change by itself, but somebody may mend a token.
FINAL_S = 15.0 * S_PER_MIN
DOUBLINGS = 10

Chance = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """So many polls in a row have brought nothing, and what the last one says about the next."""

    failures: int
    retry_after_s: float | None = None
    final: bool = False
    again_s: float = FIRST_S


def after_good_s(schedule: Schedule, now_utc: datetime, reach_utc: datetime | None, chance: Chance) -> float:
    """How long to wait after a poll that went well, in seconds.

    Args:
        schedule: the provider's.
        now_utc: when it was polled.
        reach_utc: until when something is known; whether the next day has been published is judged by it.
        chance: draws from [0, 1).
    """
    wait_s = max(1.0, schedule.every_s)
    if not schedule.at:
        return wait_s
    zone = ZoneInfo(schedule.time_zone)
    today = now_utc.astimezone(zone).date()
    times = [_instant(today + timedelta(days=day), at, zone) for day in (-1, 0, 1) for at in schedule.at]
    upcoming_s = min((at - now_utc).total_seconds() for at in times if at > now_utc)
    wait_s = min(wait_s, upcoming_s + LITTLE_S * (1.0 + chance()))
    last = max(at for at in times if at <= now_utc)
    late = (now_utc - last).total_seconds() < PATIENCE_S and not _day_is_there(last.astimezone(zone).date(), zone, reach_utc)
    return min(wait_s, max(1.0, schedule.again_s)) if late else wait_s


def _instant(day: date, at: str, zone: ZoneInfo) -> datetime:
    """A local time of day, in UTC."""
    return datetime.combine(day, time.fromisoformat(at), zone).astimezone(UTC)


def _day_is_there(day: date, zone: ZoneInfo, reach_utc: datetime | None) -> bool:
    """Whether the local day after `day` is known."""
    end_utc = datetime.combine(day + timedelta(days=2), time(), zone).astimezone(UTC)
    return reach_utc is not None and reach_utc >= end_utc - DAY_SHORT


def after_bad_s(schedule: Schedule, row: Row, chance: Chance) -> float:
    """How long to wait after a poll that brought nothing: doubling up to an hour, half of it by chance, no less than asked for.

    A provider with short rounds is asked each five minutes at the longest distance.
    """
    longest_s = min(max(schedule.every_s, LEAST_LONGEST_S), LONGEST_S)
    first_s = FINAL_S if row.final else min(max(row.again_s, 1.0), longest_s)
    wait_s = min(first_s * 2.0 ** min(row.failures - 1, DOUBLINGS), max(longest_s, first_s))
    wait_s *= 0.5 + 0.5 * chance()
    asked_s = min(row.retry_after_s or 0.0, S_PER_DAY)
    return max(wait_s, asked_s * (1.0 + 0.1 * chance()))
