"""MET Norway (yr.no): outdoor temperature of any place on Earth, to everybody who says who they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from scheduler import __version__
from scheduler.adapters.sources.blueprint import Answer, Ask, Card, Option, Schedule
from scheduler.adapters.sources.providers.options import chosen, plain, url_option, whole
from scheduler.adapters.sources.providers.parsing import Node, bad, instant, json_of, told
from scheduler.adapters.sources.providers.places import LATITUDE, LONGITUDE, Place, place_of
from scheduler.adapters.sources.providers.spacing import Point, rows_of
from scheduler.domain.observed import OUTDOOR
from scheduler.domain.signals import Grade, Told
from scheduler.units import S_PER_H, S_PER_MIN

VARIABLE = "air_temperature"
# Each value is of an instant: hours in the first days, later every sixth. Nobody says what is between.
LENGTH_S = int(S_PER_H)
ENDING = "MET Norway calls this version of its API deprecated (status 203); it will end within weeks"

CARD = Card(
    name="met_norway",
    title="MET Norway",
    quantities=(OUTDOOR,),
    options=(
        LATITUDE,
        LONGITUDE,
        Option(name="contact", meaning="who asks, for the User-Agent that they demand: an e-mail address or a web site"),
        Option(name="altitude", meaning="metres above the sea; not given: of their map", default=""),
        url_option("https://api.met.no/weatherapi/locationforecast/2.0"),
    ),
    hosts=("api.met.no",),
    licence="CC BY 4.0, NLOD 2.0; a User-Agent with a contact, no request before Expires",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetNorway:
    """One place."""

    url: str
    place: Place
    contact: str
    altitude: str

    @property
    def schedule(self) -> Schedule:
        """The answer's Expires is about half an hour away, and the client honours it; odd minutes keep off the full hour."""
        return Schedule(every_s=37 * S_PER_MIN)

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        """One request; coordinates with more than four decimals are refused. Status 203: this version will end soon."""
        params = {"lat": self.place.north, "lon": self.place.east}
        if self.altitude:
            params["altitude"] = self.altitude
        agent = f"heat-dispatch/{__version__} {self.contact}"
        return (Ask(url=f"{self.url}/compact", params=params, headers={"User-Agent": agent}, statuses=(200, 203)),)

    def follow(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Ask, ...]:
        """Nothing follows."""
        return ()

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        """{geometry, properties: {meta: {updated_at, units}, timeseries: [{time, data: {instant: {details}}}]}}."""
        return tuple(replace(self._told(json_of(answer)), remark=ENDING if answer.status == 203 else "") for answer in answers)

    def _told(self, document: Node) -> Told:
        """One answer."""
        at = list(document.field("geometry").field("coordinates").items())
        if len(at) < 2:
            bad("$.geometry.coordinates", at, "longitude and latitude")
        self.place.near(at[1], at[0])
        properties = document.field("properties")
        meta = properties.field("meta")
        unit, made = meta.field("units").field(VARIABLE), meta.field("updated_at")
        if unit.text() != "celsius":
            bad(unit.where, unit.value, "celsius")
        series = properties.field("timeseries")
        rows = rows_of([_point(node) for node in series.items()], series.where, length_s=LENGTH_S)
        issued_utc = instant(made.text(), made.where)
        return told(OUTDOOR, rows, "degC", Grade.FORECAST, issued_utc=issued_utc, mean_over=False)


def make(quantity: str, options: Mapping[str, str]) -> MetNorway:
    """A provider from its options.

    Raises:
        Misconfigured: a quantity or an option that it does not know, or no way to reach whoever asks.
    """
    known = chosen(CARD, quantity, options)
    altitude = known["altitude"]
    return MetNorway(
        url=known["url"],
        place=place_of(CARD, known),
        contact=plain(
            CARD,
            "contact",
            known["contact"],
            r"[\w.+-]{1,60}@[\w-]{1,60}(\.[\w-]{1,60})+|(https://)?[\w-]{1,60}(\.[\w-]{1,60})+(/[\w./~-]{0,100})?",
            "an e-mail address or a web site",
        ),
        altitude=str(whole(CARD, "altitude", altitude, 0, 9000)) if altitude else "",
    )


def _point(node: Node) -> Point:
    """One instant."""
    return node.field("time").instant_s(), node.field("data").field("instant").field("details").field(VARIABLE).number_or_nan()
