"""What carbon, weather and generic providers refuse of their options, and what they make of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from signal_answers import HOST, made

from scheduler.adapters.sources.blueprint import Basic, Bearer, Login
from scheduler.adapters.sources.providers.catalogue import PROVIDERS
from scheduler.domain.errors import Misconfigured
from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR, PRICE

NOW = datetime(2026, 1, 14, 10, 7, tzinfo=UTC)
JSON = {"time": "t", "value": "v", "unit": "MW"}
WRONG = [
    ("electricity_maps", CARBON, {}, "zone"),
    ("electricity_maps", CARBON, {"zone": "dk/../x"}, "zone"),
    ("electricity_maps", PRICE, {"zone": "DE"}, "price"),
    ("watttime", CARBON, {"region": "CAISO_NORTH", "horizonHours": "73"}, "horizonHours"),
    ("carbon_aware_sdk", CARBON, {"location": "northeurope"}, "basis"),
    ("carbon_aware_sdk", CARBON, {"location": "a b", "basis": "average"}, "location"),
    ("open_meteo", OUTDOOR, {"latitude": "91", "longitude": "12"}, "latitude"),
    ("open_meteo", OUTDOOR, {"latitude": "55,6", "longitude": "12"}, "latitude"),
    ("open_meteo", OUTDOOR, {"latitude": "55.6", "longitude": "12", "model": "a,b"}, "model"),
    ("met_norway", OUTDOOR, {"latitude": "55.6", "longitude": "12"}, "contact"),
    ("met_norway", OUTDOOR, {"latitude": "55.6", "longitude": "12", "contact": "me\r\nX: y"}, "contact"),
    ("csv_feed", PRICE, {"valueColumn": "v", "unit": "EUR/MWh", "decimal": "comma"}, "decimal"),
    ("csv_feed", CARBON, {"valueColumn": "v", "unit": "g/kWh"}, "basis"),
    ("csv_feed", CARBON, {"valueColumn": "v", "unit": "g/kWh", "basis": "total"}, "average or marginal"),
    ("csv_feed", CARBON, {"valueColumn": "v", "unit": "EUR/MWh", "basis": "average"}, "g/kWh, kg/kWh, kg/MWh, lb/MWh"),
    ("csv_feed", PRICE, {"valueColumn": "v", "unit": "MW"}, "EUR/MWh, DKK/MWh"),
    ("csv_feed", OUTDOOR, {"valueColumn": "v", "unit": "Celsius"}, "degC, K, degF"),
    ("csv_feed", PRICE, {"valueColumn": "v", "unit": "EUR/MWh", "basis": "average"}, "basis"),
    ("csv_feed", PRICE, {"valueColumn": "v", "unit": "EUR/MWh", "timeZone": "Europe/Nowhere"}, "timeZone"),
    ("csv_feed", PRICE, {"valueColumn": "v", "unit": "EUR/MWh", "timeFormat": "%d.%m. %H:%M"}, "timeFormat"),
    ("csv_feed", PRICE, {"valueColumn": "v", "unit": "EUR/MWh", "timeFormat": "%d.%m.%Y %H:%M %d"}, "timeFormat"),
    ("csv_feed", PRICE, {"valueColumn": "v", "unit": "EUR/MWh", "timeFormat": "%Y-%m-%d %H:%M %q"}, "timeFormat"),
    ("csv_feed", PRICE, {"valueColumn": "v", "unit": "EUR/MWh", "timeFormat": "%Y-%m-%d %H:%M %b %b"}, "timeFormat"),
    ("csv_feed", PRICE, {"valueColumn": "v", "unit": "EUR/MWh", "minutes": "0"}, "minutes"),
    ("csv_feed", PRICE, {"valueColumn": "v", "unit": "EUR/MWh", "query": "a=1&a=2"}, "query"),
    ("csv_feed", PRICE, {"valueColumn": "v", "unit": "EUR/MWh", "query": "nonsense"}, "query"),
    ("csv_feed", PRICE, {"valueColumn": "v", "unit": "EUR/MWh", "auth": "header"}, "keyName"),
    ("csv_feed", PRICE, {"valueColumn": "v", "unit": "EUR/MWh", "keyName": "key"}, "keyName"),
    ("json_feed", HEAT_DEMAND, {**JSON, "value": "a["}, "value"),
    ("json_feed", HEAT_DEMAND, {**JSON, "value": "a" * 401}, "value"),
    ("json_feed", HEAT_DEMAND, {**JSON, "value": "[@, @] | [@, @][]"}, "multi select list"),
    ("json_feed", HEAT_DEMAND, {**JSON, "records": "{a: b}"}, "multi select dict"),
    ("json_feed", HEAT_DEMAND, {**JSON, "records": "rows", "value": "`5`"}, "literal"),
    ("json_feed", HEAT_DEMAND, {**JSON, "records": "rows", "value": "v || `0`"}, "literal"),
    ("json_feed", HEAT_DEMAND, {**JSON, "records": "rows", "value": "sum(v)"}, "sum"),
    ("json_feed", HEAT_DEMAND, {**JSON, "time": "rows[*].t", "value": "rows[*].v"}, "leaves out nulls"),
    ("prometheus_query", HEAT_DEMAND, {"expression": " ", "unit": "kW"}, "expression"),
    ("prometheus_query", HEAT_DEMAND, {"expression": "x\n", "unit": "kW"}, "expression"),
    ("prometheus_query", HEAT_DEMAND, {"expression": "x", "unit": "kW", "stepMinutes": "1", "hoursBack": "240"}, "stepMinutes"),
    ("prometheus_query", HEAT_DEMAND, {"expression": "x", "unit": "kW h"}, "unit"),
]


@pytest.mark.parametrize(("name", "quantity", "options", "word"), WRONG)
def test_a_wrong_option_is_named(name: str, quantity: str, options: dict[str, str], word: str) -> None:
    with pytest.raises(Misconfigured, match=word) as refused:
        PROVIDERS[name].make(quantity, {"url": HOST, **options})
    assert refused.value.expected


@pytest.mark.parametrize(
    "url",
    [
        "https://ann:hush@example.org/x",
        "https://ann:hu/hush@example.org/x",
        "https://example.org/x?token=hush",
        "https://example.org/x#hush",
        "https://ann:hush@[::1",
    ],
)
def test_an_address_that_is_refused_is_told_without_what_may_be_a_credential(url: str) -> None:
    with pytest.raises(Misconfigured, match="https://") as refused:
        PROVIDERS["json_feed"].make(HEAT_DEMAND, {**JSON, "url": url})
    assert "hush" not in str(refused.value)


def test_a_customer_of_open_meteo_asks_the_customers_host_with_his_key() -> None:
    place = {"latitude": "55.67613", "longitude": "12.5683"}
    (free,) = PROVIDERS["open_meteo"].make(OUTDOOR, place).asks(NOW)
    (paid,) = PROVIDERS["open_meteo"].make(OUTDOOR, {**place, "use": "customer"}).asks(NOW)
    assert (free.url, free.credentials()) == ("https://api.open-meteo.com/v1/forecast", ())
    assert (paid.url, paid.credentials()) == ("https://customer-api.open-meteo.com/v1/forecast", ("apikey",))
    assert (free.params["latitude"], free.params["hourly"]) == ("55.6761", "temperature_2m")
    (fine,) = PROVIDERS["open_meteo"].make(OUTDOOR, {**place, "resolution": "minutely_15"}).asks(NOW)
    assert fine.params["minutely_15"] == "temperature_2m"
    assert "hourly" not in fine.params


def test_met_norway_is_told_who_asks_and_no_more_than_four_decimals() -> None:
    options = {"latitude": "55.676098", "longitude": "-12.568337", "contact": "ops@example.org", "altitude": "9"}
    (ask,) = PROVIDERS["met_norway"].make(OUTDOOR, options).asks(NOW)
    assert ask.params == {"lat": "55.6761", "lon": "-12.5683", "altitude": "9"}
    agent = ask.headers["User-Agent"]
    assert agent.startswith("heat-dispatch/")
    assert agent.endswith(" ops@example.org")


def test_watttime_logs_in_where_it_asks() -> None:
    login = Login(url=f"{HOST}/login", basic=Basic(user="user", password="password"), lasts_s=1500.0)
    assert [ask.authorization for ask in made("watttime", CARBON).asks(NOW)] == [login, login]
    assert len(made("watttime", CARBON, past="no").asks(NOW)) == 1


def test_a_free_token_of_electricity_maps_asks_for_no_forecast() -> None:
    asks = made("electricity_maps", CARBON, forecast="no", estimates="no", emissionFactors="direct").asks(NOW)
    assert [ask.url.rpartition("/")[2] for ask in asks] == ["history", "latest"]
    assert len(made("electricity_maps", CARBON, emissionFactors="direct").asks(NOW)) == 2
    assert len(made("electricity_maps", CARBON).asks(NOW)) == 3
    assert {ask.params["disableEstimations"] for ask in asks} == {"true"}
    assert {ask.params["emissionFactorType"] for ask in asks} == {"direct"}
    assert {tuple(ask.secret_headers.items()) for ask in asks} == {(("auth-token", "token"),)}


def test_generic_feeds_show_who_asks_in_four_ways() -> None:
    asks = {
        auth: made(
            "csv_feed", PRICE, auth=auth, query="days=2", **({"keyName": "X-Key"} if auth in {"header", "parameter"} else {})
        )
        for auth in ("none", "basic", "bearer", "header", "parameter")
    }
    ask = {auth: provider.asks(NOW)[0] for auth, provider in asks.items()}
    assert ask["none"].params == {"days": "2"}
    assert ask["none"].credentials() == ()
    assert ask["basic"].authorization == Basic(user="user", password="password")
    assert ask["bearer"].authorization == Bearer(token="token")
    assert ask["header"].secret_headers == {"X-Key": "key"}
    assert ask["parameter"].secret_params == {"X-Key": "key"}


def test_prometheus_is_asked_at_multiples_of_the_step() -> None:
    (ask,) = made("prometheus_query", HEAT_DEMAND, hoursBack="1", hoursAhead="2").asks(NOW)
    # 10:07 less an hour, down to the quarter: 09:00; two hours on: 12:00.
    at = {name: datetime.fromtimestamp(int(ask.params[name]), tz=UTC).strftime("%H:%M") for name in ("start", "end")}
    assert at == {"start": "09:00", "end": "12:00"}
    assert (ask.params["step"], ask.statuses) == ("900", (200, 400, 422))


def test_schedules_are_what_was_asked_for() -> None:
    assert made("csv_feed", PRICE, everyMinutes="60").schedule.every_s == 3600.0
    assert made("json_feed", HEAT_DEMAND).schedule.every_s == 900.0
