"""A running operator's past over restarts, with stores that are away, broken memories and clocks that jump."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from small_world import small_site

from scheduler.adapters.history.memory import MemoryHistory
from scheduler.adapters.history.sql import SqlHistory
from scheduler.adapters.record.codec import decode, encode
from scheduler.core.accounting.observed import Sample
from scheduler.core.accounting.observing import JobLook, Look, LookRules, Memory
from scheduler.domain.errors import Permanent, Retryable
from scheduler.domain.job import Job, JobPhase, JobState
from scheduler.domain.observed import PRICE, Past, SourceReading
from scheduler.domain.time import Series, TimeGrid, utc
from scheduler.loop.remember import Remembering
from scheduler.ports import HistoryStore

T = TypeVar("T")
START = utc("2026-01-14T10:00:00+00:00")
SITE = small_site()
IT = "it_kw pool-0"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def keeper(store: HistoryStore) -> Remembering:
    return Remembering(
        store,
        LookRules(),
        write=lambda memory: json.dumps(encode(Memory, memory)),
        read=lambda text: decode(Memory, json.loads(text)),
    )


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def job(second: float) -> JobLook:
    declared = Job(job_id="j", class_name="deferrable", gpus=8, submit_utc=at(100), declared_duration_s=3600.0)
    state = JobState(job=declared, phase=JobPhase.RUNNING, started_utc=at(100), run_s=second - 100, work_done_s=second - 100)
    return JobLook(job_uid="uid", workload="train", state=state, started_utc=at(100))


def look(second: float) -> Look:
    samples = (Sample(key=IT, at_utc=at(second), value=7.0),)
    return Look(now_utc=at(second), jobs=(job(second),) if second >= 100 else (), samples=samples)


def watch(one: Remembering, first_s: int, last_s: int) -> None:
    for second in range(first_s, last_s + 1, 60):
        run(one.look(SITE, look(second)))


@dataclass(slots=True)
class Moody:
    """A store that fails when it is told to, around one that does not."""

    inner: MemoryHistory = field(default_factory=MemoryHistory)
    fails: Exception | None = None
    appends: int = 0
    pruned: list[datetime] = field(default_factory=list)

    def _maybe(self) -> None:
        if self.fails is not None:
            raise self.fails

    async def append(self, past: Past, memos: Mapping[str, str] | None = None) -> int:
        self._maybe()
        self.appends += 1
        return await self.inner.append(past, memos)

    async def past(self, since_utc: datetime, *, max_ended: int = 3000) -> Past:
        self._maybe()
        return await self.inner.past(since_utc, max_ended=max_ended)

    async def memo(self, name: str) -> str | None:
        return await self.inner.memo(name)

    async def prune(self, before_utc: datetime) -> int:
        self.pruned.append(before_utc)
        return await self.inner.prune(before_utc)


def kept_slots(store: HistoryStore) -> list[float]:
    found = run(store.past(START - timedelta(days=1))).series.get(IT)
    return [] if found is None else found.values.tolist()


def test_a_restart_goes_on_in_the_middle_of_a_slot(tmp_path: Path) -> None:
    store = SqlHistory(str(tmp_path / "ledger.sqlite"))
    first = keeper(store)
    watch(first, -300, 400)
    run(first.flush(at(400)))
    second = keeper(store)
    watch(second, 460, 1080)
    assert second.past().series[IT].values.tolist() == kept_slots(store) == [7.0]
    # Submitted at 100 s, before the restart, counted once: 8 GPUs for an hour.
    assert second.past().series["arrived_gpu_h deferrable"].values.tolist() == [8.0]
    [state] = run(second.look(SITE, look(1100)))
    assert state.work_done_s == 1000.0
    store.close()


def test_a_crash_loses_at_most_what_was_seen_since_the_last_memory() -> None:
    store = Moody()
    watch(keeper(store), -300, 500)
    # Killed at 500 s: the memory of 420 s holds its value until 600 s.
    again = keeper(store)
    watch(again, 580, 1080)
    assert kept_slots(store) == [7.0]
    assert again.past().series["arrived_gpu_h deferrable"].values.tolist() == [8.0]


def test_the_slot_that_is_just_over_is_seen_before_it_is_settled() -> None:
    one = keeper(Moody())
    watch(one, -300, 900)
    assert one.past().series["arrived_gpu_h deferrable"].values.tolist() == [8.0]
    assert one.past().series[IT].values.tolist() == [7.0]


def test_a_store_that_is_away_is_caught_up_with() -> None:
    store = Moody()
    one = keeper(store)
    watch(one, -300, 600)
    store.fails = Retryable("history: the disk is full")
    watch(one, 660, 2800)
    assert one.trouble == "history: the disk is full"
    assert one.past().series[IT].values.tolist() == [7.0] * 3
    assert kept_slots(store.inner) == []
    store.fails = None
    watch(one, 2860, 2920)
    assert one.trouble == ""
    assert kept_slots(store) == [7.0] * 3
    assert run(store.inner.past(START)).series["arrived_gpu_h deferrable"].values.tolist() == [8.0, 0.0, 0.0]


def test_a_store_that_is_away_at_the_start_is_loaded_later() -> None:
    store = Moody()
    watch(keeper(store), -300, 1000)
    assert kept_slots(store) == [7.0]
    store.fails = Retryable("away")
    one = keeper(store)
    watch(one, 2700, 3700)
    assert one.trouble == "away"
    store.fails = None
    watch(one, 3760, 3820)
    # Down from 1000 to 2700: one known slot before, two not known, one after.
    assert np.array_equal(one.past().series[IT].values, [7.0, np.nan, np.nan, 7.0], equal_nan=True)
    assert np.array_equal(kept_slots(store), [7.0, np.nan, np.nan, 7.0], equal_nan=True)
    assert one.trouble == ""


def test_what_can_never_be_kept_is_said_and_does_not_stand_in_the_way() -> None:
    store = Moody()
    one = keeper(store)
    watch(one, -300, 0)
    store.fails = Permanent("refused")
    watch(one, 60, 1000)
    assert one.trouble == "refused"
    store.fails = None
    watch(one, 1060, 1900)
    assert one.trouble == ""
    assert one.past().series[IT].values.tolist() == [7.0, 7.0]
    assert kept_slots(store) == [7.0]


@pytest.mark.parametrize("text", ["no json", "{}", '{"meters": 5}', '{"unheard": {}}'])
def test_a_memory_of_another_version_begins_anew_and_the_past_stays(text: str) -> None:
    store = Moody()
    watch(keeper(store), -300, 1000)
    run(store.inner.append(Past(), {"observing": text}))
    one = keeper(store)
    run(one.look(SITE, look(1060)))
    assert ("begins anew" in one.trouble) == (text != "{}")
    assert one.past().series[IT].values.tolist() == [7.0]
    watch(one, 1120, 1240)
    assert one.trouble == ""


def test_what_sources_say_is_kept_as_it_passes() -> None:
    store = Moody()
    one = keeper(store)
    grid = TimeGrid(start_utc=START - timedelta(days=5), slot_s=3600, slots=24 * 7)
    price = Series(grid=grid, values=np.arange(24.0 * 7), unit="EUR/kWh", source="feed")
    told = SourceReading(quantity=PRICE, series=price, issued_utc=START, fetched_utc=START, source="feed")
    run(one.look(SITE, look(0), (told,)))
    found = run(store.inner.past(START - timedelta(days=9))).series[PRICE]
    # Three days back, up to now.
    assert found.grid.start_utc == START - timedelta(days=3)
    assert found.grid.end_utc == START
    assert found.values[-1] == 24.0 * 5 - 1


def test_it_writes_when_something_was_told_and_every_other_minute() -> None:
    store = Moody()
    one = keeper(store)
    for second in range(0, 600, 10):
        run(one.look(SITE, look(second)))
    assert store.appends == 5


def test_it_forgets_once_a_day_and_never_by_a_clock_that_has_just_jumped() -> None:
    store = Moody()
    one = keeper(store)
    for hours in range(0, 60, 6):
        run(one.look(SITE, look(hours * 3600)))
    days = [START + timedelta(days=day - 63) for day in (1, 2)]
    assert store.pruned == days
    run(one.look(SITE, look(20 * 366 * 86_400)))
    run(one.look(SITE, look(60 * 3600)))
    assert store.pruned == days
