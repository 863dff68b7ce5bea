"""A source that needs nobody: a constant, or a table by time of day; the last link of a chain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from scheduler.core.tariffs.energy import energy_eur_per_kwh
from scheduler.domain.contract import ElectricityContract
from scheduler.domain.observed import SourceReading, unit_of
from scheduler.domain.time import FloatArray, Series, TimeGrid
from scheduler.units import S_PER_H

Level = Callable[[TimeGrid], FloatArray]
HOUR_S = int(S_PER_H)
# A day back: enough to start a forecast from, too short to be taken for a source that has stood still.
BACK, AHEAD = timedelta(hours=24), timedelta(days=9)


def constant(value: float) -> Level:
    """The same value in every slot, in the unit of the quantity."""
    return lambda grid: np.full(grid.slots, value)


def time_of_use(contract: ElectricityContract, time_zone: str) -> Level:
    """The energy price of a contract that knows no spot price, in EUR/kWh, by local hour and weekday."""
    return lambda grid: energy_eur_per_kwh(contract, grid, time_zone, np.full(grid.slots, np.nan))


class FixedSource:
    """A rule behind `scheduler.ports.SeriesSource`; what it says is marked as assumed."""

    def __init__(self, name: str, quantity: str, level: Level, *, back: timedelta = BACK, ahead: timedelta = AHEAD) -> None:
        """Name a quantity and its level on a grid of whole hours from `back` before now to `ahead` after it."""
        self._name, self._quantity, self._level = name, quantity, level
        self._back, self._ahead = back, ahead

    @property
    def name(self) -> str:
        """What its owner calls it."""
        return self._name

    async def poll(self, now_utc: datetime) -> None:
        """Nothing to ask."""

    def readings(self, now_utc: datetime) -> tuple[SourceReading, ...]:
        """The table around now; always fresh."""
        first = int((now_utc - self._back).timestamp()) // HOUR_S
        stop = -(-int((now_utc + self._ahead).timestamp()) // HOUR_S)
        grid = TimeGrid(start_utc=datetime.fromtimestamp(first * HOUR_S, tz=UTC), slot_s=HOUR_S, slots=stop - first)
        series = Series(grid=grid, values=self._level(grid), unit=unit_of(self._quantity), source=self._name)
        return (
            SourceReading(
                quantity=self._quantity,
                series=series,
                issued_utc=None,
                fetched_utc=now_utc,
                source=self._name,
                assumed=True,
            ),
        )

    def trouble(self) -> str:
        """It has none."""
        return ""
