"""The sentence for the owner of a job; NOW is 10:00."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from kube_world import AROUND, NOW, ago, job, pod, view

from scheduler.adapters.kubernetes.marks import HeldBy, Marks
from scheduler.adapters.kubernetes.why import why, with_plan, would
from scheduler.domain.plan import Explanation, WaitReason

HELD = Marks(
    held_by=HeldBy.OPERATOR,
    held_since_utc=ago(minutes=30),
    hold_until_utc=NOW + timedelta(hours=19, minutes=40),
    planned_start_utc=NOW + timedelta(hours=16, minutes=15),
    reason="CheaperPower",
    plan_id="7f3a",
)
TOLD = Explanation(
    job_id="j",
    reason=WaitReason.CHEAPER_POWER,
    text="Held until 02:15 UTC, at the latest 05:40: power is 61 EUR/MWh cheaper from 02:15 and the loop is full until 01:30"
    " (saves 4.10 EUR)",
    start_utc=None,
    latest_start_utc=None,
    saves_eur=4.1,
    may_move=False,
)


def test_the_plan_explains_a_hold() -> None:
    assert why(view(job(suspend=True, marks=HELD)), NOW, TOLD, "7f3a") == (
        "Held until 02:15 UTC, at the latest 05:40: power is 61 EUR/MWh cheaper from 02:15 and the loop is full until 01:30"
        " (plan 7f3a, saves 4.10 EUR)"
    )


def test_the_plan_is_named_once_and_where_nothing_is_saved_too() -> None:
    assert with_plan("Held: no room", "7f3a") == "Held: no room (plan 7f3a)"
    assert with_plan(with_plan("Held: no room", "7f3a"), "7f3a") == "Held: no room (plan 7f3a)"
    assert with_plan("Held", "") == "Held"


def test_marks_explain_a_hold_when_there_is_no_plan() -> None:
    assert why(view(job(suspend=True, marks=HELD)), NOW) == (
        "Held until 02:15 UTC, at the latest until 05:40 UTC: power is cheaper later (plan 7f3a)"
    )
    said = replace(HELD, text="Held until 02:15 UTC: as written (plan 7f3a)")
    assert why(view(job(suspend=True, marks=said)), NOW) == said.text
    far = replace(HELD, planned_start_utc=None, hold_until_utc=NOW + timedelta(hours=30), reason="NoFit", plan_id="")
    assert why(view(job(suspend=True, marks=far)), NOW) == (
        "Held at the latest until Thu 16:00 UTC: not all of its pods find a place on real nodes now"
    )


def test_a_pause_says_so() -> None:
    paused = replace(HELD, stops=1)
    assert why(view(job(class_name="preemptible", suspend=True, marks=paused)), NOW).startswith("Paused until 02:15 UTC,")


def test_a_hold_that_is_over_or_has_no_end_yet() -> None:
    past = replace(HELD, hold_until_utc=ago(minutes=1))
    assert why(view(job(suspend=True, marks=past)), NOW) == "Starts now: its hold ended at 09:59 UTC (HoldOver)"
    fresh = view(job(suspend=True, marks=Marks(held_by=HeldBy.ADMISSION)))
    assert why(fresh, NOW) == "Held since its creation, for ten minutes at most: the next decision says for how long"


def test_jobs_that_are_left_alone_hear_why() -> None:
    assert why(view(job(suspend=True)), NOW) == "Left alone: its owner suspended it, so it is his"
    assert why(view(job(class_name=None), pod()), NOW) == "Insulated, nothing is done to it: its class is insulated"
    assert why(view(job(class_name="typo"), pod()), NOW).startswith(
        "Insulated, nothing is done to it: the job asks for class 'typo', and there is no such WorkloadClass"
    )


def test_jobs_that_run_or_are_about_to() -> None:
    capped = replace(AROUND, caps_w={"lab/train@0a1b2c3d": 400.0})
    given = job(class_name="preemptible", marks=Marks(stops=2, released_utc=ago(hours=1)))
    assert why(view(given, pod(), around=capped), NOW) == (
        "Runs on north since 2026-01-14 09:30 UTC, capped at 400 W per GPU, stopped 2 times so far"
    )
    released = job(marks=Marks(released_utc=ago(minutes=1), pool_id="south"))
    assert why(view(released, pod(None)), NOW) == "Released on south: its pods wait for their nodes"
    assert why(view(job(active=1), pod(None)), NOW) == "Not held: it starts as soon as the cluster has room for it"
    assert why(view(job(conditions=[{"type": "Complete", "status": "True"}])), NOW) == "Has ended"


def test_advice_says_of_a_job_what_would_be_said_if_it_were_held() -> None:
    assert would("Held until 02:15 UTC: power is cheaper") == "Would be held until 02:15 UTC: power is cheaper"
    assert would("Paused until 02:15 UTC") == "Would be paused until 02:15 UTC"
    assert would("Starts as soon as 8 GPUs are free") == "In mode Dispatch: Starts as soon as 8 GPUs are free"
