"""aWATTar: hourly day-ahead prices of Germany and Austria, to anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from scheduler.adapters.sources.blueprint import Answer, Ask, Card, Option, Schedule
from scheduler.adapters.sources.providers.days import DAY_AHEAD_ZONE, HISTORY, day_ahead, days_back, window
from scheduler.adapters.sources.providers.options import chosen, url_option
from scheduler.adapters.sources.providers.parsing import Node, Row, bad, json_of, told
from scheduler.domain.observed import PRICE
from scheduler.domain.signals import Grade, Told
from scheduler.units import MILLI_PER_UNIT

CARD = Card(
    name="awattar",
    title="aWATTar",
    quantities=(PRICE,),
    options=(
        Option(name="area", meaning="country", default="de", choices=("de", "at")),
        HISTORY,
        url_option("https://api.awattar.{area}"),
    ),
    hosts=("api.awattar.de", "api.awattar.at"),
    licence="free within fair use; prices of EPEX Spot",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Awattar:
    """One country's prices."""

    url: str
    back: int

    @property
    def schedule(self) -> Schedule:
        """Tomorrow's prices are there from 14:00 on."""
        return day_ahead("14:00")

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        """One request: without bounds the answer begins now, and the past would be missing."""
        start_utc, end_utc = window(now_utc, DAY_AHEAD_ZONE, self.back, 1)
        return (
            Ask(url=f"{self.url}/v1/marketdata", params={"start": _milliseconds(start_utc), "end": _milliseconds(end_utc)}),
        )

    def follow(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Ask, ...]:
        """Nothing follows."""
        return ()

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        """{data: [{start_timestamp, end_timestamp (ms), marketprice, unit "Eur/MWh"}]}."""
        rows = [_row(node) for answer in answers for node in json_of(answer).field("data").items()]
        return (told(PRICE, rows, "EUR/MWh", Grade.PUBLISHED),)


def make(quantity: str, options: Mapping[str, str]) -> Awattar:
    """A provider from its options.

    Raises:
        Misconfigured: a quantity or an option that it does not know.
    """
    known = chosen(CARD, quantity, options)
    return Awattar(url=known["url"].replace("{area}", known["area"]), back=days_back(CARD, known))


def _milliseconds(at_utc: datetime) -> str:
    """An instant as the API counts it."""
    return str(int(at_utc.timestamp() * MILLI_PER_UNIT))


def _row(node: Node) -> Row:
    """One hour."""
    unit = node.field("unit")
    if unit.text().lower() != "eur/mwh":
        bad(unit.where, unit.value, "Eur/MWh")
    start_s, end_s = node.field("start_timestamp").epoch_milliseconds(), node.field("end_timestamp").epoch_milliseconds()
    return start_s, end_s, node.field("marketprice").number_or_nan()
