"""From what policies state to sources in order of trust: feeds that policies share, rules at the end, a file before them.

One feed asks for all policies that state it alike; it stays, with what it knows, while any policy states it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from scheduler.adapters.sources.blueprint import Provider
from scheduler.adapters.sources.cache import SignalCache
from scheduler.adapters.sources.chain import Chain, Choice
from scheduler.adapters.sources.feed import Feed, Fetch, Habits
from scheduler.adapters.sources.providers.catalogue import PROVIDERS
from scheduler.adapters.sources.rule_catalogue import RULES, Around
from scheduler.config.kinds.base import seconds
from scheduler.config.kinds.policy import Source, Sources
from scheduler.config.sources import FIELDS, basis_of, chain_basis, chains_of
from scheduler.core.accounting.told import MAX_AGE_S
from scheduler.core.signals.conversion import ExchangeRates
from scheduler.domain.errors import Misconfigured
from scheduler.domain.observed import CARBON, OUTDOOR, SourceReading
from scheduler.domain.signals import Basis
from scheduler.entrypoints.signal_cards import CARDS
from scheduler.ports import SeriesSource

FILE = "file"
"""What a link says for its provider when it is a file of series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What one policy states of its sources, and the zone of its site."""

    policy: str
    sources: Sources
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Means:
    """What chains are made with.

    fetch: asks with the credentials of a secret, by its name ("": with none). files: first links of every chain that they
    can tell something for. habits: what all feeds share.
    """

    fetch: Callable[[str], Fetch]
    rates: Callable[[], ExchangeRates] = ExchangeRates
    cache: SignalCache | None = None
    files: tuple[SeriesSource, ...] = ()
    habits: Habits | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What makes two sources one feed."""

    called: str
    quantity: str
    provider: str
    options: tuple[tuple[str, str], ...]
    secret: str
    basis: Basis | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Link:
    """One source of a chain; older than max_age_s its word counts as missing."""

    source: SeriesSource
    provider: str
    quantity: str
    max_age_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linked:
    """The chain of one quantity of one policy. refused: sources that could not be made, and why."""

    field: str
    quantity: str
    chain: Chain
    links: tuple[Link, ...]
    refused: tuple[str, ...] = ()

    @property
    def stated(self) -> bool:
        """Whether the policy itself states it: a file may tell less than everything, and nobody misses the rest."""
        return bool(self.refused) or any(link.provider != FILE for link in self.links)

    def choice(self, now_utc: datetime) -> Choice | None:
        """What it says now; None when no link says anything."""
        return self.chain.choices(now_utc).get(self.quantity)

    def fallen(self, now_utc: datetime) -> int | None:
        """How many sources before the one in use are not; a file that never tells this quantity does not count.

        None: nothing is usable.
        """
        choice = self.choice(now_utc)
        if choice is None or choice.depth is None:
            return None
        before = self.links[: choice.depth]
        return sum(link.provider != FILE or bool(link.source.readings(now_utc)) for link in before)

    def max_age_s(self, source: str) -> float:
        """How old the word of one of its sources may be."""
        own_s = (link.max_age_s for link in self.links if link.source.name == source)
        return next(own_s, MAX_AGE_S[self.quantity])


class Only:
    """One quantity of a source that tells several, behind `scheduler.ports.SeriesSource`."""

    def __init__(self, source: SeriesSource, quantity: str) -> None:
        """Somebody else polls the source."""
        self._source, self._quantity = source, quantity

    @property
    def name(self) -> str:
        """The source's."""
        return self._source.name

    async def poll(self, now_utc: datetime) -> None:
        """Nothing to ask here."""

    def readings(self, now_utc: datetime) -> tuple[SourceReading, ...]:
        """What it says of the quantity; a column that is empty says nothing, and is no fault of the file."""
        mine = (one for one in self._source.readings(now_utc) if one.quantity == self._quantity)
        return tuple(one for one in mine if np.any(np.isfinite(one.series.values)))

    def trouble(self) -> str:
        """The source's."""
        return self._source.trouble()


