"""What a policy states about its sources: providers that exist and can tell the quantity, options that they know, secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

from scheduler.config.conformance import Place
from scheduler.config.findings import Finding, did_you_mean, errors_of, one_of
from scheduler.config.kinds import DispatchPolicy
from scheduler.config.kinds.policy import Source, Sources
from scheduler.config.lines import Path
from scheduler.config.load import Manifests
from scheduler.domain.errors import Misconfigured
from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR, PRICE
from scheduler.domain.signals import Basis

FIELDS: Mapping[str, str] = {"price": PRICE, "carbon": CARBON, "weather": OUTDOOR, "heatDemand": HEAT_DEMAND}
"""Quantity of a chain by its field in a policy."""

BASIS = "basis"

Make = Callable[[Sources, str, Source], object]
"""Makes a source of a quantity, one of a policy's; raises `Misconfigured` for what it cannot take."""


class Option(Protocol):
    """One option of a provider."""

    @property
    def name(self) -> str:
        """As a policy states it."""
        ...

    @property
    def meaning(self) -> str:
        """What it is, in words."""
        ...

    @property
    def default(self) -> str | None:
        """Its text when it is not given; None: it must be."""
        ...

    @property
    def choices(self) -> tuple[str, ...]:
        """All texts that it may have; none: any."""
        ...


class Card(Protocol):
    """What is known about a provider before one is made."""

    @property
    def quantities(self) -> tuple[str, ...]:
        """What it can tell."""
        ...

    @property
    def options(self) -> Sequence[Option]:
        """Its options."""
        ...

    @property
    def credentials(self) -> tuple[str, ...]:
        """Keys that its secret must have."""
        ...

    @property
    def optional_credentials(self) -> tuple[str, ...]:
        """Keys that its secret may have."""
        ...

    @property
    def basis(self) -> Basis | None:
        """Of which kind its carbon is; None when its option says it."""
        ...


def chains_of(sources: Sources) -> Iterator[tuple[str, str, Sequence[Source]]]:
    """Field, quantity and sources in order of trust, of every chain that a policy has."""
    for field, entries in zip(FIELDS, (sources.price, sources.carbon, sources.weather, sources.heat_demand), strict=True):
        if entries:
            yield field, FIELDS[field], entries


def basis_of(card: Card, options: Mapping[str, str]) -> Basis | None:
    """Of which kind the carbon of a source is: as its card says, else as its option does; None when neither says it."""
    if card.basis is not None:
        return card.basis
    default = next((one.default for one in card.options if one.name == BASIS), None)
    said = options.get(BASIS, default)
    return Basis(said) if said in list(Basis) else None


def source_findings(manifests: Manifests, cards: Mapping[str, Card], make: Make) -> Iterator[Finding]:
    """Everything that is wrong with the sources of the policies.

    Args:
        manifests: what to look at.
        cards: every provider that there is, by name.
        make: tries a source out; only asked when its options are known ones.
    """
    for policy in manifests.of(DispatchPolicy):
        place = Place(manifests, policy)
        for field, quantity, entries in chains_of(policy.spec.sources):
            path: Path = ("sources", field)
            for i, source in enumerate(entries):
                wrong = list(_source(place, (*path, i), quantity, source, cards))
                yield from wrong
                if not errors_of(wrong):
                    yield from _tried(place, (*path, i), partial(make, policy.spec.sources, quantity, source))
            yield from _twice(place, path, entries)
            if quantity == CARBON:
                yield from _mixed(place, path, entries, cards)


def _source(place: Place, path: Path, quantity: str, source: Source, cards: Mapping[str, Card]) -> Iterator[Finding]:
    """One source."""
    name, card = source.provider, cards.get(source.provider)
    able = [other for other, one in cards.items() if quantity in one.quantities]
    if card is None:
        text = f"there is no provider {name!r}{did_you_mean(name, cards)}"
        yield place.error((*path, "provider"), text, one_of(able, limit=30))
        return
    if quantity not in card.quantities:
        yield place.error((*path, "provider"), f"{name} cannot tell {path[1]}", one_of(able, limit=30))
        return
    yield from _options(place, path, source, card.options)
    yield from _credentials(place, path, source, card)


def _tried(place: Place, path: Path, make: Callable[[], object]) -> Iterator[Finding]:
    """What a provider itself says of its options."""
    try:
        make()
    except Misconfigured as bad:
        said = str(bad).removesuffix(f" (expected {bad.expected})")
        yield place.error((*path, "options"), said, bad.expected)


def _options(place: Place, path: Path, source: Source, options: Sequence[Option]) -> Iterator[Finding]:
    """Options that are known, complete, and among their choices."""
    known = {option.name: option for option in options}
    for name, text in source.options.items():
        here = (*path, "options", name)
        if name not in known:
            yield place.error(here, f"unknown option of {source.provider}{did_you_mean(name, known)}", one_of(known, limit=30))
        elif known[name].choices and text not in known[name].choices:
            yield place.error(here, f"{text[:60]!r} is not allowed here", one_of(known[name].choices, limit=40))
    for name, option in known.items():
        if option.default is None and name not in source.options:
            expected = option.meaning + (f": {one_of(option.choices)}" if option.choices else "")
            yield place.error((*path, "options"), f"{source.provider} needs the option {name!r}", expected)


def _credentials(place: Place, path: Path, source: Source, card: Card) -> Iterator[Finding]:
    """A secret where one is needed, and nowhere else."""
    names = ", ".join(card.credentials)
    if card.credentials and source.secret_ref is None:
        expected = f"secretRef: {{name: A_SECRET}} of the operator's namespace with the keys {names}"
        yield place.error((*path, "secretRef"), f"{source.provider} needs credentials", expected)
    if source.secret_ref is not None and not (card.credentials or card.optional_credentials):
        yield place.doubt((*path, "secretRef"), f"{source.provider} needs no credentials: the secret is not read")


def _twice(place: Place, path: Path, entries: Sequence[Source]) -> Iterator[Finding]:
    """Each name once in a chain: metrics and conditions tell sources by it."""
    seen: set[str] = set()
    for i, source in enumerate(entries):
        if source.called in seen:
            where = (*path, i, "name" if source.name else "provider")
            yield place.error(where, f"a second source is called {source.called!r}", "a name of its own: `name: ...`")
        seen.add(source.called)


def _mixed(place: Place, path: Path, entries: Sequence[Source], cards: Mapping[str, Card]) -> Iterator[Finding]:
    """One kind of carbon throughout: average for accounts, marginal for decisions."""
    told = [(i, _basis(source, cards)) for i, source in enumerate(entries)]
    first = _first(basis for _, basis in told)
    for i, basis in told:
        if basis is not None and basis is not first:
            text = f"{entries[i].provider} tells {basis.value} carbon, the chain begins with {first}"
            yield place.error((*path, i, "provider"), text, "average or marginal throughout")


def chain_basis(entries: Sequence[Source], cards: Mapping[str, Card]) -> Basis | None:
    """Of which kind the carbon of a chain is: that of its first source that says so."""
    return _first(_basis(source, cards) for source in entries)


def _first(told: Iterable[Basis | None]) -> Basis | None:
    """The first one that is known."""
    return next((one for one in told if one is not None), None)


def _basis(source: Source, cards: Mapping[str, Card]) -> Basis | None:
    """Of one source."""
    card = cards.get(source.provider)
    return None if card is None else basis_of(card, source.options)
