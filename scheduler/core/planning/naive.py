"""The model that one writes first: a 0/1 variable for every job, pool, cap level and start, all at once, in PuLP with CBC.

    min  plant(G, E, P) + sum_o cost_o x_o + sum_j unplaced_j u_j
    sum over the options o of job j of x_o + u_j = 1                                     every job
    sum of gpus_o x_o over the options that hold slot t of pool z <= free[z,t] + e[z,t]  every pool and slot
    mean over the slots of step k of gpus_o x_o = G[z,k] + E[z,k],  of kw_o x_o = P[z,k] every pool and step

It stands beside the planner in the benchmark and nowhere else. A cap level holds for a whole run, every slot of the horizon is
decided (pumps included) and GPUs are counted slot by slot, so that the planner's proven bound is one for this model too. The
plant's rows are those of the planner; an option's cost is counted as in `recount`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pulp
from pulp.apis.coin_api import pulp_cbc_path

from scheduler.core.planning.aggregate import add_plant, envelope_of
from scheduler.core.planning.frame import Frame, frame_of
from scheduler.core.planning.plant_families import PlantVars, Scale
from scheduler.core.planning.program import Builder, LpArrays
from scheduler.core.planning.recount import draws_kw, job_terms
from scheduler.domain.plan import PlannedJob, RunOption
from scheduler.domain.problem import PlanJob, PlanProblem
from scheduler.domain.time import FloatArray

Seconds = Callable[[], float]
Terms = list[tuple[pulp.LpVariable, float]]

# CBC's log: "... Integer solution of 3.5 found by greedy ... (0.02 seconds)", the same word for other ways to find one.
FOUND = re.compile(r"Cbc00(?:04|12|16)I Integer solution of (\S+) found .*\((\S+) seconds\)")
LOWER = re.compile(r"^Lower bound:\s+(\S+)", re.MULTILINE)
POSSIBLE = re.compile(r"best possible (\S+) \(")
NO_BOUND = -1e49


@dataclass(frozen=True, slots=True, kw_only=True)
class NaiveResult:
    """What CBC made of it, without the constant base load.

    objective_eur: best plan, None when there is none; bound_eur: CBC's own proven bound, None when unknown. finished:
    within the wanted gap. variables, binaries, rows: size of the model. build_s, solve_s: seconds by the caller's clock.
    incumbents: (seconds since CBC began, EUR) of every plan that CBC reported on its way.
    """

    objective_eur: float | None
    bound_eur: float | None
    finished: bool
    variables: int
    binaries: int
    rows: int
    build_s: float | None = None
    solve_s: float | None = None
    incumbents: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NaiveModel:
    """The program and how many of its variables are 0/1."""

    program: pulp.LpProblem
    variables: int
    binaries: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Loads:
    """Terms of the load rows: GPUs held per (pool, slot), extra draw in kW per (pool, step)."""

    gpus: dict[tuple[int, int], Terms] = field(default_factory=dict)
    draw_kw: dict[tuple[int, int], Terms] = field(default_factory=dict)


def naive_solve(
    problem: PlanProblem,
    time_limit_s: float,
    *,
    log_path: str,
    gap_fraction: float = 0.01,
    clock_s: Seconds | None = None,
) -> NaiveResult:
    """Write the model and let CBC try on one thread.

    Args:
        problem: what is to be planned.
        time_limit_s: CBC's limit, wall clock.
        log_path: file for CBC's log: it tells its bound and its progress nowhere else.
        gap_fraction: gap at which CBC may stop.
        clock_s: a clock for `build_s` and `solve_s`.
    """
    began_s = _read(clock_s)
    model = build_naive(problem)
    built_s = _read(clock_s)
    cbc = pulp.COIN_CMD(path=pulp_cbc_path, msg=False, threads=1, timeLimit=time_limit_s, gapRel=gap_fraction, logPath=log_path)
    model.program.solve(cbc)
    ended_s = _read(clock_s)
    log = Path(log_path).read_text(encoding="utf-8", errors="replace")
    some = model.program.sol_status in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible)
    objective_eur = float(pulp.value(model.program.objective)) if some else None
    finished = some and "Result - Optimal solution found" in log
    return NaiveResult(
        objective_eur=objective_eur,
        bound_eur=cbc_bound(log, objective_eur if finished else None),
        finished=finished,
        variables=model.variables,
        binaries=model.binaries,
        rows=model.rows,
        build_s=None if began_s is None or built_s is None else built_s - began_s,
        solve_s=None if ended_s is None or built_s is None else ended_s - built_s,
        incumbents=cbc_incumbents(log),
    )


def _read(clock_s: Seconds | None) -> float | None:
    """Seconds of a clock, if there is one."""
    return None if clock_s is None else clock_s()


def cbc_bound(log: str, optimum_eur: float | None) -> float | None:
    """CBC's last proven bound; the optimum itself when the search ended and no gap is printed."""
    found = LOWER.findall(log) or POSSIBLE.findall(log)[-1:]
    if found:
        bound = float(found[-1])
        return bound if bound > NO_BOUND else None
    return optimum_eur


