"""The foresight plan carried out: what knowing everything is worth in the very world that the strategies were judged in.

All runs are known before the first slot (`core/planning/bound/foresight_plan`): every command is given at once, every slot of
the plant follows the plan, and the world says what it cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from scheduler.core.planning.bound.build import UNKNOWN_DRAW_FRACTION, bound_problem
from scheduler.core.planning.bound.foresight_plan import ForesightPlan, foresight_plans
from scheduler.core.planning.bound.master import Prices
from scheduler.core.planning.bound.plant_path import PlantPath, mean_draw_kw, plant_path
from scheduler.core.planning.bound.problem import BoundProblem, BoundResult
from scheduler.core.planning.bound.promise import promised_kw, wanted
from scheduler.core.planning.bound.whole_runs import WholeRun
from scheduler.core.thermal.host import power_points
from scheduler.domain.decision import PlantSetpoint
from scheduler.domain.plan import Duals, Plan, PlanStatus, SolveReport
from scheduler.domain.site import Site
from scheduler.domain.time import FloatArray, TimeGrid
from scheduler.domain.world import JobTruth, Scenario
from scheduler.simulate.faults import Disturbances
from scheduler.simulate.knowledge import ALL_KNOWN
from scheduler.simulate.queueing import Discipline, Queue
from scheduler.simulate.truth import Truth
from scheduler.simulate.virtual_cluster import Command, VirtualCluster
from scheduler.simulate.virtual_job import VirtualJob
from scheduler.simulate.world import Clockwork, World
from scheduler.units import s_from_h

# Pieces of a run that are this close belong together.
TOUCHING_S = 1e-3


class Foretold:
    """Steering by a plan of the whole window; also the gate that lets each job go at its planned start."""

    def __init__(self, scenario: Scenario, plan: ForesightPlan, path: PlantPath, by_slot: BoundProblem) -> None:
        """Keep the plan; `path` has one row for each of `by_slot`."""
        slot_s = round(s_from_h(float(by_slot.row_h[0])))
        grid = TimeGrid(start_utc=scenario.start_utc, slot_s=slot_s, slots=by_slot.rows)
        self.site, self.path, self.grid = scenario.site, path, grid
        self.truths = [scenario.jobs[run.job] for run in plan.runs]
        self.runs = {truth.job.job_id: (run, truth) for run, truth in zip(plan.runs, self.truths, strict=True)}
        promised = promised_kw(by_slot, path, mean_draw_kw(by_slot, plan.runs))
        self.told = plan_of(scenario.site, plan, promised, grid)
        self.slot_of_plug = {plug.plug_id: index for index, plug in enumerate(scenario.site.plugs)}
        self._ordered = False

    def cycle(self, world: World) -> None:
        """Give every command at the first cycle."""
        if self._ordered:
            return
        self._ordered = True
        for run, truth in self.runs.values():
            job = world.cluster.jobs[truth.job.job_id]
            if job.insulated:
                continue
            for at_s, command in commands(self.site, run, truth):
                # Hours are rounded: a command a nanosecond before its job's submission would be lost.
                world.cluster.order(max(at_s, job.submit_s), command)

    def setpoints(self, world: World) -> Mapping[str, PlantSetpoint]:
        """What the plan has for the slot that begins now; nothing after its end."""
        slot = world.slot
        if slot >= self.grid.slots:
            return {}
        return {plug_id: self._setpoint(plug_id, index, slot) for plug_id, index in self.slot_of_plug.items()}

    def _setpoint(self, plug_id: str, index: int, slot: int) -> PlantSetpoint:
        """One plug in one slot."""
        customers = [number for number, one in enumerate(self.site.offtakes) if one.plug_id == plug_id]
        return PlantSetpoint(
            plug_id=plug_id,
            at_utc=self.grid.start_utc + timedelta(seconds=slot * self.grid.slot_s),
            duration_s=self.grid.slot_s,
            pump_heat_kw=float(self.path.delivered_kw[index, slot]),
            charge_kw=float(self.path.charge_kw[index, slot]),
            discharge_kw=float(self.path.discharge_kw[index, slot]),
            sell_kw=float(self.path.sold_kw[customers, slot].sum()),
        )

    def plan(self) -> Plan | None:
        """The plan as promises read it: what it promises in place of what it sells."""
        return self.told

    def submitted(self, cluster: VirtualCluster, job: VirtualJob) -> None:
        """Hold a job until its planned start, when the hold ends by itself."""
        start_s = s_from_h(float(self.runs[job.job_id][0].begin_h[0]))
        if start_s <= cluster.now_s + TOUCHING_S:
            cluster.release(job)
        else:
            cluster.hold(job, start_s)

    def opens(self, cluster: VirtualCluster, job: VirtualJob) -> bool:
        """Never earlier than planned."""
        return False


def commands(site: Site, run: WholeRun, truth: JobTruth) -> Iterator[tuple[float, Command]]:
    """Caps and stops of one run with their instants in seconds; its start is the end of its hold."""
    job, job_class, pool = truth.job, site.job_class(truth.job.class_name), site.pools[run.pool]
    natural_w = job.natural_power_w_per_gpu or UNKNOWN_DRAW_FRACTION * site.pools[0].power.gpu_max_w
    drawn_w = min(max(natural_w, pool.power.gpu_idle_w), pool.power.gpu_max_w)
    points = power_points(site.caps, pool.power, drawn_w, job_class.max_slowdown_fraction)
    before, ended_s = 0, s_from_h(float(run.begin_h[0]))
    for begin_h, hours, level in zip(run.begin_h, run.hours, run.level.tolist(), strict=True):
        begin_s = s_from_h(float(begin_h))
        if begin_s > ended_s + TOUCHING_S:
            yield ended_s, Command(verb="stop", job_id=job.job_id, until_s=begin_s)
        if level != before:
            yield begin_s, Command(verb="cap", job_id=job.job_id, cap_w=points[level].cap_w if level else None)
        before, ended_s = level, s_from_h(float(begin_h + hours))


def plan_of(site: Site, plan: ForesightPlan, firm_kw: FloatArray, grid: TimeGrid) -> Plan:
    """A plan with its cost and what it promises to each customer, (offtakes, slots), and nothing to act on."""
    report = SolveReport(method="foresight", objective_eur=plan.cost_eur, bound_eur=plan.cost_eur, rolling_gap=0.0)
    none = np.zeros((len(site.pools), grid.slots))
    return Plan(
        plan_id="foresight",
        input_digest="",
        grid=grid,
        step_slots=np.ones(grid.slots, dtype=np.int64),
        commit_slots=grid.slots,
        status=PlanStatus.FRESH,
        jobs=(),
        flows=(),
        sold_kw={one.offtake_id: firm_kw[number] for number, one in enumerate(site.offtakes)},
        it_kw=np.zeros(grid.slots),
        cost_eur={"total": plan.cost_eur},
        report=report,
        duals=Duals(start_utc=grid.start_utc, slot_s=grid.slot_s, gpu_eur_per_gpu_h=none, draw_eur_per_kwh=none),
    )


def served(site: Site, by_slot: BoundProblem, path: PlantPath) -> PlantPath:
    """The path with its sale shared as plants share it: customers of a plug by priority, whatever they pay."""
    sold_kw = np.zeros_like(path.sold_kw)
    order = sorted(
        range(len(site.offtakes)), key=lambda number: (site.offtakes[number].priority, site.offtakes[number].offtake_id)
    )
    for index in range(len(by_slot.plugs)):
        mine = [number for number in order if by_slot.offtakes[number].plug == index]
        left_kw = path.sold_kw[mine].sum(axis=0)
        for number in mine:
            sold_kw[number] = np.minimum(left_kw, by_slot.offtakes[number].demand_kw)
            left_kw = left_kw - sold_kw[number]
    return replace(path, sold_kw=sold_kw)


def best_path(by_slot: BoundProblem, plans: Sequence[ForesightPlan]) -> tuple[ForesightPlan, PlantPath] | None:
    """The plan that costs least slot by slot, and its plant; None when there is none."""
    found = [(plan, plant_path(by_slot, mean_draw_kw(by_slot, plan.runs))) for plan in plans]
    known = [(plan, path) for plan, path in found if path is not None]
    return min(known, key=lambda one: sum(run.own_eur for run in one[0].runs) + one[1].cost_eur, default=None)


def foretold(
    scenario: Scenario, truth: Truth, end_utc: datetime, bound: BoundResult, clockwork: Clockwork
) -> tuple[World, Foretold] | None:
    """A world, not yet run, whose jobs and plant follow the best plan found with everything known; None when none was found.

    Args:
        scenario: site, series and jobs.
        truth: what the strategies were charged with.
        end_utc: common end; every job of the plan ends before it.
        bound: its prices are where the search for the plan begins.
        clockwork: slots and cycles of the strategies.
    """
    until_utc = scenario.start_utc + timedelta(days=scenario.days)
    hourly, by_slot = (
        wanted(bound_problem(scenario.site, scenario.jobs, truth, end_utc, promised_until_utc=until_utc, by_slot=fine))
        for fine in (False, True)
    )
    found = best_path(by_slot, foresight_plans(hourly, Prices(gpu=bound.gpu_eur_per_gpu_h, draw=bound.draw_eur_per_kwh)))
    if found is None:
        return None
    plan, path = found
    steering = Foretold(scenario, plan, served(scenario.site, by_slot, path), by_slot)
    queue = Queue(steering, Discipline.FIRST_FIT)
    return World(scenario, queue, clockwork, ALL_KNOWN, Disturbances()), steering
