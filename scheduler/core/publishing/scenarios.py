"""What may come until the end of a delivery, as scenarios, and how much heat can be delivered in each of them.

A scenario draws together: how far the load falls short of what is expected of it (whole paths of earlier days, so that bad
hours come in a row), nodes that fail, a plug that stops, maintenance, and what the customer takes. In each one the plant is
walked through step by step: what is promised goes first, a surplus fills the tank, a deficit empties it. So a promise is judged
with the tank that has to carry it, not hour by hour.

Defaults: a node of eight GPUs is interrupted about once in 240 days (466 interruptions of a job on 16,384 GPUs in
54 days: The Llama 3 Herd of Models, 2024, section 3.3.4); a day to repair one, and the figures of the plug, are assumptions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.forecast.own_heat import PathErrors
from scheduler.domain.site import Tank
from scheduler.domain.snapshot import Band
from scheduler.domain.time import BoolArray, FloatArray

Z_P90 = 1.2815515655446004
DEMAND_MEMORY_H = 12.0
OUTAGE_BLOCK_H = 24.0
# Kernel of the smoothed bootstrap, in standard deviations of the paths' means: days repeat themselves, but never exactly.
KERNEL_FRACTION = 0.25
TINY_KW = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeatAhead:
    """What is expected from now to the end of the delivery, in equal steps; arrays are (steps,).

    load_kw: median of the heat that the load lets the plant deliver, before the tank. capability_kw: what the plug can hand
    over, maintenance and redundancy class taken off. held_kw: what is binding already. due: the steps that are to be promised.
    least_kw: the heat pump's minimum load: a smaller load delivers nothing. reserve_kw, reserve_kwh: heat of work in hand that
    need not run yet, and can when heat is short (re-planning).
    """

    step_h: float
    load_kw: FloatArray
    capability_kw: FloatArray
    demand_kw: Band
    held_kw: FloatArray
    due: BoolArray
    tank: Tank | None = None
    tank_kwh: float = 0.0
    nodes: int = 0
    least_kw: float = 0.0
    reserve_kw: float = 0.0
    reserve_kwh: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Risks:
    """How often what fails: share of the time in which a node is down, outages of the plug a year and their mean hours."""

    node_down_fraction: float = 0.004
    plug_outages_per_year: float = 2.0
    plug_repair_h: float = 4.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draws:
    """Scenarios: heat from the load, demand and capability, each (scenarios, steps) in kW."""

    load_kw: FloatArray
    demand_kw: FloatArray
    capability_kw: FloatArray

    def reach_kw(self, least_kw: float, more_kw: float = 0.0) -> FloatArray:
        """What can be handed over in a step with `more_kw` beside the load: min(load + more, demand, capability)."""
        load_kw = np.where(self.load_kw >= least_kw, self.load_kw, 0.0)
        return np.minimum(np.minimum(load_kw + more_kw, self.demand_kw), self.capability_kw)


def draw(ahead: HeatAhead, errors: PathErrors, risks: Risks, count: int, seed: int) -> Draws:
    """Draw `count` scenarios; the same seed draws the same ones."""
    rng = np.random.default_rng(seed)
    steps = len(ahead.load_kw)
    load = ahead.load_kw * _ratios(errors, steps, count, rng) * _nodes_up(ahead, risks, count, rng)
    up = _plug_up(ahead, risks, count, rng)
    return Draws(
        load_kw=np.maximum(0.0, load), demand_kw=_demand(ahead, count, rng), capability_kw=ahead.capability_kw[None, :] * up
    )


def _ratios(errors: PathErrors, steps: int, count: int, rng: np.random.Generator) -> FloatArray:
    """Whole days of the past, drawn by weight, each moved a little as a whole; (count, steps)."""
    weight = errors.weight / errors.weight.sum()
    rows = errors.ratio[rng.choice(len(weight), size=count, p=weight)][:, :steps]
    mean = errors.ratio.mean(axis=1)
    centre = float(weight @ mean)
    width = KERNEL_FRACTION * float(np.sqrt(weight @ (mean - centre) ** 2))
    return np.asarray(rows * (1.0 + width * rng.standard_normal((count, 1))))


def _nodes_up(ahead: HeatAhead, risks: Risks, count: int, rng: np.random.Generator) -> FloatArray:
    """Share of the nodes that run, one draw a day; (count, steps)."""
    steps = len(ahead.load_kw)
    if ahead.nodes <= 0:
        return np.ones((count, steps))
    day = (np.arange(steps) * ahead.step_h // OUTAGE_BLOCK_H).astype(np.int64)
    down = rng.binomial(ahead.nodes, risks.node_down_fraction, size=(count, int(day[-1]) + 1))
    return np.asarray(1.0 - down[:, day] / ahead.nodes)


def _plug_up(ahead: HeatAhead, risks: Risks, count: int, rng: np.random.Generator) -> FloatArray:
    """One while the plug works, zero while it is out: outages begin at random and last geometrically; (count, steps)."""
    steps = len(ahead.load_kw)
    begins = rng.random((count, steps)) < risks.plug_outages_per_year * ahead.step_h / (365.0 * 24.0)
    ends = rng.random((count, steps)) < min(1.0, ahead.step_h / max(ahead.step_h, risks.plug_repair_h))
    out = np.zeros(count, dtype=bool)
    up = np.ones((count, steps))
    for step in range(steps):
        out = (out & ~ends[:, step]) | begins[:, step]
        up[out, step] = 0.0
    return up


def _demand(ahead: HeatAhead, count: int, rng: np.random.Generator) -> FloatArray:
    """Demand as a two-piece normal through its band, with a memory of half a day; (count, steps)."""
    steps = len(ahead.load_kw)
    keep = float(np.exp(-ahead.step_h / DEMAND_MEMORY_H))
    noise = rng.standard_normal((count, steps))
    z = np.empty((count, steps))
    z[:, 0] = noise[:, 0]
    for step in range(1, steps):
        z[:, step] = keep * z[:, step - 1] + np.sqrt(1.0 - keep * keep) * noise[:, step]
    band = ahead.demand_kw
    half = np.where(z < 0.0, (band.p50 - band.p10)[None, :], (band.p90 - band.p50)[None, :]) / Z_P90
    return np.asarray(np.maximum(0.0, band.p50[None, :] + z * half))


def walk(ahead: HeatAhead, draws: Draws, firm_kw: FloatArray, *, replanned: bool = False) -> FloatArray:
    """Heat delivered towards a promise, (scenarios, steps) in kW, never more than is promised.

    Step by step: wanted = min(firm, demand, capability); the load serves it first, if it reaches the pump's minimum; a surplus
    charges the tank, a deficit discharges it. With `replanned`, work in hand is started: to reach that minimum, and for what
    the tank does not cover.
    """
    load = np.ascontiguousarray(draws.load_kw.T)
    wanted = np.minimum(firm_kw[:, None], np.minimum(draws.demand_kw, draws.capability_kw).T)
    delivered = np.empty(wanted.shape)
    level = np.full(wanted.shape[1], ahead.tank_kwh)
    work = _Work(ahead) if replanned and ahead.reserve_kwh > 0.0 else None
    for step in range(len(wanted)):
        heat = load[step] if work is None else load[step] + work.lift_kw(load[step], wanted[step])
        source = np.where(heat >= ahead.least_kw - TINY_KW, heat, 0.0)
        given = np.minimum(source, wanted[step])
        if ahead.tank is not None:
            out, level = _tank(ahead.tank, ahead.step_h, level, source - given, wanted[step] - given)
            given = given + out
        delivered[step] = given if work is None else given + work.more_kw(source, wanted[step] - given)
    return delivered.T


class _Work:
    """Heat of work in hand that can be started, in each scenario: never more at once, nor in all, than there is."""

    def __init__(self, ahead: HeatAhead) -> None:
        """All of it is left."""
        self._ahead, self._left_kwh = ahead, np.asarray(ahead.reserve_kwh)
        self._left_kw = np.asarray(ahead.reserve_kw)

    def lift_kw(self, load_kw: FloatArray, wanted_kw: FloatArray) -> FloatArray:
        """Heat of work started so that the load reaches the pump's minimum."""
        gap = np.where(wanted_kw > 0.0, np.maximum(0.0, self._ahead.least_kw - load_kw), 0.0)
        self._left_kw = np.minimum(self._ahead.reserve_kw, self._left_kwh / self._ahead.step_h)
        return self._started(gap)

    def more_kw(self, source_kw: FloatArray, missing_kw: FloatArray) -> FloatArray:
        """Heat of work started for what is missing still, where the pump runs."""
        return self._started(np.where(source_kw > 0.0, missing_kw, 0.0))

    def _started(self, asked_kw: FloatArray) -> FloatArray:
        started = np.minimum(asked_kw, self._left_kw)
        self._left_kw = self._left_kw - started
        self._left_kwh = self._left_kwh - started * self._ahead.step_h
        return np.asarray(started)


