"""Which days to ask for, and when day-ahead prices come out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from scheduler.adapters.sources.blueprint import Card, Option, Schedule
from scheduler.adapters.sources.providers.options import whole
from scheduler.units import S_PER_H, S_PER_MIN

# Gate closure of the coupled auction is at 12:00, results come from 12:45 on; a decoupling or a second auction takes longer.
DAY_AHEAD_ZONE = "Europe/Brussels"
HISTORY = Option(name="daysBack", meaning="local days before today that are asked for too, 0 to 31", default="2")


def day_ahead(*at: str, every_s: float = 3 * S_PER_H, again_s: float = 10 * S_PER_MIN) -> Schedule:
    """Once a day at a local time of Central Europe, and now and then because values are corrected."""
    return Schedule(every_s=every_s, at=at or ("13:00",), time_zone=DAY_AHEAD_ZONE, again_s=again_s)


def days_back(card: Card, options: Mapping[str, str]) -> int:
    """What the option of the history says."""
    return whole(card, HISTORY.name, options[HISTORY.name], 0, 31)


def window(now_utc: datetime, time_zone: str, back: int, ahead: int) -> tuple[datetime, datetime]:
    """From the local midnight `back` days before today to the one that ends the day `ahead` days after it, in UTC."""
    zone = ZoneInfo(time_zone)
    today = now_utc.astimezone(zone).date()
    first, last = today - timedelta(days=back), today + timedelta(days=ahead + 1)
    return (
        datetime.combine(first, time.min, zone).astimezone(UTC),
        datetime.combine(last, time.min, zone).astimezone(UTC),
    )
