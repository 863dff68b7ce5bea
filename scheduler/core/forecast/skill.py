"""How good the forecasts are: rolling origins over a past, against the references of `trial`.

At each origin the history is cut off as it was known then and the very `outlook` of production is made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.core.forecast.calendar import DAY_H, HOUR_S, WEEK_H, hour_number, local_hours
from scheduler.core.forecast.fill import hourly
from scheduler.core.forecast.frame import PAST_H
from scheduler.core.forecast.outlook import outlook
from scheduler.core.forecast.trial import Trial, stacked
from scheduler.domain.outlook import Outlook, Skill
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import History, Snapshot
from scheduler.domain.time import FloatArray, IntArray, Series, TimeGrid
from scheduler.units import H_PER_DAY

# Prices of the next local day are published from this local hour on (day-ahead results come at about 12:45 in Europe).
PUBLISHED_LOCAL_HOUR = 13
MIN_ORIGINS = 7


def cut(series: Series, at_utc: datetime) -> Series:
    """The part of a series that was over at `at_utc`."""
    slots = min(series.grid.slots, max(0, series.grid.slot_of(at_utc)))
    grid = TimeGrid(start_utc=series.grid.start_utc, slot_s=series.grid.slot_s, slots=slots)
    return replace(series, grid=grid, values=series.values[:slots])


def published_until(at_utc: datetime, zone: ZoneInfo) -> datetime:
    """End of the last local day whose prices are published at `at_utc`."""
    local = at_utc.astimezone(zone)
    days = 2 if local.hour >= PUBLISHED_LOCAL_HOUR else 1
    midnight = datetime(local.year, local.month, local.day, tzinfo=zone) + timedelta(days=days)
    return at_utc + (midnight.astimezone(at_utc.tzinfo) - at_utc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """A weather forecast to judge with: what came, with an error whose standard deviation is `error_c` at every lead.

    The error fades into another one within a day, as those of weather forecasts do (an AR(1) of 24 h); each origin has its own.
    """

    error_c: float = 0.0
    seed: int = 0

    def outdoor(self, outdoor: Series, at_utc: datetime, until_utc: datetime) -> Series:
        """The series as it is known at an instant: measured up to it, foretold from then on."""
        known = cut(outdoor, until_utc)
        if self.error_c <= 0.0:
            return known
        first = min(known.grid.slots, max(0, known.grid.slot_of(at_utc)))
        noise = np.random.default_rng([self.seed, hour_number(at_utc)]).normal(size=known.grid.slots - first)
        keep = float(np.exp(-known.grid.slot_h / H_PER_DAY))
        values = known.values.copy()
        error_c = 0.0
        for slot, step in enumerate(noise):
            # The first error is as large as any.
            error_c = self.error_c * step if slot == 0 else keep * error_c + (1.0 - keep**2) ** 0.5 * self.error_c * step
            values[first + slot] += error_c
        return replace(known, values=values)


def as_known(history: History, at_utc: datetime, zone: ZoneInfo, outdoor: Series | None = None) -> History:
    """The history as it stood at `at_utc`, published prices included; finished jobs and arrivals are left out.

    outdoor: what is known of the weather, if that is more than what was measured.
    """
    return History(
        price=cut(history.price, published_until(at_utc, zone)),
        carbon=cut(history.carbon, at_utc),
        outdoor=cut(history.outdoor, at_utc) if outdoor is None else outdoor,
        heat_demand_kw={name: cut(series, at_utc) for name, series in history.heat_demand_kw.items()},
    )


References = tuple[FloatArray, FloatArray, FloatArray]


def references(series: Series, known: int, first: int, leads: int, zone: ZoneInfo) -> References:
    """Persistence, last week and hour-of-week mean for `leads` hours from hour `first` on, knowing the hours before `known`."""
    past = hourly(series, known - PAST_H, known)
    ahead = np.arange(first, first + leads) - known
    persistence, last_week = (past[PAST_H + ahead - back * (ahead // back + 1)] for back in (DAY_H, WEEK_H))
    local = local_hours(known - PAST_H, PAST_H + leads + first - known, zone)
    phase = local.hour_of_week
    seen = np.isfinite(past)
    count = np.bincount(phase[:PAST_H][seen], minlength=WEEK_H)
    total = np.bincount(phase[:PAST_H][seen], weights=past[seen], minlength=WEEK_H)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return persistence, last_week, np.asarray(mean[phase[PAST_H + ahead]])


def hour_slots(grid: TimeGrid) -> IntArray:
    """First slot of every whole hour of a grid that starts on the hour."""
    return np.arange(0, grid.slots, max(1, HOUR_S // grid.slot_s), dtype=np.int64)


def truth(series: Series, grid: TimeGrid, leads: int) -> FloatArray:
    """What really came in the hours of a grid, (leads,); NaN where it is not known yet."""
    first = hour_number(grid.start_utc)
    return hourly(series, first, first + leads)


def price_row(history: History, seen: Outlook, at_utc: datetime, zone: ZoneInfo) -> tuple[FloatArray, ...]:
    """Price row beyond the published hours; the published ones are NaN, they are no forecast."""
    slots = hour_slots(seen.grid)
    known = hour_number(published_until(at_utc, zone))
    first, leads = hour_number(seen.grid.start_utc), len(slots)
    row = [np.full(leads, np.nan) for _ in range(7)]
    ahead = max(0, known - first)
    if ahead < leads:
        for part, band in zip(row[5:], (seen.spot_p10_eur_per_kwh, seen.spot_p90_eur_per_kwh), strict=True):
            part[ahead:] = np.nan if band is None else band[slots[ahead:]]
        row[0][ahead:] = seen.spot_eur_per_kwh[slots[ahead:]]
        row[1][ahead:] = truth(history.price, seen.grid, leads)[ahead:]
        for part, values in zip(row[2:5], references(history.price, known, known, leads - ahead, zone), strict=True):
            part[ahead:] = values
    return tuple(row)


Rows = dict[str, list[tuple[FloatArray, ...]]]
# What a quantity of a trial is measured in, and whether its zero means "nothing".
KINDS = {"price": ("EUR/kWh", False), "outdoor": ("degC", False), "carbon": ("g/kWh", True), "demand": ("kW", True)}


def rolling(
    site: Site,
    history: History,
    settings: Settings,
    origins_utc: Sequence[datetime],
    *,
    weather: Foretold | None = None,
    on_origin: Callable[[int, int], None] | None = None,
) -> dict[str, Trial]:
    """Make the outlook at every origin (whole hours) from what was known then; trials by quantity name.

    Names: price, outdoor, carbon and `demand <offtake id>`. weather: a forecast of it that is told, and so no trial of our own.
    on_origin hears how many of how many are done.
    """
    zone = ZoneInfo(site.time_zone)
    rows: Rows = {}
    for done, at_utc in enumerate(origins_utc, start=1):
        grid = TimeGrid(start_utc=at_utc, slot_s=settings.slot_s, slots=settings.horizon_slots)
        told = None if weather is None else weather.outdoor(history.outdoor, at_utc, grid.end_utc)
        known = as_known(history, at_utc, zone, told)
        snapshot = Snapshot(observed_utc=at_utc, sequence=0, jobs=(), history=known, plants=(), available_gpus={})
        for name, row in rows_of(history, outlook(site, snapshot, settings, grid), zone).items():
            rows.setdefault(name, []).append(row)
        if on_origin is not None:
            on_origin(done, len(origins_utc))
    origin_h = np.asarray([hour_number(at_utc) for at_utc in origins_utc], dtype=np.int64)
    return {name: trial_of(name, origin_h, row) for name, row in rows.items() if weather is None or name != "outdoor"}


def trial_of(name: str, origin_h: IntArray, rows: Sequence[Sequence[FloatArray]]) -> Trial:
    """The trial of a quantity by its name."""
    unit, is_relative = KINDS[name.partition(" ")[0]]
    return stacked(name, unit, origin_h, rows, relative=is_relative)


def rows_of(history: History, seen: Outlook, zone: ZoneInfo) -> dict[str, tuple[FloatArray, ...]]:
    """What one outlook said, what came and what the references would have said, by quantity."""
    grid, at_utc = seen.grid, seen.grid.start_utc
    slots, now = hour_slots(grid), hour_number(at_utc)
    rows = {"price": price_row(history, seen, at_utc, zone)}

    def judged(series: Series, predicted: FloatArray) -> tuple[FloatArray, ...]:
        return predicted[slots], truth(series, grid, len(slots)), *references(series, now, now, len(slots), zone)

    rows["outdoor"] = judged(history.outdoor, seen.outdoor_c)
    rows["carbon"] = judged(history.carbon, seen.carbon_g_per_kwh)
    for name, series in history.heat_demand_kw.items():
        band = seen.demand_kw[name]
        rows[f"demand {name}"] = (*judged(series, band.p50), band.p10[slots], band.p90[slots])
    return rows


def skills(site: Site, snapshot: Snapshot, settings: Settings, days: int = 21) -> tuple[Skill, ...]:
    """Skill of every forecast over the last `days`, one origin a day at changing hours; on demand, not in every cycle.

    None in every number of a quantity with fewer than a week of origins that can be judged.
    """
    # 25 h apart: every hour of the day gets its turn. The last origin lies one horizon back, so that its truth is known.
    horizon = timedelta(seconds=settings.slot_s * settings.horizon_slots)
    last_utc = snapshot.observed_utc.replace(minute=0, second=0, microsecond=0) - horizon
    origins_utc = [last_utc - timedelta(hours=25 * i) for i in range(days)][::-1]
    history = snapshot.history
    trials = rolling(site, history, settings, origins_utc)
    found: list[Skill] = []
    for one in trials.values():
        judged = int(one.judged.any(axis=1).sum())
        enough = judged >= MIN_ORIGINS
        found.append(
            one.skill() if enough else Skill(name=one.name, mae=None, against_persistence=None, against_hour_of_week=None)
        )
    return tuple(found)
