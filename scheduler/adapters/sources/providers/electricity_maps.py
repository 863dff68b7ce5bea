"""Electricity Maps: average carbon intensity of what a zone consumes, with a token; forecasts with a paid one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from scheduler.adapters.sources.blueprint import Answer, Ask, Card, NothingYet, Option, Schedule
from scheduler.adapters.sources.providers.options import chosen, plain, url_option
from scheduler.adapters.sources.providers.parsing import Node, Row, bad, instant, json_of, told
from scheduler.domain.observed import CARBON
from scheduler.domain.signals import Basis, Grade, Told
from scheduler.units import S_PER_H, S_PER_MIN

# A value, and when it was made.
Value = tuple[Row, datetime | None]
GRANULARITIES = {"hourly": int(S_PER_H), "15_minutes": int(15 * S_PER_MIN), "5_minutes": int(5 * S_PER_MIN)}

CARD = Card(
    name="electricity_maps",
    title="Electricity Maps",
    quantities=(CARBON,),
    options=(
        Option(name="zone", meaning="zone key as the API lists them, as DK-DK2 or DE"),
        Option(name="emissionFactors", meaning="what is counted", default="lifecycle", choices=("lifecycle", "direct")),
        Option(
            name="estimates",
            meaning="whether estimates stand in where nothing was measured",
            default="yes",
            choices=("yes", "no"),
        ),
        Option(
            name="forecast",
            meaning="whether to ask for forecasts, which a free token may not; there are none of direct emissions here",
            default="yes",
            choices=("yes", "no"),
        ),
        Option(name="granularity", meaning="length of a value", default="hourly", choices=tuple(GRANULARITIES)),
        url_option("https://api.electricitymaps.com/v3"),
    ),
    hosts=("api.electricitymaps.com",),
    credentials=("token",),
    basis=Basis.AVERAGE,
    licence="free tier for personal, non-commercial use; else by contract",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectricityMaps:
    """One zone: the last day, the present, and what is expected."""

    url: str
    zone: str
    factors: str
    estimates: bool
    forecast: bool
    granularity: str

    @property
    def schedule(self) -> Schedule:
        """A new hour every hour; the last ones are estimates and get better."""
        return Schedule(every_s=15 * S_PER_MIN)

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        """The last 24 hours, the present one, and the forecast where the token may; history alone would be enough."""
        parts = [("history", False), ("latest", True)] + ([("forecast", True)] if self.forecast else [])
        return tuple(self._ask(part, optional) for part, optional in parts)

    def _ask(self, part: str, optional: bool) -> Ask:
        """One of the three requests."""
        params = {"zone": self.zone, "emissionFactorType": self.factors, "temporalGranularity": self.granularity}
        if part != "forecast":
            params["disableEstimations"] = "false" if self.estimates else "true"
        return Ask(
            url=f"{self.url}/carbon-intensity/{part}", params=params, secret_headers={"auth-token": "token"}, optional=optional
        )

    def follow(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Ask, ...]:
        """Nothing follows."""
        return ()

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        """{zone, history: [value]}, a value itself, {zone, forecast: [value], updatedAt}.

        A value is {carbonIntensity, datetime} with isEstimated, emissionFactorType and updatedAt where it is no forecast; what
        was estimated is graded as a forecast is.
        """
        groups: dict[str, list[Value]] = {"measured": [], "estimated": [], "forecast": []}
        for answer in answers:
            part = answer.ask.url.rpartition("/")[2]
            for kind, value in self._values(part, self._of_zone(json_of(answer, part))):
                groups[kind].append(value)
        found = [_told(kind, values) for kind, values in groups.items() if values]
        if not found:
            raise NothingYet(f"{CARBON}: the answers have no values")
        return tuple(found)

    def _values(self, part: str, document: Node) -> Iterator[tuple[str, Value]]:
        """Every value of one answer with its kind."""
        if part == "forecast":
            made_utc = _made(document)
            yield from (("forecast", (self._row(node), made_utc)) for node in document.field("forecast").items())
            return
        for node in [document] if part == "latest" else document.field("history").items():
            flag = node.maybe("isEstimated")
            yield "estimated" if flag is not None and flag.flag() else "measured", (self._row(node), _made(node))

    def _of_zone(self, document: Node) -> Node:
        """Refuse another zone: for one that it does not know the API would take the caller's own place."""
        zone = document.field("zone")
        return document if zone.text() == self.zone else bad(zone.where, zone.value, self.zone)

    def _row(self, node: Node) -> Row:
        """One value, if it is counted and as long as it was asked for."""
        for name, wanted in (("emissionFactorType", self.factors), ("temporalGranularity", self.granularity)):
            found = node.maybe(name)
            if found is not None and found.text() != wanted:
                bad(found.where, found.value, wanted)
        start_s = node.field("datetime").instant_s()
        return start_s, start_s + GRANULARITIES[self.granularity], node.field("carbonIntensity").number_or_nan()


def make(quantity: str, options: Mapping[str, str]) -> ElectricityMaps:
    """A provider from its options.

    Raises:
        Misconfigured: a quantity or an option that it does not know.
    """
    known = chosen(CARD, quantity, options)
    return ElectricityMaps(
        url=known["url"],
        zone=plain(CARD, "zone", known["zone"], r"[A-Z]{2}[A-Z0-9-]{0,18}", "a zone key as DK-DK2"),
        factors=known["emissionFactors"],
        estimates=known["estimates"] == "yes",
        # No forecast says what it counts, so that one of direct emissions could not be told from another.
        forecast=known["forecast"] == "yes" and known["emissionFactors"] == "lifecycle",
        granularity=known["granularity"],
    )


def _made(node: Node) -> datetime | None:
    """When a value was made, if that is said; parts of a second may stand there."""
    found = node.maybe("updatedAt")
    return None if found is None else instant(found.text(), found.where)


def _told(kind: str, values: Sequence[Value]) -> Told:
    """The values of one kind, as late as the latest of them."""
    grade = Grade.MEASURED if kind == "measured" else Grade.FORECAST
    issued_utc = max((made_utc for _, made_utc in values if made_utc is not None), default=None)
    return told(CARBON, [row for row, _ in values], "g/kWh", grade, issued_utc=issued_utc, basis=Basis.AVERAGE)
