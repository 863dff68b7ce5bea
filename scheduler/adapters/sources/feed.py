"""A provider that is polled: asked when it has news, believed within limits, remembered over polls and restarts."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from scheduler.adapters.logs import Episode, Teller
from scheduler.adapters.metrics.sources import Outcome, SourceMetrics
from scheduler.adapters.sources.blueprint import Answer, Ask, BadAnswer, NothingYet, Provider
from scheduler.adapters.sources.cache import SignalCache
from scheduler.adapters.sources.rhythm import FIRST_S, Chance, Row, after_bad_s, after_good_s
from scheduler.adapters.sources.web.trouble import Unanswered, one_line
from scheduler.core.accounting.told import LIMITS
from scheduler.core.signals.conversion import ExchangeRates
from scheduler.core.signals.intervals import reach_utc
from scheduler.core.signals.knowledge import Intake, Knowledge, Taken, readings_of, taken
from scheduler.domain.observed import SourceReading
from scheduler.domain.signals import Basis

Fetch = Callable[[Ask], Awaitable[Answer]]
# Requests of one poll beyond the first ones: next pages, files of an index.
MOST_FOLLOWED = 8
# At which providers are asked what they would ask, to tell one set of options from another.
SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO = datetime.min.replace(tzinfo=UTC)


def _chance() -> Chance:
    """Another row of numbers in every process, so that installations do not ask in step."""
    return np.random.default_rng().random


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What feeds of one process share. limit_s: no poll takes longer. metrics: whom polls are told to."""

    limit_s: float = 180.0
    chance: Chance = field(default_factory=_chance)
    metrics: SourceMetrics | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bad:
    """Why a poll brought nothing, as the label of a metric, in words, and what it means for the next one."""

    outcome: Outcome
    why: str
    retry_after_s: float | None = None
    final: bool = False
    again_s: float = FIRST_S


