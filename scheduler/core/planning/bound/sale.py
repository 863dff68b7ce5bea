"""Which delivery hours a gate inside the window can sell."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.core.planning.bound.problem import SaleHour
from scheduler.domain.contract import FirmRule
from scheduler.domain.time import FloatArray
from scheduler.units import H_PER_DAY, S_PER_H


def sale_hours(
    rule: FirmRule, time_zone: str, start_utc: datetime, edges_h: FloatArray, most_kw: FloatArray, until_utc: datetime
) -> tuple[SaleHour, ...]:
    """Delivery hours with a gate inside the window, as rows of time.

    The gate of local day D sells the hours of local day D + 1. An hour that touches a row only in part counts with the whole
    row: that only helps, so the bound stays one. Hours that end after `until_utc` are not sold.
    """
    found = []
    for hour_utc in _sold_hours(rule, ZoneInfo(time_zone), start_utc, start_utc + timedelta(hours=float(edges_h[-1]))):
        if hour_utc + timedelta(hours=1) > until_utc:
            continue
        begin_h = (hour_utc - start_utc).total_seconds() / S_PER_H
        first = int(np.searchsorted(edges_h, begin_h + 1e-9, side="right")) - 1
        last = int(np.searchsorted(edges_h, begin_h + 1.0 - 1e-9, side="left"))
        last = min(last, len(most_kw))
        if first < last:
            found.append(SaleHour(first=max(0, first), last=last, most_kwh=float(np.max(most_kw[max(0, first) : last]))))
    return tuple(found)


def _sold_hours(rule: FirmRule, zone: ZoneInfo, start_utc: datetime, end_utc: datetime) -> Iterator[datetime]:
    """Starts of the delivery hours, in UTC, of every gate in [start, end) that begin before the end."""
    day: date = start_utc.astimezone(zone).date()
    at = time.fromisoformat(rule.gate_local)
    while datetime.combine(day, time(), tzinfo=zone) < end_utc:
        gate_utc = datetime.combine(day, at, tzinfo=zone).astimezone(UTC)
        begin = datetime.combine(day + timedelta(days=1), time(), tzinfo=zone).astimezone(UTC)
        after = datetime.combine(day + timedelta(days=2), time(), tzinfo=zone).astimezone(UTC)
        count = int((after - begin) // timedelta(hours=1))
        count = count if rule.delivery_hours >= H_PER_DAY else min(rule.delivery_hours, count)
        if start_utc <= gate_utc < end_utc:
            yield from (hour for hour in (begin + timedelta(hours=n) for n in range(count)) if hour < end_utc)
        day += timedelta(days=1)
