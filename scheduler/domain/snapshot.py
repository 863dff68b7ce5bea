"""What was seen at one instant: the only input of a decision besides the site and the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from scheduler.domain.job import JobState
from scheduler.domain.time import FloatArray, Series


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantState:
    """Heat plant side of one plug; None is "not known". metered_kw: at the hand-off, of all its customers together."""

    plug_id: str
    tank_level_kwh: float | None
    heat_pump_on: bool = False
    heat_pump_heat_kw: float = 0.0
    sold_kw: float = 0.0
    available_heat_kw: float | None = None
    metered_kw: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """Firm heat of one offtake for one delivery interval, binding since `gate_utc`."""

    offtake_id: str
    start_utc: datetime
    end_utc: datetime
    firm_kw: float
    delivered_kwh: float = 0.0
    gate_utc: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeLimit:
    """A customer said that he takes at most `heat_kw` from `start_utc` until `end_utc` (None: until he is heard again)."""

    offtake_id: str
    start_utc: datetime
    end_utc: datetime | None
    heat_kw: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedJob:
    """One finished job, the material of learned durations: real (uncapped) seconds against declared ones."""

    class_name: str
    declared_duration_s: float
    real_duration_s: float
    gpus: int
    natural_power_w_per_gpu: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """Measured past for the forecasts, on quarter hours or hours up to `observed_utc`; NaN is "not known".

    Keys of `heat_demand_kw` are offtake ids, of `captured_kw` and `deliverable_kw` plug ids.
    `insulated_gpus` is the mean number of GPUs busy with insulated work, `arrived_gpu_h` the declared GPU-hours submitted in
    each slot by class, `arrived_jobs` their count.
    """

    price: Series
    carbon: Series
    outdoor: Series
    heat_demand_kw: dict[str, Series] = field(default_factory=dict)
    captured_kw: dict[str, Series] = field(default_factory=dict)
    delivered_kw: dict[str, Series] = field(default_factory=dict)
    insulated_gpus: Series | None = None
    arrived_gpu_h: dict[str, Series] = field(default_factory=dict)
    finished: tuple[FinishedJob, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Age of one source: None means it never spoke."""

    source: str
    age_s: float | None
    max_age_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """Everything seen at `observed_utc`. `history.price` may reach into the future: the published day ahead.

    `plant_forecast_kw` is the plant's own demand forecast by offtake (wins when fresh); `available_gpus` is what each pool
    has now (failures taken off). `sequence` counts snapshots of this operator. `intake_ends_utc`: from here on no new work is
    taken, as everybody knows (a planned closing, the end of a backtest's window); None: no end in sight. `take_limits`: what
    customers said that they take at most, whatever their demand is forecast to be.
    """

    observed_utc: datetime
    sequence: int
    jobs: tuple[JobState, ...]
    history: History
    plants: tuple[PlantState, ...]
    available_gpus: dict[str, int]
    commitments: tuple[Commitment, ...] = ()
    plant_forecast_kw: dict[str, Series] = field(default_factory=dict)
    freshness: tuple[Freshness, ...] = ()
    peak_kw: float = 0.0
    intake_ends_utc: datetime | None = None
    take_limits: tuple[TakeLimit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Band:
    """Median with its 10 % and 90 % quantiles, arrays over the same slots."""

    p10: FloatArray
    p50: FloatArray
    p90: FloatArray

    def __post_init__(self) -> None:
        """Quantiles must not cross."""
        if np.any(self.p10 > self.p50 + 1e-9) or np.any(self.p50 > self.p90 + 1e-9):
            raise ValueError("Band: p10 <= p50 <= p90 must hold in every slot")
