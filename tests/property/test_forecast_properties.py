"""What must hold for every forecast, whatever the past looked like."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from forecast_world import NOW, grid, heat_kw, history, outdoor_c, price, series, site, snapshot
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduler.core.forecast.calendar import hour_number, local_hours
from scheduler.core.forecast.direct import DirectSettings, direct
from scheduler.core.forecast.durations import learn_durations, mean_remaining_work_s, remaining_work_s
from scheduler.core.forecast.outlook import outlook
from scheduler.core.forecast.own_heat import OwnHeatLimits, OwnHeatRecord, PastMedian, own_heat_kw
from scheduler.core.forecast.prices import price_path
from scheduler.core.tariffs.gates import delivery_hours
from scheduler.domain.settings import Settings
from scheduler.domain.snapshot import FinishedJob, History
from scheduler.domain.time import FloatArray

SETTINGS = Settings()
BAD = st.sampled_from([float("nan"), float("inf"), -float("inf"), -1e9, 1e9])
HOLES = st.lists(st.tuples(st.integers(0, 1500), st.integers(1, 200), BAD), max_size=4)


def damaged(values: FloatArray, holes: list[tuple[int, int, float]]) -> FloatArray:
    out = values.copy()
    for start, length, value in holes:
        out[start : start + length] = value
    return out


@settings(max_examples=25, deadline=None)
@given(demand=HOLES, weather=HOLES, prices=HOLES, scale=st.floats(0.0, 50.0))
def test_whatever_is_broken_bands_hold_and_what_matters_is_named(
    demand: list[tuple[int, int, float]],
    weather: list[tuple[int, int, float]],
    prices: list[tuple[int, int, float]],
    scale: float,
) -> None:
    heat = damaged(scale * heat_kw(), demand)
    past = History(
        price=series(damaged(price(), prices), end=NOW + timedelta(hours=17)),
        carbon=series(np.full(3, float("nan"))),
        outdoor=series(damaged(outdoor_c(), weather)),
        heat_demand_kw={"town": series(heat)},
    )
    seen = outlook(site(), snapshot(past), SETTINGS, grid())
    band = seen.demand_kw["town"]
    assert np.all((band.p10 >= 0.0) & (band.p10 <= band.p50) & (band.p50 <= band.p90) & (band.p90 <= 500.0))
    assert np.isfinite(seen.spot_eur_per_kwh).all()
    assert np.isfinite(seen.tail_spot_eur_per_kwh).all()
    believable = (heat[-4:] >= 0.0) & np.isfinite(heat[-4:])
    if not believable.any():
        assert any(reason.startswith("heat_demand town") for reason in seen.degraded)
    assert "carbon: missing" in seen.degraded


@settings(max_examples=20, deadline=None)
@given(shift=st.floats(-100.0, 100.0), scale=st.floats(0.01, 100.0), seed=st.integers(0, 50))
def test_direct_and_price_forecasts_move_with_shift_and_scale(shift: float, scale: float, seed: int) -> None:
    values = outdoor_c(60 * 24, seed)
    plain = direct(values, 48, DirectSettings()).now
    moved = direct(shift + scale * values, 48, DirectSettings()).now
    assert moved == pytest.approx(shift + scale * plain, abs=1e-6 * (1 + abs(shift) + scale * 30))
    local = local_hours(hour_number(NOW) - len(values), len(values) + 96, ZoneInfo("Europe/Copenhagen"))
    path, moved_path = price_path(values, local, 96), price_path(shift + scale * values, local, 96)
    assert moved_path == pytest.approx(shift + scale * path, abs=1e-6 * (1 + abs(shift) + scale * 30))


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.1, 10.0))
def test_demand_scales_with_its_customer(scale: float) -> None:
    big = replace(site(), offtakes=(replace(site().offtakes[0], max_heat_kw=1e6),))
    plain = outlook(big, snapshot(), SETTINGS, grid()).demand_kw["town"]
    past = replace(history(), heat_demand_kw={"town": series(scale * heat_kw())})
    scaled = outlook(big, snapshot(past), SETTINGS, grid()).demand_kw["town"]
    for name in ("p10", "p50", "p90"):
        assert getattr(scaled, name) == pytest.approx(scale * getattr(plain, name), rel=1e-6)


RATIOS = st.lists(st.floats(0.01, 10.0), max_size=60)


def ended(ratios: list[float]) -> tuple[FinishedJob, ...]:
    return tuple(
        FinishedJob(class_name="a", declared_duration_s=100.0, real_duration_s=100.0 * r, gpus=1, natural_power_w_per_gpu=1.0)
        for r in ratios
    )


@settings(max_examples=60, deadline=None)
@given(ratios=RATIOS, done=st.floats(0.0, 3000.0), low=st.floats(0.01, 0.98), high=st.floats(0.01, 0.98))
def test_remaining_work_rises_with_the_quantile_and_its_mean_lies_inside(
    ratios: list[float], done: float, low: float, high: float
) -> None:
    assume(low <= high)
    model = learn_durations(ended(ratios), ())
    first, second = (remaining_work_s(model, "a", 100.0, done, q) for q in (low, high))
    assert 0.0 <= first <= second
    mean = mean_remaining_work_s(model, "a", 100.0, done)
    assert mean >= 0.0
    assert mean <= remaining_work_s(model, "a", 100.0, done, 1.0) + 1e-6


@settings(max_examples=40, deadline=None)
@given(ratios=RATIOS, done=st.floats(0.0, 200.0), step=st.floats(0.0, 100.0))
def test_total_work_never_falls_by_having_run_longer(ratios: list[float], done: float, step: float) -> None:
    model = learn_durations(ended(ratios), ())
    before = done + remaining_work_s(model, "a", 100.0, done, 0.5)
    after = done + step + remaining_work_s(model, "a", 100.0, done + step, 0.5)
    # Only the change to the rule for jobs beyond everything seen may take a hair back.
    assert after >= before - 1e-6 * (1.0 + before)


@settings(max_examples=50, deadline=None)
@given(
    median=st.lists(st.floats(0.0, 1000.0), min_size=1, max_size=25),
    ratios=st.lists(st.floats(0.0, 3.0), max_size=80),
    capability=st.floats(0.0, 1000.0),
    demand=st.floats(0.0, 1000.0),
    floor=st.floats(0.0, 500.0),
)
def test_own_heat_never_exceeds_its_median_plug_or_demand(
    median: list[float], ratios: list[float], capability: float, demand: float, floor: float
) -> None:
    count = len(median)
    record = OwnHeatRecord(
        entries=tuple(PastMedian(hour=i, median_kw=100.0, delivered_kw=100.0 * r) for i, r in enumerate(ratios))
    )
    limits = OwnHeatLimits(
        capability_kw=np.full(count, capability), demand_kw=np.full(count, demand), floor_kw=np.full(count, floor)
    )
    low, p10, p50 = (own_heat_kw(np.asarray(median), record, limits, q) for q in (0.026, 0.1, 0.5))
    assert np.all(low <= p10 + 1e-9)
    assert np.all(p10 <= p50 + 1e-9)
    assert np.all((p10 >= 0.0) & (p10 <= min(capability, demand) + 1e-9) & (p10 <= np.asarray(median) + 1e-9))


@settings(max_examples=80, deadline=None)
@given(
    day=st.dates(date(2000, 1, 1), date(2037, 1, 1)),
    zone=st.sampled_from(["Europe/Copenhagen", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
def test_local_days_tile_time(day: date, zone: str) -> None:
    tz = ZoneInfo(zone)
    today, tomorrow = delivery_hours(day, tz, 24), delivery_hours(day + timedelta(days=1), tz, 24)
    assert len(today) in (23, 24, 25)
    gap_s = (tomorrow[0][0] - today[-1][1]).total_seconds()
    # Lord Howe shifts by half an hour: the part of an hour that is left belongs to no delivery hour.
    assert 0.0 <= gap_s < 3600.0


@settings(max_examples=60, deadline=None)
@given(
    first=st.integers(hour_number(datetime(2000, 1, 1, tzinfo=UTC)), hour_number(datetime(2037, 1, 1, tzinfo=UTC))),
    zone=st.sampled_from(["Europe/Copenhagen", "America/New_York", "Asia/Kolkata", "Pacific/Chatham"]),
)
def test_local_hours_agree_with_the_zone_hour_by_hour(first: int, zone: str) -> None:
    tz = ZoneInfo(zone)
    local = local_hours(first, 24 * 9, tz)
    for i in range(0, 24 * 9, 5):
        at = datetime.fromtimestamp((first + i) * 3600, tz=UTC).astimezone(tz)
        assert (local.hour[i], local.weekday[i]) == (at.hour, at.weekday())
        assert local.day[i] == (at.date() - date(1970, 1, 1)).days
