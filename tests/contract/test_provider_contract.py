"""The law of every provider, in every fault: no value appears that no source sent, and each fault ends in the next step of the
chain, in a metric, and in one line of the log when it begins and one when it is over."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from importlib import import_module
from types import ModuleType
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from signal_faults import FAULTS
from signal_peer import Peer, signal_peer
from signal_stories import Case, complaints, lived

from scheduler.adapters.metrics.sources import Outcome
from scheduler.adapters.sources.blueprint import Answer, Ask, BadAnswer, Provider, Schedule
from scheduler.adapters.sources.providers.catalogue import PROVIDERS, Entry
from scheduler.domain.observed import PRICE
from scheduler.domain.signals import Grade, Told


def page_of(name: str) -> ModuleType:
    """The pages of a provider."""
    return import_module(f"signal_pages.{name.replace('-', '_')}")


def made(entry: Entry, quantity: str, options: Mapping[str, str], url: str) -> Provider:
    """A provider at some address."""
    return entry.make(quantity, {**options, "url": url})


CASES = [
    Case(name=name, quantity=quantity, page=page_of(name), make=partial(made, entry, quantity, options))
    for name, entry in PROVIDERS.items()
    for quantity, options in page_of(name).OPTIONS.items()
]
BRUSSELS = ZoneInfo("Europe/Brussels")


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    """One server for all."""
    with signal_peer({}) as found, pytest.MonkeyPatch.context() as patch:
        # httpcore looks for it at every request; that it is not there is found sooner so.
        patch.setitem(sys.modules, "sniffio", None)
        yield found


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.quantity}")
def test_no_fault_makes_a_value_up_and_each_ends_in_the_next_step(case: Case, peer: Peer) -> None:
    found = [one for story in lived(case, peer) for one in complaints(story)]
    assert not found, "\n".join(found)


def test_every_provider_has_a_page_for_each_quantity_of_its_own() -> None:
    # What reads anything tells any quantity in the same way.
    anything = {"csv_feed", "json_feed", "prometheus_query"}
    for name, entry in PROVIDERS.items():
        if name not in anything:
            assert set(page_of(name).OPTIONS) == set(entry.card.quantities)
    assert len({case.name for case in CASES}) == len(PROVIDERS)


# The local days with 92 and with 100 quarter hours, whose prices are published on the day before.
@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 10, 25)], ids=["92 quarters", "100 quarters"])
def test_the_days_on_which_clocks_change_are_whole(day: date, peer: Peer) -> None:
    start_utc, end_utc = (datetime.combine(day + timedelta(days=n), time(), BRUSSELS).astimezone(UTC) for n in (0, 1))
    for case in CASES:
        there = replace(case, now_utc=start_utc - timedelta(hours=4))
        (story,) = lived(there, peer, {})
        first = story.stages["first"]
        assert (complaints(story), first.ended, first.trouble) == ([], Outcome.GOOD, ""), case.name
        reading = first.choice.reading
        assert reading is not None
        if case.quantity == PRICE:
            grid, known = reading.series.grid, np.isfinite(reading.series.values)
            there_slots = known[grid.slot_of(start_utc) : grid.slot_of(end_utc)]
            assert int(there_slots.sum()) * grid.slot_s == (end_utc - start_utc).total_seconds(), case.name


# That the law is held by looking, not by luck: providers that make things up are found out.


class Zeros:
    """Says zero where its source does not know."""

    def __init__(self, inner: Provider) -> None:
        self.inner = inner

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        return self.inner.asks(now_utc)

    def follow(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Ask, ...]:
        return self.inner.follow(answers, now_utc)

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        return tuple(self.bent(one) for one in self.inner.read(answers, now_utc))

    def bent(self, told: Told) -> Told:
        return replace(told, values=np.nan_to_num(told.values))


class Stretched(Zeros):
    """Lets each value hold until the next one, however far that is."""

    def bent(self, told: Told) -> Told:
        return replace(told, ends_s=np.append(told.starts_s[1:], told.ends_s[-1]))


class Hour(Zeros):
    """Takes local time for UTC."""

    def bent(self, told: Told) -> Told:
        return replace(told, starts_s=told.starts_s + 3600, ends_s=told.ends_s + 3600)


class Silent(Zeros):
    """Never says that it was told nothing good."""

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        try:
            return super().read(answers, now_utc)
        except BadAnswer:
            at_s = np.array([int(now_utc.timestamp()) // 3600 * 3600])
            return (
                Told(
                    quantity=PRICE,
                    starts_s=at_s,
                    ends_s=at_s + 3600,
                    values=np.array([50.0]),
                    unit="EUR/MWh",
                    grade=Grade.FORECAST,
                ),
            )


@pytest.mark.parametrize(
    ("liar", "fault"), [(Zeros, "nulls"), (Stretched, "missing"), (Hour, "fast clock"), (Silent, "cut off"), (Silent, "empty")]
)
def test_a_provider_that_makes_values_up_is_found_out(liar: type[Zeros], fault: str, peer: Peer) -> None:
    honest = next(case for case in CASES if case.name == "awattar")
    case = replace(honest, make=lambda url: liar(honest.make(url)))
    _, story = lived(case, peer, {fault: FAULTS[fault]})
    assert any("sent by nobody" in one for one in complaints(story))
