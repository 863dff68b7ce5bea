"""Sources that fail: what is still told, what of it is believed, and that nothing changes while they live."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from scheduler.domain.errors import Misconfigured
from scheduler.domain.snapshot import Snapshot
from scheduler.domain.time import Series, utc
from scheduler.domain.world import Scenario
from scheduler.simulate.faults import Disturbances
from scheduler.simulate.generate import weeks
from scheduler.simulate.knowledge import Knowledge
from scheduler.simulate.outage_scripts import SETS, script_of, scripts_of, seconds_of, worst_start_utc
from scheduler.simulate.outages import OutageKind, Source, SourceLines, SourceOutage
from scheduler.simulate.queueing import Discipline, OpenGate, Queue
from scheduler.simulate.rules import ByRule
from scheduler.simulate.world import Clockwork, World
from scheduler.units import s_from_h

# Two winter days from 2026-01-04T23:00Z, that is from midnight in Copenhagen; prices of the next day are told at 12:00Z.
SCENARIO = next(weeks(1, seed=2, gpus=32, days=2))
SLOT_S = 900


def lines(kind: OutageKind, *sources: Source, from_h: float, to_h: float) -> SourceLines:
    """Lines whose sources fail between two hours of the scenario."""
    outages = tuple(SourceOutage(source=one, kind=kind, start_s=s_from_h(from_h), end_s=s_from_h(to_h)) for one in sources)
    return SourceLines(scenario=SCENARIO, slot_s=SLOT_S, outages=outages)


def world_at(hours: float) -> World:
    """A world that was run by rule for so long, with every source alive."""
    world = World(SCENARIO, Queue(OpenGate(), Discipline.EASY), Clockwork(), Knowledge(), Disturbances())
    world.run_until(ByRule(), s_from_h(hours))
    world.cluster.advance(s_from_h(hours))
    return world


@pytest.fixture(scope="module")
def seen() -> tuple[World, Snapshot]:
    """A world after 30 hours, and what is known of it."""
    world = world_at(30.0)
    return world, world.snapshot()


def ages(snapshot: Snapshot) -> dict[str, float | None]:
    """Age by source in seconds."""
    return {one.source: one.age_s for one in snapshot.freshness}


def same(a: Series, b: Series) -> bool:
    """True for the same values on the same grid, to the last bit."""
    return a.grid == b.grid and np.array_equal(a.values, b.values, equal_nan=True)


def test_living_sources_tell_what_is_known_to_the_last_bit(seen: tuple[World, Snapshot]) -> None:
    """So a run without outages is what a run with one is compared with."""
    world, known = seen
    told = lines(OutageKind.SILENT, *Source, from_h=40.0, to_h=41.0).through(known, world.record)
    assert same(told.history.price, known.history.price)
    assert same(told.history.carbon, known.history.carbon)
    assert same(told.history.outdoor, known.history.outdoor)
    for name, series in known.history.heat_demand_kw.items():
        assert same(told.history.heat_demand_kw[name], series)
    for name, series in known.history.delivered_kw.items():
        assert same(told.history.delivered_kw[name], series)
    assert told.plants == known.plants
    assert set(ages(told).values()) == {0.0}


def test_silence_leaves_what_was_told_before_and_its_age(seen: tuple[World, Snapshot]) -> None:
    """Silent from 11:30 local on the first day, looked at 18.5 h later: the second day's prices were never told."""
    world, known = seen
    told = lines(OutageKind.SILENT, *Source, from_h=11.5, to_h=40.0).through(known, world.record)
    assert told.history.price.grid.end_utc == SCENARIO.start_utc + timedelta(hours=24)
    assert known.history.price.grid.end_utc == SCENARIO.start_utc + timedelta(hours=48)
    # The hour from 11:00 was not over yet.
    assert told.history.outdoor.grid.end_utc == SCENARIO.start_utc + timedelta(hours=11)
    age_s = s_from_h(18.5)
    assert ages(told) == {"jobs": 0.0, "price": age_s, "carbon": age_s, "outdoor": age_s, "heat_demand": age_s, "plant": age_s}
    assert all(one.tank_level_kwh is None and not one.heat_pump_on for one in told.plants)
    delivered = next(iter(told.history.delivered_kw.values())).values
    # Quarter hours: 46 before the silence, 74 in it.
    assert np.isfinite(delivered[:46]).all()
    assert np.isnan(delivered[46:]).all()
    assert len(delivered) == 46 + 74


def test_a_source_that_is_back_tells_all_but_what_only_a_meter_knew(seen: tuple[World, Snapshot]) -> None:
    world, known = seen
    told = lines(OutageKind.SILENT, *Source, from_h=11.5, to_h=20.0).through(known, world.record)
    assert same(told.history.price, known.history.price)
    assert same(told.history.outdoor, known.history.outdoor)
    assert told.plants == known.plants
    for name, series in told.history.heat_demand_kw.items():
        first = series.grid.slot_of(SCENARIO.start_utc)
        # Hours 11 to 19 ended while nobody listened.
        lost = np.flatnonzero(np.isnan(series.values)) - first
        assert lost.tolist() == list(range(11, 20))
        rest = np.isfinite(series.values)
        assert np.array_equal(series.values[rest], known.history.heat_demand_kw[name].values[rest])
    assert set(ages(told).values()) == {0.0}


