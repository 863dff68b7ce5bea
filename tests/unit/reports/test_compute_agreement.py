"""The other book: jobs that had to be left alone, whatever the heat was worth."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from scheduler.core.reports.availability import compute_agreement
from scheduler.domain.settlement import ComputeRecord
from scheduler.domain.time import utc

END = utc("2026-01-14T10:00:00+00:00")
JOB = ComputeRecord(job_id="a", class_name="deferrable", insulated=False, ended_utc=END)


def test_each_promise_to_job_owners_is_counted_by_itself() -> None:
    calm = replace(JOB, job_id="calm", insulated=True)
    touched = replace(calm, job_id="touched", capped_s=60.0)
    late = replace(JOB, job_id="late", deadline_utc=END - timedelta(hours=1))
    held_late = replace(late, job_id="held", held_s=600.0)
    slow = replace(JOB, job_id="slow", slowdown_fraction=0.2, allowed_slowdown_fraction=0.1)
    stopped = replace(JOB, job_id="stopped", stops=3, allowed_stops=2)
    found = compute_agreement([JOB, calm, touched, late, held_late, slow, stopped])
    assert (found.jobs, found.insulated, found.insulated_touched) == (7, 2, 1)
    assert (found.with_deadline, found.missed, found.missed_after_hold) == (2, 2, 1)
    assert (found.slowed_too_much, found.stopped_too_often) == (1, 1)
    assert [text.split(":")[0] for text in found.breaches] == ["touched", "held", "slow", "stopped"]
    assert "slowed by 20.0%, its class allows 10.0%" in found.breaches[2]


def test_within_its_class_nothing_is_a_breach() -> None:
    fine = replace(JOB, held_s=1e5, stops=2, allowed_stops=2, slowdown_fraction=0.3, allowed_slowdown_fraction=0.3)
    in_time = replace(fine, deadline_utc=END)
    assert compute_agreement([fine, in_time]).breaches == ()
