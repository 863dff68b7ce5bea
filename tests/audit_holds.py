"""Laws of holds and stops: they say when they end and end then, and running jobs are stopped as their class allows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise

from audit_case import (
    AROUND,
    HELD_BY,
    HELD_SINCE,
    HOLD_REASON,
    HOLD_TEXT,
    HOLD_UNTIL,
    MARK,
    PLAN,
    UNCLAIMED_S,
    Case,
    born,
    down,
    ended,
    held,
    instant,
    is_workload,
    seconds,
    withdraws,
)
from audit_history import CRON_JOBS, JOBS, WORKLOADS, Change, Object, at, controller, named, noted, plus

from scheduler.domain.plan import WaitReason

# Marks are whole seconds, rounded down.
ROUNDED_S = 1.0
# A pod that got its node while a hold was on its way was not stopped on purpose.
CROSSED_S = 2.0
MINUTE_S = 60.0


def marks(case: Case) -> Iterator[str]:
    """Every hold says by whom, since when, until when, why, and by which plan once there is one; and its end is still ahead."""
    for one in case.ours:
        if not down(one.after) or one.event.subresource or withdraws(one):
            continue
        given = noted(one.after)
        by_plan = () if given.get(HOLD_REASON) == WaitReason.NO_PLAN_YET.value else (PLAN,)
        missing = [key for key in (HELD_BY, HELD_SINCE, HOLD_UNTIL, HOLD_REASON, HOLD_TEXT, *by_plan) if not given.get(key)]
        if missing:
            yield f"{one}: held without {', '.join(key.removeprefix(MARK) for key in missing)}"
        until = instant(given.get(HOLD_UNTIL))
        if until is None or until <= one.at_utc - timedelta(seconds=ROUNDED_S):
            yield f"{one}: held until {given.get(HOLD_UNTIL)}, which is no time ahead"


def too_long(case: Case) -> Iterator[str]:
    """No hold ends later than its creation and maxDelay, its begin and maxHold, and its deadline."""
    for one in case.ours:
        until, since = instant(noted(one.after).get(HOLD_UNTIL)), instant(noted(one.after).get(HELD_SINCE))
        if not held(one.after) or until is None or since is None or case.insulated(one.after, one.at_utc):
            continue
        job = case.job_of(one.after, one.at_utc)
        delay_s = case.largest(one.at_utc, partial(_max_delay_s, case, job))
        ends = {
            "its creation and maxDelay": plus(born(job), delay_s),
            "its begin and maxHold": plus(since, case.largest(one.at_utc, case.max_hold_s)),
            "its deadline": instant(noted(job).get(MARK + "deadline")),
            "the next tick of its CronJob": _tick(case, job, one.at_utc),
        }
        if not born(job) - timedelta(seconds=ROUNDED_S) <= since <= one.at_utc:
            yield f"{one}: held since {since:%H:%M:%S}, which is not so"
        for name, end in ends.items():
            if end is not None and until > plus(end, ROUNDED_S):
                yield f"{one}: held until {until:%d. %H:%M:%S}, later than {name} ({end:%d. %H:%M:%S})"


def _tick(case: Case, job: Object, at_utc: datetime) -> datetime | None:
    """When the CronJob of every minute that made a Job makes the next one; None for any other Job."""
    owner = controller(job)
    if owner.get("kind") != "CronJob":
        return None
    made_by = case.history.then(CRON_JOBS, f"{at(job, 'metadata', 'namespace')}/{owner['name']}", at_utc)
    due = instant(noted(job).get("batch.kubernetes.io/cronjob-scheduled-timestamp")) or born(job)
    return plus(due.replace(second=0), MINUTE_S) if at(made_by, "spec", "schedule") == "* * * * *" else None


def _max_delay_s(case: Case, job: Object, then: datetime) -> float:
    """How long a job's class may delay it."""
    return seconds(at(case.class_of(job, then), "spec", "maxDelay")) or 0.0


def hold_ends(case: Case) -> Iterator[str]:
    """A hold that is over, or not allowed any more (mode, class), is ended within a tick of the guard while anybody leads."""
    for kind in (JOBS, WORKLOADS):
        for life in case.history.lives(kind):
            late_s, why = 0.0, ""
            for begin, end, obj in _pieces(case, life):
                now = _over_because(case, life[0].uid, obj, begin)
                late_s, why = (late_s + case.led_s(begin, end), why or now) if now else (0.0, "")
                if late_s > case.tick_s:
                    yield f"{end:%H:%M:%S} {named(obj)} is held, {late_s:.0f} s after: {why}"
                    break