def cbc_incumbents(log: str) -> tuple[tuple[float, float], ...]:
    """(seconds, EUR) of the plans in a log, in order."""
    return tuple((float(seconds), float(value)) for value, seconds in FOUND.findall(log))


def build_naive(problem: PlanProblem) -> NaiveModel:
    """Write every option of every job, the load rows and the plant."""
    frame = frame_of(problem)
    build = Builder()
    plant, scale = add_plant(build, problem, frame, envelope_of(problem), integral_steps=frame.steps)
    arrays = build.build()
    program = pulp.LpProblem("naive", pulp.LpMinimize)
    columns = [
        program.add_variable(f"p{index}", lower, None if np.isinf(upper) else upper, _kind(whole))
        for index, (lower, upper, whole) in enumerate(
            zip(arrays.lower.tolist(), arrays.upper.tolist(), arrays.integer.tolist(), strict=True)
        )
    ]
    loads, costs = _Loads(), _costs(columns, arrays.cost)
    for number, job in enumerate(problem.jobs):
        _add_job(program, (problem, frame), (number, job), loads, costs)
    slack = _add_capacity(program, problem, loads)
    _add_loads(program, (problem, frame), (loads, slack), (plant, scale, columns))
    _add_rows(program, arrays, columns)
    program.setObjective(pulp.LpAffineExpression(costs))
    variables = program.variables()
    binaries = sum(one.cat == pulp.LpInteger for one in variables)
    return NaiveModel(program=program, variables=len(variables), binaries=binaries, rows=len(program.constraints()))


def _kind(whole: bool) -> str:
    """PuLP's word for a kind of variable."""
    return str(pulp.LpInteger if whole else pulp.LpContinuous)


def _costs(columns: list[pulp.LpVariable], cost: FloatArray) -> Terms:
    """Terms of the objective."""
    return [(columns[index], float(cost[index])) for index in np.nonzero(cost)[0]]


def _row(program: pulp.LpProblem, terms: Terms, sense: int, rhs: float) -> None:
    """Add one row."""
    program.addConstraint(pulp.LpConstraint(pulp.LpAffineExpression(terms), sense, rhs=rhs))


def _add_rows(program: pulp.LpProblem, arrays: LpArrays, columns: list[pulp.LpVariable]) -> None:
    """The plant's rows, from arrays; two-sided ones become two."""
    for number, (lower, upper) in enumerate(zip(arrays.row_lower.tolist(), arrays.row_upper.tolist(), strict=True)):
        inside = slice(arrays.start[number], arrays.start[number + 1])
        terms = [
            (columns[index], value)
            for index, value in zip(arrays.index[inside].tolist(), arrays.value[inside].tolist(), strict=True)
        ]
        if lower == upper:
            _row(program, terms, pulp.LpConstraintEQ, lower)
            continue
        if np.isfinite(lower):
            _row(program, terms, pulp.LpConstraintGE, lower)
        if np.isfinite(upper):
            _row(program, terms, pulp.LpConstraintLE, upper)


# --- jobs


def _add_job(
    program: pulp.LpProblem, world: tuple[PlanProblem, Frame], which: tuple[int, PlanJob], loads: _Loads, costs: Terms
) -> None:
    """All options of one job, their cost and their load; a running job cannot be left out."""
    problem, frame = world
    number, job = which
    unplaced = program.add_variable(f"u{number}", 0, 0 if job.running_pool is not None else 1, pulp.LpInteger)
    once: Terms = [(unplaced, 1.0)]
    costs.append((unplaced, job.unplaced_eur))
    for option, eur in options_of(problem, frame, job):
        name = f"x{number}_{option.pool}_{int(option.points[0])}_{option.start_slot}"
        variable = program.add_variable(name, 0, 1, pulp.LpInteger)
        once.append((variable, 1.0))
        costs.append((variable, eur))
        _load(world, (job, option), variable, loads)
    _row(program, once, pulp.LpConstraintEQ, 1.0)


