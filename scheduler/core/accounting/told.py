"""What sources say, before anybody acts on it: values that cannot be become "not known", and a reading says how old it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from scheduler.core.forecast import fill
from scheduler.core.forecast.fill import Plausible, plausible, without_frozen
from scheduler.core.forecast.outlook import PLANT_FORECAST_MAX_AGE_S
from scheduler.core.thermal.limits import plug_rating_kw
from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR, PLANT_FORECAST, PRICE, SourceReading
from scheduler.domain.site import Plug
from scheduler.domain.snapshot import Freshness, PlantState
from scheduler.units import S_PER_DAY, S_PER_H

LIMITS: Mapping[str, Plausible] = {
    PRICE: fill.PRICE,
    CARBON: fill.CARBON,
    OUTDOOR: fill.OUTDOOR,
    HEAT_DEMAND: fill.HEAT_KW,
    # A forecast may stand still: a constant is one.
    PLANT_FORECAST: replace(fill.HEAT_KW, frozen_h=None),
}
# After so long without a word from a source what it said is old: a day-ahead price comes once a day, weather every few hours.
MAX_AGE_S: Mapping[str, float] = {
    PRICE: S_PER_DAY,
    CARBON: 6.0 * S_PER_H,
    OUTDOOR: 6.0 * S_PER_H,
    HEAT_DEMAND: S_PER_DAY,
    PLANT_FORECAST: PLANT_FORECAST_MAX_AGE_S,
}
# What tells of the future must know the present; of what tells of the past, the last word may be so old (gaps up to three hours
# are filled). A measurement of an hour is known when the hour is over.
AHEAD = frozenset({PRICE, PLANT_FORECAST})
REACH = timedelta(hours=3)
# Level sensors and heat meters may read so much above what a tank holds and a plug can give.
OVER_FRACTION = 0.1
# Two clocks, or a poll that ends while we look, may differ by so much.
SKEW_S = 60.0


def about(quantity: str) -> str:
    """The quantity of a key without the name of whose it is."""
    return quantity.partition(" ")[0]


def believed(reading: SourceReading, now_utc: datetime) -> tuple[SourceReading, tuple[str, ...]]:
    """A reading with NaN for what is implausible or has stood still too long, and what was wrong, in words.

    A quantity that nobody knows is believed in nothing.
    """
    series, name = reading.series, reading.quantity
    limits = LIMITS.get(about(name))
    if limits is None:
        nothing = replace(series, values=np.full(series.grid.slots, np.nan))
        return replace(reading, series=nothing), (f"{name}: nobody asks for it",)
    values = np.where(np.isfinite(series.values), plausible(series.values, limits), np.nan)
    wrong = int(np.sum(~np.isnan(series.values) & np.isnan(values)))
    reasons = [f"{name}: implausible ({wrong} values)"] if wrong else []
    passed = min(series.grid.slots, max(0, series.grid.slot_of(now_utc)))
    if limits.frozen_h is not None and passed:
        by_slot = replace(limits, frozen_h=int(limits.frozen_h * S_PER_H // series.grid.slot_s))
        before = values[:passed].copy()
        values[:passed], frozen = without_frozen(name, before, by_slot)
        if frozen:
            reasons.append(f"{name}: frozen")
            # What it says ahead of now is no better while it goes on standing still.
            other = np.flatnonzero(values[passed:] != before[np.flatnonzero(np.isfinite(before))[-1]])
            values[passed : passed + int(other[0]) if len(other) else None] = np.nan
    return replace(reading, series=replace(series, values=values)), tuple(reasons)


def believed_plant(plug: Plug, state: PlantState) -> PlantState:
    """What a plant says of itself, without a tank level or a heat flow that its tank and its pump cannot have."""
    most_kwh = 0.0 if plug.tank is None else plug.tank.capacity_kwh * (1.0 + OVER_FRACTION)
    level, heat_kw = state.tank_level_kwh, state.heat_pump_heat_kw
    if level is not None and not -OVER_FRACTION * most_kwh <= level <= most_kwh:
        state = replace(state, tank_level_kwh=None)
    if not 0.0 <= heat_kw <= plug_rating_kw(plug) * (1.0 + OVER_FRACTION):
        state = replace(state, heat_pump_heat_kw=0.0)
    return state


def unfit(reading: SourceReading, now_utc: datetime, max_age_s: Mapping[str, float] = MAX_AGE_S) -> str:
    """Why nothing of a believed reading may be used: it knows nothing, or was heard too long ago; empty when some of it may."""
    name = reading.quantity
    if not np.any(np.isfinite(reading.series.values)):
        return f"{name}: missing"
    age_s = age_of(reading.fetched_utc, now_utc)
    limit_s = max_age_s.get(about(name), S_PER_DAY)
    return "" if 0.0 <= age_s <= limit_s else f"{name}: stale (last heard {age_s / S_PER_H:.1f} h ago)"


def useless(reading: SourceReading, now_utc: datetime, max_age_s: Mapping[str, float] = MAX_AGE_S) -> str:
    """Why a believed reading is no good now; empty when it is good."""
    why = unfit(reading, now_utc, max_age_s)
    if why:
        return why
    name, grid = reading.quantity, reading.series.grid
    known = np.flatnonzero(np.isfinite(reading.series.values))
    if about(name) in AHEAD:
        now = grid.slot_of(now_utc)
        there = 0 <= now < grid.slots and bool(np.isfinite(reading.series.values[now]))
        return "" if there else f"{name}: says nothing about now"
    end_utc = grid.time_of(int(known[-1]) + 1)
    return "" if now_utc - end_utc <= REACH else f"{name}: ends at {end_utc:%Y-%m-%dT%H:%MZ}"


def age_of(at_utc: datetime, now_utc: datetime) -> float:
    """Seconds since an instant; a little negative is zero, more is the sign of a wrong clock and stays."""
    age_s = (now_utc - at_utc).total_seconds()
    return 0.0 if -SKEW_S <= age_s < 0.0 else age_s


def freshness_of(source: str, heard_utc: datetime | None, now_utc: datetime, max_age_s: float) -> Freshness:
    """Age of one source by when it was last heard; None: it never spoke."""
    age_s = None if heard_utc is None else age_of(heard_utc, now_utc)
    return Freshness(source=source, age_s=age_s, max_age_s=max_age_s)
