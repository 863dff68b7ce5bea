"""From what policies state to chains: feeds are shared, named apart and kept; what cannot be made is told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from scheduler.adapters.sources.blueprint import Answer, Ask
from scheduler.adapters.sources.feed import Fetch
from scheduler.adapters.sources.fixed import FixedSource, constant
from scheduler.adapters.sources.web.client import Unanswered
from scheduler.config.kinds.policy import Sources
from scheduler.domain.observed import CARBON, HEAT_DEMAND
from scheduler.entrypoints.signal_chains import Chains, Means, Stated
from scheduler.entrypoints.signal_web import host_rules, is_here, own_hosts

NOW = datetime(2026, 11, 21, 12, 7, tzinfo=UTC)
AWATTAR: dict[str, Any] = {"provider": "awattar", "options": {"area": "at"}}
COAL: dict[str, Any] = {"provider": "energy_charts", "options": {"area": "de"}}


class Asked:
    """A way to ask that answers nobody, and knows with whose secret it was asked."""

    def __init__(self) -> None:
        self.secrets: list[str] = []

    def __call__(self, secret: str) -> Fetch:
        async def fetch(ask: Ask) -> Answer:
            self.secrets.append(secret)
            raise Unanswered(f"{ask.url}: nobody there")

        return fetch


def stated(policy: str, zone: str = "UTC", **chains: list[dict[str, Any]]) -> Stated:
    return Stated(policy=policy, sources=Sources.model_validate(chains), time_zone=zone)


def seated(*policies: Stated, means: Means | None = None) -> Chains:
    chains = Chains(means or Means(fetch=Asked()))
    chains.seat(policies)
    return chains


def names(chains: Chains) -> list[str]:
    return [source.name for source in chains.sources]


def test_two_policies_that_state_the_same_share_one_feed() -> None:
    chains = seated(stated("a", price=[AWATTAR]), stated("b", price=[AWATTAR]))
    (a,), (b,) = chains.of("a"), chains.of("b")
    assert names(chains) == ["awattar"]
    assert a.links[0].source is b.links[0].source


def test_what_is_called_alike_is_named_apart() -> None:
    german = {"provider": "awattar", "options": {"area": "de"}}
    chains = seated(
        stated("a", price=[AWATTAR, COAL | {"options": {"area": "AT"}}], carbon=[COAL]), stated("b", price=[german])
    )
    assert names(chains) == ["awattar-price-a", "energy_charts-price", "energy_charts-carbon", "awattar-price-b"]
    own = seated(stated("a", price=[AWATTAR | {"name": "austria"}], carbon=[COAL]))
    assert names(own) == ["austria", "energy_charts"]


def test_a_feed_stays_while_it_is_stated_and_goes_with_its_last_policy() -> None:
    chains = seated(stated("a", price=[AWATTAR]))
    before = chains.sources
    chains.seat([stated("a", price=[AWATTAR, COAL | {"options": {"area": "AT"}}])])
    assert chains.sources[0] is before[0]
    chains.seat([stated("a", price=[COAL | {"options": {"area": "AT"}}])])
    assert names(chains) == ["energy_charts"]
    chains.seat([])
    assert chains.sources == ()
    assert chains.policies == ()


def test_a_rule_ends_a_chain_and_its_age_is_told() -> None:
    chains = seated(stated("a", price=[AWATTAR | {"maxAge": "90m"}, {"provider": "fixed", "options": {"value": "0.2"}}]))
    asyncio.run(chains.sources[0].poll(NOW))
    (linked,) = chains.of("a")
    choice = linked.choice(NOW)
    assert choice is not None
    assert choice.depth == 1
    assert [link.max_age_s for link in linked.links] == [5400.0, 86400.0]
    (reading,) = chains.readings("a", NOW)
    assert (reading.source, reading.assumed, float(reading.series.values[0])) == ("fixed", True, 0.2)


def test_a_time_of_use_table_is_read_in_the_zone_of_the_site() -> None:
    table: dict[str, Any] = {"provider": "time_of_use", "options": {"bands": "Sat 13-14 0.9, 0.1"}}
    (reading,) = seated(stated("a", zone="Europe/Copenhagen", price=[table])).readings("a", NOW)
    # A Saturday in November: 13:00 in Copenhagen is 12:00 UTC.
    assert reading.series.values[reading.series.grid.slot_of(NOW)] == pytest.approx(0.9)
    assert int(np.sum(reading.series.values == 0.9)) == 2


def test_what_cannot_be_made_is_told_and_the_rest_works() -> None:
    wrong: list[dict[str, Any]] = [
        {"provider": "gone"},
        {"provider": "awattar", "options": {"area": "fr"}},
        AWATTAR | {"name": "right"},
    ]
    (linked,) = seated(stated("a", price=wrong)).of("a")
    assert [link.source.name for link in linked.links] == ["right"]
    assert linked.refused[0].startswith("gone: gone: there is no such provider")
    assert linked.refused[1].startswith("awattar: awattar, option area: 'fr'")


def test_a_chain_of_average_carbon_takes_no_marginal_one() -> None:
    marginal = {"provider": "watttime", "options": {"region": "DE"}, "secretRef": {"name": "keys"}}
    (linked,) = seated(stated("a", carbon=[COAL, marginal])).of("a")
    assert len(linked.links) == 1
    assert "watttime: tells marginal carbon (expected average, as its chain)" in linked.refused[0]


def test_a_signature_reads_the_weather_of_its_policy() -> None:
    weather = [{"provider": "fixed", "options": {"value": "5"}}]
    demand = [{"provider": "signature", "options": {"base_kw": "10", "slope_kw_per_k": "2", "base_c": "15"}}]
    chains = seated(stated("a", weather=weather, heatDemand=demand))
    found = {one.quantity: one for one in chains.readings("a", NOW)}
    # 10 kW + 2 kW/K x (15 - 5) K
    assert np.nanmax(found[HEAT_DEMAND].series.values) == pytest.approx(30.0)


def test_a_file_is_the_first_link_of_every_chain() -> None:
    file = FixedSource("series.csv", CARBON, constant(70.0))
    chains = seated(stated("a", carbon=[COAL]), stated("b"), means=Means(fetch=Asked(), files=(file,)))
    assert [linked.field for linked in chains.of("b")] == ["price", "carbon", "weather", "heatDemand"]
    for policy in ("a", "b"):
        (reading,) = chains.readings(policy, NOW)
        assert (reading.quantity, reading.source) == (CARBON, "series.csv")
    assert names(chains) == ["series.csv", "energy_charts"]


def test_an_empty_column_of_a_file_is_nobodys_fault() -> None:
    file = FixedSource("series.csv", CARBON, constant(np.nan))
    coal = {"provider": "fixed", "options": {"value": "300"}}
    chains = seated(stated("a", carbon=[coal]), means=Means(fetch=Asked(), files=(file,)))
    (carbon,) = [one for one in chains.of("a") if one.stated]
    choice = carbon.choice(NOW)
    assert choice is not None
    assert (choice.depth, choice.refused, carbon.fallen(NOW)) == (1, (), 0)


def test_a_secret_goes_along_by_its_name() -> None:
    asked = Asked()
    entsoe = {"provider": "entsoe", "options": {"area": "AT"}, "secretRef": {"name": "keys"}}
    chains = seated(stated("a", price=[entsoe, AWATTAR]), means=Means(fetch=asked))
    for source in chains.sources:
        asyncio.run(source.poll(NOW))
    assert asked.secrets == ["keys", ""]
    assert chains.secrets == ("keys",)
    assert [feed.name for feed in chains.with_secret("keys")] == ["entsoe"]


def test_hosts_that_are_named_take_the_place_of_the_providers_own() -> None:
    assert "api.energy-charts.info" in own_hosts()
    assert host_rules((), ()).allowed == own_hosts()
    assert host_rules(("example.org",), ("prices.default.svc",)).allowed == ("example.org",)
    here = host_rules(("example.org",), ("127.0.0.1:8080", "prices.default.svc"))
    assert (here.allowed, here.allow_loopback) == (("example.org", "127.0.0.1:8080"), True)
    assert list(here.inside) == ["prices.default.svc"]


@pytest.mark.parametrize(
    ("entry", "here"),
    [("localhost", True), ("localhost:80", True), ("[::1]:80", True), ("::1", True), ("10.0.0.1", False), ("a.svc:80", False)],
)
def test_what_is_this_machine(entry: str, here: bool) -> None:
    assert is_here(entry) is here
