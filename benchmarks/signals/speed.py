"""Ten years of quarter hours, resampled and stitched, in seconds of the processor."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import numpy as np

from benchmarks.rows import Row
from scheduler.core.signals import Known, series_of, stitched
from scheduler.domain.observed import PRICE, SourceReading
from scheduler.domain.signals import Grade, Told

NOW = datetime(2026, 1, 1, tzinfo=UTC)
YEARS = 10
BACK = timedelta(days=366 * YEARS)
QUARTER_S, HOUR_S = 900, 3600
COUNT = YEARS * 365 * 96
TIMES = 5
AT_MOST_S = 1.0


def told(offset_s: int, slot_s: int, seed: int) -> Told:
    """Ten years up to now of one length of intervals, that many seconds off the quarter hour."""
    count = COUNT * QUARTER_S // slot_s
    starts_s = int(NOW.timestamp()) - COUNT * QUARTER_S + offset_s + np.arange(count, dtype=np.int64) * slot_s
    values = np.random.default_rng(seed).normal(0.1, 0.05, count)
    return Told(
        quantity=PRICE, starts_s=starts_s, ends_s=starts_s + slot_s, values=values, unit="EUR/kWh", grade=Grade.PUBLISHED
    )


CASES = {
    "on the quarter": (told(0, QUARTER_S, 1),),
    "hours, and quarters over them": (told(0, HOUR_S, 2), told(0, QUARTER_S, 3)),
    "five minutes off the quarter": (told(300, QUARTER_S, 4),),
}


def speed_rows() -> list[Row]:
    """One row a way to lie, and one for all of them with stitching."""
    known: dict[str, Known] = {}
    rows, spent_s = list[Row](), 0.0
    for name, pieces in CASES.items():
        took_s = []
        for _ in range(TIMES):
            began_s = time.process_time()
            known[name] = series_of(pieces, NOW, source=name, back=BACK)
            took_s.append(time.process_time() - began_s)
        spent_s += min(took_s)
        rows.append(row(f"resample {name}", f"ten years of intervals resampled: {name}", took_s))
    readings = [reading(name, one) for name, one in known.items()]
    took_s = []
    for _ in range(TIMES):
        began_s = time.process_time()
        stitched(readings)
        took_s.append(time.process_time() - began_s)
    rows.append(row("stitch", "three readings of ten years stitched", took_s))
    whole_s = [spent_s + min(took_s)]
    return [*rows, row("resample and stitch", "all of the above, once each", whole_s)]


def row(key: str, what: str, took_s: list[float]) -> Row:
    """The least of several times: what others do on the machine only adds to it."""
    worst = {"repetitions": len(took_s), "slowest": max(took_s)}
    return Row(key=key, what=what, value=min(took_s), unit="CPU s", at_most=AT_MOST_S, behind=worst)


def reading(name: str, known: Known) -> SourceReading:
    """What a source says, with a hole for the next one."""
    assert known.series is not None
    known.series.values[::7] = np.nan
    return SourceReading(
        quantity=PRICE, series=known.series, issued_utc=None, fetched_utc=NOW, source=name, origins=known.origins
    )
