"""What every history promises, asked of each: in memory, in an SQLite file, in PostgreSQL."""

from __future__ import annotations

import asyncio
import math
import threading
import tracemalloc
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.adapters.history.memory import MemoryHistory
from scheduler.adapters.history.sql import SqlHistory
from scheduler.adapters.ledger.sql import SqlLedger
from scheduler.domain.errors import Misconfigured, Permanent, Retryable
from scheduler.domain.observed import EndedJob, Past
from scheduler.domain.snapshot import FinishedJob
from scheduler.domain.time import Series, TimeGrid, utc
from scheduler.ports import HistoryStore

T = TypeVar("T")
START = utc("2026-01-14T10:00:00+00:00")
NAN = float("nan")
KEY, OTHER = "it_kw hall", "price"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def at(slot: float) -> datetime:
    return START + timedelta(seconds=900 * slot)


def series(values: list[float], slot: int = 0, issued: datetime | None = None) -> Series:
    grid = TimeGrid(start_utc=at(slot), slot_s=900, slots=len(values))
    return Series(grid=grid, values=np.asarray(values, dtype=np.float64), unit="kW", source="meter", issued_utc=issued)


def one(values: list[float], slot: int = 0, key: str = KEY, issued: datetime | None = None) -> Past:
    return Past(series={key: series(values, slot, issued)})


def on_grid(start_utc: datetime, slot_s: int) -> Series:
    grid = TimeGrid(start_utc=start_utc, slot_s=slot_s, slots=1)
    return Series(grid=grid, values=np.ones(1), unit="kW", source="meter")


def ended(uid: str, slot: float = 0.0, **changes: Any) -> EndedJob:
    finished = FinishedJob(
        class_name="batch", declared_duration_s=7200.0, real_duration_s=0.1 + 0.2, gpus=8, natural_power_w_per_gpu=512.25
    )
    return EndedJob(job_uid=uid, ended_utc=at(slot), workload="train ü", finished=replace(finished, **changes))


def kept(store: HistoryStore, key: str = KEY, since: datetime = START) -> tuple[datetime, list[float]] | None:
    found = run(store.past(since)).series.get(key)
    return None if found is None else (found.grid.start_utc, found.values.tolist())


def same(found: tuple[datetime, list[float]] | None, slot: int, values: list[float]) -> bool:
    return found is not None and found[0] == at(slot) and np.array_equal(found[1], values, equal_nan=True)


@pytest.fixture
def store(place: str) -> Iterator[HistoryStore]:
    if not place:
        yield MemoryHistory()
        return
    found = SqlHistory(place)
    yield found
    found.close()


def test_what_was_appended_is_there_to_the_last_bit(store: HistoryStore) -> None:
    values = [0.1 + 0.2, 0.0, -1e-300, 1e300]
    jobs = (ended("a"), ended("b", 0.001, natural_power_w_per_gpu=400.0))
    assert run(store.append(Past(series={KEY: series(values)}, ended=jobs))) == 6
    assert same(kept(store), 0, values)
    past = run(store.past(START))
    assert past.ended == jobs
    assert past.series[KEY].unit == "kW"
    assert past.ended[0].ended_utc.utcoffset() == timedelta(0)


def test_an_empty_history_and_an_empty_append(store: HistoryStore) -> None:
    assert run(store.append(Past())) == 0
    past = run(store.past(START))
    assert (past.series, past.ended, run(store.memo("x"))) == ({}, (), None)
    assert run(store.prune(START)) == 0


def test_what_is_not_known_is_not_kept_and_can_still_be_learned(store: HistoryStore) -> None:
    assert run(store.append(one([NAN, 1.0, NAN, 2.0, NAN]))) == 2
    assert same(kept(store), 1, [1.0, NAN, 2.0])
    assert run(store.append(one([7.0, 8.0, 9.0]))) == 2
    assert same(kept(store), 0, [7.0, 1.0, 9.0, 2.0])
    assert run(store.append(one([NAN], key="nothing"))) == 0
    assert kept(store, "nothing") is None


