"""What every source promises, and what each kind does on top: files that break and mend, rules, chains."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import feed_world
import numpy as np
import pytest

from scheduler.adapters.sources.chain import Chain
from scheduler.adapters.sources.file import FileSource, by_quantity
from scheduler.adapters.sources.fixed import FixedSource, constant, time_of_use
from scheduler.config.series import read_series
from scheduler.core.accounting.told import believed, freshness_of, useless
from scheduler.domain.contract import ElectricityContract, EnergyPriceKind, TimeOfUseBand
from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR, PRICE, SourceReading, unit_of
from scheduler.domain.time import Series, TimeGrid, utc
from scheduler.ports import SeriesSource

T = TypeVar("T")
NOW = utc("2026-01-14T10:00:00+00:00")
NAN = float("nan")
HEADER = "start_utc,price_eur_per_mwh,carbon_g_per_kwh,outdoor_c,heat_demand_kw\n"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def later(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def hours(values: list[float], first_h: int = -3, quantity: str = PRICE) -> Series:
    grid = TimeGrid(start_utc=later(first_h), slot_s=3600, slots=len(values))
    return Series(grid=grid, values=np.asarray(values, dtype=np.float64), unit=unit_of(quantity), source="test")


def reading(
    values: list[float], quantity: str = PRICE, *, first_h: int = -3, source: str = "a", age_h: float = 0.0
) -> SourceReading:
    told = hours(values, first_h, quantity)
    return SourceReading(quantity=quantity, series=told, issued_utc=None, fetched_utc=later(-age_h), source=source)


@dataclass(slots=True)
class Told:
    """A source that says what it is told to say."""

    name: str
    said: tuple[SourceReading, ...] = ()
    fails: Exception | None = None
    polls: list[datetime] = field(default_factory=list)

    async def poll(self, now_utc: datetime) -> None:
        self.polls.append(now_utc)
        if self.fails is not None:
            raise self.fails

    def readings(self, now_utc: datetime) -> tuple[SourceReading, ...]:
        return tuple(replace(one, source=self.name) for one in self.said)

    def trouble(self) -> str:
        return ""


def rows(prices: list[str], first_h: int = -3) -> str:
    return HEADER + "".join(
        f"{later(first_h + i):%Y-%m-%dT%H:%MZ},{price},100,3.5,{20 + i}\n" for i, price in enumerate(prices)
    )


def parse(path: Path) -> Mapping[str, Series]:
    return by_quantity(read_series(path, max_fill_s=0.0)[0])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "series.csv"
    path.write_text(rows(["50", "60", "70", "80", "90"]), encoding="utf-8")
    return path


def rewrite(path: Path, text: str, seconds: int) -> None:
    """Write, with a time of change that differs even on a coarse file system."""
    path.write_text(text, encoding="utf-8")
    os.utime(path, (NOW.timestamp() + seconds, NOW.timestamp() + seconds))


# Every source


def file_source(path: Path) -> SeriesSource:
    return FileSource("file", path, parse)


def fixed_source(path: Path) -> SeriesSource:
    return FixedSource("fixed", CARBON, constant(100.0))


def chain_source(path: Path) -> SeriesSource:
    return Chain("chain", (file_source(path), fixed_source(path)))


def feed_source(path: Path) -> SeriesSource:
    hourly = feed_world.told([50.0, 60.0, 70.0])
    return feed_world.World(feed_world.Scripted([hourly])).feed()


@pytest.mark.parametrize("make", [file_source, fixed_source, feed_source, chain_source], ids=["file", "fixed", "feed", "chain"])
def test_every_source_names_what_it_says_and_when(make: Callable[[Path], SeriesSource], file: Path) -> None:
    source = make(file)
    run(source.poll(NOW))
    found = source.readings(NOW)
    assert found
    assert len({one.quantity for one in found}) == len(found)
    for one in found:
        assert one.fetched_utc == NOW
        assert one.source in ("file", "fixed", "feed")
        assert one.series.unit == unit_of(one.quantity)
    assert source.trouble() == ""
    assert source.name


# Files


def test_a_file_is_read_once_and_again_when_it_changes(file: Path) -> None:
    read: list[int] = []

    def counting(path: Path) -> Mapping[str, Series]:
        read.append(1)
        return parse(path)

    source = FileSource("file", file, counting)
    assert source.readings(NOW) == ()
    run(source.poll(NOW))
    run(source.poll(later(1)))
    assert len(read) == 1
    rewrite(file, rows(["1", "2", "3", "4", "5"]), 60)
    run(source.poll(later(2)))
    price = next(one for one in source.readings(later(2)) if one.quantity == PRICE)
    assert len(read) == 2
    # 1 EUR/MWh is 0.001 EUR/kWh.
    assert price.series.values.tolist() == pytest.approx([0.001, 0.002, 0.003, 0.004, 0.005])
    assert price.issued_utc == NOW + timedelta(seconds=60)
    assert price.fetched_utc == later(2)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (rows(["50", "sixty", "70"]), "sixty"),
        (HEADER[:20], ""),
        ("", ""),
        ("<html><body>502 Bad Gateway</body></html>", ""),
        (rows(["50", "60"]) + "2026-01-14T07:00Z,1,1,1,1\n", ""),
        ("\x00\x01\x02" * 100, ""),
    ],
    ids=["a word", "half a header", "empty", "html", "backwards", "binary"],
)
def test_a_broken_file_keeps_the_last_good_content_and_says_why(file: Path, text: str, why: str) -> None:
    source = FileSource("file", file, parse)
    run(source.poll(NOW))
    before = source.readings(NOW)
    rewrite(file, text, 60)
    run(source.poll(later(1)))
    run(source.poll(later(2)))
    assert source.trouble()
    assert why in source.trouble()
    assert [one.series.values.tolist() for one in source.readings(later(2))] == [one.series.values.tolist() for one in before]
    assert {one.fetched_utc for one in source.readings(later(2))} == {NOW}
    rewrite(file, rows(["1", "2"]), 120)
    run(source.poll(later(3)))
    assert source.trouble() == ""
    assert {one.fetched_utc for one in source.readings(later(3))} == {later(3)}


def test_a_file_that_goes_and_comes_back(file: Path) -> None:
    source = FileSource("file", file, parse)
    moved = file.with_suffix(".away")
    run(source.poll(NOW))
    file.rename(moved)
    run(source.poll(later(1)))
    assert "No such file" in source.trouble()
    assert {one.fetched_utc for one in source.readings(later(1))} == {NOW}
    moved.rename(file)
    run(source.poll(later(2)))
    assert source.trouble() == ""
    assert {one.fetched_utc for one in source.readings(later(2))} == {later(2)}


def test_a_file_that_was_never_there_says_nothing_but_why(tmp_path: Path) -> None:
    source = FileSource("file", tmp_path / "none.csv", parse)
    run(source.poll(NOW))
    assert source.readings(NOW) == ()
    assert "none.csv" in source.trouble()


# Rules


def test_a_constant_reaches_a_day_back_and_over_every_horizon() -> None:
    [one] = FixedSource("fixed", CARBON, constant(120.0)).readings(NOW + timedelta(minutes=20))
    assert set(one.series.values.tolist()) == {120.0}
    assert one.series.grid.start_utc == later(-24)
    assert one.series.grid.end_utc >= later(9 * 24)
    assert one.assumed


def test_a_table_by_time_of_use_follows_local_hours() -> None:
    # Copenhagen is an hour ahead of UTC in January: 17:00 to 20:00 local is 16:00 to 19:00 UTC.
    band = TimeOfUseBand(start_hour=17, end_hour=20, weekdays=(1, 2, 3, 4, 5), eur_per_kwh=0.4)
    contract = ElectricityContract(kind=EnergyPriceKind.TIME_OF_USE, fixed_eur_per_kwh=0.1, bands=(band,))
    [one] = FixedSource("table", PRICE, time_of_use(contract, "Europe/Copenhagen")).readings(NOW)
    dear = [one.series.grid.time_of(int(slot)) for slot in np.flatnonzero(one.series.values == 0.4)]
    # A day back and nine ahead of Wednesday, 14 January 2026, hold weekends too.
    assert {at.hour for at in dear} == {16, 17, 18}
    assert all(at.isoweekday() <= 5 for at in dear)
    assert useless(one, NOW) == ""


# Chains


def test_the_first_usable_source_wins_for_each_quantity() -> None:
    first = Told("first", (reading([1.0, 1.0, 1.0, 1.0]),))
    second = Told("second", (reading([2.0, 2.0, 2.0, 2.0]), reading([200.0, 201.0, 202.0], CARBON)))
    chain = Chain("chain", (first, second))
    found = {one.quantity: one for one in chain.readings(NOW)}
    assert (found[PRICE].source, found[CARBON].source) == ("first", "second")
    assert chain.choices(NOW)[PRICE].depth == 0
    assert chain.choices(NOW)[CARBON].depth == 1
    assert len(found) == 2


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (reading([NAN, NAN, NAN, NAN]), "price: missing"),
        (reading([99.0] * 4), "implausible (4 values)"),
        (reading([float("inf")] * 4), "implausible (4 values)"),
        (reading([0.1, 0.1, 0.1]), "says nothing about now"),
        (reading([0.1, 0.1, 0.1, NAN]), "says nothing about now"),
        (reading([0.1] * 4, age_h=25.0), "stale (last heard 25.0 h ago)"),
        (reading([0.1] * 4, age_h=-1.0), "stale"),
    ],
    ids=["missing", "implausible", "infinite", "ends now", "hole now", "old", "from the future"],
)
def test_what_cannot_be_used_gives_way_and_is_named(said: SourceReading, why: str) -> None:
    chain = Chain("chain", (Told("first", (said,)), Told("second", (reading([0.2] * 4),))))
    choice = chain.choices(NOW)[PRICE]
    assert choice.reading is not None
    assert (choice.reading.source, choice.depth) == ("second", 1)
    assert any(why in reason and reason.startswith("first: price: ") for reason in choice.refused)


def test_a_measurement_that_ended_hours_ago_gives_way() -> None:
    old, new = reading([3.0], OUTDOOR, first_h=-5), reading([4.0], OUTDOOR, first_h=-4)
    assert useless(old, NOW) == "outdoor: ends at 2026-01-14T06:00Z"
    assert useless(new, NOW) == ""


def test_frozen_values_are_not_passed_on() -> None:
    moving = [20.0 + i % 5 for i in range(40)]
    frozen = reading(moving + [31.5] * 30, HEAT_DEMAND, first_h=-70)
    found, reasons = believed(frozen, NOW)
    assert reasons == ("heat_demand: frozen",)
    assert found.series.values[:41].tolist() == [*moving, 31.5]
    assert np.isnan(found.series.values[41:]).all()
    assert "ends at" in useless(found, NOW)
    # Zero in summer is a measurement, and a forecast may stand still.
    for still in (reading([0.0] * 70, HEAT_DEMAND, first_h=-70), reading([9.0] * 70, "plant_forecast town", first_h=-70)):
        assert believed(still, NOW)[1] == ()


def test_a_single_impossible_value_is_a_hole_and_the_rest_stands() -> None:
    found, reasons = believed(reading([0.1, -50.0, 0.1, 0.1]), NOW)
    assert reasons == ("price: implausible (1 values)",)
    assert np.array_equal(found.series.values, [0.1, NAN, 0.1, 0.1], equal_nan=True)
    assert useless(found, NOW) == ""


def test_an_infinite_demand_is_none() -> None:
    found, reasons = believed(reading([5.0, float("inf"), 6.0], HEAT_DEMAND), NOW)
    assert np.array_equal(found.series.values, [5.0, NAN, 6.0], equal_nan=True)
    assert reasons == ("heat_demand: implausible (1 values)",)


def test_a_quantity_that_nobody_knows_is_believed_in_nothing() -> None:
    chain = Chain("chain", (Told("first", (reading([1.0] * 4, "prize"),)),))
    assert chain.readings(NOW) == ()
    assert "nobody asks for it" in chain.choices(NOW)["prize"].refused[0]


def test_without_anything_usable_the_last_heard_tells_the_past_with_its_age() -> None:
    older, newer = reading([0.1] * 4, age_h=30.0), reading([0.3] * 4, age_h=26.0)
    chain = Chain("chain", (Told("older", (older,)), Told("newer", (newer,)), Told("none", (reading([NAN] * 4),))))
    choice = chain.choices(NOW)[PRICE]
    assert choice.depth is None
    assert choice.reading is not None
    assert choice.reading.source == "newer"
    assert freshness_of(PRICE, choice.reading.fetched_utc, NOW, 86400.0).age_s == 26 * 3600.0


def test_a_chain_polls_everyone_and_outlives_one_that_raises() -> None:
    sources = [Told("a", fails=RuntimeError("broke its promise")), Told("b", (reading([0.2] * 4),))]
    chain = Chain("chain", sources)
    run(chain.poll(NOW))
    assert [source.polls for source in sources] == [[NOW], [NOW]]
    assert chain.trouble() == "a: RuntimeError: broke its promise"
    assert [one.source for one in chain.readings(NOW)] == ["b"]
    sources[0].fails = None
    run(chain.poll(NOW))
    assert chain.trouble() == ""


def test_reading_never_polls() -> None:
    source = Told("a", (reading([0.2] * 4),))
    Chain("chain", (source,)).readings(NOW)
    assert source.polls == []


def test_a_chain_of_file_and_table_survives_the_file(file: Path) -> None:
    contract = ElectricityContract(kind=EnergyPriceKind.FIXED, fixed_eur_per_kwh=0.12)
    chain = Chain("price", (FileSource("file", file, parse), FixedSource("table", PRICE, time_of_use(contract, "UTC"))))
    run(chain.poll(NOW))
    assert {one.quantity: one.source for one in chain.readings(NOW)}[PRICE] == "file"
    file.unlink()
    run(chain.poll(later(1)))
    # The file's prices end at 12:00; a chain does not wait for its age when they do.
    found = {one.quantity: one for one in chain.readings(later(2))}
    assert found[PRICE].source == "table"
    assert found[HEAT_DEMAND].source == "file"
    assert chain.trouble().startswith("file: series.csv: ")


@pytest.mark.parametrize(("skew_s", "age_s"), [(0.0, 0.0), (30.0, 30.0), (-30.0, 0.0), (-90.0, -90.0)])
def test_a_little_skew_is_none_and_a_wrong_clock_shows(skew_s: float, age_s: float) -> None:
    assert freshness_of("jobs", NOW - timedelta(seconds=skew_s), NOW, 900.0).age_s == age_s
    assert freshness_of("jobs", None, NOW, 900.0).age_s is None
