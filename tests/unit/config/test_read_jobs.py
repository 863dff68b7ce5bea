"""jobs.csv: what is read, what is refused, and in which words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from config_files import JOBS_HEADER, START, job_lines, write_csv

from scheduler.config.jobs import read_jobs
from scheduler.config.reference import reference_site
from scheduler.domain.errors import Misconfigured
from scheduler.domain.world import JobTruth

SITE = reference_site(gpus=16, gpus_per_node=8, heat_peak_kw=10.0)
FULL = JOBS_HEADER + ",deadline_utc,expected_duration_s,natural_power_w_per_gpu,pool"


def read(tmp_path: Path, lines: list[str], header: str = JOBS_HEADER) -> tuple[tuple[JobTruth, ...], list[str]]:
    jobs, findings = read_jobs(write_csv(tmp_path / "jobs.csv", header, lines), SITE)
    return jobs, [str(finding) for finding in findings]


def refused(tmp_path: Path, lines: list[str], header: str = JOBS_HEADER) -> str:
    with pytest.raises(Misconfigured) as caught:
        read(tmp_path, lines, header)
    return str(caught.value)


def test_every_column(tmp_path: Path) -> None:
    line = "a,2026-01-05T01:00+01:00,7200,4,deferrable,2026-01-06T00:00Z,10800,450,gpu"
    (truth,), told = read(tmp_path, [line], FULL)
    job = truth.job
    assert told == []
    assert (job.job_id, job.class_name, job.gpus, job.submit_utc) == ("a", "deferrable", 4, START)
    assert (truth.duration_s, job.declared_duration_s) == (7200.0, 10800.0)
    assert (job.deadline_utc, job.natural_power_w_per_gpu, job.pool_id) == (datetime(2026, 1, 6, tzinfo=UTC), 450.0, "gpu")


def test_empty_cells_mean_the_class_default(tmp_path: Path) -> None:
    (truth,), _ = read(tmp_path, ["a,2026-01-05T00:00Z,7200,4,preemptible,,,,"], FULL)
    # Nothing is learned from the true run time: the class's default of four hours is declared.
    assert truth.job.declared_duration_s == 14400.0
    assert truth.job.deadline_utc is None
    assert truth.job.pool_id is None


def test_jobs_come_in_the_order_of_their_submit_times(tmp_path: Path) -> None:
    jobs, _ = read(tmp_path, ["b,2026-01-05T02:00Z,60,1,insulated", "a,2026-01-05T01:00Z,60,1,insulated"])
    assert [truth.job.job_id for truth in jobs] == ["a", "b"]


AT = "2026-01-05T00:00Z"
BAD = [
    (f"a,{AT},-5,1,insulated", "duration_s: -5 is not above zero (expected seconds above zero)"),
    (f"a,{AT},0,1,insulated", "duration_s: 0 is not above zero"),
    (f"a,{AT},soon,1,insulated", "duration_s: 'soon' is not a number"),
    (f"a,{AT},,1,insulated", "duration_s: the cell is empty"),
    (f"a,{AT},60,0,insulated", "gpus: 0 is not above zero (expected a whole number of GPUs, at least 1)"),
    (f"a,{AT},60,1.5,insulated", "gpus: 1.5 is not a whole number"),
    (f"a,{AT},60,17,insulated", "gpus: the job asks for 17 GPUs, the largest pool has 16 (expected at most 16 GPUs)"),
    (f"a,{AT},60,1,deferable", "class: 'deferable' is not known, did you mean 'deferrable'? (expected one of def"),
    (f"a,{AT},60,1,", "class: the cell is empty"),
    ("a,2026-01-05,60,1,insulated", "submit_utc: '2026-01-05' has no UTC offset"),
    ("a,yesterday,60,1,insulated", "submit_utc: 'yesterday' is not an ISO 8601 time"),
    ("a,0026-01-05T00:00Z,60,1,insulated", "submit_utc: the year 26 is outside 1970 to 2200"),
    (f",{AT},60,1,insulated", "job_id: the id is empty, too long or not printable"),
    (f"a,{AT},60,1", "4 cells under 5 columns; a line cut short?"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), BAD)
def test_a_job_that_cannot_be(tmp_path: Path, line: str, message: str) -> None:
    assert refused(tmp_path, [line]).startswith(f"jobs.csv:2: {message}")


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        ("2026-01-05T00:00Z,,,", "deadline_utc: the deadline 2026-01-05T00:00Z is not after the submit time"),
        ("2026-01-04T00:00Z,,,", "deadline_utc: the deadline 2026-01-04T00:00Z is not after the submit time"),
        (",-1,,", "expected_duration_s: -1 is not above zero"),
        (",,0,", "natural_power_w_per_gpu: 0 is not above zero"),
        (",,,gpus", "pool: 'gpus' is not known, did you mean 'gpu'? (expected one of gpu)"),
    ],
)
def test_an_optional_cell_that_cannot_be(tmp_path: Path, tail: str, message: str) -> None:
    assert refused(tmp_path, [f"a,{AT},60,1,insulated,{tail}"], FULL).startswith(f"jobs.csv:2: {message}")


def test_an_id_twice(tmp_path: Path) -> None:
    message = refused(tmp_path, [f"a,{AT},60,1,insulated", f"a,{AT},90,1,insulated"])
    assert message == "jobs.csv:3: job_id: 'a' is there twice, first in line 2 (expected each id once)"


def test_all_bad_lines_are_told(tmp_path: Path) -> None:
    message = refused(tmp_path, [f"a{i},{AT},-1,99,none" for i in range(30)])
    assert message.startswith("jobs.csv:2: duration_s: -1 is not above zero")
    assert "89 more:" in message
    assert "... and 69 more" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "jobs.csv: the file is empty"),
        ("job_id,submit_utc,duration,gpus,class\n", "duration_s: the column is missing, did you mean 'duration'?"),
    ],
)
def test_files_that_are_no_jobs(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "jobs.csv").write_text(text, encoding="utf-8")
    with pytest.raises(Misconfigured) as caught:
        read_jobs(tmp_path / "jobs.csv", SITE)
    assert message in str(caught.value)


def test_a_header_alone_is_an_empty_queue_and_is_said(tmp_path: Path) -> None:
    assert read(tmp_path, []) == ((), ["jobs.csv: the file holds no jobs"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"a,{AT},7200,1,insulated,2026-01-05T01:00Z,,,", "deadline_utc: 1 of 1 jobs end before the job could"),
        (f"a,{AT},60000000,1,insulated,,,,", "is the file in milliseconds?"),
        (f"a,{AT},2,1,insulated,,,,", "is the file in hours?"),
        (f"a,{AT},60,1,insulated,,,5600,", "draw more than any GPU of the site can"),
    ],
)
def test_what_is_odd_is_said(tmp_path: Path, line: str, message: str) -> None:
    jobs, told = read(tmp_path, [line], FULL)
    assert len(jobs) == 1
    assert any(message in each for each in told), told


def test_an_unknown_column_is_named(tmp_path: Path) -> None:
    _, told = read(tmp_path, [f"a,{AT},60,1,insulated,x"], JOBS_HEADER + ",deadline")
    assert told == ["jobs.csv:1: deadline: the column is not used, did you mean 'deadline_utc'?"]


def test_a_hundred_thousand_jobs(tmp_path: Path) -> None:
    jobs, told = read(tmp_path, job_lines(100_000))
    assert told == []
    assert len(jobs) == 100_000
    assert jobs[-1].job.submit_utc == START + timedelta(minutes=9999)
