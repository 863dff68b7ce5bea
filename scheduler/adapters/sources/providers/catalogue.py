"""Every provider by the name that a policy calls it; a new one adds its line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scheduler.adapters.sources.blueprint import Card, Provider
from scheduler.adapters.sources.providers import (
    awattar,
    carbon_aware_sdk,
    csv_feed,
    electricity_maps,
    energi_data_service,
    energy_charts,
    entsoe,
    json_feed,
    met_norway,
    octopus,
    open_meteo,
    prometheus_query,
    smard,
    watttime,
)

Make = Callable[[str, Mapping[str, str]], Provider]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A card and the factory of its providers: make(quantity, options) raises `Misconfigured` for what it cannot take."""

    card: Card
    make: Make


# Price first, then carbon, weather, heat demand, and what reads anything.
_ENTRIES = (
    Entry(card=entsoe.CARD, make=entsoe.make),
    Entry(card=energy_charts.CARD, make=energy_charts.make),
    Entry(card=energi_data_service.CARD, make=energi_data_service.make),
    Entry(card=awattar.CARD, make=awattar.make),
    Entry(card=smard.CARD, make=smard.make),
    Entry(card=octopus.CARD, make=octopus.make),
    Entry(card=electricity_maps.CARD, make=electricity_maps.make),
    Entry(card=watttime.CARD, make=watttime.make),
    Entry(card=carbon_aware_sdk.CARD, make=carbon_aware_sdk.make),
    Entry(card=open_meteo.CARD, make=open_meteo.make),
    Entry(card=met_norway.CARD, make=met_norway.make),
    Entry(card=csv_feed.CARD, make=csv_feed.make),
    Entry(card=json_feed.CARD, make=json_feed.make),
    Entry(card=prometheus_query.CARD, make=prometheus_query.make),
)

PROVIDERS: Mapping[str, Entry] = {entry.card.name: entry for entry in _ENTRIES}
