"""Whose job it is: its owner's hand on `suspend`, CronJobs and other controllers.

A job that its owner created suspended, or whose `suspend` he edits, is his for good. Nothing tells us of an edit, so it is
read from what is left behind. Every hold and release of ours writes its mark and the lever in one patch; therefore

- our mark on a job that is not suspended: he started it;
- a suspended job without our mark: he created it so, or stopped it;
- a job that runs, was once suspended (its condition says so), and that we never released: he did both;
- the API server's own record says that somebody else wrote `suspend` last: he did, and nobody watched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from scheduler.adapters.kubernetes.cron import next_tick_utc
from scheduler.adapters.kubernetes.marks import ALLOW_OWNED, HeldBy, Marks, Problem, Wishes, shown
from scheduler.adapters.kubernetes.objects import (
    Obj,
    at,
    condition,
    controller_of,
    created_utc,
    instant,
    part,
    parts,
    text,
)

FIELD_MANAGER = "heat-dispatch"
SCHEDULED_FOR = "batch.kubernetes.io/cronjob-scheduled-timestamp"


def suspended(job: Obj) -> bool:
    """Whether a batch Job is suspended."""
    return at(job, "spec", "suspend") is True


def handed_over(job: Obj, marks: Marks, wishes: Wishes) -> bool:
    """Whether its owner created it suspended and left the start to the plan, and it waits for that start."""
    return suspended(job) and wishes.planned_start and marks.held_by is None and marks.released_utc is None


def owner_took(job: Obj, marks: Marks, wishes: Wishes, manager: str = FIELD_MANAGER) -> str:
    """Why a native Job is its owner's alone; empty when it is not."""
    if marks.held_by is HeldBy.OWNER:
        return "its owner took it over"
    if marks.held:
        if not suspended(job):
            return "its owner started it himself"
        return "its owner suspended it" if marks.held_by is HeldBy.OPERATOR and _others_wrote(job, manager) else ""
    if suspended(job):
        return "" if handed_over(job, marks, wishes) else "its owner suspended it"
    if marks.released_utc is None:
        return "its owner suspended it once" if condition(job, "Suspended") else ""
    return "its owner suspended it once" if _others_wrote(job, manager) else ""


def bound_by_owner(
    job: Obj, wishes: Wishes, cron_jobs: Mapping[str, Obj], duration_s: float
) -> tuple[datetime | None, Problem | None]:
    """(latest start, why not flexible) of a job that a controller made; (None, None) when none did.

    A CronJob's job is held at most until the next tick; where that tick skips or replaces a job that still runs
    (`Forbid`, `Replace`), until its duration before it.
    """
    owner = controller_of(job)
    if not owner:
        return None, None
    if text(owner, "kind") != "CronJob":
        return None, None if wishes.allow_owned else _owned(owner)
    cron_job = cron_jobs.get(text(owner, "uid"))
    since = instant(part(job, "metadata", "annotations"), SCHEDULED_FOR) or created_utc(job)
    if cron_job is None or since is None:
        return None, Problem(reason="CronJobUnknown", text=f"the CronJob {text(owner, 'name')} that made it is not known")
    schedule = text(cron_job, "spec", "schedule")
    tick = next_tick_utc(schedule, text(cron_job, "spec", "timeZone"), since)
    if tick is None:
        said = f"the schedule {shown(schedule)} of CronJob {text(owner, 'name')} cannot be read"
        return None, Problem(reason="CronScheduleUnknown", text=said)
    if text(cron_job, "spec", "concurrencyPolicy") in ("Forbid", "Replace"):
        tick -= timedelta(seconds=duration_s)
    return tick, None


def _owned(owner: Obj) -> Problem:
    """A controller that may have ideas of its own about `suspend`."""
    who = f"{text(owner, 'kind')} {text(owner, 'name')}"
    said = f"{who} controls it; annotate the job {ALLOW_OWNED}=true if that bears a later start"
    return Problem(reason="OwnedByController", text=said)


def _others_wrote(job: Obj, manager: str) -> bool:
    """Whether the API server knows who set `suspend` last, and it was not us."""
    writers = [text(each, "manager") for each in parts(job, "metadata", "managedFields") if _sets_suspend(each)]
    return bool(writers) and manager not in writers


def _sets_suspend(entry: Obj) -> bool:
    """Whether an entry of managedFields owns `spec.suspend`."""
    fields = entry.get("fieldsV1")
    if isinstance(fields, str):
        try:
            fields = json.loads(fields)
        except ValueError:
            return False
    return not text(entry, "subresource") and isinstance(fields, Mapping) and at(fields, "f:spec", "f:suspend") is not None
