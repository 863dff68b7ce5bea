"""The plant as a linear program: heat recovery, heat pump, tank, sale, promises and all electricity, row by row.

Per plug and row of h hours, in mean kW (captured C, recovered R, delivered Q, charge c, discharge d, dumped D, sold S_o):

    C = sum_z (base + kappa_z P_z)                 captured of idle GPUs, hosts and extra draw P
    R <= C;  Q = R COP / (COP - 1)  (direct: Q = R);  Q <= rated
    a Q + d = c + sum_o S_o + D                    a = 1 - pipe loss / rated
    E_k <= E_(k-1) (1 - l)^h + h c - h (1 - l)^h d;  0 <= E <= capacity;  E_last + deficit >= end level
    S_o <= demand
    m rated on_k <= Q_k <= rated on_k,     b_(k-1) + b_k - 1 - n_k <= on_k <= b_(k-1) + n_k,     b_k <= b_(k-1) + n_k
    R_k <= on_k sum_z base + sum_z kappa_z P_zk                                              (where the loop has no lag)
    (1 - tolerance) promise <= delivered kWh + shortfall

Every line holds as a mean over a row for whatever was done inside the row, so the program is a relaxation of any plant
operation with finer slots. Two lines need a word. *Tank*: heat charged early in a row loses up to l, heat taken late saves up
to l, hence the factor on d and none on c; where rows are the slots of the plant itself nothing is early or late, and both have
none: else heat that goes in and out at once would be a little more when it comes out. *Pump*: on_k is the share of the row in
which it runs, b_k whether it runs at the row's end, n_k how often it starts in the row: it cannot run in a row without having
run before or starting, and one that runs at both ends without a start has run all the time. b and n are integers in
`PlantAtPrices.exact`, relaxed otherwise. What idle GPUs give off while it stands is lost to it, so of the base load only the
share on_k can be recovered: idle heat below the least load is worth nothing even to a pump that is a little on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.bound.lp import INF, LinearProgram
from scheduler.core.planning.bound.problem import BoundOfftake, BoundPlug, BoundProblem
from scheduler.domain.time import FloatArray, IntArray

NONE: IntArray = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlugColumns:
    """Where the flows of one plug are: recovered heat, charge and discharge in kW, share of the row in which the pump runs.

    Empty where there is no tank, no pump. pump: see `PlantColumns`. heat_per_recovered: delivered heat per recovered heat.
    """

    recovered: IntArray
    share: IntArray
    pump: IntArray
    charge: IntArray
    discharge: IntArray
    heat_per_recovered: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlantColumns:
    """Where the couplings live in a program: indices (pools, rows) of GPUs in use and of extra draw in kW.

    pump: indices of the variables that are whole numbers in truth (on at the end of a row, starts in a row). plugs, sold: the
    flows of each plug, and the sale to each customer (rows,), in the order of the problem.
    """

    gpus: IntArray
    draw: IntArray
    pump: IntArray
    plugs: tuple[PlugColumns, ...]
    sold: tuple[IntArray, ...]
    fixed_eur: float

    @property
    def free_states(self) -> tuple[FloatArray, FloatArray]:
        """Least and most of `pump` where nothing holds it: on or off, and any number of starts."""
        most = [part for plug in self.plugs for part in (np.ones(len(plug.pump) // 2), np.full(len(plug.pump) // 2, INF))]
        return np.zeros(len(self.pump)), np.concatenate([np.zeros(0), *most])


def add_plant(lp: LinearProgram, problem: BoundProblem) -> PlantColumns:
    """Add all plugs, customers and pools; the constant part of the electricity bill is returned as `fixed_eur`."""
    gpus, draw = _pools(lp, problem)
    fixed = sum(
        float(np.sum(problem.price_eur_per_kwh * problem.row_h)) * _base_electric_kw(problem, index)
        for index in range(len(problem.plugs))
    )
    sold = [NONE] * len(problem.offtakes)
    plugs = []
    for index in range(len(problem.plugs)):
        mine = [number for number, offtake in enumerate(problem.offtakes) if offtake.plug == index]
        for number in mine:
            sold[number] = _sale(lp, problem, problem.offtakes[number])
        plugs.append(_plug(lp, problem, index, draw, [sold[number] for number in mine]))
    pump = np.concatenate([NONE, *(plug.pump for plug in plugs)])
    return PlantColumns(gpus=gpus, draw=draw, pump=pump, plugs=tuple(plugs), sold=tuple(sold), fixed_eur=fixed)


def _base_electric_kw(problem: BoundProblem, index: int) -> float:
    """Electric kW of a plug's pools without jobs and without recovery: IT, overhead, room and dry cooler."""
    plug = problem.plugs[index]
    mine = [pool for pool in problem.pools if pool.plug == index]
    it_kw, captured_kw = sum(pool.base_it_kw for pool in mine), sum(pool.base_captured_kw for pool in mine)
    cooling = plug.room_kw_per_kw * (it_kw - captured_kw) + plug.rejection_kw_per_kw * captured_kw
    return (1.0 + problem.overhead_fraction) * it_kw + cooling


