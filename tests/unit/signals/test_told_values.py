"""Units, currencies, and intervals as providers tell them: twice, overlapping, finer from midnight on, of another century."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from feed_world import NOW, later, told

from scheduler.core.signals import ExchangeRates, Refusal, Reject, converted, series_of
from scheduler.core.signals.conversion import factor_of
from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR, PRICE, unit_of
from scheduler.domain.signals import Grade, Told

RATES = ExchangeRates(per_eur={"GBP": 0.8, "DKK": 7.5, "BAD": 0.0})


@pytest.mark.parametrize(
    ("quantity", "unit", "value", "ours"),
    [
        (PRICE, "EUR/MWh", 50.0, 0.05),
        (PRICE, "EUR/kWh", 0.31, 0.31),
        (PRICE, "ct/kWh", 31.0, 0.31),
        (PRICE, "GBp/kWh", 20.0, 0.25),
        (PRICE, "GBP/MWh", 80.0, 0.1),
        (PRICE, "DKK/MWh", 750.0, 0.1),
        (PRICE, "EUR/MWh", -13.0, -0.013),
        (CARBON, "g/kWh", 120.0, 120.0),
        (CARBON, "kg/MWh", 120.0, 120.0),
        (CARBON, "kg/kWh", 0.12, 120.0),
        # 1000 lb are 453.59237 kg.
        (CARBON, "lb/MWh", 1000.0, 453.59237),
        (OUTDOOR, "degC", -3.5, -3.5),
        (OUTDOOR, "degF", 14.0, -10.0),
        (OUTDOOR, "K", 273.15, 0.0),
        (HEAT_DEMAND, "W", 2500.0, 2.5),
        (HEAT_DEMAND, "kW", 2.5, 2.5),
        (HEAT_DEMAND, "MW", 2.5, 2500.0),
    ],
)
def test_units_of_the_table_become_ours(quantity: str, unit: str, value: float, ours: float) -> None:
    found = converted(told([value], quantity=quantity, unit=unit), unit_of(quantity), RATES, now_utc=NOW)
    assert isinstance(found, Told)
    assert found.unit == unit_of(quantity)
    assert found.values.tolist() == pytest.approx([ours], abs=1e-12)


@pytest.mark.parametrize(
    ("quantity", "unit", "kind"),
    [
        (PRICE, "EUR", Reject.UNIT),
        (PRICE, "eur/MWh", Reject.UNIT),
        (PRICE, "€/MWh", Reject.UNIT),
        (PRICE, "EUR/GWh", Reject.UNIT),
        (PRICE, "øre/kWh", Reject.UNIT),
        (PRICE, "g/kWh", Reject.UNIT),
        (PRICE, "kW", Reject.UNIT),
        (PRICE, "", Reject.UNIT),
        (CARBON, "EUR/MWh", Reject.UNIT),
        (CARBON, "t/MWh", Reject.UNIT),
        (OUTDOOR, "C", Reject.UNIT),
        (HEAT_DEMAND, "kWh", Reject.UNIT),
        (PRICE, "SEK/MWh", Reject.CURRENCY),
        (PRICE, "BAD/MWh", Reject.CURRENCY),
    ],
)
def test_no_unit_is_guessed(quantity: str, unit: str, kind: Reject) -> None:
    found = converted(told([1.0, 2.0], quantity=quantity, unit=unit), unit_of(quantity), RATES, now_utc=NOW)
    assert isinstance(found, Refusal)
    assert (found.kind, found.count) == (kind, 2)
    assert found.why.startswith(f"{quantity}: ")


@pytest.mark.parametrize(("age_days", "good"), [(-2, False), (-0.5, True), (0, True), (10, True), (10.1, False)])
def test_rates_are_good_for_ten_days(age_days: float, good: bool) -> None:
    rates = replace(RATES, dated_utc=NOW - timedelta(days=age_days))
    assert isinstance(converted(told([1.0], unit="DKK/MWh"), "EUR/kWh", rates, now_utc=NOW), Told) == good
    # Euros need no rate.
    assert isinstance(converted(told([1.0]), "EUR/kWh", rates, now_utc=NOW), Told)


def test_nothing_is_a_unit_of_two_things() -> None:
    assert {factor.ours for factor in map(factor_of, ("EUR/MWh", "ct/kWh", "GBp/MWh")) if factor} == {"EUR/kWh"}
    assert factor_of("MWh/EUR") is None


def euros(values: list[float], **changes: object) -> Told:
    return told(values, unit="EUR/kWh", **changes)  # type: ignore[arg-type] # the keywords of told()


def test_the_last_word_on_an_interval_counts_and_a_difference_is_said() -> None:
    found = series_of([euros([0.1, 0.2, 0.3]), euros([0.2], first_h=1), euros([0.4], first_h=2)], NOW, source="a")
    assert found.series is not None
    assert found.series.values.tolist() == [0.1, 0.2, 0.4]
    assert [(one.kind, one.count) for one in found.refused] == [(Reject.CONFLICT, 1)]
    later_first = series_of([euros([0.9], issued_utc=later(-1)), euros([0.1], issued_utc=later(-2))], NOW, source="a")
    assert later_first.series is not None
    assert later_first.series.values.tolist() == [0.9]
    assert later_first.refused == ()


def test_finer_intervals_win_and_a_day_may_change_its_resolution_at_midnight() -> None:
    # From 14:00 on quarters; the hour from 14:00 is told too.
    hourly, quarters = euros([0.1, 0.2, 0.3, 0.4, 0.5]), euros([0.41, 0.42, 0.43, 0.44, 0.51], first_h=4, slot_s=900)
    for order in ([hourly, quarters], [quarters, hourly]):
        found = series_of(order, NOW, source="a")
        assert found.series is not None
        assert found.series.grid.slot_s == 900
        assert found.series.values[:16].tolist() == [0.1] * 4 + [0.2] * 4 + [0.3] * 4 + [0.4] * 4
        assert found.series.values[16:].tolist() == [0.41, 0.42, 0.43, 0.44, 0.51]


def test_what_was_measured_is_not_overruled_by_a_finer_forecast() -> None:
    measured, forecast = euros([0.1], grade=Grade.MEASURED), euros([0.9] * 8, slot_s=900, grade=Grade.FORECAST)
    found = series_of([measured, forecast], NOW, source="a")
    assert found.series is not None
    assert found.series.values.tolist() == [0.1] * 4 + [0.9] * 4
    assert [found.origins.parts[place].grade for place in found.origins.slots] == [Grade.MEASURED] * 4 + [Grade.FORECAST] * 4


def test_gaps_stay_and_are_named() -> None:
    pieces = [euros([0.1], first_h=hour) for hour in (0, 2, 4, 6, 8, 10)]
    found = series_of(pieces, NOW, source="a")
    assert found.series is not None
    assert np.isnan(found.series.values[[1, 3, 5, 7, 9]]).all()
    assert found.gaps[0] == "price: gap 2026-01-14T11:00Z to 2026-01-14T12:00Z"
    assert found.gaps[-1] == "price: 2 more gaps"


def test_a_slot_that_is_not_covered_whole_is_not_known() -> None:
    # Ten minutes from 10:00 and ten from 10:10: the second quarter has only five of its fifteen.
    found = series_of([euros([0.3, 0.6], slot_s=600)], NOW, source="a")
    assert found.series is not None
    assert (found.series.grid.slot_s, found.series.values.tolist()) == (900, pytest.approx([(0.3 * 10 + 0.6 * 5) / 15]))


def test_temperatures_lie_on_straight_lines_between_instants_that_are_near() -> None:
    near = told([0.0, 4.0], quantity=OUTDOOR, unit="degC", mean_over=False)
    found = series_of([near], NOW, source="a")
    assert found.series is not None
    # An hour of four quarters, then the last instant holds until its end.
    assert found.series.values.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.0]
    far = told([0.0, 4.0], quantity=OUTDOOR, unit="degC", mean_over=False, slot_s=4 * 3600)
    found = series_of([far], NOW, source="a")
    assert found.series is not None
    # Four hours apart: each holds for three hours, and nobody knows the fourth.
    assert found.series.values.tolist()[:12] == [0.0] * 12
    assert np.isnan(found.series.values[12:16]).all()
    assert found.series.values.tolist()[16:] == [4.0] * 12


def test_an_interval_without_an_end_is_cut_at_ten_days() -> None:
    starts_s = np.array([int(later(-48).timestamp())])
    tariff = Told(
        quantity=PRICE,
        starts_s=starts_s,
        ends_s=starts_s + 10**10,
        values=np.array([0.2]),
        unit="EUR/kWh",
        grade=Grade.PUBLISHED,
    )
    found = series_of([tariff], NOW, source="a")
    assert found.series is not None
    assert (found.series.grid.start_utc, found.series.grid.end_utc) == (later(-48), later(240))
    assert set(found.series.values.tolist()) == {0.2}


def test_other_centuries_are_left_out_and_said() -> None:
    found = series_of([euros([0.1]), euros([0.2], first_h=24 * 11), euros([0.3], first_h=-24 * 1200)], NOW, source="a")
    assert found.series is not None
    assert found.series.values.tolist() == [0.1]
    assert [(one.kind, one.count) for one in found.refused] == [(Reject.FAR, 2)]
    assert series_of([], NOW, source="a").series is None