class Feed:
    """One provider behind `scheduler.ports.SeriesSource`. `poll` does nothing before it is due; readings cost nothing."""

    def __init__(
        self,
        name: str,
        provider: Provider,
        *,
        fetch: Fetch,
        rates: ExchangeRates | Callable[[], ExchangeRates] | None = None,
        cache: SignalCache | None = None,
        basis: Basis | None = None,
        habits: Habits | None = None,
    ) -> None:
        """Take up what the cache knows of this provider with these options; ask nothing yet.

        Args:
            name: what its owner calls it.
            provider: what to ask for, and how answers are read.
            fetch: brings an answer, or raises `Unanswered`.
            rates: exchange rates, or where to get them at each poll; without any only euros are understood.
            cache: where what is known is kept over restarts.
            basis: of which kind its carbon has to be; None: of the kind that it tells first.
            habits: what all feeds share.
        """
        self._name, self._provider, self._fetch, self._cache = name, provider, fetch, cache
        self._rates = rates if callable(rates) else (lambda: rates or ExchangeRates())
        self._basis, self._habits = basis, habits or Habits()
        tell = Teller("sources")
        self._polls, self._whole = Episode(tell, f"source {name}"), Episode(tell, f"source {name}: telling all it should")
        self._trouble, self._busy = "", False
        self._asked_utc: datetime | None = None
        self._due_utc: datetime | None = None
        self._known: Mapping[str, Knowledge] = {}
        self._readings: tuple[SourceReading, ...] = ()
        if cache is not None:
            self._know(cache.load(name, self._identity()))

    @property
    def name(self) -> str:
        """What its owner calls it."""
        return self._name

    def readings(self, now_utc: datetime) -> tuple[SourceReading, ...]:
        """What is known, at once: one reading a quantity."""
        return self._readings

    def trouble(self) -> str:
        """Why the last poll brought nothing, or less than it should."""
        return self._trouble

    def due_s(self, now_utc: datetime) -> float:
        """How long until it wants to be polled, in seconds."""
        if self._due_utc is None:
            self._due_utc = self._first_due_utc(now_utc)
        # A clock that was put back makes nobody wait.
        turned_back = self._asked_utc is not None and now_utc < self._asked_utc
        return 0.0 if turned_back else max(0.0, (self._due_utc - now_utc).total_seconds())

    def soon(self) -> None:
        """Ask at the next poll, whatever the schedule says: something that kept answers away has changed."""
        self._due_utc = LONG_AGO

    async def poll(self, now_utc: datetime) -> None:
        """Ask, if it is time; nothing that goes wrong is raised."""
        if self._busy or self.due_s(now_utc) > 0.0:
            return
        self._busy, self._asked_utc = True, now_utc
        try:
            await self._polled(now_utc)
        finally:
            self._busy = False

    async def _polled(self, now_utc: datetime) -> None:
        """Ask, take in what came, and say what was wrong with it."""
        try:
            async with asyncio.timeout(self._habits.limit_s):
                answers, lacking = await self._answers(now_utc)
                told = self._provider.read(answers, now_utc)
            intake = Intake(limits=LIMITS, rates=self._rates(), basis=self._basis)
            found = taken(self._known, told, intake, now_utc)
        except Exception as error:  # whatever a provider trips over is told, and the others go on
            self._failed(self._bad(error), now_utc)
            return
        self._count_rejected(found)
        remarks = dict.fromkeys(one.remark for one in told if one.remark)
        wrong = [*lacking, *remarks, *(one.why for one in found.refused), *found.gaps]
        if not found.quantities:
            why = one_line("; ".join(wrong) or "answered, but with no value that could be taken")
            self._failed(_Bad(outcome=Outcome.UNUSABLE, why=why), now_utc)
            return
        self._know(found.known)
        self._well(wrong, now_utc)
        if self._cache is not None:
            await asyncio.to_thread(self._cache.save, self._name, self._identity(), found.known)

    # Asking.

    async def _answers(self, now_utc: datetime) -> tuple[list[Answer], list[str]]:
        """All answers of one poll, and what was wrong with those that were not needed.

        Raises:
            Unanswered: one that is needed did not come.
        """
        asked = list(self._provider.asks(now_utc))
        answers, lacking = await self._fetched(asked)
        left = MOST_FOLLOWED
        while more := [ask for ask in self._provider.follow(answers, now_utc) if ask not in asked]:
            if not left:
                lacking.append(f"more than {MOST_FOLLOWED} further requests: the rest was not asked for")
                break
            more = more[:left]
            left -= len(more)
            asked += more
            found, why = await self._fetched(more)
            answers += found
            lacking += why
        return answers, lacking

    async def _fetched(self, asks: Sequence[Ask]) -> tuple[list[Answer], list[str]]:
        """Answers in the order of their asks, without those that are not needed and did not come."""
        # An answer that was no good may be kept by the client for as long as it says that it holds.
        anew = self._polls.failures > 0
        asked = (dataclasses.replace(ask, anew=True) if anew else ask for ask in asks)
        found = await asyncio.gather(*(self._fetch(ask) for ask in asked), return_exceptions=True)
        for ask, one in zip(asks, found, strict=True):
            if isinstance(one, BaseException) and not (ask.optional and isinstance(one, Unanswered)):
                raise one
        return [one for one in found if isinstance(one, Answer)], [str(one) for one in found if isinstance(one, Unanswered)]

    def _bad(self, error: Exception) -> _Bad:
        """What a failure is."""
        match error:
            case Unanswered():
                return _Bad(outcome=Outcome.UNANSWERED, why=error.reason, retry_after_s=error.retry_after_s, final=error.final)
            case TimeoutError():
                return _Bad(outcome=Outcome.UNANSWERED, why=f"no end within {self._habits.limit_s:g} s")
            case NothingYet():
                return _Bad(outcome=Outcome.NOTHING, why=one_line(str(error)), again_s=self._provider.schedule.again_s)
            case BadAnswer():
                return _Bad(outcome=Outcome.MALFORMED, why=one_line(str(error)))
            case _:
                return _Bad(outcome=Outcome.MALFORMED, why=one_line(f"{type(error).__name__}: {error}"))

    # What follows.

    def _know(self, known: Mapping[str, Knowledge]) -> None:
        """Say from now on what is known; whoever reads on another thread sees all of it or nothing of it."""
        self._known = known
        self._readings = readings_of(known, self._name)

    def _well(self, wrong: Sequence[str], now_utc: datetime) -> None:
        """A poll went well, though something may be lacking."""
        self._trouble = one_line("; ".join(wrong))
        self._count(Outcome.PARTIAL if wrong else Outcome.GOOD)
        self._polls.worked()
        if wrong:
            self._whole.failed(self._trouble)
        else:
            self._whole.worked()
        wait_s = after_good_s(self._provider.schedule, now_utc, self._reach_utc(), self._habits.chance)
        self._due_utc = now_utc + timedelta(seconds=wait_s)

    def _failed(self, bad: _Bad, now_utc: datetime) -> None:
        """A poll brought nothing: what is known stays, and ages."""
        self._trouble = bad.why
        self._count(bad.outcome)
        row = Row(failures=self._polls.failures + 1, retry_after_s=bad.retry_after_s, final=bad.final, again_s=bad.again_s)
        wait_s = after_bad_s(self._provider.schedule, row, self._habits.chance)
        self._due_utc = now_utc + timedelta(seconds=wait_s)
        self._polls.failed(bad.why, outcome=bad.outcome.value, next_in_s=round(wait_s))

    def _count(self, outcome: Outcome) -> None:
        """Tell the metrics of a poll."""
        if self._habits.metrics is not None:
            self._habits.metrics.polled(self._name, outcome)

    def _count_rejected(self, found: Taken) -> None:
        """Tell the metrics of values that were not taken."""
        if self._habits.metrics is not None:
            for one in found.refused:
                self._habits.metrics.rejected(self._name, one.kind.value, one.count)

    def _reach_utc(self) -> datetime | None:
        """Until when all quantities are known."""
        ends = [reach_utc(one.intervals) for one in self._known.values()]
        return min((end for end in ends if end is not None), default=None)

    def _first_due_utc(self, now_utc: datetime) -> datetime:
        """At once; but after a restart not sooner than without it."""
        heard = [one.fetched_utc for one in self._known.values()]
        if not heard or min(heard) > now_utc:
            return now_utc
        wait_s = after_good_s(self._provider.schedule, min(heard), self._reach_utc(), self._habits.chance)
        return min(heard) + timedelta(seconds=wait_s)

    def _identity(self) -> str:
        """What is asked for, with every option: what was kept of anything else is not of this feed."""
        provider = self._provider
        said = repr(provider) if dataclasses.is_dataclass(provider) else repr(provider.asks(SOME_TIME))
        return f"{type(provider).__qualname__} {said} {self._basis}"
