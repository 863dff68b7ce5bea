"""A tiny scenario as files, and the command line run in this process: what the tests of the commands share."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from typer.testing import CliRunner, Result

from scheduler.domain.time import TimeGrid, utc
from scheduler.entrypoints.cli import app
from scheduler.simulate.generate_series import generated_series
from scheduler.units import eur_per_mwh_from_eur_per_kwh

REFERENCE = Path(__file__).parents[1] / "examples" / "reference"
START = utc("2026-01-11T23:00:00+00:00")
GPUS, BEFORE_H, PERIOD_H, AFTER_H = 16, 15 * 24, 24, 3 * 24
CLASSES = ("insulated", "deferrable", "preemptible")


def run(*arguments: str | Path) -> Result:
    """`heat-dispatch` with these arguments."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def scenario_folder(folder: Path) -> Path:
    """A day of sixteen GPUs and nine short jobs, with two weeks of history and three days to drain."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "series.csv").write_text(series_csv(), encoding="utf-8")
    (folder / "jobs.csv").write_text(jobs_csv(), encoding="utf-8")
    parameters = {
        "name": "tiny", "start_utc": stamp(START), "days": 1, "time_zone": "Europe/Copenhagen", "gpus": GPUS,
        "gpus_per_node": 8, "gpu_model": "H100-SXM", "heat_peak_kw": 7.0,
    }  # fmt: skip
    (folder / "scenario.json").write_text(json.dumps(parameters), encoding="utf-8")
    return folder


def stamp(at: datetime) -> str:
    """UTC with a Z."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def series_csv(hours: int = BEFORE_H + PERIOD_H + AFTER_H) -> str:
    """Hourly series from fifteen days before the start."""
    grid = TimeGrid(start_utc=START - timedelta(hours=BEFORE_H), slot_s=3600, slots=hours)
    made = generated_series(grid, 3, "Europe/Copenhagen", 0.34 * GPUS, slice(0, grid.slots))
    lines = ["start_utc,price_eur_per_mwh,carbon_g_per_kwh,outdoor_c,heat_demand_kw"]
    columns = (made.price_eur_per_kwh, made.carbon_g_per_kwh, made.outdoor_c, made.heat_demand_kw)
    for slot in range(grid.slots):
        price, carbon, outdoor, demand = (float(one.values[slot]) for one in columns)
        price = eur_per_mwh_from_eur_per_kwh(price)
        lines.append(f"{stamp(grid.time_of(slot))},{price:.2f},{carbon:.1f},{outdoor:.1f},{demand:.2f}")
    return "\n".join(lines) + "\n"


def jobs_csv() -> str:
    """Nine jobs of one to three hours and one to eight GPUs."""
    rng = np.random.default_rng(7)
    lines = ["job_id,submit_utc,duration_s,gpus,class,deadline_utc,expected_duration_s,natural_power_w_per_gpu"]
    for index in range(9):
        submit = START + timedelta(minutes=140 * index)
        duration = int(rng.integers(3600, 10800))
        gpus = (1, 2, 4, 8)[index % 4]
        name = CLASSES[index % 3]
        deadline = "" if name == "insulated" else stamp(submit + timedelta(seconds=2 * duration, hours=12))
        lines.append(f"job-{index},{stamp(submit)},{duration},{gpus},{name},{deadline},{2 * duration},600")
    return "\n".join(lines) + "\n"
