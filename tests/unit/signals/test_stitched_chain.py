"""Chains slot by slot: what is published from one source, what lies beyond from another, and never what cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pytest
from feed_world import NOW, later

from scheduler.adapters.sources.chain import Chain, Choice
from scheduler.adapters.sources.fixed import FixedSource, constant
from scheduler.core.signals.stitch import stitched
from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR, PRICE, Origin, Origins, SourceReading, unit_of
from scheduler.domain.signals import Basis, Grade
from scheduler.domain.time import Series, TimeGrid

NAN = float("nan")


@dataclass(slots=True)
class Says:
    """A source that says what it is told to say."""

    name: str
    said: tuple[SourceReading, ...]

    async def poll(self, now_utc: datetime) -> None:
        """Nothing to ask."""

    def readings(self, now_utc: datetime) -> tuple[SourceReading, ...]:
        return self.said

    def trouble(self) -> str:
        return ""


def says(
    name: str,
    values: Sequence[float],
    *,
    first_h: float = 0.0,
    quantity: str = PRICE,
    slot_s: int = 3600,
    age_h: float = 0.0,
    grade: Grade = Grade.PUBLISHED,
    basis: Basis | None = None,
) -> Says:
    grid = TimeGrid(start_utc=later(first_h), slot_s=slot_s, slots=len(values))
    series = Series(grid=grid, values=np.asarray(values, dtype=np.float64), unit=unit_of(quantity), source=name)
    origins = Origins(parts=(Origin(source=name, grade=grade),), slots=np.zeros(len(values), dtype=np.int64))
    reading = SourceReading(
        quantity=quantity, series=series, issued_utc=None, fetched_utc=later(-age_h), source=name, origins=origins, basis=basis
    )
    return Says(name, (reading,))


def choice_of(*sources: Says | FixedSource, basis: Basis | None = None, quantity: str = PRICE) -> Choice:
    return Chain("chain", sources, basis=basis).choices(NOW)[quantity]


def known(choice: Choice) -> dict[float, tuple[float, str]]:
    """Value and source of every known slot, by hours from now."""
    assert choice.reading is not None
    series, origins = choice.reading.series, choice.reading.origins
    hours = [(series.grid.time_of(slot) - NOW).total_seconds() / 3600.0 for slot in range(series.grid.slots)]
    return {
        hour: (float(value), origins.parts[place].source)
        for hour, value, place in zip(hours, series.values, origins.slots.tolist(), strict=True)
        if np.isfinite(value)
    }


def test_a_forecast_goes_on_where_what_is_published_ends() -> None:
    published, forecast = says("spot", [0.1, 0.2]), says("model", [0.9, 0.8, 0.7], first_h=1, grade=Grade.FORECAST)
    choice = choice_of(published, forecast)
    assert known(choice) == {0: (0.1, "spot"), 1: (0.2, "spot"), 2: (0.8, "model"), 3: (0.7, "model")}
    assert choice.reading is not None
    assert choice.reading.origins.parts == (
        Origin(source="spot", grade=Grade.PUBLISHED),
        Origin(source="model", grade=Grade.FORECAST),
    )
    assert (choice.depth, choice.reading.source, choice.refused) == (0, "spot", ())


def test_a_source_that_tells_of_tomorrow_alone_fills_but_does_not_tell_the_present() -> None:
    choice = choice_of(says("model", [0.9, 0.8], first_h=1), says("spot", [0.1, 0.2]))
    assert known(choice) == {0: (0.1, "spot"), 1: (0.9, "model"), 2: (0.8, "model")}
    assert choice.depth == 1
    assert choice.refused == ("model: price: says nothing about now",)


def test_what_is_old_cannot_be_or_stands_still_fills_nothing() -> None:
    good = says("good", [3.0, 4.0], first_h=-1, quantity=OUTDOOR)
    stale = says("stale", [1.0] * 9, first_h=-4, quantity=OUTDOOR, age_h=7)
    wild = says("wild", [99.0] * 9, first_h=-4, quantity=OUTDOOR)
    frozen = says("frozen", [1.5] * 40, first_h=-35, quantity=OUTDOOR)
    for order in ((good, stale, wild, frozen), (stale, wild, frozen, good)):
        found = known(choice_of(*order, quantity=OUTDOOR))
        # Of a thermometer that has stood still only the first of its equal values is believed.
        assert found == {-35: (1.5, "frozen"), -1: (3.0, "good"), 0: (4.0, "good")}


def test_a_rule_stands_in_but_never_fills() -> None:
    rule = FixedSource("rule", PRICE, constant(0.25))
    told = choice_of(says("spot", [0.1, 0.2]), rule)
    assert known(told) == {0: (0.1, "spot"), 1: (0.2, "spot")}
    silent = choice_of(says("spot", [0.1, NAN, 0.3], first_h=-1), rule)
    assert silent.reading is not None
    assert (silent.depth, silent.reading.source, silent.reading.assumed) == (1, "rule", True)
    found = known(silent)
    assert (found[-1], found[0], found[1], found[2]) == ((0.1, "spot"), (0.25, "rule"), (0.3, "spot"), (0.25, "rule"))
    # What comes after the rule is never asked.
    assert known(choice_of(rule, says("spot", [0.1])))[0] == (0.25, "rule")


def test_a_chain_is_of_one_basis() -> None:
    average = says("map", [100.0], quantity=CARBON, basis=Basis.AVERAGE)
    marginal = says("watt", [400.0, 401.0], quantity=CARBON, basis=Basis.MARGINAL)
    found = choice_of(average, marginal, quantity=CARBON)
    assert known(found) == {0: (100.0, "map")}
    assert found.refused == ("watt: carbon: marginal values, the chain is of average ones",)
    found = choice_of(average, marginal, quantity=CARBON, basis=Basis.MARGINAL)
    assert known(found) == {0: (400.0, "watt"), 1: (401.0, "watt")}
    assert found.depth == 1


def test_a_source_may_have_an_age_of_its_own() -> None:
    spot = says("spot", [0.1], age_h=3)
    assert Chain("chain", [spot]).choices(NOW)[PRICE].depth == 0
    strict = Chain("chain", [spot], source_max_age_s={"spot": 7200.0}).choices(NOW)[PRICE]
    assert (strict.depth, strict.refused) == (None, ("spot: price: stale (last heard 3.0 h ago)",))


@pytest.mark.parametrize("slot_s", [600, 900, 3600])
def test_different_slots_meet_in_quarter_hours(slot_s: int) -> None:
    fine = says("fine", [0.1, 0.2, 0.3], slot_s=slot_s, quantity=HEAT_DEMAND)
    hourly = says("hourly", [1.0, 2.0, 3.0, 4.0], first_h=-1, quantity=HEAT_DEMAND)
    whole = stitched([fine.said[0], hourly.said[0]])
    assert whole.series.grid.slot_s == (3600 if slot_s == 3600 else 900)
    assert whole.series.grid.start_utc == later(-1)
    first = whole.series.values[whole.series.grid.slot_of(NOW)]
    # Of ten-minute slots the first quarter holds all of the first and half of the second.
    assert first == pytest.approx((0.1 * 10.0 + 0.2 * 5.0) / 15.0 if slot_s == 600 else 0.1)
    assert whole.origins.parts[whole.origins.slots[whole.series.grid.slot_of(NOW)]].source == "fine"
    assert whole.series.values[0] == 1.0


def test_readings_of_two_quantities_are_a_mistake() -> None:
    price, carbon = says("a", [1.0]).said[0], says("b", [1.0], quantity=CARBON).said[0]
    with pytest.raises(ValueError, match="one quantity"):
        stitched([price, carbon])
    with pytest.raises(ValueError, match="one quantity"):
        stitched([])


def test_a_source_without_origins_is_named_all_the_same() -> None:
    bare = replace(says("file", [0.1, NAN, 0.3]).said[0], origins=Origins())
    whole = stitched([bare])
    assert whole.origins.parts == (Origin(source="file"),)
    assert whole.origins.slots.tolist() == [0, -1, 0]
