"""Cheapest runs of jobs through cells of time: all starts, all ends, all pauses, for given costs per cell.

A *cell* is the part of a row of time that a job sees: it begins at a row's edge, at the job's submission or at its deadline, so
every rate is constant inside it. Boundary i is the start of cell i. For a job let b_c be the cost of waiting through cell c and
r_c(mu) = len_c * min over points l of (rate_l - mu * speed_l) the reduced cost of running through it, mu being the price of
work. With B and X the running sums of b and of r - b, a job that runs from boundary i to boundary j, with stops at q_n and
resumptions at e_n, costs

    B(j) + X(j) - X(i) - sum_n (X(e_n) - X(q_n) - stop)          (waiting before i, running, pausing)

so the best pauses inside [i, j] are a matter of running minima of X, for all i and j at once.

*Why boundaries are enough.* Move every switching time t of any schedule to boundary floor(t) + [frac(t) > theta], with theta
uniform on [0, 1) and time measured in cells. On average over theta every cell is used exactly as before, a run of at least
m cells keeps at least m cells, and start and end stay at the two boundaries of their cells. So each schedule is a mixture of
boundary schedules with the same start cell and end cell, and mu w + (their least reduced cost) is a lower bound on its cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.domain.time import BoolArray, FloatArray, IntArray

INF = np.inf


def running_sum(values: FloatArray) -> FloatArray:
    """(n, cells + 1) sums up to each boundary of (n, cells) values."""
    total = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=total[:, 1:])
    return total


def run_costs(waiting: FloatArray, gain: FloatArray, stop: FloatArray, max_pauses: int, min_cells: int) -> FloatArray:
    """Least cost of a run from boundary i to boundary j with at most `max_pauses` pauses.

    Args:
        waiting: B, (jobs, boundaries).
        gain: X, (jobs, boundaries).
        stop: (jobs,) cost of one stop, redone work at the price of work included.
        max_pauses: most stops.
        min_cells: cells that a run must last before it may be stopped.

    Returns:
        (jobs, i, j), infinite where j < i.
    """
    count = gain.shape[1]
    index = np.arange(count)
    backward = index[None, :] < index[:, None]
    best = np.broadcast_to(-gain[:, :, None], (gain.shape[0], count, count))
    last = best
    for _ in range(max_pauses):
        last = _after_pause(last, gain, stop, min_cells)
        best = np.minimum(best, last)
    total = best + (waiting + gain)[:, None, :]
    total[:, backward] = INF
    return total


def _after_pause(entry: FloatArray, gain: FloatArray, stop: FloatArray, min_cells: int) -> FloatArray:
    """One more pause: entry[i, e] is the least cost of having (re)started by boundary e, less X(e)."""
    jobs, starts, count = entry.shape
    stopped = np.full((jobs, starts, count), INF)
    if min_cells < count:
        stopped[:, :, min_cells:] = entry[:, :, : count - min_cells] + gain[:, None, min_cells:]
    index = np.arange(count)
    stopped[:, index[None, :] < index[:starts, None] + min_cells] = INF
    np.minimum.accumulate(stopped, axis=2, out=stopped)
    stopped += stop[:, None, None]
    stopped -= gain[:, None, :]
    return np.minimum.accumulate(stopped, axis=2, out=stopped)


def cell_costs(boundary_costs: FloatArray) -> FloatArray:
    """Least cost of a run that starts somewhere in cell a and ends somewhere in cell b, (jobs, a, b), from (jobs, i, j)."""
    ends = np.minimum(boundary_costs[:, :, :-1], boundary_costs[:, :, 1:])
    return np.minimum(ends[:, :-1], ends[:, 1:])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Paths:
    """One best boundary schedule per job: its cost, the cells in which it runs (jobs, cells), where it ends and its stops."""

    cost: FloatArray
    runs: BoolArray
    end: IntArray
    stops: IntArray


def best_paths(
    waiting: FloatArray, gain: FloatArray, stop: FloatArray, cells: tuple[IntArray, IntArray], max_pauses: int, min_cells: int
) -> Paths:
    """Best boundary schedules with start cell a and end cell b, `cells` = (a, b), one pair per job, as the cells they use."""
    jobs, count = gain.shape
    rows = np.arange(jobs)
    first, last = cells
    starts = np.stack([first, first + 1], axis=1)
    begin = np.take_along_axis(gain, starts, axis=1)
    entry = np.where(np.arange(count)[None, None, :] >= starts[:, :, None], -begin[:, :, None], INF)
    trail: list[tuple[FloatArray, FloatArray]] = []
    entries = [entry]
    for _ in range(max_pauses):
        stopped, entry = _pause_from(entries[-1], gain, stop, starts, min_cells)
        trail.append((stopped, entry))
        entries.append(entry)
    ends = np.stack([last, last + 1], axis=1)
    reach = np.take_along_axis(waiting + gain, ends, axis=1)
    total = np.stack([np.take_along_axis(layer, ends[:, None, :].repeat(2, axis=1), axis=2) for layer in entries], axis=1)
    total = total + reach[:, None, None, :]
    total[:, :, 1, 0][starts[:, 1] > ends[:, 0]] = INF
    flat = total.reshape(jobs, -1).argmin(axis=1)
    cost = total.reshape(jobs, -1)[rows, flat]
    pauses, rest = np.divmod(flat, 4)
    from_corner, to_corner = np.divmod(rest, 2)
    start, end = starts[rows, from_corner], ends[rows, to_corner]
    runs = _walk_back(trail, (start, end, from_corner), pauses, min_cells, count - 1)
    return Paths(cost=cost, runs=runs, end=end, stops=pauses)


def _pause_from(
    entry: FloatArray, gain: FloatArray, stop: FloatArray, starts: IntArray, min_cells: int
) -> tuple[FloatArray, FloatArray]:
    """As `_after_pause` for two starts per job; keeps the running minimum of stops for the walk back."""
    count = gain.shape[1]
    stopped = np.full(entry.shape, INF)
    if min_cells < count:
        stopped[:, :, min_cells:] = entry[:, :, : count - min_cells] + gain[:, None, min_cells:]
    stopped[np.arange(count)[None, None, :] < starts[:, :, None] + min_cells] = INF
    stopped = np.minimum.accumulate(stopped, axis=2)
    resumed = np.minimum.accumulate(stopped + stop[:, None, None] - gain[:, None, :], axis=2)
    return stopped, resumed


def _first_reach(minima: FloatArray, at: IntArray) -> IntArray:
    """Boundary at which a running minimum (jobs, boundaries) first had the value it has at boundary `at`."""
    value = minima[np.arange(len(at)), at]
    return np.asarray((minima <= value[:, None]).argmax(axis=1), dtype=np.int64)


def _walk_back(
    trail: list[tuple[FloatArray, FloatArray]],
    corner: tuple[IntArray, IntArray, IntArray],
    pauses: IntArray,
    min_cells: int,
    cells: int,
) -> BoolArray:
    """Cells in which each job runs, by following the running minima from the end to the start."""
    start, end, from_corner = corner
    rows = np.arange(len(start))
    cell = np.arange(cells)[None, :]
    runs = np.zeros((len(start), cells), dtype=bool)
    until = end.copy()
    reach = end.copy()
    for level in range(len(trail), 0, -1):
        stopped, resumed = (layer[rows, from_corner] for layer in trail[level - 1])
        resume = _first_reach(resumed, reach)
        halt = _first_reach(stopped, resume)
        here = pauses >= level
        runs |= here[:, None] & (cell >= resume[:, None]) & (cell < until[:, None])
        until = np.where(here, halt, until)
        reach = np.where(here, np.maximum(0, halt - min_cells), reach)
    return runs | ((cell >= start[:, None]) & (cell < until[:, None]))
