"""A process that appends to a history, and can be made to die between any two statements; run by `test_history_kill`.

    echo URL#STEP | python history_writer.py

For each line a child is forked that appends batch after batch from where its memo says it was, and ends. With a STEP it is
killed (SIGKILL, by itself) at that moment between statements, counted from 1. Prints for each how many such moments the child
went through, or "killed".
"""

from __future__ import annotations

import os
from datetime import timedelta

import numpy as np
from ledger_writer import Steps, lived
from standing_writer import serve

from scheduler.adapters.history.sql import SqlHistory
from scheduler.adapters.ledger import sql
from scheduler.domain.observed import EndedJob, Past
from scheduler.domain.snapshot import FinishedJob
from scheduler.domain.time import Series, TimeGrid, utc

START = utc("2026-01-14T10:00:00+00:00")
KEYS, BATCHES, SLOTS = ("it_kw north", "it_kw south"), 3, 4
MEMO = "batches"


def batch_of(number: int) -> Past:
    """One hour of two pools, and a job that ended in it."""
    start = START + timedelta(hours=number)
    grid = TimeGrid(start_utc=start, slot_s=900, slots=SLOTS)
    values = SLOTS * number + np.arange(SLOTS, dtype=np.float64)
    finished = FinishedJob(
        class_name="batch", declared_duration_s=60.0, real_duration_s=50.0, gpus=1, natural_power_w_per_gpu=400.0
    )
    return Past(
        series={key: Series(grid=grid, values=values, unit="kW", source="meter") for key in KEYS},
        ended=(EndedJob(job_uid=f"job-{number}", ended_utc=start, workload="w", finished=finished),),
    )


def write(url: str) -> None:
    """Append what is not there yet; the memo says how far the last one came."""
    store = SqlHistory(url)
    for number in range(int(store.memo_now(MEMO) or 0), BATCHES):
        if store.append_now(batch_of(number), {MEMO: str(number + 1)}) != len(KEYS) * SLOTS + 1:
            raise RuntimeError("a batch was there without its memo")
    store.close()


def what_becomes_of(told: str) -> str:
    """See above."""
    url, _, step = told.rpartition("#")
    read, pipe = os.pipe()

    def work() -> None:
        steps = Steps(int(step) if step else None)
        engine_for = sql.engine_for
        sql.engine_for = lambda url: steps.watch(engine_for(url))
        write(url)
        os.write(pipe, str(steps.taken).encode())

    alive = lived(work, None)
    os.close(pipe)
    taken = os.read(read, 100).decode()
    os.close(read)
    return taken if alive else "killed"


if __name__ == "__main__":
    serve(what_becomes_of)
