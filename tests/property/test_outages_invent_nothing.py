"""Whatever fails whenever: what a planner sees of a source was told by it of that very hour, or is not known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.domain.snapshot import Snapshot
from scheduler.domain.time import Series
from scheduler.simulate.faults import Disturbances
from scheduler.simulate.generate import weeks
from scheduler.simulate.knowledge import Knowledge
from scheduler.simulate.outages import OutageKind, Source, SourceLines, SourceOutage
from scheduler.simulate.queueing import Discipline, OpenGate, Queue
from scheduler.simulate.rules import ByRule
from scheduler.simulate.world import Clockwork, World
from scheduler.units import S_PER_H, s_from_h

SCENARIO = next(weeks(1, seed=4, gpus=16, days=2))
LOOKED_H = 40
TRUTH = SCENARIO.series
HONEST = (OutageKind.SILENT, OutageKind.NULLS, OutageKind.NONSENSE)


@cache
def looked_at() -> tuple[World, Snapshot]:
    """The world after its hours by rule, and what is known of it with every source alive."""
    world = World(SCENARIO, Queue(OpenGate(), Discipline.EASY), Clockwork(), Knowledge(), Disturbances())
    world.run_until(ByRule(), s_from_h(LOOKED_H))
    world.cluster.advance(s_from_h(LOOKED_H))
    return world, world.snapshot()


@st.composite
def outages(draw: st.DrawFn, kinds: tuple[OutageKind, ...]) -> SourceOutage:
    """One outage that begins before the look, in quarter hours."""
    start = draw(st.integers(0, LOOKED_H * 4 - 1))
    return SourceOutage(
        source=draw(st.sampled_from(list(Source))),
        kind=draw(st.sampled_from(kinds)),
        start_s=900.0 * start,
        end_s=900.0 * (start + draw(st.integers(1, 200))),
    )


def is_part(told: Series, truth: Series) -> bool:
    """True when every known value is that of the truth at its time."""
    first = truth.grid.slot_of(told.grid.start_utc)
    real = truth.values[first : first + told.grid.slots]
    known = np.isfinite(told.values)
    return bool(np.array_equal(told.values[known], real[known]))


def told(failing: list[SourceOutage]) -> dict[str, Series]:
    """What a planner sees, by quantity."""
    world, known = looked_at()
    past = SourceLines(scenario=SCENARIO, slot_s=900, outages=tuple(failing)).through(known, world.record).history
    return {
        "price": past.price,
        "carbon": past.carbon,
        "outdoor": past.outdoor,
        "heat": next(iter(past.heat_demand_kw.values())),
    }


@settings(max_examples=60, deadline=None)
@given(failing=st.lists(outages(HONEST), max_size=4))
def test_nothing_is_seen_that_no_source_told(failing: list[SourceOutage]) -> None:
    truths = {
        "price": TRUTH.price_eur_per_kwh,
        "carbon": TRUTH.carbon_g_per_kwh,
        "outdoor": TRUTH.outdoor_c,
        "heat": TRUTH.heat_demand_kw,
    }
    limit_kw = 10.0 * max(one.max_heat_kw for one in SCENARIO.site.offtakes)
    for quantity, series in told(failing).items():
        # A demand has no upper limit of its own; the outlook leaves out what no connection carries.
        values = np.where(series.values > limit_kw, np.nan, series.values) if quantity == "heat" else series.values
        assert is_part(replace(series, values=values), truths[quantity]), quantity


@settings(max_examples=40, deadline=None)
@given(failing=st.lists(outages(tuple(OutageKind)), min_size=1, max_size=4))
def test_what_was_told_before_stays(failing: list[SourceOutage]) -> None:
    """Hours that were over when the first source failed are seen as ever."""
    alive, first_s = told([]), min(one.start_s for one in failing)
    for quantity, series in told(failing).items():
        same = alive[quantity]
        assert series.grid.start_utc == same.grid.start_utc
        assert series.grid.slots <= same.grid.slots
        over = series.grid.slot_of(SCENARIO.start_utc) + int(first_s // S_PER_H)
        assert np.array_equal(series.values[:over], same.values[:over], equal_nan=True), quantity
