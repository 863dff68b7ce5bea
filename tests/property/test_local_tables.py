"""A table in local times tells every value at its own instant, or not at all, wherever it was written and cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st
from signal_answers import HOST, answer

from scheduler.adapters.sources.providers.catalogue import PROVIDERS
from scheduler.domain.observed import HEAT_DEMAND

ZONES = (
    "Europe/Berlin",
    "Europe/London",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Santiago",
    "UTC",
)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


@settings(max_examples=40, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    hour=st.integers(0, 365 * 24),
    slots=st.integers(2, 60),
    minutes=st.sampled_from([15, 30, 60]),
    backwards=st.booleans(),
    gone=st.sets(st.integers(0, 59), max_size=3),
)
@example(zone="Europe/Berlin", hour=7127, slots=24, minutes=15, backwards=True, gone=set())  # 25 October 2026, from 01:00
@example(zone="Australia/Lord_Howe", hour=2246, slots=60, minutes=15, backwards=False, gone=set())  # 5 April 2026, half an hour
def test_a_value_is_told_at_its_instant_or_not_at_all(
    zone: str, hour: int, slots: int, minutes: int, backwards: bool, gone: set[int]
) -> None:
    start, step = FIRST + timedelta(hours=hour), timedelta(minutes=minutes)
    instants = [start + place * step for place in range(slots) if place not in gone]
    local = [at.astimezone(ZoneInfo(zone)) for at in instants]
    lines = [f"{at:%d.%m.%Y %H:%M},{int(at.timestamp())}" for at in local]
    text = "\n".join(["time,value", *(reversed(lines) if backwards else lines), ""])
    options = {"valueColumn": "value", "unit": "kW", "timeZone": zone, "timeFormat": "%d.%m.%Y %H:%M", "minutes": str(minutes)}
    provider = PROVIDERS["csv_feed"].make(HEAT_DEMAND, {"url": HOST, **options})
    seen = [at.replace(tzinfo=None) for at in local]
    shown_once = {
        int(at.timestamp()) for at, clock in zip(instants, seen, strict=True) if seen.count(clock) == 1 and _twice(clock, zone)
    }
    kept = {int(at.timestamp()) for at in instants} - shown_once
    if not kept:
        return
    (told,) = provider.read([answer(provider.asks(FIRST)[0], text.encode(), FIRST)], FIRST)
    # Each value is its own second.
    assert told.values.tolist() == told.starts_s.tolist()
    assert set(told.starts_s.tolist()) == kept


def _twice(clock: datetime, zone: str) -> bool:
    """Whether two instants show this on the clocks of a zone, found by looking at both."""
    first, second = (clock.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1))
    return first < second and second.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == clock
