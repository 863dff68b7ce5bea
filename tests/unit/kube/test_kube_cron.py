"""Ticks by Kubernetes' reading of crontab; 2026-01-14 is a Wednesday."""

from __future__ import annotations

import pytest
from kube_world import NOW

from scheduler.adapters.kubernetes.cron import next_tick_utc
from scheduler.domain.time import utc


@pytest.mark.parametrize(
    ("schedule", "zone", "tick"),
    [
        ("*/15 * * * *", "", "2026-01-14T10:15:00Z"),
        ("0 2 * * *", "UTC", "2026-01-15T02:00:00Z"),
        ("0 2 * * *", "Europe/Copenhagen", "2026-01-15T01:00:00Z"),
        ("0 0 * * 0", "", "2026-01-18T00:00:00Z"),
        ("0 0 * * 7", "", "2026-01-18T00:00:00Z"),
        ("0 0 * * SUN", "", "2026-01-18T00:00:00Z"),
        ("0 0 * * 1-5", "", "2026-01-15T00:00:00Z"),
        ("0 0 * * 6,1", "", "2026-01-17T00:00:00Z"),
        ("0 0 * * 5/2", "", "2026-01-16T00:00:00Z"),
        ("0 12 ? * ?", "", "2026-01-14T12:00:00Z"),
        ("0 0 1 JAN *", "", "2027-01-01T00:00:00Z"),
        ("@hourly", "", "2026-01-14T11:00:00Z"),
        ("@weekly", "", "2026-01-18T00:00:00Z"),
        # Either day is enough when both are restricted: Friday the 16th comes before the 1st.
        ("0 0 1 * 5", "", "2026-01-16T00:00:00Z"),
        ("0 0 15 * 0", "", "2026-01-15T00:00:00Z"),
    ],
)
def test_the_next_tick(schedule: str, zone: str, tick: str) -> None:
    assert next_tick_utc(schedule, zone, NOW) == utc(tick)


def test_a_tick_is_after_the_instant_not_at_it() -> None:
    assert next_tick_utc("0 10 * * *", "", NOW) == utc("2026-01-15T10:00:00Z")


@pytest.mark.parametrize(
    ("schedule", "zone"),
    [
        ("every day", ""),
        ("0 0 * * 9", ""),
        ("0 0 30 2 *", ""),
        ("0 0 * * *", "Mars/Base"),
        ("", ""),
        ("61 * * * *", ""),
        ("0 0 * * 5-1", ""),
    ],
)
def test_what_cannot_be_read_or_never_comes_is_none(schedule: str, zone: str) -> None:
    assert next_tick_utc(schedule, zone, NOW) is None
