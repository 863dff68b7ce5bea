"""When feeds are asked: around the time at which the new day comes out, and ever more seldom while nothing comes."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from scheduler.adapters.sources.blueprint import Schedule
from scheduler.adapters.sources.rhythm import Row, after_bad_s, after_good_s
from scheduler.domain.time import utc

DAY_AHEAD = Schedule(every_s=3 * 3600.0, at=("13:00",), time_zone="Europe/Brussels", again_s=600.0)
# The end of 15 January in Brussels, an hour ahead of UTC in winter.
END_OF_15 = utc("2026-01-15T23:00:00+00:00")
END_OF_16 = END_OF_15 + timedelta(days=1)


def half() -> float:
    return 0.5


@pytest.mark.parametrize(
    ("at", "reach_utc", "wait_s"),
    [
        # In the morning: every three hours.
        ("2026-01-15T06:00:00+00:00", END_OF_15, 3 * 3600.0),
        # An hour before publication: a little (60 to 120 s, here 90) after 13:00 in Brussels, which is 12:00 UTC.
        ("2026-01-15T11:00:00+00:00", END_OF_15, 3600.0 + 90.0),
        # Published, but not there: every ten minutes, for six hours.
        ("2026-01-15T12:01:30+00:00", END_OF_15, 600.0),
        ("2026-01-15T17:59:00+00:00", END_OF_15, 600.0),
        ("2026-01-15T18:01:00+00:00", END_OF_15, 3 * 3600.0),
        # There: every three hours again, though the last two hours of the day are still missing.
        ("2026-01-15T12:11:30+00:00", END_OF_16, 3 * 3600.0),
        ("2026-01-15T12:11:30+00:00", END_OF_16 - timedelta(hours=2), 3 * 3600.0),
        ("2026-01-15T12:11:30+00:00", END_OF_16 - timedelta(hours=3), 600.0),
        ("2026-01-15T12:11:30+00:00", None, 600.0),
    ],
)
def test_the_new_day_is_waited_for(at: str, reach_utc: datetime | None, wait_s: float) -> None:
    assert after_good_s(DAY_AHEAD, utc(at), reach_utc, half) == pytest.approx(wait_s)


def test_in_summer_it_comes_out_an_hour_earlier_in_utc() -> None:
    reach_utc = utc("2026-07-15T22:00:00+00:00")
    assert after_good_s(DAY_AHEAD, utc("2026-07-15T10:30:00+00:00"), reach_utc, half) == pytest.approx(1800.0 + 90.0)


def test_of_several_times_the_next_one_counts() -> None:
    often = Schedule(every_s=86_400.0, at=("03:45", "09:45"), time_zone="UTC")
    assert after_good_s(often, utc("2026-01-15T02:45:00+00:00"), END_OF_16, half) == pytest.approx(3690.0)
    assert after_good_s(often, utc("2026-01-15T08:45:00+00:00"), END_OF_16, half) == pytest.approx(3690.0)
    # The next one is tomorrow's first.
    assert after_good_s(often, utc("2026-01-15T20:45:00+00:00"), END_OF_16, half) == pytest.approx(7 * 3600.0 + 90.0)


def test_waits_double_up_to_an_hour() -> None:
    waits_s = [after_bad_s(DAY_AHEAD, Row(failures=count), lambda: 1.0) for count in range(1, 9)]
    assert waits_s == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]
    # Half of a wait is left to chance.
    assert after_bad_s(DAY_AHEAD, Row(failures=3), lambda: 0.0) == 120.0
    # Whatever is asked each minute is asked each five when it fails for long.
    assert after_bad_s(Schedule(every_s=60.0), Row(failures=50), lambda: 1.0) == 300.0


def test_nobody_is_asked_sooner_than_he_wishes_nor_for_ever_later() -> None:
    assert after_bad_s(DAY_AHEAD, Row(failures=1, retry_after_s=5000.0), lambda: 0.0) == 5000.0
    assert after_bad_s(DAY_AHEAD, Row(failures=1, retry_after_s=1e12), lambda: 0.0) == 86_400.0
    assert after_bad_s(DAY_AHEAD, Row(failures=1, retry_after_s=1.0), lambda: 1.0) == 60.0


def test_what_only_somebody_can_mend_is_tried_each_quarter_hour_and_then_each_hour() -> None:
    waits_s = [after_bad_s(DAY_AHEAD, Row(failures=count, final=True), lambda: 1.0) for count in (1, 2, 3, 4)]
    assert waits_s == [900.0, 1800.0, 3600.0, 3600.0]
