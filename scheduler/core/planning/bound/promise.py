"""What a plan that knows everything promises.

An hour counts as delivered from (1 - tolerance) of its promise on, so a sale S keeps a promise of S / (1 - tolerance). But firm
heat never exceeds deliverable heat: what the path sells in the hour, and what the plug could hand over on top of it as far as
the customer takes it. All in kWh of one delivery hour:

    promise = min( S / (1 - tolerance),  demand,  S + spare )
    spare   = heat that the running pump leaves in the loop + what is charged instead of sold + what the tank holds at its end

The bound promises what it likes, its demand or not. A plan may not: `wanted` takes the rest of it out of the problem.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scheduler.core.planning.bound.plant_path import PlantPath
from scheduler.core.planning.bound.problem import BoundOfftake, BoundPlug, BoundProblem, SaleHour
from scheduler.domain.time import FloatArray


def wanted(problem: BoundProblem) -> BoundProblem:
    """The problem of a plan: of no hour more is promised than the customer takes in it."""
    return replace(problem, offtakes=tuple(_wanted(one, problem.row_h) for one in problem.offtakes))


def _wanted(offtake: BoundOfftake, row_h: FloatArray) -> BoundOfftake:
    """One customer."""
    hours = tuple(
        replace(hour, most_kwh=min(hour.most_kwh, _kwh(offtake.demand_kw, row_h, hour))) for hour in offtake.sale_hours
    )
    return replace(offtake, sale_hours=hours)


def _kwh(power_kw: FloatArray, row_h: FloatArray, hour: SaleHour) -> float:
    """Energy of one delivery hour."""
    inside = slice(hour.first, hour.last)
    return float(power_kw[inside] @ row_h[inside])


def promised_kw(problem: BoundProblem, path: PlantPath, draw_kw: FloatArray) -> FloatArray:
    """(offtakes, rows) mean kW that a plan promises in the delivery hour of each row; its sale in rows of none.

    Customers of one plug come to its spare heat in their order.

    Args:
        problem: the window on the rows of the path.
        path: what the plant does.
        draw_kw: (pools, rows) extra draw that it was made for.
    """
    promised, row_h = path.sold_kw.copy(), problem.row_h
    spare = [_Spare(problem, index, path, draw_kw) for index in range(len(problem.plugs))]
    for number, offtake in enumerate(problem.offtakes):
        for hour in offtake.sale_hours:
            inside = slice(hour.first, hour.last)
            sold_kwh = _kwh(path.sold_kw[number], row_h, hour)
            more_kwh = min(spare[offtake.plug].kwh(hour), _kwh(offtake.demand_kw, row_h, hour) - sold_kwh)
            more_kwh = max(0.0, min(more_kwh, sold_kwh / (1.0 - offtake.tolerance_fraction) - sold_kwh))
            spare[offtake.plug].claim(hour, more_kwh)
            promised[number, inside] = (sold_kwh + more_kwh) / float(row_h[inside].sum())
    return promised


class _Spare:
    """Heat that one plug could hand over beyond a path, by delivery hour, less what has been promised of it."""

    def __init__(self, problem: BoundProblem, index: int, path: PlantPath, draw_kw: FloatArray) -> None:
        """Heat left in the loop while the pump runs, and the tank with what goes in and out of it."""
        plug, self._row_h = problem.plugs[index], problem.row_h
        caught_kw = np.zeros(problem.rows)
        for pool, extra_kw in zip(problem.pools, draw_kw, strict=True):
            if pool.plug == index:
                caught_kw += pool.base_captured_kw + pool.captured_kw_per_draw_kw * extra_kw
        per_caught = 1.0 if plug.cop is None else plug.cop / (plug.cop - 1.0)
        delivered_kw = path.delivered_kw[index]
        top_kw = np.minimum(np.maximum(0.0, plug.rated_heat_kw), per_caught * caught_kw)
        runs = delivered_kw > 0.0 if plug.cop is not None else np.ones(problem.rows, dtype=bool)
        self._flow_kw = np.where(runs, np.maximum(0.0, top_kw - delivered_kw), 0.0) + path.charge_kw[index]
        self._tank_kwh = _levels_kwh(plug, self._row_h, path.charge_kw[index], path.discharge_kw[index])
        self._tank_kw = np.maximum(0.0, plug.max_discharge_kw - path.discharge_kw[index])
        self._claimed: dict[SaleHour, float] = {}

    def kwh(self, hour: SaleHour) -> float:
        """What is left of an hour; of the tank what it holds at the hour's end, as fast as it gives it."""
        tank_kwh = min(float(self._tank_kwh[hour.last - 1]), _kwh(self._tank_kw, self._row_h, hour))
        return _kwh(self._flow_kw, self._row_h, hour) + tank_kwh - self._claimed.get(hour, 0.0)

    def claim(self, hour: SaleHour, kwh: float) -> None:
        """Promise some of it."""
        self._claimed[hour] = self._claimed.get(hour, 0.0) + kwh


def _levels_kwh(plug: BoundPlug, row_h: FloatArray, charge_kw: FloatArray, discharge_kw: FloatArray) -> FloatArray:
    """(rows,) tank level at the end of each row."""
    level_kwh, found = plug.tank_start_kwh, np.zeros(len(row_h))
    kept = (1.0 - plug.tank_loss_per_h_fraction) ** row_h
    for row, net_kwh in enumerate((charge_kw - discharge_kw) * row_h):
        level_kwh = max(0.0, level_kwh * float(kept[row]) + float(net_kwh))
        found[row] = level_kwh
    return found
