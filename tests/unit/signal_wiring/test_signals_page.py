"""docs/signals.md: the provider in its blueprint works as it stands there, its policy is a valid one, its table is whole."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from signal_peer import Page, signal_peer

from scheduler.adapters.sources.blueprint import Answer, Ask
from scheduler.adapters.sources.feed import Feed, Fetch
from scheduler.adapters.sources.web.client import WebClient
from scheduler.adapters.sources.web.hosts import HostRules
from scheduler.config.kinds.policy import Sources
from scheduler.domain.errors import Misconfigured
from scheduler.domain.observed import PRICE
from scheduler.entrypoints.signal_cards import CARDS
from scheduler.entrypoints.signal_chains import Chains, Means, Stated

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "signals.md").read_text(encoding="utf-8")
NOW = datetime(2026, 11, 21, 12, 7, tzinfo=UTC)
TOKEN = "not-a-real-token"


def block(language: str) -> str:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)
    return found[0]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The module in the page, as somebody would save it."""
    path = tmp_path_factory.mktemp("providers") / "our_utility.py"
    path.write_text(block("python"), "utf-8")
    spec = importlib.util.spec_from_file_location("our_utility", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up.
    sys.modules["our_utility"] = found
    spec.loader.exec_module(found)
    yield found
    del sys.modules["our_utility"]


def prices(*values: float | None) -> Any:
    """A page of hours from the last full one on."""
    start = NOW.replace(minute=0)
    hours = [(start + timedelta(hours=i), value) for i, value in enumerate(values)]
    return {
        "prices": [
            {"from": f"{at:%Y-%m-%dT%H:%MZ}", "to": f"{at + timedelta(hours=1):%Y-%m-%dT%H:%MZ}", "eurPerMwh": value}
            for at, value in hours
        ]
    }


async def asked(made: Any, url: str, document: Any) -> tuple[Feed, list[str]]:
    """The feed of the provider after one poll of a stand-in, and with which keys it was asked."""

    def page(query: Mapping[str, str]) -> Page:
        assert query == {"tariff": "night"}
        return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()

    with signal_peer({"/v1/prices": page}) as peer:
        async with WebClient(HostRules(("127.0.0.1",), allow_loopback=True)) as client:

            async def fetch(ask: Ask) -> Answer:
                return await client.fetch(ask, {"token": TOKEN})

            feed = Feed("ours", made.make(PRICE, {"tariff": "night", "url": peer.url}), fetch=fetch)
            await feed.poll(NOW)
        return feed, [one.headers["x-api-key"] for one in peer.seen]


def test_the_blueprint_is_polled_like_any_other(provider: ModuleType) -> None:
    feed, keys = asyncio.run(asked(provider, "", prices(81.2, None, -5.0)))
    (reading,) = feed.readings(NOW)
    assert keys == [TOKEN]
    assert reading.series.unit == "EUR/kWh"
    # EUR/MWh over 1000; the hour of null is not known.
    np.testing.assert_allclose(reading.series.values, [0.0812, np.nan, -0.005])


def test_what_is_not_as_documented_is_named_by_its_place(provider: ModuleType) -> None:
    feed, _ = asyncio.run(asked(provider, "", {"prices": [{"from": "2026-11-21T12:00Z", "to": "soon", "eurPerMwh": 1.0}]}))
    assert feed.readings(NOW) == ()
    assert "$.prices[0].to: found 'soon'" in feed.trouble()


def test_the_blueprint_refuses_what_its_card_does_not_know(provider: ModuleType) -> None:
    with pytest.raises(Misconfigured, match="our_utility, option tariff: missing"):
        provider.make(PRICE, {})


def nobody(_secret: str) -> Fetch:
    """Nothing is asked here."""

    async def fetch(ask: Ask) -> Answer:
        raise AssertionError(ask.url)

    return fetch


def test_the_policy_of_the_page_and_of_the_example_can_be_made() -> None:
    example = yaml.safe_load((ROOT / "examples" / "signals" / "policy.yaml").read_text("utf-8"))["spec"]["sources"]
    for sources in (yaml.safe_load(block("yaml"))["sources"], example):
        chains = Chains(Means(fetch=nobody))
        chains.seat([Stated(policy="page", sources=Sources.model_validate(sources))])
        assert [linked.field for linked in chains.of("page")] == list(sources)
        assert [linked.refused for linked in chains.of("page")] == [()] * len(sources)


def test_the_table_names_every_provider() -> None:
    assert [name for name in CARDS if f"`{name}`" not in GUIDE] == []