def draw_price_eur_per_kwh(problem: BoundProblem, pool_index: int) -> FloatArray:
    """(rows,) cost of a kWh of extra draw when its heat is rejected: host slope, overhead, room and dry cooler."""
    pool = problem.pools[pool_index]
    plug = problem.plugs[pool.plug]
    caught, it = pool.captured_kw_per_draw_kw, pool.it_kw_per_draw_kw
    kw = (1.0 + problem.overhead_fraction) * it + plug.room_kw_per_kw * (it - caught) + plug.rejection_kw_per_kw * caught
    return problem.price_eur_per_kwh * kw


def _pools(lp: LinearProgram, problem: BoundProblem) -> tuple[IntArray, IntArray]:
    """GPUs in use (at most those there are) and extra draw (at most what they can draw), (pools, rows) each."""
    count, gpus, draw = problem.rows, [], []
    for index, pool in enumerate(problem.pools):
        busy = lp.variables(count, upper=pool.gpus)
        power = lp.variables(count, cost=draw_price_eur_per_kwh(problem, index) * problem.row_h)
        row = lp.constraints(count, upper=0.0)
        lp.put(row, power, 1.0)
        lp.put(row, busy, -pool.max_extra_kw_per_gpu)
        gpus.append(busy)
        draw.append(power)
    return np.stack(gpus), np.stack(draw)


def _sale(lp: LinearProgram, problem: BoundProblem, offtake: BoundOfftake) -> IntArray:
    """Heat sold to one customer, and the best promise of every hour that can be promised."""
    hours = problem.row_h
    sold = lp.variables(problem.rows, cost=-offtake.price_eur_per_kwh * hours, upper=np.maximum(0.0, offtake.demand_kw))
    count = len(offtake.sale_hours)
    if not count:
        return sold
    most = np.array([hour.most_kwh for hour in offtake.sale_hours])
    promise = lp.variables(count, cost=-offtake.capacity_eur_per_kwh, upper=most)
    short = lp.variables(count, cost=offtake.shortfall_eur_per_kwh)
    row = lp.constraints(count, lower=0.0)
    lp.put(row, promise, -(1.0 - offtake.tolerance_fraction))
    lp.put(row, short, 1.0)
    for index, hour in enumerate(offtake.sale_hours):
        inside = np.arange(hour.first, hour.last)
        lp.put(row[[index]], sold[inside], hours[inside])
    return sold


def _plug(lp: LinearProgram, problem: BoundProblem, index: int, draw: IntArray, sold: list[IntArray]) -> PlugColumns:
    """Recovery, pump, tank and balance of one plug."""
    plug, count = problem.plugs[index], problem.rows
    price_eur = problem.price_eur_per_kwh * problem.row_h
    pump_kw_per_kw = 0.0 if plug.cop is None else 1.0 / (plug.cop - 1.0)
    heat_per_recovered = 1.0 + pump_kw_per_kw
    recovered = lp.variables(count, cost=price_eur * (pump_kw_per_kw - plug.rejection_kw_per_kw))
    pools = [z for z, pool in enumerate(problem.pools) if pool.plug == index]
    caught = lp.constraints(count, upper=sum(problem.pools[z].base_captured_kw for z in pools))
    lp.put(caught, recovered, 1.0)
    for z in pools:
        lp.put(caught, draw[z], -problem.pools[z].captured_kw_per_draw_kw)
    if plug.lag_h > 0.0:
        _loop(lp, problem, index, caught)
    rated = np.maximum(0.0, plug.rated_heat_kw)
    share, pump = NONE, NONE
    if plug.cop is not None:
        share, pump = _pump(lp, plug, recovered, heat_per_recovered, rated)
        if plug.lag_h <= 0.0:
            _while_running(lp, problem, index, draw, recovered, share)
    balance = lp.constraints(count, lower=0.0)
    kept = np.where(rated > 0.0, np.maximum(0.0, 1.0 - plug.pipe_loss_kw / np.maximum(rated, 1e-9)), 0.0)
    lp.put(balance, recovered, heat_per_recovered * kept)
    if plug.cop is None:
        within = lp.constraints(count, upper=rated)
        lp.put(within, recovered, 1.0)
    for variables in sold:
        lp.put(balance, variables, -1.0)
    charge, discharge = _tank(lp, plug, problem, balance)
    return PlugColumns(
        recovered=recovered,
        share=share,
        pump=pump,
        charge=charge,
        discharge=discharge,
        heat_per_recovered=heat_per_recovered,
    )


