"""Sources that fail while a world runs: what is still told of prices, carbon, weather, demand and plant, and how old it is.

What a source would say is made from the truth here. What of it is believed, what is too old and what becomes the history of a
snapshot is decided where the operator decides it: `core/accounting/told.py: believed` and `loop/snapshot.py: snapshot_of`. A
quantity has one source here, so an outage is that of its whole chain.

What a reading tells reaches back nine weeks: it stands for the source and for what was kept of it. Prices, carbon and weather
are told again by a source that is back; hours of a meter that nobody heard are lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from scheduler.core.accounting.told import believed
from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR, PRICE, Past, SourceReading
from scheduler.domain.snapshot import Freshness, PlantState, Snapshot
from scheduler.domain.time import Series
from scheduler.domain.world import Scenario
from scheduler.loop.snapshot import Seen, snapshot_of
from scheduler.simulate.knowledge import Knowledge, known_part, price_part
from scheduler.simulate.record import PlugRecord, Record

# A plant speaks every few seconds; after so long without a usable word it is stale.
PLANT_MAX_AGE_S = 900.0


class Source(StrEnum):
    """Who can fail."""

    PRICE = "price"
    CARBON = "carbon"
    WEATHER = "weather"
    HEAT = "heat"
    PLANT = "plant"


class OutageKind(StrEnum):
    """How a source fails.

    Silent: it cannot be reached. Frozen: whatever it tells anew is its last value. Nulls: it tells anew that it does not know.
    Nonsense: what it tells anew cannot be.
    """

    SILENT = "silent"
    FROZEN = "frozen"
    NULLS = "nulls"
    NONSENSE = "nonsense"


QUANTITY = {Source.PRICE: PRICE, Source.CARBON: CARBON, Source.WEATHER: OUTDOOR, Source.HEAT: HEAT_DEMAND}
# A price in EUR/MWh taken for EUR/kWh, a carbon intensity below zero, Kelvin for degC, a counter for a power.
NONSENSE = {PRICE: 90.0, CARBON: -1.0, OUTDOOR: 273.0, HEAT_DEMAND: 1e9}
NONSENSE_PLANT = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOutage:
    """One failure of one source between two instants, in seconds from the start of the scenario.

    Silence of the plant is that of the line to it: it does not hear either, and runs by its own rule meanwhile.
    """

    source: Source
    kind: OutageKind
    start_s: float
    end_s: float

    def active(self, now_s: float) -> bool:
        """True while it lasts."""
        return self.start_s <= now_s < self.end_s


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLines:
    """The lines between a world and whoever plans, with their outages."""

    scenario: Scenario
    slot_s: int
    outages: tuple[SourceOutage, ...]

    def carries_setpoints(self, now_s: float) -> bool:
        """False while the plant cannot be reached."""
        return not any(one.kind is OutageKind.SILENT and one.active(now_s) for one in self._of(Source.PLANT))

    def through(self, snapshot: Snapshot, record: Record) -> Snapshot:
        """A snapshot as it is made at the other end of the lines.

        Args:
            snapshot: what is known with every source alive.
            record: what the plant has done; a plant that is frozen repeats it.
        """
        now_utc, now_s = snapshot.observed_utc, self.seconds(snapshot.observed_utc)
        readings = (believed(self.reading(source, now_utc), now_utc)[0] for source in QUANTITY)
        states, plant_s = self._plants(snapshot.plants, record, now_s)
        seen = Seen(
            observed_utc=now_utc,
            sequence=snapshot.sequence,
            jobs=snapshot.jobs,
            jobs_seen_utc=now_utc,
            past=Past(),
            readings=tuple(readings),
            plants=states,
            available_gpus=snapshot.available_gpus,
        )
        made = snapshot_of(self.scenario.site, seen)
        history = replace(
            snapshot.history,
            price=made.history.price,
            carbon=made.history.carbon,
            outdoor=made.history.outdoor,
            heat_demand_kw=made.history.heat_demand_kw,
            captured_kw={name: self._metered(one) for name, one in snapshot.history.captured_kw.items()},
            delivered_kw={name: self._metered(one) for name, one in snapshot.history.delivered_kw.items()},
        )
        plant = Freshness(source=Source.PLANT.value, age_s=now_s - plant_s, max_age_s=PLANT_MAX_AGE_S)
        return replace(snapshot, history=history, plants=made.plants, freshness=(*made.freshness, plant))

    def reading(self, source: Source, now_utc: datetime) -> SourceReading:
        """What one source told last, as it told it."""
        mine = self._of(source)
        now_s = self.seconds(now_utc)
        heard_s = min((one.start_s for one in mine if one.kind is OutageKind.SILENT and one.active(now_s)), default=now_s)
        series = self.told(source, heard_s)
        for outage in mine:
            lost = source is Source.HEAT and outage.start_s < heard_s
            if lost or (outage.kind is not OutageKind.SILENT and outage.active(heard_s)):
                series = self._lied(series, outage, heard_s)
        return SourceReading(
            quantity=QUANTITY[source], series=series, issued_utc=None, fetched_utc=self.at(heard_s), source=source.value
        )

    def told(self, source: Source, at_s: float) -> Series:
        """What a source without an outage has told by an instant."""
        series, at_utc = self.scenario.series, self.at(at_s)
        match source:
            case Source.PRICE:
                return price_part(series.price_eur_per_kwh, at_utc, self.scenario.site.time_zone, Knowledge())
            case Source.CARBON:
                return known_part(series.carbon_g_per_kwh, at_utc, at_utc)
            case Source.WEATHER:
                return known_part(series.outdoor_c, at_utc, at_utc)
            case _:
                return known_part(series.heat_demand_kw, at_utc, at_utc)

    def _lied(self, series: Series, outage: SourceOutage, heard_s: float) -> Series:
        """A series with what was told anew during an outage put wrong."""
        first_utc = self.told(outage.source, outage.start_s).grid.end_utc
        stop_utc = self.told(outage.source, min(outage.end_s, heard_s)).grid.end_utc
        return put_wrong(series, outage.kind, first_utc, stop_utc, NONSENSE[QUANTITY[outage.source]])

    def _metered(self, series: Series) -> Series:
        """What the plant's meters told, without what nobody heard or could believe; a frozen meter repeats itself."""
        for outage in self._of(Source.PLANT):
            series = put_wrong(series, outage.kind, self.at(outage.start_s), self.at(outage.end_s), np.nan)
        return series

    def _plants(self, states: Iterable[PlantState], record: Record, now_s: float) -> tuple[tuple[PlantState, ...], float]:
        """What the plants say of themselves, and when that was last of any use."""
        active = [one for one in self._of(Source.PLANT) if one.active(now_s)]
        if not active:
            return tuple(states), now_s
        outage = min(active, key=lambda one: one.start_s)
        if outage.kind is OutageKind.FROZEN:
            before = int(outage.start_s // self.slot_s) - 1
            return tuple(repeated(one, record.plugs[one.plug_id], before) for one in states), now_s
        if outage.kind is OutageKind.NONSENSE:
            wild = NONSENSE_PLANT
            return tuple(replace(one, tank_level_kwh=wild, heat_pump_heat_kw=wild) for one in states), outage.start_s
        return tuple(PlantState(plug_id=one.plug_id, tank_level_kwh=None) for one in states), outage.start_s

    def _of(self, source: Source) -> tuple[SourceOutage, ...]:
        """Outages of one source."""
        return tuple(one for one in self.outages if one.source is source)

    def seconds(self, at_utc: datetime) -> float:
        """Seconds since the start of the scenario."""
        return (at_utc - self.scenario.start_utc).total_seconds()

    def at(self, at_s: float) -> datetime:
        """The instant so many seconds after the start."""
        return self.scenario.start_utc + timedelta(seconds=at_s)


def put_wrong(series: Series, kind: OutageKind, first_utc: datetime, stop_utc: datetime, nonsense: float) -> Series:
    """A series whose slots that begin in [first, stop) are wrong: silence and nulls leave them unknown."""
    grid = series.grid
    first, stop = (
        min(grid.slots, max(0, -((grid.start_utc - at) // timedelta(seconds=grid.slot_s)))) for at in (first_utc, stop_utc)
    )
    if first >= stop:
        return series
    values = series.values.copy()
    match kind:
        case OutageKind.FROZEN:
            known = np.flatnonzero(np.isfinite(values[:first]))
            values[first:stop] = values[known[-1]] if len(known) else np.nan
        case OutageKind.NONSENSE:
            values[first:stop] = nonsense
        case _:
            values[first:stop] = np.nan
    return replace(series, values=values)


def repeated(state: PlantState, record: PlugRecord, slot: int) -> PlantState:
    """The state of a plug at the end of a slot that is over; before the first one it is what it is now."""
    if slot < 0:
        return state
    return replace(
        state,
        tank_level_kwh=record.tank_kwh[slot],
        heat_pump_on=record.delivered_kw[slot] > 0.0,
        heat_pump_heat_kw=record.delivered_kw[slot],
        sold_kw=record.handed_over_kw[slot],
    )