def test_a_repeat_changes_nothing_and_the_first_word_stands(store: HistoryStore) -> None:
    past = Past(series={KEY: series([1.0, 2.0])}, ended=(ended("a"),))
    assert run(store.append(past)) == 3
    assert run(store.append(past)) == 0
    assert run(store.append(Past(series={KEY: series([5.0, 5.0, 5.0])}, ended=(ended("a", 9, gpus=1),)))) == 1
    assert same(kept(store), 0, [1.0, 2.0, 5.0])
    assert run(store.past(START)).ended == (ended("a"),)


def test_a_later_issue_revises_and_an_earlier_one_does_not(store: HistoryStore) -> None:
    run(store.append(one([1.0, 1.0, 1.0], key=OTHER, issued=at(0))))
    assert run(store.append(one([2.0, NAN], key=OTHER, issued=at(2)))) == 1
    assert same(kept(store, OTHER), 0, [2.0, 1.0, 1.0])
    # Older than the first slot's word, newer than the others'.
    assert run(store.append(one([3.0, 3.0], key=OTHER, issued=at(1)))) == 1
    assert run(store.append(one([4.0, 4.0, 4.0], key=OTHER))) == 0
    assert same(kept(store, OTHER), 0, [2.0, 3.0, 1.0])
    assert run(store.past(START)).series[OTHER].issued_utc == at(2)


def test_the_same_value_told_again_later_is_no_revision(store: HistoryStore) -> None:
    run(store.append(one([1.0, 2.0], key=OTHER, issued=at(0))))
    assert run(store.append(one([1.0, 3.0], key=OTHER, issued=at(2)))) == 1
    # The first slot still has its first issue: what comes from between revises it.
    assert run(store.append(one([9.0, 9.0], key=OTHER, issued=at(1)))) == 1
    assert same(kept(store, OTHER), 0, [9.0, 3.0])


def test_a_measured_slot_can_be_revised_by_one_who_says_when(store: HistoryStore) -> None:
    run(store.append(one([1.0])))
    assert run(store.append(one([2.0], issued=at(1)))) == 1
    assert same(kept(store), 0, [2.0])


def test_of_equal_jobs_in_one_batch_the_first_counts(store: HistoryStore) -> None:
    assert run(store.append(Past(ended=(ended("a"), ended("a", 1, gpus=99))))) == 1
    assert run(store.past(START)).ended == (ended("a"),)


def test_since_an_instant_and_the_latest_jobs_in_order(store: HistoryStore) -> None:
    jobs = tuple(ended(name, slot) for name, slot in (("d", 3), ("b", 1), ("c", 2), ("a", 2)))
    run(store.append(Past(series={KEY: series([1.0, 2.0, 3.0])}, ended=jobs)))
    assert same(kept(store, since=at(1)), 1, [2.0, 3.0])
    assert same(kept(store, since=at(0.5)), 1, [2.0, 3.0])
    assert kept(store, since=at(3)) is None
    assert [job.job_uid for job in run(store.past(at(2))).ended] == ["a", "c", "d"]
    assert [job.job_uid for job in run(store.past(START, max_ended=2)).ended] == ["c", "d"]


def test_slots_of_a_clock_that_was_years_ahead_take_no_room(store: HistoryStore) -> None:
    run(store.append(one([1.0, 2.0])))
    run(store.append(one([9.0], slot=96 * 366 * 10)))
    assert same(kept(store), 0, [1.0, 2.0])


def test_a_draw_that_is_not_known_stays_not_known(store: HistoryStore) -> None:
    run(store.append(Past(ended=(ended("a", natural_power_w_per_gpu=NAN),))))
    [found] = run(store.past(START)).ended
    assert math.isnan(found.finished.natural_power_w_per_gpu)
    assert replace(found, finished=replace(found.finished, natural_power_w_per_gpu=512.25)) == ended("a")


