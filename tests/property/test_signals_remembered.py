"""Over any row of polls a feed knows, of each quarter of an hour, the last word on it, and nothing that no poll told."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from feed_world import NOW, Scripted, World, later, run, told
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.adapters.sources.blueprint import BadAnswer, Schedule
from scheduler.adapters.sources.cache import SignalCache
from scheduler.adapters.sources.chain import Chain
from scheduler.adapters.sources.feed import Feed
from scheduler.adapters.sources.fixed import FixedSource, constant
from scheduler.core.accounting.told import LIMITS
from scheduler.core.signals.knowledge import BACK, Intake, Knowledge, readings_of, taken
from scheduler.domain.observed import PRICE, SourceReading
from scheduler.domain.signals import Told

NAN = float("nan")
# Some cannot be: a price of 99 EUR/kWh.
VALUES = st.one_of(st.just(NAN), st.floats(-1.0, 4.0), st.just(99.0))
# A poll: hours since the one before, and rows of quarter hours from a quarter on.
POLL = st.tuples(
    st.integers(1, 30), st.lists(st.tuples(st.integers(-60, 60), st.lists(VALUES, min_size=1, max_size=8)), max_size=3)
)
POLLS = st.lists(POLL, min_size=1, max_size=8)
QUARTER = timedelta(minutes=15)


def rows_told(at_h: int, rows: list[tuple[int, list[float]]]) -> list[Told]:
    return [told(values, first_h=at_h + quarter / 4, slot_s=900, unit="EUR/kWh") for quarter, values in rows]


def words(polls: list[tuple[int, list[tuple[int, list[float]]]]]) -> tuple[dict[datetime, float], datetime]:
    """The last word on every quarter hour by hand, and when the last poll was."""
    last, at_h = dict[datetime, float](), 0
    for hours, rows in polls:
        at_h += hours
        for quarter, values in rows:
            for i, value in enumerate(values):
                if np.isfinite(value) and value <= LIMITS[PRICE].high:
                    last[later(at_h) + (quarter + i) * QUARTER] = value
    return last, later(at_h)


def said(readings: tuple[SourceReading, ...]) -> dict[datetime, float]:
    """Every known quarter hour of a price."""
    found = {}
    for one in readings:
        times = one.series.grid.slot_s // 900
        for slot, value in enumerate(np.repeat(one.series.values, times).tolist()):
            if np.isfinite(value):
                found[one.series.grid.start_utc + slot * QUARTER] = value
    return found


@settings(max_examples=60, deadline=None)
@given(POLLS)
def test_a_feed_knows_the_last_word_on_every_quarter(polls: list[tuple[int, list[tuple[int, list[float]]]]]) -> None:
    world = World(Scripted(schedule=Schedule(every_s=1.0)))
    feed, at_h = world.feed(), 0
    for hours, rows in polls:
        at_h += hours
        world.provider.said = rows_told(at_h, rows) if rows else BadAnswer("<html>")
        feed.soon()
        run(feed.poll(later(at_h)))
    last, now_utc = words(polls)
    known = said(feed.readings(now_utc))
    assert {at: value for at, value in last.items() if at > now_utc - BACK}.items() <= known.items()
    assert known.items() <= last.items()
    # A chain adds the rule's value where the feed says nothing now, takes only that when the feed is old, and no other.
    chain = Chain("chain", [feed, FixedSource("rule", PRICE, constant(0.123))])
    [choice] = chain.choices(now_utc).values()
    assert choice.reading is not None
    for at, value in said((choice.reading,)).items():
        assert value in (known.get(at), 0.123)
        assert value == known.get(at, 0.123) or any("stale" in why for why in choice.refused)


@settings(max_examples=25, deadline=None)
@given(POLLS)
def test_what_is_read_from_disk_is_what_was_known(polls: list[tuple[int, list[tuple[int, list[float]]]]]) -> None:
    known, at_h = dict[str, Knowledge](), 0
    for hours, rows in polls:
        at_h += hours
        known = dict(taken(known, rows_told(at_h, rows), Intake(limits=LIMITS), later(at_h)).known)
    with TemporaryDirectory() as folder:
        cache = SignalCache(Path(folder))
        assert cache.save("feed", "a", known)
        found = cache.load("feed", "a")
    assert said(readings_of(found, "a")) == said(readings_of(known, "a"))
    assert {name: one.fetched_utc for name, one in found.items()} == {name: one.fetched_utc for name, one in known.items()}


def test_a_clock_that_was_ahead_does_not_outlast_the_true_one() -> None:
    world = World(Scripted([told([100.0] * 4)]))
    feed: Feed = world.feed()
    # Three days ahead of the truth, and put right after.
    run(feed.poll(later(72)))
    assert feed.readings(NOW)[0].fetched_utc == later(72)
    world.provider.said = [told([200.0] * 4)]
    run(feed.poll(later(1)))
    [one] = feed.readings(later(1))
    assert one.series.values.tolist() == [0.2] * 4
    assert one.fetched_utc == later(1)
