"""Who knows what, when: the information model of a backtest.

Prices of the local day D+1 are known from 13:00 local on D. Carbon, weather and heat demand are known up to now: an interval's
mean only once the interval is over. A job is known at its submit time with what its owner declared; how long it really runs
is known when it ends. The switches of `Knowledge` tell one truth in advance, to measure what not knowing it costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from scheduler.core.tariffs.gates import local_instant
from scheduler.domain.time import Series, TimeGrid

PUBLISHED_AT = time(13)
# Forecasts look back eight weeks; the ninth covers the days before a Monday.
HISTORY = timedelta(days=63)
# An advance truth reaches as far as a plan looks, and some days further: they price the tail behind the horizon.
HORIZON = timedelta(days=2)
BEHIND = timedelta(days=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What a planner is told in advance; nothing by default.

    horizon: how far its plans look; jobs are announced so far ahead, series are told somewhat further.
    """

    true_prices: bool = False
    true_heat_and_weather: bool = False
    true_durations: bool = False
    known_arrivals: bool = False
    horizon: timedelta = HORIZON

    @property
    def nothing(self) -> bool:
        """True for the honest backtest."""
        return not (self.true_prices or self.true_heat_and_weather or self.true_durations or self.known_arrivals)

    @property
    def everything(self) -> bool:
        """True when nothing is left unknown."""
        return self.true_prices and self.true_heat_and_weather and self.true_durations and self.known_arrivals

    @property
    def ahead(self) -> timedelta:
        """How far an advance truth about a series reaches."""
        return self.horizon + BEHIND


ALL_KNOWN = Knowledge(true_prices=True, true_heat_and_weather=True, true_durations=True, known_arrivals=True)


def prices_known_until(now_utc: datetime, time_zone: str) -> datetime:
    """End of the last local day whose prices are published: today, and from 13:00 local also tomorrow."""
    zone = ZoneInfo(time_zone)
    local = now_utc.astimezone(zone)
    days = 2 if local.time() >= PUBLISHED_AT else 1
    return local_instant(local.date() + timedelta(days=days), time(), zone)


def known_part(series: Series, now_utc: datetime, until_utc: datetime) -> Series:
    """The intervals of a series that have ended by `until_utc`, as far back as forecasts look."""
    grid = series.grid
    first = min(grid.slots, max(0, grid.slot_of(now_utc - HISTORY)))
    stop = min(grid.slots, max(first, int((until_utc - grid.start_utc).total_seconds() // grid.slot_s)))
    cut = TimeGrid(start_utc=grid.time_of(first), slot_s=grid.slot_s, slots=stop - first)
    return Series(grid=cut, values=series.values[first:stop], unit=series.unit, source=series.source)


def price_part(series: Series, now_utc: datetime, time_zone: str, knowledge: Knowledge) -> Series:
    """Prices as far as they are published, or as far as an advance truth reaches."""
    until = now_utc + knowledge.ahead if knowledge.true_prices else prices_known_until(now_utc, time_zone)
    return known_part(series, now_utc, until)


def coming_part(series: Series, now_utc: datetime, knowledge: Knowledge) -> Series:
    """The truth from the interval of `now_utc` on, issued now: the advance truth about heat demand."""
    grid = series.grid
    first = min(grid.slots, max(0, grid.slot_of(now_utc)))
    stop = min(grid.slots, max(first, grid.slot_of(now_utc + knowledge.ahead)))
    cut = TimeGrid(start_utc=grid.time_of(first), slot_s=grid.slot_s, slots=stop - first)
    return Series(grid=cut, values=series.values[first:stop], unit=series.unit, source=series.source, issued_utc=now_utc)
