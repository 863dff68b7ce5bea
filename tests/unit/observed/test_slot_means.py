"""Samples to quarter hours, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from scheduler.adapters.record.codec import decode, encode
from scheduler.core.accounting.observed import Meter, Sample, SampleRule, metered
from scheduler.domain.time import Series, utc

START = utc("2026-01-14T10:00:00+00:00")
RULE = SampleRule(hold_s=300.0)
NAN = float("nan")


def at(seconds: float, value: float, key: str = "it_kw hall") -> Sample:
    return Sample(key=key, at_utc=START + timedelta(seconds=seconds), value=value)


def told(
    samples: Sequence[Sample], until_s: float, rule: SampleRule = RULE, before: dict[str, Meter] | None = None
) -> tuple[dict[str, Meter], dict[str, Series]]:
    return metered(before or {}, samples, START + timedelta(seconds=until_s), rule)


def every(step_s: int, until_s: int, value: float) -> list[Sample]:
    return [at(second, value) for second in range(0, until_s, step_s)]


def test_a_step_in_the_middle_weighs_by_time() -> None:
    # 10 kW for 600 s, 40 kW for 300 s: (10 * 600 + 40 * 300) / 900 = 18000 / 900 = 20.
    samples = [at(0, 10.0), at(300, 10.0), at(600, 40.0), at(900, 40.0)]
    _, series = told(samples, 900)
    assert series["it_kw hall"].values.tolist() == [20.0]
    assert series["it_kw hall"].grid.start_utc == START
    assert series["it_kw hall"].unit == "kW"


def test_nothing_is_told_before_a_slot_is_over_and_each_slot_once() -> None:
    meters, series = told(every(60, 900, 5.0), 899)
    assert series == {}
    meters, series = told([at(900, 5.0)], 901, before=meters)
    assert series["it_kw hall"].values.tolist() == [5.0]
    _, series = told([at(960, 5.0)], 961, before=meters)
    assert series == {}


def test_zero_is_a_measurement_and_too_little_is_not_known() -> None:
    meters, series = told(every(60, 900, 0.0), 900)
    assert series["it_kw hall"].values.tolist() == [0.0]
    # Seen at 900 s only: it holds 300 s, a third of the slot, less than three quarters.
    _, series = told([at(900, 7.0)], 1800, before=meters)
    assert series == {}


def test_a_slot_counts_from_its_stated_coverage_on() -> None:
    # Samples at 0 and 300 hold until 600: 600 / 900 = 0.667 of the slot.
    samples = [at(0, 6.0), at(300, 6.0)]
    assert told(samples, 900)[1] == {}
    enough = SampleRule(hold_s=300.0, min_covered_fraction=0.6)
    assert told(samples, 900, enough)[1]["it_kw hall"].values.tolist() == [6.0]


def test_a_gap_leaves_unknown_slots_between_known_ones() -> None:
    samples = every(60, 900, 3.0) + [at(2700 + second, 9.0) for second in range(0, 960, 60)]
    _, series = told(samples, 3600)
    values = series["it_kw hall"].values
    # 0-900 known, then 840 + 300 = 1140 s: 240 s of the second slot, the third not at all, the fourth known.
    assert values[0] == 3.0
    assert np.isnan(values[1:3]).all()
    assert values[3] == 9.0


def test_nan_and_what_cannot_be_end_a_value() -> None:
    rule = SampleRule(hold_s=300.0, min_covered_fraction=0.3, high=100.0)
    for wrong in (NAN, float("inf"), 101.0, -1.0):
        # 5 kW for 300 s, then not known: the mean is of the known third alone.
        _, series = told([at(0, 5.0), at(300, wrong), at(600, wrong)], 900, rule)
        assert series["it_kw hall"].values.tolist() == [5.0]
    assert told([at(0, NAN), at(600, NAN)], 900, rule)[1] == {}


def test_a_repeated_sample_and_a_small_step_back_change_nothing() -> None:
    plain, _ = told([at(0, 4.0), at(60, 8.0)], 100)
    doubled, _ = told([at(0, 4.0), at(0, 99.0), at(60, 8.0), at(60, 99.0), at(30, 99.0)], 100)
    assert doubled == plain
    # (4 * 60 + 8 * 40) = 560 kW s in 100 s.
    assert plain["it_kw hall"].total == 560.0
    assert plain["it_kw hall"].covered_s == 100.0


def test_a_clock_that_falls_back_far_starts_anew() -> None:
    meters, _ = told(every(60, 7200, 4.0), 7200)
    meters, series = told([at(600 + 60 * i, 6.0) for i in range(30)], 2400, before=meters)
    # From 600 s on: 300 s of the first slot are too few, the second is covered.
    assert series["it_kw hall"].values.tolist() == [6.0]
    assert series["it_kw hall"].grid.start_utc == START + timedelta(seconds=900)


def test_a_sample_from_the_future_is_left_out() -> None:
    meters, series = told([at(0, 4.0), at(90_000, 4.0)], 60)
    assert meters["it_kw hall"].seen_s == START.timestamp()
    assert series == {}


def test_a_clock_that_runs_ahead_for_years_costs_neither_time_nor_memory() -> None:
    meters, series = told(every(60, 900, 4.0), 10 * 365 * 86_400)
    assert series["it_kw hall"].values.tolist() == [4.0]
    assert meters == {}


def test_state_taken_up_in_the_middle_of_a_slot_goes_on_where_it_was() -> None:
    samples = [at(second, 1.0 + second / 100) for second in range(0, 1860, 60)]
    _, whole = told(samples, 1860)
    meters, _ = told(samples[:8], 430)
    text = encode(dict[str, Meter], meters)
    again: dict[str, Meter] = decode(dict[str, Meter], text)
    _, rest = told(samples[8:], 1860, before=again)
    assert rest["it_kw hall"].values == pytest.approx(whole["it_kw hall"].values, rel=1e-14)
    assert len(rest["it_kw hall"].values) == 2


def test_a_restart_loses_only_the_seconds_nobody_saw() -> None:
    # Down from 300 to 540: the sample of 300 would hold until 600, so nothing is missing.
    meters, _ = told([at(0, 2.0), at(300, 2.0)], 310)
    meters, _ = told([at(540, 4.0), at(840, 4.0)], 900, before=meters)
    # 2 kW until 540, 4 kW for 360 s: (1080 + 1440) / 900 = 2.8.
    first = told([at(0, 2.0), at(300, 2.0), at(540, 4.0), at(840, 4.0)], 900)[1]["it_kw hall"].values[0]
    assert first == pytest.approx(2.8)
    assert meters["it_kw hall"].slot == int(START.timestamp()) // 900 + 1


def test_time_that_passes_without_samples_does_not_renew_a_value() -> None:
    meters, series = told([at(0, 2.0)], 10)
    for second in range(20, 1800, 10):
        meters, series = told([], second, before=meters)
        assert series == {}
        assert meters["it_kw hall"].covered_s <= 300.0


def test_keys_are_kept_apart() -> None:
    samples = [one for second in range(0, 960, 60) for one in (at(second, 1.0, "it_kw a"), at(second, 2.0, "it_kw b"))]
    _, series = told(samples, 960)
    assert {key: one.values.tolist() for key, one in series.items()} == {"it_kw a": [1.0], "it_kw b": [2.0]}