def _tank(
    tank: Tank, hours: float, level_kwh: FloatArray, surplus_kw: FloatArray, deficit_kw: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Discharge towards a deficit in kW and the level after a step; losses as in `domain.site.Tank`."""
    level = level_kwh * (1.0 - tank.loss_per_hour_fraction) ** hours - tank.fixed_loss_kw * hours
    level = np.maximum(0.0, level)
    charge = np.minimum(np.minimum(surplus_kw, tank.max_charge_kw), np.maximum(0.0, tank.capacity_kwh - level) / hours)
    discharge = np.minimum(np.minimum(deficit_kw, tank.max_discharge_kw), np.maximum(0.0, level - tank.min_kwh) / hours)
    return discharge, level + (charge - discharge) * hours


def not_taken_kw(draws: Draws, firm_kw: FloatArray) -> FloatArray:
    """What of a promise the customer does not take, (scenarios, steps): no fault of ours."""
    return np.asarray(np.maximum(0.0, firm_kw[None, :] - draws.demand_kw))


def missed(firm_kw: FloatArray, delivered_kw: FloatArray, tolerance_fraction: float = 0.0) -> FloatArray:
    """Share of the scenarios that miss a promise in each step, (steps,): delivered < (1 - tolerance) * firm."""
    return np.asarray(np.mean(delivered_kw < (1.0 - tolerance_fraction) * firm_kw[None, :] - TINY_KW, axis=0))


def lower_quantile(values: FloatArray, quantile: float) -> FloatArray:
    """Largest value per column that at most a share `quantile` of the rows lie below, (steps,)."""
    rank = min(len(values) - 1, int(np.floor(quantile * len(values) + 1e-9)))
    return np.asarray(np.partition(values, rank, axis=0)[rank])


def promisable_kw(ahead: HeatAhead, draws: Draws, quantile: float, rounds: int = 5) -> FloatArray:
    """The quantile of deliverable heat with the tank, (steps,): each due step is missed in at most a share `quantile`.

    Without a tank it is the quantile of min(load, demand, capability). With one it is moved from there towards that of
    min(load + discharge, demand, capability), all steps by the same share, as far as the walk keeps it: bisection in `rounds`.
    What is held already is never lowered, and may not be missed more often by a promise beside it.
    """
    low = np.maximum(ahead.held_kw, np.where(ahead.due, lower_quantile(draws.reach_kw(ahead.least_kw), quantile), 0.0))
    if ahead.tank is None:
        return low
    reach = draws.reach_kw(ahead.least_kw, ahead.tank.max_discharge_kw)
    high = np.where(ahead.due, np.maximum(low, lower_quantile(reach, quantile)), low)
    bound_kw = ahead.held_kw
    allowed = np.maximum(quantile, missed(bound_kw, walk(ahead, draws, bound_kw)))
    share, step = 0.0, 1.0
    for _ in range(rounds):
        firm = low + min(1.0, share + step) * (high - low)
        if np.all(missed(firm, walk(ahead, draws, firm)) <= allowed + 1e-12):
            share = min(1.0, share + step)
            if share >= 1.0:
                break
        step /= 2.0
    return np.asarray(low + share * (high - low))
