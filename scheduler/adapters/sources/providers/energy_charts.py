"""Energy-Charts (Fraunhofer ISE): day-ahead prices of bidding zones and the carbon intensity of countries' power, to anybody.

Instants and values stand in lists side by side, without ends: a value holds for the finest spacing of its local day, so that a
missing value never makes its neighbour longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.adapters.sources.blueprint import Answer, Ask, BadAnswer, Card, NothingYet, Option, Schedule
from scheduler.adapters.sources.providers.days import DAY_AHEAD_ZONE, HISTORY, day_ahead, days_back, window
from scheduler.adapters.sources.providers.options import chosen, plain, url_option
from scheduler.adapters.sources.providers.parsing import Node, Row, bad, json_of, shown, told
from scheduler.adapters.sources.providers.zones import ENERGY_CHARTS
from scheduler.domain.errors import Misconfigured
from scheduler.domain.observed import CARBON, PRICE
from scheduler.domain.signals import Basis, Grade, Told
from scheduler.units import S_PER_H, S_PER_MIN

CARD = Card(
    name="energy_charts",
    title="Energy-Charts",
    quantities=(PRICE, CARBON),
    options=(
        Option(name="area", meaning='bidding zone for a price ("DE-LU"), country for carbon ("de")'),
        HISTORY,
        url_option("https://api.energy-charts.info"),
    ),
    hosts=("api.energy-charts.info",),
    basis=Basis.AVERAGE,
    licence="CC BY 4.0 for zones from SMARD.de; prices of other zones for private and internal use only",
)
NOTHING = "no content available"
SPACINGS_S = tuple(int(minutes * S_PER_MIN) for minutes in (15, 30, 60))


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyCharts:
    """One zone's price, or one country's carbon intensity."""

    quantity: str
    area: str
    url: str
    back: int

    @property
    def schedule(self) -> Schedule:
        """Prices with the auction; carbon is measured and forecast all day."""
        return day_ahead("13:00") if self.quantity == PRICE else Schedule(every_s=S_PER_H / 2.0)

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        """One request; where there is nothing at all for these days the answer is a 404 that says so."""
        start_utc, end_utc = window(now_utc, DAY_AHEAD_ZONE, self.back, 1)
        path, name = ("price", "bzn") if self.quantity == PRICE else ("co2eq", "country")
        params = {name: self.area, "start": f"{start_utc:%Y-%m-%dT%H:%MZ}", "end": f"{end_utc:%Y-%m-%dT%H:%MZ}"}
        return (Ask(url=f"{self.url}/{path}", params=params, statuses=(200, 404)),)

    def follow(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Ask, ...]:
        """Nothing follows."""
        return ()

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        """{unix_seconds, price, unit} or {unix_seconds, co2eq, co2eq_forecast}; null where nothing is known."""
        root = json_of(answers[0]) if len(answers) == 1 else bad("$", f"{len(answers)} answers", "one")
        if answers[0].status == 404:
            detail = root.field("detail")
            raise NothingYet(NOTHING) if detail.text() == NOTHING else BadAnswer(f"{detail.where}: {shown(detail.value)}")
        parts, remark = _prices(root) if self.quantity == PRICE else _carbon(root), _remark(root)
        return tuple(replace(part, remark=remark) for part in parts)


def make(quantity: str, options: Mapping[str, str]) -> EnergyCharts:
    """A provider from its options.

    Raises:
        Misconfigured: a quantity or an option that it does not know.
    """
    known = chosen(CARD, quantity, options)
    if quantity == CARBON:
        plain(CARD, "area", known["area"], r"[a-z]{2,3}", 'a country in two small letters, such as "de"')
    elif known["area"] not in ENERGY_CHARTS:
        raise Misconfigured(f"{known['area']!r}", where=f"{CARD.name}, option area", expected=", ".join(ENERGY_CHARTS))
    return EnergyCharts(quantity=quantity, area=known["area"], url=known["url"], back=days_back(CARD, known))


def _prices(root: Node) -> tuple[Told, ...]:
    """Day-ahead prices; the unit is written with spaces."""
    unit = root.field("unit")
    if unit.text().replace(" ", "").lower() != "eur/mwh":
        bad(unit.where, unit.value, "EUR / MWh")
    return (told(PRICE, _rows(root, "price"), "EUR/MWh", Grade.PUBLISHED),)


def _carbon(root: Node) -> tuple[Told, ...]:
    """What was measured, and the forecast where nothing was measured yet; g of CO2 equivalents per kWh, life cycle included."""
    measured = [row for row in _rows(root, "co2eq") if np.isfinite(row[2])]
    past = {start_s for start_s, _, _ in measured}
    forecast = [row for row in _rows(root, "co2eq_forecast") if np.isfinite(row[2]) and row[0] not in past]
    if not measured and not forecast:
        raise NothingYet(f"{CARBON}: neither measured nor forecast")
    parts = ((measured, Grade.MEASURED), (forecast, Grade.FORECAST))
    return tuple(told(CARBON, rows, "g/kWh", grade, basis=Basis.AVERAGE) for rows, grade in parts if rows)


def _remark(root: Node) -> str:
    """That this part of the API is about to end."""
    deprecated = root.maybe("deprecated")
    ends = deprecated is not None and deprecated.flag()
    return f"{CARD.title} calls this part of its API deprecated" if ends else ""


def _rows(root: Node, name: str) -> list[Row]:
    """Instants and values of one list beside each other."""
    starts_s = [node.epoch_s() for node in root.field("unix_seconds").items()]
    values = [node.number_or_nan() for node in root.field(name).items()]
    if len(values) != len(starts_s):
        bad(f"{root.where}.{name}", f"{len(values)} values", f"{len(starts_s)}, one for each of unix_seconds")
    ends_s = _ends_s(root, starts_s) if starts_s else []
    return list(zip(starts_s, ends_s, values, strict=True))


def _ends_s(root: Node, starts_s: Sequence[int]) -> list[int]:
    """Each start and the finest spacing of its local day; of the whole answer where that of a day is none of a market's."""
    zone = ZoneInfo(DAY_AHEAD_ZONE)
    instants = sorted(set(starts_s))
    days = [datetime.fromtimestamp(at_s, tz=UTC).astimezone(zone).date() for at_s in instants]
    finest_s: dict[object, int] = {}
    for at_s, next_s, day, next_day in zip(instants, instants[1:], days, days[1:], strict=False):
        for whole in {None, day} if day == next_day else {None}:
            finest_s[whole] = min(next_s - at_s, finest_s.get(whole, next_s - at_s))
    usual_s = finest_s.get(None, 0)
    if usual_s not in SPACINGS_S:
        bad(f"{root.where}.unix_seconds", f"a spacing of {usual_s} s", f"one of {SPACINGS_S} s")
    of_day_s = {day: found if (found := finest_s.get(day, 0)) in SPACINGS_S else usual_s for day in days}
    lengths_s = {at_s: of_day_s[day] for at_s, day in zip(instants, days, strict=True)}
    return [at_s + lengths_s[at_s] for at_s in starts_s]
