"""A provider whose answers a test writes, a clock that a test turns, and a feed that asks both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from scheduler.adapters.metrics.registry import Metrics
from scheduler.adapters.metrics.sources import SourceMetrics
from scheduler.adapters.sources.blueprint import Answer, Ask, Schedule
from scheduler.adapters.sources.cache import SignalCache
from scheduler.adapters.sources.feed import Feed, Habits
from scheduler.domain.observed import PRICE
from scheduler.domain.signals import Basis, Grade, Told
from scheduler.domain.time import utc

T = TypeVar("T")
NOW = utc("2026-01-14T10:00:00+00:00")
HOURLY = Schedule(every_s=3600.0)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def later(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def told(
    values: Sequence[float],
    *,
    first_h: float = 0.0,
    slot_s: int = 3600,
    quantity: str = PRICE,
    unit: str = "EUR/MWh",
    grade: Grade = Grade.PUBLISHED,
    issued_utc: datetime | None = None,
    basis: Basis | None = None,
    mean_over: bool = True,
) -> Told:
    """Values one after the other from an hour on."""
    starts_s = int(later(first_h).timestamp()) + np.arange(len(values), dtype=np.int64) * slot_s
    return Told(
        quantity=quantity,
        starts_s=starts_s,
        ends_s=starts_s + slot_s,
        values=np.asarray(values, dtype=np.float64),
        unit=unit,
        grade=grade,
        issued_utc=issued_utc,
        basis=basis,
        mean_over=mean_over,
    )


@dataclass(slots=True)
class Scripted:
    """A provider that tells what it is told to tell. more: further requests, by how many answers there are."""

    said: Sequence[Told] | Exception = ()
    schedule: Schedule = HOURLY
    first: tuple[Ask, ...] = (Ask(url="https://feed.example/now"),)
    more: Callable[[int], tuple[Ask, ...]] = lambda _: ()

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        return self.first

    def follow(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Ask, ...]:
        return self.more(len(answers))

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        if isinstance(self.said, Exception):
            raise self.said
        return tuple(self.said)


@dataclass(slots=True)
class Line:
    """The way to a provider: what went over it, and by URL what goes wrong."""

    asked: list[str] = field(default_factory=list)
    anew: list[bool] = field(default_factory=list)
    wrong: dict[str, Exception] = field(default_factory=dict)
    hangs: bool = False

    async def fetch(self, ask: Ask) -> Answer:
        self.asked.append(ask.url)
        self.anew.append(ask.anew)
        if self.hangs:
            await asyncio.Event().wait()
        for url, error in self.wrong.items():
            if url in ask.url:
                raise error
        return Answer(ask=ask, body=b"{}", media_type="application/json", fetched_utc=NOW)


@dataclass(slots=True)
class World:
    """One feed and everything around it."""

    provider: Scripted
    line: Line = field(default_factory=Line)
    metrics: Metrics = field(default_factory=Metrics)
    folder: Path | None = None
    basis: Basis | None = None
    limit_s: float = 5.0

    def feed(self, name: str = "feed") -> Feed:
        cache = None if self.folder is None else SignalCache(self.folder)
        habits = Habits(chance=lambda: 0.5, metrics=SourceMetrics(self.metrics), limit_s=self.limit_s)
        return Feed(name, self.provider, fetch=self.line.fetch, cache=cache, basis=self.basis, habits=habits)

    def count(self, name: str, **labels: str) -> float:
        found = self.metrics.registry.get_sample_value(f"heatdispatch_{name}", labels)
        return 0.0 if found is None else found
