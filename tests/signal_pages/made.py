"""What all pages are made of."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from signal_peer import Page

DAY_S = 86_400
BRUSSELS = ZoneInfo("Europe/Brussels")


def wave(at_utc: datetime, step_s: int, *, middle: float, swing: float) -> float:
    """A daily wave that says in its second decimals which slot it is of; flat in one hour of four, as prices are at night."""
    slot = int(at_utc.timestamp()) // step_s
    hour, slot_s = slot * step_s // 3600, slot * step_s
    if hour % 4 == 0:
        slot_s = hour * 3600
    angle = 2.0 * math.pi * (slot_s % DAY_S) / DAY_S
    return round(middle + swing * math.sin(angle) + slot_s // 900 % 97 / 100.0, 2)


def json_page(document: object, status: int = 200) -> Page:
    """A JSON document."""
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()


def slots(start_utc: datetime, end_utc: datetime, step_s: int) -> Iterator[datetime]:
    """The starts of the slots from one instant to another."""
    first, last = int(start_utc.timestamp()), int(end_utc.timestamp())
    return (datetime.fromtimestamp(at_s, tz=UTC) for at_s in range(-(-first // step_s) * step_s, last, step_s))


def midnight(at_utc: datetime, zone: ZoneInfo, days: int = 0) -> datetime:
    """The local midnight before an instant, or `days` days after that, in UTC."""
    day = at_utc.astimezone(zone).date() + timedelta(days=days)
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def published_until(now_utc: datetime, zone: ZoneInfo = BRUSSELS, *, hour: int = 13) -> datetime:
    """The end of tomorrow once an hour of today has struck, else the end of today; of local days."""
    return midnight(now_utc, zone, 2 if now_utc.astimezone(zone).hour >= hour else 1)
