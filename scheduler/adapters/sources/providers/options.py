"""The options of a provider as a policy states them: all known, none missing, each one of its choices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from scheduler.adapters.sources.blueprint import Card, Option
from scheduler.domain.errors import Misconfigured


def url_option(address: str) -> Option:
    """The address that every provider asks, without a slash at its end; another one for a mirror or a test."""
    return Option(name="url", meaning="address of the API, without its query", default=address)


def chosen(card: Card, quantity: str, options: Mapping[str, str]) -> dict[str, str]:
    """The options of a card with defaults filled in.

    Raises:
        Misconfigured: a quantity that the provider cannot tell, an option that is unknown, missing, or not one of its choices.
    """
    if quantity not in card.quantities:
        raise Misconfigured(f"cannot tell {quantity!r}", where=card.name, expected=" or ".join(card.quantities))
    known = {option.name: option for option in card.options}
    for name in options:
        if name not in known:
            raise Misconfigured(f"unknown option {name!r}", where=card.name, expected=_listed(known))
    return {name: _value(card, option, options.get(name, option.default)) for name, option in known.items()}


def _value(card: Card, option: Option, text: str | None) -> str:
    """One option's text, if it may stand."""
    where = f"{card.name}, option {option.name}"
    if text is None:
        raise Misconfigured("missing", where=where, expected=_listed(option.choices) or option.meaning)
    if option.choices and text not in option.choices:
        raise Misconfigured(f"{text!r}", where=where, expected=_listed(option.choices))
    if option.name == "url" and (text or option.default != ""):
        return _address(where, text)
    return text


def _address(where: str, text: str) -> str:
    """An http(s) address without query, fragment or user; whether its host may be asked is the client's matter."""
    expected = "https://HOST/PATH without user, query or fragment"
    try:
        parts = urlsplit(text)
        plain = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise Misconfigured(f"{_shown(text)!r} is no address", where=where, expected=expected) from None
    if not plain or "@" in parts.netloc or parts.query or parts.fragment or re.search(r"[\s\\]", text):
        raise Misconfigured(f"{_shown(text)!r}", where=where, expected=expected)
    return text.rstrip("/")


def _shown(text: str) -> str:
    """An address as it may be told: what stands before @, and behind ? or #, may be a credential."""
    return re.sub(r"(?s)[?#].*", "?...", re.sub(r"(?s)//.*@", "//...@", text))


def whole(card: Card, name: str, text: str, at_least: int, at_most: int) -> int:
    """A whole number of an option.

    Raises:
        Misconfigured: it is none, or out of its bounds.
    """
    if not re.fullmatch(r"[0-9]{1,9}", text) or not at_least <= int(text) <= at_most:
        where = f"{card.name}, option {name}"
        raise Misconfigured(f"{text!r}", where=where, expected=f"a whole number from {at_least} to {at_most}")
    return int(text)


def plain(card: Card, name: str, text: str, pattern: str, expected: str) -> str:
    """An option that has to look like `pattern`, since it becomes part of an address or of a query.

    Raises:
        Misconfigured: it does not.
    """
    if not re.fullmatch(pattern, text):
        raise Misconfigured(f"{text!r}", where=f"{card.name}, option {name}", expected=expected)
    return text


def _listed(names: Mapping[str, object] | tuple[str, ...]) -> str:
    """Some names in words; the first of a long list."""
    shown = list(names)
    return ", ".join(shown[:40]) + (", ..." if len(shown) > 40 else "")