def test_a_memo_is_the_last_one_and_comes_with_its_append(store: HistoryStore) -> None:
    run(store.append(Past(), {"state": "one", "other": "ü"}))
    run(store.append(Past(), {"state": "two"}))
    assert (run(store.memo("state")), run(store.memo("other"))) == ("two", "ü")
    with pytest.raises(Permanent):
        run(store.append(Past(series={KEY: series([math.inf])}), {"state": "three"}))
    assert run(store.memo("state")) == "two"


def test_pruning_forgets_what_is_before_and_nothing_else(store: HistoryStore) -> None:
    run(store.append(Past(series={KEY: series([1.0, 2.0, 3.0]), OTHER: series([4.0])}, ended=(ended("a"), ended("b", 2)))))
    run(store.append(Past(), {"state": "kept"}))
    # Two slots of the one, the only one of the other, one job.
    assert run(store.prune(at(2))) == 4
    assert same(kept(store), 2, [3.0])
    past = run(store.past(START))
    assert past.series.keys() == {KEY}
    assert [job.job_uid for job in past.ended] == ["b"]
    assert run(store.memo("state")) == "kept"
    assert run(store.append(one([1.0]))) == 1


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (Past(series={KEY: on_grid(START, 3600)}), "not on quarter hours"),
        (Past(series={KEY: on_grid(START + timedelta(minutes=7), 900)}), "not on quarter hours"),
        (one([math.inf]), "infinite"),
        (Past(ended=(ended("x", real_duration_s=NAN),)), "job x: its duration"),
        (Past(ended=(replace(ended("x"), ended_utc=START.replace(tzinfo=None)),)), "no time zone"),
    ],
    ids=["hours", "off the quarter", "infinite", "duration", "zone"],
)
def test_what_cannot_be_kept_is_refused_with_its_whole_batch(store: HistoryStore, wrong: Past, why: str) -> None:
    good = {OTHER: series([1.0])}
    with pytest.raises(Permanent, match=why):
        run(store.append(Past(series=good | wrong.series, ended=(ended("good"), *wrong.ended))))
    assert run(store.past(START - timedelta(days=1))).series == {}
    assert run(store.past(START - timedelta(days=1))).ended == ()


def test_an_instant_is_an_instant_in_any_zone(store: HistoryStore) -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    run(store.append(Past(series={KEY: series([1.0, 2.0])}, ended=(replace(ended("a"), ended_utc=START.astimezone(there)),))))
    past = run(store.past(START.astimezone(there)))
    assert past.ended[0].ended_utc == START
    assert same(kept(store, since=at(1).astimezone(there)), 1, [2.0])


def test_quarters_over_a_change_of_clocks(store: HistoryStore) -> None:
    # 2025-10-26 has 25 local hours in Copenhagen: 100 quarters between the two local midnights.
    midnight = utc("2025-10-26T00:00:00+02:00")
    grid = TimeGrid(start_utc=midnight, slot_s=900, slots=100)
    day = Series(grid=grid, values=np.arange(100.0), unit="kW", source="meter")
    assert run(store.append(Past(series={KEY: day}))) == 100
    found = run(store.past(midnight)).series[KEY]
    assert found.values.tolist() == day.values.tolist()
    assert found.grid.end_utc == utc("2025-10-27T00:00:00+01:00")


def test_many_jobs_at_once(store: HistoryStore) -> None:
    jobs = tuple(ended(f"u{number:05d}", number / 10) for number in range(1700))
    assert run(store.append(Past(ended=jobs))) == 1700
    assert run(store.append(Past(ended=(*jobs, ended("new", 200))))) == 1
    assert len(run(store.past(START)).ended) == 1701


