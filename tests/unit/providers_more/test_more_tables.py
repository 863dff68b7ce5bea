"""Tables and documents of anybody: times by every clock, numbers by every mark, lengths that nobody states."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from signal_answers import HOST, answer

from scheduler.adapters.sources.blueprint import BadAnswer, NothingYet
from scheduler.adapters.sources.providers.catalogue import PROVIDERS
from scheduler.adapters.sources.providers.spacing import rows_of
from scheduler.domain.observed import HEAT_DEMAND, OUTDOOR, PRICE
from scheduler.domain.signals import Told

NOW = datetime(2026, 1, 14, 10, 7, tzinfo=UTC)


def table(text: str | bytes, quantity: str = PRICE, **options: str) -> Told:
    provider = PROVIDERS["csv_feed"].make(quantity, {"url": HOST, "valueColumn": "value", "unit": "EUR/MWh", **options})
    body = text if isinstance(text, bytes) else text.encode()
    (told,) = provider.read([answer(provider.asks(NOW)[0], body, NOW)], NOW)
    return told


def document(found: Any, **options: str) -> Told:
    provider = PROVIDERS["json_feed"].make(HEAT_DEMAND, {"url": HOST, "unit": "kW", "time": "t", "value": "v", **options})
    (told,) = provider.read([answer(provider.asks(NOW)[0], json.dumps(found).encode(), NOW)], NOW)
    return told


def starts(told: Told) -> list[str]:
    return [f"{datetime.fromtimestamp(start_s, tz=UTC):%m-%d %H:%M}" for start_s in told.starts_s.tolist()]


def local(*times: str) -> str:
    return "time,value\n" + "".join(f"{time},{place}\n" for place, time in enumerate(times))


def test_a_plain_table() -> None:
    told = table("time,value\n2026-01-14T00:00Z,10.5\n2026-01-14T01:00Z,-3\n\n2026-01-14T02:00+01:00,1e2\n", minutes="60")
    # 02:00 at +01:00 is 01:00 in UTC: told twice, as the table has it, in its order.
    assert starts(told) == ["01-14 00:00", "01-14 01:00", "01-14 01:00"]
    assert told.values.tolist() == [10.5, -3.0, 100.0]
    assert told.mean_over
    assert not table("time,value\n2026-01-14T00:00Z,1\n", OUTDOOR, minutes="60", unit="degC").mean_over


def test_marks_quotes_and_what_is_not_known() -> None:
    lines = ('"1,5";;2026-01-14 00:00', "-;;2026-01-14 00:15", "n/a;;2026-01-14 00:30", ";;2026-01-14 00:45")
    text = "\n".join(["# made by hand", '"value";x;time', *lines, ""])
    told = table(text, separator="semicolon", decimal="comma", skipLines="1", timeZone="Europe/Copenhagen")
    np.testing.assert_array_equal(told.values, [1.5, np.nan, np.nan, np.nan])
    assert starts(told)[0] == "01-13 23:00"


def test_seconds_milliseconds_and_other_encodings() -> None:
    assert starts(table("time,value\n1768348800,1\n", timeFormat="unix", minutes="60")) == ["01-14 00:00"]
    assert starts(table("time,value\n1768348800000,1\n", timeFormat="unix-ms", minutes="60")) == ["01-14 00:00"]
    told = table(
        "Zeit,Wärme\n2026-01-14T00:00Z,1\n".encode("latin-1"),
        timeColumn="Zeit",
        valueColumn="Wärme",
        encoding="latin-1",
        minutes="60",
    )
    assert told.values.tolist() == [1.0]


def test_the_day_with_92_quarters() -> None:
    # On 29 March 2026 the clocks of Berlin go from 02:00 to 03:00, 01:00 UTC.
    told = table(
        local("2026-03-29 01:30", "2026-03-29 01:45", "2026-03-29 03:00", "2026-03-29 03:15"), timeZone="Europe/Berlin"
    )
    assert starts(told) == ["03-29 00:30", "03-29 00:45", "03-29 01:00", "03-29 01:15"]
    with pytest.raises(
        BadAnswer, match=r"line 2, time: found '2026-03-29 02:30', expected a time that clocks of Europe/Berlin"
    ):
        table(local("2026-03-29 02:30"), timeZone="Europe/Berlin", minutes="15")


@pytest.mark.parametrize("backwards", [False, True])
def test_the_day_with_100_quarters(backwards: bool) -> None:
    # On 25 October 2026 the hour from 02:00 is there twice: 00:00 UTC and 01:00 UTC.
    quarters = [f"2026-10-25 {hour}:{minute}" for hour in ("01", "02", "02", "03") for minute in ("00", "15", "30", "45")]
    told = table(local(*(reversed(quarters) if backwards else quarters)), timeZone="Europe/Berlin")
    first_s = int(datetime(2026, 10, 24, 23, tzinfo=UTC).timestamp())
    assert told.starts_s.tolist() == list(range(first_s, first_s + 16 * 900, 900))
    assert told.values.tolist() == (list(range(15, -1, -1)) if backwards else list(range(16)))


def test_an_hour_that_could_be_either_is_left_out() -> None:
    told = table(local("2026-10-25 01:00", "2026-10-25 02:00", "2026-10-25 03:00"), timeZone="Europe/Berlin", minutes="60")
    assert starts(told) == ["10-24 23:00", "10-25 02:00"]
    with pytest.raises(BadAnswer, match="at most twice"):
        table(local(*["2026-10-25 02:00"] * 3), timeZone="Europe/Berlin", minutes="60")


REFUSED = [
    ("time,value\n2026-01-14T00:00Z,1.234.5\n", r"line 2, value: found '1.234.5', expected a number with a decimal point"),
    ("time,value\n2026-01-14T00:00Z,1 234\n", "a number"),
    ('time,value\n2026-01-14T00:00Z,"1,234"\n', "a number"),
    ("time,value\n2026-01-14T00:00Z,inf\n", "a number"),
    ("time,value\n2026-01-14T00:00Z,0x10\n", "a number"),
    ("time,value\n2026-01-14T00:00Z\n", "line 2: found '1 cells'"),
    ("time,value\nyesterday,1\n", "line 2, time: found 'yesterday'"),
    ("time,value\n2026-01-14T00:00:00.5Z,1\n", "whole seconds"),
    ("time,value\n1889-01-14T00:00Z,1\n", "1990"),
    ("time,price\n2026-01-14T00:00Z,1\n", "headings: found 'time, price', expected 'value' once"),
    ("time,value,value\n2026-01-14T00:00Z,1,2\n", "once"),
    ("<html><body>no table</body></html>", "headings"),
    ('time,value\n"2026-01-14T00:00Z,1\n', "no table"),
    (b"time,value\n\xff\xfe", "utf-8"),
    ("", "headings"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_what_is_no_such_table_is_refused_with_its_line(text: str | bytes, words: str) -> None:
    with pytest.raises(BadAnswer, match=words):
        table(text, minutes="60")


def test_a_table_without_lines_has_nothing_yet() -> None:
    with pytest.raises(NothingYet):
        table("time,value\n")


def test_lengths_by_neighbours() -> None:
    quarter = 900
    # Quarters with one missing, then hours: the second value does not reach over the third.
    at = [0, 900, 2700, 3600, 7200, 10800]
    rows = rows_of([(start_s, float(place)) for place, start_s in enumerate(at)], "table")
    assert [(start, end - start) for start, end, _ in rows] == [
        (0, quarter),
        (900, quarter),
        (2700, quarter),
        (3600, quarter),
        (7200, 3600),
        (10800, 3600),
    ]
    with pytest.raises(BadAnswer, match="an option that says how long one is"):
        rows_of([(0, 1.0)], "table")
    with pytest.raises(BadAnswer):
        rows_of([(0, 1.0), (7200, 1.0)], "table")
    assert rows_of([], "table") == []


def test_times_at_which_values_end() -> None:
    text = "time,value\n2026-01-14T00:15Z,1\n2026-01-14T00:30Z,2\n2026-01-14T00:45Z,3\n2026-01-14T01:15Z,4\n"
    told = table(text, timeOf="end")
    assert starts(told) == ["01-14 00:00", "01-14 00:15", "01-14 00:30", "01-14 01:00"]
    assert (told.ends_s - told.starts_s).tolist() == [900] * 4
    told = document([{"t": "2026-01-14T01:00Z", "v": 5}], records="@", minutes="60", timeOf="end")
    assert starts(told) == ["01-14 00:00"]


def test_records_with_filters_fields_and_nulls() -> None:
    rows = [{"t": "2026-01-14T00:00Z", "v": 5}, {"t": "2026-01-14T01:00Z"}, {"t": "2026-01-14T02:00Z", "v": None, "k": "x"}]
    told = document({"data": rows}, records="data[?k!='x']")
    np.testing.assert_array_equal(told.values, [5.0, np.nan])
    told = document({"data": rows}, records="data", issued="data[0].t")
    np.testing.assert_array_equal(told.values, [5.0, np.nan, np.nan])
    assert told.issued_utc == datetime(2026, 1, 14, tzinfo=UTC)


def test_lists_side_by_side_and_objects_by_time() -> None:
    told = document({"t": [1768348800, 1768352400], "v": [1, None]}, timeFormat="unix")
    np.testing.assert_array_equal(told.values, [1.0, np.nan])
    by_time = {"demand": {"2026-01-14T00:00Z": 7.5, "2026-01-14T00:15Z": 8.5}}
    told = document(by_time, time="keys(demand)", value="values(demand)")
    assert told.values.tolist() == [7.5, 8.5]
    assert (told.ends_s - told.starts_s).tolist() == [900, 900]


def test_numbers_in_texts_where_the_owner_says_so() -> None:
    rows = [{"t": "2026-01-14T00:00Z", "v": "5.5"}, {"t": "2026-01-14T01:00Z", "v": "much"}]
    np.testing.assert_array_equal(document(rows, records="@", value="to_number(v)").values, [5.5, np.nan])
    with pytest.raises(BadAnswer, match=r"found '5.5', expected a number"):
        document(rows, records="@")


@pytest.mark.parametrize(
    ("found", "options", "words"),
    [
        ({"t": ["2026-01-14T00:00Z"], "v": [1, 2]}, {}, "1 times and 2 values"),
        ({"t": None, "v": None}, {}, "a list"),
        ({"data": 5}, {"records": "data"}, "a list"),
        (
            [{"t": "2026-01-14T00:00Z", "v": "NaN"}],
            {"records": "@", "value": "to_number(v)", "minutes": "60"},
            "a finite number",
        ),
        ([{"t": 5, "v": 1}], {"records": "@", "minutes": "60"}, "a time as text"),
        ([{"t": "2026-01-14T00:00Z", "v": 1}], {"records": "sort_by(@, &x.y)"}, "does not fit"),
        ([{"t": "2026-01-14T00:00Z", "v": 1}], {"records": "@", "issued": "made", "minutes": "60"}, "a text"),
    ],
)
def test_a_document_that_does_not_fit_its_paths(found: Any, options: dict[str, str], words: str) -> None:
    with pytest.raises(BadAnswer, match=words):
        document(found, **options)
