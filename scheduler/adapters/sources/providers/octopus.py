"""Octopus Energy (Great Britain): unit rates of a tariff, half-hourly ones of Agile above all, to anybody.

Pages come newest first and name the next one; a rate without an end holds until another one begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import parse_qs, urljoin, urlsplit

from scheduler.adapters.sources.blueprint import Answer, Ask, BadAnswer, Card, Option, Schedule
from scheduler.adapters.sources.providers.days import HISTORY, days_back, window
from scheduler.adapters.sources.providers.options import chosen, plain, url_option
from scheduler.adapters.sources.providers.parsing import Node, Row, bad, json_of, told
from scheduler.domain.observed import PRICE
from scheduler.domain.signals import Grade, Told
from scheduler.units import S_PER_H, S_PER_MIN

CARD = Card(
    name="octopus",
    title="Octopus Energy",
    quantities=(PRICE,),
    options=(
        Option(name="product", meaning="code of the product, such as AGILE-24-10-01"),
        Option(name="region", meaning="letter of the grid supply point group", choices=tuple("ABCDEFGHJKLMNP")),
        Option(name="vat", meaning="whether rates have VAT in them", default="exclusive", choices=("exclusive", "inclusive")),
        Option(
            name="payment",
            meaning="whose rates are taken where they depend on it",
            default="DIRECT_DEBIT",
            choices=("DIRECT_DEBIT", "NON_DIRECT_DEBIT"),
        ),
        HISTORY,
        url_option("https://api.octopus.energy"),
    ),
    hosts=("api.octopus.energy",),
    licence="public tariffs of Octopus Energy; no licence stated",
)
ZONE = "Europe/London"
# The most that a page may have; a month of half hours has 1,488.
PAGE_SIZE = "1500"


@dataclass(frozen=True, slots=True, kw_only=True)
class Octopus:
    """One tariff's rates in one region."""

    url: str
    product: str
    region: str
    field: str
    payment: str
    back: int

    @property
    def schedule(self) -> Schedule:
        """Agile's next day, 23:00 to 23:00, comes after 16:00."""
        return Schedule(every_s=3 * S_PER_H, at=("16:10",), time_zone=ZONE, again_s=10 * S_PER_MIN)

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        """The first page."""
        start_utc, end_utc = window(now_utc, ZONE, self.back, 1)
        tariff = f"E-1R-{self.product}-{self.region}"
        url = f"{self.url}/v1/products/{self.product}/electricity-tariffs/{tariff}/standard-unit-rates/"
        times = {"period_from": f"{start_utc:%Y-%m-%dT%H:%MZ}", "period_to": f"{end_utc:%Y-%m-%dT%H:%MZ}"}
        return (Ask(url=url, params={**times, "page_size": PAGE_SIZE}),)

    def follow(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Ask, ...]:
        """The page that the last one names, if it has not been asked yet."""
        asked = [answer.ask for answer in answers]
        try:
            found = _next(answers[-1]) if answers else None
        except BadAnswer:
            return ()  # reading says it
        return (found,) if found is not None and found not in asked else ()

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        """{next, results: [{value_exc_vat, value_inc_vat, valid_from, valid_to, payment_method}]} in pence per kWh."""
        first_utc, last_utc = window(now_utc, ZONE, self.back, 1)
        first_s, last_s = int(first_utc.timestamp()), int(last_utc.timestamp())
        rows: list[Row] = []
        for answer in answers:
            _next(answer)
            for node in json_of(answer).field("results").items():
                start_s, end_s, value = self._rate(node, last_s)
                rows.append((max(start_s, first_s), min(end_s, last_s), value))
        return (told(PRICE, [row for row in rows if row[0] < row[1]], "GBp/kWh", Grade.PUBLISHED),)

    def _rate(self, node: Node, last_s: int) -> Row:
        """One rate, to last_s when it has no end; of no length when it is of another way of paying."""
        start_s, ends = node.field("valid_from").instant_s(), node.field("valid_to")
        end_s = last_s if ends.value is None else ends.instant_s()
        if ends.value is not None and end_s <= start_s:
            bad(ends.where, ends.value, "an end after valid_from")
        payment = node.maybe("payment_method")
        others = payment is not None and payment.value is not None and payment.text() != self.payment
        return start_s, start_s if others else end_s, node.field(self.field).number_or_nan()


def make(quantity: str, options: Mapping[str, str]) -> Octopus:
    """A provider from its options.

    Raises:
        Misconfigured: a quantity or an option that it does not know.
    """
    known = chosen(CARD, quantity, options)
    product = plain(CARD, "product", known["product"], r"[A-Z0-9][A-Z0-9-]{2,59}", "a product code such as AGILE-24-10-01")
    return Octopus(
        url=known["url"],
        product=product,
        region=known["region"],
        field="value_exc_vat" if known["vat"] == "exclusive" else "value_inc_vat",
        payment=known["payment"],
        back=days_back(CARD, known),
    )


def _next(answer: Answer) -> Ask | None:
    """The next page as the same request with another page number.

    Raises:
        BadAnswer: it is none of the same address.
    """
    named = json_of(answer).field("next")
    if named.value is None:
        return None
    here = urlsplit(answer.ask.url)
    try:
        there = urlsplit(urljoin(answer.ask.url, named.text()))
        pages = parse_qs(there.query).get("page", [])
    except ValueError:
        bad(named.where, named.value, "an address")
    same = (there.scheme, there.netloc, there.path) == (here.scheme, here.netloc, here.path)
    if not same or len(pages) != 1 or not pages[0].isascii() or not pages[0].isdigit():
        bad(named.where, named.value, f"a page of {here.netloc}{here.path}")
    return replace(answer.ask, params={**answer.ask.params, "page": pages[0]})
