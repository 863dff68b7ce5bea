"""A plan in force in words and tables: every number of the report is there, and says what it is."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

from rich.console import Console
from small_world import NOW

from scheduler.views.explained import hold_rows, hour_header, hour_rows, plan_lines, span, term_rows
from scheduler.views.tables import rich_table

FOUND: dict[str, Any] = {
    "policy": "basement",
    "planId": "plan-7f3a",
    "mode": "Dispatch",
    "status": "fresh",
    "madeAt": (NOW - timedelta(minutes=10)).isoformat(),
    "degradedReason": "",
    "gap": 0.0041,
    "costEur": 37.1,
    "baselineEur": 41.2,
    "objective": {"electricity": 45.0, "heat-revenue": -7.9},
    "baseline": {"electricity": 48.0, "heat-revenue": -6.8},
    "jobs": {"held": 2, "started": 1, "stopped": 0, "capped": 0},
    "signals": [],
    "hours": [(NOW + timedelta(hours=hour)).isoformat() for hour in range(2)],
    "eurPerKwh": [0.38, 0.08],
    "pools": [{"pool": "loop", "gpus": [4.0, 12.0], "itKw": [5.1, 11.94]}],
    "offtakes": [{"offtake": "pool-hall", "heatKw": [3.0, 9.0], "demandKw": [9.0, 9.0], "eurPerKwh": [0.06, 0.06]}],
    "holds": [
        {
            "reason": "CheaperPower",
            "meaning": "power is cheaper later",
            "jobs": ["lab/a", "lab/b", "lab/c", "lab/d"],
            "gpus": 16,
            "plannedStart": [(NOW + timedelta(hours=1)).isoformat(), (NOW + timedelta(hours=20)).isoformat()],
            "holdUntil": [(NOW + timedelta(hours=3)).isoformat(), (NOW + timedelta(hours=3)).isoformat()],
        }
    ],
}


def test_a_plan_is_told_with_its_age_its_worth_and_its_proof() -> None:
    """41.20 - 37.10 = 4.10 EUR below the simplest rule."""
    assert plan_lines(FOUND, NOW) == [
        "Plan plan-7f3a of policy basement in mode Dispatch, made 09:50 UTC (10 min ago): solved for what is known now.",
        "It costs 37.10 EUR over its horizon, 4.10 EUR less than starting every job as soon as it fits; "
        "at most 0.4 % above the best possible (proven).",
        "Decided about jobs: 2 held, 1 started, 0 paused, 0 capped.",
    ]


def test_who_told_what_the_plan_rests_on() -> None:
    until = (NOW + timedelta(hours=13)).isoformat()
    told: dict[str, Any] = {"quantity": "price", "source": "entsoe", "others": ["awattar"], "knownUntil": until}
    rule: dict[str, Any] = {"quantity": "heat_demand", "source": "fixed", "others": [], "knownUntil": None, "assumed": True}
    lines = plan_lines(FOUND | {"signals": [told | {"assumed": False}, rule]}, NOW)
    assert lines[2] == "Told by: price by entsoe and awattar until 14 Jan 23:00 UTC; heat demand by nobody, a rule assumes it."


def test_a_degraded_plan_says_why_and_claims_no_more_than_it_knows() -> None:
    poor = FOUND | {"status": "lastGood", "degradedReason": "price is stale", "gap": None, "baselineEur": None}
    lines = plan_lines(poor | {"mode": "Observe"}, NOW + timedelta(hours=5))
    assert lines[0].endswith("made 09:50 UTC (5 h ago): the last good one, followed on.")
    assert lines[1:] == [
        "Note: price is stale.",
        "It costs 37.10 EUR over its horizon.",
        "In mode Observe nothing is done to jobs.",
    ]
    assert plan_lines(FOUND | {"planId": ""}, NOW) == ["Policy basement has no plan yet."]
    dear = plan_lines(FOUND | {"baselineEur": 30.0}, NOW)[1]
    assert "7.10 EUR more than starting" in dear


def test_the_hours_show_power_by_pool_and_heat_against_demand() -> None:
    assert hour_header(FOUND) == (
        "hour UTC", "power EUR/MWh", "loop GPUs", "loop kW", "pool-hall heat/demand kW", "pool-hall EUR/MWh"
    )  # fmt: skip
    assert hour_rows(FOUND) == [
        ["Wed 10:00", "380", "4", "5.1", "3.0 / 9.0", "60"],
        ["Wed 11:00", "80", "12", "11.9", "9.0 / 9.0", "60"],
    ]


def test_holds_are_grouped_by_reason_with_a_few_names() -> None:
    assert hold_rows(FOUND, NOW) == [
        ["power is cheaper later (CheaperPower)", "4", "16", "11:00 to Thu 06:00", "13:00", "lab/a, lab/b, lab/c and 1 more"]
    ]
    assert span([], NOW) == "–"


def test_the_cost_stands_beside_that_of_the_simplest_rule() -> None:
    assert term_rows(FOUND) == [
        ["IT electricity", "45.00", "48.00"],
        ["Heat sold", "-7.90", "-6.80"],
        ["together", "37.10", "41.20"],
    ]
    alone = term_rows(FOUND | {"baseline": {}, "baselineEur": None})
    assert [row[2] for row in alone] == ["–", "–", "–"]
    assert term_rows(FOUND | {"baseline": {}, "objective": {}}) == []


def test_a_narrow_terminal_cuts_no_name_of_a_column() -> None:
    shown = StringIO()
    Console(file=shown, width=80).print(rich_table(hour_header(FOUND), hour_rows(FOUND), "The next hours"))
    words = {word for name in hour_header(FOUND) for word in name.split()}
    assert words <= set(shown.getvalue().split())
