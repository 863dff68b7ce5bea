"""docs/backtest.md names every key that a backtest writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler.simulate.backtest import SWITCHES, Options, backtest
from scheduler.simulate.generate import weeks
from scheduler.simulate.score import TERMS
from scheduler.simulate.strategies import LEVERS, STRATEGIES

PAGE = (Path(__file__).parents[3] / "docs" / "backtest.md").read_text(encoding="utf-8")
WORDS = set(re.findall(r"[A-Za-z_0-9]+", PAGE)) | {
    f"{name}{ending}" for names, ending in re.findall(r"\{([^}]+)\}(_\w+)?", PAGE) for name in re.split(r",\s*", names)
}
# Below these keys the names are data: parameters of the site, one list per series.
OPEN = {"reference", "candidates_eur"}


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """The smallest backtest: one day of one rule."""
    scenario = next(weeks(1, seed=3, gpus=16, days=1))
    options = Options(strategies=("fifo",), ablation=False, bound=False)
    return backtest(scenario, options, reference={"x": 1}).to_json()


def keys(value: Any) -> Iterator[str]:
    """Every key of nested mappings."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in OPEN:
                yield from keys(inner)


def test_the_page_names_every_key(report: dict[str, Any]) -> None:
    assert {key for key in keys(report)} - WORDS == set()


def test_the_page_names_every_term_strategy_lever_and_switch() -> None:
    assert {*TERMS, *STRATEGIES, *LEVERS, *SWITCHES} - WORDS == set()
