"""How long values hold of which only the beginning is told: never over one that is missing."""

from __future__ import annotations

import pytest

from scheduler.adapters.sources.blueprint import BadAnswer
from scheduler.adapters.sources.providers.spacing import rows_of

QUARTERS = [0, 900, 1800, 2700, 3600, 4500, 5400, 6300, 7200]


def lengths(starts: list[int]) -> list[int]:
    """How long each value holds."""
    return [end - start for start, end, _ in rows_of([(start, 1.0) for start in starts], "here")]


def test_values_hold_until_the_next() -> None:
    assert lengths(QUARTERS) == [900] * 9
    assert lengths([0, 3600, 7200, 10800]) == [3600] * 4


@pytest.mark.parametrize("gone", range(9))
def test_no_value_holds_over_one_that_is_missing(gone: int) -> None:
    left = [start for place, start in enumerate(QUARTERS) if place != gone]
    assert lengths(left) == [900] * 8


def test_nor_where_every_third_is_missing_the_second_and_the_last_but_one_among_them() -> None:
    # Ways of 1800, 900, 1800, 900, ... s, both real; the first and the last value have one on one side only.
    left = [start for place, start in enumerate(QUARTERS) if place % 3 != 1]
    assert left == [0, 1800, 2700, 4500, 5400, 7200]
    assert lengths(left) == [900] * 6


def test_a_change_from_hours_to_quarters_keeps_the_hours() -> None:
    assert lengths([0, 3600, 7200, 10800, 11700, 12600]) == [3600, 3600, 3600, 900, 900, 900]


def test_too_few_values_say_nothing() -> None:
    assert rows_of([], "here") == []
    with pytest.raises(BadAnswer):
        rows_of([(0, 1.0)], "here")
