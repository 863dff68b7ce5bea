"""Carbon, weather and generic providers read their documented pages: every value is one that the page's source sent."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from signal_answers import answers_of, made, pages_of

from scheduler.adapters.sources.providers.catalogue import PROVIDERS
from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR, PLANT_FORECAST, PRICE
from scheduler.domain.signals import Basis, Grade, Told

NAMES = (
    "electricity_maps",
    "watttime",
    "carbon_aware_sdk",
    "open_meteo",
    "met_norway",
    "csv_feed",
    "json_feed",
    "prometheus_query",
)
CASES = [(name, quantity) for name in NAMES for quantity in pages_of(name).OPTIONS]
# A winter's day, and those on which clocks of Europe change.
DAYS = [
    datetime(2026, 1, 14, 10, 7, tzinfo=UTC),
    datetime(2026, 3, 29, 4, 0, tzinfo=UTC),
    datetime(2026, 10, 25, 11, 0, tzinfo=UTC),
]
NOW = DAYS[0]


def told_by(name: str, quantity: str, now_utc: datetime = NOW, **options: str) -> tuple[Told, ...]:
    provider = made(name, quantity, **options)
    return provider.read(answers_of(provider, pages_of(name).routes(now_utc), now_utc), now_utc)


@pytest.mark.parametrize("now_utc", DAYS, ids=str)
@pytest.mark.parametrize(("name", "quantity"), CASES)
def test_every_value_is_one_that_was_sent(name: str, quantity: str, now_utc: datetime) -> None:
    pages = pages_of(name)
    told = told_by(name, quantity, now_utc)
    assert told
    for part in told:
        assert part.quantity == quantity
        assert part.unit == pages.UNITS[quantity]
        sent = [pages.value_at(quantity, datetime.fromtimestamp(start_s, tz=UTC)) for start_s in part.starts_s.tolist()]
        np.testing.assert_array_equal(part.values, sent)


@pytest.mark.parametrize(("name", "quantity"), CASES)
def test_the_present_is_told_and_the_future_where_it_can_be(name: str, quantity: str) -> None:
    told = told_by(name, quantity)
    spans = [(int(start), int(end)) for part in told for start, end in zip(part.starts_s, part.ends_s, strict=True)]
    now_s = int(NOW.timestamp())
    # A measurement of a quarter hour is known when it is over.
    assert any(start <= now_s and end > now_s - 900 for start, end in spans)
    if name != "prometheus_query":
        assert max(end for _, end in spans) >= now_s + 20 * 3600


@pytest.mark.parametrize(("name", "quantity"), CASES)
def test_intervals_of_an_answer_neither_overlap_nor_leave_gaps(name: str, quantity: str) -> None:
    for part in told_by(name, quantity):
        lengths = Counter((part.ends_s - part.starts_s).tolist())
        assert set(lengths) == {pages_of(name).STEP_S}
        starts = np.unique(part.starts_s)
        gaps = np.diff(starts) - pages_of(name).STEP_S
        # MET Norway's later days are told every sixth hour.
        assert 0 <= gaps.min() <= gaps.max() <= (5 * 3600 if name == "met_norway" else 0)


@pytest.mark.parametrize(("name", "quantity"), CASES)
def test_asks_say_all_credentials_and_no_secret_stands_in_them(name: str, quantity: str) -> None:
    card, pages = PROVIDERS[name].card, pages_of(name)
    for ask in made(name, quantity).asks(NOW):
        assert set(ask.credentials()) <= {*card.credentials, *card.optional_credentials}
        assert not any(secret in repr(ask) for secret in pages.CREDENTIALS.values())
    assert set(card.credentials) == set(pages.CREDENTIALS)


def test_carbon_says_of_which_kind_it_is() -> None:
    basis = {
        name: {part.basis for part in told_by(name, CARBON)} for name in ("electricity_maps", "watttime", "carbon_aware_sdk")
    }
    assert basis == {
        "electricity_maps": {Basis.AVERAGE},
        "watttime": {Basis.MARGINAL},
        "carbon_aware_sdk": {Basis.MARGINAL},
    }
    assert {part.basis for part in told_by("carbon_aware_sdk", CARBON, basis="average")} == {Basis.AVERAGE}
    assert PROVIDERS["electricity_maps"].card.basis == Basis.AVERAGE
    assert PROVIDERS["carbon_aware_sdk"].card.basis is None


def test_temperatures_hold_at_instants_and_the_rest_over_intervals() -> None:
    for name, quantity in CASES:
        assert all(part.mean_over == (quantity != OUTDOOR) for part in told_by(name, quantity))


def test_what_was_estimated_is_not_graded_as_measured() -> None:
    # Of the 24 hours before 10:07 the pages call those after 07:07 estimated: 08, 09 and 10, of which the last comes twice.
    measured, estimated, forecast = told_by("electricity_maps", CARBON)
    assert (measured.grade, len(measured.values)) == (Grade.MEASURED, 21)
    assert (estimated.grade, sorted(set(estimated.starts_s.tolist()))) == (
        Grade.FORECAST,
        [int(datetime(2026, 1, 14, hour, tzinfo=UTC).timestamp()) for hour in (8, 9, 10)],
    )
    assert forecast.issued_utc == NOW - timedelta(minutes=30)


def test_grades_of_generic_feeds_are_what_their_owner_says() -> None:
    assert {part.grade for part in told_by("csv_feed", PRICE)} == {Grade.PUBLISHED}
    assert {part.grade for part in told_by("csv_feed", HEAT_DEMAND)} == {Grade.FORECAST}
    assert {part.grade for part in told_by("prometheus_query", HEAT_DEMAND)} == {Grade.MEASURED}
    assert {part.issued_utc for part in told_by("json_feed", PLANT_FORECAST)} == {NOW}
