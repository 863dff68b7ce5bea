"""`jobs.csv`: what was submitted when, how long it really ran, and what may be done to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from scheduler.config.findings import Finding, error, one_of, refuse, warning
from scheduler.config.table import Table, convert, count, instant, member, pick_columns, positive, present, read_table
from scheduler.domain.job import Job
from scheduler.domain.site import Site
from scheduler.domain.world import JobTruth

ID, SUBMIT, DURATION, GPUS, CLASS = "job_id", "submit_utc", "duration_s", "gpus", "class"
DEADLINE, EXPECTED, POWER, POOL = "deadline_utc", "expected_duration_s", "natural_power_w_per_gpu", "pool"
NEEDED = (ID, SUBMIT, DURATION, GPUS, CLASS)
KNOWN: dict[str, tuple[str, ...]] = {name: () for name in (*NEEDED, DEADLINE, EXPECTED, POWER, POOL)}
EXPECTED_TIME = "ISO 8601 with an offset, such as 2026-01-05T00:00Z"
MAX_ID_LENGTH = 253
POWER_SLACK = 1.2
DAY_S = 86400.0

Column = Sequence[object]


def read_jobs(path: Path, site: Site) -> tuple[tuple[JobTruth, ...], list[Finding]]:
    """Read a jobs file for a site, sorted by submit time.

    Without `expected_duration_s` a job declares its class's default duration; without a deadline the class's default holds.

    Raises:
        Misconfigured: naming file, line and column of every cell that cannot be: a duration of zero or less, a job larger than
            its pool, a deadline before the submit time, an unknown class or pool, an id that is there twice.
    """
    path = Path(path)
    table = read_table(path)
    columns, findings = pick_columns(table, KNOWN, NEEDED)
    refuse(findings)
    ids, more = _ids(table)
    findings += more
    submits, more = convert(table, SUBMIT, instant, EXPECTED_TIME)
    findings += more
    durations, more = convert(table, DURATION, positive, "seconds above zero")
    findings += more
    gpus, more = convert(table, GPUS, count, "a whole number of GPUs, at least 1")
    findings += more
    names = [job_class.name for job_class in site.classes]
    classes, more = convert(table, CLASS, member(names), one_of(names))
    findings += more
    declared, more = _optional_numbers(table, EXPECTED, columns)
    findings += more
    power, more = _optional_numbers(table, POWER, columns)
    findings += more
    pools, more = _pools(table, site, columns)
    findings += more
    deadlines, more = _deadlines(table, submits, columns)
    findings += more + _too_large(table, site, gpus, pools)
    refuse(findings)
    findings += _odd(table, site, present(submits), present(durations), deadlines, power)
    facts = zip(
        ids, present(classes), present(gpus), present(submits), declared, deadlines, power, pools, present(durations),
        strict=True,
    )  # fmt: skip
    default_s = {job_class.name: job_class.default_duration_s for job_class in site.classes}
    truths = sorted((_truth(*fact, default_s=default_s) for fact in facts), key=lambda truth: truth.job.submit_utc)
    return tuple(truths), findings


def _truth(  # noqa: PLR0913 - one parameter per column of the file
    job_id: str,
    class_name: str,
    gpus: int,
    submit_utc: datetime,
    expected_s: float | None,
    deadline_utc: datetime | None,
    power_w: float | None,
    pool_id: str | None,
    duration_s: float,
    *,
    default_s: Mapping[str, float],
) -> JobTruth:
    """One row as a job and its real run time."""
    job = Job(
        job_id=job_id,
        class_name=class_name,
        gpus=gpus,
        submit_utc=submit_utc,
        declared_duration_s=default_s[class_name] if expected_s is None else expected_s,
        deadline_utc=deadline_utc,
        natural_power_w_per_gpu=power_w,
        pool_id=pool_id,
    )
    return JobTruth(job=job, duration_s=duration_s)


def _ids(table: Table) -> tuple[list[str], list[Finding]]:
    """Job ids, each there once."""
    findings: list[Finding] = []
    first: dict[str, int] = {}
    for row, job_id in enumerate(table.columns[ID]):
        if not job_id or len(job_id) > MAX_ID_LENGTH or not job_id.isprintable():
            findings.append(error(table.where(row), ID, "the id is empty, too long or not printable", "a name"))
        elif job_id in first:
            findings.append(
                error(
                    table.where(row),
                    ID,
                    f"{job_id!r} is there twice, first in line {table.lines[first[job_id]]}",
                    "each id once",
                )
            )
        else:
            first[job_id] = row
    return table.columns[ID], findings


def _optional_numbers(table: Table, column: str, columns: Iterable[str]) -> tuple[list[float | None], list[Finding]]:
    """An optional column of numbers above zero."""
    if column not in columns:
        return [None] * len(table), []
    return convert(table, column, positive, "a number above zero, or an empty cell", required=False)


def _pools(table: Table, site: Site, columns: Iterable[str]) -> tuple[list[str | None], list[Finding]]:
    """The only eligible pool of each job, where one is named."""
    if POOL not in columns:
        return [None] * len(table), []
    names = [pool.pool_id for pool in site.pools]
    return convert(table, POOL, member(names), one_of(names), required=False)


def _deadlines(
    table: Table, submits: Sequence[datetime | None], columns: Iterable[str]
) -> tuple[list[datetime | None], list[Finding]]:
    """Deadlines, each after the job's submit time."""
    if DEADLINE not in columns:
        return [None] * len(table), []
    deadlines, findings = convert(table, DEADLINE, instant, EXPECTED_TIME + ", or an empty cell", required=False)
    for row, (deadline, submit) in enumerate(zip(deadlines, submits, strict=True)):
        if deadline is not None and submit is not None and deadline <= submit:
            said = f"the deadline {table.columns[DEADLINE][row]} is not after the submit time {table.columns[SUBMIT][row]}"
            findings.append(error(table.where(row), DEADLINE, said, "a later time"))
    return deadlines, findings


