"""Polls the sources that policies state, on one thread: chains follow the policies, nobody waits for the internet.

Every replica polls, so that a new leader knows what the old one knew; probes never ask about sources.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from scheduler.adapters.clock import Clocks
from scheduler.adapters.kubernetes.objects import uid_of
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.runtime import kinds
from scheduler.adapters.kubernetes.runtime.conditions import Condition, Truth
from scheduler.adapters.logs import Teller
from scheduler.adapters.metrics.registry import Metrics
from scheduler.adapters.metrics.sources import SourceMetrics
from scheduler.adapters.sources.cache import SignalCache
from scheduler.adapters.sources.chain import Choice
from scheduler.adapters.sources.feed import Habits
from scheduler.adapters.sources.polling import Polling
from scheduler.adapters.sources.rates import RatesFile
from scheduler.adapters.sources.web.client import Unanswered, WebClient, agent_name
from scheduler.config.kinds import DispatchPolicy, Site
from scheduler.config.live import readable
from scheduler.core.signals.conversion import ExchangeRates
from scheduler.domain.observed import SourceReading
from scheduler.entrypoints.signal_chains import FILE, Chains, Linked, Means, Stated
from scheduler.entrypoints.signal_web import Credentials, fetching, files_in, host_rules
from scheduler.ports import SeriesSource

LOOK_S = 1.0
SECRET_S = 30.0
STOP_S = 0.2
SOURCES_READY = "SourcesReady"
MOST_TOLD = 4
STILL_ASKED = "has not answered yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalOptions:
    """How sources are asked.

    allowed: hosts of the internet that may be asked; none: the providers' own. inside: hosts of the cluster's networks that may
    be asked. cache: folder in which what was heard survives a restart. files: folder of the files that sources may name. rates:
    file of exchange rates. contact: an address of whoever runs this, which some providers demand. look_s: how often changed
    policies are looked for, secret_s: changed secrets.
    """

    allowed: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    cache: Path | None = None
    files: Path | None = None
    rates: Path | None = None
    contact: str = ""
    look_s: float = LOOK_S
    secret_s: float = SECRET_S


class Signals:
    """The sources of all policies. `run` is the target of a thread; what is known may be asked on any other."""

    def __init__(
        self,
        options: SignalOptions,
        stores: Stores,
        credentials: Credentials,
        *,
        files: Sequence[SeriesSource],
        clock: Clocks,
        metrics: Metrics,
        on_news: Callable[[str], None],
    ) -> None:
        """Ask nobody yet. on_news: is told a policy of which a chain says something usable that did not before.

        Raises:
            Misconfigured: an option cannot be.
            OSError: the file of rates cannot be read.
        """
        self._options, self._rules = options, host_rules(options.allowed, options.inside)
        self._agent = agent_name(options.contact)
        self._stores, self._clock, self._on_news = stores, clock, on_news
        self._metrics = SourceMetrics(metrics)
        self._client: WebClient | None = None
        rates = ExchangeRates if options.rates is None else RatesFile(options.rates)
        cache = None if options.cache is None else SignalCache(options.cache)
        fetch = fetching(self._asking, credentials, files_in(options.files, clock))
        habits = Habits(metrics=self._metrics)
        self._chains = Chains(Means(fetch=fetch, rates=rates, cache=cache, files=tuple(files), habits=habits))
        self._polling = Polling(self._chains.sources)
        self._asked: asyncio.Task[None] | None = None
        self._usable_before: set[tuple[str, str]] = set()
        self._seen: tuple[object, ...] | None = None
        self._credentials, self._known = credentials, dict[str, Mapping[str, str] | None]()
        self._secrets_due_s = 0.0
        self._tell = Teller("operator.signals")

    # What is known.

    def readings(self, policy: str, now_utc: datetime) -> Sequence[SourceReading]:
        """What the chains of a policy say."""
        return self._chains.readings(policy, now_utc)

    def max_age_s(self, policy: str, readings: Sequence[SourceReading]) -> Mapping[str, float]:
        """How old readings of a policy may be, by quantity."""
        return self._chains.max_age_s(policy, readings)

    def of_all(self, now_utc: datetime) -> Sequence[SourceReading]:
        """One reading per quantity for the whole site: of the first policy, by name, that knows one."""
        found: dict[str, SourceReading] = {}
        for policy in self._chains.policies:
            for reading in self.readings(policy, now_utc):
                found.setdefault(reading.quantity, reading)
        return tuple(found.values())

    def conditions(self, policy: str) -> tuple[Condition, ...]:
        """How the sources of a policy stand; none when it states none."""
        chains = [linked for linked in self._chains.of(policy) if linked.stated]
        return (sources_ready(chains, self._clock.now_utc()),) if chains else ()

    def gauges(self) -> None:
        """Ages, last successes and depths for Prometheus."""
        now_utc, depths = self._clock.now_utc(), dict[str, list[int | None]]()
        for policy in self._chains.policies:
            for linked in self._chains.of(policy):
                depth = linked.fallen(now_utc)
                if linked.stated or depth is not None:
                    depths.setdefault(linked.quantity, []).append(depth)
        heard = (reading for source in self._chains.sources for reading in source.readings(now_utc))
        self._metrics.gauges(heard, depths, now_utc)

    # Asking.

    def run(self, stopping: threading.Event) -> None:
        """Ask until stopped."""
        asyncio.run(self._turns(stopping))

    async def _turns(self, stopping: threading.Event) -> None:
        """Turn after turn; a turn that is under way when we are to stop is dropped."""
        async with WebClient(self._rules, user_agent=self._agent) as client:
            self._client = client
            try:
                while not stopping.is_set():
                    await _until(stopping, asyncio.create_task(self._turn()))
                    wait_s = min(self._options.look_s, max(STOP_S, self._polling.next_s(self._clock.now_utc())))
                    await asyncio.to_thread(stopping.wait, wait_s)
            finally:
                await self._polling.close()
                self._client = None

    async def _turn(self) -> None:
        """Take changed policies up, ask whose time has come, and say who has news: of who answers soon, not after the last."""
        try:
            before = self._seated()
            await self._mended()
            if before is not None:
                # Only the waiting ends; who is being asked and still stated goes on, or a policy that is edited again and again
                # would let no slow source ever answer.
                if self._asked is not None:
                    self._asked.cancel()
                await self._polling.seat(self._chains.sources)
                self._asked = None
            now_utc = self._clock.now_utc()
            if self._asked is None or self._asked.done():
                if before is None and self._polling.next_s(now_utc) > 0.0:
                    return
                self._usable_before = self._usable() if before is None else before
                self._asked = asyncio.create_task(self._polling.turn(now_utc))
            await asyncio.wait({self._asked}, timeout=self._options.look_s)
            self._news()
        except Exception as error:  # sources promise to raise nothing; the next turn is another chance
            self._tell.error("sources could not be asked", fault=error)

    def _news(self) -> None:
        """Say which policies have something usable that they had not before."""
        usable = self._usable()
        for policy in sorted({policy for policy, _ in usable - self._usable_before}):
            self._on_news(policy)
        self._usable_before = usable

    def _asking(self) -> WebClient:
        """The client of the present run."""
        assert self._client is not None, "feeds are only asked within `run`"
        return self._client

    def _seated(self) -> set[tuple[str, str]] | None:
        """Make chains of the policies when these, or the site, have changed: what was usable before; None: they have not."""
        objects = (*self._stores.of_policy(kinds.SITES), *self._stores.of_policy(kinds.POLICIES))
        seen = tuple(sorted((uid_of(obj), int((obj.get("metadata") or {}).get("generation", 0))) for obj in objects))
        if seen == self._seen:
            return None
        before, names = self._usable(), [source.name for source in self._chains.sources]
        sites, policies = readable(objects, Site), readable(objects, DispatchPolicy)
        zone = sites[0].spec.time_zone if sites else "UTC"
        self._chains.seat([Stated(policy=one.name, sources=one.spec.sources, time_zone=zone) for one in policies])
        self._seen = seen
        now_named = [source.name for source in self._chains.sources]
        if now_named != names:
            self._tell.info("sources read", sources=now_named)
        return before

    def _usable(self) -> set[tuple[str, str]]:
        """Policies with the quantities of which they have something usable now."""
        now_utc = self._clock.now_utc()
        choices = (
            (policy, linked.quantity, linked.choice(now_utc))
            for policy in self._chains.policies
            for linked in self._chains.of(policy)
        )
        return {(policy, quantity) for policy, quantity, one in choices if one is not None and one.depth is not None}

    async def _mended(self) -> None:
        """Ask at once what a changed secret may open; each is looked at twice a minute."""
        now_s = self._clock.monotonic_s()
        if now_s < self._secrets_due_s:
            return
        self._secrets_due_s = now_s + self._options.secret_s
        for name in self._chains.secrets:
            try:
                found: Mapping[str, str] | None = await asyncio.to_thread(self._credentials, name)
            except Unanswered:
                found = None
            if name in self._known and found != self._known[name]:
                self._tell.info("a secret has changed", name=name)
                for feed in self._chains.with_secret(name):
                    feed.soon()
            self._known[name] = found


async def _until(stopping: threading.Event, work: asyncio.Task[None]) -> None:
    """Wait for some work, or drop it when we are to stop."""
    while not stopping.is_set():
        done, _ = await asyncio.wait({work}, timeout=STOP_S)
        if done:
            return
    work.cancel()
    await asyncio.wait({work})


def sources_ready(chains: Sequence[Linked], now_utc: datetime) -> Condition:
    """Whether every chain of a policy has something usable, and from its first source."""
    missing, degraded, unasked = list[str](), list[str](), list[str]()
    for linked in chains:
        choice = linked.choice(now_utc)
        depth = None if choice is None else choice.depth
        whys = _whys(linked, choice, depth, now_utc)
        why = "; ".join(whys[:MOST_TOLD])
        if depth is None and all(one.endswith(STILL_ASKED) for one in whys):
            unasked.append(f"{linked.field}: nobody has answered yet")
        elif depth is None:
            missing.append(f"{linked.field}: {why}")
        elif why:
            degraded.append(f"{linked.field}: {linked.links[depth].source.name} is used; {why}")
    message = ". ".join((*missing, *degraded, *unasked))
    if missing:
        return Condition(type=SOURCES_READY, status=Truth.FALSE, reason="NothingUsable", message=message)
    if unasked:
        return Condition(type=SOURCES_READY, status=Truth.UNKNOWN, reason="Asking", message=message)
    reason = "Degraded" if degraded else "AllUsable"
    return Condition(type=SOURCES_READY, status=Truth.TRUE, reason=reason, message=message)


def _whys(linked: Linked, choice: Choice | None, depth: int | None, now_utc: datetime) -> list[str]:
    """Why sources before the one in use are not: as they say themselves, else as whoever looked at their values.

    One that has neither answered nor failed is still being asked; a file may tell less than everything.
    """
    refused = () if choice is None else choice.refused
    found = list(linked.refused)
    for link in linked.links[:depth]:
        name, trouble = link.source.name, link.source.trouble()
        told = [one for one in refused if one.startswith(f"{name}: ")]
        still = link.provider != FILE and not told and not link.source.readings(now_utc)
        found += [f"{name}: {trouble}"] if trouble else [f"{name} {STILL_ASKED}"] if still else told
    return found
