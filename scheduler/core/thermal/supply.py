"""How warm a customer needs the water: a supply curve over the outdoor temperature.

District heating networks run hotter in the cold. PyPSA-Eur models the supply temperature of a network as the highest at or
below 0 degC, the lowest at or above 10 degC, linear in between, over the outdoor temperature's mean of the last 72 hours (the
network and the buildings are slow); `network_curve` is that shape, any other curve is a list of points. The curve says which
water is asked for; a heat pump keeps the COP of its stated sink, the hottest it makes.
"""

from __future__ import annotations

import numpy as np

from scheduler.domain.site import Plug
from scheduler.domain.time import FloatArray

Curve = tuple[tuple[float, float], ...]
MEAN_H = 72.0
COLD_C, MILD_C = 0.0, 10.0
# Direct use needs a heat exchanger: so much hotter must the source be (the pinch of `Cop.pinch_k`'s default).
PINCH_K = 5.0


def network_curve(max_supply_c: float, min_supply_c: float, cold_c: float = COLD_C, mild_c: float = MILD_C) -> Curve:
    """Curve of a heating network: `max_supply_c` at and below `cold_c` outdoors, `min_supply_c` at and above `mild_c`."""
    return (cold_c, max_supply_c), (mild_c, min_supply_c)


def supply_on_curve_c(curve: Curve, outdoor_c: FloatArray) -> FloatArray:
    """Supply temperature in degC at outdoor temperatures of any shape: linear between the points, constant beyond them.

    Where the outdoor temperature is not known (NaN) the hottest point holds: too hot costs, too cold leaves people cold.
    """
    outdoor, supply = np.asarray(curve, dtype=np.float64).T
    found = np.interp(outdoor_c, outdoor, supply)
    return np.asarray(np.where(np.isfinite(outdoor_c), found, supply.max()))


def mean_outdoor_c(outdoor_c: FloatArray, slot_h: float, mean_h: float = MEAN_H) -> FloatArray:
    """Mean of the last `mean_h` hours at each slot, that slot included, (slots,); the mean of what there is at the start.

    Slots that are not known are left out; NaN where nothing within reach is known.
    """
    width = max(1, round(mean_h / slot_h))
    known = np.isfinite(outdoor_c)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, outdoor_c, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    stop = np.arange(1, len(outdoor_c) + 1)
    first = np.maximum(0, stop - width)
    with np.errstate(invalid="ignore"):
        return np.asarray((total[stop] - total[first]) / (count[stop] - count[first]))


def within_band_c(plug: Plug, supply_c: FloatArray) -> FloatArray:
    """What a plug delivers when asked for `supply_c`: never below its useful minimum nor above what it can reach."""
    reach_c = plug.supply_max_c if plug.heat_pump is None else min(plug.supply_max_c, plug.heat_pump.cop.sink_out_c)
    return np.clip(supply_c, min(plug.supply_min_c, reach_c), reach_c)


def direct_is_enough(source_c: float, supply_c: float, pinch_k: float = PINCH_K) -> bool:
    """True when the loop is hot enough to serve the customer through a heat exchanger, without a heat pump."""
    return source_c >= supply_c + pinch_k