def _loop(lp: LinearProgram, problem: BoundProblem, index: int, caught: IntArray) -> None:
    """Heat on its way through a loop with a lag: a store of lag x outflow, empty at the start.

    It holds at most lag x the largest captured power. Heat that comes out later than it was caught counts as room heat
    meanwhile and as rejected heat afterwards, which moves the difference of the two cooling powers in time.
    """
    plug, count = problem.plugs[index], problem.rows
    pools = [pool for pool in problem.pools if pool.plug == index]
    most = sum(pool.base_captured_kw + pool.captured_kw_per_draw_kw * pool.max_extra_kw_per_gpu * pool.gpus for pool in pools)
    store = lp.variables(count, upper=plug.lag_h * most)
    price = problem.price_eur_per_kwh * problem.row_h * (plug.rejection_kw_per_kw - plug.room_kw_per_kw)
    later = lp.variables(count, lower=-most, upper=most, cost=price)
    lp.put(caught, later, -1.0)
    rows = lp.constraints(count, lower=0.0, upper=0.0)
    lp.put(rows, store, 1.0)
    lp.put(rows[1:], store[:-1], -1.0)
    lp.put(rows, later, problem.row_h)


def _pump(
    lp: LinearProgram, plug: BoundPlug, recovered: IntArray, heat_per_recovered: float, rated: FloatArray
) -> tuple[IntArray, IntArray]:
    """Part load and rating while it runs, and the price of starts; at rest when the window begins.

    Returns:
        Variables of the share of each row in which it runs; its whole-number variables.
    """
    count = len(recovered)
    share, after = lp.variables(count, upper=1.0), lp.variables(count, upper=1.0)
    starts = lp.variables(count, cost=plug.start_cost_eur)
    rows = lp.constraints(count, upper=0.0)
    lp.put(rows, recovered, heat_per_recovered)
    lp.put(rows, share, -rated)
    rows = lp.constraints(count, lower=0.0)
    lp.put(rows, recovered, heat_per_recovered)
    lp.put(rows, share, -plug.min_load_fraction * rated)
    for variables in (share, after):
        rows = lp.constraints(count, upper=0.0)
        lp.put(rows, variables, 1.0)
        lp.put(rows, starts, -1.0)
        lp.put(rows[1:], after[:-1], -1.0)
    rows = lp.constraints(count, lower=-1.0)
    lp.put(rows, share, 1.0)
    lp.put(rows, starts, 1.0)
    lp.put(rows, after, -1.0)
    lp.put(rows[1:], after[:-1], -1.0)
    return share, np.concatenate([after, starts])


def _while_running(
    lp: LinearProgram, problem: BoundProblem, index: int, draw: IntArray, recovered: IntArray, share: IntArray
) -> None:
    """A pump recovers only what is captured while it runs: of the base load its share of the row, of extra draw all."""
    pools = [z for z, pool in enumerate(problem.pools) if pool.plug == index]
    rows = lp.constraints(len(recovered), upper=0.0)
    lp.put(rows, recovered, 1.0)
    lp.put(rows, share, -sum(problem.pools[z].base_captured_kw for z in pools))
    for z in pools:
        lp.put(rows, draw[z], -problem.pools[z].captured_kw_per_draw_kw)


def _tank(lp: LinearProgram, plug: BoundPlug, problem: BoundProblem, balance: IntArray) -> tuple[IntArray, IntArray]:
    """Level at the end of each row; a deficit at the end of the window costs the highest tariff of the window.

    Returns:
        Variables of charge and discharge in kW.
    """
    if plug.tank_capacity_kwh <= 0.0:
        return NONE, NONE
    row_h, count = problem.row_h, problem.rows
    level = lp.variables(count, upper=plug.tank_capacity_kwh)
    charge = lp.variables(count, upper=plug.max_charge_kw)
    discharge = lp.variables(count, upper=plug.max_discharge_kw)
    kept = (1.0 - plug.tank_loss_per_h_fraction) ** row_h
    begin = np.zeros(count)
    begin[0] = plug.tank_start_kwh * kept[0]
    rows = lp.constraints(count, lower=-INF, upper=begin)
    lp.put(rows, level, 1.0)
    lp.put(rows[1:], level[:-1], -kept[1:])
    lp.put(rows, charge, -row_h)
    lp.put(rows, discharge, row_h if problem.steered else row_h * kept)
    lp.put(balance, charge, -1.0)
    lp.put(balance, discharge, 1.0)
    deficit = lp.variables(1, cost=plug.tank_deficit_eur_per_kwh)
    last = lp.constraints(1, lower=plug.tank_end_kwh)
    lp.put(last, level[-1:], 1.0)
    lp.put(last, deficit, 1.0)
    return charge, discharge