def options_of(problem: PlanProblem, frame: Frame, job: PlanJob) -> Iterator[tuple[RunOption, float]]:
    """Every start of a job on every pool at every level held for the whole run, and its cost in EUR.

    The cost is electricity by the slot (the horizon's, then the tail's) and the job terms of `recount`.
    """
    running = job.running_pool is not None
    may_stop = running and job.stoppable and job.stop_slot <= 0
    last = frame.slots - 1 if job.latest_start_slot is None else max(job.latest_start_slot, job.release_slot)
    starts = range(min(last, 0 if running and not may_stop else frame.slots - 1) + 1)
    for pool in (job.running_pool,) if job.running_pool is not None else job.pools:
        for level, point in enumerate(job.points):
            for start in starts[0 if running else max(0, job.release_slot) :]:
                stopped = running and start > 0
                work_s = job.work_s + (job.resume_work_s if stopped else 0.0)
                length = max(1e-6, work_s / (point.speed * frame.slot_s))
                slots = max(1, int(np.ceil(length - 1e-9)))
                option = RunOption(
                    start_slot=start,
                    pool=pool,
                    points=np.full(slots, level, dtype=np.int64),
                    last_slot_fraction=length - (slots - 1),
                )
                planned = PlannedJob(job_id=job.job_id, options=(option,), stopped=stopped)
                terms = sum(job_terms(problem, job, planned).values())
                yield option, terms + _electricity_eur(problem, frame, job, option)


def _electricity_eur(problem: PlanProblem, frame: Frame, job: PlanJob, option: RunOption) -> float:
    """All-in price of the extra draw with overhead; its cooling and its heat are the plant's."""
    price = frame.extended_price_eur_per_kwh(max(0, option.end_slot - frame.slots))[option.start_slot : option.end_slot]
    used = float(price.sum() - (1.0 - option.last_slot_fraction) * price[-1])
    slope = problem.pools[option.pool].it_kw_per_draw_kw * (1.0 + problem.overhead_fraction)
    return float(draws_kw(problem, job, option)[0]) * slope * used * frame.slot_h


def _load(world: tuple[PlanProblem, Frame], run: tuple[PlanJob, RunOption], variable: pulp.LpVariable, loads: _Loads) -> None:
    """Enter one option into the load rows of the slots and steps that it touches inside the horizon."""
    problem, frame = world
    job, option = run
    kw = float(draws_kw(problem, job, option)[0])
    inside = range(option.start_slot, min(option.end_slot, frame.slots))
    for slot in inside:
        loads.gpus.setdefault((option.pool, slot), []).append((variable, float(job.gpus)))
    share = np.ones(len(inside))
    if option.end_slot <= frame.slots:
        share[-1] = option.last_slot_fraction
    steps, first = np.unique(frame.step_of[inside.start : inside.stop], return_index=True)
    means = np.add.reduceat(share, first) / frame.step_slots[steps]
    for step, mean in zip(steps.tolist(), means.tolist(), strict=True):
        loads.draw_kw.setdefault((option.pool, step), []).append((variable, kw * mean))


# --- loads


def _add_capacity(program: pulp.LpProblem, problem: PlanProblem, loads: _Loads) -> dict[tuple[int, int], pulp.LpVariable]:
    """GPUs held <= GPUs free + slack in every slot; returns the slacks, which the plant prices."""
    slack = {}
    for (pool, slot), terms in loads.gpus.items():
        slack[pool, slot] = program.add_variable(f"e{pool}_{slot}", 0)
        free = max(0.0, float(problem.pools[pool].gpus_free[slot]))
        _row(program, [*terms, (slack[pool, slot], -1.0)], pulp.LpConstraintLE, free)
    return slack


def _add_loads(
    program: pulp.LpProblem,
    world: tuple[PlanProblem, Frame],
    load: tuple[_Loads, dict[tuple[int, int], pulp.LpVariable]],
    plant: tuple[PlantVars, Scale, list[pulp.LpVariable]],
) -> None:
    """Tie the plant's G, E and P of every step to the options: E is the mean slack, G + E the mean of GPUs held, P the draw."""
    problem, frame = world
    loads, slack = load
    found, scale, columns = plant
    for pool in range(len(problem.pools)):
        for step in range(frame.steps):
            gpus, over, draw = (columns[index[pool, step]] for index in (found.gpus, found.over, found.draw))
            slots = [frame.step_start[step] + ahead for ahead in range(frame.step_slots[step])]
            share = 1.0 / len(slots)
            mean_slack = [(slack[pool, slot], share) for slot in slots if (pool, slot) in slack]
            _row(program, [*mean_slack, (over, -scale.gpus)], pulp.LpConstraintLE, 0.0)
            kw = loads.draw_kw.get((pool, step), [])
            _row(program, [*kw, (draw, -scale.kw)], pulp.LpConstraintEQ, 0.0)
            held = _mean_held(loads, pool, slots)
            _row(program, [*held, (gpus, -scale.gpus), (over, -scale.gpus)], pulp.LpConstraintLE, 0.0)


def _mean_held(loads: _Loads, pool: int, slots: list[int]) -> Terms:
    """Mean GPUs held over some slots; a variable that holds several of them appears once."""
    total: dict[str, tuple[pulp.LpVariable, float]] = {}
    for slot in slots:
        for variable, gpus in loads.gpus.get((pool, slot), []):
            before = total[variable.name][1] if variable.name in total else 0.0
            total[variable.name] = (variable, before + gpus / len(slots))
    return list(total.values())
