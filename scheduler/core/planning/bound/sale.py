"""Which delivery hours a gate inside the window can sell."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from scheduler.core.planning.bound.problem import SaleHour
from scheduler.core.tariffs.gates import gates_between
from scheduler.domain.contract import FirmRule
from scheduler.domain.time import FloatArray
from scheduler.units import S_PER_H


def sale_hours(
    rule: FirmRule, time_zone: str, start_utc: datetime, edges_h: FloatArray, most_kw: FloatArray, until_utc: datetime
) -> tuple[SaleHour, ...]:
    """Delivery periods with a gate inside the window, as rows of time.

    A period that several gates can sell counts once. One that touches a row only in part counts with the whole row: that only
    helps, so the bound stays one. Periods that end after `until_utc` are not sold.
    """
    end_utc = start_utc + timedelta(hours=float(edges_h[-1]))
    moment = timedelta(microseconds=1)
    gates = gates_between(rule, time_zone, start_utc - moment, end_utc - moment)
    periods = {hour for gate in gates for hour in gate.hours if start_utc <= hour[0] < end_utc and hour[1] <= until_utc}
    found = []
    for begin_utc, stop_utc in sorted(periods):
        begin_h = (begin_utc - start_utc).total_seconds() / S_PER_H
        stop_h = (stop_utc - start_utc).total_seconds() / S_PER_H
        first = int(np.searchsorted(edges_h, begin_h + 1e-9, side="right")) - 1
        last = int(np.searchsorted(edges_h, stop_h - 1e-9, side="left"))
        last = min(last, len(most_kw))
        if first < last:
            most_kwh = float(np.max(most_kw[max(0, first) : last])) * (stop_h - begin_h)
            found.append(SaleHour(first=max(0, first), last=last, most_kwh=most_kwh))
    return tuple(found)
