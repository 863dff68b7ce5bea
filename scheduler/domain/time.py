"""Time grids and series on them. UTC only; local time lives in gates, seasons and reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from scheduler.units import h_from_s

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeGrid:
    """Equal slots from `start_utc`; slot i covers [start + i * slot_s, start + (i + 1) * slot_s)."""

    start_utc: datetime
    slot_s: int
    slots: int

    def __post_init__(self) -> None:
        """Refuse a naive or non-UTC start and empty slots."""
        if self.start_utc.tzinfo is None or self.start_utc.utcoffset() != timedelta(0):
            raise ValueError("TimeGrid.start_utc must be timezone-aware UTC")
        if self.slot_s <= 0 or self.slots < 0:
            raise ValueError("TimeGrid needs slot_s > 0 and slots >= 0")

    @property
    def slot_h(self) -> float:
        """Length of one slot in hours."""
        return h_from_s(self.slot_s)

    @property
    def end_utc(self) -> datetime:
        """End of the last slot."""
        return self.time_of(self.slots)

    def time_of(self, slot: int) -> datetime:
        """Start of a slot; slots outside the grid extrapolate."""
        return self.start_utc + timedelta(seconds=slot * self.slot_s)

    def slot_of(self, at_utc: datetime) -> int:
        """Slot that contains `at_utc`, by floor; may lie outside [0, slots)."""
        return int((at_utc - self.start_utc).total_seconds() // self.slot_s)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """Values on a grid, one per slot; NaN means "not known", never zero.

    `unit` is the suffix spelled out (`EUR/kWh`, `g/kWh`, `degC`, `kW`); `issued_utc` is when the source said so.
    """

    grid: TimeGrid
    values: FloatArray
    unit: str
    source: str
    issued_utc: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a value count other than the grid's."""
        if self.values.shape != (self.grid.slots,):
            raise ValueError(f"Series {self.source!r}: {self.values.shape} values on {self.grid.slots} slots")


def utc(text: str) -> datetime:
    """Parse an ISO 8601 instant that carries its offset and return it in UTC.

    Raises:
        ValueError: without an offset, since a local time would be a guess; or before the first year, or after the last.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset")
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is no instant in UTC") from error


def hourly_grid_count(start_utc: datetime, end_utc: datetime, slot_s: int) -> int:
    """Number of whole slots between two instants."""
    return int((end_utc - start_utc).total_seconds() // slot_s)
