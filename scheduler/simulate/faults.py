"""What goes wrong in a virtual world: lost GPUs and plants, blind or lying sensors, a solver that hangs.

Everything is stated in advance and by time, so that a run with faults replays like any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from scheduler.domain.snapshot import Freshness, Snapshot
from scheduler.domain.time import FloatArray, Series, TimeGrid
from scheduler.simulate.outages import SourceOutage
from scheduler.units import S_PER_DAY, S_PER_H


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """GPUs of a pool that are lost from `start_s` until `end_s`; jobs that no longer fit are killed, the youngest first."""

    pool_id: str
    start_s: float
    end_s: float
    gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A window in which a plug delivers at most `available_kw`, which nobody was told before."""

    plug_id: str
    start_s: float
    end_s: float
    available_kw: float = 0.0


class SensorFaultKind(StrEnum):
    """How an input can lie or fall silent."""

    STALE_PRICE = "stalePrice"
    MISSING_DEMAND = "missingDemand"
    NAN_OUTDOOR = "nanOutdoor"
    NAN_DEMAND = "nanDemand"
    FROZEN_DEMAND = "frozenDemand"
    NO_TANK_LEVEL = "noTankLevel"
    STALE_JOBS = "staleJobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorFault:
    """One fault of an input between two instants."""

    kind: SensorFaultKind
    start_s: float
    end_s: float

    def active(self, now_s: float) -> bool:
        """True while it lasts."""
        return self.start_s <= now_s < self.end_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """The solver gives no answer for cycles that begin in [start, end); the hard limit of the loop ends it."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbances:
    """All that goes wrong in one run; `power_noise_fraction` spreads natural draw around what is declared."""

    failures: tuple[Failure, ...] = ()
    outages: tuple[Outage, ...] = ()
    sensors: tuple[SensorFault, ...] = ()
    sources: tuple[SourceOutage, ...] = ()
    hangs: tuple[Hang, ...] = ()
    power_noise_fraction: float = 0.0
    seed: int = 0


def disturbed(snapshot: Snapshot, faults: Iterable[SensorFault], now_s: float) -> Snapshot:
    """A snapshot as it is seen through the faults that are active now."""
    seen = snapshot
    for fault in faults:
        if fault.active(now_s):
            seen = _apply(seen, fault, now_s)
    return seen


def _apply(seen: Snapshot, fault: SensorFault, now_s: float) -> Snapshot:
    """One fault."""
    history, since_s = seen.history, now_s - fault.start_s
    match fault.kind:
        case SensorFaultKind.STALE_PRICE:
            aged = aged_source(seen, "price", since_s + S_PER_DAY)
            return replace(aged, history=replace(history, price=cut(history.price, since_s, seen)))
        case SensorFaultKind.MISSING_DEMAND:
            return aged_source(replace(seen, history=replace(history, heat_demand_kw={})), "heat_demand", None)
        case SensorFaultKind.NAN_OUTDOOR:
            return replace(seen, history=replace(history, outdoor=silent(history.outdoor, since_s)))
        case SensorFaultKind.NAN_DEMAND:
            demand = {name: silent(one, since_s) for name, one in history.heat_demand_kw.items()}
            return replace(seen, history=replace(history, heat_demand_kw=demand))
        case SensorFaultKind.FROZEN_DEMAND:
            demand = {name: frozen(one, since_s) for name, one in history.heat_demand_kw.items()}
            return replace(seen, history=replace(history, heat_demand_kw=demand))
        case SensorFaultKind.NO_TANK_LEVEL:
            return replace(seen, plants=tuple(replace(one, tank_level_kwh=None) for one in seen.plants))
        case SensorFaultKind.STALE_JOBS:
            return aged_source(seen, "jobs", since_s + S_PER_H)


def aged_source(seen: Snapshot, source: str, age_s: float | None) -> Snapshot:
    """A snapshot in which one source is older than it may be (None: it never spoke)."""
    others = tuple(one for one in seen.freshness if one.source != source)
    return replace(seen, freshness=(*others, Freshness(source=source, age_s=age_s, max_age_s=900.0)))


def cut(series: Series, since_s: float, seen: Snapshot) -> Series:
    """A series that ends where the fault began."""
    grid = series.grid
    begun = seen.observed_utc.timestamp() - since_s
    slots = min(grid.slots, max(0, int((begun - grid.start_utc.timestamp()) // grid.slot_s)))
    shorter = TimeGrid(start_utc=grid.start_utc, slot_s=grid.slot_s, slots=slots)
    return replace(series, grid=shorter, values=series.values[:slots])


def tail(series: Series, since_s: float) -> int:
    """Index of the first value that was measured after the fault began."""
    return max(0, series.grid.slots - int(since_s // series.grid.slot_s))


def silent(series: Series, since_s: float) -> Series:
    """A sensor that says nothing since the fault began."""
    values: FloatArray = series.values.copy()
    values[tail(series, since_s) :] = np.nan
    return replace(series, values=values)


def frozen(series: Series, since_s: float) -> Series:
    """A sensor that repeats its last value since the fault began."""
    values: FloatArray = series.values.copy()
    first = tail(series, since_s)
    if 0 < first < len(values):
        values[first:] = values[first - 1]
    return replace(series, values=values)
