"""A provider's feed in front of a fixed source, through one fault after another: what was told, chosen, counted and logged.

All stories of a case run side by side against one server, each in a room of its own with a clock of its own.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from types import ModuleType

import httpx
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from signal_faults import DOCUMENT, FAULTS, HEADERS, REVISION, WIRE
from signal_peer import Fault, Page, Peer, Room, Route, Routes

from scheduler.adapters.metrics.catalog import SOURCES
from scheduler.adapters.metrics.registry import Metrics
from scheduler.adapters.metrics.sources import Outcome, SourceMetrics
from scheduler.adapters.sources.blueprint import Answer, Ask, Provider
from scheduler.adapters.sources.chain import Chain, Choice
from scheduler.adapters.sources.feed import Feed, Habits
from scheduler.adapters.sources.fixed import FixedSource, constant
from scheduler.adapters.sources.web.client import WebClient
from scheduler.adapters.sources.web.hosts import HostRules
from scheduler.adapters.sources.web.manners import Limits, Times
from scheduler.adapters.sources.web.wire import Direct, Pinned
from scheduler.core.signals.conversion import ExchangeRates
from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR, PLANT_FORECAST, PRICE
from scheduler.domain.time import FloatArray

NOW_UTC = datetime(2026, 3, 11, 15, 20, tzinfo=UTC)
RULES = HostRules(["127.0.0.1"], allow_loopback=True)
# Stories at the same time: those that wait for what never comes hold nobody up.
TOGETHER = 12
PATIENT = Limits(
    total_s=120.0,
    read_s=60.0,
    connect_s=60.0,
    tries=2,
    backoff_s=0.001,
    per_host_s=0.0,
    max_bytes=1 << 20,
    connections=TOGETHER,
    host_connections=TOGETHER,
)
# Only for those that never end: whatever the machine is busy with, they come to nothing.
IMPATIENT = Limits(total_s=0.2, tries=1, per_host_s=0.0)
ENDLESS = frozenset({"slow drip", "silence"})
# What is in a document may be taken in part; all else leaves nothing to take, or does no harm.
HARMLESS = frozenset({"", "fast clock"})
# What comes in good order, whatever stands in it.
BODIES = frozenset({"fast clock", "empty body"})
IN_PART = frozenset({"nulls", "NaN", "infinite", "words", "duplicated", "missing", "overlapping", "backwards", "revised"})
IN_PART |= {"coarser at first", "made later"}
# Values are told of times that begin, or last, up to an hour beside those of the page.
BESIDE = frozenset({"overlapping", "coarser at first"})
# After so long everything is too old to be used.
LASTING = timedelta(days=3)
# A table has no end that could be missing, and a record of the newest value is no list that could be empty.
LEAVES_SOMETHING = frozenset({("csv_feed", "cut off"), ("electricity_maps", "empty")})
LEVELS = {PRICE: 0.07770, CARBON: 333.25, OUTDOOR: 7.725, HEAT_DEMAND: 5000.5, PLANT_FORECAST: 6000.5}
GBP_PER_EUR = 0.85
# By hand, since what is tested has a table of its own.
OURS = {
    "EUR/MWh": 1e-3,
    "EUR/kWh": 1.0,
    "ct/kWh": 1e-2,
    "GBp/kWh": 1e-2 / GBP_PER_EUR,
    "g/kWh": 1.0,
    "lb/MWh": 0.45359237,
    "degC": 1.0,
    "kW": 1.0,
    "MW": 1e3,
}
SAMPLE_S = 300
# Temperatures hold at instants; between two of them, three hours apart at most, is a straight line.
REACH_S = {OUTDOOR: 3 * 3600}


@dataclass(slots=True, eq=False)
class StoryClock:
    """The time of a story: nothing moves it but the story."""

    at_utc: datetime

    def now_utc(self) -> datetime:
        return self.at_utc

    def monotonic_s(self) -> float:
        return self.at_utc.timestamp()

    async def sleep(self, seconds: float) -> None:
        """A wait within a request; it takes no time."""
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A provider as it is asked for one quantity. make: from its address. now_utc: when its stories begin."""

    name: str
    quantity: str
    page: ModuleType
    make: Callable[[str], Provider]
    now_utc: datetime = NOW_UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What there was at one time: the choice of the chain, how the poll ended, what was logged for the feed so far."""

    choice: Choice
    trouble: str
    ended: Outcome | None
    log: tuple[tuple[str, str], ...]
    depth: float | None


@dataclass(slots=True, eq=False)
class Story:
    """One fault: polled twice while it lasts, once when it is over; then, if it is one of documents, once more with it; and
    looked at again days after the last poll.
    """

    case: Case
    fault: Fault | None
    stages: dict[str, Stage] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.case.name} {self.case.quantity} [{'well' if self.fault is None else self.fault.name}]"


class Kept(httpx.AsyncBaseTransport):
    """A way to the web that several clients share."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.inner.handle_async_request(request)