class Chains:
    """The chains of all policies; `seat` takes what they state now. Whoever reads them may do so on any thread."""

    def __init__(self, means: Means) -> None:
        """No policy states anything yet."""
        self._means = means
        self._feeds: Mapping[Key, Feed] = {}
        self._of: Mapping[str, tuple[Linked, ...]] = {}

    def seat(self, stated: Sequence[Stated]) -> None:
        """Make the chains anew; feeds that are still stated stay."""
        feeds: dict[Key, Feed] = {}
        names = _names(stated)
        self._of = {one.policy: tuple(self._linked(one, _Seat(names=names, feeds=feeds))) for one in stated}
        self._feeds = feeds

    @property
    def sources(self) -> tuple[SeriesSource, ...]:
        """All that are to be polled."""
        return (*self._means.files, *self._feeds.values())

    @property
    def policies(self) -> tuple[str, ...]:
        """Policies by name."""
        return tuple(sorted(self._of))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Names of all secrets that feeds ask with."""
        return tuple(sorted({key.secret for key in self._feeds if key.secret}))

    def with_secret(self, secret: str) -> tuple[Feed, ...]:
        """The feeds that ask with a secret."""
        return tuple(feed for key, feed in self._feeds.items() if key.secret == secret)

    def of(self, policy: str) -> tuple[Linked, ...]:
        """The chains of a policy, those of prices first."""
        return self._of.get(policy, ())

    def readings(self, policy: str, now_utc: datetime) -> tuple[SourceReading, ...]:
        """What a policy's chains say: at most one reading per quantity."""
        choices = (linked.choice(now_utc) for linked in self.of(policy))
        return tuple(one.reading for one in choices if one is not None and one.reading is not None)

    def max_age_s(self, policy: str, readings: Iterable[SourceReading]) -> Mapping[str, float]:
        """How old each reading of a policy may be, by quantity: as is stated of its source, else as is usual."""
        chains = {linked.quantity: linked for linked in self.of(policy)}
        own_s = {one.quantity: chains[one.quantity].max_age_s(one.source) for one in readings if one.quantity in chains}
        return {**MAX_AGE_S, **own_s}

    def _linked(self, stated: Stated, seat: _Seat) -> Iterator[Linked]:
        """The chains of one policy: the weather's is made first, since a rule may need it."""
        entries = {quantity: sources for _, quantity, sources in chains_of(stated.sources)}
        made: dict[str, Linked] = {}
        for field, quantity in sorted(FIELDS.items(), key=lambda one: one[1] != OUTDOOR):
            if quantity not in entries and not self._means.files:
                continue
            weather = made[OUTDOOR].chain if OUTDOOR in made else None
            around = Around(time_zone=stated.time_zone, weather=weather)
            made[quantity] = self._chain(field, entries.get(quantity, ()), around, seat)
        yield from (made[quantity] for quantity in FIELDS.values() if quantity in made)

    def _chain(self, field: str, entries: Sequence[Source], around: Around, seat: _Seat) -> Linked:
        """One chain: files, then what the policy states, without what cannot be made."""
        quantity, refused = FIELDS[field], list[str]()
        usual_s, basis = MAX_AGE_S[quantity], _basis(quantity, entries)
        links = [
            Link(source=Only(file, quantity), provider=FILE, quantity=quantity, max_age_s=usual_s) for file in self._means.files
        ]
        for source in entries:
            try:
                made = self._source(key_of(quantity, source, basis), around, seat)
            except Misconfigured as error:
                refused.append(f"{source.called}: {error}")
            else:
                limit_s = usual_s if source.max_age is None else seconds(source.max_age)
                links.append(Link(source=made, provider=source.provider, quantity=quantity, max_age_s=limit_s))
        ages_s = {link.source.name: link.max_age_s for link in links}
        chain = Chain(f"the {field} chain", [link.source for link in links], basis=basis, source_max_age_s=ages_s)
        return Linked(field=field, quantity=quantity, chain=chain, links=tuple(links), refused=tuple(refused))

    def _source(self, key: Key, around: Around, seat: _Seat) -> SeriesSource:
        """A rule, or a feed: one that is stated alike is taken, now or from before.

        Raises:
            Misconfigured: it cannot be made.
        """
        options, rule, entry = dict(key.options), RULES.get(key.provider), PROVIDERS.get(key.provider)
        if rule is not None:
            return rule.make(key.called, key.quantity, options, around)
        if entry is None:
            raise Misconfigured("there is no such provider", where=key.provider, expected="one of `signals providers`")
        own = basis_of(entry.card, options)
        if key.basis is not None and own not in (None, key.basis):
            raise Misconfigured(f"tells {own.value} carbon", where=key.provider, expected=f"{key.basis.value}, as its chain")
        if key not in seat.feeds:
            name, before = seat.names[key], self._feeds.get(key)
            kept = before if before is not None and before.name == name else None
            seat.feeds[key] = kept or self._feed(name, key, entry.make(key.quantity, options))
        return seat.feeds[key]

    def _feed(self, name: str, key: Key, provider: Provider) -> Feed:
        """A new feed, with what the cache knows of it."""
        means = self._means
        return Feed(
            name,
            provider,
            fetch=means.fetch(key.secret),
            rates=means.rates,
            cache=means.cache,
            basis=key.basis,
            habits=means.habits,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seat:
    """What one `seat` works with: what each feed is called, and those that were made or taken over so far."""

    names: Mapping[Key, str]
    feeds: dict[Key, Feed]


def key_of(quantity: str, source: Source, basis: Basis | None) -> Key:
    """What a source of a chain is one feed by."""
    return Key(
        called=source.called,
        quantity=quantity,
        provider=source.provider,
        options=tuple(sorted(source.options.items())),
        secret="" if source.secret_ref is None else source.secret_ref.name,
        basis=basis,
    )


def _basis(quantity: str, entries: Sequence[Source]) -> Basis | None:
    """Of which kind a chain's carbon is; None for other quantities."""
    return chain_basis(entries, CARDS) if quantity == CARBON else None


def _names(stated: Sequence[Stated]) -> Mapping[Key, str]:
    """What feeds are called in logs, metrics and the cache: as their policy calls them, and where that is said of two, more.

    `energy_charts` becomes `energy_charts-price` and `energy_charts-carbon`; what two policies state differently gets the
    policy's name too.
    """
    keys: dict[Key, tuple[str, str]] = {}
    for one in stated:
        for field, quantity, entries in chains_of(one.sources):
            basis = _basis(quantity, entries)
            for source in entries:
                keys.setdefault(key_of(quantity, source, basis), (field, one.policy))
    names: dict[Key, str] = {}
    for key, (field, policy) in keys.items():
        alike = [other for other in keys if other.called == key.called]
        here = [other for other in alike if other.quantity == key.quantity]
        parts = [key.called, *([field] if len(alike) > 1 else []), *([policy] if len(here) > 1 else [])]
        names[key] = "-".join(parts)
    return names
