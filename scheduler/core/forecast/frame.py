"""Where an outlook stands in time: whole hours before and after the present, and how slots fall into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.core.forecast.calendar import HOUR_S, WEEK_H, LocalHours, ceil_hour, hour_number, local_hours
from scheduler.domain.time import FloatArray, IntArray, TimeGrid

PAST_H = 8 * WEEK_H
TAIL_H = WEEK_H


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """Hours around the present; `now` is the first whole hour (hour number) that has not begun, `leads` hours follow it.

    local covers PAST_H hours before `now`, the leads and a week after them. column: lead column of each slot of the grid,
    -1 for slots of an hour that has begun.
    """

    grid: TimeGrid
    now: int
    leads: int
    local: LocalHours
    column: IntArray

    def on_slots(self, path: FloatArray, present: float) -> FloatArray:
        """Spread hourly values over the slots, (slots,); slots of the hour that has begun get `present`."""
        return np.where(self.column >= 0, path[np.maximum(self.column, 0)], present)


def frame(grid: TimeGrid, time_zone: str, holidays: Sequence[date] = ()) -> Frame:
    """Lay whole hours around the start of a grid, as a place with these holidays lives them."""
    now = hour_number(ceil_hour(grid.start_utc))
    leads = max(1, hour_number(ceil_hour(grid.end_utc)) - now)
    start_s = int(grid.start_utc.timestamp())
    column = (start_s + np.arange(grid.slots, dtype=np.int64) * grid.slot_s) // HOUR_S - now
    local = local_hours(now - PAST_H, PAST_H + leads + TAIL_H + 1, ZoneInfo(time_zone), holidays)
    return Frame(grid=grid, now=now, leads=leads, local=local, column=column)


def tail_grid(grid: TimeGrid) -> TimeGrid:
    """The week after a grid, in the same slots."""
    return TimeGrid(start_utc=grid.end_utc, slot_s=grid.slot_s, slots=int(timedelta(days=7).total_seconds()) // grid.slot_s)
