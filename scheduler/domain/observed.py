"""What is kept of the past so that forecasts can be made after a restart, and what outside sources say."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from scheduler.domain.signals import Basis, Grade
from scheduler.domain.snapshot import FinishedJob
from scheduler.domain.time import IntArray, Series
from scheduler.units import S_PER_MIN

# The past is kept in quarter hours, whatever slots a plan has; each begins on the quarter hour in UTC.
QUARTER_S = int(15 * S_PER_MIN)

# What a series can be about; one that exists per pool, plug, offtake or class is followed by its name: "it_kw hall-a".
PRICE, CARBON, OUTDOOR = "price", "carbon", "outdoor"
HEAT_DEMAND, PLANT_FORECAST = "heat_demand", "plant_forecast"
IT_KW, CAPTURED_KW, DELIVERED_KW = "it_kw", "captured_kw", "delivered_kw"
INSULATED_GPUS, ARRIVED_GPU_H = "insulated_gpus", "arrived_gpu_h"

UNITS = {
    PRICE: "EUR/kWh",
    CARBON: "g/kWh",
    OUTDOOR: "degC",
    HEAT_DEMAND: "kW",
    PLANT_FORECAST: "kW",
    IT_KW: "kW",
    CAPTURED_KW: "kW",
    DELIVERED_KW: "kW",
    INSULATED_GPUS: "GPU",
    ARRIVED_GPU_H: "GPU-h",
}


def key_of(quantity: str, name: str = "") -> str:
    """Key of a series: its quantity, and whose it is."""
    return f"{quantity} {name}" if name else quantity


def name_of(quantity: str, key: str) -> str | None:
    """Whose series of `quantity` a key names ("" for everybody's); None when it is about something else."""
    about, _, name = key.partition(" ")
    return name if about == quantity else None


def unit_of(key: str) -> str:
    """Unit of the series of a key; empty for a key that is none of ours."""
    return UNITS.get(key.partition(" ")[0], "")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedJob:
    """A job that has ended, once per uid; `workload` is what its owner calls jobs of this kind."""

    job_uid: str
    ended_utc: datetime
    workload: str
    finished: FinishedJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """What was learned of a job that goes on, at a look: uncapped seconds behind it, its speed since, its natural draw.

    stops: how often it had been stopped by then; after another stop none of its progress holds.
    """

    at_utc: datetime
    work_s: float
    speed: float
    stops: int = 0
    natural_w_per_gpu: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Past:
    """What was observed: series by key on quarter hours (NaN: not known) and ended jobs in order of ending.

    going: by job id what was learned of jobs that have not ended; whoever looks tells it, no store keeps it.
    """

    series: dict[str, Series] = field(default_factory=dict)
    ended: tuple[EndedJob, ...] = ()
    going: dict[str, Going] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who said a value, and what it is; grade None: its source does not tell."""

    source: str
    grade: Grade | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Origins:
    """Who said each slot of a series: `slots`, (slots,), holds places in `parts`, -1 where nothing is known."""

    parts: tuple[Origin, ...] = ()
    slots: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SourceReading:
    """What a source said about one quantity, last.

    issued_utc: when the source made it, None when it does not say. fetched_utc: when it was last there and good. source: who
    said it, by the name its owner gave it; where several did, the one that tells the present. assumed: made by a rule, told by
    nobody: fit to plan on, not to learn from. origins: who said each slot; without parts: `source` said all. basis: of carbon.
    """

    quantity: str
    series: Series
    issued_utc: datetime | None
    fetched_utc: datetime
    source: str
    assumed: bool = False
    origins: Origins = field(default_factory=Origins)
    basis: Basis | None = None
