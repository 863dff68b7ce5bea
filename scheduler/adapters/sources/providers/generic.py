"""What the providers have in common that read anything: what is told, in which unit, and how they show who they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl

from scheduler.adapters.sources.blueprint import Answer, Ask, Basic, Bearer, Card, Option, Schedule
from scheduler.adapters.sources.folder import NAME, SCHEME
from scheduler.adapters.sources.providers.options import plain, whole
from scheduler.adapters.sources.providers.parsing import Row, told
from scheduler.core.signals.conversion import FACTORS, factor_of
from scheduler.domain.errors import Misconfigured
from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR, PLANT_FORECAST, PRICE, unit_of
from scheduler.domain.signals import Basis, Grade, Told
from scheduler.units import S_PER_MIN

QUANTITIES = (PRICE, CARBON, OUTDOOR, HEAT_DEMAND, PLANT_FORECAST)
ADDRESS = Option(name="url", meaning="address, without its query")
# One of these two, for what may lie beside the operator as well.
ANYWHERE = Option(name="url", meaning="address, without its query; or file", default="")
FILE = Option(name="file", meaning="name of a file in the folder that the operator reads files from; or url", default="")
UNIT = Option(name="unit", meaning="unit of the values, as EUR/MWh, ct/kWh, g/kWh, degC or MW")
GRADE = Option(
    name="grade", meaning="what the values are", default=Grade.FORECAST.value, choices=tuple(grade.value for grade in Grade)
)
BASIS = Option(name="basis", meaning="of carbon: average or marginal; nothing else has one", default="")
EVERY = Option(name="everyMinutes", meaning="minutes between two requests, 1 to 1440", default="15")
AUTH = Option(
    name="auth",
    meaning="how to show who asks: basic (credentials user, password), bearer (token), header or parameter (key)",
    default="none",
    choices=("none", "basic", "bearer", "header", "parameter"),
)
KEY_NAME = Option(name="keyName", meaning="name of the header or query parameter that gets the key", default="")
# Some of those that money makes; any currency will do for which there is a rate.
PRICE_UNITS = ("EUR/MWh", "DKK/MWh", "EUR/kWh", "ct/kWh", "GBp/kWh")
CREDENTIALS = ("user", "password", "token", "key")
COMMON = (UNIT, GRADE, BASIS, EVERY, AUTH, KEY_NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is told: a quantity in a unit."""

    quantity: str
    unit: str
    grade: Grade
    basis: Basis | None
    every_s: float

    @property
    def schedule(self) -> Schedule:
        """Every so many minutes."""
        return Schedule(every_s=self.every_s)

    def told(self, rows: list[Row], issued_utc: datetime | None = None) -> Told:
        """Values of it; a temperature holds at its time, everything else is a mean over its interval.

        Raises:
            NothingYet: there are none.
        """
        mean_over = self.quantity != OUTDOOR
        return told(self.quantity, rows, self.unit, self.grade, issued_utc=issued_utc, basis=self.basis, mean_over=mean_over)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneAnswer:
    """Whatever is told by one answer to one request, again and again."""

    ask: Ask
    subject: Subject

    @property
    def schedule(self) -> Schedule:
        """Every so many minutes."""
        return self.subject.schedule

    def asks(self, now_utc: datetime) -> tuple[Ask, ...]:
        """The one request."""
        return (self.ask,)

    def follow(self, answers: Sequence[Answer], now_utc: datetime) -> tuple[Ask, ...]:
        """Nothing follows."""
        return ()


def subject_of(card: Card, quantity: str, options: Mapping[str, str]) -> Subject:
    """The subject that the options state.

    Raises:
        Misconfigured: carbon without its basis, something else with one, a unit of something else.
    """
    basis, kinds = options[BASIS.name], tuple(Basis) if quantity == CARBON else ("",)
    if basis not in kinds:
        expected = " or ".join(kinds) or "none: only carbon has one"
        raise Misconfigured(f"{basis!r} for {quantity}", where=f"{card.name}, option {BASIS.name}", expected=expected)
    return Subject(
        quantity=quantity,
        unit=_unit(card, quantity, options[UNIT.name]),
        grade=Grade(options[GRADE.name]),
        basis=Basis(basis) if basis else None,
        every_s=whole(card, EVERY.name, options[EVERY.name], 1, 1440) * S_PER_MIN,
    )


def _unit(card: Card, quantity: str, text: str) -> str:
    """A unit that can become ours of a quantity."""
    ours, factor = unit_of(quantity), factor_of(text)
    if factor is None or factor.ours != ours:
        known = [unit for unit, one in FACTORS.items() if one.ours == ours] or PRICE_UNITS
        raise Misconfigured(f"{text!r} for {quantity}", where=f"{card.name}, option {UNIT.name}", expected=", ".join(known))
    return text


def ask_of(card: Card, options: Mapping[str, str], params: Mapping[str, str], accept: tuple[str, ...]) -> Ask:
    """A request of the address that the options state, with what they say of who asks.

    Raises:
        Misconfigured: a key without a name for it, or a name without a key.
    """
    auth, key_name = options[AUTH.name], options[KEY_NAME.name]
    named = auth in {"header", "parameter"}
    if named or key_name:
        expected = "a name of letters, digits, - and _" if named else "none: only a header or a parameter has one"
        plain(card, KEY_NAME.name, key_name, r"[A-Za-z0-9_-]{1,60}" if named else "", expected)
    who: Mapping[str, Basic | Bearer] = {"basic": Basic(user="user", password="password"), "bearer": Bearer(token="token")}
    return Ask(
        url=options[ADDRESS.name],
        params=params,
        accept=accept,
        secret_headers={key_name: "key"} if auth == "header" else {},
        secret_params={key_name: "key"} if auth == "parameter" else {},
        authorization=who.get(auth),
    )


def place_of(card: Card, options: Mapping[str, str]) -> dict[str, str]:
    """The options with an address in `url`, be it of the web or of a file.

    Raises:
        Misconfigured: none is stated, or both, or the file is no plain name.
    """
    name = options[FILE.name]
    if bool(name) == bool(options[ADDRESS.name]):
        found = "both" if name else "neither"
        raise Misconfigured(found, where=f"{card.name}, options {ADDRESS.name} and {FILE.name}", expected="one of them")
    return {**options, ADDRESS.name: SCHEME + plain(card, FILE.name, name, NAME, "a plain name")} if name else dict(options)


def query_of(card: Card, text: str) -> dict[str, str]:
    """The parameters of an option `query`, as zone=DK1&days=2.

    Raises:
        Misconfigured: it is none, or names a parameter twice.
    """
    where = f"{card.name}, option query"
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=40)
    except ValueError:
        raise Misconfigured(f"{text!r}", where=where, expected="name=value&name=value") from None
    if len(dict(pairs)) != len(pairs):
        raise Misconfigured(f"{text!r}", where=where, expected="each parameter once")
    return dict(pairs)
