"""How carbon and weather services and Prometheus are read where their answers are not the usual ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from signal_answers import answer, made, pages_of

from scheduler.adapters.sources.blueprint import BadAnswer, NothingYet
from scheduler.adapters.sources.providers.catalogue import PROVIDERS
from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR
from scheduler.domain.signals import Grade, Told

NOW = datetime(2026, 1, 14, 10, 7, tzinfo=UTC)
NINE_S = int(datetime(2026, 1, 14, 9, tzinfo=UTC).timestamp())
Change = Callable[[Any], object]


def document(name: str, quantity: str, place: int = 0) -> tuple[Any, Any, Any]:
    """A provider, one of its asks, and the document of its page."""
    provider = made(name, quantity)
    ask = provider.asks(NOW)[place]
    path = ask.url.removeprefix("https://feed.example") or "/"
    route: Callable[[Mapping[str, str]], tuple[int, dict[str, str], bytes]] = pages_of(name).routes(NOW)[path]
    return provider, ask, json.loads(route(ask.params)[2])


def read(name: str, quantity: str, change: Change, place: int = 0) -> tuple[Told, ...]:
    provider, ask, found = document(name, quantity, place)
    changed = change(found)
    found = found if changed is None else changed
    told: tuple[Told, ...] = provider.read([answer(ask, json.dumps(found).encode(), NOW)], NOW)
    return told


def put(*path: str | int, value: object) -> Change:
    """A change: a value at a place of a document."""

    def change(found: Any) -> None:
        for key in path[:-1]:
            found = found[key]
        found[path[-1]] = value

    return change


REFUSED: list[tuple[str, str, int, Change, str]] = [
    ("electricity_maps", CARBON, 0, put("zone", value="DE"), r"history\.zone: found 'DE', expected 'DK-DK2'|DK-DK2"),
    ("electricity_maps", CARBON, 1, put("emissionFactorType", value="direct"), "lifecycle"),
    (
        "electricity_maps",
        CARBON,
        0,
        put("history", 3, "temporalGranularity", value="daily"),
        r"history\[3\]\.temporalGranularity",
    ),
    (
        "electricity_maps",
        CARBON,
        0,
        put("history", 3, "carbonIntensity", value="200"),
        r"history\[3\]\.carbonIntensity: found '200'",
    ),
    ("watttime", CARBON, 0, put("meta", "units", value="percentile"), "lbs_co2_per_mwh"),
    ("watttime", CARBON, 0, put("meta", "signal_type", value="co2_aoer"), "co2_moer"),
    ("watttime", CARBON, 0, put("meta", "region", value="PJM"), "CAISO_NORTH"),
    ("watttime", CARBON, 0, put("meta", "data_point_period_seconds", value=0), "whole seconds"),
    ("carbon_aware_sdk", CARBON, 0, put(0, "location", value="westeurope"), "northeurope"),
    ("carbon_aware_sdk", CARBON, 0, put(0, "forecastData", 2, "duration", value=0), "minutes"),
    ("carbon_aware_sdk", CARBON, 1, put(2, "duration", value="5 min"), "00:05:00"),
    ("open_meteo", OUTDOOR, 0, put("utc_offset_seconds", value=3600), "times in UTC"),
    ("open_meteo", OUTDOOR, 0, put("hourly_units", "temperature_2m", value="K"), "°C or °F"),
    ("open_meteo", OUTDOOR, 0, put("latitude", value=-55.68), "about 55.6761"),
    ("open_meteo", OUTDOOR, 0, put("hourly", "time", value=[NINE_S]), "as many of both"),
    ("open_meteo", OUTDOOR, 0, lambda _: {"error": True, "reason": "Daily limit exceeded"}, "Daily limit exceeded"),
    ("met_norway", OUTDOOR, 0, put("geometry", "coordinates", value=[55.68, 12.57]), "about"),
    ("met_norway", OUTDOOR, 0, put("geometry", "coordinates", value=[]), "longitude and latitude"),
    ("met_norway", OUTDOOR, 0, put("properties", "meta", "units", "air_temperature", value="fahrenheit"), "celsius"),
    ("prometheus_query", HEAT_DEMAND, 0, put("data", "resultType", value="vector"), "matrix"),
    ("prometheus_query", HEAT_DEMAND, 0, put("warnings", value=["partial response"]), "partial response"),
    ("prometheus_query", HEAT_DEMAND, 0, put("data", "result", 0, "histograms", value=[]), "native histogram"),
    ("prometheus_query", HEAT_DEMAND, 0, put("data", "result", 0, "values", 0, value=[NINE_S + 0.5, "1"]), "whole seconds"),
    ("prometheus_query", HEAT_DEMAND, 0, put("data", "result", 0, "values", 0, value=[NINE_S, 1.0]), "a text"),
    (
        "prometheus_query",
        HEAT_DEMAND,
        0,
        put("data", "result", 0, "values", 0, value=[NINE_S, "0x10"]),
        "a number as Prometheus",
    ),
    (
        "prometheus_query",
        HEAT_DEMAND,
        0,
        lambda _: {"status": "error", "errorType": "bad_data", "error": "parse error: unexpected end of input"},
        "refuses: parse error: unexpected end of input",
    ),
]


@pytest.mark.parametrize(("name", "quantity", "place", "change", "words"), REFUSED)
def test_what_is_not_as_documented_is_refused_in_words(
    name: str, quantity: str, place: int, change: Change, words: str
) -> None:
    with pytest.raises(BadAnswer, match=words):
        read(name, quantity, change, place)


EMPTY: list[tuple[str, str, int, Change]] = [
    ("electricity_maps", CARBON, 0, put("history", value=[])),
    ("watttime", CARBON, 0, put("data", value=[])),
    ("carbon_aware_sdk", CARBON, 0, lambda _: []),
    ("carbon_aware_sdk", CARBON, 1, lambda _: []),
    ("met_norway", OUTDOOR, 0, put("properties", "timeseries", value=[])),
    ("prometheus_query", HEAT_DEMAND, 0, put("data", "result", value=[])),
]


@pytest.mark.parametrize(("name", "quantity", "place", "change"), EMPTY)
def test_nothing_in_good_order_is_said_as_such(name: str, quantity: str, place: int, change: Change) -> None:
    with pytest.raises(NothingYet):
        read(name, quantity, change, place)


def test_several_series_of_prometheus_are_named() -> None:
    def twice(found: Any) -> None:
        series = found["data"]["result"]
        series.append({**series[0], "metric": {"job": "other"}})

    with pytest.raises(BadAnswer, match=r"2 series, expected one: \{job='plant', instance='plant:9100'\}, \{job='other'\}"):
        read("prometheus_query", HEAT_DEMAND, twice)


def test_nan_and_infinities_of_prometheus_are_not_known() -> None:
    values = [[NINE_S, "NaN"], [NINE_S + 900, "+Inf"], [NINE_S + 1800, "1.5e+03"], [NINE_S + 3600, "-0.25"]]
    (told,) = read("prometheus_query", HEAT_DEMAND, put("data", "result", 0, "values", value=values))
    np.testing.assert_array_equal(told.values, [np.nan, np.nan, 1500.0, -0.25])
    # A value at 09:00 is the mean of the step that ends then; where a series was stale there is a gap.
    assert told.starts_s.tolist() == [NINE_S - 900, NINE_S, NINE_S + 900, NINE_S + 2700]
    assert (told.ends_s - told.starts_s).tolist() == [900] * 4


def test_accepted_warnings_and_infos_do_not_hurt() -> None:
    provider, ask, found = document("prometheus_query", HEAT_DEMAND)
    body = json.dumps({**found, "warnings": ["a part is missing"], "infos": ["PromQL info"]}).encode()
    accepting = made("prometheus_query", HEAT_DEMAND, warnings="accept", timeOf="start")
    (told,) = accepting.read([answer(ask, body, NOW)], NOW)
    assert told.remark == "Prometheus warns: a part is missing"
    first_s = found["data"]["result"][0]["values"][0][0]
    assert told.starts_s[0] == first_s
    with pytest.raises(BadAnswer):
        provider.read([answer(ask, body, NOW)], NOW)


def test_a_temperature_of_prometheus_is_of_its_time() -> None:
    _, ask, found = document("prometheus_query", HEAT_DEMAND)
    first_s = found["data"]["result"][0]["values"][0][0]
    options = {"url": "https://feed.example", "expression": "outdoor_celsius", "unit": "degC"}
    for of, shift_s in (("auto", 0), ("start", 0), ("end", -900)):
        provider = PROVIDERS["prometheus_query"].make(OUTDOOR, {**options, "timeOf": of})
        (told,) = provider.read([answer(ask, json.dumps(found).encode(), NOW)], NOW)
        assert told.starts_s[0] == first_s + shift_s
        assert not told.mean_over


def test_nulls_are_not_known() -> None:
    (weather,) = read("open_meteo", OUTDOOR, put("hourly", "temperature_2m", 1, value=None))
    assert np.isnan(weather.values[1])
    (carbon,) = read("electricity_maps", CARBON, put("history", 0, "carbonIntensity", value=None))[:1]
    assert np.isnan(carbon.values[0])


def test_observations_without_duration_last_to_the_next() -> None:
    def bare(found: list[dict[str, object]]) -> None:
        for record in found:
            del record["duration"]
            record["time"] = str(record["time"]).replace("+00:00", ".0000001+00:00")
        del found[3]

    (told,) = read("carbon_aware_sdk", CARBON, bare, place=1)
    assert told.grade == Grade.MEASURED
    # The fourth is missing, and the third does not reach over its five minutes.
    assert set((told.ends_s - told.starts_s).tolist()) == {300}
    assert told.starts_s[3] - told.starts_s[2] == 600


def test_durations_as_dotnet_writes_them() -> None:
    def hours(found: list[dict[str, object]]) -> object:
        return [{"location": "IE", "time": "2026-01-13T00:00:00Z", "rating": 70, "duration": "1.02:00:00"}]

    (told,) = read("carbon_aware_sdk", CARBON, hours, place=1)
    # One day and two hours.
    assert int(told.ends_s[0] - told.starts_s[0]) == 26 * 3600


def test_fahrenheit_is_told_as_such() -> None:
    (told,) = read("open_meteo", OUTDOOR, put("hourly_units", "temperature_2m", value="°F"))
    assert told.unit == "degF"


def test_a_version_that_will_end_is_told_of() -> None:
    provider, ask, found = document("met_norway", OUTDOOR)
    body = json.dumps(found).encode()
    assert ask.statuses == (200, 203)
    (told,) = provider.read([answer(ask, body, NOW)], NOW)
    (ending,) = provider.read([answer(ask, body, NOW, status=203)], NOW)
    assert told.remark == ""
    assert "deprecated" in ending.remark


def test_quarter_hours_of_open_meteo() -> None:
    _, ask, found = document("open_meteo", OUTDOOR)
    provider = made("open_meteo", OUTDOOR, resolution="minutely_15")
    quarters = {"time": [NINE_S, NINE_S + 900, NINE_S + 1800], "temperature_2m": [1.5, None, -2.25]}
    body = {**found, "minutely_15": quarters, "minutely_15_units": found["hourly_units"]}
    (told,) = provider.read([answer(ask, json.dumps(body).encode(), NOW)], NOW)
    np.testing.assert_array_equal(told.values, [1.5, np.nan, -2.25])
    assert (told.ends_s - told.starts_s).tolist() == [900] * 3


def test_finer_values_of_electricity_maps_are_as_long_as_asked_for() -> None:
    provider = made("electricity_maps", CARBON, granularity="15_minutes")
    _, _, found = document("electricity_maps", CARBON, 1)
    ask = provider.asks(NOW)[1]
    assert ask.params["temporalGranularity"] == "15_minutes"
    (told,) = provider.read([answer(ask, json.dumps({**found, "temporalGranularity": "15_minutes"}).encode(), NOW)], NOW)
    assert (told.ends_s - told.starts_s).tolist() == [900]
    with pytest.raises(BadAnswer, match="15_minutes"):
        provider.read([answer(ask, json.dumps({**found, "temporalGranularity": "hourly"}).encode(), NOW)], NOW)
