"""The exact optimum of tiny problems: every start, pool and cap profile of every job is written out, nothing is clever.

It exists to be believed. Each option becomes one 0/1 column of a single small integer program whose plant rows are stated
here a second time, from the definitions, without a line of the optimising model. Feasible for about 4 jobs, 6 slots, 2 pools
and 2 power points; steps must be single slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import highspy
import numpy as np

from scheduler.core.planning.recount import draws_kw, job_terms, slot_shares, tail_energy_eur
from scheduler.domain.errors import Misconfigured
from scheduler.domain.plan import PlannedJob, RunOption
from scheduler.domain.problem import PlanJob, PlanPlug, PlanProblem
from scheduler.domain.time import FloatArray

INF = float("inf")
THREADS = 1
MOST_OPTIONS = 20000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BruteOptimum:
    """Proven optimum: cost in EUR, what each job does, heat sold per customer and slot in kW."""

    cost_eur: float
    jobs: tuple[PlannedJob, ...]
    sold_kw: dict[str, FloatArray]


@dataclass(slots=True)
class _Program:
    """Columns and rows as plain lists; a row is (lower, upper, {column: value})."""

    cost: list[float] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    rows: list[tuple[float, float, dict[int, float]]] = field(default_factory=list)

    def column(self, cost: float = 0.0, upper: float = INF, lower: float = 0.0, whole: bool = False) -> int:
        """Add a variable and return its index."""
        self.cost.append(cost)
        self.lower.append(lower)
        self.upper.append(upper)
        self.whole.append(whole)
        return len(self.cost) - 1

    def row(self, entries: dict[int, float], lower: float = -INF, upper: float = INF) -> None:
        """Add lower <= sum of value * column <= upper."""
        self.rows.append((lower, upper, entries))

    def solve(self) -> tuple[float, FloatArray]:
        """Optimal value and columns; the program always has a solution since every wish has a slack."""
        solver = highspy.Highs()  # type: ignore[no-untyped-call]  # highspy has no annotations
        for name, value in (("output_flag", False), ("threads", THREADS), ("mip_rel_gap", 0.0), ("mip_abs_gap", 1e-9)):
            solver.setOptionValue(name, value)
        for cost, lower, upper in zip(self.cost, self.lower, self.upper, strict=True):
            solver.addCol(cost, lower, upper, 0, np.array([], dtype=np.int32), np.array([]))
        for index, whole in enumerate(self.whole):
            if whole:
                solver.changeColIntegrality(index, highspy.HighsVarType.kInteger)
        for low, high, entries in self.rows:
            solver.addRow(low, high, len(entries), np.array(list(entries), dtype=np.int32), np.array(list(entries.values())))
        solver.run()
        if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise RuntimeError(f"brute force ended with {solver.getModelStatus()}")
        return float(solver.getInfo().objective_function_value), np.asarray(solver.getSolution().col_value, dtype=np.float64)


def brute_optimum(problem: PlanProblem) -> BruteOptimum:
    """Solve a tiny problem exactly, all slots integral.

    Raises:
        Misconfigured: when steps are not single slots or a job has too many options to write out.
    """
    if not bool((problem.step_slots == 1).all()):
        raise Misconfigured("brute force needs steps of one slot", where="step_slots", expected="all 1")
    program = _Program()
    chosen = [_add_job(program, problem, job) for job in problem.jobs]
    gpus, draw = _loads(program, problem, chosen)
    _add_capacity(program, problem, gpus)
    site: list[dict[int, float]] = [{} for _ in range(problem.grid.slots)]
    fixed = _add_pools(program, problem, draw, site)
    sold = {
        offtake.offtake_id: [_sale(program, problem, index, slot) for slot in range(problem.grid.slots)]
        for index, offtake in enumerate(problem.offtakes)
    }
    for index in range(len(problem.plugs)):
        _add_plug(program, problem, index, draw, (site, sold))
    _add_promises(program, problem, sold)
    _add_site(program, problem, site, draw)
    value, columns = program.solve()
    return BruteOptimum(
        cost_eur=value + fixed,
        jobs=tuple(_planned(job, options, columns) for job, options in zip(problem.jobs, chosen, strict=True)),
        sold_kw={name: columns[index] for name, index in sold.items()},
    )


def profiles(problem: PlanProblem, job: PlanJob, work_s: float) -> Iterator[tuple[tuple[int, ...], float]]:
    """All cap profiles that do `work_s` of work: (points per slot, fraction of the last slot that is used)."""
    slot_s = float(problem.grid.slot_s)
    open_ones: list[tuple[tuple[int, ...], float]] = [((), work_s)]
    while open_ones:
        points, left_s = open_ones.pop()
        for index, point in enumerate(job.points):
            done_s = point.speed * slot_s
            if left_s <= done_s + 1e-6:
                yield (*points, index), max(1e-9, left_s / done_s)
            else:
                open_ones.append(((*points, index), left_s - done_s))


def options_of(problem: PlanProblem, job: PlanJob) -> Iterator[tuple[RunOption, bool]]:
    """Every allowed run of a job and whether it needs a stop first."""
    running = job.running_pool is not None
    may_stop = running and job.stoppable and job.stop_slot <= 0
    last = problem.grid.slots - 1
    if job.latest_start_slot is not None:
        last = min(last, max(job.latest_start_slot, job.release_slot))
    for start in range(job.release_slot, last + 1):
        stopped = running and start > 0
        if stopped and not may_stop:
            return
        for pool in (job.running_pool,) if job.running_pool is not None else job.pools:
            for points, fraction in profiles(problem, job, job.work_s + (job.resume_work_s if stopped else 0.0)):
                yield (
                    RunOption(
                        start_slot=start, pool=pool, points=np.array(points, dtype=np.int64), last_slot_fraction=fraction
                    ),
                    stopped,
                )


_Chosen = tuple[PlanJob, list[tuple[int, PlannedJob]], int]


def _add_job(program: _Program, problem: PlanProblem, job: PlanJob) -> _Chosen:
    """One 0/1 column per option and one for leaving the job out (unless it runs and must go on); exactly one of them is 1."""
    found: list[tuple[int, PlannedJob]] = []
    for option, stopped in options_of(problem, job):
        planned = PlannedJob(job_id=job.job_id, options=(option,), stopped=stopped)
        cost = sum(job_terms(problem, job, planned).values()) + tail_energy_eur(problem, job, option)
        found.append((program.column(cost, 1.0, whole=True), planned))
        if len(found) > MOST_OPTIONS:
            raise Misconfigured("too many options for brute force", where=job.job_id, expected=f"at most {MOST_OPTIONS}")
    goes_on = job.running_pool is not None and not (job.stoppable and job.stop_slot <= 0)
    left_out = program.column(job.unplaced_eur, 0.0 if goes_on else 1.0, whole=True)
    program.row({column: 1.0 for column, _ in found} | {left_out: 1.0}, 1.0, 1.0)
    return job, found, left_out


def _loads(
    program: _Program, problem: PlanProblem, chosen: list[_Chosen]
) -> tuple[list[list[dict[int, float]]], list[list[int]]]:
    """GPUs held per pool and slot as sums of columns; extra draw in kW per pool and slot as a column of its own."""
    slots = problem.grid.slots
    gpus: list[list[dict[int, float]]] = [[{} for _ in range(slots)] for _ in problem.pools]
    power: list[list[dict[int, float]]] = [[{} for _ in range(slots)] for _ in problem.pools]
    for job, found, _ in chosen:
        for column, planned in found:
            option = planned.options[0]
            kw = draws_kw(problem, job, option) * slot_shares(option)
            for ahead in range(min(len(kw), slots - option.start_slot)):
                gpus[option.pool][option.start_slot + ahead][column] = float(job.gpus)
                power[option.pool][option.start_slot + ahead][column] = float(kw[ahead])
    draw = [[program.column() for _ in range(slots)] for _ in problem.pools]
    for pool in range(len(problem.pools)):
        for slot in range(slots):
            program.row(power[pool][slot] | {draw[pool][slot]: -1.0}, 0.0, 0.0)
    return gpus, draw


def _add_capacity(program: _Program, problem: PlanProblem, gpus: list[list[dict[int, float]]]) -> None:
    """GPUs held <= GPUs free + slack."""
    for pool, per_slot in zip(problem.pools, gpus, strict=True):
        for slot, held in enumerate(per_slot):
            slack = program.column(problem.penalties.capacity_eur_per_gpu_h * problem.grid.slot_h)
            program.row(held | {slack: -1.0}, upper=float(pool.gpus_free[slot]))


def _price(problem: PlanProblem, slot: int) -> float:
    """All-in price of electricity, EUR/kWh."""
    return float(problem.spot_eur_per_kwh[slot] + problem.adder_eur_per_kwh[slot] + problem.carbon_eur_per_kwh[slot])


def _add_pools(program: _Program, problem: PlanProblem, draw: list[list[int]], site: list[dict[int, float]]) -> float:
    """Electricity of IT, overhead, room and of rejecting all heat; returns the constant part in EUR (base load)."""
    fixed = 0.0
    for pool, columns in zip(problem.pools, draw, strict=True):
        plug = problem.plugs[pool.plug]
        caught, slope = pool.captured_kw_per_draw_kw, pool.it_kw_per_draw_kw
        per_draw = (
            (1 + problem.overhead_fraction) * slope + plug.room_kw_per_kw * (slope - caught) + plug.rejection_kw_per_kw * caught
        )
        for slot, column in enumerate(columns):
            program.cost[column] += per_draw * _price(problem, slot) * problem.grid.slot_h
            site[slot][column] = per_draw
            fixed += base_kw_el(problem, pool.plug, float(pool.base_it_kw[slot]), float(pool.base_captured_kw[slot])) * (
                _price(problem, slot) * problem.grid.slot_h
            )
    return fixed


def base_kw_el(problem: PlanProblem, plug: int, it_kw: float, captured_kw: float) -> float:
    """Electric kW of IT power whose captured heat is all rejected."""
    plant = problem.plugs[plug]
    cooling = plant.room_kw_per_kw * (it_kw - captured_kw) + plant.rejection_kw_per_kw * captured_kw
    return (1 + problem.overhead_fraction) * it_kw + cooling


def _sale(program: _Program, problem: PlanProblem, offtake: int, slot: int) -> int:
    """Heat sold to one customer in one slot."""
    customer = problem.offtakes[offtake]
    return program.column(-float(customer.price_eur_per_kwh[slot]) * problem.grid.slot_h, float(customer.demand_kw[slot]))


def _add_plug(
    program: _Program,
    problem: PlanProblem,
    index: int,
    draw: list[list[int]],
    links: tuple[list[dict[int, float]], dict[str, list[int]]],
) -> None:
    """Recovery, pump, tank, ramp and balance of one plug, slot by slot."""
    site, sold = links
    plug, slot_h = problem.plugs[index], problem.grid.slot_h
    tank_before, on_before, delivered_before = -1, -1, -1
    for slot in range(problem.grid.slots):
        price, rated = _price(problem, slot), float(plug.rated_heat_kw[slot])
        per_recovered = 1.0 if plug.cop is None else float(plug.cop[slot] / (plug.cop[slot] - 1.0))
        electric = (0.0 if plug.cop is None else 1.0 / float(plug.cop[slot])) - plug.rejection_kw_per_kw / per_recovered
        delivered = program.column(electric * price * slot_h, rated)
        site[slot][delivered] = electric
        mine = [pool for pool, one in enumerate(problem.pools) if one.plug == index]
        caught = {draw[pool][slot]: -problem.pools[pool].captured_kw_per_draw_kw for pool in mine}
        base = sum(float(problem.pools[pool].base_captured_kw[slot]) for pool in mine)
        program.row(caught | {delivered: 1.0 / per_recovered}, upper=base)
        _add_rejection(program, problem, plug, (caught, delivered, per_recovered, base))
        on_before = _add_pump(program, plug, (slot, delivered, rated), on_before)
        delivered_before = _add_ramp(program, problem, plug, delivered, delivered_before)
        customers = {sold[one.offtake_id][slot]: -1.0 for one in problem.offtakes if one.plug == index}
        tank_before = _add_balance(program, problem, plug, customers | {delivered: 1.0}, (tank_before, slot, site[slot]))
    _add_tank_end(program, problem, plug, tank_before)


def _add_rejection(
    program: _Program, problem: PlanProblem, plug: PlanPlug, heat: tuple[dict[int, float], int, float, float]
) -> None:
    """Captured - recovered <= what the dry cooler takes + slack."""
    caught, delivered, per_recovered, base = heat
    if plug.rejection_max_kw is not None:
        slack = program.column(problem.penalties.rejection_eur_per_kwh * problem.grid.slot_h)
        taken = {column: -value for column, value in caught.items()}
        program.row(taken | {delivered: -1.0 / per_recovered, slack: -1.0}, upper=plug.rejection_max_kw - base)


def _add_pump(program: _Program, plug: PlanPlug, now: tuple[int, int, float], on_before: int) -> int:
    """Minimum load while on, and the price of a start."""
    slot, delivered, rated = now
    if plug.cop is None or (plug.min_load_fraction <= 0.0 and plug.start_cost_eur <= 0.0):
        return -1
    on, start = program.column(0.0, 1.0, whole=True), program.column(plug.start_cost_eur, 1.0)
    program.row({delivered: 1.0, on: -rated}, upper=0.0)
    program.row({delivered: 1.0, on: -plug.min_load_fraction * rated}, lower=0.0)
    before = {} if slot == 0 else {on_before: 1.0}
    program.row({start: 1.0, on: -1.0} | before, lower=-1.0 if slot == 0 and plug.pump_on else 0.0)
    return on


def _add_ramp(program: _Program, problem: PlanProblem, plug: PlanPlug, delivered: int, before: int) -> int:
    """|delivered - delivered of the slot before| <= ramp * h + slack."""
    if plug.ramp_kw_per_h is None:
        return delivered
    limit, price = plug.ramp_kw_per_h * problem.grid.slot_h, problem.penalties.ramp_eur_per_kwh * problem.grid.slot_h
    if before < 0 and plug.delivered_kw is None:
        return delivered
    known = {} if before < 0 else {before: -1.0}
    level = plug.delivered_kw if before < 0 and plug.delivered_kw is not None else 0.0
    up, down = program.column(price), program.column(price)
    program.row({delivered: 1.0, up: -1.0} | known, upper=limit + level)
    program.row({delivered: 1.0, down: 1.0} | known, lower=level - limit)
    return delivered


def _add_balance(
    program: _Program, problem: PlanProblem, plug: PlanPlug, heat: dict[int, float], place: tuple[int, int, dict[int, float]]
) -> int:
    """Delivered + discharged = sold + charged + dumped + pipe loss; level = old level with loss + charge - discharge.

    Dumped heat leaves through the dry cooler. `place` is (tank column before or -1, slot, site row of the slot).
    """
    tank_before, slot, site = place
    slot_h = problem.grid.slot_h
    dumped = program.column(plug.rejection_kw_per_kw * _price(problem, slot) * slot_h)
    site[dumped] = plug.rejection_kw_per_kw
    charge, discharge = program.column(0.0, plug.max_charge_kw), program.column(0.0, plug.max_discharge_kw)
    program.row(heat | {discharge: 1.0, charge: -1.0, dumped: -1.0}, plug.pipe_loss_kw, plug.pipe_loss_kw)
    level = program.column(0.0, plug.tank_capacity_kwh, plug.tank_min_kwh)
    kept = (1.0 - plug.tank_loss_per_h_fraction) ** slot_h
    before = {} if tank_before < 0 else {tank_before: -kept}
    known = (kept * plug.tank_level_kwh if tank_before < 0 else 0.0) - plug.tank_fixed_loss_kw * slot_h
    program.row({level: 1.0, charge: -slot_h, discharge: slot_h} | before, known, known)
    return level


def _add_tank_end(program: _Program, problem: PlanProblem, plug: PlanPlug, level: int) -> None:
    """Level at the end + deficit >= wish; what is left has a worth."""
    if level >= 0:
        deficit = program.column(problem.penalties.tank_end_eur_per_kwh)
        program.row({level: 1.0, deficit: 1.0}, lower=plug.tank_end_kwh)
        program.cost[level] -= plug.tank_end_value_eur_per_kwh


def _add_promises(program: _Program, problem: PlanProblem, sold: dict[str, list[int]]) -> None:
    """Sold in the window + shortfall >= promised."""
    for promise in problem.commitments:
        short = program.column(promise.shortfall_eur_per_kwh)
        window = sold[problem.offtakes[promise.offtake].offtake_id][promise.start_slot : promise.end_slot]
        program.row(dict.fromkeys(window, problem.grid.slot_h) | {short: 1.0}, lower=promise.required_kwh)


def _add_site(program: _Program, problem: PlanProblem, site: list[dict[int, float]], draw: list[list[int]]) -> None:
    """Import <= limit + slack; the highest import above the peak so far is charged."""
    above = program.column(problem.demand_charge_eur_per_kw)
    for slot, entries in enumerate(site):
        base = sum(
            base_kw_el(problem, pool.plug, float(pool.base_it_kw[slot]), float(pool.base_captured_kw[slot]))
            for pool in problem.pools
        )
        if np.isfinite(problem.site_limit_kw[slot]):
            slack = program.column(problem.penalties.site_eur_per_kwh * problem.grid.slot_h)
            program.row(entries | {slack: -1.0}, upper=float(problem.site_limit_kw[slot]) - base)
        if problem.demand_charge_eur_per_kw > 0.0:
            program.row(entries | {above: -1.0}, upper=problem.peak_kw - base)


def _planned(job: PlanJob, options: _Chosen, columns: FloatArray) -> PlannedJob:
    """The chosen option of a job, or none."""
    for column, planned in options[1]:
        if columns[column] > 0.5:
            return planned
    return PlannedJob(job_id=job.job_id, options=(), unplaced_fraction=1.0)
