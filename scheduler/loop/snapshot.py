"""What was observed becomes the snapshot that `decide` reads: kept slots, what sources say, jobs, plants. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.core.accounting.past import KEPT, joined, laid, on_quarters, over, since, until
from scheduler.core.accounting.told import MAX_AGE_S, believed_plant, freshness_of
from scheduler.core.forecast.calendar import floor_hour
from scheduler.core.tariffs.gates import local_instant
from scheduler.domain.contract import EnergyPriceKind
from scheduler.domain.job import JobState
from scheduler.domain.observed import (
    ARRIVED_GPU_H,
    CAPTURED_KW,
    CARBON,
    DELIVERED_KW,
    HEAT_DEMAND,
    INSULATED_GPUS,
    IT_KW,
    OUTDOOR,
    PLANT_FORECAST,
    PRICE,
    QUARTER_S,
    Past,
    SourceReading,
    key_of,
    name_of,
    unit_of,
)
from scheduler.domain.site import DemandSource, Offtake, Site
from scheduler.domain.snapshot import Commitment, Freshness, History, PlantState, Snapshot, TakeLimit
from scheduler.domain.time import FloatArray, Series, TimeGrid

JOBS_MAX_AGE_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """Everything that was observed by `observed_utc`; readings are believed ones, at most one per quantity.

    jobs_seen_utc: when the whole list of jobs was last known to be complete; None: never. intake_ends_utc as in `Snapshot`.
    """

    observed_utc: datetime
    sequence: int
    jobs: tuple[JobState, ...]
    jobs_seen_utc: datetime | None
    past: Past
    readings: tuple[SourceReading, ...]
    plants: tuple[PlantState, ...]
    available_gpus: dict[str, int]
    commitments: tuple[Commitment, ...] = ()
    intake_ends_utc: datetime | None = None
    take_limits: tuple[TakeLimit, ...] = ()


def snapshot_of(site: Site, seen: Seen, max_age_s: Mapping[str, float] = MAX_AGE_S) -> Snapshot:
    """The snapshot of one instant.

    Args:
        site: whose plugs, offtakes and classes the history is of.
        seen: what was observed; nothing later than its instant counts as past.
        max_age_s: by quantity, how long after its last word a source is stale.
    """
    told = {reading.quantity: reading for reading in seen.readings}
    plugs = {plug.plug_id: plug for plug in site.plugs}
    return Snapshot(
        observed_utc=seen.observed_utc,
        sequence=seen.sequence,
        jobs=seen.jobs,
        history=history_of(site, seen, told),
        plants=tuple(believed_plant(plugs[state.plug_id], state) for state in seen.plants if state.plug_id in plugs),
        available_gpus=dict(seen.available_gpus),
        commitments=seen.commitments,
        take_limits=seen.take_limits,
        plant_forecast_kw=plant_forecasts(site, told),
        freshness=freshness(site, seen, told, max_age_s),
        peak_kw=peak_kw(site, seen),
        intake_ends_utc=seen.intake_ends_utc,
    )


def history_of(site: Site, seen: Seen, told: Mapping[str, SourceReading]) -> History:
    """The past of nine weeks; prices as far as they are published and the weather as far as it is forecast."""
    now_utc, kept = seen.observed_utc, seen.past.series
    demand = {one.offtake_id: demand_kw(one, seen, told) for one in site.offtakes if measured(one)}
    insulated = kept.get(INSULATED_GPUS)
    return History(
        price=signal(PRICE, seen, told),
        carbon=until(signal(CARBON, seen, told), now_utc),
        outdoor=signal(OUTDOOR, seen, told),
        heat_demand_kw={name: series for name, series in demand.items() if series is not None},
        captured_kw=named(CAPTURED_KW, kept, (plug.plug_id for plug in site.plugs), now_utc),
        delivered_kw=named(DELIVERED_KW, kept, (plug.plug_id for plug in site.plugs), now_utc),
        insulated_gpus=None if insulated is None else passed(insulated, now_utc),
        arrived_gpu_h=named(ARRIVED_GPU_H, kept, (one.name for one in site.classes), now_utc),
        finished=tuple(job.finished for job in seen.past.ended if job.ended_utc <= now_utc),
    )


def passed(series: Series, now_utc: datetime) -> Series:
    """The slots of the last nine weeks that are over."""
    return since(until(series, now_utc), now_utc - KEPT)


def named(quantity: str, kept: Mapping[str, Series], names: Iterable[str], now_utc: datetime) -> dict[str, Series]:
    """Kept series of a quantity by whose they are."""
    found = {name: kept.get(key_of(quantity, name)) for name in names}
    return {name: passed(series, now_utc) for name, series in found.items() if series is not None}


def signal(quantity: str, seen: Seen, told: Mapping[str, SourceReading]) -> Series:
    """What a source says, over what was kept; without any slot when neither is there."""
    found = stitched(seen.past.series.get(quantity), told.get(quantity), seen.observed_utc)
    if found is not None:
        return found
    grid = TimeGrid(start_utc=floor_hour(seen.observed_utc), slot_s=QUARTER_S, slots=0)
    return Series(grid=grid, values=np.empty(0), unit=unit_of(quantity), source="nobody")


def stitched(kept: Series | None, reading: SourceReading | None, now_utc: datetime) -> Series | None:
    """One series of the last nine weeks and what lies ahead.

    The source wins where it speaks, since it may have revised what it said; what a rule assumes only fills. Without kept slots
    the source's series stays on its own grid.
    """
    since_utc = now_utc - KEPT
    old = None if kept is None else passed(kept, now_utc)
    if reading is None:
        return old
    new = since(reading.series, since_utc)
    if old is None:
        return new
    if reading.assumed:
        return over(old, on_quarters(new))
    return over(on_quarters(new), old) if adds(old, new) else new


def adds(old: Series, new: Series) -> bool:
    """True when kept slots tell anything that the source does not."""
    fine = on_quarters(new)
    if not fine.grid.slots:
        return True
    grid = joined(old.grid, fine.grid)
    return bool(np.any(np.isfinite(laid(old, grid)) & ~np.isfinite(laid(fine, grid))))


def measured(offtake: Offtake) -> bool:
    """True when the demand of a customer is measured rather than stated."""
    return offtake.demand_source is not DemandSource.CONSTANT


def demand_kw(offtake: Offtake, seen: Seen, told: Mapping[str, SourceReading]) -> Series | None:
    """Measured demand of one customer: his own, else that of everybody; None when nobody measures."""
    own = key_of(HEAT_DEMAND, offtake.offtake_id)
    reading, kept = told.get(own) or told.get(HEAT_DEMAND), seen.past.series
    found = stitched(kept.get(own, kept.get(HEAT_DEMAND)), reading, seen.observed_utc)
    return None if found is None else until(found, seen.observed_utc)


def plant_forecasts(site: Site, told: Mapping[str, SourceReading]) -> dict[str, Series]:
    """What the plant itself expects, by offtake; it counts from when it was made, or else heard."""
    found: dict[str, Series] = {}
    for offtake in site.offtakes:
        reading = told.get(key_of(PLANT_FORECAST, offtake.offtake_id))
        if reading is not None:
            found[offtake.offtake_id] = replace(reading.series, issued_utc=reading.issued_utc or reading.fetched_utc)
    return found


def freshness(
    site: Site, seen: Seen, told: Mapping[str, SourceReading], max_age_s: Mapping[str, float]
) -> tuple[Freshness, ...]:
    """Age of the jobs, of the price where the contract follows it, of measured demand, and of what else has spoken."""
    now_utc = seen.observed_utc
    ages = [freshness_of("jobs", seen.jobs_seen_utc, now_utc, JOBS_MAX_AGE_S)]
    for quantity in (PRICE, CARBON, OUTDOOR):
        reading = told.get(quantity)
        needed = quantity == PRICE and site.electricity.kind is EnergyPriceKind.SPOT
        if reading is not None or needed:
            heard_utc = None if reading is None else reading.fetched_utc
            ages.append(freshness_of(quantity, heard_utc, now_utc, max_age_s[quantity]))
    demand = [demand_heard_utc(one, seen, told) for one in site.offtakes if measured(one)]
    if demand:
        known = [at for at in demand if at is not None]
        oldest = min(known) if len(known) == len(demand) else None
        ages.append(freshness_of(HEAT_DEMAND, oldest, now_utc, max_age_s[HEAT_DEMAND]))
    return tuple(ages)


def demand_heard_utc(offtake: Offtake, seen: Seen, told: Mapping[str, SourceReading]) -> datetime | None:
    """When demand of a customer was last heard: from a source, or as the end of the last metered slot."""
    own = key_of(HEAT_DEMAND, offtake.offtake_id)
    reading = told.get(own) or told.get(HEAT_DEMAND)
    heard = [] if reading is None else [reading.fetched_utc]
    kept = seen.past.series.get(own)
    if kept is not None and reading is None:
        over = until(kept, seen.observed_utc)
        known = np.flatnonzero(np.isfinite(over.values))
        heard += [over.grid.time_of(int(known[-1]) + 1)] if len(known) else []
    return max(heard, default=None)


def peak_kw(site: Site, seen: Seen) -> float:
    """Largest power of the site in a slot of the local month so far, overheads included, in kW; 0 when nothing was metered."""
    zone = ZoneInfo(site.time_zone)
    month_utc = local_instant(seen.observed_utc.astimezone(zone).date().replace(day=1), time(), zone)
    pools = [
        since(until(series, seen.observed_utc), month_utc)
        for key, series in seen.past.series.items()
        if name_of(IT_KW, key) is not None
    ]
    total = sum_kw([series for series in pools if series.grid.slots])
    known = total[np.isfinite(total)]
    return float(known.max()) * (1.0 + site.overhead_fraction_of_it) if len(known) else 0.0


def sum_kw(pools: list[Series]) -> FloatArray:
    """Power of all pools by slot; not known where one pool is not."""
    if not pools:
        return np.empty(0)
    grid = pools[0].grid
    for series in pools[1:]:
        grid = joined(grid, series.grid)
    return np.asarray(np.sum([laid(series, grid) for series in pools], axis=0))
