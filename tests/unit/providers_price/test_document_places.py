"""Places of documents: what is taken for a number, an instant, a list, and what is said when it is something else."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from scheduler.adapters.sources.blueprint import Answer, Ask, BadAnswer, NothingYet
from scheduler.adapters.sources.providers.parsing import MAX_BODY_BYTES, Node, Tag, json_of, shown, told, xml_of
from scheduler.domain.observed import PRICE
from scheduler.domain.signals import Grade


def answer(body: bytes) -> Answer:
    return Answer(ask=Ask(url="https://x.example"), body=body, media_type="", fetched_utc=datetime(2026, 1, 1, tzinfo=UTC))


def words(act: Callable[[], object]) -> str:
    with pytest.raises(BadAnswer) as caught:
        act()
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "$: no JSON"),
        (b'{"a": 1', "$: no JSON"),
        (b'{"a": NaN}', "$: found 'NaN', expected numbers that JSON knows"),
        (b'{"a": -Infinity}', "$: found '-Infinity'"),
        (b'{"a": 1, "a": 2}', "found 'a', expected each name of an object once"),
        (b"\xff\xfe{}", "expected JSON in UTF-8"),
        (b"[" * 200_000, "values within values without end"),
        (b'{"a": ' + b"9" * 5000 + b"}", "$: no JSON"),
        (b" " * (MAX_BODY_BYTES + 1), "expected at most"),
    ],
    ids=["empty", "cut off", "NaN", "infinite", "twice", "UTF-16", "deep", "digits", "long"],
)
def test_what_is_no_json_is_refused(body: bytes, said: str) -> None:
    assert said in words(lambda: json_of(answer(body)))


def test_json_may_begin_with_a_byte_order_mark() -> None:
    assert json_of(answer(b'\xef\xbb\xbf{"a": 1}')).field("a").number() == 1.0


@pytest.mark.parametrize("value", [True, None, "7", [7], {}, math.inf, 10**400])
def test_what_is_no_number_is_none(value: object) -> None:
    assert "$.a: found" in words(lambda: Node(value, "$.a").number())


def test_null_is_not_known_where_that_may_be() -> None:
    assert math.isnan(Node(None, "$").number_or_nan())
    assert Node(-3, "$").number_or_nan() == -3.0


@pytest.mark.parametrize("value", [True, 1.5, "1795000000", -1, 0, 1795000000000, None])
def test_seconds_since_1970_are_whole_and_of_our_time(value: object) -> None:
    assert "between 1990 and 2100" in words(lambda: Node(value, "$").epoch_s())


@pytest.mark.parametrize(
    "text",
    ["2026-01-31", "2026-01-31T23", "2026-02-30T00:00Z", "2026-01-31T23:00", "9999-12-31T23:59:59-23:59", "1970-01-01T00:00Z"]
    + ["2026-01-31T23:00:00.5Z", "20260131T2300Z", "now", "2026-01-31T23:00+99:00", "２０２６-01-31T23:00Z"],
)
def test_an_instant_has_a_day_a_time_and_an_offset(text: str) -> None:
    assert "$.at: found" in words(lambda: Node(text, "$.at").instant_s())


def test_instants_become_seconds_of_utc() -> None:
    at_s = int(datetime(2026, 1, 31, 22, tzinfo=UTC).timestamp())
    texts = ["2026-01-31T22:00Z", "2026-01-31T23:00:00+01:00", "2026-01-31 22:00:00.000Z", "2026-01-31T23:00+0100"]
    assert [Node(text, "$").instant_s() for text in texts] == [at_s] * 4
    assert Node("2026-01-31T22:00:00", "$").instant_s(naive_is_utc=True) == at_s
    assert Node(at_s * 1000 + 1, "$").epoch_milliseconds(whole=False) == at_s


def test_places_say_where_they_are() -> None:
    root = json_of(answer(b'{"rows": [{"at": 1}, 5], "flag": 1}'))
    rows = list(root.field("rows").items())
    assert words(lambda: rows[1].field("at")) == "$.rows[1]: found 5, expected an object"
    assert words(lambda: rows[0].field("to")) == "$.rows[0].to: missing"
    assert words(lambda: list(root.items())).startswith("$: found an object of 2, expected a list")
    assert words(lambda: root.field("flag").flag()) == "$.flag: found 1, expected true or false"
    assert words(lambda: root.field("flag").text()) == "$.flag: found 1, expected a text"
    assert root.maybe("none") is None


def test_what_is_shown_is_short_and_tame() -> None:
    assert shown("x" * 500) == "'" + "x" * 56 + "..."
    assert shown("a\x1b[31m\nb\u202e").isprintable()
    assert shown(None) == "null"
    assert shown([1, 2]) == "a list of 2"


def tag(text: str) -> Tag:
    return xml_of(answer(text.encode()))


def test_children_of_xml_are_found_by_name_whatever_their_namespace() -> None:
    root = tag('<a xmlns="urn:x" xmlns:y="urn:y"><b> 5 </b><y:c>7.25</y:c><!-- no child --><d/><d/></a>')
    assert (root.name, root.one("b").count(), root.one("c").number()) == ("a", 5, 7.25)
    assert [one.where for one in root.all("d")] == ["/a/d[1]", "/a/d[2]"]
    assert words(lambda: root.one("d")) == "/a/d: found '2 of them', expected one"
    assert words(lambda: root.one("e")) == "/a/e: found '0 of them', expected one"
    assert root.maybe("e") is None
    assert words(lambda: root.one("c").count()) == "/a/c[1]: found '7.25', expected a whole number from 1"


def test_a_document_of_too_many_elements_is_refused() -> None:
    assert words(lambda: tag(f"<a>{'<b/>' * 200_000}</a>")) == "/a: found 'more elements than that', expected at most 200000"


def test_rows_are_told_in_order_of_their_start() -> None:
    found = told(PRICE, [(900, 1800, 2.0), (0, 900, math.nan)], "EUR/MWh", Grade.PUBLISHED)
    assert found.starts_s.tolist() == [0, 900]
    assert np.isnan(found.values).tolist() == [True, False]


def test_no_rows_are_nothing_yet_and_rows_without_length_are_wrong() -> None:
    with pytest.raises(NothingYet):
        told(PRICE, [], "EUR/MWh", Grade.PUBLISHED)
    row = (1795000000, 1795000000, 1.0)
    assert "expected an end after its start" in words(lambda: told(PRICE, [row], "EUR/MWh", Grade.PUBLISHED))
