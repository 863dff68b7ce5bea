"""One word at three in the morning: what makes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from live_world import a_state
from small_world import NOW

from scheduler.core.reports.verdict import LATE_S, Level, aged, verdict
from scheduler.domain.live import LiveState
from scheduler.domain.settings import Mode
from scheduler.domain.snapshot import Freshness

SOON = NOW + timedelta(minutes=4)


@pytest.fixture(scope="module")
def well() -> LiveState:
    return a_state()


def level(state: LiveState, after_s: float = 240.0) -> Level:
    return verdict(state, state.at_utc + timedelta(seconds=after_s)).level


def test_a_fresh_plan_on_fresh_data_is_well(well: LiveState) -> None:
    assert verdict(well, SOON).findings == ()
    assert level(well) is Level.WELL


@pytest.mark.parametrize(("status", "expected"), [("lastGood", Level.LOOK), ("ruleBased", Level.LOOK), ("letGo", Level.ACT)])
def test_a_degraded_step_is_told_with_its_reason(well: LiveState, status: str, expected: Level) -> None:
    found = verdict(replace(well, status=status, degraded_reason="prices are stale"), SOON)
    assert found.level is expected
    assert "prices are stale" in found.findings[0].means


def test_an_operator_that_is_silent_is_late_first_and_then_gone(well: LiveState) -> None:
    assert level(well, well.cycle_s + LATE_S - 1.0) is Level.WELL
    assert level(well, well.cycle_s + LATE_S + 1.0) is Level.LOOK
    assert level(well, well.plan_max_age_s + LATE_S + 1.0) is Level.ACT
    assert level(well, -LATE_S - 1.0) is Level.LOOK


@pytest.mark.parametrize("age_s", [None, 7201.0])
def test_a_source_that_is_silent_or_old_is_told(well: LiveState, age_s: float | None) -> None:
    found = verdict(replace(well, sources=(Freshness(source="heat_demand", age_s=age_s, max_age_s=7200.0),)), SOON)
    assert found.level is Level.LOOK
    assert "heat demand" in found.findings[0].what.lower()


def test_missing_weather_is_no_reason_to_wake_anybody_and_a_missing_price_is(well: LiveState) -> None:
    assert level(replace(well, notes=("outdoor: missing",))) is Level.WELL
    assert level(replace(well, notes=("price: missing",))) is Level.LOOK


def test_a_promise_that_will_not_be_kept_is_told_while_it_binds(well: LiveState) -> None:
    series = well.series
    more = np.where(np.isfinite(series.planned_kw), series.planned_kw / 0.95 + 5.0, np.nan)
    short = replace(well, series=replace(series, firm_kw=more))
    assert level(short) is Level.LOOK
    assert "short" in verdict(short, SOON).findings[0].what
    assert level(replace(short, mode=Mode.ADVISE)) is Level.WELL


def test_a_boiler_that_must_run_is_told(well: LiveState) -> None:
    asked = replace(well, customers=tuple(replace(one, boiler_request_kw=42.0) for one in well.customers))
    assert level(asked) is Level.LOOK
    assert "42 kW" in verdict(asked, SOON).findings[0].what


def test_the_worst_comes_first(well: LiveState) -> None:
    bad = replace(well, status="letGo", notes=("price: missing",))
    assert [one.level for one in verdict(bad, SOON).findings] == [Level.ACT, Level.LOOK]


@pytest.mark.parametrize(
    ("age_s", "words"), [(-5.0, "less than a minute"), (59.0, "less than a minute"), (240.0, "4 min"), (7200.0, "2 h")]
)
def test_ages_in_words(age_s: float, words: str) -> None:
    assert aged(age_s) == words
