"""Heat demand that nobody tells, by a rule: an energy signature at the told weather, a profile by hour of week, a constant.

What a rule says is marked as assumed: fit to plan on, not to learn from. Profile and constant are levels of a `FixedSource`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.adapters.sources.fixed import BACK, Level, constant
from scheduler.core.accounting.told import believed
from scheduler.core.forecast.calendar import HOUR_S, WEEK_H, at_hour, hour_number, local_hours
from scheduler.core.forecast.fill import fill_short, hourly, runs
from scheduler.core.forecast.signature import Signature, smoothed
from scheduler.domain.errors import Misconfigured
from scheduler.domain.observed import HEAT_DEMAND, OUTDOOR, SourceReading, unit_of
from scheduler.domain.time import FloatArray, Series, TimeGrid
from scheduler.ports import SeriesSource

__all__ = ["SignatureSource", "constant", "profile", "signature"]

# A thermometer that was away for so long has missed no weather.
FILL_H = 3
# Buildings feel the cold of the day before; ISO 52016 and the fits of `core/forecast/signature` find hours to some days.
SMOOTHING_H = 20.0


def profile(by_hour_of_week: Sequence[float], time_zone: str) -> Level:
    """A week that repeats, in the unit of the quantity: 168 values from Monday 00:00 local time on, or 24 for every day alike.

    Raises:
        Misconfigured: another number of values, or one that is not finite.
    """
    values = np.asarray(by_hour_of_week, dtype=np.float64)
    if values.shape not in {(WEEK_H,), (24,)} or not np.all(np.isfinite(values)):
        raise Misconfigured(f"{len(by_hour_of_week)} values", where="profile", expected="168 finite values, or 24")
    week = np.tile(values, 7) if len(values) < WEEK_H else values
    zone = ZoneInfo(time_zone)
    return lambda grid: _by_hour(week, grid, zone)


def _by_hour(week: FloatArray, grid: TimeGrid, zone: ZoneInfo) -> FloatArray:
    """The value of each slot's hour, shape (slots,)."""
    first = hour_number(grid.start_utc)
    hour = (int(grid.start_utc.timestamp()) + np.arange(grid.slots, dtype=np.int64) * grid.slot_s) // HOUR_S - first
    local = local_hours(first, int(hour[-1]) + 1 if len(hour) else 0, zone)
    return np.asarray(week[local.hour_of_week[hour]])


def signature(base_kw: float, slope_kw_per_k: float, t_base_c: float, *, smoothing_h: float = SMOOTHING_H) -> Signature:
    """A stated signature: demand = a + b max(0, T_base - T_eff), the same at every hour of the week.

    Raises:
        Misconfigured: a number that no building has.
    """
    if not all(np.isfinite([base_kw, slope_kw_per_k, t_base_c, smoothing_h])) or min(base_kw, slope_kw_per_k) < 0.0:
        raise Misconfigured(
            f"{base_kw:g} kW + {slope_kw_per_k:g} kW/K", where="signature", expected="finite numbers, none below 0"
        )
    if not -20.0 <= t_base_c <= 40.0 or not 1.0 <= smoothing_h <= 240.0:
        found = f"base temperature {t_base_c:g} degC, smoothing {smoothing_h:g} h"
        raise Misconfigured(found, where="signature", expected="-20 to 40 degC, 1 to 240 h")
    return Signature(
        base_kw=base_kw, slope_kw_per_k=slope_kw_per_k, t_base_c=t_base_c, smoothing_h=smoothing_h, factor=np.ones(WEEK_H)
    )


class SignatureSource:
    """Heat demand of a signature at the outdoor temperature of another source, behind `scheduler.ports.SeriesSource`.

    It knows a demand where that source knows a temperature (gaps of three hours are bridged) and is as old as its word.
    """

    def __init__(
        self, name: str, outdoor: SeriesSource, rule: Signature, *, time_zone: str = "UTC", quantity: str = HEAT_DEMAND
    ) -> None:
        """Name the source of the weather, which somebody else polls, and the rule."""
        self._name, self._outdoor, self._rule = name, outdoor, rule
        self._zone, self._quantity = ZoneInfo(time_zone), quantity

    @property
    def name(self) -> str:
        """What its owner calls it."""
        return self._name

    async def poll(self, now_utc: datetime) -> None:
        """Nothing to ask: the weather is polled where it comes from."""

    def readings(self, now_utc: datetime) -> tuple[SourceReading, ...]:
        """The demand at the weather that is known now."""
        told = next((reading for reading in self._outdoor.readings(now_utc) if reading.quantity == OUTDOOR), None)
        if told is None or not told.series.grid.slots:
            return ()
        weather, _ = believed(told, now_utc)
        demand = self._demand(weather.series, now_utc)
        return (
            SourceReading(
                quantity=self._quantity,
                series=demand,
                issued_utc=told.issued_utc,
                fetched_utc=told.fetched_utc,
                source=self._name,
                assumed=True,
            ),
        )

    def _demand(self, outdoor: Series, now_utc: datetime) -> Series:
        """Demand in kW on the whole hours that the weather touches, from a day back on; NaN where the weather is not known."""
        first = hour_number(outdoor.grid.start_utc)
        stop = -(-int(outdoor.grid.end_utc.timestamp()) // HOUR_S)
        outdoor_c = fill_short(hourly(outdoor, first, stop), FILL_H)
        effective_c = np.full(len(outdoor_c), np.nan)
        for low, high in runs(np.isfinite(outdoor_c).astype(np.float64)):
            effective_c[low:high] = smoothed(outdoor_c[low:high], self._rule.smoothing_h)
        demand_kw = self._rule.demand_kw(effective_c, local_hours(first, stop - first, self._zone).hour_of_week)
        # Longer back, a summer at its base load would be taken for a source that has stood still.
        skip = min(stop - first, max(0, hour_number(now_utc - BACK) - first))
        grid = TimeGrid(start_utc=at_hour(first + skip), slot_s=HOUR_S, slots=stop - first - skip)
        return Series(
            grid=grid, values=demand_kw[skip:], unit=unit_of(self._quantity), source=self._name, issued_utc=outdoor.issued_utc
        )

    def trouble(self) -> str:
        """What is wrong with the weather."""
        why = self._outdoor.trouble()
        return f"weather of {self._outdoor.name}: {why}" if why else ""
