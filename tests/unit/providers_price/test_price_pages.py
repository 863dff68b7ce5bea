"""Every price provider reads its own page, on days of 23, 24 and 25 hours; cards, quality and options fit each other."""

from __future__ import annotations

from datetime import UTC, date, datetime
from importlib import resources
from types import ModuleType
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import yaml
from signal_answers import answers_of, made, pages_of

from scheduler.adapters.sources.blueprint import NothingYet, Provider
from scheduler.adapters.sources.providers.catalogue import PROVIDERS
from scheduler.domain.errors import Misconfigured
from scheduler.domain.observed import CARBON, PRICE
from scheduler.domain.signals import Basis, Grade, Told

NAMES = ("entsoe", "energy_charts", "energi_data_service", "awattar", "smard", "octopus")
CASES = [(name, quantity) for name in NAMES for quantity in PROVIDERS[name].card.quantities]
# Afternoons with tomorrow published: an ordinary one, the one before 29 March (23 hours), the one before 25 October 2026 (25).
NOONS = [
    datetime(2026, 11, 21, 15, tzinfo=UTC),
    datetime(2026, 3, 28, 16, 30, tzinfo=UTC),
    datetime(2026, 10, 24, 16, 30, tzinfo=UTC),
]
BRUSSELS = ZoneInfo("Europe/Brussels")
FIELDS = {
    *("title", "area", "quantities", "resolution", "auth", "licence", "documentation"),
    *("confirmed", "unconfirmed", "limits", "pitfalls"),
}


def read(provider: Provider, page: ModuleType, now: datetime, *, pages_utc: datetime | None = None) -> tuple[Told, ...]:
    """What a poll tells; pages_utc: of when the pages are, if not of now."""
    return provider.read(answers_of(provider, page.routes(pages_utc or now), now, page.CREDENTIALS), now)


@pytest.mark.parametrize("now", NOONS, ids=lambda now: f"{now:%d-%b}")
@pytest.mark.parametrize(("name", "quantity"), CASES)
def test_all_that_is_told_was_sent_and_covers_today_without_a_gap(name: str, quantity: str, now: datetime) -> None:
    page = pages_of(name)
    provider = made(name, quantity)
    told = read(provider, page, now)
    for part in told:
        assert (part.quantity, part.unit) == (quantity, page.UNITS[quantity])
        sent = [page.value_at(quantity, datetime.fromtimestamp(int(at), tz=UTC)) for at in part.starts_s]
        known = np.isfinite(part.values)
        assert np.array_equal(part.values[known], np.array(sent)[known])
    starts = np.concatenate([part.starts_s[np.isfinite(part.values)] for part in told])
    ends = np.concatenate([part.ends_s[np.isfinite(part.values)] for part in told])
    order = np.argsort(starts)
    assert np.array_equal(ends[order][:-1], starts[order][1:])
    assert starts.min() <= datetime.combine(now.date(), datetime.min.time(), BRUSSELS).timestamp()
    assert ends.max() > now.timestamp() + 6 * 3600


@pytest.mark.parametrize(("day", "quarters"), [(date(2026, 3, 29), 92), (date(2026, 10, 25), 100), (date(2026, 11, 22), 96)])
@pytest.mark.parametrize("name", ["entsoe", "energy_charts", "energi_data_service", "smard"])
def test_a_local_day_has_its_quarter_hours(name: str, day: date, quarters: int) -> None:
    now = datetime(day.year, day.month, day.day - 1, 16, 30, tzinfo=UTC)
    told = read(made(name, PRICE), pages_of(name), now)
    known_s = [at_s for part in told for at_s in part.starts_s[np.isfinite(part.values)].tolist()]
    local = [datetime.fromtimestamp(at_s, tz=UTC).astimezone(BRUSSELS).date() for at_s in known_s]
    assert local.count(day) == quarters


def test_before_the_auction_tomorrow_is_not_told() -> None:
    now = datetime(2026, 11, 21, 8, tzinfo=UTC)
    for name in ("entsoe", "energy_charts", "energi_data_service", "awattar"):
        page = pages_of(name)
        provider = made(name, PRICE)
        (told,) = read(provider, page, now)
        # Midnight of 22 November in Brussels is 23:00 UTC of the 21st.
        assert int(told.ends_s.max()) == int(datetime(2026, 11, 21, 23, tzinfo=UTC).timestamp())


