"""What goes over the wire to carbon, weather and generic feeds: who asks is shown as each wants it, and nowhere else."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from signal_answers import pages_of
from signal_pages.watttime import TOKEN
from signal_peer import Seen, signal_peer

from scheduler.adapters.sources.feed import Feed
from scheduler.adapters.sources.providers.catalogue import PROVIDERS
from scheduler.adapters.sources.web.client import WebClient, agent_name
from scheduler.adapters.sources.web.hosts import HostRules
from scheduler.adapters.sources.web.manners import Limits
from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR, SourceReading

NOW = datetime(2026, 1, 14, 10, 7, tzinfo=UTC)
Said = tuple[list[Seen], tuple[SourceReading, ...], str]


def polled(name: str, quantity: str, known: Mapping[str, str], **options: str) -> Said:
    """What a stand-in saw of one poll, what is known after it, and the trouble."""
    pages = pages_of(name)
    with signal_peer(pages.routes(NOW)) as peer:
        provider = PROVIDERS[name].make(quantity, {**pages.OPTIONS[quantity], "url": peer.url, **options})

        async def poll() -> Feed:
            rules = HostRules(["127.0.0.1"], allow_loopback=True)
            async with WebClient(rules, limits=Limits(tries=1, per_host_s=0.0), user_agent=agent_name()) as client:
                feed = Feed(name, provider, fetch=lambda ask: client.fetch(ask, known))
                await feed.poll(NOW)
                return feed

        feed = asyncio.run(poll())
        return list(peer.seen), feed.readings(NOW), feed.trouble()


def test_met_norway_hears_who_asks() -> None:
    seen, readings, _ = polled("met_norway", OUTDOOR, {})
    assert [one.path for one in seen] == ["/compact"]
    assert seen[0].headers["user-agent"].endswith(" ops@example.org")
    assert len(readings) == 1


def test_electricity_maps_gets_its_token_in_a_header() -> None:
    seen, readings, trouble = polled("electricity_maps", CARBON, {"token": "a-long-token"})
    assert {one.headers["auth-token"] for one in seen} == {"a-long-token"}
    assert {one.path.rpartition("/")[2] for one in seen} == {"history", "latest", "forecast"}
    assert not any("a-long-token" in str(one.query) for one in seen)
    assert (len(readings), trouble) == (1, "")


def test_watttime_is_logged_in_to_once_for_both_requests() -> None:
    seen, readings, _ = polled("watttime", CARBON, pages_of("watttime").CREDENTIALS)
    basic = b64encode(b"somebody:watttime-password").decode()
    by_path = {one.path: one.headers["authorization"] for one in seen}
    assert by_path == {"/login": f"Basic {basic}", "/v3/forecast": f"Bearer {TOKEN}", "/v3/historical": f"Bearer {TOKEN}"}
    assert [one.path for one in seen].count("/login") == 1
    assert len(readings) == 1


def test_the_key_of_a_customer_of_open_meteo_is_a_parameter() -> None:
    seen, readings, _ = polled("open_meteo", OUTDOOR, {"apikey": "a-customers-key"}, use="customer")
    assert [one.query["apikey"] for one in seen] == ["a-customers-key"]
    assert len(readings) == 1


@pytest.mark.parametrize(
    ("options", "header", "value"),
    [
        ({"auth": "basic"}, "authorization", f"Basic {b64encode(b'me:a-password').decode()}"),
        ({"auth": "bearer"}, "authorization", "Bearer a-bearer-token"),
        ({"auth": "header", "keyName": "X-Api-Key"}, "x-api-key", "a-long-key"),
    ],
)
def test_generic_feeds_show_who_asks(options: dict[str, str], header: str, value: str) -> None:
    known = {"user": "me", "password": "a-password", "token": "a-bearer-token", "key": "a-long-key"}
    for name in ("csv_feed", "json_feed", "prometheus_query"):
        seen, readings, _ = polled(name, HEAT_DEMAND, known, **options)
        assert {one.headers[header] for one in seen} == {value}
        assert len(readings) == 1


def test_a_missing_credential_is_named_and_nobody_is_asked() -> None:
    seen, readings, trouble = polled("watttime", CARBON, {"user": "somebody"})
    assert (seen, readings) == ([], ())
    assert "'password' is missing" in trouble