APPENDS = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.lists(st.sampled_from([NAN, 0.0, 1.5, 2.5, -3.0]), min_size=1, max_size=6),
        st.sampled_from([None, 0, 1, 2]),
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(appends=APPENDS, since=st.integers(0, 12))
def test_memory_and_sql_agree(appends: list[tuple[int, list[float], int | None]], since: int, tmp_path: Path) -> None:
    path = tmp_path / "agree.sqlite"
    path.unlink(missing_ok=True)
    memory, sql = MemoryHistory(), SqlHistory(str(path), inline=True)
    for slot, values, issue in appends:
        past = one(values, slot, issued=None if issue is None else at(issue))
        assert run(memory.append(past)) == sql.append_now(past)
    mine, theirs = run(memory.past(at(since))).series, sql.past_now(at(since)).series
    assert mine.keys() == theirs.keys()
    for key, found in mine.items():
        assert found.grid == theirs[key].grid
        assert np.array_equal(found.values, theirs[key].values, equal_nan=True)
        assert found.issued_utc == theirs[key].issued_utc
    assert run(memory.prune(at(since))) == sql.prune_now(at(since))
    sql.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])  # the server's rows are read by the same lines, and written slowly
def test_two_months_of_twenty_series_take_little_room(kind: str, tmp_path: Path) -> None:
    store = MemoryHistory() if kind == "memory" else SqlHistory(str(tmp_path / "history.sqlite"))
    # 60 days * 96 quarters * 20 series of 8 bytes are 0.92 MB; read row by row as objects they would be 20 times that.
    rng = np.random.default_rng(0)
    keys = [f"it_kw pool-{number}" for number in range(20)]
    run(store.append(Past(series={key: series(rng.random(60 * 96).tolist()) for key in keys})))
    tracemalloc.start()
    past = run(store.past(START))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(series.grid.slots for series in past.series.values()) == 115_200
    assert held < 2_500_000
    assert peak < 8_000_000
    if isinstance(store, SqlHistory):
        store.close()


# What only a database has to answer for.


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "ledger.sqlite")
    return str(request.getfixturevalue("postgres_url"))


def test_a_history_is_there_when_it_is_opened_again_beside_the_ledger(url: str) -> None:
    ledger = SqlLedger(url)
    first = SqlHistory(url)
    run(first.append(one([1.0]), {"state": "text"}))
    first.close()
    second = SqlHistory(url)
    assert same(kept(second), 0, [1.0])
    assert run(second.memo("state")) == "text"
    assert run(ledger.entries("plug", START, at(1))) == ()
    second.close()
    ledger.close()


def test_writers_that_race_write_every_slot_once(url: str) -> None:
    stores = [SqlHistory(url) for _ in range(4)]
    counts, failed, barrier = list[int](), list[BaseException](), threading.Barrier(4)

    def go(store: SqlHistory, slot: int) -> None:
        barrier.wait()
        try:
            counts.append(
                store.append_now(Past(series={KEY: series([1.0] * 6, slot)}, ended=(ended("same"),)), {"m": str(slot)})
            )
        except BaseException as error:  # handed to the test
            failed.append(error)

    threads = [threading.Thread(target=go, args=pair) for pair in zip(stores, (0, 3, 0, 5), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    # Slots 0 to 10 and one job.
    assert sum(counts) == 12
    assert same(kept(stores[0]), 0, [1.0] * 11)
    for store in stores:
        store.close()


def test_in_the_calling_thread_nothing_waits(tmp_path: Path) -> None:
    store = SqlHistory(str(tmp_path / "ledger.sqlite"), inline=True)
    with pytest.raises(StopIteration) as done:
        store.append(one([1.0])).send(None)
    assert done.value.value == 1
    store.close()


def test_a_locked_database_is_worth_another_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.adapters.ledger.sql.BUSY_TIMEOUT_S", 0.05)
    first, second = SqlHistory(str(tmp_path / "ledger.sqlite")), SqlHistory(str(tmp_path / "ledger.sqlite"))
    with first._transaction(), pytest.raises(Retryable, match="locked"):
        second.append_now(one([1.0]))
    assert second.append_now(one([1.0])) == 1
    first.close()
    second.close()


@pytest.mark.parametrize(("where", "why"), [("mysql://root@localhost/x", "mysql is not supported"), ("sqlite://", "forgotten")])
def test_a_place_that_keeps_nothing_is_refused(where: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        SqlHistory(where)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database, " * 200, encoding="utf-8")
    with pytest.raises(Misconfigured, match="not a database"):
        SqlHistory(str(path))
