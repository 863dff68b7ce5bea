"""kill -9 between any two statements of an append: slots, jobs and the memo are there together, or none of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import history_writer
import pytest
from history_writer import BATCHES, KEYS, MEMO, SLOTS, START
from standing_writer import Write, standing

from scheduler.adapters.history.sql import SqlHistory


@pytest.fixture(scope="module")
def write() -> Iterator[Write]:
    """What became of each run of the writer."""
    with standing(history_writer.__file__) as found:
        yield found


def whole_batches(url: str) -> int:
    """How many batches stand; each is whole, and they are a beginning."""
    store = SqlHistory(url)
    past, memo = store.past_now(START), int(store.memo_now(MEMO) or 0)
    store.close()
    assert [job.job_uid for job in past.ended] == [f"job-{number}" for number in range(memo)]
    expected = [float(value) for value in range(SLOTS * memo)]
    assert past.series.keys() == (set(KEYS) if memo else set())
    assert all(series.values.tolist() == expected for series in past.series.values())
    assert all(series.grid.start_utc == START for series in past.series.values())
    return memo


def test_killed_at_moments_between_two_statements(write: Write, tmp_path: Path) -> None:
    empty = tmp_path / "empty.sqlite"
    SqlHistory(str(empty)).close()
    [steps] = write([f"{shutil.copy(empty, tmp_path / 'whole.sqlite')}#"])
    assert whole_batches(str(tmp_path / "whole.sqlite")) == BATCHES
    # Every third, from both sides: before, after and between statements and commits of every batch.
    moments = sorted({*range(1, int(steps) + 1, 3), *range(int(steps), int(steps) - 4, -1)})
    files = [str(shutil.copy(empty, tmp_path / f"{step}.sqlite")) for step in moments]
    assert set(write([f"{file}#{step}" for step, file in zip(moments, files, strict=True)])) == {"killed"}
    stood = [whole_batches(file) for file in files]
    assert stood == sorted(stood)
    assert (stood[0], stood[-1]) == (0, BATCHES)
    # Whoever comes back goes on from the memo, and nothing is there twice (the writer refuses to see it).
    assert "killed" not in write([f"{file}#" for file in files[::8]])
    assert {whole_batches(file) for file in files[::8]} == {BATCHES}


def test_killed_at_moments_on_a_server(write: Write, postgres_url: str) -> None:
    ends: list[str] = []
    stood: list[int] = []
    for start in range(8, 60, 15):
        ends += write([f"{postgres_url}#{step}" for step in range(start, start + 15, 7)])
        stood.append(whole_batches(postgres_url))
    assert ends.count("killed") >= 4
    assert stood == sorted(stood)
    write([f"{postgres_url}#"])
    assert whole_batches(postgres_url) == BATCHES
    store = SqlHistory(postgres_url)
    assert store.past_now(START + timedelta(hours=BATCHES)).series == {}
    store.close()
