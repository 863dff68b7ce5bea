"""Whatever clock, gaps, repeats and restarts: no second counts twice, and a mean lies between what was seen."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.adapters.record.codec import decode, encode
from scheduler.core.accounting.arrived import Arrival, Arrivals, arrived
from scheduler.core.accounting.counted import Counter, counted
from scheduler.core.accounting.metering import MeterRule, Reading, slot_energies
from scheduler.core.accounting.observed import Meter, Sample, SampleRule, metered
from scheduler.domain.ledger import Quality
from scheduler.domain.time import TimeGrid, utc

START = utc("2026-01-14T10:00:00+00:00")
RULE = SampleRule(hold_s=200.0, min_covered_fraction=0.5)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([1.0, 10.0, 60.0, 150.0, 199.0, 400.0, 2000.0, 0.0, -5.0, -700.0, -4000.0]),
        st.one_of(st.floats(0.0, 1000.0), st.just(float("nan"))),
        st.booleans(),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_any_clock_any_gap_any_restart(steps: list[tuple[float, float, bool]]) -> None:
    meters: dict[str, Meter] = {}
    at, seen = START, list[float]()
    for step_s, value, restart in steps:
        at += timedelta(seconds=step_s)
        seen.append(value)
        meters, told = metered(meters, [Sample(key="k", at_utc=at, value=value)], at, RULE)
        if restart:
            meters = decode(dict[str, Meter], encode(dict[str, Meter], meters))
        for one in meters.values():
            assert 0.0 <= one.covered_s <= RULE.slot_s * (1.0 + 1e-12)
        for series in told.values():
            known = series.values[np.isfinite(series.values)]
            finite = [one for one in seen if np.isfinite(one)]
            assert len(known)
            assert min(finite) - 1e-6 <= known.min()
            assert known.max() <= max(finite) + 1e-6


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 900), st.floats(0.0, 100.0)), min_size=2, max_size=50), st.integers(0, 49))
def test_means_do_not_depend_on_how_samples_are_handed_over(steps: list[tuple[int, float]], cut: int) -> None:
    at, samples = START, list[Sample]()
    for step_s, value in steps:
        at += timedelta(seconds=step_s)
        samples.append(Sample(key="k", at_utc=at, value=value))
    _, whole = metered({}, samples, at, RULE)
    found: dict[float, float] = {}
    meters: dict[str, Meter] = {}
    for part in (samples[:cut], samples[cut:]):
        if part:
            meters, told = metered(meters, part, part[-1].at_utc, RULE)
            for series in told.values():
                starts = (series.grid.time_of(slot).timestamp() for slot in range(series.grid.slots))
                found |= dict(zip(starts, series.values.tolist(), strict=True))
    expected = {}
    for series in whole.values():
        expected = {series.grid.time_of(slot).timestamp(): value for slot, value in enumerate(series.values.tolist())}
    known = {start: value for start, value in found.items() if np.isfinite(value)}
    assert known.keys() == {start for start, value in expected.items() if np.isfinite(value)}
    for start, value in known.items():
        assert abs(value - expected[start]) <= 1e-9 * max(1.0, value)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 7200), st.integers(1, 8)), max_size=25),
    st.lists(st.integers(0, 100), max_size=8),
    st.integers(20, 170),
)
def test_every_job_is_counted_once_over_restarts(jobs: list[tuple[int, int]], restarts: list[int], step_s: int) -> None:
    all_jobs = [
        Arrival(job_uid=f"u{i}", class_name="batch", submit_utc=START + timedelta(seconds=at_s), gpu_h=float(gpu_h))
        for i, (at_s, gpu_h) in enumerate(jobs)
    ]
    state, total = Arrivals(), dict[float, float]()
    for count, second in enumerate(range(-1800, 7200 + 1800, step_s)):
        now = START + timedelta(seconds=second)
        there = [one for one in all_jobs if one.submit_utc <= now]
        state, told = arrived(state, there, now, ("batch",), RULE)
        if count in restarts:
            state = decode(Arrivals, encode(Arrivals, state))
        for series in told.values():
            for slot, value in enumerate(series.values.tolist()):
                start = series.grid.time_of(slot).timestamp()
                assert start not in total
                total[start] = value
    for start, value in total.items():
        expected = sum(one.gpu_h for one in all_jobs if start <= one.submit_utc.timestamp() < start + 900)
        assert value == expected
    assert sum(total.values()) == sum(one.gpu_h for one in all_jobs)


READINGS = st.lists(st.tuples(st.integers(30, 600), st.floats(0.0, 5.0), st.sampled_from("ggggggggrw")), max_size=60)


@settings(max_examples=150, deadline=None)
@given(READINGS, st.integers(1, 5))
def test_a_counter_read_bit_by_bit_says_what_it_says_at_once(steps: list[tuple[int, float, str]], batch: int) -> None:
    rule = MeterRule(max_kw=100.0)
    at, value, readings = START, 50.0, list[Reading]()
    for step_s, energy, kind in steps:
        at += timedelta(seconds=step_s)
        value = energy if kind == "r" else value + energy
        readings.append(Reading(at_utc=at, counter_kwh=value + (5000.0 if kind == "w" else 0.0)))
    counter, found = Counter(), dict[float, float]()
    for low in range(0, len(readings), batch):
        some = readings[low : low + batch]
        counter, series = counted(counter, some, some[-1].at_utc, rule)
        counter = decode(Counter, encode(Counter, counter))
        for slot, kw in enumerate([] if series is None else series.values.tolist()):
            assert series is not None
            start = series.grid.time_of(slot).timestamp()
            assert start not in found
            found[start] = kw
    grid = TimeGrid(start_utc=START, slot_s=900, slots=50)
    expected = slot_energies(readings, grid, rule)
    for slot, one in enumerate(expected):
        kw = found.get(grid.time_of(slot).timestamp(), float("nan"))
        if counter.told_utc is not None and grid.time_of(slot + 1) <= counter.told_utc:
            assert np.isfinite(kw) == (one.quality is Quality.METERED)
        if np.isfinite(kw):
            # Mean kW of a quarter = kWh * 4.
            assert one.quality is Quality.METERED
            assert one.energy_kwh is not None
            assert abs(kw - 4.0 * one.energy_kwh) < 1e-6
