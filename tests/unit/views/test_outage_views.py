"""What outages cost, as a table and as a page: every number is the report's, every step has a name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduler.views.outages import (
    OUTAGE_HEADER,
    costs_figure,
    labels_of,
    outage_lines,
    outage_rows,
    steps_figure,
    steps_told,
)
from scheduler.views.report import backtest_page

sys.path.insert(0, str(Path(__file__).parent))
from sample_report import sample_report

STEPS = [
    {"from_utc": "2026-01-06T12:00:00Z", "until_utc": "2026-01-06T15:00:00Z", "step": "lastGood", "why": "price: stale"},
    {
        "from_utc": "2026-01-06T15:00:00Z",
        "until_utc": "2026-01-07T12:00:00Z",
        "step": "ruleBased",
        "why": "price: stale; heat_demand town: stale; heat_demand bath: stale",
    },
    {"from_utc": "2026-01-07T12:00:00Z", "until_utc": "2026-01-08T12:00:00Z", "step": "fresh", "why": "heat_demand town: gap"},
]


def one_run(what: str, extra_eur: float, steps: list[dict[str, str]]) -> dict[str, Any]:
    """A run with an outage of a day."""
    return {
        "what": what,
        "kind": "silent",
        "length": "1d",
        "start_utc": "2026-01-06T11:30:00Z",
        "end_utc": "2026-01-07T11:30:00Z",
        "extra_eur": extra_eur,
        "extra_fraction": extra_eur / 850.0,
        "cycles": {"fresh": 144, "lastGood": 3, "ruleBased": 21, "letGo": 0},
        "steps": steps,
        "invariants": {"checked": 100, "violations": 0, "examples": []},
    }


def report() -> dict[str, Any]:
    """The sample report with two outages."""
    runs = [one_run("all", 17.0, STEPS), one_run("carbon", -0.001, [])]
    return {**sample_report(), "outages": {"without": {"total_eur": 850.0, "cycles": {}, "steps": []}, "runs": runs}}


def test_a_row_says_cost_and_steps() -> None:
    first, second = outage_rows(report())
    assert len(first) == len(OUTAGE_HEADER)
    # 17 of 850 EUR.
    assert first[:5] == ["all", "1d", "silent", "17.00", "2.0 %"]
    assert first[5] == ("planned around it: heat demand gap; last good plan 3: price stale; by rule 21: heat demand stale")
    assert second == ["carbon", "1d", "silent", "0.00", "0.0 %", "noticed nothing"]


def test_a_step_for_no_given_reason_is_told_too() -> None:
    run = one_run("all", 1.0, [{**STEPS[0], "why": ""}])
    assert steps_told(run) == "last good plan 3"


def test_words_name_the_dearest_and_what_rules_cost() -> None:
    told = " ".join(outage_lines(report()))
    assert "2 runs" in told
    assert "all, 1d, silent, 17.00 EUR (2.0 %) more than 850.00 EUR" in told
    # EASY backfill of the sample costs 960 EUR.
    assert "EASY backfill costs 110.00 EUR more" in told


def test_the_figure_has_every_step_where_it_was_taken() -> None:
    found = {trace["name"]: trace for trace in steps_figure(report()["outages"]["runs"])["data"]}
    assert set(found) == {"outage", "planned around it", "last good plan", "by rule"}
    assert found["by rule"]["x"] == ["2026-01-06T15:00:00Z", "2026-01-07T12:00:00Z", None]
    assert found["by rule"]["y"] == ["all, 1d, silent", "all, 1d, silent", None]
    assert len(found["outage"]["x"]) == 6


def test_runs_that_differ_in_their_start_have_their_own_lines() -> None:
    first = one_run("all", 1.0, STEPS)
    later = {**first, "start_utc": "2026-01-08T00:00:00Z"}
    assert labels_of([first, later, one_run("heat", 0.0, [])]) == [
        "all, 1d, silent, 01-06 11:30",
        "all, 1d, silent, 01-08 00:00",
        "heat, 1d, silent",
    ]


def test_bars_leave_room_for_their_numbers() -> None:
    """From -2 to 8 EUR: 15 % of 10 at both ends."""
    low, high = costs_figure([one_run("all", 8.0, []), one_run("heat", -2.0, [])])["layout"]["xaxis"]["range"]
    assert (low, high) == pytest.approx((-3.5, 9.5))


def test_the_page_has_the_section_only_with_outages() -> None:
    assert "What outages of the sources cost" in backtest_page(report())
    assert "outage-costs" not in backtest_page(sample_report())
    assert outage_rows(sample_report()) == []
    assert outage_lines(sample_report()) == []
    assert json.dumps(steps_figure(report()["outages"]["runs"]), allow_nan=False)
