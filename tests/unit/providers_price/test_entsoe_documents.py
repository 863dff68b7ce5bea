"""ENTSO-E's documents: curves, sequences, resolutions, units, refusals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from signal_answers import answer, made
from signal_pages import entsoe as page

from scheduler.adapters.sources.blueprint import BadAnswer, NothingYet
from scheduler.domain.observed import PRICE
from scheduler.domain.signals import Told

NOW = datetime(2025, 10, 1, 12, tzinfo=UTC)
START = datetime(2025, 9, 30, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


def read(body: bytes, **options: str) -> tuple[Told, ...]:
    provider = made("entsoe", PRICE, **options)
    return provider.read([answer(provider.asks(NOW)[0], body, NOW)], NOW)


def one(*all_series: str, **options: str) -> Told:
    (told,) = read(page.document(*all_series), **options)
    return told


def refused(body: bytes) -> str:
    with pytest.raises(BadAnswer) as caught:
        read(body)
    assert not isinstance(caught.value, NothingYet)
    return str(caught.value)


def bad(start: datetime, end: datetime, points: page.Points, resolution: str = "PT15M") -> str:
    return refused(page.document(page.series(page.period(start, end, points, resolution))))


def test_a_position_left_out_of_curve_a03_repeats_the_one_before_to_the_end_of_the_period() -> None:
    # Eight quarter hours, told at 1, 2 and 5: 10, 20 20 20, 30 30 30 30.
    told = one(page.series(page.period(START, START + 2 * HOUR, [(1, 10.0), (2, 20.0), (5, 30.0)])))
    assert told.values.tolist() == [10.0, 20.0, 20.0, 20.0, 30.0, 30.0, 30.0, 30.0]
    assert np.array_equal(told.starts_s, int(START.timestamp()) + 900 * np.arange(8))
    assert np.array_equal(told.ends_s - told.starts_s, np.full(8, 900))


def test_a_position_left_out_of_curve_a01_is_not_there() -> None:
    told = one(page.series(page.period(START, START + HOUR, [(1, 10.0), (3, 30.0)]), curve="A01"))
    assert told.values.tolist() == [10.0, 30.0]
    assert ((told.starts_s - int(START.timestamp())) // 900).tolist() == [0, 2]


def test_nothing_comes_before_the_first_position_of_curve_a03() -> None:
    told = one(page.series(page.period(START, START + HOUR, [(3, 30.0)])))
    assert ((told.starts_s - int(START.timestamp())) // 900).tolist() == [2, 3]


def test_positions_may_come_in_any_order_and_twice() -> None:
    told = one(page.series(page.period(START, START + HOUR, [(4, 40.0), (1, 10.0), (1, 10.0)])))
    assert told.values.tolist() == [10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 40.0]


def test_the_other_auction_is_not_taken_whatever_the_order() -> None:
    ours = page.series(page.period(START, START + HOUR, [(1, 50.0)]), sequence=1)
    others = page.series(page.period(START, START + HOUR, [(1, 60.0)]), sequence=2)
    assert set(one(others, ours).values) == set(one(ours, others).values) == {50.0}
    assert set(one(others, ours, sequence="2").values) == {60.0}


def test_the_second_auction_is_no_stand_in_for_the_first() -> None:
    others = page.document(page.series(page.period(START, START + HOUR, [(1, 60.0)]), sequence=2))
    with pytest.raises(NothingYet, match="no day-ahead auction with sequence 1, only '2'"):
        read(others)


def test_a_zone_with_one_auction_has_no_sequence() -> None:
    assert set(one(page.series(page.period(START, START + HOUR, [(1, 50.0)]), sequence=None)).values) == {50.0}


def test_a_series_of_another_zone_is_refused() -> None:
    provider = made("entsoe", PRICE, area="FR")
    body = page.document(page.series(page.period(START, START + HOUR, [(1, 50.0)])))
    with pytest.raises(BadAnswer, match=r"in_Domain\.mRID\[1\]: found '10Y1001A1001A82H', expected 10YFR-RTE------C"):
        provider.read([answer(provider.asks(NOW)[0], body, NOW)], NOW)


def test_intraday_auctions_are_left_out() -> None:
    daily = page.series(page.period(START, START + HOUR, [(1, 50.0)]))
    assert set(one(page.series(page.period(START, START + HOUR, [(1, 9.0)]), contract="A07"), daily).values) == {50.0}


def test_the_first_quarter_hours_follow_the_last_hours() -> None:
    # The coupled auction went to quarter hours with the local day of 1 October 2025, which begins at 22:00 UTC.
    change = datetime(2025, 9, 30, 22, tzinfo=UTC)
    hours = page.series(page.period(START, change, [(1, 11.0), (2, 12.0)], "PT60M"))
    quarters = page.series(page.period(change, change + HOUR, [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]))
    told = one(quarters, hours)
    assert (told.ends_s - told.starts_s).tolist() == [3600, 3600, 900, 900, 900, 900]
    assert told.values.tolist() == [11.0, 12.0, 1.0, 2.0, 3.0, 4.0]
    assert np.array_equal(told.ends_s[:-1], told.starts_s[1:])


def test_periods_that_overlap_are_both_told() -> None:
    hour, halves = (page.period(START, START + HOUR, [(1, value)], step) for value, step in ((5.0, "PT60M"), (6.0, "PT30M")))
    told = one(page.series(hour, halves))
    lengths_s = (told.ends_s - told.starts_s).tolist()
    assert sorted(zip(lengths_s, told.values.tolist(), strict=True)) == [(1800, 6.0), (1800, 6.0), (3600, 5.0)]


def test_unit_and_currency_are_those_of_the_document() -> None:
    period = page.period(START, START + HOUR, [(1, 500.0)], "PT60M")
    assert one(page.series(period, unit="PLN/MWH")).unit == "PLN/MWh"
    euro, zloty = read(page.document(page.series(period), page.series(period, unit="PLN/MWH")))
    assert (euro.unit, zloty.unit) == ("EUR/MWh", "PLN/MWh")


def test_negative_and_zero_prices_are_prices() -> None:
    told = one(page.series(page.period(START, START + HOUR, [(1, -500.0), (2, 0), (3, "-0.01")])))
    assert told.values.tolist() == [-500.0, 0.0, -0.01, -0.01]


def test_an_acknowledgement_that_nothing_matches_is_nothing_yet() -> None:
    with pytest.raises(NothingYet, match="No matching data found for Data item ENERGY_PRICES"):
        read(page.acknowledgement("999", "No matching data found for Data item ENERGY_PRICES [12.1.D]."))


@pytest.mark.parametrize(
    ("code", "text"),
    [("999", "The amount of requested data exceeds allowed limit"), ("401", "No matching data found"), ("A01", "")],
)
def test_any_other_acknowledgement_is_a_refusal_in_its_own_words(code: str, text: str) -> None:
    words = refused(page.acknowledgement(code, text))
    assert words.startswith(f"refused: '{code}'")
    assert text in words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no XML"),
        (b"<html><body>Sign in</body></html>", "/html: found 'html', expected Publication_MarketDocument"),
        (page.document()[:-20], "no XML"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "a document type or an entity"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "no XML"),
        (b"<a>" * 100_000, "no XML"),
        (b"{}", "no XML"),
    ],
    ids=["empty", "HTML", "cut off", "entities", "encoding", "deep", "JSON"],
)
def test_what_is_no_document_of_theirs_is_refused(body: bytes, words: str) -> None:
    assert words in refused(body)


def test_wrong_places_are_named() -> None:
    end, where = START + HOUR, "/Publication_MarketDocument/TimeSeries[1]/Period[1]"
    words = bad(START, end, [(1, "n/a")])
    assert words == f"{where}/Point[1]/price.amount[1]: found 'n/a', expected a decimal number"
    words = bad(START, end, [(1, 1.0), (5, 2.0)])
    assert words == f"{where}/Point[2]/position[1]: found 5, expected a position up to 4"
    assert f"{where}/timeInterval[1]: found '-3600 s'" in bad(end, START, [(1, 1.0)])
    assert f"{where}/resolution[1]: found 'P1Y'" in bad(START, end, [(1, 1.0)], "P1Y")
    assert "at most" in bad(START, START + timedelta(days=4000), [(1, 1.0)])
    period = page.period(START, end, [(1, 1.0)])
    assert "found 'A02', expected A01 or A03" in refused(page.document(page.series(period, curve="A02")))
    assert "found 'euro', expected a currency" in refused(page.document(page.series(period, unit="euro/MWH")))
    assert "expected MWH or KWH" in refused(page.document(page.series(period, unit="EUR/MAW")))


@pytest.mark.parametrize("price", ["NaN", "Infinity", "1e999", "1e3", "", "1,5", "0x10", "--1", "9" * 400])
def test_a_price_is_a_plain_decimal_number(price: str) -> None:
    assert "price.amount" in bad(START, START + HOUR, [(1, price)])


def test_the_token_is_named_and_never_told() -> None:
    (ask,) = made("entsoe", PRICE).asks(NOW)
    assert ask.secret_params == {"securityToken": "securityToken"}
    assert "securityToken" not in ask.params
    assert ask.statuses == (200, 400)
    # 1 October 2025 in Brussels begins at 22:00 UTC of the day before; two days back, to the end of the 2nd.
    assert (ask.params["periodStart"], ask.params["periodEnd"]) == ("202509282200", "202510022200")
