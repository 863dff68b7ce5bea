"""What a plug can deliver at a time: rating, redundancy class, maintenance windows, ramp."""

from __future__ import annotations

import numpy as np

from scheduler.domain.site import Plug, RedundancyClass
from scheduler.domain.time import FloatArray, TimeGrid

# Share of the rating that may be promised. N+1 and 2N say that a promise survives the failure of one unit: one of two is left
# with N+1, everything with 2N. N says no such thing: nothing is kept back, the quantile and the shortfall price carry the risk.
PROMISED_SHARE = {RedundancyClass.N: 1.0, RedundancyClass.N_PLUS_1: 0.5, RedundancyClass.TWO_N: 1.0}


def plug_rating_kw(plug: Plug) -> float:
    """Delivered heat in kW at full health: the plug's maximum and, with a heat pump, its rating."""
    return plug.max_heat_kw if plug.heat_pump is None else min(plug.max_heat_kw, plug.heat_pump.rated_heat_kw)


def rated_heat_kw(plug: Plug, grid: TimeGrid) -> FloatArray:
    """Deliverable kW per slot: the rating, lowered by every maintenance window that touches the slot."""
    rated = np.full(grid.slots, plug_rating_kw(plug))
    for window in plug.maintenance:
        first = max(0, grid.slot_of(window.start_utc))
        after = min(grid.slots, -((grid.start_utc - window.end_utc) // (grid.time_of(1) - grid.start_utc)))
        if after > first:
            rated[first:after] = np.minimum(rated[first:after], max(0.0, window.available_kw))
    return rated


def promisable_kw(rating_kw: float, redundancy: RedundancyClass) -> float:
    """What the redundancy class lets a plug promise of its rating; the one place that knows."""
    return PROMISED_SHARE[redundancy] * rating_kw
