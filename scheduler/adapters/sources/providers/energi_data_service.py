"""Energi Data Service (Energinet): day-ahead prices of Denmark and its neighbours in quarter hours, to anybody.

`DayAheadPrices` took over from `Elspotprices` with 1 October 2025. One request per data set, minute and address is allowed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from scheduler.adapters.sources.blueprint import Answer, Ask, Card, Option, Schedule
from scheduler.adapters.sources.providers.days import HISTORY, day_ahead, days_back, window
from scheduler.adapters.sources.providers.options import chosen, url_option
from scheduler.adapters.sources.providers.parsing import Node, Row, bad, json_of, told
from scheduler.domain.observed import PRICE, QUARTER_S
from scheduler.domain.signals import Grade, Told

CARD = Card(
    name="energi_data_service",
    title="Energi Data Service",
    quantities=(PRICE,),
    options=(
        Option(name="area", meaning="price area", choices=("DK1", "DK2", "DE", "NO2", "SE3", "SE4")),
        Option(name="currency", meaning="of which prices are taken", default="EUR", choices=("EUR", "DKK")),
        HISTORY,
        url_option("https://api.energidataservice.dk"),
    ),
    hosts=("api.energidataservice.dk",),
    licence="free with attribution to Energinet (Energi Data Service terms)",
)
ZONE = "Europe/Copenhagen"
# The longest local day has 100 quarter hours.
RECORDS_PER_DAY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergiDataService:
    """One area's prices in one currency."""

    url: str
    area: str
    currency: str
    back: int

    @property
    def schedule(self) -> Schedule:
        """Tomorrow is there soon after 13:00."""
        return day_ahead("13:05")

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        """One request, the newest first so that a limit of theirs would cut off the past; dates are Danish local ones."""
        start_utc, end_utc = window(now_utc, ZONE, self.back, 1)
        zone = ZoneInfo(ZONE)
        params = {
            "start": f"{start_utc.astimezone(zone):%Y-%m-%d}",
            "end": f"{end_utc.astimezone(zone):%Y-%m-%d}",
            "filter": json.dumps({"PriceArea": [self.area]}, separators=(",", ":")),
            "sort": "TimeUTC desc",
            "limit": str((self.back + 2) * RECORDS_PER_DAY),
        }
        return (Ask(url=f"{self.url}/dataset/DayAheadPrices", params=params),)

    def follow(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Ask, ...]:
        """Nothing follows: all records come at once."""
        return ()

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        """{records: [{TimeUTC, PriceArea, DayAheadPriceEUR, DayAheadPriceDKK}]} per MWh, in any order."""
        rows = [self._row(node) for answer in answers for node in json_of(answer).field("records").items()]
        return (told(PRICE, rows, f"{self.currency}/MWh", Grade.PUBLISHED),)

    def _row(self, node: Node) -> Row:
        """One quarter hour; TimeUTC has no offset and means UTC."""
        area = node.field("PriceArea")
        if area.text() != self.area:
            bad(area.where, area.value, self.area)
        start_s = node.field("TimeUTC").instant_s(naive_is_utc=True)
        return start_s, start_s + QUARTER_S, node.field(f"DayAheadPrice{self.currency}").number_or_nan()


def make(quantity: str, options: Mapping[str, str]) -> EnergiDataService:
    """A provider from its options.

    Raises:
        Misconfigured: a quantity or an option that it does not know.
    """
    known = chosen(CARD, quantity, options)
    return EnergiDataService(url=known["url"], area=known["area"], currency=known["currency"], back=days_back(CARD, known))
