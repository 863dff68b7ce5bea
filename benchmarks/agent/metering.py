"""Metered energy against what the library drew, hour by hour of the machine's own time."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from gpu_machine import Machine
from metered_hour import metered_hour

from benchmarks.rows import Row, quantile

MOST_PERCENT = 0.5


def metering_rows(library: Path, folder: Path, *, gpus: int, hours: int, say: Callable[[str], None]) -> list[Row]:
    """Hours of noisy load, each with two resets of the counters and one load of the driver."""
    ctypes.CDLL(str(library))
    percents = []
    for seed in range(hours):
        with tempfile.TemporaryDirectory(dir=folder) as own:
            machine = Machine.create(Path(own), library, gpus=gpus)
            os.environ["FAKE_NVML_STATE"] = str(machine.file)
            percents += [100.0 * one.error_fraction for one in metered_hour(machine, seed)]
        say(f"hour {seed + 1} of {hours}: worst so far {max(percents):.3f} %")
    behind = {"hours": hours, "median %": quantile(percents, 0.5)}
    what = "energy of an hour, 2 counter resets and 1 load of the driver: worst error of a GPU"
    return [Row(key="metering", what=what, value=max(percents), unit="%", at_most=MOST_PERCENT, behind=behind)]
