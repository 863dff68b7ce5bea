"""Made-up weather, heat demand, electricity prices and carbon, hour by hour from a seed: the shapes of a northern winter.

Nothing here is a measurement. The parts hang together as they do outside: cold days take more heat, still and cold hours
cost more. With T the outdoor temperature in degrees C, u in [0, 1] the wind power at hand as a share, all hourly:

    T(t)   = 8 - 8.5 cos(2 pi (day of year - 20) / 365.25) + 1.5 sin(2 pi (local hour - 9) / 24) + x_T,
    u(t)   = 1 / (1 + exp(-x_u)),
    x(t)   = a x(t - 1) + s sqrt(1 - a^2) e(t),  e ~ N(0, 1),  a = exp(-1 h / memory),
    need   = load shape(local hour, weekday) + 0.02 max(0, 5 - T) - u   (load that wind does not cover, as a share),
    price  = 25 + 80 need + 900 max(0, need - 0.55)^2                   EUR/MWh,
    carbon = clip(100 + 130 need, 25, 450)                              g/kWh.

Heat demand has a shape of its own for each kind of sink (`generate_demand`), scaled here. Memories are 60 h with s = 3.2 K for
weather and 22 h with s = 1.4 for wind: fronts pass in days, wind lulls in a day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.domain.site import SinkKind
from scheduler.domain.time import FloatArray, IntArray, Series, TimeGrid
from scheduler.domain.world import WorldSeries
from scheduler.simulate.generate_demand import Hours, demand_shape
from scheduler.units import H_PER_DAY, KWH_PER_MWH, S_PER_H

SOURCE = "generated"
WEATHER_MEMORY_H, WEATHER_SPREAD_K = 60.0, 3.2
WIND_MEMORY_H, WIND_SPREAD = 22.0, 1.4
# Share of the peak load by local hour: a morning and an evening peak over a night valley.
LOAD_OF_HOUR = (
    .58, .55, .53, .52, .53, .58, .70, .82, .88, .87, .85, .84,
    .83, .82, .82, .84, .90, .98, 1.0, .96, .88, .80, .72, .64,
)  # fmt: skip
WEEKEND_LOAD = 0.88


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """Numbers of a made-up world on an hourly grid: EUR/kWh, g/kWh, degC, and heat demand up to a factor."""

    grid: TimeGrid
    price_eur_per_kwh: FloatArray
    carbon_g_per_kwh: FloatArray
    outdoor_c: FloatArray
    demand: FloatArray

    def series(self, kw_of_one: float, most_kw: float = np.inf) -> WorldSeries:
        """As series, with the demand times a factor and not above what the customer can take."""
        return WorldSeries(
            price_eur_per_kwh=on(self.grid, self.price_eur_per_kwh, "EUR/kWh"),
            carbon_g_per_kwh=on(self.grid, self.carbon_g_per_kwh, "g/kWh"),
            outdoor_c=on(self.grid, self.outdoor_c, "degC"),
            heat_demand_kw=on(self.grid, np.minimum(self.demand * kw_of_one, most_kw), "kW"),
        )


def made(grid: TimeGrid, seed: int, time_zone: str, sink: SinkKind = SinkKind.DISTRICT_HEATING) -> Made:
    """A world on an hourly grid, its heat demand in the shape of a sink.

    Raises:
        ValueError: when the grid is not hourly.
    """
    if grid.slot_s != int(S_PER_H):
        raise ValueError(f"generated series are hourly, not of {grid.slot_s} s")
    hour, weekday, day = local_calendar(grid, time_zone)
    outdoor_c = weather_c(hour, day, np.random.default_rng([seed, 1]))
    need = uncovered_load(hour, weekday, outdoor_c, np.random.default_rng([seed, 2]))
    hours = Hours(hour=hour, weekday=weekday, day=day, outdoor_c=outdoor_c)
    return Made(
        grid=grid,
        price_eur_per_kwh=(25.0 + 80.0 * need + 900.0 * np.maximum(0.0, need - 0.55) ** 2) / KWH_PER_MWH,
        carbon_g_per_kwh=np.clip(100.0 + 130.0 * need, 25.0, 450.0),
        outdoor_c=outdoor_c,
        demand=demand_shape(sink, hours, np.random.default_rng([seed, 3])),
    )


def generated_series(grid: TimeGrid, seed: int, time_zone: str, heat_mean_kw: float, mean_over: slice) -> WorldSeries:
    """Series on an hourly grid with the demand of a heat network, whose mean over the slots `mean_over` is `heat_mean_kw`.

    Raises:
        ValueError: when the grid is not hourly.
    """
    found = made(grid, seed, time_zone)
    return found.series(heat_mean_kw / float(found.demand[mean_over].mean()))


def on(grid: TimeGrid, values: FloatArray, unit: str) -> Series:
    """Values as a series, rounded as a file would hold them."""
    return Series(grid=grid, values=np.round(values, 5), unit=unit, source=SOURCE)


def local_calendar(grid: TimeGrid, time_zone: str) -> tuple[IntArray, IntArray, IntArray]:
    """Local hour (0 to 23), ISO weekday (1 = Monday) and day of the year of each slot."""
    zone = ZoneInfo(time_zone)
    local = [grid.time_of(slot).astimezone(zone) for slot in range(grid.slots)]
    return (
        column([at.hour for at in local]),
        column([at.isoweekday() for at in local]),
        column([day_of_year(at) for at in local]),
    )


def day_of_year(at: datetime) -> int:
    """1 on the first of January."""
    return at.timetuple().tm_yday


def column(values: list[int]) -> IntArray:
    """Whole numbers as an array."""
    return np.asarray(values, dtype=np.int64)


def wander(slots: int, memory_h: float, spread: float, rng: np.random.Generator) -> FloatArray:
    """A stationary first-order process: standard deviation `spread`, correlation 1/e after `memory_h` hours."""
    keep = float(np.exp(-1.0 / memory_h))
    shocks = rng.normal(0.0, spread * np.sqrt(1.0 - keep**2), slots)
    shocks[:1] = rng.normal(0.0, spread, min(1, slots))
    out = np.empty(slots)
    level = 0.0
    for slot, shock in enumerate(shocks):
        level = keep * level + shock
        out[slot] = level
    return out


def weather_c(hour: IntArray, day: IntArray, rng: np.random.Generator) -> FloatArray:
    """Outdoor temperature: season, time of day and fronts that pass."""
    season = 8.0 - 8.5 * np.cos(2.0 * np.pi * (day - 20) / 365.25)
    daily = 1.5 * np.sin(2.0 * np.pi * (hour - 9) / H_PER_DAY)
    return np.asarray(season + daily + wander(len(hour), WEATHER_MEMORY_H, WEATHER_SPREAD_K, rng))


def uncovered_load(hour: IntArray, weekday: IntArray, outdoor_c: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Load that wind does not cover, as a share of the peak load; below zero when the wind blows more than is needed."""
    load = np.asarray(LOAD_OF_HOUR)[hour] * np.where(weekday >= 6, WEEKEND_LOAD, 1.0)
    wind = 1.0 / (1.0 + np.exp(-wander(len(hour), WIND_MEMORY_H, WIND_SPREAD, rng)))
    return np.asarray(load + 0.02 * np.maximum(0.0, 5.0 - outdoor_c) - wind)
