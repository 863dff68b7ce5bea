"""When a CronJob ticks next, by Kubernetes' reading of crontab lines.

APScheduler does the calendar; three things differ from it: weekday 0 is Sunday, `?` means any, and when day of month and
day of week are both restricted either of them is enough.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def next_tick_utc(schedule: str, time_zone: str, after_utc: datetime) -> datetime | None:
    """First tick after an instant; None when the schedule or its zone cannot be read, or never ticks.

    A schedule without a zone runs in the zone of the controller manager; UTC is assumed, as most of them run in it.
    """
    line = MACROS.get(schedule.strip().lower(), schedule)
    fields = line.split()
    try:
        zone = ZoneInfo(time_zone or "UTC")
        triggers = [_trigger(each, zone) for each in _alternatives(fields)]
    except (ValueError, LookupError, OSError):
        return None
    start = after_utc.astimezone(zone) + timedelta(microseconds=1)
    ticks = [tick for tick in (trigger.get_next_fire_time(None, start) for trigger in triggers) if tick is not None]
    return min(tick.astimezone(UTC) for tick in ticks) if ticks else None


def _alternatives(fields: list[str]) -> list[list[str]]:
    """The line once, or twice when either of its two days is enough."""
    if len(fields) != 5:
        raise ValueError("a crontab line has five fields")
    minute, hour, day, month, weekday = ("*" if each == "?" else each for each in fields)
    named = _weekdays(weekday)
    if "*" in (day, weekday):
        return [[minute, hour, day, month.lower(), named]]
    return [[minute, hour, day, month.lower(), "*"], [minute, hour, "*", month.lower(), named]]


def _trigger(fields: list[str], zone: ZoneInfo) -> CronTrigger:
    """The trigger of one line."""
    minute, hour, day, month, weekday = fields
    return CronTrigger(minute=minute, hour=hour, day=day, month=month, day_of_week=weekday, timezone=zone)


def _weekdays(text: str) -> str:
    """Weekdays by name: `1-5` is mon,tue,wed,thu,fri and `0`, `7` and `SUN` are sun."""
    if text == "*":
        return text
    found = {day % 7 for piece in text.split(",") for day in _days(piece.lower())}
    return ",".join(WEEKDAYS[day] for day in sorted(found))


def _days(piece: str) -> range:
    """Numbers of one piece of a weekday field: `*/2`, `1-5`, `mon-fri/2`, `7`."""
    span, _, step = piece.partition("/")
    first, dash, last = span.partition("-")
    if span == "*":
        low, high = 0, 6
    else:
        low = _day(first)
        high = _day(last) if dash else (6 if step else low)
    size = int(step) if step else 1
    if size < 1 or high < low:
        raise ValueError(f"{piece!r} is no range of weekdays")
    return range(low, high + 1, size)


def _day(text: str) -> int:
    """One weekday, 0 is Sunday."""
    number = WEEKDAYS.index(text) if text in WEEKDAYS else int(text)
    if not 0 <= number <= 7:
        raise ValueError(f"{text!r} is no weekday")
    return number
