"""Made-up heat demand of the sinks a plug may serve, hour by hour: shapes only, scaled by whoever asks.

With T24 the mean outdoor temperature of the last 24 hours in degrees C, h the local hour, all of them times 1 + 3 % noise:

    network, building, process, captive = (0.18 + max(0, 17 - T24) / 17) x shape of the hour
    pool       = 0.6 a(h) / 0.75 + 0.15 open(h) + 0.25 max(0, 28 - T24) / 20
    digester   = feed(h) (38 - F) / 23 + 0.62 (38 - T24) / 28,  F = max(4, mean T of 7 days)
    greenhouse = max(U (21 - T - 24 s) / 30, pipe(h)) - own(s),  not below zero

- network: houses answer to the mean of a day, people to the hour, a share of 18 % is hot water;
- pool: an indoor bath. Evaporation goes with the activity a: 0.75 while it is open and 0.52 while the water lies still, as
  metered in two Norwegian baths (E3S Web of Conferences, 2022: 0.7 to 0.8 and 0.50 to 0.57; ASHRAE recommends 1.0 and 0.5).
  What evaporation, showers with fresh water, and the hall share are assumptions of this module;
- digester: mesophilic, 38 degrees C. Feed of 15 degrees C has to be warmed, and 62 % of that is added for losses (a planning
  rule found in studies of farm digesters), here at 10 degrees C outdoors. Fed every four hours through an exchanger that
  spreads it: one and a half times the mean for two hours, half of it for two;
- greenhouse: s is the sine of the sun's height times a sky that lets half of it through, 24 K what the noon sun of a clear day
  warms; at night screens take 20 % off U. From two hours before dawn to two hours after it a pipe of 15 % runs against
  wet leaves, in summer too; while the sun is up the grower's own boiler makes CO2 and 10 % of the heat. The numbers
  are assumptions that give a night and a winter peak and little in summer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from scheduler.domain.site import SinkKind
from scheduler.domain.time import FloatArray, IntArray
from scheduler.units import H_PER_DAY

DAY_H, WEEK_H = int(H_PER_DAY), 7 * int(H_PER_DAY)
NOISE_FRACTION = 0.03
HEATING_LIMIT_C, HOT_WATER_FRACTION = 17.0, 0.18
# Heat by local hour over its mean: showers and warm-up in the morning, a smaller evening peak, night setback.
HEAT_OF_HOUR = (
    .86, .85, .85, .87, .94, 1.08, 1.18, 1.17, 1.10, 1.05, 1.02, 1.00,
    .99, .98, .98, .99, 1.03, 1.07, 1.08, 1.06, 1.03, .99, .94, .89,
)  # fmt: skip
POOL_OPENS_H, POOL_CLOSES_H, POOL_WEEKEND_OPENS_H, POOL_WEEKEND_CLOSES_H = 7, 21, 9, 19
ACTIVITY_OPEN, ACTIVITY_STILL = 0.75, 0.52
HALL_C, DIGESTER_C, COLDEST_FEED_C = 28.0, 38.0, 4.0
FEED_EVERY_H, FEED_HIGH, FEED_LOW = 4, 1.5, 0.5
GREENHOUSE_C, SUN_K, SKY_FRACTION, SCREEN_FRACTION = 21.0, 24.0, 0.5, 0.8
PIPE_FRACTION, PIPE_AROUND_DAWN_H, OWN_BOILER_FRACTION, SUN_FOR_CO2 = 0.15, 2.0, 0.10, 0.05
LATITUDE_DEG, TILT_DEG = 55.0, 23.44


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hours:
    """What a sink answers to, one number per hour: local hour, ISO weekday, day of the year, outdoor temperature in degC."""

    hour: IntArray
    weekday: IntArray
    day: IntArray
    outdoor_c: FloatArray


def demand_shape(sink: SinkKind, hours: Hours, rng: np.random.Generator) -> FloatArray:
    """Heat demand up to a factor, shape (hours,), never negative."""
    noise = 1.0 + NOISE_FRACTION * np.clip(rng.normal(size=len(hours.hour)), -3.0, 3.0)
    return np.asarray(SHAPES.get(sink, network)(hours) * noise)


def network(hours: Hours) -> FloatArray:
    """Houses on a heat network."""
    cold_c = np.maximum(0.0, HEATING_LIMIT_C - trailing_mean(hours.outdoor_c, DAY_H))
    return np.asarray((HOT_WATER_FRACTION + cold_c / HEATING_LIMIT_C) * np.asarray(HEAT_OF_HOUR)[hours.hour])


def pool(hours: Hours) -> FloatArray:
    """An indoor bath: nearly constant, a step at opening and closing."""
    weekend = hours.weekday >= 6
    opens = np.where(weekend, POOL_WEEKEND_OPENS_H, POOL_OPENS_H)
    closes = np.where(weekend, POOL_WEEKEND_CLOSES_H, POOL_CLOSES_H)
    is_open = (hours.hour >= opens) & (hours.hour < closes)
    activity = np.where(is_open, ACTIVITY_OPEN, ACTIVITY_STILL) / ACTIVITY_OPEN
    hall = np.maximum(0.0, HALL_C - trailing_mean(hours.outdoor_c, DAY_H)) / 20.0
    return np.asarray(0.6 * activity + 0.15 * is_open + 0.25 * hall)


def digester(hours: Hours) -> FloatArray:
    """A mesophilic digester: feed to warm, walls that lose."""
    feed_c = np.maximum(COLDEST_FEED_C, trailing_mean(hours.outdoor_c, WEEK_H))
    share = np.where(hours.hour % FEED_EVERY_H < FEED_EVERY_H // 2, FEED_HIGH, FEED_LOW)
    walls = 0.62 * (DIGESTER_C - trailing_mean(hours.outdoor_c, DAY_H)) / 28.0
    return np.asarray(np.maximum(0.0, share * (DIGESTER_C - feed_c) / 23.0 + walls))


def greenhouse(hours: Hours) -> FloatArray:
    """A heated greenhouse: nights and winters, a warm pipe at dawn, a boiler of its own for CO2."""
    sun = sun_height(hours.hour, hours.day)
    screened = np.where(sun > 0.0, 1.0, SCREEN_FRACTION)
    warmth = np.maximum(0.0, screened * (GREENHOUSE_C - hours.outdoor_c - SUN_K * SKY_FRACTION * sun) / 30.0)
    from_dawn_h = np.abs(hours.hour + 0.5 - dawn_h(hours.day))
    pipe = np.where(from_dawn_h <= PIPE_AROUND_DAWN_H, PIPE_FRACTION, 0.0)
    own = np.where(sun > SUN_FOR_CO2, OWN_BOILER_FRACTION, 0.0)
    return np.asarray(np.maximum(0.0, np.maximum(warmth, pipe) - own))


SHAPES: Mapping[SinkKind, Callable[[Hours], FloatArray]] = {
    SinkKind.POOL: pool,
    SinkKind.DIGESTER: digester,
    SinkKind.GREENHOUSE: greenhouse,
}


def declination_rad(day: IntArray) -> FloatArray:
    """The sun's declination by day of the year (Cooper 1969)."""
    return np.asarray(np.deg2rad(TILT_DEG) * np.sin(2.0 * np.pi * (284 + day) / 365.0))


def sun_height(hour: IntArray, day: IntArray) -> FloatArray:
    """Sine of the sun's height in the middle of the hour at 55 degrees north, zero at night; the local hour taken as solar."""
    latitude, tilt = np.deg2rad(LATITUDE_DEG), declination_rad(day)
    turn = 2.0 * np.pi * (hour + 0.5 - H_PER_DAY / 2.0) / H_PER_DAY
    height = np.sin(latitude) * np.sin(tilt) + np.cos(latitude) * np.cos(tilt) * np.cos(turn)
    return np.asarray(np.maximum(0.0, height))


def dawn_h(day: IntArray) -> FloatArray:
    """Hour of sunrise at 55 degrees north."""
    half = np.arccos(-np.tan(np.deg2rad(LATITUDE_DEG)) * np.tan(declination_rad(day)))
    return np.asarray(H_PER_DAY / 2.0 - half * H_PER_DAY / (2.0 * np.pi))


def trailing_mean(values: FloatArray, hours: int) -> FloatArray:
    """Mean of the last `hours` hours, this one included; the first value stands for what came before."""
    padded = np.concatenate([np.full(hours - 1, values[0]), values])
    return np.asarray(np.convolve(padded, np.full(hours, 1.0 / hours), mode="valid"))
