"""Cap profiles at given prices: one multiplier on work, a choice of level in every slot, running sums over time.

For a run that costs a_l[s] EUR per GPU in slot s at level l and does v_l slots of work, the best way to do work W between two
fixed ends is found with one multiplier mu on work: every slot takes the level with the least a_l[s] - mu * v_l. A lane is one
(kind of job, pool); for a grid of multipliers per lane the chosen levels, their cost A, work S and Lagrangian K are summed over
time once, so that any run is a difference of two entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.frame import Frame
from scheduler.domain.problem import PlanProblem
from scheduler.domain.time import FloatArray, IntArray

GRID = 8
# EUR per GPU and slot of work: beyond any price of waiting or lateness.
FAR_EUR = 100.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lanes:
    """What a lane r = kind * pools + pool can do: extra draw per GPU (lanes, levels) in kW, speed (lanes, levels).

    own_eur_per_kwh: electricity that a kW of extra draw costs by itself (it slope * (1 + overhead) * price), (pools, slots
    of the horizon and beyond). slots: slots in that longer time; bin_slots: least speed, the width of a search bin.
    """

    draw_kw: FloatArray
    speed: FloatArray
    pools: int
    own_eur_per_kwh: FloatArray
    slots: int
    horizon: int
    slot_h: float

    @property
    def count(self) -> int:
        """Number of lanes."""
        return len(self.draw_kw)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profiles:
    """Tables at given prices, flat over (lane, multiplier, slot edge) with `stride` edges per row.

    work, cost: running sums S and A; lagrangian: running sum K of min_l (a_l - mu v_l). per_slot_*: the same per slot.
    held: running sum of the GPU price per pool and edge. multiplier: mu, shape (lanes, grid), falling: fastest first.
    search: first guess of the slot in which a given amount of work is reached.
    """

    multiplier: FloatArray
    level: IntArray
    work: FloatArray
    cost: FloatArray
    lagrangian: FloatArray
    slot_work: FloatArray
    slot_cost: FloatArray
    slot_lagrangian: FloatArray
    level_cost: FloatArray
    held: FloatArray
    search: IntArray
    search_stride: int
    stride: int
    bin_slots: float
    grid: int

    def row(self, lane: IntArray, multiplier: int | IntArray) -> IntArray:
        """Offset of a (lane, multiplier) row in the flat tables over edges."""
        return (lane * self.grid + multiplier) * self.stride


def lanes_of(problem: PlanProblem, frame: Frame, draw_kw: FloatArray, speed: FloatArray, longest: float) -> Lanes:
    """Lanes of all kinds on all pools; `longest` is the work of the longest job in slots."""
    kinds, pools, levels = draw_kw.shape
    more = int(np.ceil(longest / float(speed.min()))) + 2 if kinds else 2
    slope = np.array([pool.it_kw_per_draw_kw for pool in problem.pools]) * (1.0 + frame.overhead_fraction)
    return Lanes(
        draw_kw=draw_kw.reshape(kinds * pools, levels),
        speed=np.repeat(speed, pools, axis=0),
        pools=pools,
        own_eur_per_kwh=slope[:, None] * frame.extended_price_eur_per_kwh(more)[None, :],
        slots=frame.slots + more,
        horizon=frame.slots,
        slot_h=frame.slot_h,
    )


def profiles_at(lanes: Lanes, gpu_eur_per_gpu_h: FloatArray, draw_eur_per_kwh: FloatArray, grid: int = GRID) -> Profiles:
    """Tables at prices per pool and slot of the horizon; beyond it GPUs are free and draw costs its own electricity.

    Args:
        lanes: what lanes can do.
        gpu_eur_per_gpu_h: price of holding a GPU, shape (pools, slots).
        draw_eur_per_kwh: price of extra draw on top of its own electricity, shape (pools, slots).
        grid: number of multipliers per lane.
    """
    whole = lanes.own_eur_per_kwh.copy()
    whole[:, : lanes.horizon] += draw_eur_per_kwh
    pool = np.arange(lanes.count) % lanes.pools
    level_cost = lanes.draw_kw[:, :, None] * (whole * lanes.slot_h)[pool][:, None, :]
    multiplier = _multipliers(lanes, level_cost, grid)
    level, slot_lagrangian = _cheapest_level(lanes, level_cost, multiplier)
    slot_work = lanes.speed[np.arange(lanes.count)[:, None, None], level]
    slot_cost = slot_lagrangian + multiplier[:, :, None] * slot_work
    held = np.zeros((lanes.pools, lanes.slots + 1))
    held[:, 1:][:, : lanes.horizon] = gpu_eur_per_gpu_h * lanes.slot_h
    work = _running(slot_work)
    search, search_stride, bin_slots = _search_table(work, float(lanes.speed.min()))
    return Profiles(
        multiplier=multiplier,
        level=np.concatenate([level, level[..., -1:]], axis=-1).ravel(),
        work=work.ravel(),
        cost=_running(slot_cost).ravel(),
        lagrangian=_running(slot_lagrangian).ravel(),
        slot_work=_edges(slot_work),
        slot_cost=_edges(slot_cost),
        slot_lagrangian=_edges(slot_lagrangian),
        level_cost=level_cost,
        held=np.cumsum(held, axis=1),
        search=search,
        search_stride=search_stride,
        stride=lanes.slots + 1,
        bin_slots=bin_slots,
        grid=grid,
    )


def _cheapest_level(lanes: Lanes, level_cost: FloatArray, multiplier: FloatArray) -> tuple[IntArray, FloatArray]:
    """First level with the least a_l - mu v_l of every (lane, multiplier, slot), and that value: faster level by level."""
    shape = (*multiplier.shape, lanes.slots)
    best, found = np.full(shape, np.inf), np.zeros(shape, dtype=np.int64)
    for level in range(lanes.speed.shape[1]):
        value = level_cost[:, None, level] - (multiplier * lanes.speed[:, None, level])[:, :, None]
        better = value < best
        np.copyto(found, level, where=better)
        np.minimum(best, value, out=best)
    return found, best


def _multipliers(lanes: Lanes, level_cost: FloatArray, grid: int) -> FloatArray:
    """Falling multipliers per lane: constant fastest first, constant slowest last, quantiles of the level changes between.

    Beyond the first and last change nothing changes any more; the ends lie far out so that every break-even multiplier of a
    last slot, price of lateness included, is inside (the lower bound interpolates there, exactly).
    """
    gain = lanes.speed[:, :-1] - lanes.speed[:, 1:]
    step = level_cost[:, :-1] - level_cost[:, 1:]
    change = (step / np.where(gain > 1e-9, gain, np.nan)[:, :, None])[:, :, : lanes.horizon].reshape(lanes.count, -1)
    ordered = np.sort(np.where(np.isfinite(change), change, np.inf), axis=1)
    counts = np.isfinite(change).sum(axis=1)
    at = np.linspace(1.0, 0.0, grid)[None, :] * np.maximum(counts - 1, 0)[:, None]
    found = np.take_along_axis(np.pad(ordered, ((0, 0), (0, 1))), np.round(at).astype(np.int64), axis=1)
    found[counts == 0] = 0.0
    reach = FAR_EUR + 10.0 * np.abs(level_cost).max(axis=(1, 2)) + 2.0 * np.abs(found).max(axis=1)
    found[:, 0], found[:, -1] = reach, -reach
    return found


def _running(per_slot: FloatArray) -> FloatArray:
    """Sum of all earlier slots along the last axis, one entry more."""
    found = np.zeros((*per_slot.shape[:-1], per_slot.shape[-1] + 1))
    np.cumsum(per_slot, axis=-1, out=found[..., 1:])
    return found


def _edges(per_slot: FloatArray) -> FloatArray:
    """Repeat the last slot so that slots and edges share one stride, flat."""
    return np.concatenate([per_slot, per_slot[..., -1:]], axis=-1).ravel()


def _search_table(work: FloatArray, least_speed: float) -> tuple[IntArray, int, float]:
    """For every row and bin b of `least_speed` slots of work: the last edge with work <= b * bin.

    A slot does at least one bin of work, so at most one edge lies between the guess and any work inside the bin.
    """
    rows = work.reshape(-1, work.shape[-1])
    bins = int(rows[:, -1].max() / least_speed) + 2
    index = np.minimum(np.ceil(rows / least_speed - 1e-12).astype(np.int64), bins)
    flat = (np.arange(len(rows))[:, None] * (bins + 1) + index).ravel()
    counts = np.bincount(flat, minlength=len(rows) * (bins + 1)).reshape(len(rows), bins + 1)
    return (np.cumsum(counts, axis=1) - 1).ravel(), bins + 1, least_speed