def _too_large(table: Table, site: Site, gpus: Sequence[int | None], pools: Sequence[str | None]) -> list[Finding]:
    """Jobs that no pool, or not the pool they name, could ever hold."""
    size = {pool.pool_id: pool.gpus for pool in site.pools}
    largest = max(size.values(), default=0)
    findings: list[Finding] = []
    for row, (wanted, pool) in enumerate(zip(gpus, pools, strict=True)):
        room = largest if pool is None else size[pool]
        if wanted is not None and wanted > room:
            place = "the largest pool" if pool is None else f"pool {pool!r}"
            findings.append(
                error(table.where(row), GPUS, f"the job asks for {wanted} GPUs, {place} has {room}", f"at most {room} GPUs")
            )
    return findings


def _odd(
    table: Table,
    site: Site,
    submits: Sequence[datetime],
    durations: Sequence[float],
    deadlines: Sequence[datetime | None],
    power: Sequence[float | None],
) -> list[Finding]:
    """What is allowed but deserves a word, one warning for each kind of it."""
    findings: list[Finding] = []
    if not len(table):
        return [warning(table.name, "", "the file holds no jobs")]
    tight = [
        row
        for row, (submit, duration, deadline) in enumerate(zip(submits, durations, deadlines, strict=True))
        if deadline is not None and (deadline - submit).total_seconds() < duration
    ]
    findings += _several(table, DEADLINE, tight, "end before the job could, even if it started at once")
    limit_w = POWER_SLACK * max((pool.power.gpu_max_w for pool in site.pools), default=0.0)
    hot = [row for row, draw in enumerate(power) if draw is not None and draw > limit_w]
    findings += _several(table, POWER, hot, "draw more than any GPU of the site can; milliwatt, or the whole node?")
    median_s = float(np.median(durations))
    if median_s > 60.0 * DAY_S:
        findings.append(
            warning(table.name, DURATION, f"the median duration is {median_s:g} s; is the file in milliseconds?", "seconds")
        )
    elif median_s < 10.0:
        findings.append(
            warning(table.name, DURATION, f"the median duration is {median_s:g} s; is the file in hours?", "seconds")
        )
    return findings


def _several(table: Table, column: str, rows: Sequence[int], text: str) -> list[Finding]:
    """One warning for all rows of one kind, at the first of them."""
    return [warning(table.where(rows[0]), column, f"{len(rows)} of {len(table)} jobs {text}")] if rows else []
