"""How good the forecasts are: rolling origins over the recent past, against persistence and the hour-of-week mean.

At each origin the history is cut off as it was known then and the very `outlook` of production is made from it. Persistence
says "as at the same hour of the last known day", the hour-of-week mean averages the same local hour of the same weekday over
the last eight weeks. skill = 1 - MAE / MAE of the reference; above zero is better than the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.core.forecast.calendar import DAY_H, HOUR_S, WEEK_H, hour_number, local_hours
from scheduler.core.forecast.fill import hourly
from scheduler.core.forecast.frame import PAST_H
from scheduler.core.forecast.outlook import outlook
from scheduler.domain.outlook import Outlook, Skill
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import History, Snapshot
from scheduler.domain.time import FloatArray, IntArray, Series, TimeGrid

# Prices of the next local day are published from this local hour on (day-ahead results come at about 12:45 in Europe).
PUBLISHED_LOCAL_HOUR = 13
MIN_ORIGINS = 7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """One forecast quantity at many origins: forecast, truth and both references, all (origins, leads); NaN: does not count.

    low, high: p10 and p90 where the quantity has a band.
    """

    name: str
    predicted: FloatArray
    actual: FloatArray
    persistence: FloatArray
    week_mean: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None

    def mae(self, what: FloatArray, columns: slice = slice(None)) -> float | None:
        """Mean absolute error of a forecast over leads `columns` where every contender and the truth are known."""
        error = np.abs(what - self.actual)[:, columns]
        both = np.isfinite(self.actual + self.predicted + self.persistence + self.week_mean)[:, columns]
        return float(error[both].mean()) if np.any(both) else None

    def skill(self, columns: slice = slice(None)) -> Skill:
        """Skill over leads `columns`."""
        mae = self.mae(self.predicted, columns)
        return Skill(
            name=self.name,
            mae=mae,
            against_persistence=relative(mae, self.mae(self.persistence, columns)),
            against_hour_of_week=relative(mae, self.mae(self.week_mean, columns)),
        )


def relative(mae: float | None, reference: float | None) -> float | None:
    """1 - mae / reference; None when one is unknown or the reference made no error at all."""
    return None if mae is None or reference is None or reference <= 0.0 else 1.0 - mae / reference


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


def as_known(history: History, at_utc: datetime, zone: ZoneInfo) -> History:
    """The history as it stood at `at_utc`, published prices included; finished jobs and arrivals are left out."""
    return History(
        price=cut(history.price, published_until(at_utc, zone)),
        carbon=cut(history.carbon, at_utc),
        outdoor=cut(history.outdoor, at_utc),
        heat_demand_kw={name: cut(series, at_utc) for name, series in history.heat_demand_kw.items()},
    )


def references(series: Series, known: int, first: int, leads: int, zone: ZoneInfo) -> tuple[FloatArray, FloatArray]:
    """Persistence and hour-of-week mean for `leads` hours from hour `first` on, knowing the hours before `known`."""
    past = hourly(series, known - PAST_H, known)
    ahead = np.arange(first, first + leads) - known
    back_days = ahead // DAY_H + 1
    persistence = past[PAST_H + ahead - DAY_H * back_days]
    local = local_hours(known - PAST_H, PAST_H + leads + first - known, zone)
    phase = local.hour_of_week
    seen = np.isfinite(past)
    count = np.bincount(phase[:PAST_H][seen], minlength=WEEK_H)
    total = np.bincount(phase[:PAST_H][seen], weights=past[seen], minlength=WEEK_H)
    mean = np.where(count > 0, total / np.maximum(1, count), np.nan)
    return persistence, np.asarray(mean[phase[PAST_H + ahead]])


def hour_slots(grid: TimeGrid) -> IntArray:
    """First slot of every whole hour of a grid that starts on the hour."""
    return np.arange(0, grid.slots, max(1, HOUR_S // grid.slot_s), dtype=np.int64)


def truth(series: Series, grid: TimeGrid, leads: int) -> FloatArray:
    """What really came in the hours of a grid, (leads,); NaN where it is not known yet."""
    first = hour_number(grid.start_utc)
    return hourly(series, first, first + leads)


def trial(name: str, rows: Sequence[Sequence[FloatArray]]) -> Trial:
    """Stack rows of (predicted, actual, persistence, week mean[, low, high])."""
    table = [np.asarray(column) for column in zip(*rows, strict=True)]
    band = table[4:] if len(table) > 4 else [None, None]
    return Trial(
        name=name,
        predicted=table[0],
        actual=table[1],
        persistence=table[2],
        week_mean=table[3],
        low=band[0],
        high=band[1],
    )


def price_row(history: History, seen: Outlook, at_utc: datetime, zone: ZoneInfo) -> tuple[FloatArray, ...]:
    """Price row beyond the published hours; the published ones are NaN, they are no forecast."""
    slots = hour_slots(seen.grid)
    known = hour_number(published_until(at_utc, zone))
    first, leads = hour_number(seen.grid.start_utc), len(slots)
    row = [np.full(leads, np.nan) for _ in range(4)]
    ahead = max(0, known - first)
    if ahead < leads:
        persistence, week_mean = references(history.price, known, known, leads - ahead, zone)
        row[0][ahead:] = seen.spot_eur_per_kwh[slots[ahead:]]
        row[1][ahead:] = truth(history.price, seen.grid, leads)[ahead:]
        row[2][ahead:], row[3][ahead:] = persistence, week_mean
    return tuple(row)


def rolling(site: Site, history: History, settings: Settings, origins_utc: Sequence[datetime]) -> dict[str, Trial]:
    """Make the outlook at every origin (whole hours) from what was known then; trials by quantity name.

    Names: price, outdoor, carbon and `demand <offtake id>`.
    """
    zone = ZoneInfo(site.time_zone)
    rows: dict[str, list[tuple[FloatArray, ...]]] = {}
    for at_utc in origins_utc:
        grid = TimeGrid(start_utc=at_utc, slot_s=settings.slot_s, slots=settings.horizon_slots)
        snapshot = Snapshot(
            observed_utc=at_utc,
            sequence=0,
            jobs=(),
            history=as_known(history, at_utc, zone),
            plants=(),
            available_gpus={},
        )
        seen = outlook(site, snapshot, settings, grid)
        slots, now = hour_slots(grid), hour_number(at_utc)
        rows.setdefault("price", []).append(price_row(history, seen, at_utc, zone))
        plain = (("outdoor", history.outdoor, seen.outdoor_c), ("carbon", history.carbon, seen.carbon_g_per_kwh))
        for name, series, predicted in plain:
            row = (predicted[slots], truth(series, grid, len(slots)), *references(series, now, now, len(slots), zone))
            rows.setdefault(name, []).append(row)
        for name, series in history.heat_demand_kw.items():
            band = seen.demand_kw[name]
            reference = references(series, now, now, len(slots), zone)
            banded = (band.p50[slots], truth(series, grid, len(slots)), *reference, band.p10[slots], band.p90[slots])
            rows.setdefault(f"demand {name}", []).append(banded)
    return {name: trial(name, row) for name, row in rows.items()}


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
        judged = int(np.isfinite(one.actual + one.predicted + one.persistence + one.week_mean).any(axis=1).sum())
        enough = judged >= MIN_ORIGINS
        found.append(
            one.skill() if enough else Skill(name=one.name, mae=None, against_persistence=None, against_hour_of_week=None)
        )
    return tuple(found)
