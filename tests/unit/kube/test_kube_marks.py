from __future__ import annotations

from datetime import timedelta

import pytest
from kube_world import NOW, ago, job

from scheduler.adapters.kubernetes.marks import (
    GATED_BY,
    HeldBy,
    Marks,
    changed,
    gates_of,
    marks_of,
    read_duration_s,
    read_instant,
    to_annotations,
    wishes_of,
    without_our_gate,
    write_instant,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("48h", 172800.0), ("1h30m", 5400.0), ("90s", 90.0), ("0.5h", 1800.0), ("3 hours", None), ("", None), ("-1h", None)],
)
def test_a_duration_is_read_as_in_our_kinds(text: str, seconds: float | None) -> None:
    assert read_duration_s(text) == seconds


def test_an_endless_duration_is_none() -> None:
    assert read_duration_s("999999999h") is None


@pytest.mark.parametrize(
    "text", ["tomorrow", "2026-01-14", "2026-01-14T10:00:00", "2026-13-14T10:00:00Z", "0001-01-01T00:00:00+14:00", ""]
)
def test_an_instant_needs_its_offset_and_a_calendar_that_has_it(text: str) -> None:
    assert read_instant(text) is None


def test_an_instant_is_read_in_utc_and_written_rounded_down() -> None:
    assert read_instant("2026-01-14T11:00:00+01:00") == NOW
    assert write_instant(NOW + timedelta(seconds=59.9)) == "2026-01-14T10:00:59Z"


def test_wishes_of_a_careful_owner() -> None:
    given = {
        "heatdispatch.io/deadline": "2026-01-15T06:00:00Z",
        "heatdispatch.io/expected-duration": "3h",
        "heatdispatch.io/start": "planned",
    }
    wishes = wishes_of(job(annotations=given))
    assert wishes.deadline_utc == NOW + timedelta(hours=20)
    assert wishes.expected_duration_s == 10800.0
    assert wishes.planned_start
    assert wishes.problems == ()


@pytest.mark.parametrize(
    ("name", "value", "reason", "says"),
    [
        ("deadline", "friday", "BadDeadline", "'friday' is no instant"),
        ("deadline", "2026-01-14T08:00:00Z", "BadDeadline", "not after the job's creation at 2026-01-14T09:00:00Z"),
        ("expected-duration", "3 hours", "BadDuration", "such as 48h, 1h30m or 90s"),
        ("expected-duration", "0s", "BadDuration", "above zero"),
        ("start", "later", "BadAnnotation", "write 'planned'"),
        ("allow-owned", "yes", "BadAnnotation", "write 'true'"),
    ],
)
def test_a_bad_value_is_a_problem_with_advice(name: str, value: str, reason: str, says: str) -> None:
    (problem,) = wishes_of(job(annotations={f"heatdispatch.io/{name}": value})).problems
    assert problem.reason == reason
    assert says in problem.text
    assert f"heatdispatch.io/{name}" in problem.text


def test_marks_survive_the_annotations() -> None:
    marks = Marks(
        held_by=HeldBy.OPERATOR,
        held_since_utc=ago(minutes=5),
        hold_until_utc=NOW + timedelta(hours=4),
        reason="CheaperPower",
        text="Held until 02:15 UTC",
        planned_start_utc=NOW + timedelta(hours=1),
        plan_id="7f3a",
        released_utc=ago(hours=3),
        pool_id="north",
        placed=("heat.example/pool",),
        first_started_utc=ago(hours=3),
        stops=1,
        paused_s=60.0,
        work_done_s=7200.0,
    )
    assert marks_of(job(marks=marks)) == marks
    assert all(value is None for value in to_annotations(Marks()).values())


def test_edited_marks_are_named_and_read_as_nothing() -> None:
    given = {"heatdispatch.io/stops": "many", "heatdispatch.io/held-by": "me", "heatdispatch.io/paused": "long"}
    marks = marks_of(job(annotations=given))
    assert marks.unreadable == ("heatdispatch.io/held-by", "heatdispatch.io/stops", "heatdispatch.io/paused")
    assert marks == Marks(unreadable=marks.unreadable)


def test_only_what_changes_is_written() -> None:
    before = job(marks=Marks(held_by=HeldBy.OPERATOR, reason="PoolFull"))
    wanted = to_annotations(Marks(held_by=HeldBy.OPERATOR, reason="CheaperPower"))
    assert changed(before, wanted) == {"heatdispatch.io/hold-reason": "CheaperPower"}


def test_our_gate_is_taken_from_a_shared_list() -> None:
    gated = job(annotations={GATED_BY: "budget.example/gate, heatdispatch.io/gate"})
    assert gates_of(gated) == ("budget.example/gate", "heatdispatch.io/gate")
    assert without_our_gate(gated) == "budget.example/gate"
    assert without_our_gate(job(annotations={GATED_BY: "heatdispatch.io/gate"})) is None
