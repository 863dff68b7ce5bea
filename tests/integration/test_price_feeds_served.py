"""Price feeds as they are used: a provider behind the web client and a feed, against a local server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pytest
from signal_answers import pages_of
from signal_pages import entsoe as entsoe_page
from signal_pages.made import json_page
from signal_peer import Page, Peer, signal_peer

from scheduler.adapters.sources.blueprint import Answer, Ask
from scheduler.adapters.sources.feed import Feed
from scheduler.adapters.sources.providers.catalogue import PROVIDERS
from scheduler.adapters.sources.web.client import WebClient
from scheduler.adapters.sources.web.hosts import HostRules
from scheduler.adapters.sources.web.manners import Limits
from scheduler.core.signals.conversion import ExchangeRates
from scheduler.domain.observed import PRICE
from scheduler.domain.time import Series

NOW = datetime(2026, 11, 21, 15, tzinfo=UTC)
TOKEN = "a-token-that-nobody-may-see"


def polled(name: str, peer: Peer, credentials: Mapping[str, str]) -> tuple[Feed, Series | None]:
    """A feed after one poll, and the price that it tells."""
    provider = PROVIDERS[name].make(PRICE, {**pages_of(name).OPTIONS[PRICE], "url": peer.url})

    async def poll() -> Feed:
        rules = HostRules(["127.0.0.1"], allow_loopback=True)
        async with WebClient(rules, limits=Limits(tries=1, per_host_s=0.0)) as client:

            async def fetch(ask: Ask) -> Answer:
                return await client.fetch(ask, credentials)

            feed = Feed(name, provider, fetch=fetch, rates=ExchangeRates(per_eur={"GBP": 0.8}))
            await feed.poll(NOW)
            return feed

    feed = asyncio.run(poll())
    readings = feed.readings(NOW)
    return feed, readings[0].series if readings else None


def price_at(series: Series | None, at: datetime) -> float:
    assert series is not None
    return float(series.values[series.grid.slot_of(at)])


def test_a_price_of_the_coupled_auction_arrives_in_euro_per_kwh() -> None:
    with signal_peer(entsoe_page.routes(NOW)) as peer:
        feed, series = polled("entsoe", peer, entsoe_page.CREDENTIALS)
    assert feed.trouble() == ""
    assert price_at(series, NOW) == pytest.approx(entsoe_page.value_at(PRICE, NOW) / 1000)
    assert series is not None
    # The other auction is a thousand euro off.
    assert float(np.nanmax(series.values)) < 0.5


def test_all_pages_of_a_tariff_arrive_in_euro() -> None:
    page = pages_of("octopus")
    with signal_peer(page.routes(NOW)) as peer:
        feed, series = polled("octopus", peer, {})
        asked = [seen.query.get("page") for seen in peer.seen]
    assert feed.trouble() == ""
    # From the 19th to the 21st at 23:00, since at 15:00 the next day is not there: 142 half hours in pages of 60.
    assert asked == [None, "2", "3"]
    assert series is not None
    assert int(np.isfinite(series.values).sum()) == 284
    # 0.80 GBP buy one euro: a pound is 1.25 EUR, a penny 0.0125.
    assert price_at(series, NOW) == pytest.approx(page.value_at(PRICE, NOW) * 0.0125)


def test_a_wrong_token_is_refused_and_stands_nowhere() -> None:
    with signal_peer(entsoe_page.routes(NOW)) as peer:
        feed, series = polled("entsoe", peer, {"securityToken": TOKEN})
        assert peer.seen[0].query["securityToken"] == TOKEN
    assert series is None
    assert "401" in feed.trouble()
    assert TOKEN not in feed.trouble()


def test_a_refusal_with_status_400_is_told_in_its_own_words() -> None:
    def api(query: Mapping[str, str]) -> Page:
        return (
            400,
            {"Content-Type": "text/xml"},
            entsoe_page.acknowledgement("999", "Amount of requested data exceeds the limit"),
        )

    with signal_peer({"/api": api}) as peer:
        feed, series = polled("entsoe", peer, {"securityToken": TOKEN})
    assert series is None
    assert feed.trouble() == "refused: '999': 'Amount of requested data exceeds the limit'"


def test_a_feed_that_will_end_still_tells_and_says_so() -> None:
    page = pages_of("energy_charts")
    whole = page.routes(NOW)["/price"]

    def ending(query: Mapping[str, str]) -> Page:
        return json_page({**json.loads(whole(query)[2]), "deprecated": True})

    with signal_peer({"/price": ending}) as peer:
        feed, series = polled("energy_charts", peer, {})
    assert price_at(series, NOW) == pytest.approx(page.value_at(PRICE, NOW) / 1000)
    assert feed.trouble() == "Energy-Charts calls this part of its API deprecated"
