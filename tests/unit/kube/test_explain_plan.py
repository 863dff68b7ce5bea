"""From a DispatchPlan and the marks on jobs to what `explain plan` tells."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from kube_world import NOW, job, view

from scheduler.adapters.kubernetes.marks import HeldBy, Marks
from scheduler.entrypoints.commands.explain import explained, holds

HELD = Marks(
    held_by=HeldBy.OPERATOR,
    held_since_utc=NOW,
    hold_until_utc=NOW + timedelta(hours=4),
    planned_start_utc=NOW + timedelta(hours=2),
    reason="CheaperPower",
    text="Held until 12:00 UTC",
    plan_id="plan-7f3a",
)
PLAN = {
    "status": {
        "planId": "plan-7f3a",
        "mode": "Dispatch",
        "planStatus": "fresh",
        "madeAt": "2026-01-14T10:00:00Z",
        "rollingGap": 0.004,
        "objective": [{"term": "electricity", "eur": 45.0}, {"term": "heat-revenue", "eur": -7.9}],
        "baseline": [{"term": "electricity", "eur": 48.0}],
        "held": 2,
        "outlook": {
            "start": "2026-01-14T10:00:00Z",
            "eurPerKwh": [0.38, 0.24, 0.08],
            "pools": [{"pool": "north", "gpus": [4.0, 8.0, 12.0], "itKw": [5.0, 9.0]}],
            "offtakes": [
                {"offtake": "hall", "heatKw": [3.0, 6.0, 9.0], "demandKw": [9.0, 9.0, 9.0], "eurPerKwh": [0.06, 0.06, 0.06]}
            ],
        },
    }
}


def test_hours_that_are_over_are_left_out_and_what_is_missing_is_zero() -> None:
    found = explained("p", PLAN, (), NOW + timedelta(minutes=61), 12)
    assert found["hours"] == ["2026-01-14T11:00:00+00:00", "2026-01-14T12:00:00+00:00"]
    assert found["eurPerKwh"] == [0.24, 0.08]
    assert found["pools"] == [{"pool": "north", "gpus": [8.0, 12.0], "itKw": [9.0, 0.0]}]
    assert found["offtakes"][0]["heatKw"] == [6.0, 9.0]
    assert len(explained("p", PLAN, (), NOW, 1)["hours"]) == 1


def test_cost_and_counts_are_those_of_the_object() -> None:
    """45.00 - 7.90 = 37.10 EUR."""
    found = explained("p", PLAN, (), NOW, 12)
    assert (found["costEur"], found["baselineEur"], found["gap"]) == (37.1, 48.0, 0.004)
    assert found["jobs"] == {"held": 2, "started": 0, "stopped": 0, "capped": 0}


def test_without_a_plan_or_an_outlook_nothing_is_made_up() -> None:
    nothing = explained("p", {}, (), NOW, 12)
    assert (nothing["planId"], nothing["hours"], nothing["pools"], nothing["baselineEur"]) == ("", [], [], None)
    assert nothing["holds"] == []


def test_holds_come_by_binding_reason_the_most_gpus_first() -> None:
    cheap = [view(job(f"a{number}", suspend=True, marks=HELD)) for number in range(2)]
    late = view(job("late", suspend=True, marks=replace(HELD, planned_start_utc=NOW + timedelta(hours=3))))
    full = view(job("big", gpus=64, suspend=True, marks=replace(HELD, reason="PoolFull", planned_start_utc=None)))
    fresh = view(job("fresh", gpus=1, suspend=True, marks=Marks(held_by=HeldBy.ADMISSION)))
    found = holds([*cheap, late, full, fresh])
    assert [(one["reason"], one["gpus"], one["jobs"]) for one in found] == [
        ("PoolFull", 64, ["lab/big"]),
        ("CheaperPower", 24, ["lab/a0", "lab/a1", "lab/late"]),
        ("NoPlanYet", 1, ["lab/fresh"]),
    ]
    assert found[0]["plannedStart"] == []
    assert found[1]["plannedStart"] == ["2026-01-14T12:00:00+00:00", "2026-01-14T13:00:00+00:00"]
    assert found[1]["meaning"] == "power is cheaper later"
