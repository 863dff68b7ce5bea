"""What was found out about each provider, and where: `providers/quality/NAME.yaml`, shipped with the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

PACKAGE = "scheduler.adapters.sources.providers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """Something that was found to be so: what, where it stands, and when that was read."""

    what: str
    where: str
    when: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What is known of a provider beside its card, in words."""

    title: str
    area: str = ""
    resolution: str = ""
    auth: str = ""
    licence: str = ""
    documentation: str = ""
    confirmed: tuple[Confirmed, ...] = ()
    unconfirmed: tuple[str, ...] = ()
    limits: str = ""
    pitfalls: tuple[str, ...] = ()


def quality_of(name: str) -> Quality | None:
    """What was found out about a provider; None for what is none, such as a rule."""
    file = resources.files(PACKAGE).joinpath("quality", f"{name}.yaml")
    if not file.is_file():
        return None
    found: Mapping[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    words = {key: _words(found.get(key, "")) for key in ("title", "area", "resolution", "auth", "licence", "documentation")}
    return Quality(
        **words,
        limits=_words(found.get("limits", "")),
        confirmed=tuple(Confirmed(**{key: _words(text) for key, text in one.items()}) for one in found.get("confirmed", ())),
        unconfirmed=tuple(_words(one) for one in found.get("unconfirmed", ())),
        pitfalls=tuple(_words(one) for one in found.get("pitfalls", ())),
    )


def _words(value: object) -> str:
    """Text on one line; dates become text, lists are joined."""
    if isinstance(value, list | tuple):
        return "; ".join(_words(one) for one in value)
    return " ".join(str(value).split())
