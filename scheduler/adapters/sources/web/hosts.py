"""Which hosts may be asked. A policy names addresses, and whoever writes policies must not reach inside the cluster with them.

A name has to be on the operator's list, and the address that is connected to has to be one of the public internet: it is judged
where the connection is made (`wire.py`), not in a look-up of its own, so a name that changes its address gains nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx

from scheduler.domain.errors import Misconfigured

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Where clouds tell machines who they are, credentials included: AWS, Google, Azure, Alibaba, Oracle.
METADATA = frozenset(
    map(
        ip_address,
        ("169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "168.63.129.16", "100.100.100.200", "192.0.0.192"),
    )
)
# Unicast of the public internet, and what lies in it and is none: 6to4 leads to any IPv4 address, the others are for examples.
UNICAST6 = IPv6Network("2000::/3")
NOT_PUBLIC6 = (IPv6Network("2002::/16"), IPv6Network("2001:db8::/32"), IPv6Network("3fff::/20"), IPv6Network("2001::/32"))
# The last 32 bits are an IPv4 address, which is what is reached.
NAT64 = IPv6Network("64:ff9b::/96")
# Names that mean something else in each network. A name without a dot is completed by the resolver to one of the cluster's.
INSIDE_NAME = re.compile(r"(^|\.)(localhost|localdomain|local|internal|intranet|lan|home\.arpa)$|\.svc(\.|$)|^[^.]*$")
NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
# What a resolver takes for an IPv4 address: 2130706433, 0x7f.1, 0177.0.0.1, 127.1.
NUMERIC = re.compile(r"(^|\.)(\d+|0x[0-9a-f]*)$")


class Denied(Exception):
    """Somebody may not be asked; the text says why, without the query of an address."""


class Zone(StrEnum):
    """Where a host is looked for."""

    OUTSIDE = "outside"
    INSIDE = "inside"
    LOOPBACK = "loopback"


@dataclass(frozen=True, slots=True)
class HostRules:
    """allowed: hosts of the public internet, `api.example.org` or `*.example.org` (any name below, not itself), asked by https.

    inside: exact names of hosts in the cluster's networks, by http or https, and only the operator's owner may list them.
    allow_loopback: an allowed `localhost` or 127.0.0.1 may be asked, by http too; for tests and for a laptop. denied_ranges:
    networks that are denied besides private ones, for a cluster with public addresses. `host:port` holds for one port alone.
    """

    allowed: Sequence[str]
    allow_loopback: bool = False
    inside: Sequence[str] = ()
    denied_ranges: Sequence[str] = ()
    _networks: tuple[Network, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        """Refuse entries that say more than anybody means."""
        for entry in self.allowed:
            _checked(entry, wildcard=True)
        for entry in self.inside:
            _checked(entry, wildcard=False)
        try:
            networks = tuple(ip_network(text) for text in self.denied_ranges)
        except ValueError as error:
            raise Misconfigured(str(error), where="denied ranges", expected="a network as 10.0.0.0/8") from None
        object.__setattr__(self, "_networks", networks)

    def judge(self, url: httpx.URL) -> Zone:
        """Where the host of an address is looked for.

        Raises:
            Denied: it may not be asked, or not in this way.
        """
        host, zone = host_of(url), self.zone(host_of(url), port_of(url))
        if not 0 < port_of(url) < 1 << 16:
            raise Denied(f"{host}: there is no port {port_of(url)}")
        if url.userinfo:
            raise Denied(f"{host}: a user in an address; credentials belong into a Secret")
        plain = {"http", "https"} if zone is not Zone.OUTSIDE else {"https"}
        if url.scheme not in plain:
            raise Denied(f"{host}: by {url.scheme or 'nothing'}, allowed is {' or '.join(sorted(plain))}")
        return zone

    def zone(self, host: str, port: int) -> Zone:
        """Where a host, in lower case, is looked for.

        Raises:
            Denied: it is on no list, or nothing that can be on one.
        """
        address = literal(host)
        if any(_matches(entry, host, port) for entry in self.inside):
            return Zone.INSIDE
        if not any(_matches(entry, host, port) for entry in self.allowed):
            raise Denied(f"{host}: not among the allowed hosts")
        if self.allow_loopback and (host == "localhost" or (address is not None and address.is_loopback)):
            return Zone.LOOPBACK
        if address is None and INSIDE_NAME.search(host):
            raise Denied(f"{host}: a name of the inside")
        if address is not None:
            self.reachable(Zone.OUTSIDE, host, [host])
        return Zone.OUTSIDE

    def reachable(self, zone: Zone, host: str, found: Iterable[str]) -> list[str]:
        """Of the addresses of a host those that may be connected to, in their order.

        Raises:
            Denied: none may.
        """
        reasons = {text: self._trouble(zone, ip_address(text)) for text in dict.fromkeys(found)}
        good = [text for text, why in reasons.items() if not why]
        if not good:
            why = next(iter(reasons.values()), "no address at all")
            raise Denied(f"{host}: leads to {why}")
        return good

    def _trouble(self, zone: Zone, address: Address) -> str:
        """What an address is that may not be connected to; empty when it may."""
        inner = _inner(address)
        if inner in METADATA or inner.is_link_local:
            return "a link-local or metadata address"
        if inner.is_multicast or inner.is_unspecified:
            return "no address of a host"
        if inner.is_loopback:
            return "" if zone is Zone.LOOPBACK and inner is address else "loopback"
        if zone is Zone.LOOPBACK:
            return "another machine than this one"
        if zone is Zone.INSIDE:
            return ""
        if any(inner in network for network in self._networks if network.version == inner.version):
            return "a denied range"
        return "" if _public(inner) else "a private address"


def host_of(url: httpx.URL) -> str:
    """Host of an address as it is compared: ASCII, lower case, without a dot at its end."""
    return url.raw_host.decode("ascii").lower().removesuffix(".")


def port_of(url: httpx.URL) -> int:
    """Port of an address."""
    return (443 if url.scheme == "https" else 80) if url.port is None else url.port


def literal(host: str) -> Address | None:
    """The address that a host is; None for a name.

    Raises:
        Denied: an address in a form that only resolvers understand, or no host.
    """
    try:
        return ip_address(host)
    except ValueError:
        pass
    if NUMERIC.search(host):
        raise Denied(f"{_short(host)}: an address in an unusual form")
    if not NAME.fullmatch(host) or len(host) > 253:
        raise Denied(f"{_short(host)}: no name of a host")
    return None


def _short(host: str) -> str:
    """A host that is none, fit for a line."""
    return repr(host[:80])


def _inner(address: Address) -> Address:
    """The IPv4 address that is reached by an IPv6 one that holds it; any other as it is."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _public(address: Address) -> bool:
    """Whether an address belongs to a host of the public internet."""
    if isinstance(address, IPv6Address):
        return address.is_global and address in UNICAST6 and not any(address in network for network in NOT_PUBLIC6)
    return address.is_global and not address.is_reserved