class Pages:
    """The pages of a case by time, each made once."""

    def __init__(self, page: ModuleType) -> None:
        self._page, self._made = page, dict[tuple[datetime, str, frozenset[tuple[str, str]]], Page]()

    def at(self, now_utc: datetime) -> Routes:
        """The routes at some time, dated then."""
        routes: Routes = self._page.routes(now_utc)
        return {path: self._dated(now_utc, path, route) for path, route in routes.items()}

    def _dated(self, now_utc: datetime, path: str, route: Route) -> Route:
        def told(query: Mapping[str, str]) -> Page:
            key = now_utc, path, frozenset(query.items())
            if key not in self._made:
                status, headers, body = route(query)
                self._made[key] = status, {"Date": format_datetime(now_utc, usegmt=True), **headers}, body
            status, headers, body = self._made[key]
            return status, dict(headers), body

        return told


class Notes(logging.Handler):
    """What is logged, by level and words."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.said: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append((record.levelname, record.getMessage()))


@contextmanager
def noted() -> Iterator[Notes]:
    """What sources log meanwhile, wherever else it goes."""
    logger, notes = logging.getLogger("heat_dispatch.sources"), Notes()
    before = logger.level, logger.propagate
    logger.addHandler(notes)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield notes
    finally:
        logger.removeHandler(notes)
        logger.setLevel(before[0])
        logger.propagate = before[1]


@dataclass(slots=True, eq=False)
class World:
    """What the stories of a case share."""

    case: Case
    peer: Peer
    way: httpx.AsyncBaseTransport
    pages: Pages
    notes: Notes
    gate: asyncio.Semaphore

    async def enter(self, story: Story, room_name: str) -> None:
        """Live through one story when there is room for it."""
        async with self.gate:
            await self.live(story, room_name)

    async def live(self, story: Story, room_name: str) -> None:
        """Live through one story."""
        clock, room, metrics = StoryClock(self.case.now_utc), Room(routes={}), Metrics(SOURCES)
        self.peer.rooms[room_name] = room
        times = Times(clock=clock, sleep=clock.sleep, jitter=lambda: 0.5)
        patient, impatient = (WebClient(RULES, limits=one, transport=self.way, times=times) for one in (PATIENT, IMPATIENT))
        endless = story.fault is not None and story.fault.name in ENDLESS

        async def fetch(ask: Ask) -> Answer:
            client = impatient if endless and room.fault is not None else patient
            return await client.fetch(ask, self.case.page.CREDENTIALS)

        told = SourceMetrics(metrics)
        rates = ExchangeRates(per_eur={"GBP": GBP_PER_EUR, "DKK": 7.46})
        provider = self.case.make(f"{self.peer.url}/{room_name}")
        habits = Habits(chance=lambda: 0.5, metrics=told)
        feed = Feed(story.name, provider, fetch=fetch, rates=rates, habits=habits)
        fixed = FixedSource("fallback", self.case.quantity, constant(LEVELS[self.case.quantity]))
        chain = Chain("chain", [feed, fixed])

        def look(ended: Outcome | None) -> Stage:
            """What there is now."""
            now_utc = clock.at_utc
            choice = chain.choices(now_utc)[self.case.quantity]
            told.gauges(feed.readings(now_utc), {story.name: [choice.depth]}, now_utc)
            depth = metrics.registry.get_sample_value("heatdispatch_source_fallback_depth", {"quantity": story.name})
            log = tuple((level, text) for level, text in self.notes.said if f"source {story.name}" in text)
            return Stage(choice=choice, trouble=feed.trouble(), ended=ended, log=log, depth=depth)

        plot: list[tuple[str, Fault | None]] = [("first", story.fault), ("again", story.fault), ("over", None)]
        if story.fault in DOCUMENT:
            plot.append(("later", story.fault))
        for stage, fault in plot:
            clock.at_utc += timedelta(seconds=feed.due_s(clock.at_utc))
            room.fault, room.routes = fault, self.pages.at(clock.at_utc)
            before = polls(metrics, story)
            await chain.poll(clock.at_utc)
            after = polls(metrics, story)
            ended = [outcome for outcome in Outcome if after[outcome] > before[outcome]]
            story.stages[stage] = look(ended[0] if len(ended) == 1 else None)
        # Nobody asks any more, or nothing comes any more: what was known gets old.
        clock.at_utc += LASTING
        story.stages["lasting"] = look(None)


def polls(metrics: Metrics, story: Story) -> dict[Outcome, float]:
    """How many polls have ended in which way."""
    get, name = metrics.registry.get_sample_value, "heatdispatch_source_polls_total"
    return {one: get(name, {"source": story.name, "outcome": one.value}) or 0.0 for one in Outcome}


def lived(case: Case, peer: Peer, faults: Mapping[str, Fault] = FAULTS) -> list[Story]:
    """All stories of a case, the one without a fault first."""
    stories = [Story(case=case, fault=fault) for fault in (None, *faults.values())]

    async def live(notes: Notes) -> None:
        # Nothing here is asked by TLS: no certificates are loaded.
        way = Direct(Pinned(RULES), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), PATIENT)
        try:
            gate = asyncio.Semaphore(TOGETHER)
            world = World(case=case, peer=peer, way=Kept(way), pages=Pages(case.page), notes=notes, gate=gate)
            await asyncio.gather(*(world.enter(story, f"{case.name}-{place}") for place, story in enumerate(stories)))
        finally:
            await way.aclose()

    with noted() as notes:
        asyncio.run(live(notes))
    return stories


# What must hold.


def complaints(story: Story) -> list[str]:
    """What is wrong with a story; empty when all laws hold."""
    found = [f"{stage}: {one}" for stage, seen in story.stages.items() for one in unlawful(story, seen)]
    found += falls(story) + logged(story)
    return [f"{story.name}: {one}" for one in found]


def unlawful(story: Story, seen: Stage) -> Iterator[str]:
    """Values that nobody sent, and slots that do not say who told them."""
    reading, case = seen.choice.reading, story.case
    if reading is None:
        yield "nothing chosen"
        return
    if seen.depth != float(-1 if seen.choice.depth is None else seen.choice.depth):
        yield f"the metric says depth {seen.depth}, the chain {seen.choice.depth}"
    grid, values, origins = reading.series.grid, reading.series.values, reading.origins
    known = np.isfinite(values)
    if bool((known != (origins.slots >= 0)).any()):
        yield "who told a slot, and whether it is known, do not agree"
    fixed = np.array([*(part.source == "fallback" for part in origins.parts), False])[origins.slots]
    if bool((values[known & fixed] != LEVELS[case.quantity]).any()):
        yield "another value than the fallback's by its name"
    low, high = truth_of(case).bounds(story, int(grid.start_utc.timestamp()), grid.slot_s, grid.slots)
    wrong = np.flatnonzero(known & ~fixed & ~((low <= values[None, :]) & (values[None, :] <= high)).any(axis=0))
    for slot in wrong[:5].tolist():
        yield f"{grid.time_of(slot):%d %H:%M} {values[slot]} was sent by nobody ({len(wrong)} such values)"


class Truth:
    """What the pages of a case tell of each five minutes, in our unit, from 20 days before the stories to 15 days after."""

    def __init__(self, case: Case) -> None:
        self.case, self.first_s = case, int(case.now_utc.timestamp()) // 86400 * 86400 - 20 * 86400
        times = range(self.first_s, self.first_s + 35 * 86400, SAMPLE_S)
        told = [case.page.value_at(case.quantity, datetime.fromtimestamp(at_s, tz=UTC)) for at_s in times]
        self.told = np.array(told) * OURS[case.page.UNITS[case.quantity]]
        self._ends: dict[int, tuple[FloatArray, FloatArray]] = {}

    def ends(self, samples: int) -> tuple[FloatArray, FloatArray]:
        """The least and the largest of so many samples, by the first of them."""
        if samples not in self._ends:
            windows = sliding_window_view(self.told, samples)
            self._ends[samples] = windows.min(axis=1), windows.max(axis=1)
        return self._ends[samples]

    def bounds(self, story: Story, start_s: int, slot_s: int, slots: int) -> tuple[FloatArray, FloatArray]:
        """Between which values a slot may be that is told or was told otherwise before, (revisions, slots) each."""
        fault = "" if story.fault is None else story.fault.name
        reach_s = REACH_S.get(self.case.quantity, 0) + (3600 if fault in BESIDE else 0)
        at = (start_s - reach_s - self.first_s) // SAMPLE_S + np.arange(slots) * (slot_s // SAMPLE_S)
        assert at.min() >= 0
        low, high = (ends[at] for ends in self.ends((slot_s + 2 * reach_s) // SAMPLE_S))
        if fault == "revised":
            revised_low, revised_high = np.minimum(low, low * REVISION), np.maximum(high, high * REVISION)
            mixed = slot_s > self.case.page.STEP_S
            low = np.stack([revised_low] if mixed else [low, low * REVISION])
            high = np.stack([revised_high] if mixed else [high, high * REVISION])
        room = 1e-6 * np.maximum(1e-3, np.maximum(np.abs(low), np.abs(high)))
        return np.atleast_2d(np.minimum(low, high) - room), np.atleast_2d(np.maximum(low, high) + room)


@cache
def truth_of(case: Case) -> Truth:
    """The truth of a case."""
    return Truth(case)


def falls(story: Story) -> list[str]:
    """Where each fault has to end: in the next step of the chain, unless some values are left; and back when it is over."""
    first, again, over = (story.stages[name] for name in ("first", "again", "over"))
    good = {Outcome.GOOD, Outcome.PARTIAL}
    found = []
    if over.choice.depth != 0 or over.ended is not Outcome.GOOD:
        found.append(f"over: depth {over.choice.depth}, {over.ended}: {over.trouble} {over.choice.refused}")
    for name, seen in (("first", first), ("again", again)):
        fault = "" if story.fault is None else story.fault.name
        may_be_used = fault in HARMLESS | IN_PART or (story.case.name, fault) in LEAVES_SOMETHING
        must_be_used = fault in HARMLESS
        if seen.choice.depth not in ((0,) if must_be_used else (0, 1) if may_be_used else (1,)):
            found.append(f"{name}: depth {seen.choice.depth}, {seen.ended}: {seen.trouble} {seen.choice.refused}")
        if seen.ended is None or (seen.choice.depth == 0) > (seen.ended in good):
            found.append(f"{name}: depth {seen.choice.depth}, but the poll ended as {seen.ended}")
        if seen.ended is not Outcome.GOOD and not seen.trouble:
            found.append(f"{name}: {seen.ended} without a word why")
        if story.fault in (*WIRE, *HEADERS) and fault not in BODIES and seen.ended is not Outcome.UNANSWERED:
            found.append(f"{name}: no answer, counted as {seen.ended}")
    if story.stages["lasting"].choice.depth != 1:
        found.append(f"lasting: depth {story.stages['lasting'].choice.depth}")
    return found


def logged(story: Story) -> list[str]:
    """One line when polls begin to fail, one when they work again, and none between."""
    stages = [story.stages[name] for name in ("first", "again", "over")]
    expected: list[tuple[str, str]] = []
    failing = False
    for seen in stages:
        bad = seen.ended not in {Outcome.GOOD, Outcome.PARTIAL}
        if bad != failing:
            expected.append(("WARNING", "failed") if bad else ("INFO", "works again"))
        failing = bad
    told = [(level, text.removeprefix(f"source {story.name}").strip()) for level, text in stages[-1].log]
    # A source that tells less than it should says so in lines of their own.
    polls = [(level, text) for level, text in told if not text.startswith(":")]
    return [] if polls == expected else [f"logged {polls}, not {expected}"]
