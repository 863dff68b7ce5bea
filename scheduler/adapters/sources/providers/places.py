"""A place on Earth as an option states it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.adapters.sources.blueprint import Card, Option
from scheduler.adapters.sources.providers.parsing import Node, bad
from scheduler.domain.errors import Misconfigured

LATITUDE = Option(name="latitude", meaning="degrees north, as 55.6761")
LONGITUDE = Option(name="longitude", meaning="degrees east, as 12.5683")
# Models have cells; the coarsest of them are a quarter of a degree wide, near a pole a degree of longitude is no way at all.
NEAR_DEGREES = 1.0
DECIMALS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Degrees north and east, with four decimals: eleven metres, and all that weather services want to see."""

    latitude: float
    longitude: float

    @property
    def north(self) -> str:
        """Degrees north, for a query."""
        return f"{self.latitude:.{DECIMALS}f}"

    @property
    def east(self) -> str:
        """Degrees east, for a query."""
        return f"{self.longitude:.{DECIMALS}f}"

    def near(self, latitude: Node, longitude: Node) -> None:
        """Refuse an answer about somewhere else.

        Raises:
            BadAnswer: it is more than a degree of latitude away, or on another side of the Earth.
        """
        if abs(latitude.number() - self.latitude) > NEAR_DEGREES:
            bad(latitude.where, latitude.value, f"about {self.north}")
        away = abs(longitude.number() - self.longitude) % 360.0
        if min(away, 360.0 - away) > NEAR_DEGREES and abs(self.latitude) < 80.0:
            bad(longitude.where, longitude.value, f"about {self.east}")


def place_of(card: Card, options: Mapping[str, str]) -> Place:
    """The place that two options state.

    Raises:
        Misconfigured: one is no number of degrees.
    """
    return Place(
        latitude=_degrees(card, LATITUDE.name, options[LATITUDE.name], 90.0),
        longitude=_degrees(card, LONGITUDE.name, options[LONGITUDE.name], 180.0),
    )


def _degrees(card: Card, name: str, text: str, most: float) -> float:
    """Decimal degrees within their bounds."""
    if not re.fullmatch(r"[+-]?\d{1,3}(\.\d{1,10})?", text) or abs(float(text)) > most:
        raise Misconfigured(
            f"{text!r}", where=f"{card.name}, option {name}", expected=f"decimal degrees from -{most:g} to {most:g}"
        )
    return round(float(text), DECIMALS)
