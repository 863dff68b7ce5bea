"""A table that ends in the middle of a number tells what came before it, and never half a number."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scheduler.adapters.sources.blueprint import Answer, Ask, BadAnswer
from scheduler.adapters.sources.providers.csv_feed import make
from scheduler.domain.observed import PRICE

NOW_UTC = datetime(2026, 3, 11, 15, 20, tzinfo=UTC)
TABLE = b"time,value\n2026-03-11T15:00Z,13.45\n2026-03-11T15:15Z,14.56\n2026-03-11T15:30Z,15.67\n"


def told(body: bytes) -> list[float]:
    """The values of a table."""
    feed = make(
        PRICE, {"url": "https://feeds.example.org/prices.csv", "valueColumn": "value", "unit": "ct/kWh", "minutes": "15"}
    )
    answer = Answer(ask=Ask(url="https://feeds.example.org/"), body=body, media_type="text/csv", fetched_utc=NOW_UTC)
    return [float(value) for one in feed.read([answer], NOW_UTC) for value in one.values]


@pytest.mark.parametrize("cut", range(len(TABLE) + 1))
def test_a_table_that_was_cut_anywhere_tells_only_whole_lines(cut: int) -> None:
    try:
        found = told(TABLE[:cut])
    except BadAnswer:
        found = []
    whole = TABLE[:cut].count(b"\n") - 1
    assert found == [13.45, 14.56, 15.67][: max(0, whole)]


def test_the_ends_of_lines_of_other_systems_count_too() -> None:
    assert told(TABLE.replace(b"\n", b"\r\n")) == told(TABLE) == [13.45, 14.56, 15.67]
