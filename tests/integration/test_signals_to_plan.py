"""From a provider's page to the price that a plan is made with: asked, resampled, stitched, seen, looked ahead on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest
from signal_peer import signal_peer
from signal_site import fixed, page, routes_of, source

from scheduler.adapters.sources.blueprint import Answer, Ask
from scheduler.adapters.sources.feed import Fetch
from scheduler.adapters.sources.web.client import WebClient
from scheduler.adapters.sources.web.hosts import HostRules
from scheduler.config.kinds.policy import Sources
from scheduler.config.reference import reference_site
from scheduler.core.forecast.outlook import outlook
from scheduler.core.planning.problem import plan_grid
from scheduler.domain.observed import OUTDOOR, PRICE, Past, SourceReading
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot
from scheduler.entrypoints.signal_chains import Chains, Means, Stated
from scheduler.loop.snapshot import Seen, snapshot_of
from scheduler.units import KWH_PER_MWH

NOW = datetime(2026, 11, 21, 15, 3, tzinfo=UTC)
NAMES = ("entsoe", "awattar", "met_norway")
SETTINGS = Settings()


async def told(url: str) -> tuple[SourceReading, ...]:
    """What the chains of a policy say after each source was polled."""
    weather, awattar = source("met_norway", "outdoor", url), source("awattar", "price", url)
    stated = Sources.model_validate({"price": [source("entsoe", "price", url), awattar, fixed(0.5)], "weather": [weather]})
    async with WebClient(HostRules(("127.0.0.1",), allow_loopback=True)) as client:

        def with_secret(_secret: str) -> Fetch:
            async def fetch(ask: Ask) -> Answer:
                return await client.fetch(ask, page("entsoe").CREDENTIALS)

            return fetch

        chains = Chains(Means(fetch=with_secret))
        chains.seat([Stated(policy="p", sources=stated)])
        for one in chains.sources:
            await one.poll(NOW)
    return chains.readings("p", NOW)


def seen(site: Site, readings: tuple[SourceReading, ...]) -> Snapshot:
    """A snapshot of an empty cluster that knows nothing but these."""
    empty = Seen(
        observed_utc=NOW,
        sequence=1,
        jobs=(),
        jobs_seen_utc=NOW,
        past=Past(),
        readings=readings,
        plants=(),
        available_gpus={},
    )
    return snapshot_of(site, empty)


@pytest.fixture(scope="module")
def readings() -> tuple[SourceReading, ...]:
    with signal_peer(routes_of(NAMES, NOW)) as peer:
        return asyncio.run(told(peer.url))


def test_a_plan_is_made_with_the_published_price(readings: tuple[SourceReading, ...]) -> None:
    site = reference_site(gpus=8, gpus_per_node=8, heat_peak_kw=4.0)
    snapshot = seen(site, readings)
    grid = plan_grid(NOW, SETTINGS)
    ahead = outlook(site, snapshot, SETTINGS, grid)
    # Published until the end of tomorrow in Brussels, 23:00 UTC of the 22nd: 32 hours after 15:00.
    assert ahead.known_price_slots == 32 * 4
    expected = [page("entsoe").value_at(PRICE, grid.time_of(slot)) / KWH_PER_MWH for slot in range(32 * 4)]
    np.testing.assert_allclose(ahead.spot_eur_per_kwh[: 32 * 4], expected)
    # Beyond it stands a forecast, not what the last rule of the chain would say.
    assert np.all(np.isfinite(ahead.spot_eur_per_kwh))
    assert not np.any(ahead.spot_eur_per_kwh[32 * 4 :] == 0.5)


def test_the_snapshot_says_how_old_each_is(readings: tuple[SourceReading, ...]) -> None:
    snapshot = seen(reference_site(gpus=8, gpus_per_node=8, heat_peak_kw=4.0), readings)
    ages = {one.source: one.age_s for one in snapshot.freshness}
    assert ages == {"jobs": 0.0, PRICE: 0.0, OUTDOOR: 0.0, "heat_demand": None}
    assert {one.quantity: one.source for one in readings} == {PRICE: "entsoe", OUTDOOR: "met_norway"}
