"""kill -9 between any two statements, or at any time: nothing that was booked is lost, nothing is doubled (design 4.7)."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import ledger_writer
import numpy as np
import pytest
from ledger_writer import BATCHES, PLUGS, START, cycle, entries_of
from sqlalchemy import inspect, text
from standing_writer import Write, standing

from scheduler.adapters.ledger.sql import SqlLedger, engine_for, ledger_url
from scheduler.core.accounting.slots import gaps, latest_revisions
from scheduler.domain.time import utc

BATCH_OF = {entry.entry_id: batch for batch in range(BATCHES) for entry in entries_of(batch)}
SIZES = Counter(BATCH_OF.values())
END = START + timedelta(hours=BATCHES)


@pytest.fixture(scope="module")
def write() -> Iterator[Write]:
    """What became of each run of the writer."""
    with standing(ledger_writer.__file__) as found:
        yield found


def rows(url: str) -> tuple[list[str], list[str]]:
    """Ids of entries and cycles as they stand in the tables, looked at from outside, repeats included."""
    engine = engine_for(ledger_url(url))
    try:
        if not inspect(engine).has_table("ledger_entry"):
            return [], []
        with engine.begin() as connection:
            entries = connection.scalars(text("SELECT entry_id FROM ledger_entry")).all()
            cycles = connection.scalars(text("SELECT cycle_id FROM ledger_cycle")).all()
            return [str(one) for one in entries], [str(one) for one in cycles]
    finally:
        engine.dispose()


def check_whole_batches(url: str) -> tuple[int, int]:
    """A batch is there whole or not at all, and what is there is a beginning; returns how many batches and cycles stand."""
    entries, cycles = rows(url)
    found = Counter(BATCH_OF[one] for one in entries)
    assert len(set(entries)) == len(entries)
    assert found == {batch: SIZES[batch] for batch in range(len(found))}
    assert sorted(cycles) == [cycle(number).cycle_id for number in range(len(cycles))]
    # A cycle is booked after the slots of its hour, and before those of the next.
    assert len(cycles) <= len(found) <= len(cycles) + 1
    return len(found), len(cycles)


def check_complete(url: str) -> None:
    """Everything is there once, with the right numbers, without a gap."""
    assert check_whole_batches(url) == (BATCHES, BATCHES)
    ledger = SqlLedger(url)
    for plug in PLUGS:
        expected = [entry for batch in range(BATCHES) for entry in entries_of(batch) if entry.plug_id == plug]
        found = ledger.entries_now(plug, START, END)
        assert found == latest_revisions(expected)
        assert gaps(found, START, END) == ()
    assert ledger.cycles_now(START, END + timedelta(days=1)) == tuple(cycle(batch) for batch in range(BATCHES))
    ledger.close()


def test_the_pencil_agrees_on_what_is_booked() -> None:
    # 4 hours of 4 slots for 2 plugs, and a correction per plug in every second hour: 32 + 2 * 2 = 36 entries.
    assert len(BATCH_OF) == 36
    assert utc("2026-01-14T14:00:00+00:00") == END


def test_killed_at_every_moment_between_two_statements(write: Write, tmp_path: Path) -> None:
    empty = tmp_path / "empty.sqlite"
    SqlLedger(str(empty)).close()
    [steps] = write([f"{shutil.copy(empty, tmp_path / 'whole.sqlite')}#"])
    files = [str(shutil.copy(empty, tmp_path / f"{step}.sqlite")) for step in range(1, int(steps) + 1)]
    assert set(write([f"{file}#{step}" for step, file in enumerate(files, start=1)])) == {"killed"}
    stood = [check_whole_batches(file) for file in files]
    # The later the kill, the more is there: nothing that was once committed is lost.
    assert stood == sorted(stood)
    assert stood[0] == (0, 0)
    assert stood[-1] == (BATCHES, BATCHES)
    assert "killed" not in write([f"{file}#" for file in files[::6]])
    for file in files[::6]:
        assert check_whole_batches(file) == (BATCHES, BATCHES)
    check_complete(files[30])


def test_killed_while_the_tables_are_made(write: Write, tmp_path: Path) -> None:
    file, other = str(tmp_path / "ledger.sqlite"), str(tmp_path / "other.sqlite")
    SqlLedger(other).close()
    with_tables, without = (int(steps) for steps in write([f"{tmp_path / 'fresh.sqlite'}#", f"{other}#"]))
    making = range(1, with_tables - without, 2)
    assert len(making) >= 10
    assert set(write([f"{file}#{step}" for step in making])) == {"killed"}
    assert rows(file) == ([], [])
    write([f"{file}#"])
    check_complete(file)


@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again(write: Write, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    file = str(tmp_path / "ledger.sqlite")
    ends = write([f"{file}#{step}" for step in rng.integers(1, 120, 12)] + [f"{file}#"])
    assert ends[-1] != "killed"
    check_complete(file)


def test_killed_at_any_time(write: Write, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    files = [str(tmp_path / f"{number}.sqlite") for number in range(10)]
    ends = write([f"{file}#~{wait_s:.4f}" for file, wait_s in zip(files, rng.uniform(0.001, 0.12, 10), strict=True)])
    assert "killed" in ends
    for file in files:
        check_whole_batches(file)
    write([f"{file}#" for file in files])
    for file in files:
        assert check_whole_batches(file) == (BATCHES, BATCHES)
    check_complete(files[0])


def test_killed_at_many_moments_on_a_server(write: Write, postgres_url: str) -> None:
    ends: list[str] = []
    stood: list[tuple[int, int]] = []
    for start in range(1, 121, 20):
        ends += write([f"{postgres_url}#{step}" for step in range(start, start + 20, 6)])
        stood.append(check_whole_batches(postgres_url))
    assert ends.count("killed") >= 7
    assert stood == sorted(stood)
    write([f"{postgres_url}#"])
    check_complete(postgres_url)
