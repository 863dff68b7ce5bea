"""WattTime: marginal carbon intensity of a grid region, five minutes at a time, by account and login."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.adapters.sources.blueprint import Answer, Ask, Basic, Card, Login, Option, Schedule
from scheduler.adapters.sources.providers.options import chosen, plain, url_option, whole
from scheduler.adapters.sources.providers.parsing import Node, Row, bad, instant, json_of, told
from scheduler.domain.observed import CARBON
from scheduler.domain.signals import Basis, Grade, Told
from scheduler.units import S_PER_DAY, S_PER_MIN

SIGNAL = "co2_moer"
UNITS = "lbs_co2_per_mwh"
# A token is good for 30 minutes.
TOKEN_S = 25 * S_PER_MIN

CARD = Card(
    name="watttime",
    title="WattTime",
    quantities=(CARBON,),
    options=(
        Option(name="region", meaning="grid region as the API names it, as CAISO_NORTH"),
        Option(name="horizonHours", meaning="how far a forecast reaches, 1 to 72", default="48"),
        Option(name="past", meaning="whether the last day is asked for too", default="yes", choices=("yes", "no")),
        url_option("https://api.watttime.org"),
    ),
    hosts=("api.watttime.org",),
    credentials=("user", "password"),
    basis=Basis.MARGINAL,
    licence="by subscription; without one only CAISO_NORTH",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WattTime:
    """One region: what is expected, and the last day."""

    url: str
    region: str
    horizon_h: int
    past: bool

    @property
    def schedule(self) -> Schedule:
        """Forecasts are made every five minutes; plans every fifteen."""
        return Schedule(every_s=15 * S_PER_MIN)

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        """The forecast, and the last day where it is wanted."""
        forecast = self._ask("forecast", {"horizon_hours": str(self.horizon_h)})
        end_utc = now_utc.replace(second=0, microsecond=0)
        span = {"start": _text(end_utc - timedelta(days=1)), "end": _text(end_utc)}
        return (forecast, self._ask("historical", span, optional=True)) if self.past else (forecast,)

    def _ask(self, part: str, params: Mapping[str, str], *, optional: bool = False) -> Ask:
        """A request with a token of a login."""
        login = Login(url=f"{self.url}/login", basic=Basic(user="user", password="password"), lasts_s=TOKEN_S)
        return Ask(
            url=f"{self.url}/v3/{part}",
            params={"region": self.region, "signal_type": SIGNAL, **params},
            authorization=login,
            optional=optional,
        )

    def follow(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Ask, ...]:
        """Nothing follows."""
        return ()

    def read(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Told, ...]:
        """{data: [{point_time, value}], meta: {region, signal_type, units, data_point_period_seconds, generated_at}}."""
        return tuple(self._told(answer) for answer in answers)

    def _told(self, answer: Answer) -> Told:
        """One answer's values, each from its time on for the period of the answer."""
        part = answer.ask.url.rpartition("/")[2]
        document = json_of(answer, part)
        meta = document.field("meta")
        for name, wanted in (("region", self.region), ("signal_type", SIGNAL), ("units", UNITS)):
            found = meta.field(name)
            if found.text() != wanted:
                bad(found.where, found.value, wanted)
        period_s = _period_s(meta.field("data_point_period_seconds"))
        rows = [_row(node, period_s) for node in document.field("data").items()]
        if part != "forecast":
            return told(CARBON, rows, "lb/MWh", Grade.MEASURED, basis=Basis.MARGINAL)
        made = meta.field("generated_at")
        issued_utc = instant(made.text(), made.where)
        return told(CARBON, rows, "lb/MWh", Grade.FORECAST, issued_utc=issued_utc, basis=Basis.MARGINAL)


def make(quantity: str, options: Mapping[str, str]) -> WattTime:
    """A provider from its options.

    Raises:
        Misconfigured: a quantity or an option that it does not know.
    """
    known = chosen(CARD, quantity, options)
    return WattTime(
        url=known["url"],
        region=plain(CARD, "region", known["region"], r"[A-Z0-9_]{2,40}", "a region as CAISO_NORTH"),
        horizon_h=whole(CARD, "horizonHours", known["horizonHours"], 1, 72),
        past=known["past"] == "yes",
    )


def _text(at_utc: datetime) -> str:
    """An instant as the API wants it."""
    return f"{at_utc:%Y-%m-%dT%H:%M:%SZ}"


def _period_s(node: Node) -> int:
    """How long a value holds."""
    period_s = node.number()
    if not 60.0 <= period_s <= S_PER_DAY or period_s != int(period_s):
        bad(node.where, node.value, "whole seconds, a minute to a day")
    return int(period_s)


def _row(node: Node, period_s: int) -> Row:
    """One value."""
    start_s = node.field("point_time").instant_s()
    return start_s, start_s + period_s, node.field("value").number_or_nan()
