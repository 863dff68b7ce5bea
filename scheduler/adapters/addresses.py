"""Addresses that somebody has written down: whether anybody could be asked there at all."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_address(url: str) -> bool:
    """Whether somebody can be asked there by HTTP."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
