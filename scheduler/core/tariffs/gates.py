"""The calendar of firm heat: when each gate of a contract comes, and which delivery periods it makes binding.

Gates and deliveries are local wall times. A delivery goes from its local start to the local time `hours` later, so a whole day
has 23, 24 or 25 hours, and its periods have the length of the resolution in real time. A gate at a time that the clock skips
comes as long after midnight as if the clock had not changed yet; one at a time that the clock shows twice comes the first time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from scheduler.domain.contract import FirmProduct, FirmRule, Revise

Period = tuple[datetime, datetime]
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate: at `at_utc` the firm kW of the delivery periods (start, end) become binding.

    revise: what it may do to periods that another gate made binding before.
    """

    at_utc: datetime
    hours: tuple[Period, ...]
    revise: Revise = Revise.NEVER


def local_instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """UTC instant of a local wall time; a time that the clock skips counts as if it had not changed yet."""
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)


def wall_instant(day: date, after_midnight: timedelta, zone: ZoneInfo) -> datetime:
    """UTC instant at which local clocks show so long after a day's midnight, which may be on a later day."""
    wall = datetime.combine(day, time()) + after_midnight
    return local_instant(wall.date(), wall.time(), zone)


def delivery_periods(day: date, product: FirmProduct, zone: ZoneInfo) -> tuple[Period, ...]:
    """Delivery periods of a product that begins on a local day, in UTC and in order; a part of a period at the end is none."""
    start = time.fromisoformat(product.start_local)
    begin = timedelta(hours=start.hour, minutes=start.minute)
    start_utc = wall_instant(day, begin, zone)
    end_utc = wall_instant(day, begin + timedelta(hours=product.hours), zone)
    step = timedelta(seconds=product.resolution_s)
    count = max(0, (end_utc - start_utc) // step)
    return tuple((start_utc + i * step, start_utc + (i + 1) * step) for i in range(count))


def delivery_hours(day: date, zone: ZoneInfo, hours: int) -> tuple[Period, ...]:
    """Hours of a local day in UTC: 23, 24 or 25 of them for a whole day (hours = 24), else those of its first `hours`."""
    return delivery_periods(day, FirmProduct(hours=min(24, hours)), zone)


def gates_of_day(rule: FirmRule, time_zone: str, day: date) -> tuple[Gate, ...]:
    """The gates on local day `day`, in order of time; those at one instant in the order of the contract."""
    zone = ZoneInfo(time_zone)
    found = [
        Gate(
            at_utc=local_instant(day, time.fromisoformat(product.gate_local), zone),
            hours=delivery_periods(day + product.start_day * DAY, product, zone),
            revise=product.revise,
        )
        for product in rule.sold
    ]
    return tuple(sorted(found, key=lambda gate: gate.at_utc))


def gates_between(rule: FirmRule, time_zone: str, after_utc: datetime, until_utc: datetime) -> tuple[Gate, ...]:
    """Gates in (after, until], in order: windows that follow each other have every gate exactly once."""
    zone = ZoneInfo(time_zone)
    day, last = after_utc.astimezone(zone).date(), until_utc.astimezone(zone).date()
    found: list[Gate] = []
    # One day more at the begin: a gate in the last hour of a day that is skipped comes on the next one.
    day -= DAY
    while day <= last:
        found += [gate for gate in gates_of_day(rule, time_zone, day) if after_utc < gate.at_utc <= until_utc]
        day += DAY
    return tuple(sorted(found, key=lambda gate: gate.at_utc))


def next_gate(rule: FirmRule, time_zone: str, now_utc: datetime) -> Gate:
    """First gate at or after `now_utc`."""
    today = now_utc.astimezone(ZoneInfo(time_zone)).date()
    found = [gate for shift in (-1, 0, 1, 2) for gate in gates_of_day(rule, time_zone, today + shift * DAY)]
    return min((gate for gate in found if gate.at_utc >= now_utc), key=lambda gate: gate.at_utc)


def gates_due(rule: FirmRule, time_zone: str, answered_utc: datetime, now_utc: datetime) -> tuple[Gate, ...]:
    """Gates that must be answered now: all after the last answered one, with the delivery periods that can still be promised.

    The late answer: a gate that was missed is answered up to `rule.late_s` after it, for the periods that have not begun.
    After that it counts as answered with nothing: nobody plans with a promise that comes so late.
    """
    since_utc = max(answered_utc, now_utc - timedelta(seconds=rule.late_s))
    return tuple(
        replace(gate, hours=tuple(hour for hour in gate.hours if hour[0] >= now_utc))
        for gate in gates_between(rule, time_zone, since_utc, now_utc)
    )


def overlaps(period: Period, others: Sequence[Period]) -> bool:
    """Whether a period shares time with one of others."""
    return any(period[0] < other[1] and other[0] < period[1] for other in others)


def hours_of(gate: Gate) -> tuple[Gate, tuple[int, ...]]:
    """The gate in whole hours from its first period on, and for each of its periods which of these hours it lies in."""
    if not gate.hours:
        return gate, ()
    hour, first_utc = timedelta(hours=1), gate.hours[0][0]
    index = tuple((start - first_utc) // hour for start, _ in gate.hours)
    whole = tuple((first_utc + i * hour, first_utc + (i + 1) * hour) for i in range(index[-1] + 1))
    return replace(gate, hours=whole), index
