"""The plant's best for loads that are decided: what each pump, tank and customer gets in every row, pumps on or off in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.bound.lp import LinearProgram
from scheduler.core.planning.bound.plant import PlantColumns, add_plant
from scheduler.core.planning.bound.problem import BoundProblem
from scheduler.core.planning.bound.whole_runs import WholeRun
from scheduler.domain.time import FloatArray

# Share of the absolute cost at which branching on the pump's states stops.
PATH_GAP = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlantPath:
    """Mean kW per row: delivered heat, charge, discharge (plugs, rows), sale (offtakes, rows); cost_eur without jobs."""

    delivered_kw: FloatArray
    charge_kw: FloatArray
    discharge_kw: FloatArray
    sold_kw: FloatArray
    cost_eur: float


def mean_draw_kw(problem: BoundProblem, runs: Iterable[WholeRun]) -> FloatArray:
    """(pools, rows) mean extra draw of runs on the rows of a problem, which need not be the rows in which they were found."""
    edges, kwh = problem.edges_h, np.zeros((len(problem.pools), problem.rows))
    for run in runs:
        for begin_h, hours, extra_kw in zip(run.begin_h, run.hours, run.extra_kw, strict=True):
            first = int(np.searchsorted(edges, begin_h, side="right")) - 1
            last = int(np.searchsorted(edges, begin_h + hours, side="left"))
            inside = np.clip(edges[first : last + 1], begin_h, begin_h + hours)
            kwh[run.pool, first:last] += extra_kw * np.diff(inside)
    return kwh / problem.row_h


def plant_path(problem: BoundProblem, draw_kw: FloatArray, nodes: int = 200) -> PlantPath | None:
    """Best operation for given extra draw; None when none was found in `nodes` nodes.

    Args:
        problem: the window, its rows as short as the plant can be steered.
        draw_kw: (pools, rows) mean extra draw.
        nodes: of the branch and bound; its gap is 1e-4.
    """
    program = LinearProgram()
    columns = add_plant(program, problem)
    whole = np.zeros(program.columns, dtype=bool)
    whole[columns.pump] = True
    for plug in columns.plugs:
        whole[plug.share] = True
    solver = program.build(whole)
    index = columns.draw.ravel().astype(np.int32)
    solver.changeColsBounds(len(index), index, draw_kw.ravel(), draw_kw.ravel())
    solver.setOptionValue("mip_max_nodes", nodes)
    solver.setOptionValue("mip_rel_gap", PATH_GAP)
    solver.run()
    found, cost_eur = np.asarray(solver.getSolution().col_value), float(solver.getInfo().objective_function_value)
    if len(found) != program.columns or not np.isfinite(cost_eur):
        return None
    return _written(problem, columns, found, cost_eur + columns.fixed_eur)


def _written(problem: BoundProblem, columns: PlantColumns, found: FloatArray, cost_eur: float) -> PlantPath:
    """Flows out of a solution; no tank, no charge."""
    nothing = np.zeros(problem.rows)
    flows = [
        (
            plug.heat_per_recovered * found[plug.recovered],
            found[plug.charge] if len(plug.charge) else nothing,
            found[plug.discharge] if len(plug.discharge) else nothing,
        )
        for plug in columns.plugs
    ]
    delivered, charge, discharge = (np.stack([one[part] for one in flows]) for part in range(3))
    sold = np.stack([found[index] for index in columns.sold]) if columns.sold else np.zeros((0, problem.rows))
    return PlantPath(delivered_kw=delivered, charge_kw=charge, discharge_kw=discharge, sold_kw=sold, cost_eur=cost_eur)
