"""A warm start: prices and runs of the last plan on the steps of the present one, and what a plan hands on for the next."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scheduler.core.planning.aggregate import Prices
from scheduler.core.planning.columns import Columns, Picks, write_columns
from scheduler.core.planning.pricing import FINE, Pricing
from scheduler.domain.plan import Duals, Plan, WarmStart
from scheduler.domain.problem import PlanProblem
from scheduler.domain.time import BoolArray, FloatArray, IntArray


def shifted_prices(last: Plan, problem: PlanProblem, pricing: Pricing) -> Prices | None:
    """Prices of an earlier plan on the present steps, less the electricity that a run pays itself; None if they do not fit."""
    duals, frame = last.duals if last.warm is None else last.warm.duals, pricing.frame
    elapsed = last.grid.slot_of(problem.grid.start_utc)
    shape = (len(problem.pools), frame.slots)
    if duals.slot_s != problem.grid.slot_s or duals.gpu_eur_per_gpu_h.shape != shape or not 0 <= elapsed < frame.slots:
        return None
    if not bool(duals.draw_eur_per_kwh.any()):
        return None
    at = np.minimum(np.arange(frame.slots) + elapsed, frame.slots - 1)
    slope = np.array([pool.it_kw_per_draw_kw for pool in problem.pools]) * (1.0 + problem.overhead_fraction)
    paid = _paid_eur_per_kwh(last, frame.price_eur_per_kwh, elapsed)
    draw = duals.draw_eur_per_kwh[:, at] - slope[:, None] * paid[at]
    return Prices(gpu_eur_per_gpu_h=frame.mean(duals.gpu_eur_per_gpu_h[:, at]), draw_eur_per_kwh=frame.mean(draw))


def _paid_eur_per_kwh(last: Plan, now: FloatArray, elapsed: int) -> FloatArray:
    """Electricity price that the last plan rests on, on its own slots; today's where it does not say."""
    if last.basis is not None and last.basis.shape[1] == len(now):
        found: FloatArray = last.basis[0]
        return found
    return np.concatenate([np.repeat(now[:1], elapsed), now])[: len(now)]


def handed_on(problem: PlanProblem, duals: Duals, columns: Columns, used: BoolArray) -> WarmStart:
    """What the next solve begins with: prices, and the runs that a relaxation uses."""
    index = np.nonzero(used)[0]
    return WarmStart(
        duals=duals,
        job_ids=tuple(problem.jobs[job].job_id for job in columns.job[index].tolist()),
        start_slot=columns.start[index].astype(np.int64),
        pool=columns.pool[index].astype(np.int64),
    )


def last_runs(last: Plan, problem: PlanProblem, pricing: Pricing, prices: Prices) -> Columns:
    """Where the last plan, and what it hands on, had the jobs that are still here: the same starts on the same pools, capped as
    prices are now.
    """
    pair, pool = _places(last, problem, pricing)
    oracle = pricing.oracle
    profiles = oracle.profiles(prices, FINE)
    multiplier = np.zeros(len(pair), dtype=np.int64)
    for one in range(oracle.lanes.pools):
        here = pair[pool == one]
        multiplier[pool == one] = oracle.price_on(profiles, oracle.runs(here), one)[1]
    return write_columns(oracle, profiles, Picks(pair=pair, pool=pool, multiplier=multiplier))


def _places(last: Plan, problem: PlanProblem, pricing: Pricing) -> tuple[IntArray, IntArray]:
    """Pair and pool of every run of the last plan that is still open; a start that is over or not offered moves to the next."""
    pairs, eligible = pricing.oracle.pairs, pricing.table.eligible
    elapsed = last.grid.slot_of(problem.grid.start_utc)
    index = {job.job_id: number for number, job in enumerate(problem.jobs)}
    found = set()
    for job_id, start_slot, pool in _runs(last):
        job = index.get(job_id)
        if job is None:
            continue
        starts = pairs.start[pairs.first[job] : pairs.first[job + 1]]
        at = int(np.searchsorted(starts, start_slot - elapsed))
        if at < len(starts) and pool < len(problem.pools) and eligible[job, pool]:
            found.add((int(pairs.first[job]) + at, pool))
    places = np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
    return places[:, 0], places[:, 1]


def _runs(last: Plan) -> Iterator[tuple[str, int, int]]:
    """Job, first slot and pool of the runs of a plan, and of those that it hands on."""
    for planned in last.jobs:
        for option in planned.options:
            yield planned.job_id, option.start_slot, option.pool
    if last.warm is not None:
        yield from zip(last.warm.job_ids, last.warm.start_slot.tolist(), last.warm.pool.tolist(), strict=True)
