"""A replayable world: series, jobs with their true durations, and the site they meet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from scheduler.domain.job import Job
from scheduler.domain.site import Site
from scheduler.domain.time import Series


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorldSeries:
    """What really happened, on one grid (hourly or 15 min): EUR/kWh, g/kWh, degC, thermal kW; NaN where not known."""

    price_eur_per_kwh: Series
    carbon_g_per_kwh: Series
    outdoor_c: Series
    heat_demand_kw: Series


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTruth:
    """A job and how long it really runs uncapped (hidden from every planner until it ends)."""

    job: Job
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenario:
    """Input of a backtest: jobs are submitted in [start, start + days); the run goes on until all have drained."""

    name: str
    start_utc: datetime
    days: int
    site: Site
    series: WorldSeries
    jobs: tuple[JobTruth, ...]
