"""ENTSO-E Transparency Platform: day-ahead prices (A44, 12.1.D) of Europe's bidding zones, with a free token.

In DE-LU and AT a second auction (EXAA) stands beside the coupled one, told apart by its sequence alone; the order of series
says nothing, and when the first is missing the second is no stand-in for it. In ES intraday auctions may come along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from scheduler.adapters.sources.blueprint import Answer, Ask, Card, NothingYet, Option, Schedule
from scheduler.adapters.sources.providers.days import DAY_AHEAD_ZONE, HISTORY, day_ahead, days_back, window
from scheduler.adapters.sources.providers.entsoe_document import published, rows_of, text_or, unit_of
from scheduler.adapters.sources.providers.options import chosen, url_option
from scheduler.adapters.sources.providers.parsing import Row, Tag, bad, shown, told, xml_of
from scheduler.adapters.sources.providers.zones import EIC
from scheduler.domain.observed import PRICE
from scheduler.domain.signals import Grade, Told

CARD = Card(
    name="entsoe",
    title="ENTSO-E Transparency Platform",
    quantities=(PRICE,),
    options=(
        Option(name="area", meaning="bidding zone", choices=tuple(EIC)),
        Option(
            name="sequence",
            meaning="which auction, where there are several: 1 the coupled one (SDAC), 2 in DE-LU and AT that of EXAA",
            default="1",
            choices=("1", "2", "3"),
        ),
        HISTORY,
        url_option("https://web-api.tp.entsoe.eu"),
    ),
    hosts=("web-api.tp.entsoe.eu",),
    credentials=("securityToken",),
    licence="CC BY 4.0 for data of the owners who agreed (list on the platform); registration needed",
)
# 34 days of quarter hours, two auctions, 130 bytes a point: 0.85 MB.
MAX_BYTES = 2 * 1024 * 1024
DAILY, SEQUENCE = "contract_MarketAgreement.type", "classificationSequence_AttributeInstanceComponent.position"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entsoe:
    """One zone's prices of one auction."""

    url: str
    eic: str
    sequence: str
    back: int

    @property
    def schedule(self) -> Schedule:
        """Results of the coupled auction come from 12:45 on, and here a little later."""
        return day_ahead("13:00")

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        """One request for some days; a refusal comes with status 400 and says why."""
        start_utc, end_utc = window(now_utc, DAY_AHEAD_ZONE, self.back, 1)
        params = {
            "documentType": "A44",
            "in_Domain": self.eic,
            "out_Domain": self.eic,
            DAILY: "A01",
            "periodStart": f"{start_utc:%Y%m%d%H%M}",
            "periodEnd": f"{end_utc:%Y%m%d%H%M}",
        }
        ask = Ask(
            url=f"{self.url}/api",
            params=params,
            secret_params={"securityToken": "securityToken"},
            accept=("application/xml", "text/xml"),
            statuses=(200, 400),
            max_bytes=MAX_BYTES,
        )
        return (ask,)

    def follow(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Ask, ...]:
        """Nothing follows."""
        return ()

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        """All series of our auction, one Told per unit."""
        by_unit: dict[str, list[Row]] = {}
        others: set[str] = set()
        for answer in answers:
            for series in published(xml_of(answer)):
                self._of_ours(series)
                sequence = text_or(series, SEQUENCE, "1")
                if sequence != self.sequence:
                    others.add(sequence)
                elif text_or(series, DAILY, "A01") == "A01":
                    by_unit.setdefault(unit_of(series), []).extend(rows_of(series))
        if not by_unit:
            instead = f", only {shown(', '.join(sorted(others)))}" if others else ""
            raise NothingYet(f"no day-ahead auction with sequence {self.sequence}{instead}")
        return tuple(told(PRICE, rows, unit, Grade.PUBLISHED) for unit, rows in by_unit.items())

    def _of_ours(self, series: Tag) -> None:
        """Refuse a series of another zone."""
        for zone in (*series.all("in_Domain.mRID"), *series.all("out_Domain.mRID")):
            if zone.text() != self.eic:
                bad(zone.where, zone.text(), self.eic)


def make(quantity: str, options: Mapping[str, str]) -> Entsoe:
    """A provider from its options.

    Raises:
        Misconfigured: a quantity or an option that it does not know.
    """
    known = chosen(CARD, quantity, options)
    return Entsoe(url=known["url"], eic=EIC[known["area"]], sequence=known["sequence"], back=days_back(CARD, known))
