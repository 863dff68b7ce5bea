"""However intervals lie: resampling keeps energy and money, invents nothing, and does not care for their order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.signals import Known, series_of, stitched
from scheduler.core.signals.intervals import gathered, merged
from scheduler.core.signals.painting import painted
from scheduler.domain.observed import PRICE, Origin, SourceReading
from scheduler.domain.signals import Grade, Told
from scheduler.domain.time import Series, TimeGrid, utc

NOW = utc("2026-01-14T10:00:00+00:00")
NOW_S = int(NOW.timestamp())
VALUES = st.floats(-2.0, 10.0, allow_subnormal=False)
LENGTHS_S = st.sampled_from([300, 600, 900, 1200, 1800, 3600, 7200])
# Minutes from now, length, value.
PIECES = st.lists(st.tuples(st.integers(-600, 600), LENGTHS_S, VALUES), min_size=1, max_size=12)
FEW = settings(max_examples=60, deadline=None)


def told(pieces: list[tuple[int, int, float]], *, grade: Grade = Grade.PUBLISHED, mean_over: bool = True) -> Told:
    starts_s = np.array([NOW_S + minute * 60 for minute, _, _ in pieces], dtype=np.int64)
    lengths_s = np.array([length_s for _, length_s, _ in pieces], dtype=np.int64)
    values = np.array([value for _, _, value in pieces])
    return Told(
        quantity=PRICE,
        starts_s=starts_s,
        ends_s=starts_s + lengths_s,
        values=values,
        unit="EUR/kWh",
        grade=grade,
        mean_over=mean_over,
    )


def known(*given_: Told) -> Known:
    return series_of(given_, NOW, source="a")


def same(a: Series | None, b: Series | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.grid == b.grid and np.array_equal(a.values, b.values, equal_nan=True)


def by_minute(pieces: list[tuple[int, int, float]], series: Series) -> np.ndarray:
    """What counts in every minute of a series, the naive way: coarse ones first, finer ones over them."""
    start_s = int(series.grid.start_utc.timestamp())
    line = np.full(series.grid.slots * series.grid.slot_s // 60, np.nan)
    for minute, length_s, value in sorted(pieces, key=lambda one: (-one[1], one[0])):
        low = (NOW_S + minute * 60 - start_s) // 60
        line[max(0, low) : max(0, low + length_s // 60)] = value
    return line


@FEW
@given(PIECES)
def test_slots_hold_the_energy_of_what_counts_in_them(pieces: list[tuple[int, int, float]]) -> None:
    # One value an interval: of two, the later in order would count, which the next test but one is about.
    once = list({(minute, length_s): (minute, length_s, value) for minute, length_s, value in pieces}.values())
    series = known(told(once)).series
    if series is None:
        return
    slots = by_minute(once, series).reshape(series.grid.slots, -1)
    whole = np.isfinite(slots).all(axis=1)
    assert np.array_equal(np.isfinite(series.values), whole)
    np.testing.assert_allclose(series.values[whole], slots[whole].mean(axis=1), rtol=1e-9, atol=1e-12)
    # sum(value * duration) over the covered time, before and after.
    before = np.nansum(slots[whole]) * 60.0
    assert np.nansum(series.values) * series.grid.slot_s == pytest.approx(before, rel=1e-9, abs=1e-6)


@FEW
@given(PIECES, st.booleans())
def test_no_value_is_outside_of_what_was_told(pieces: list[tuple[int, int, float]], mean_over: bool) -> None:
    series = known(told(pieces, mean_over=mean_over)).series
    if series is not None:
        values = series.values[np.isfinite(series.values)]
        assert values.min() >= min(value for _, _, value in pieces)
        assert values.max() <= max(value for _, _, value in pieces)


@FEW
@given(PIECES, st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_intervals_does_not_matter(pieces: list[tuple[int, int, float]], mean_over: bool, order: object) -> None:
    once = list({(minute, length_s): (minute, length_s, value) for minute, length_s, value in pieces}.values())
    mixed = list(once)
    order.shuffle(mixed)  # type: ignore[attr-defined] # hypothesis' own Random
    assert same(known(told(once, mean_over=mean_over)).series, known(told(mixed, mean_over=mean_over)).series)


@FEW
@given(PIECES)
def test_what_is_on_slots_stays_as_it_is(pieces: list[tuple[int, int, float]]) -> None:
    first = known(told(pieces)).series
    if first is None:
        return
    slot_s = first.grid.slot_s
    starts_s = int(first.grid.start_utc.timestamp()) + np.arange(first.grid.slots, dtype=np.int64) * slot_s
    again = Told(
        quantity=PRICE, starts_s=starts_s, ends_s=starts_s + slot_s, values=first.values, unit="EUR/kWh", grade=Grade.PUBLISHED
    )
    second = known(again).series
    assert second is not None
    assert second.grid.start_utc == first.grid.start_utc
    assert second.grid.slot_s == slot_s
    assert np.array_equal(second.values, first.values, equal_nan=True)


@FEW
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), max_size=25))
def test_painting_finds_the_heaviest_range_over_every_place(ranges: list[tuple[int, int]]) -> None:
    first = np.array([low for low, _ in ranges], dtype=np.int64)
    stop = np.array([min(40, low + length) for low, length in ranges], dtype=np.int64)
    weight = np.random.default_rng(len(ranges)).permutation(len(ranges)).astype(np.int64)
    naive = [max((int(w) for a, b, w in zip(first, stop, weight, strict=True) if a <= i < b), default=-1) for i in range(40)]
    assert painted(first, stop, weight, 40).tolist() == naive


@FEW
@given(PIECES, PIECES, st.integers(-2, 2))
def test_a_later_word_counts_and_nothing_else_is_made_up(
    old: list[tuple[int, int, float]], new: list[tuple[int, int, float]], later_h: int
) -> None:
    before = gathered([replace(told(old), issued_utc=NOW - timedelta(hours=3))], NOW)[0]
    after = gathered([replace(told(new), issued_utc=NOW - timedelta(hours=3 - later_h))], NOW)[0]
    both = merged(before, after)
    keys = list(zip(both.starts_s.tolist(), both.ends_s.tolist(), strict=True))
    assert keys == sorted(set(keys))
    said = {(s, e): v for s, e, v in zip(both.starts_s, both.ends_s, both.values, strict=True)}
    for part, counts in ((before, later_h < 0), (after, later_h >= 0)):
        for s, e, v in zip(part.starts_s, part.ends_s, part.values, strict=True):
            if counts:
                assert said[s, e] == v
    assert set(both.values.tolist()) <= set(before.values.tolist()) | set(after.values.tolist())


SLOTS = st.lists(st.one_of(st.just(float("nan")), VALUES), min_size=1, max_size=16)


def reading(source: str, first: int, slot_s: int, values: list[float]) -> SourceReading:
    start_utc = datetime.fromtimestamp(NOW_S // slot_s * slot_s + first * slot_s, tz=UTC)
    grid = TimeGrid(start_utc=start_utc, slot_s=slot_s, slots=len(values))
    series = Series(grid=grid, values=np.array(values), unit="EUR/kWh", source=source)
    return SourceReading(quantity=PRICE, series=series, issued_utc=None, fetched_utc=NOW, source=source)


def at(series: Series, when_utc: datetime) -> float:
    slot = series.grid.slot_of(when_utc)
    return float(series.values[slot]) if 0 <= slot < series.grid.slots else float("nan")


@FEW
@given(st.lists(st.tuples(st.integers(-20, 20), st.sampled_from([900, 3600]), SLOTS), min_size=1, max_size=4))
def test_each_slot_is_of_the_first_reading_that_knows_it(rows: list[tuple[int, int, list[float]]]) -> None:
    readings = [reading(f"s{i}", *row) for i, row in enumerate(rows)]
    whole = stitched(readings)
    origins = whole.origins
    assert len(origins.slots) == whole.series.grid.slots
    for slot in range(whole.series.grid.slots):
        when_utc = whole.series.grid.time_of(slot)
        first = next((one for one in readings if np.isfinite(at(one.series, when_utc))), None)
        if first is None:
            assert np.isnan(whole.series.values[slot])
            assert origins.slots[slot] == -1
        else:
            assert whole.series.values[slot] == at(first.series, when_utc)
            assert origins.parts[origins.slots[slot]] == Origin(source=first.source)


@pytest.mark.parametrize("zone", ["Europe/Copenhagen", "Europe/London", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("spring", [True, False])
def test_days_of_changed_clocks_have_all_their_quarters_and_no_other(zone: str, spring: bool) -> None:
    tz = ZoneInfo(zone)

    def midnight(day: date) -> datetime:
        return datetime.combine(day, time(), tz).astimezone(UTC)

    def quarters_of(day: date) -> int:
        return int((midnight(day + timedelta(days=1)) - midnight(day)).total_seconds()) // 900

    days = [date(2025, 1, 1) + timedelta(days=i) for i in range(365)]
    day = next(one for one in days if (quarters_of(one) < 96 if spring else quarters_of(one) > 96))
    # Lord Howe turns its clocks by half an hour.
    assert (
        quarters_of(day)
        == {(True, False): 92, (False, False): 100, (True, True): 94, (False, True): 98}[spring, "Howe" in zone]
    )
    starts_s = int(midnight(day).timestamp()) + np.arange(quarters_of(day), dtype=np.int64) * 900
    values = np.linspace(0.0, 1.0, len(starts_s))
    one = Told(quantity=PRICE, starts_s=starts_s, ends_s=starts_s + 900, values=values, unit="EUR/kWh", grade=Grade.PUBLISHED)
    series = series_of([one], midnight(day), source="a").series
    assert series is not None
    assert (series.grid.start_utc, series.grid.end_utc) == (midnight(day), midnight(day + timedelta(days=1)))
    assert np.array_equal(series.values, values)
