"""How often somebody may ask: so many requests at once, and so many a second after that."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict


class Allowances:
    """A bucket for each name, of the last `most` names that asked."""

    def __init__(self, per_s: float, burst: int, most: int = 4096) -> None:
        """`burst` requests fit into a bucket, which fills by `per_s` a second."""
        self._per_s, self._burst, self._most = per_s, float(burst), most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, name: str, now_s: float) -> float:
        """Take one request out of a bucket: 0, or for how long it will be empty; then nothing is taken."""
        left, at_s = self._left.pop(name, (self._burst, now_s))
        left = min(self._burst, left + max(0.0, now_s - at_s) * self._per_s)
        granted = left >= 1.0
        self._left[name] = (left - 1.0 if granted else left, now_s)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return 0.0 if granted else (1.0 - left) / self._per_s


def neighbourhood(address: str) -> str:
    """Whom an address belongs to: itself, or its /64 in IPv6, of which one machine has all."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(found)
