"""Made-up weather, heat demand, electricity prices and carbon, hour by hour from a seed: the shapes of a northern winter.

Nothing here is a measurement. The parts hang together as they do outside: cold days take more heat, still and cold hours
cost more. With T the outdoor temperature in degrees C, u in [0, 1] the wind power at hand as a share, all hourly:

    T(t)   = 8 - 8.5 cos(2 pi (day of year - 20) / 365.25) + 1.5 sin(2 pi (local hour - 9) / 24) + x_T,
    u(t)   = 1 / (1 + exp(-x_u)),
    x(t)   = a x(t - 1) + s sqrt(1 - a^2) e(t),  e ~ N(0, 1),  a = exp(-1 h / memory),
    need   = load shape(local hour, weekday) + 0.02 max(0, 5 - T) - u   (load that wind does not cover, as a share),
    price  = 25 + 80 need + 900 max(0, need - 0.55)^2                   EUR/MWh,
    carbon = clip(100 + 130 need, 25, 450)                              g/kWh,
    demand ~ (hot water 0.18 + max(0, 17 - mean T of 24 h) / 17) x hour shape x (1 + 3 % noise), scaled to a mean.

Memories are 60 h with s = 3.2 K for weather and 22 h with s = 1.4 for wind: fronts pass in days, wind lulls in a day.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.domain.time import FloatArray, IntArray, Series, TimeGrid
from scheduler.domain.world import WorldSeries
from scheduler.units import H_PER_DAY, KWH_PER_MWH, S_PER_H

SOURCE = "generated"
WEATHER_MEMORY_H, WEATHER_SPREAD_K = 60.0, 3.2
WIND_MEMORY_H, WIND_SPREAD = 22.0, 1.4
HEATING_LIMIT_C, HOT_WATER_FRACTION = 17.0, 0.18
DEMAND_NOISE_FRACTION = 0.03
# Share of the peak load by local hour: a morning and an evening peak over a night valley.
LOAD_OF_HOUR = (
    .58, .55, .53, .52, .53, .58, .70, .82, .88, .87, .85, .84,
    .83, .82, .82, .84, .90, .98, 1.0, .96, .88, .80, .72, .64,
)  # fmt: skip
WEEKEND_LOAD = 0.88
# Heat by local hour over its mean: showers and warm-up in the morning, a smaller evening peak, night setback.
HEAT_OF_HOUR = (
    .86, .85, .85, .87, .94, 1.08, 1.18, 1.17, 1.10, 1.05, 1.02, 1.00,
    .99, .98, .98, .99, 1.03, 1.07, 1.08, 1.06, 1.03, .99, .94, .89,
)  # fmt: skip


def generated_series(grid: TimeGrid, seed: int, time_zone: str, heat_mean_kw: float, mean_over: slice) -> WorldSeries:
    """Series on an hourly grid; the demand's mean over the slots `mean_over` is `heat_mean_kw`.

    Raises:
        ValueError: when the grid is not hourly.
    """
    if grid.slot_s != int(S_PER_H):
        raise ValueError(f"generated series are hourly, not of {grid.slot_s} s")
    hour, weekday, day = local_calendar(grid, time_zone)
    outdoor_c = weather_c(hour, day, np.random.default_rng([seed, 1]))
    need = uncovered_load(hour, weekday, outdoor_c, np.random.default_rng([seed, 2]))
    demand = heat_shape(hour, outdoor_c, np.random.default_rng([seed, 3]))
    price = 25.0 + 80.0 * need + 900.0 * np.maximum(0.0, need - 0.55) ** 2
    return WorldSeries(
        price_eur_per_kwh=on(grid, price / KWH_PER_MWH, "EUR/kWh"),
        carbon_g_per_kwh=on(grid, np.clip(100.0 + 130.0 * need, 25.0, 450.0), "g/kWh"),
        outdoor_c=on(grid, outdoor_c, "degC"),
        heat_demand_kw=on(grid, demand * heat_mean_kw / float(demand[mean_over].mean()), "kW"),
    )


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


def heat_shape(hour: IntArray, outdoor_c: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Heat demand up to a factor: houses answer to the mean of the last 24 hours, people to the hour."""
    window = int(H_PER_DAY)
    padded = np.concatenate([np.full(window - 1, outdoor_c[0]), outdoor_c])
    smooth_c = np.convolve(padded, np.full(window, 1.0 / window), mode="valid")
    warmth = HOT_WATER_FRACTION + np.maximum(0.0, HEATING_LIMIT_C - smooth_c) / HEATING_LIMIT_C
    noise = 1.0 + DEMAND_NOISE_FRACTION * np.clip(rng.normal(size=len(hour)), -3.0, 3.0)
    return np.asarray(warmth * np.asarray(HEAT_OF_HOUR)[hour] * noise)
