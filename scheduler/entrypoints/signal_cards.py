"""Everything that a policy may name as a provider, and what is wrong with what policies state of their sources."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from scheduler.adapters.sources.blueprint import Card
from scheduler.adapters.sources.chain import Chain
from scheduler.adapters.sources.providers.catalogue import PROVIDERS
from scheduler.adapters.sources.rule_catalogue import RULES, Around
from scheduler.config.findings import Finding
from scheduler.config.kinds.policy import Source, Sources
from scheduler.config.load import Manifests
from scheduler.config.sources import source_findings
from scheduler.domain.errors import Misconfigured

CARDS: Mapping[str, Card] = {
    **{name: one.card for name, one in PROVIDERS.items()},
    **{name: one.card for name, one in RULES.items()},
}
"""Providers, then rules, by name."""

# What a provider asks for depends on time, whom it asks does not.
SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def findings(manifests: Manifests) -> list[Finding]:
    """What is wrong with the sources of manifests."""
    return list(source_findings(manifests, CARDS, tried))


def tried(sources: Sources, quantity: str, source: Source) -> object:
    """Make a provider or a rule, to see whether it can be made, and asked with what is there.

    Raises:
        Misconfigured: it cannot.
    """
    rule = RULES.get(source.provider)
    if rule is None:
        made = PROVIDERS[source.provider].make(quantity, source.options)
        needed = sorted({name for ask in made.asks(SOME_TIME) for name in ask.credentials()})
        if needed and source.secret_ref is None:
            expected = f"secretRef: {{name: A_SECRET}} with the keys {', '.join(needed)}"
            raise Misconfigured("asks with credentials", where=source.provider, expected=expected)
        return made
    weather = Chain("weather", ()) if sources.weather else None
    return rule.make(source.called, quantity, source.options, Around(weather=weather))
