"""Prices of a provider, asked by the operator because a policy says so, with a token from a Secret."""

from __future__ import annotations

import base64
from typing import Any

from kube_objects import HEAT
from operated import HOME, Operated, now_utc
from signal_peer import signal_peer
from signal_site import SECRET, fixed, page, routes_of, source

TURN_S = 60.0
DEPTH = 'heatdispatch_source_fallback_depth{quantity="price"}'


def sources_ready(world: Operated) -> dict[str, Any]:
    """The condition of the policy's sources; empty before it is told."""
    status = world.cluster.admin.get(f"{HEAT}/dispatchpolicies/quickstart").get("status", {})
    found = (one for one in status.get("conditions", []) if one["type"] == "SourcesReady")
    return next(found, {})


def depth(world: Operated) -> str:
    """Which link of the price's chain is in use, as Prometheus sees it."""
    lines = world.replicas[0].page("/metrics").splitlines()
    return next((line.rpartition(" ")[2] for line in lines if line.startswith(DEPTH)), "")


def plan_sources(world: Operated) -> list[str]:
    """Who told what the plan in force rests on."""
    return [one["source"] for one in world.plan().get("signals", [])]


def test_a_price_comes_from_a_provider_with_a_token_from_a_secret(governed: Operated) -> None:
    cluster, token = governed.cluster, page("entsoe").CREDENTIALS["securityToken"]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}}
    data = {"data": {"securityToken": base64.b64encode(token.encode()).decode()}}
    cluster.admin.apply(f"/api/v1/namespaces/{HOME}/secrets/{SECRET}", secret | data)
    with signal_peer(routes_of(("entsoe",), now_utc())) as peer:
        governed.policy(sources={"price": [source("entsoe", "price", peer.url), fixed(0.2)]})
        cluster.wait("sources", lambda: sources_ready(governed).get("reason") == "AllUsable", TURN_S)
        assert sources_ready(governed)["status"] == "True"
        assert depth(governed) == "0.0"
        cluster.wait("a plan that rests on it", lambda: "entsoe" in plan_sources(governed), TURN_S)
        assert {one.query["securityToken"] for one in peer.seen} == {token}
    assert token not in governed.replicas[0].told()
    governed.policy(sources=None)
    cluster.wait("no sources", lambda: not sources_ready(governed), TURN_S)
