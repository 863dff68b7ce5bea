"""What really happens: the scenario's series on the slots of a run, with every hole filled by a stated rule."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from scheduler.core.tariffs.energy import adder_eur_per_kwh, carbon_eur_per_kwh, energy_eur_per_kwh
from scheduler.core.tariffs.heat_sale import heat_price_eur_per_kwh
from scheduler.domain.errors import Misconfigured
from scheduler.domain.site import DemandSource, Offtake
from scheduler.domain.time import FloatArray, Series, TimeGrid
from scheduler.domain.world import Scenario
from scheduler.units import S_PER_DAY

# The tariff may look at the local day before the first slot; two days reach it in every zone.
LOOK_BACK = timedelta(days=2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """Arrays over the slots of `grid`, which reaches from the start of the period to the end of the series.

    energy_eur_per_kwh is the energy part of the price of electricity, adder_eur_per_kwh network and taxes on every kWh,
    carbon_eur_per_kwh the shadow price of carbon. heat_eur_per_kwh and demand_kw by offtake id. `filled` counts slots that
    had no measurement.
    """

    grid: TimeGrid
    energy_eur_per_kwh: FloatArray
    adder_eur_per_kwh: float
    carbon_eur_per_kwh: FloatArray
    carbon_g_per_kwh: FloatArray
    heat_eur_per_kwh: dict[str, FloatArray]
    demand_kw: dict[str, FloatArray]
    filled: int


def truth_of(scenario: Scenario, slot_s: int) -> Truth:
    """Lay a scenario on slots of `slot_s`.

    A missing value takes that of 24 h earlier (of the hour of day's mean where there is none): everybody meets the same.

    Raises:
        Misconfigured: when the series do not reach past the period.
    """
    series, site = scenario.series, scenario.site
    end_utc = series.price_eur_per_kwh.grid.end_utc
    slots = int((end_utc - scenario.start_utc).total_seconds() // slot_s)
    if slots * slot_s < scenario.days * S_PER_DAY:
        raise Misconfigured(
            f"prices end at {end_utc:%Y-%m-%d %H:%M}Z",
            where=f"scenario {scenario.name}",
            expected=f"series over {scenario.days} days from {scenario.start_utc:%Y-%m-%d %H:%M}Z and the drain after them",
        )
    grid = TimeGrid(start_utc=scenario.start_utc, slot_s=slot_s, slots=slots)
    spot, holes = on_slots(series.price_eur_per_kwh, grid)
    carbon, carbon_holes = on_slots(series.carbon_g_per_kwh, grid)
    demand, demand_holes = on_slots(series.heat_demand_kw, grid)
    contract = site.electricity
    return Truth(
        grid=grid,
        energy_eur_per_kwh=energy_eur_per_kwh(contract, grid, site.time_zone, spot),
        adder_eur_per_kwh=adder_eur_per_kwh(contract),
        carbon_eur_per_kwh=carbon_eur_per_kwh(carbon, contract.carbon_price_eur_per_tonne),
        carbon_g_per_kwh=carbon,
        heat_eur_per_kwh={one.offtake_id: heat_price(one, scenario, grid) for one in site.offtakes},
        demand_kw={one.offtake_id: demand_of(one, demand) for one in site.offtakes},
        filled=holes + carbon_holes + demand_holes,
    )


def on_slots(series: Series, grid: TimeGrid) -> tuple[FloatArray, int]:
    """Values on the slots of a grid (step-constant) without NaN, and how many slots had none."""
    complete = filled(series.values, max(1, int(S_PER_DAY) // series.grid.slot_s))
    index = slot_index(series.grid, grid)
    holes = int(np.isnan(series.values[index]).sum())
    return complete[index], holes


def slot_index(source: TimeGrid, grid: TimeGrid) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Index into a coarser or equal source grid for every slot of `grid`; clipped at both ends."""
    offset_s = (grid.start_utc - source.start_utc).total_seconds()
    index = np.floor((offset_s + np.arange(grid.slots) * grid.slot_s) / source.slot_s).astype(np.int64)
    return np.clip(index, 0, max(0, source.slots - 1))


def filled(values: FloatArray, period: int) -> FloatArray:
    """Replace each NaN by the value one `period` earlier, else by the mean of its phase, else of all; zero when all is NaN."""
    out = values.copy()
    for index in np.flatnonzero(np.isnan(values)):
        out[index] = out[index - period] if index >= period else np.nan
    left = np.flatnonzero(np.isnan(out))
    if len(left):
        known = out[np.isfinite(out)]
        fallback = float(known.mean()) if len(known) else 0.0
        for index in left:
            phase = out[index % period :: period]
            phase = phase[np.isfinite(phase)]
            out[index] = float(phase.mean()) if len(phase) else fallback
    return out


def heat_price(offtake: Offtake, scenario: Scenario, grid: TimeGrid) -> FloatArray:
    """Heat price of one offtake per slot; only as much of the outdoor series as its tariff can look at."""
    outdoor = scenario.series.outdoor_c
    first = max(0, outdoor.grid.slot_of(grid.start_utc - LOOK_BACK))
    cut = TimeGrid(start_utc=outdoor.grid.time_of(first), slot_s=outdoor.grid.slot_s, slots=outdoor.grid.slots - first)
    recent = Series(grid=cut, values=outdoor.values[first:], unit=outdoor.unit, source=outdoor.source)
    return heat_price_eur_per_kwh(offtake.tariff, grid, scenario.site.time_zone, recent)


def demand_of(offtake: Offtake, series_kw: FloatArray) -> FloatArray:
    """What an offtake would take: the scenario's series or its constant, never above the contract."""
    measured = offtake.demand_source is not DemandSource.CONSTANT
    demand = series_kw if measured else np.full(len(series_kw), offtake.constant_demand_kw)
    return np.clip(demand, 0.0, offtake.max_heat_kw)