@pytest.mark.parametrize("kind", [OutageKind.NULLS, OutageKind.NONSENSE])
def test_what_is_no_value_is_no_value(seen: tuple[World, Snapshot], kind: OutageKind) -> None:
    """Prices told on the first day at 13:00 are those of the second; the rest is told as hours pass."""
    world, known = seen
    told = lines(kind, Source.PRICE, Source.CARBON, Source.WEATHER, Source.PLANT, from_h=11.5, to_h=40.0)
    history = told.through(known, world.record).history
    day = history.price.grid.slot_of(SCENARIO.start_utc + timedelta(hours=24))
    assert np.array_equal(history.price.values[:day], known.history.price.values[:day], equal_nan=True)
    assert np.isnan(history.price.values[day:]).all()
    assert len(history.price.values) == day + 24
    for series in (history.carbon, history.outdoor):
        assert np.isnan(series.values[-19:]).all()
        assert np.isfinite(series.values[-20])
    states = told.through(known, world.record).plants
    assert all(one.tank_level_kwh is None and one.heat_pump_heat_kw == 0.0 for one in states)


def test_a_frozen_source_repeats_itself(seen: tuple[World, Snapshot]) -> None:
    world, known = seen
    broken = lines(OutageKind.FROZEN, Source.PRICE, Source.WEATHER, Source.PLANT, from_h=13.5, to_h=40.0)
    told = broken.through(known, world.record)
    # The prices of the second day had been told half an hour before.
    assert same(told.history.price, known.history.price)
    # Of 30 hours 13 were over: 17 times the last of them.
    assert told.history.outdoor.values[-17:].tolist() == [float(known.history.outdoor.values[-18])] * 17
    plug = world.site.plugs[0].plug_id
    # Slot 53 ended at 13:30; it counts from zero.
    assert told.plants[0].tank_level_kwh == world.record.plugs[plug].tank_kwh[53]
    assert ages(told)["plant"] == 0.0


def test_a_frozen_demand_is_found_out_after_a_day() -> None:
    """Stood still for 24 h and more, and not at zero, it is not believed any more (`core/forecast/fill.py: HEAT_KW`)."""
    broken = lines(OutageKind.FROZEN, Source.HEAT, from_h=2.0, to_h=60.0)
    for hours, believed in ((20.0, True), (30.0, False)):
        world = world_at(hours)
        demand = broken.through(world.snapshot(), world.record).history.heat_demand_kw
        last = next(iter(demand.values())).values[-1]
        assert np.isfinite(last) == believed, hours


def test_a_plant_out_of_reach_hears_no_setpoint() -> None:
    cut = lines(OutageKind.SILENT, Source.PLANT, from_h=2.0, to_h=3.0)
    assert [cut.carries_setpoints(s_from_h(hours)) for hours in (1.75, 2.0, 2.75, 3.0)] == [True, False, False, True]
    assert lines(OutageKind.FROZEN, Source.PLANT, from_h=2.0, to_h=3.0).carries_setpoints(s_from_h(2.0))


def test_ready_made_sets_are_every_source_alone_and_all_at_once() -> None:
    assert [len(members) for members in SETS.values()] == [18, 18]
    scripts = scripts_of(("standard", "lies", "all:1d"), SCENARIO)
    assert len(scripts) == 36
    assert len({one.key for one in scripts}) == 36
    assert {one.end_s - one.start_s for one in scripts} == {3600.0, 86400.0, 604800.0}


def test_a_script_in_short() -> None:
    script = script_of("price+heat:6h:frozen@2026-01-05T12:00Z", SCENARIO)
    assert script.sources == (Source.PRICE, Source.HEAT)
    # The scenario starts at 23:00Z the day before.
    assert (script.kind, script.start_s, script.end_s) == (OutageKind.FROZEN, s_from_h(13.0), s_from_h(19.0))
    assert len(script.outages) == 2


def test_without_a_start_it_comes_before_the_prices_of_the_next_day() -> None:
    """12:30 in Copenhagen is 11:30Z; on the second day, in a scenario of one day on its only one."""
    assert worst_start_utc(SCENARIO) == utc("2026-01-06T11:30:00+00:00")
    assert worst_start_utc(replace(SCENARIO, days=1)) == utc("2026-01-05T11:30:00+00:00")
    late: Scenario = replace(SCENARIO, days=1, start_utc=utc("2026-01-05T15:00:00+00:00"))
    assert worst_start_utc(late) == utc("2026-01-06T11:30:00+00:00")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gas:1h",
        "price",
        "price:0h",
        "price:1y",
        "price:1h:loud",
        "price:1h@noon",
        "price:1h@2026-02-01T00:00Z",
        "price++heat:1h",
    ],
)
def test_what_is_no_script_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        scripts_of((text,), SCENARIO)
    assert "--outages" in str(refused.value)


def test_lengths() -> None:
    assert [seconds_of(text) for text in ("30m", "6h", "1d", "2w")] == [1800.0, 21600.0, 86400.0, 1209600.0]