def _pieces(case: Case, life: Sequence[Change]) -> Iterator[tuple[datetime, datetime, Object]]:
    """A job's life in pieces in which nothing changed on which its hold depends."""
    ends = [one.at_utc for one in life[1:]] + [case.until_utc]
    for change, end in zip(life, ends, strict=True):
        if not held(change.after):
            yield change.at_utc, end, change.after
            continue
        due = _due(change.after)
        cuts = case.history.instants(AROUND, change.at_utc, end)
        for begin, until in pairwise(sorted({*cuts, due} if change.at_utc < due < end else cuts)):
            yield begin, until, change.after


def _due(obj: Object) -> datetime:
    """When a hold ends by itself."""
    until = instant(noted(obj).get(HOLD_UNTIL))
    return until or plus(instant(noted(obj).get(HELD_SINCE)) or born(obj), UNCLAIMED_S)


def _over_because(case: Case, uid: str, obj: Object, at_utc: datetime) -> str:
    """Why a hold may not stand; empty while it may, and without one."""
    took = case.took_over(uid)
    if not held(obj) or ended(obj) or (took is not None and took.at_utc <= at_utc):
        return ""
    if _due(obj) <= at_utc:
        return f"its end was {_due(obj):%H:%M:%S}"
    if not case.dispatches(at_utc):
        return f"no policy is in mode Dispatch since {at_utc:%H:%M:%S}"
    why = case.insulated(obj, at_utc)
    return f"{why} since {at_utc:%H:%M:%S}" if why else ""


def stops(case: Case) -> Iterator[str]:
    """Of running jobs only preemptible ones are stopped, not before minRuntime, at most maxPreemptions times, and counted."""
    count: dict[str, int] = {}
    for one in case.ours:
        ran_s = _ran_s(case, one) if down(one.after) and not down(one.before) else None
        if ran_s is None:
            continue
        count[one.uid] = count.get(one.uid, 0) + 1
        job = case.job_of(one.before, one.at_utc)
        most = case.largest(one.at_utc, partial(_limit, case, job, "maxPreemptions"))
        least_s = case.smallest(one.at_utc, partial(_limit, case, job, "minRuntime"))
        if count[one.uid] > most:
            yield f"{one}: stopped {count[one.uid]} times, and its class allows {most:.0f}"
        if ran_s < least_s - ROUNDED_S:
            yield f"{one}: stopped after {ran_s:.0f} s, and its class gives it {least_s:.0f} s"
        if noted(one.after).get(MARK + "stops") != str(count[one.uid]):
            yield f"{one}: its {count[one.uid]}. stop is marked as {noted(one.after).get(MARK + 'stops')}"


def _limit(case: Case, job: Object, key: str, then: datetime) -> float:
    """A limit of a job's class at an instant; the class's only if it may be stopped at all."""
    spec = at(case.class_of(job, then), "spec") or {}
    found = spec.get(key, 0)
    given = float(found) if isinstance(found, int | float) else seconds(found) or 0.0
    return given if spec.get("flexibility") == "preemptible" else 0.0


def _ran_s(case: Case, change: Change) -> float | None:
    """How long a job had run, at most, when it was stopped; None when it had not begun."""
    if is_workload(change.before):
        states = at(change.before, "status", "conditions") or ()
        since = [one for one in states if one.get("type") == "Admitted" and one.get("status") == "True"]
        begun = instant(since[0].get("lastTransitionTime")) if since else None
    else:
        begun = _first_bound(case, change)
    if begun is None or (change.at_utc - begun).total_seconds() < CROSSED_S:
        return None
    return (change.at_utc - begun).total_seconds()


def _first_bound(case: Case, change: Change) -> datetime | None:
    """When the first of a Job's pods got its node since the Job was last let go."""
    before = [one for one in case.history.life(change.uid) if one.version < change.version]
    since = next((one.at_utc for one in reversed(before) if not one.before or down(one.before)), change.at_utc)
    pod = re.compile(rf"{re.escape(named(change.before))}(-\d+)?-[a-z0-9]{{5}}")
    found = [when for name, whens in case.history.bound.items() if pod.fullmatch(name) for when in whens]
    return min((when for when in found if since <= when <= change.at_utc), default=None)