def test_carbon_is_measured_where_it_can_be_and_forecast_after_that() -> None:
    page, now = pages_of("energy_charts"), NOONS[0]
    provider = made("energy_charts", CARBON)
    measured, forecast = read(provider, page, now)
    assert (measured.grade, forecast.grade) == (Grade.MEASURED, Grade.FORECAST)
    assert measured.basis is forecast.basis is Basis.AVERAGE
    # The page knows what lies an hour back: 14:00 is the first that it does not.
    assert int(measured.ends_s.max()) == int(forecast.starts_s.min()) == int(datetime(2026, 11, 21, 14, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("name", ["entsoe", "energy_charts", "energi_data_service", "awattar"])
def test_nothing_for_these_days_is_nothing_yet(name: str) -> None:
    # Pages that end a month before today.
    provider, a_month_ago = made(name, PRICE, daysBack="0"), datetime(2026, 10, 21, 15, tzinfo=UTC)
    with pytest.raises(NothingYet):
        read(provider, pages_of(name), NOONS[0], pages_utc=a_month_ago)


@pytest.mark.parametrize("name", NAMES)
def test_quality_and_card_say_the_same(name: str) -> None:
    text = (
        resources.files("scheduler.adapters.sources.providers").joinpath("quality", f"{name}.yaml").read_text(encoding="utf-8")
    )
    quality, card = yaml.safe_load(text), PROVIDERS[name].card
    assert set(quality) == FIELDS
    assert tuple(quality["quantities"]) == card.quantities
    assert quality["title"].startswith(card.title)
    assert (quality["auth"].startswith("none")) == (not card.credentials)
    assert quality["documentation"].startswith("https://")
    assert all(set(fact) == {"what", "where", "when"} and isinstance(fact["when"], date) for fact in quality["confirmed"])
    assert quality["confirmed"]
    assert quality["unconfirmed"]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_provider_asks_by_default_is_https_on_its_own_hosts(name: str) -> None:
    entry, page, now = PROVIDERS[name], pages_of(name), NOONS[0]
    for quantity, options in page.OPTIONS.items():
        for ask in entry.make(quantity, options).asks(now):
            assert ask.url.startswith(tuple(f"https://{host}/" for host in entry.card.hosts))
            assert set(ask.credentials()) == set(entry.card.credentials)


@pytest.mark.parametrize(
    ("name", "quantity", "options", "words"),
    [
        ("entsoe", CARBON, {"area": "FR"}, "cannot tell 'carbon' (expected price)"),
        ("entsoe", PRICE, {}, "option area: missing"),
        ("entsoe", PRICE, {"area": "XX"}, "option area: 'XX' (expected AT, BE"),
        ("entsoe", PRICE, {"area": "FR", "zone": "FR"}, "unknown option 'zone' (expected area, sequence, daysBack, url)"),
        ("entsoe", PRICE, {"area": "FR", "daysBack": "40"}, "expected a whole number from 0 to 31"),
        ("entsoe", PRICE, {"area": "FR", "daysBack": "-1"}, "expected a whole number from 0 to 31"),
        ("entsoe", PRICE, {"area": "FR", "url": "file:///etc/passwd"}, "option url: 'file:///etc/passwd'"),
        ("entsoe", PRICE, {"area": "FR", "url": "https://user:word@example.org"}, "option url"),
        ("entsoe", PRICE, {"area": "FR", "url": "https://example.org/?a=b"}, "option url"),
        ("entsoe", PRICE, {"area": "FR", "url": "https://[::1"}, "is no address"),
        ("energy_charts", PRICE, {"area": "de"}, "option area: 'de' (expected AT"),
        ("energy_charts", CARBON, {"area": "DE-LU"}, "a country in two small letters"),
        ("octopus", PRICE, {"product": "../accounts", "region": "C"}, "a product code"),
        ("octopus", PRICE, {"product": "AGILE-24-10-01", "region": "I"}, "option region: 'I'"),
        ("smard", PRICE, {"area": "ES"}, "option area: 'ES'"),
        ("awattar", PRICE, {"area": "ch"}, "expected de, at"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_asked(name: str, quantity: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        PROVIDERS[name].make(quantity, options)
    assert words in str(caught.value)
    assert caught.value.where.startswith(name)
