"""Small files of every kind for the reader tests, written by hand or from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

SERIES_HEADER = "start_utc,price_eur_per_mwh,carbon_g_per_kwh,outdoor_c,heat_demand_kw"
JOBS_HEADER = "job_id,submit_utc,duration_s,gpus,class"
START = datetime(2026, 1, 5, tzinfo=UTC)


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def series_lines(rows: int, step_min: int = 60, start: datetime = START, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    price = rng.uniform(20.0, 90.0, rows).round(2)
    return [f"{stamp(start + timedelta(minutes=step_min * i))},{price[i]},{100 + i},{i % 24},{50 + i % 7}" for i in range(rows)]


def write_csv(path: Path, header: str, lines: Sequence[str]) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def job_lines(rows: int, seed: int = 0, max_gpus: int = 8) -> list[str]:
    rng = np.random.default_rng(seed)
    names = ("insulated", "deferrable", "preemptible")
    seconds = rng.integers(600, 86400, rows)
    gpus = rng.integers(1, max_gpus + 1, rows)
    return [f"job-{i},{stamp(START + timedelta(minutes=i % 10000))},{seconds[i]},{gpus[i]},{names[i % 3]}" for i in range(rows)]
