"""Whom a policy can reach: hosts on the operator's list, on addresses of the public internet."""

from __future__ import annotations

import httpx
import pytest

from scheduler.adapters.sources.web.hosts import Denied, HostRules, Zone
from scheduler.domain.errors import Misconfigured

RULES = HostRules(["api.example.org", "*.example.net", "odd.example.org:8443"], inside=["prometheus.monitoring.svc:9090"])
# Loopback, private, shared, link-local, of no host, for examples, of clouds; then IPv6, and IPv4 within IPv6.
INSIDE = [
    "127.0.0.1",
    "127.8.9.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "169.254.1.1",
    "0.0.0.0",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "198.18.0.1",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a00:1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001::1",
    "2001:db8::1",
    "3fff::1",
    "::7f00:1",
    "100::1",
]
PUBLIC4, PUBLIC6 = "93.184.215.14", "2606:2800:21f:cb07::1"


@pytest.mark.parametrize(
    "address",
    [
        "https://api.example.org/x",
        "https://API.Example.ORG:8443/x",
        "https://api.example.org./x",
        "https://a.example.net",
        "https://a.b.example.net",
        "https://odd.example.org:8443",
    ],
)
def test_a_listed_host_is_of_the_outside(address: str) -> None:
    assert RULES.judge(httpx.URL(address)) is Zone.OUTSIDE


@pytest.mark.parametrize(
    "address",
    [
        "http://api.example.org/x",
        "ftp://api.example.org/x",
        "https://api.example.org.evil.com/",
        "https://evil.com/api.example.org",
        "https://xapi.example.org/",
        "https://example.net/",
        "https://xexample.net/",
        "https://odd.example.org/",
        "https://user:password@api.example.org/",
        "https://api.example.org@evil.com/",
        "https://prometheus.monitoring.svc/",
        "https://api.example.org:0/",
        "https://api.example.org:65536/",
        "https://%61pi.example.org/",
        "https://api.example.org%2eevil.com/",
        "https:///x",
        "/x",
    ],
)
def test_any_other_host_or_way_is_denied(address: str) -> None:
    with pytest.raises(Denied) as denied:
        RULES.judge(httpx.URL(address))
    assert "password" not in str(denied.value)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "kubernetes",
        "kubernetes.default.svc",
        "prometheus.monitoring.svc.cluster.local",
        "metadata.google.internal",
        "printer.local",
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[fd00::1]",
        "[::ffff:10.0.0.1]",
        "[fe80::1]",
    ],
)
def test_the_inside_is_denied_even_when_it_is_listed(host: str) -> None:
    rules = HostRules([host.strip("[]")])
    with pytest.raises(Denied):
        rules.judge(httpx.URL(f"https://{host}/"))


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0x7f000001", "1.2.3.4.5", "a.0x7f"])
def test_addresses_in_forms_that_only_resolvers_understand_are_denied(host: str) -> None:
    with pytest.raises(Denied, match="unusual form"):
        HostRules(["*.example.org"], allow_loopback=True).zone(host, 443)
    with pytest.raises(Misconfigured):
        HostRules([host])


@pytest.mark.parametrize("address", INSIDE)
def test_a_name_that_leads_inside_is_denied(address: str) -> None:
    with pytest.raises(Denied):
        RULES.reachable(Zone.OUTSIDE, "api.example.org", [address])


@pytest.mark.parametrize("address", [PUBLIC4, PUBLIC6, f"::ffff:{PUBLIC4}", "64:ff9b::5db8:d70e", "8.8.8.8"])
def test_public_addresses_may_be_reached(address: str) -> None:
    assert RULES.reachable(Zone.OUTSIDE, "api.example.org", [address]) == [address]


def test_of_several_addresses_the_public_ones_remain_in_their_order() -> None:
    assert RULES.reachable(Zone.OUTSIDE, "h", ["10.0.0.1", PUBLIC6, "::1", PUBLIC4, PUBLIC4]) == [PUBLIC6, PUBLIC4]
    with pytest.raises(Denied, match="no address at all"):
        RULES.reachable(Zone.OUTSIDE, "h", [])


def test_a_cluster_with_public_addresses_denies_its_ranges() -> None:
    rules = HostRules(["api.example.org"], denied_ranges=["93.184.0.0/16", "2606:2800::/32"])
    for address in (PUBLIC4, PUBLIC6, f"::ffff:{PUBLIC4}"):
        with pytest.raises(Denied, match="denied range"):
            rules.reachable(Zone.OUTSIDE, "api.example.org", [address])
    assert rules.reachable(Zone.OUTSIDE, "api.example.org", ["8.8.8.8"]) == ["8.8.8.8"]
    with pytest.raises(Misconfigured):
        HostRules([], denied_ranges=["10.0.0.1/8"])


def test_a_host_of_the_inside_is_reached_by_its_exact_name_and_never_to_metadata() -> None:
    assert RULES.judge(httpx.URL("http://prometheus.monitoring.svc:9090/api")) is Zone.INSIDE
    assert RULES.reachable(Zone.INSIDE, "p", ["10.96.0.7", "fd00::7"]) == ["10.96.0.7", "fd00::7"]
    for address in ("169.254.169.254", "127.0.0.1", "::1", "168.63.129.16", "fd00:ec2::254", "224.0.0.1", "0.0.0.0"):
        with pytest.raises(Denied):
            RULES.reachable(Zone.INSIDE, "p", [address])


def test_loopback_is_reached_only_where_it_is_named_allowed_and_meant() -> None:
    rules = HostRules(["127.0.0.1", "localhost", "::1", "api.example.org"], allow_loopback=True)
    for host in ("127.0.0.1:8080", "localhost", "[::1]:1"):
        assert rules.judge(httpx.URL(f"http://{host}/")) is Zone.LOOPBACK
    assert rules.reachable(Zone.LOOPBACK, "localhost", ["::1", "127.0.0.1"]) == ["::1", "127.0.0.1"]
    with pytest.raises(Denied):
        rules.reachable(Zone.LOOPBACK, "localhost", [PUBLIC4])
    with pytest.raises(Denied, match="loopback"):
        rules.reachable(rules.judge(httpx.URL("https://api.example.org")), "api.example.org", ["127.0.0.1"])
    with pytest.raises(Denied):
        HostRules(["api.example.org"], allow_loopback=True).judge(httpx.URL("http://127.0.0.1/"))


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.", "*.org", "https://api.example.org", "api.example.org/x", "API.example.org", "a..b", "h.x:0", "*.10.0.0.1"],
)
def test_entries_that_say_nothing_or_too_much_are_refused(entry: str) -> None:
    with pytest.raises(Misconfigured):
        HostRules([entry])


def test_the_inside_has_no_wildcards() -> None:
    with pytest.raises(Misconfigured, match="inside hosts"):
        HostRules([], inside=["*.monitoring.svc"])
