"""What a run of a job would cost at the prices of the last plan: the common tongue of `explain` and `admission`.

    quote = sum_s share_s * slot_h * (gpus * gpu_price[pool, s] + draw_kw_s * draw_price[pool, s])
            + waiting + lateness + slowdown

`draw_price` is the whole marginal price of GPU draw (electricity, overhead, cooling, site limit, less the heat's worth), so
the sum is what the rest of the plan loses by this run, and comparing two quotes says which run is better for the whole site.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.recount import (
    TAIL_SHARE,
    draws_kw,
    lateness_eur,
    overdue_eur_per_h,
    overdue_slots,
    slot_shares,
    tail_prices,
)
from scheduler.domain.plan import Duals, RunOption
from scheduler.domain.problem import PlanJob, PlanProblem
from scheduler.domain.time import FloatArray, IntArray
from scheduler.units import W_PER_KW, h_from_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Cost of one run by cause, EUR."""

    gpu_eur: float
    draw_eur: float
    waiting_eur: float
    lateness_eur: float
    slowdown_eur: float

    @property
    def total_eur(self) -> float:
        """Sum of all."""
        return self.gpu_eur + self.draw_eur + self.waiting_eur + self.lateness_eur + self.slowdown_eur


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunPrices:
    """Prices of a plan for whole runs, (pools, slots of the horizon and behind it), and their sums over all earlier slots.

    gpu, gpu_sum: EUR per GPU-hour, nothing behind the horizon. draw, draw_sum: EUR per kWh, there the all-in tail price. A sum
    has one entry more than there are slots and is not yet multiplied by their length.
    """

    gpu: FloatArray
    draw: FloatArray
    gpu_sum: FloatArray
    draw_sum: FloatArray


def run_prices(problem: PlanProblem, duals: Duals, tail_slots: int) -> RunPrices:
    """Prices with so many slots behind the horizon as the longest run needs, see `tail_slots_of`."""
    slope = np.array([pool.it_kw_per_draw_kw for pool in problem.pools]) * (1.0 + problem.overhead_fraction)
    behind = slope[:, None] * tail_prices(problem, tail_slots)
    gpu = np.concatenate([duals.gpu_eur_per_gpu_h, np.zeros_like(behind)], axis=1)
    draw = np.concatenate([duals.draw_eur_per_kwh, behind], axis=1)
    return RunPrices(gpu=gpu, draw=draw, gpu_sum=_running_sum(gpu), draw_sum=_running_sum(draw))


def tail_slots_of(job: PlanJob, slot_s: int) -> int:
    """Slots behind the horizon in which a run that starts inside it, at any constant cap, can still be."""
    return int(np.ceil(max(job.work_s / point.speed for point in job.points) / slot_s)) + 1


def quote(problem: PlanProblem, prices: RunPrices, job: PlanJob, option: RunOption) -> Quote:
    """Price one run of a job, whatever its cap profile; `prices` reach to its end."""
    inside = slice(option.start_slot, option.end_slot)
    gpu_h, kwh = run_loads(problem, job, option)
    slot_h, run_h = problem.grid.slot_h, float(gpu_h.sum()) / job.gpus
    end_s = (option.end_slot - 1 + option.last_slot_fraction) * problem.grid.slot_s
    return Quote(
        gpu_eur=float((gpu_h * prices.gpu[option.pool, inside]).sum()),
        draw_eur=float((kwh * prices.draw[option.pool, inside]).sum()),
        waiting_eur=max(0, option.start_slot - job.release_slot) * slot_h * job.waiting_eur_per_h,
        lateness_eur=lateness_eur(job, end_s) + overdue_eur_per_h(job) * overdue_slots(job, option.start_slot) * slot_h,
        slowdown_eur=max(0.0, run_h - h_from_s(job.work_s)) * job.slowdown_eur_per_h,
    )


def run_loads(problem: PlanProblem, job: PlanJob, option: RunOption) -> tuple[FloatArray, FloatArray]:
    """GPU-hours, and kWh of draw above idle, of a run in each of its slots."""
    hours = slot_shares(option) * problem.grid.slot_h
    return job.gpus * hours, hours * draws_kw(problem, job, option)


def quotes(problem: PlanProblem, duals: Duals, job: PlanJob, first_slot: int) -> FloatArray:
    """Price every start, pool and constant cap of a job in EUR, shape (pools of the job, points, slots).

    Starts before `first_slot` or the release and after the latest start cost infinity.
    """
    prices = run_prices(problem, duals, tail_slots_of(job, problem.grid.slot_s))
    total = quotes_at(problem, prices, job, np.arange(problem.grid.slots))
    total[:, :, : max(first_slot, job.release_slot)] = np.inf
    if job.latest_start_slot is not None:
        total[:, :, max(first_slot, job.release_slot, job.latest_start_slot) + 1 :] = np.inf
    return total


def quotes_at(problem: PlanProblem, prices: RunPrices, job: PlanJob, starts: IntArray) -> FloatArray:
    """Price some starts of a job, allowed or not, on every pool and at every constant cap, shape (pools, points, starts).

    A run of d slots (d real) from slot t costs C(t + d) - C(t) with C the running sum of prices, linear inside a slot.
    """
    grid = problem.grid
    lengths = np.array([job.work_s / point.speed / grid.slot_s for point in job.points])
    pools = np.array(job.pools, dtype=np.int64)
    gpu, draw = _windows(prices.gpu_sum, pools, starts, lengths), _windows(prices.draw_sum, pools, starts, lengths)
    idle_w = np.array([problem.pools[pool].idle_w for pool in job.pools])
    draw_kw = job.gpus * (np.array([point.draw_w for point in job.points]) - idle_w[:, None]) / W_PER_KW
    total: FloatArray = grid.slot_h * (job.gpus * gpu + draw_kw[:, :, None] * draw)
    total += _time_costs(problem, job, starts, lengths)
    return total


def _running_sum(prices: FloatArray) -> FloatArray:
    """Sum of all earlier slots, one entry more than slots."""
    return np.concatenate([np.zeros((prices.shape[0], 1)), np.cumsum(prices, axis=1)], axis=1)


def _windows(running: FloatArray, pools: IntArray, starts: IntArray, lengths: FloatArray) -> FloatArray:
    """Sum of prices over [start, start + length) for every one of the pools, length and start."""
    whole = np.floor(lengths).astype(np.int64)
    part = (lengths - whole)[:, None]
    ends, pool = starts + whole[:, None], pools[:, None, None]
    until = running[pool, ends]
    found: FloatArray = until + part * (running[pool, ends + 1] - until) - running[pool, starts]
    return found


def _time_costs(problem: PlanProblem, job: PlanJob, starts: IntArray, lengths: FloatArray) -> FloatArray:
    """Waiting, lateness and slowdown of a run of every length in slots from every start, shape (lengths, starts)."""
    slot_h = problem.grid.slot_h
    cost = np.maximum(0, starts - job.release_slot) * slot_h * job.waiting_eur_per_h
    if job.due_s is not None:
        late_h = (starts + lengths[:, None]) * slot_h - h_from_s(job.due_s)
        tail_h = h_from_s(max(0.0, job.tail_work_s - job.work_s))
        expected, tail = np.maximum(0.0, late_h), np.maximum(0.0, late_h + tail_h)
        cost = cost + ((1.0 - TAIL_SHARE) * expected + TAIL_SHARE * tail) * job.lateness_eur_per_h
    slower_h = np.maximum(0.0, lengths * slot_h - h_from_s(job.work_s))
    total: FloatArray = cost + slower_h[:, None] * job.slowdown_eur_per_h
    return total
