"""However the past is put together: the first word stands, nothing is invented, and resampling keeps energy."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.accounting.past import extended, on_quarters, since, until
from scheduler.core.accounting.told import believed, useless
from scheduler.domain.observed import Past, SourceReading
from scheduler.domain.time import Series, TimeGrid, utc

START = utc("2026-01-14T10:00:00+00:00")
NAN = float("nan")
VALUES = st.one_of(st.just(NAN), st.floats(-1e6, 1e6))
PIECES = st.lists(st.tuples(st.integers(0, 40), st.lists(VALUES, min_size=1, max_size=12)), max_size=8)


def series(values: list[float], slot: int, slot_s: int = 900) -> Series:
    grid = TimeGrid(start_utc=START + timedelta(seconds=slot * slot_s), slot_s=slot_s, slots=len(values))
    return Series(grid=grid, values=np.asarray(values, dtype=np.float64), unit="kW", source="test")


@settings(max_examples=200, deadline=None)
@given(PIECES, st.integers(0, 30))
def test_the_first_word_on_every_slot_stands(pieces: list[tuple[int, list[float]]], first: int) -> None:
    since_utc, past, expected = START + timedelta(minutes=15 * first), Past(), dict[int, float]()
    for slot, values in pieces:
        past = extended(past, Past(series={"k": series(values, slot)}), since_utc=since_utc)
        for i, value in enumerate(values):
            if np.isfinite(value) and slot + i >= first:
                expected.setdefault(slot + i, value)
    found = past.series.get("k")
    told = {} if found is None else {found.grid.slot_of(START) * -1 + i: v for i, v in enumerate(found.values.tolist())}
    assert {slot: value for slot, value in told.items() if np.isfinite(value)} == expected


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0.0, 100.0), min_size=1, max_size=200),
    st.sampled_from([60, 100, 300, 900, 1800, 3600, 7200]),
    st.integers(0, 50),
)
def test_quarters_hold_the_energy_of_what_they_are_made_of(values: list[float], slot_s: int, slot: int) -> None:
    fine = series(values, slot, slot_s)
    quarters = on_quarters(fine)
    assert quarters.grid.start_utc.timestamp() % 900 == 0
    if not quarters.grid.slots:
        assert fine.grid.slots * slot_s < 1800
        return
    assert quarters.grid.start_utc >= fine.grid.start_utc
    assert quarters.grid.end_utc <= fine.grid.end_utc
    # Less than a quarter is left out at either end.
    assert (quarters.grid.start_utc - fine.grid.start_utc).total_seconds() < 900
    assert (fine.grid.end_utc - quarters.grid.end_utc).total_seconds() < 900
    # One value per second says what every slot says: the sum over a quarter is its mean times 900.
    seconds = np.repeat(fine.values, slot_s)
    skipped = int((quarters.grid.start_utc - fine.grid.start_utc).total_seconds())
    whole = seconds[skipped : skipped + 900 * quarters.grid.slots].reshape(-1, 900)
    if slot_s <= 900 or slot_s % 900 == 0:
        np.testing.assert_allclose(quarters.values, whole.mean(axis=1), rtol=1e-9, atol=1e-9)


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=40), st.integers(-5, 50), st.integers(-5, 50))
def test_cutting_invents_nothing(values: list[float], first: int, stop: int) -> None:
    whole = series(values, 0)
    cut = until(since(whole, START + timedelta(minutes=15 * first)), START + timedelta(minutes=15 * stop))
    low, high = max(0, min(first, len(values))), min(len(values), stop)
    assert np.array_equal(cut.values, whole.values[low : max(low, high)], equal_nan=True)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["price", "carbon", "outdoor", "heat_demand", "heat_demand town", "plant_forecast town", "nonsense"]),
    st.lists(
        st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(-5.0, 50.0), st.just(7.0)), min_size=1, max_size=90
    ),
    st.integers(-80, 5),
    st.floats(-3.0, 50.0),
)
def test_what_is_believed_was_said_and_can_be(quantity: str, values: list[float], first: int, age_h: float) -> None:
    told = SourceReading(
        quantity=quantity,
        series=series(values, first, 3600),
        issued_utc=None,
        fetched_utc=START - timedelta(hours=age_h),
        source="any",
    )
    found, reasons = believed(told, START)
    kept = np.isfinite(found.series.values)
    assert not np.any(np.isinf(found.series.values))
    assert np.array_equal(found.series.values[kept], told.series.values[kept])
    assert bool(reasons) == bool(np.any(~np.isnan(told.series.values) & ~kept)) or quantity == "nonsense"
    assert np.array_equal(believed(found, START)[0].series.values, found.series.values, equal_nan=True)
    if not useless(found, START):
        assert kept.any()
        assert -61.0 <= age_h * 3600.0 <= 86_400.0
