"""What is expected to come, made of the snapshot alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from scheduler.domain.snapshot import Band
from scheduler.domain.time import FloatArray, TimeGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """Skill of a forecast: 1 - error / error of the reference, on the recent past (MAE); None when there is too little past."""

    name: str
    mae: float | None
    against_persistence: float | None
    against_hour_of_week: float | None
    against_last_week: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationModel:
    """Learned ratio of real to declared duration by class: `ratio_quantiles[class]` at the probabilities `probabilities`.

    Key "" is the pool of all classes, used when a class has too few finished jobs.
    """

    probabilities: tuple[float, ...]
    ratio_quantiles: dict[str, tuple[float, ...]]
    mean_ratio: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outlook:
    """Forecasts on the planning grid.

    carbon_known: whether any source told of it; else carbon is zero in every slot.
    spot / carbon / outdoor: arrays per slot; `known_price_slots` of them are published prices, and those are
    their own p10 and p90. demand_kw: band per offtake.
    arrival_gpus[class]: expected mean GPUs busy, in each slot, with jobs that are not submitted yet, if they ran at once.
    arrival_draw_w[class]: expected draw per GPU of such jobs. heat_price_eur_per_kwh: tariff per offtake and slot.
    """

    grid: TimeGrid
    spot_eur_per_kwh: FloatArray
    known_price_slots: int
    tail_spot_eur_per_kwh: FloatArray
    carbon_g_per_kwh: FloatArray
    outdoor_c: FloatArray
    demand_kw: dict[str, Band]
    arrival_gpus: dict[str, FloatArray]
    arrival_draw_w: dict[str, float]
    durations: DurationModel
    skills: tuple[Skill, ...] = ()
    degraded: tuple[str, ...] = field(default_factory=tuple)
    spot_p10_eur_per_kwh: FloatArray | None = None
    spot_p90_eur_per_kwh: FloatArray | None = None
    carbon_known: bool = False
