"""A long run on a page: days and two weeks instead of every slot, and a table by month."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduler.views.report import backtest_page
from scheduler.views.spans import by_day, is_long, telling_weeks, week_from
from scheduler.views.tables import MONTH_HEADER, month_rows

sys.path.insert(0, str(Path(__file__).parent))
from sample_report import sample_report

DAYS = 100


def year_like() -> dict[str, Any]:
    """Hourly series of 100 days: demand falls by 1 kW a day, the sale is half of it."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    hours = range(DAYS * 24)
    demand = [200.0 - hour // 24 for hour in hours]
    columns = {key: [0.5 * kw for kw in demand] for key in ("sold_kw", "promised_kw", "it_kw", "gpus_busy", "tank_kwh")}
    return {
        "step_s": 3600,
        "time_utc": [(start + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ") for hour in hours],
        "price_eur_per_mwh": [float(hour % 24) for hour in hours],
        "demand_kw": demand,
        "strategies": {"ours": columns, "fifo": columns},
    }


def test_days_are_means() -> None:
    daily = by_day(year_like())
    assert daily["step_s"] == 86400
    assert daily["time_utc"][:2] == ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
    # (0 + 23) / 2 every day; demand 200, 199, ...; half of it is sold.
    assert set(daily["price_eur_per_mwh"]) == {11.5}
    assert daily["demand_kw"][:2] == [200.0, 199.0]
    assert daily["strategies"]["ours"]["sold_kw"][0] == 100.0


def test_a_week_is_kept_step_by_step() -> None:
    week = week_from(year_like(), 3)
    assert len(week["time_utc"]) == len(week["strategies"]["fifo"]["sold_kw"]) == 168
    assert week["time_utc"][0] == "2026-01-04T00:00:00Z"


def test_telling_weeks_are_those_of_most_and_least_demand() -> None:
    most, least = telling_weeks(year_like(), DAYS)
    assert most[1]["time_utc"][0] == "2026-01-01T00:00:00Z"
    assert least[1]["time_utc"][0] == "2026-04-04T00:00:00Z"  # 93 days later: days 94 to 100
    assert "most" in most[0]
    # A drain of ten days is no part of the period.
    assert telling_weeks(year_like(), DAYS - 10)[1][1]["time_utc"][0] == "2026-03-25T00:00:00Z"
    assert telling_weeks(year_like(), 6) == []


def test_a_week_is_drawn_as_it_is_and_a_year_is_not() -> None:
    short, long = sample_report(), sample_report() | {"series": year_like()}
    short["series"]["step_s"] = 3600
    assert not is_long(short["series"])
    assert is_long(long["series"])
    assert 'id="week-0"' not in backtest_page(short)
    text = backtest_page(long)
    assert 'id="week-0"' in text
    assert 'id="week-1"' in text
    assert len(text) < len(backtest_page(short)) + 200_000


def month(name: str, fifo: float, ours: float) -> dict[str, Any]:
    """One month of two strategies."""
    runs = {"fifo": {"total_eur": fifo, "heat_sold_kwh": 1000.0}, "ours": {"total_eur": ours, "heat_sold_kwh": 2500.0}}
    return {"month": name, "hours": 744.0, "price_eur_per_mwh": 31.26, "demand_kwh": 30000.0, "strategies": runs}


def test_months_say_what_was_saved() -> None:
    report = sample_report() | {"months": [month("2026-01", 1000.0, 900.0), month("2026-02", 500.0, 510.0)]}
    rows = month_rows(report)
    assert rows[0] == ["2026-01", "31.3", "30.0", "1,000.0", "900.0", "100.0", "10.0 %", "2.5"]
    assert rows[1][5:7] == ["-10.0", "-2.0 %"]
    assert len(rows[0]) == len(MONTH_HEADER)
    assert "Month by month" not in backtest_page(report)
    report["months"].append(month("2026-03", 1.0, 1.0))
    assert "Month by month" in backtest_page(report)


@pytest.mark.parametrize("missing", ["fifo", "ours"])
def test_no_months_without_both_runs(missing: str) -> None:
    one = month("2026-01", 1.0, 1.0)
    del one["strategies"][missing]
    assert month_rows({"months": [one]}) == []