def _split(entry: str) -> tuple[str, int | None]:
    """Host and port of an entry: `host`, `host:port`, `::1`, `[::1]:8080`."""
    bracketed = re.fullmatch(r"\[(.+)\](?::(\d+))?", entry)
    if bracketed:
        return bracketed[1], int(bracketed[2]) if bracketed[2] else None
    host, colon, port = entry.partition(":")
    if not colon or ":" in port:
        return entry, None
    return host, int(port) if port.isdecimal() else 0


def _checked(entry: str, *, wildcard: bool) -> None:
    """Refuse an entry that is no host.

    Raises:
        Misconfigured: with what is wrong.
    """
    host, port = _split(entry)
    kinds = "a host, in lower case, as api.example.org" + (" or *.example.org" if wildcard else "")
    where = "allowed hosts" if wildcard else "inside hosts"
    name = host.removeprefix("*.") if wildcard else host
    try:
        address = literal(name)
    except Denied:
        raise Misconfigured(f"{entry!r}", where=where, expected=kinds) from None
    if host != name and (address is not None or "." not in name):
        raise Misconfigured(f"{entry!r} allows too much", where=where, expected=kinds)
    if port is not None and not 0 < port < 1 << 16:
        raise Misconfigured(f"{entry!r}", where=where, expected=f"{kinds}, perhaps with a port as :8443")


def _matches(entry: str, host: str, port: int) -> bool:
    """Whether an entry means a host."""
    name, only = _split(entry)
    if only is not None and only != port:
        return False
    return host.endswith(name[1:]) and host != name[2:] if name.startswith("*.") else host == name
