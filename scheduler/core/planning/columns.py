"""Columns of the master problem: runs of jobs with their own cost and the load that they put on the steps of the plan.

A column is (job, pool, start, cap profile). Its cost holds all that depends on the run alone: its own electricity (slot by
slot, past the horizon at the tail price), waiting, lateness, overdue hold, slowdown, the price of a stop. GPUs count through
the whole last slot of a run, draw only for the part that is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from scheduler.core.planning.oracle import Oracle
from scheduler.core.planning.profiles import Profiles
from scheduler.domain.plan import RunOption
from scheduler.domain.time import BoolArray, FloatArray, IntArray

KEY_SEED = 1

Values = TypeVar("Values", IntArray, FloatArray)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """Many runs. Column c uses points[first[c]:first[c+1]]; its loads are the entries load_first[c]:load_first[c+1].

    load_gpus, load_kw: mean GPUs held and mean extra draw over step load_step. cost in EUR. key identifies a run.
    """

    job: IntArray
    pool: IntArray
    start: IntArray
    fraction: FloatArray
    cost: FloatArray
    key: IntArray
    first: IntArray
    points: IntArray
    load_first: IntArray
    load_step: IntArray
    load_gpus: FloatArray
    load_kw: FloatArray

    @property
    def count(self) -> int:
        """Number of columns."""
        return len(self.job)

    @property
    def owner(self) -> IntArray:
        """Column of every load entry."""
        return np.repeat(np.arange(self.count), np.diff(self.load_first))

    def option(self, column: int, weight: float) -> RunOption:
        """One column as a run of the plan."""
        return RunOption(
            start_slot=int(self.start[column]),
            pool=int(self.pool[column]),
            points=self.points[self.first[column] : self.first[column + 1]].astype(np.int64),
            last_slot_fraction=float(self.fraction[column]),
            weight=weight,
        )

    def take(self, index: IntArray | BoolArray) -> Columns:
        """Some of the columns, in the order asked."""
        index = np.arange(self.count)[index]
        points, first = _take_ragged(self.points, self.first, index)
        step, load_first = _take_ragged(self.load_step, self.load_first, index)
        gpus, _ = _take_ragged(self.load_gpus, self.load_first, index)
        draw, _ = _take_ragged(self.load_kw, self.load_first, index)
        return Columns(
            job=self.job[index],
            pool=self.pool[index],
            start=self.start[index],
            fraction=self.fraction[index],
            cost=self.cost[index],
            key=self.key[index],
            first=first,
            points=points,
            load_first=load_first,
            load_step=step,
            load_gpus=gpus,
            load_kw=draw,
        )


def loads_by(
    columns: Columns, group: IntArray, shape: tuple[int, int, int], weight: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """GPUs held and extra draw in kW per (group, pool, step), runs added up.

    Args:
        columns: runs.
        group: group of every run.
        shape: groups, pools, steps.
        weight: of every run; None: whole.
    """
    groups, pools, steps = shape
    owner = columns.owner
    at = (group[owner] * pools + columns.pool[owner]) * steps + columns.load_step
    each = 1.0 if weight is None else weight[owner]

    def added(load: FloatArray) -> FloatArray:
        total = np.bincount(at, weights=load * each, minlength=groups * pools * steps)
        return np.asarray(total, dtype=np.float64).reshape(shape)

    return added(columns.load_gpus), added(columns.load_kw)


def _take_ragged(values: Values, first: IntArray, index: IntArray) -> tuple[Values, IntArray]:
    """Rows of a ragged array."""
    length = np.diff(first)[index]
    offsets = np.concatenate([[0], np.cumsum(length)])
    at = np.arange(offsets[-1]) + np.repeat(first[index] - offsets[:-1], length)
    return values[at], offsets


def join(parts: list[Columns]) -> Columns:
    """Put columns one after the other; of equal runs the first stays."""
    whole = Columns(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _FLAT},
        first=_offsets([part.first for part in parts]),
        load_first=_offsets([part.load_first for part in parts]),
    )
    _, index = np.unique(whole.key, return_index=True)
    return whole if len(index) == whole.count else whole.take(np.sort(index))


_FLAT = ("job", "pool", "start", "fraction", "cost", "key", "points", "load_step", "load_gpus", "load_kw")


def _offsets(parts: list[IntArray]) -> IntArray:
    """Join offset arrays."""
    lengths = np.concatenate([np.diff(part) for part in parts])
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picks:
    """Runs to be written as columns: pair index of the oracle, pool and multiplier of `profiles`."""

    pair: IntArray
    pool: IntArray
    multiplier: IntArray


def write_columns(oracle: Oracle, profiles: Profiles, picks: Picks) -> Columns:
    """Write runs of the oracle as columns, slot by slot and then by step."""
    pairs, table, lanes, frame = oracle.pairs, oracle.table, oracle.lanes, oracle.frame
    job, start = pairs.job[picks.pair], pairs.start[picks.pair]
    row, _, last, fraction = oracle.rides(profiles, oracle.runs(picks.pair), picks.pool, picks.multiplier)
    length = last - start + 1
    first = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    owner = np.repeat(np.arange(len(job)), length)
    slot = np.arange(first[-1]) - first[owner] + start[owner]
    level = profiles.level[row[owner] + slot]
    lane = table.kind[job] * lanes.pools + picks.pool
    share = np.where(slot == last[owner], fraction[owner], 1.0)
    draw_kw = table.gpus[job][owner] * lanes.draw_kw[lane[owner], level] * share
    own_eur = draw_kw * lanes.own_eur_per_kwh[picks.pool[owner], slot] * lanes.slot_h
    end = last + fraction
    cost = np.add.reduceat(own_eur, first[:-1]) if len(job) else np.zeros(0)
    cost = cost + pairs.fixed_eur[picks.pair] + table.slowdown[job] * (end - start) + table.lateness_eur(job, end)
    inside = slot < frame.slots
    load_first, load_step, gpus, draw = _step_loads(oracle, owner[inside], slot[inside], draw_kw[inside])
    return Columns(
        job=job,
        pool=picks.pool,
        start=start,
        fraction=fraction,
        cost=cost,
        key=_keys((job, picks.pool, start), level, slot, first),
        first=first,
        points=level.astype(np.int64),
        load_first=load_first,
        load_step=load_step,
        load_gpus=gpus * np.repeat(table.gpus[job], np.diff(load_first)),
        load_kw=draw,
    )


def _step_loads(
    oracle: Oracle, owner: IntArray, slot: IntArray, draw_kw: FloatArray
) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """Mean share of held GPUs and mean draw per (column, step); every column has a slot inside the horizon."""
    frame = oracle.frame
    if len(owner) == 0:
        nothing = np.zeros(0, dtype=np.int64)
        return np.zeros(1, dtype=np.int64), nothing, np.zeros(0), np.zeros(0)
    step = frame.step_of[slot]
    begins = np.nonzero(np.concatenate([[True], (owner[1:] != owner[:-1]) | (step[1:] != step[:-1])]))[0]
    slots = np.diff(np.concatenate([begins, [len(owner)]]))
    at = step[begins]
    load_first = np.searchsorted(owner[begins], np.arange(int(owner[-1]) + 2))
    return load_first, at, slots / frame.step_slots[at], np.add.reduceat(draw_kw, begins) / frame.step_slots[at]


def _keys(head: tuple[IntArray, IntArray, IntArray], level: IntArray, slot: IntArray, first: IntArray) -> IntArray:
    """A 64-bit number per run, equal for equal runs: fixed random weights per slot and part; wraps around by design."""
    random = np.random.default_rng(KEY_SEED)
    parts = random.integers(1, 2**62, size=len(head), dtype=np.int64)
    weight = random.integers(1, 2**62, size=int(slot.max(initial=0)) + 1, dtype=np.int64)
    with np.errstate(over="ignore"):
        key = np.add.reduceat((level + 1) * weight[slot], first[:-1]) if len(first) > 1 else np.zeros(0, dtype=np.int64)
        for value, part in zip(head, parts, strict=True):
            key = key * 6364136223846793005 + (value + 1) * part
    found: IntArray = key
    return found
