"""Who may connect, how many at once, and how often they may speak."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable

from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import LEAST_PREFIX
from scheduler.units import S_PER_MIN

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_ACCOUNTS = 256


def networks_of(clients: Iterable[str], where: str) -> tuple[Network, ...]:
    """The networks that may connect.

    Raises:
        Misconfigured: what is no network, or so wide that it is everybody.
    """
    found: list[Network] = []
    for text in clients:
        try:
            network = ipaddress.ip_network(text)
        except ValueError as fault:
            raise Misconfigured(str(fault), where=where, expected="addresses or networks, such as 192.0.2.0/28") from None
        if network.prefixlen < LEAST_PREFIX[network.version]:
            raise Misconfigured(
                f"{text} lets everybody in, and Modbus knows no credentials", where=where, expected="the plant's own network"
            )
        found.append(network)
    if not found:
        raise Misconfigured("nobody may connect", where=where, expected="addresses or networks, such as 192.0.2.0/28")
    return tuple(found)


def may_connect(address: str, networks: Iterable[Network]) -> bool:
    """Whether an address lies in one of the networks; an IPv4 address in an IPv6 coat counts as itself."""
    try:
        one = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(one, ipaddress.IPv6Address) and one.ipv4_mapped is not None:
        one = one.ipv4_mapped
    return any(one in network for network in networks if network.version == one.version)


class Allowance:
    """So many per second on average and a few at once, for each of a bounded number of names (a token bucket each)."""

    def __init__(self, per_s: float, burst: float, monotonic_s: Callable[[], float], most: int = MAX_ACCOUNTS) -> None:
        """Everybody begins with a full bucket; when there are too many names, the one not heard longest is forgotten."""
        self._per_s, self._burst, self._now_s, self._most = per_s, burst, monotonic_s, most
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def takes(self, name: Hashable) -> bool:
        """Whether one more is allowed, which is then taken."""
        left = self._left_of(name)
        self._keep(name, left - 1.0 if left >= 1.0 else left)
        return left >= 1.0

    def owed_s(self, name: Hashable) -> float:
        """Take one more, on credit when there is none left; returns how long to wait until that is paid, s."""
        left = self._left_of(name) - 1.0
        self._keep(name, left)
        return max(0.0, -left / self._per_s)

    def _left_of(self, name: Hashable) -> float:
        left, at_s = self._left.get(name, (self._burst, self._now_s()))
        return min(self._burst, left + (self._now_s() - at_s) * self._per_s)

    def _keep(self, name: Hashable, left: float) -> None:
        self._left[name] = left, self._now_s()
        self._left.move_to_end(name)
        if len(self._left) > self._most:
            self._left.popitem(last=False)


def per_min(writes: float, monotonic_s: Callable[[], float]) -> Allowance:
    """Writes of one client: a sixth of a minute's worth at once, at least five."""
    return Allowance(writes / S_PER_MIN, max(5.0, writes / 6.0), monotonic_s)
