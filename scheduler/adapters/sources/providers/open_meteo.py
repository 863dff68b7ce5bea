"""Open-Meteo: outdoor temperature of any place from the best weather model for it, to anybody who does not trade on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from scheduler.adapters.sources.blueprint import Answer, Ask, BadAnswer, Card, Option, Schedule
from scheduler.adapters.sources.providers.options import chosen, plain, url_option, whole
from scheduler.adapters.sources.providers.parsing import Node, Row, bad, json_of, shown, told
from scheduler.adapters.sources.providers.places import LATITUDE, LONGITUDE, Place, place_of
from scheduler.domain.observed import OUTDOOR
from scheduler.domain.signals import Grade, Told
from scheduler.units import S_PER_H, S_PER_MIN

VARIABLE = "temperature_2m"
STEPS_S = {"hourly": int(S_PER_H), "minutely_15": int(15 * S_PER_MIN)}
ANYBODY, CUSTOMER = "https://api.open-meteo.com", "https://customer-api.open-meteo.com"
UNITS = {"°C": "degC", "°F": "degF"}

CARD = Card(
    name="open_meteo",
    title="Open-Meteo",
    quantities=(OUTDOOR,),
    options=(
        LATITUDE,
        LONGITUDE,
        Option(
            name="use",
            meaning="customers have a key (credential apikey)",
            default="non-commercial",
            choices=("non-commercial", "customer"),
        ),
        Option(name="resolution", meaning="how far apart values are", default="hourly", choices=tuple(STEPS_S)),
        Option(name="model", meaning="weather model", default="best_match"),
        Option(name="daysBack", meaning="days before today that are asked for too, 0 to 31", default="2"),
        Option(name="daysAhead", meaning="days from today on, 1 to 10", default="8"),
        url_option(ANYBODY),
    ),
    hosts=("api.open-meteo.com", "customer-api.open-meteo.com"),
    optional_credentials=("apikey",),
    licence="CC BY 4.0; without a key for non-commercial use only",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMeteo:
    """One place."""

    url: str
    place: Place
    customer: bool
    resolution: str
    model: str
    back: int
    ahead: int

    @property
    def schedule(self) -> Schedule:
        """Models are run every hour to every six; nobody needs to ask more often."""
        return Schedule(every_s=S_PER_H)

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        """One request: times as seconds in UTC, so that no time zone can be mistaken."""
        params = {
            "latitude": self.place.north,
            "longitude": self.place.east,
            self.resolution: VARIABLE,
            "models": self.model,
            "temperature_unit": "celsius",
            "timeformat": "unixtime",
            "timezone": "GMT",
            "past_days": str(self.back),
            "forecast_days": str(self.ahead),
        }
        secret = {"apikey": "apikey"} if self.customer else {}
        return (Ask(url=f"{self.url}/v1/forecast", params=params, secret_params=secret, statuses=(200, 400)),)

    def follow(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Ask, ...]:
        """Nothing follows."""
        return ()

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        """{hourly: {time: [s], temperature_2m: [value]}, hourly_units: {temperature_2m: "°C"}}, or {error: true, reason}.

        The past comes from models too: all of it is graded as a forecast.
        """
        return tuple(self._told(json_of(answer)) for answer in answers)

    def _told(self, document: Node) -> Told:
        """One answer."""
        error = document.maybe("error")
        if error is not None and error.flag():
            raise BadAnswer(f"the server refuses: {shown(document.field('reason').text())}")
        self.place.near(document.field("latitude"), document.field("longitude"))
        offset = document.field("utc_offset_seconds")
        if offset.number() != 0.0:
            bad(offset.where, offset.value, "0: times in UTC")
        unit = document.field(f"{self.resolution}_units").field(VARIABLE)
        if unit.text() not in UNITS:
            bad(unit.where, unit.value, " or ".join(UNITS))
        return told(OUTDOOR, self._rows(document.field(self.resolution)), UNITS[unit.text()], Grade.FORECAST, mean_over=False)

    def _rows(self, series: Node) -> list[Row]:
        """Two lists of the same length."""
        times, values = list(series.field("time").items()), list(series.field(VARIABLE).items())
        if len(times) != len(values):
            bad(series.where, f"{len(times)} times and {len(values)} values", "as many of both")
        starts = [time.epoch_s() for time in times]
        step_s = STEPS_S[self.resolution]
        return [(start_s, start_s + step_s, value.number_or_nan()) for start_s, value in zip(starts, values, strict=True)]


def make(quantity: str, options: Mapping[str, str]) -> OpenMeteo:
    """A provider from its options.

    Raises:
        Misconfigured: a quantity or an option that it does not know.
    """
    known = chosen(CARD, quantity, options)
    customer = known["use"] == "customer"
    return OpenMeteo(
        url=CUSTOMER if customer and known["url"] == ANYBODY else known["url"],
        place=place_of(CARD, known),
        customer=customer,
        resolution=known["resolution"],
        model=plain(CARD, "model", known["model"], r"[a-z0-9_]{2,60}", "one model as best_match or icon_seamless"),
        back=whole(CARD, "daysBack", known["daysBack"], 0, 31),
        ahead=whole(CARD, "daysAhead", known["daysAhead"], 1, 10),
    )
