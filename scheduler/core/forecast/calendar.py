"""Hours of a place: UTC hours with the local hour, weekday and day they fall in, daylight saving time included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.domain.time import BoolArray, IntArray
from scheduler.units import H_PER_DAY, S_PER_H

HOUR_S = int(S_PER_H)
DAY_H = int(H_PER_DAY)
WEEK_H = 7 * DAY_H
SATURDAY, SUNDAY = 5, 6
EPOCH = date(1970, 1, 1)
DAY_TYPES = 3


def floor_hour(at_utc: datetime) -> datetime:
    """Start of the UTC hour that contains `at_utc`."""
    return at_utc.replace(minute=0, second=0, microsecond=0)


def ceil_hour(at_utc: datetime) -> datetime:
    """First whole UTC hour at or after `at_utc`."""
    floor_utc = floor_hour(at_utc)
    return floor_utc if floor_utc == at_utc else floor_utc + timedelta(hours=1)


def hour_number(at_utc: datetime) -> int:
    """Whole hours since 1970, by floor: one integer axis for every hourly series."""
    return int(at_utc.timestamp() // HOUR_S)


def at_hour(number: int) -> datetime:
    """Instant at which hour `number` starts; inverse of `hour_number`."""
    return datetime.fromtimestamp(number * HOUR_S, tz=UTC)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalHours:
    """Consecutive UTC hours as a place lives them, one entry per hour.

    hour: 0 to 23 local. weekday: 0 is Monday; a holiday is a Sunday. day: local days since 1970 (consecutive integers).
    """

    first: int
    hour: IntArray
    weekday: IntArray
    day: IntArray

    @property
    def hour_of_week(self) -> IntArray:
        """0 is Monday 00:00 local, 167 is Sunday 23:00."""
        return self.weekday * DAY_H + self.hour

    @property
    def day_cell(self) -> IntArray:
        """(day type, hour) as one index: working day 0 to 23, Saturday 24 to 47, Sunday 48 to 71."""
        return np.maximum(0, self.weekday - SATURDAY + 1) * DAY_H + self.hour

    @property
    def weekend(self) -> BoolArray:
        """True on Saturday and Sunday."""
        return self.weekday >= SATURDAY


def offset_s(number: int, zone: ZoneInfo) -> int:
    """UTC offset in seconds at the start of hour `number`."""
    offset = at_hour(number).astimezone(zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def local_hours(first: int, count: int, zone: ZoneInfo, holidays: Sequence[date] = ()) -> LocalHours:
    """Local calendar of `count` hours from hour number `first`; `holidays` are local days on which people live as on a Sunday.

    The zone is asked once per day, and hour by hour only in a day in which its offset changes, which is 50 times faster.
    """
    offsets_s = np.empty(count, dtype=np.int64)
    before_s = offset_s(first, zone)
    for start in range(0, count, DAY_H):
        stop = min(start + DAY_H, count)
        after_s = offset_s(first + stop, zone)
        if after_s == before_s:
            offsets_s[start:stop] = before_s
        else:
            offsets_s[start:stop] = [offset_s(first + i, zone) for i in range(start, stop)]
        before_s = after_s
    local_s = (first + np.arange(count, dtype=np.int64)) * HOUR_S + offsets_s
    local_h = local_s // HOUR_S
    day = local_h // DAY_H
    # 1970-01-01 was a Thursday, weekday 3.
    weekday = (day + 3) % 7
    if holidays:
        weekday[np.isin(day, [(holiday - EPOCH).days for holiday in holidays])] = SUNDAY
    return LocalHours(first=first, hour=local_h % DAY_H, weekday=weekday, day=day)
