"""The heat and site side as one small LP over the pools' loads, and its use as a pricing oracle.

    agg(lam, pi) = min  plant cost(G, P) + penalty(E) - sum h_k (lam[z,k] (G + E)[z,k] + pi[z,k] P[z,k])

with prices lam in EUR per GPU-hour and pi in EUR per kWh of extra draw (over and above the electricity that a job pays itself).
Together with the cheapest option of every job at these prices it is a lower bound on any plan (optimisation.md 3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scheduler.core.planning import plant_families as families
from scheduler.core.planning import site_power
from scheduler.core.planning.frame import Frame
from scheduler.core.planning.plant_families import NONE, Plant, PlantVars, PlugVars, Scale
from scheduler.core.planning.program import Builder, HotLp, LpArrays
from scheduler.domain.problem import PlanProblem
from scheduler.domain.time import FloatArray, IntArray
from scheduler.units import kw_from_w


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loads:
    """Mean GPUs held and mean extra draw in kW, shape (pools, steps)."""

    gpus: FloatArray
    draw_kw: FloatArray


WHOLE = 1e-6
# Pump states for given loads: branching stops after so many nodes or at this gap.
WHOLE_NODES, WHOLE_GAP = 50, 1e-3
Fixed = tuple[IntArray, FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prices:
    """Prices per pool and step: EUR per GPU-hour, and EUR per kWh of extra draw beyond its own electricity."""

    gpu_eur_per_gpu_h: FloatArray
    draw_eur_per_kwh: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Envelope:
    """What the jobs could do to each pool at most: GPUs of all jobs that may run there, largest draw per GPU in kW.

    No draw where loads are those of runs: they draw no more by themselves, and the LP has fewer rows.
    """

    most_gpus: FloatArray
    draw_per_gpu_kw: FloatArray | None

    @property
    def of_runs(self) -> Envelope:
        """The same for loads of runs."""
        return replace(self, draw_per_gpu_kw=None)


def scale_of(problem: PlanProblem) -> Scale:
    """A hundredth of the free GPUs, and as many kW."""
    free = sum(float(np.max(pool.gpus_free, initial=0.0)) for pool in problem.pools)
    unit = max(1.0, free / 100.0)
    return Scale(gpus=unit, kw=unit)


def envelope_of(problem: PlanProblem) -> Envelope:
    """Sum over the jobs that may run on a pool."""
    most = np.zeros(len(problem.pools))
    draw = np.zeros(len(problem.pools))
    for job in problem.jobs:
        for pool in job.pools:
            most[pool] += job.gpus
            above_w = max(point.draw_w for point in job.points) - problem.pools[pool].idle_w
            draw[pool] = max(draw[pool], kw_from_w(above_w))
    return Envelope(most_gpus=most, draw_per_gpu_kw=draw)


def add_plant(
    build: Builder, problem: PlanProblem, frame: Frame, envelope: Envelope, integral_steps: int = 0
) -> tuple[PlantVars, Scale]:
    """Write all families into a builder; `integral_steps` pump states are integers.

    Args:
        build: where columns and rows go.
        problem: the problem.
        frame: its clock.
        envelope: upper limits of the flexible load.
        integral_steps: steps whose heat pump state must be 0 or 1.

    Returns:
        Column indices, and the model units of GPUs and kW in which loads must be entered.
    """
    plant = Plant(problem=problem, frame=frame, scale=scale_of(problem), build=build)
    found = families.add_capacity(plant, envelope.most_gpus, envelope.draw_per_gpu_kw)
    found.sold = families.add_sales(plant)
    for index in range(len(problem.plugs)):
        found.plugs.append(_add_plug(plant, index, found, integral_steps))
    found.shortfall = families.add_commitments(plant, found.sold)
    found.site_slack, found.peak = families.add_site(plant, found)
    return found, plant.scale


def _add_plug(plant: Plant, index: int, found: PlantVars, integral_steps: int) -> PlugVars:
    """All families of one plug."""
    delivered = families.add_delivery(plant, index, found)
    on, start = families.add_pump_states(plant, index, delivered, integral_steps)
    charge, discharge, level, floor, end = families.add_tank(plant, index)
    dumped = families.add_dump(plant, index)
    plug_vars = PlugVars(
        delivered=delivered,
        charge=charge,
        discharge=discharge,
        level=level,
        dumped=dumped,
        on=on,
        start=start,
        rejection_slack=families.add_rejection_limit(plant, index, found, delivered, dumped),
        ramp_slack=families.add_ramp(plant, index, delivered),
        pipe_slack=NONE,
        floor_slack=floor,
        end_slack=end,
    )
    families.add_heat_balance(plant, index, found, plug_vars)
    return plug_vars


def near_slots(problem: PlanProblem) -> int:
    """Slots in which pump states are whole: `pump_slots`, at least the commit window."""
    return max(problem.commit_slots, problem.pump_slots)


def near_states(problem: PlanProblem, frame: Frame, plant: PlantVars) -> IntArray:
    """Columns of the pump states that must be whole, plug by plug."""
    near = frame.step_start < near_slots(problem)
    return np.concatenate([NONE, *(plug.on[near] for plug in plant.plugs if len(plug.on))])


def _between(states: FloatArray) -> bool:
    """True when a state is neither 0 nor 1."""
    return bool(((states > WHOLE) & (states < 1.0 - WHOLE)).any())


def base_load_eur(problem: PlanProblem, frame: Frame) -> float:
    """Cost of the site without flexible work and heat sale: a constant that no decision changes.

    Cooling holds over its step, as where a plan is recounted (`recount.py: electricity_terms`): in steps of hours whose price
    changes within them, the constant of a bound would else be dearer than that of its plan.
    """
    it_eur = float((site_power.base_it_kw_el(problem) * frame.price_eur_per_kwh).sum()) * frame.slot_h
    cooling_kw = frame.mean(site_power.base_cooling_kw_el(problem))
    return it_eur + float((cooling_kw * frame.hours) @ frame.step_price_eur_per_kwh)


class AggregateLp:
    """The aggregate LP kept hot: as pricing oracle (costs move) or as dispatch of given loads (bounds move)."""

    def __init__(self, problem: PlanProblem, frame: Frame, envelope: Envelope) -> None:
        """Build once per problem."""
        build = Builder()
        self.frame = frame
        self.vars, self.scale = add_plant(build, problem, frame, envelope)
        self.arrays: LpArrays = build.build()
        self._lp = HotLp(self.arrays)
        self._near = near_states(problem, frame, self.vars)
        self._index = np.concatenate([self.vars.gpus.ravel(), self.vars.over.ravel(), self.vars.draw.ravel()])

    def price(self, prices: Prices) -> tuple[float, Loads]:
        """Return agg(lam, pi) in EUR and the loads at which it is attained (G + E and P)."""
        scale, hours = self.scale, self.frame.hours
        reward_gpus = prices.gpu_eur_per_gpu_h * hours * scale.gpus
        reward_draw = prices.draw_eur_per_kwh * hours * scale.kw
        reward = np.concatenate([reward_gpus.ravel(), reward_gpus.ravel(), reward_draw.ravel()])
        self._lp.change_costs(self._index, self.arrays.cost[self._index] - reward)
        value = self._lp.solve()
        x = self._lp.values
        gpus = (x[self.vars.gpus] + x[self.vars.over]) * scale.gpus
        return value, Loads(gpus=gpus, draw_kw=x[self.vars.draw] * scale.kw)

    def whole_gain_eur(self, prices: Prices) -> float:
        """By how much agg(lam, pi) rises at least once the pump states of the near horizon are whole, EUR."""
        if not len(self._near):
            return 0.0
        relaxed = self.price(prices)[0]
        if not _between(self._lp.values[self._near]):
            return 0.0
        return max(0.0, self._lp.whole_bound(self._near, WHOLE_NODES, WHOLE_GAP) - relaxed)


class Dispatch:
    """The plant's best answer to given loads: the same LP with G + E = load and P fixed."""

    def __init__(self, problem: PlanProblem, frame: Frame, envelope: Envelope) -> None:
        """Build once per problem; loads arrive as fixed columns."""
        build = Builder()
        self.vars, self.scale = add_plant(build, problem, frame, envelope.of_runs)
        shape = self.vars.gpus.shape
        self._held = build.columns("load", shape)
        rows = build.rows("gpus_are_load", shape, lower=0.0, upper=0.0)
        build.put(rows, self.vars.gpus, 1.0)
        build.put(rows, self.vars.over, 1.0)
        build.put(rows, self._held, -1.0)
        self.arrays: LpArrays = build.build()
        self._lp = HotLp(self.arrays)
        self._near = near_states(problem, frame, self.vars)
        self._now = near_states(replace(problem, pump_slots=0), frame, self.vars)

    def cost(self, loads: Loads, pumps: Fixed | None = None) -> tuple[float, FloatArray]:
        """Plant cost in EUR of loads and the columns that attain it, pump states of the near horizon whole.

        pumps: states to keep (columns, values) if the loads allow; else those of a small MILP, and if it finds none, only in
        the commit window the cheapest of the relaxed states rounded, rounded up, all on, all off. Off is always possible:
        heat may be rejected.
        """
        for columns, load in ((self._held, loads.gpus / self.scale.gpus), (self.vars.draw, loads.draw_kw / self.scale.kw)):
            self._lp.change_bounds(columns.ravel(), load.ravel(), load.ravel())
        kept = None if pumps is None else self._with_states(*pumps)
        if kept is not None:
            return kept
        relaxed = self._lp.solve(), self._lp.values
        if not _between(relaxed[1][self._near]):
            return relaxed
        whole = self._lp.whole(self._near, WHOLE_NODES, WHOLE_GAP) if len(self._near) > len(self._now) else None
        found = None if whole is None else self._with_states(self._near, np.round(whole[self._near]))
        return found if found is not None else self._window(relaxed)

    def _window(self, relaxed: tuple[float, FloatArray]) -> tuple[float, FloatArray]:
        """Whole states in the commit window only."""
        value = relaxed[1][self._now]
        if not _between(value):
            return relaxed
        tries = (np.round(value), np.ceil(value - WHOLE), np.ones_like(value), np.zeros_like(value))
        found = [one for one in (self._with_states(self._now, states) for states in tries) if one is not None]
        return min(found, key=lambda one: one[0])

    def _with_states(self, columns: IntArray, states: FloatArray) -> tuple[float, FloatArray] | None:
        """Cost with these pump states, None when the loads do not allow them; the bounds are free again afterwards."""
        self._lp.change_bounds(columns, states, states)
        found = (self._lp.objective, self._lp.values) if self._lp.run() else None
        self._lp.change_bounds(columns, self.arrays.lower[columns], self.arrays.upper[columns])
        return found
