"""What is peculiar to the price feeds that speak JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from signal_answers import HOST, answers_of, made
from signal_answers import answer as answered
from signal_pages import smard

from scheduler.adapters.sources.blueprint import Answer, Ask, BadAnswer, NothingYet, Provider
from scheduler.adapters.sources.providers.catalogue import PROVIDERS
from scheduler.domain.observed import CARBON, PRICE
from scheduler.domain.signals import Told

NOW = datetime(2026, 11, 21, 15, tzinfo=UTC)
MIDNIGHT_S = int(datetime(2026, 11, 20, 23, tzinfo=UTC).timestamp())


def answer(ask: Ask, document: object, now_utc: datetime, status: int = 200) -> Answer:
    return answered(ask, json.dumps(document).encode(), now_utc, status=status)


def read(provider: Provider, document: object, status: int = 200) -> Told:
    told = provider.read([answer(provider.asks(NOW)[0], document, NOW, status)], NOW)
    return told[0]


def wrong(provider: Provider, document: object, status: int = 200) -> str:
    with pytest.raises(BadAnswer) as caught:
        read(provider, document, status)
    return str(caught.value)


TIMES = {"start_timestamp": MIDNIGHT_S * 1000, "end_timestamp": (MIDNIGHT_S + 3600) * 1000}


# Energy-Charts


def charts(quantity: str = PRICE) -> Provider:
    return made("energy_charts", quantity)


def prices(starts_s: list[int], values: list[Any], unit: str = "EUR / MWh") -> dict[str, Any]:
    return {"license_info": "", "unix_seconds": starts_s, "price": values, "unit": unit, "deprecated": False}


def test_lengths_follow_the_finest_spacing_of_the_local_day() -> None:
    # 30 September 2025 in hours, 1 October in quarter hours: the change is at local midnight, 22:00 UTC.
    change_s = int(datetime(2025, 9, 30, 22, tzinfo=UTC).timestamp())
    hours, quarters = [change_s - 7200, change_s - 3600], [change_s, change_s + 900, change_s + 1800]
    told = read(charts(), prices([*hours, *quarters], [1, 2, 3, 4, 5]))
    assert (told.ends_s - told.starts_s).tolist() == [3600, 3600, 900, 900, 900]


def test_a_missing_value_does_not_make_its_neighbour_longer() -> None:
    # Three quarter hours are missing between the second and the third value: an hour is there between their starts.
    starts = [MIDNIGHT_S, MIDNIGHT_S + 900, MIDNIGHT_S + 4500, MIDNIGHT_S + 5400]
    told = read(charts(), prices(starts, [1, 2, 3, 4]))
    assert (told.ends_s - told.starts_s).tolist() == [900] * 4


def test_a_day_with_one_value_takes_the_spacing_of_the_others() -> None:
    told = read(charts(), prices([MIDNIGHT_S, MIDNIGHT_S + 900, MIDNIGHT_S + 86400], [1, 2, 3]))
    assert (told.ends_s - told.starts_s).tolist() == [900] * 3


@pytest.mark.parametrize("spacing", [[0, 86400], [0, 7200], [0, 300], [0]])
def test_a_spacing_that_no_market_has_is_refused(spacing: list[int]) -> None:
    words = wrong(charts(), prices([MIDNIGHT_S + at for at in spacing], [1] * len(spacing)))
    assert "expected one of (900, 1800, 3600) s" in words


def test_a_null_is_not_known_and_nothing_but_nulls_is_nothing_yet() -> None:
    starts = [MIDNIGHT_S, MIDNIGHT_S + 900]
    assert np.isnan(read(charts(), prices(starts, [1.5, None])).values).tolist() == [False, True]
    with pytest.raises(NothingYet, match="none of 2 values is known"):
        read(charts(), prices(starts, [None, None]))
    with pytest.raises(NothingYet, match="no values"):
        read(charts(), prices([], []))


def test_the_404_of_nothing_is_told_from_another_404() -> None:
    with pytest.raises(NothingYet, match="no content available"):
        read(charts(), {"detail": "no content available"}, 404)
    assert wrong(charts(), {"detail": "Not Found"}, 404) == "$.detail: 'Not Found'"
    assert "$.detail" in wrong(charts(), {}, 404)


def test_lists_of_different_lengths_and_foreign_units_are_refused() -> None:
    starts = [MIDNIGHT_S, MIDNIGHT_S + 900]
    assert wrong(charts(), prices(starts, [1])) == "$.price: found '1 values', expected 2, one for each of unix_seconds"
    assert "$.unit: found 'No Unit', expected EUR / MWh" in wrong(charts(), prices(starts, [1, 2], "No Unit"))
    assert "$.price[1]: found '7', expected a number" in wrong(charts(), prices(starts, [1, "7"]))
    assert "$.unix_seconds[0]" in wrong(charts(), prices([MIDNIGHT_S * 1000, MIDNIGHT_S], [1, 2]))


def test_a_forecast_counts_only_where_nothing_was_measured() -> None:
    starts = [MIDNIGHT_S + 900 * at for at in range(4)]
    document = {"unix_seconds": starts, "co2eq": [300, 310, None, None], "co2eq_forecast": [1, 1, 320, None]}
    provider = charts(CARBON)
    measured, forecast = provider.read([answer(provider.asks(NOW)[0], document, NOW)], NOW)
    assert (measured.values.tolist(), forecast.values.tolist()) == ([300.0, 310.0], [320.0])
    assert forecast.starts_s.tolist() == [starts[2]]


def test_carbon_of_which_all_is_forecast_is_told_and_none_is_nothing_yet() -> None:
    starts = [MIDNIGHT_S, MIDNIGHT_S + 900]
    told = read(charts(CARBON), {"unix_seconds": starts, "co2eq": [None, None], "co2eq_forecast": [5, 6]})
    assert told.values.tolist() == [5.0, 6.0]
    with pytest.raises(NothingYet):
        read(charts(CARBON), {"unix_seconds": starts, "co2eq": [None, None], "co2eq_forecast": [None, None]})


def test_an_api_that_will_end_says_so_and_its_values_stand() -> None:
    starts = [MIDNIGHT_S, MIDNIGHT_S + 900]
    told = read(charts(), {**prices(starts, [1, 2]), "deprecated": True})
    assert (told.values.tolist(), told.remark) == ([1.0, 2.0], "Energy-Charts calls this part of its API deprecated")
    assert read(charts(), prices(starts, [1, 2])).remark == ""
    assert "$.deprecated: found 'no', expected true or false" in wrong(charts(), {**prices(starts, [1, 2]), "deprecated": "no"})


# Energi Data Service


def record(at: str, euro: float | None, area: str = "DK2") -> dict[str, Any]:
    return {"TimeUTC": at, "TimeDK": at, "PriceArea": area, "DayAheadPriceEUR": euro, "DayAheadPriceDKK": 7.5}


def test_records_come_in_any_order_in_utc_and_in_two_currencies() -> None:
    records = {"records": [record("2026-11-21T10:15:00", 2.0), record("2026-11-21T10:00:00", 1.0)]}
    told = read(made("energi_data_service", PRICE), records)
    assert told.values.tolist() == [1.0, 2.0]
    assert told.starts_s[0] == int(datetime(2026, 11, 21, 10, tzinfo=UTC).timestamp())
    kroner = read(made("energi_data_service", PRICE, currency="DKK"), records)
    assert (kroner.unit, kroner.values.tolist()) == ("DKK/MWh", [7.5, 7.5])


def test_a_record_of_another_area_means_that_the_filter_did_not_work() -> None:
    words = wrong(made("energi_data_service", PRICE), {"records": [record("2026-11-21T10:00:00", 1, "DK1")]})
    assert words == "$.records[0].PriceArea: found 'DK1', expected DK2"


def test_the_limit_is_enough_for_the_longest_days() -> None:
    (ask,) = made("energi_data_service", PRICE, daysBack="31").asks(NOW)
    # 31 days back, today and tomorrow, of 100 quarter hours at most.
    assert ask.params["limit"] == "3300"
    assert (ask.params["start"], ask.params["end"]) == ("2026-10-21", "2026-11-23")


# aWATTar


def test_the_country_is_in_the_address_unless_the_address_says_otherwise() -> None:
    (ask,) = PROVIDERS["awattar"].make(PRICE, {"area": "at"}).asks(NOW)
    assert ask.url == "https://api.awattar.at/v1/marketdata"
    (ask,) = made("awattar", PRICE).asks(NOW)
    assert ask.url == f"{HOST}/v1/marketdata"


def test_an_hour_has_its_own_end_and_its_unit() -> None:
    hour = {"start_timestamp": MIDNIGHT_S * 1000, "end_timestamp": MIDNIGHT_S * 1000, "marketprice": 1, "unit": "Eur/MWh"}
    provider = made("awattar", PRICE)
    assert "price, interval from 2026-11-20T23:00Z: found '0 s'" in wrong(provider, {"data": [hour]})
    assert "$.data[0].unit: found 'ct/kWh'" in wrong(provider, {"data": [{**hour, "unit": "ct/kWh"}]})
    assert wrong(provider, {"data": [{"unit": "Eur/MWh", **TIMES}]}) == "$.data[0].marketprice: missing"
    assert "in milliseconds" in wrong(provider, {"data": [{**hour, "start_timestamp": MIDNIGHT_S * 1000 + 1}]})


# SMARD


def test_on_a_sunday_tomorrow_lies_in_the_next_file() -> None:
    sunday = datetime(2026, 11, 22, 15, tzinfo=UTC)
    provider = made("smard", PRICE)
    (_, *files) = answers_of(provider, smard.routes(sunday), sunday)
    # Weeks begin on Monday the 16th and 23rd of November, at 23:00 UTC of the Sunday before.
    stamps = [int(datetime(2026, 11, day, 23, tzinfo=UTC).timestamp()) * 1000 for day in (15, 22)]
    assert [file.ask.url for file in files] == [
        f"{HOST}/app/chart_data/4169/DE/4169_DE_quarterhour_{stamp}.json" for stamp in stamps
    ]
    this_week, next_week = provider.read(answers_of(provider, smard.routes(sunday), sunday), sunday)
    # Seven days, and the one that is known of the next.
    assert (len(this_week.values), len(next_week.values)) == (7 * 96, 96)
    assert int(next_week.ends_s.max()) == int(datetime(2026, 11, 23, 23, tzinfo=UTC).timestamp())
    assert next_week.issued_utc is not None
    assert timedelta() < sunday - next_week.issued_utc < timedelta(minutes=5)


def index_of(provider: Provider, document: object) -> Answer:
    return answer(provider.asks(NOW)[0], document, NOW)


def test_an_index_that_is_none_leads_nowhere_and_is_said_when_read() -> None:
    provider = made("smard", PRICE)
    index = index_of(provider, {"timestamps": "none"})
    assert provider.follow([index], NOW) == ()
    with pytest.raises(BadAnswer, match=r"\$\.timestamps: found 'none', expected a list"):
        provider.read([index], NOW)
    with pytest.raises(NothingYet):
        provider.read([index_of(provider, {"timestamps": []})], NOW)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ([MIDNIGHT_S * 1000], "1 elements"),
        ([MIDNIGHT_S * 1000 + 60_000, 1.0], "a multiple of 900 s"),
        ([MIDNIGHT_S, 1.0], "expected whole seconds since 1970"),
        ({"at": 1}, "expected a list"),
        ([True, 1.0], "in milliseconds"),
    ],
)
def test_a_slot_is_an_instant_and_a_price(pair: Any, words: str) -> None:
    provider = made("smard", PRICE)
    file = answer(Ask(url=f"{HOST}/file.json"), {"meta_data": {"created": 1795000000123}, "series": [pair]}, NOW)
    with pytest.raises(BadAnswer, match=words) as caught:
        provider.read([index_of(provider, {"timestamps": []}), file], NOW)
    assert "$.series[0]" in str(caught.value)


# Octopus


def rates(*results: dict[str, Any], following: str | None = None) -> dict[str, Any]:
    return {"count": len(results), "next": following, "previous": None, "results": list(results)}


def rate(start: str, end: str | None, value: float = 10.0, payment: str | None = None) -> dict[str, Any]:
    return {
        "value_exc_vat": value,
        "value_inc_vat": value * 1.05,
        "valid_from": start,
        "valid_to": end,
        "payment_method": payment,
    }


def test_a_rate_without_an_end_holds_to_the_end_of_what_was_asked_for() -> None:
    told = read(made("octopus", PRICE), rates(rate("2026-01-01T00:00:00Z", None)))
    # Two days back from the midnight before 21 November to the end of the 22nd, in London's winter time.
    assert told.starts_s.tolist() == [int(datetime(2026, 11, 19, tzinfo=UTC).timestamp())]
    assert told.ends_s.tolist() == [int(datetime(2026, 11, 23, tzinfo=UTC).timestamp())]


def test_rates_with_and_without_vat_and_of_one_way_of_paying() -> None:
    both = rates(
        rate("2026-11-21T10:00:00Z", "2026-11-21T10:30:00Z", 20.0, "DIRECT_DEBIT"),
        rate("2026-11-21T10:00:00Z", "2026-11-21T10:30:00Z", 30.0, "NON_DIRECT_DEBIT"),
    )
    assert read(made("octopus", PRICE), both).values.tolist() == [20.0]
    assert read(made("octopus", PRICE, payment="NON_DIRECT_DEBIT"), both).values.tolist() == [30.0]
    assert read(made("octopus", PRICE, vat="inclusive"), both).values.tolist() == [21.0]


def test_pages_follow_each_other_and_no_page_twice() -> None:
    provider = made("octopus", PRICE)
    (ask,) = provider.asks(NOW)
    first = answer(ask, rates(rate("2026-11-21T10:00:00Z", "2026-11-21T10:30:00Z", 1.0), following=f"{ask.url}?page=2"), NOW)
    (second_ask,) = provider.follow([first], NOW)
    assert second_ask.params == {**ask.params, "page": "2"}
    second = answer(second_ask, rates(rate("2026-11-21T10:30:00Z", "2026-11-21T11:00:00Z", 2.0)), NOW)
    assert provider.follow([first, second], NOW) == ()
    again = answer(second_ask, rates(following=f"{ask.url}?page=2"), NOW)
    assert provider.follow([first, again], NOW) == ()
    (told,) = provider.read([first, second], NOW)
    assert told.values.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "following",
    [
        "https://elsewhere.example/v1/products/?page=2",
        "http://169.254.169.254/latest/meta-data/?page=2",
        "{url}",
        "{url}?page=2&page=3",
        "{url}?page=-1",
        "//feed.example/?page=2",
        "http://[::1",
        "",
        "/?page=2",
    ],
)
def test_a_next_page_anywhere_else_is_not_asked(following: str) -> None:
    provider = made("octopus", PRICE)
    (ask,) = provider.asks(NOW)
    first = answer(ask, rates(rate("2026-11-21T10:00:00Z", None), following=following.format(url=ask.url)), NOW)
    assert provider.follow([first], NOW) == ()
    with pytest.raises(BadAnswer, match=r"\$\.next: found .* expected a"):
        provider.read([first], NOW)


def test_a_rate_that_ends_before_it_begins_is_refused() -> None:
    words = wrong(made("octopus", PRICE), rates(rate("2026-11-21T10:30:00Z", "2026-11-21T10:00:00Z")))
    assert words == "$.results[0].valid_to: found '2026-11-21T10:00:00Z', expected an end after valid_from"
    assert "offset" in wrong(made("octopus", PRICE), rates(rate("2026-11-21T10:30:00", None)))
