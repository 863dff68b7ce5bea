"""Heat pump states of the whole near horizon: on or off, decided together with the mix of runs.

A relaxed pump delivers any little heat by being on a little, so a plan that relaxes it counts on heat that no pump will
make: between two loads the heat of idle nodes lies below the least load. A small MILP over the states and the best few runs
of every job says in which steps there will be heat at all, and with the states held the runs move to where it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.aggregate import WHOLE_GAP, WHOLE_NODES, Fixed, near_slots
from scheduler.core.planning.master import Master, Skeleton, Solved, fixed, pruned
from scheduler.domain.problem import PlanProblem
from scheduler.domain.time import FloatArray, IntArray

# Heat in model units below which a pump is off.
OFF = 1e-6
# Runs of every job that the MILP may choose from, the cheapest by reduced cost: with 2 the plan of a winter week cost 10 EUR
# more than with 4, with 8 as much as with 4.
RUNS_PER_JOB = 4
# Rise of the cost, as a share of it, up to which states that follow from the relaxed heat are taken as they are.
NO_RISE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class States:
    """Pump states that are to be whole: their columns and those of the delivered heat, and the least load of each."""

    columns: IntArray
    delivered: IntArray
    least: FloatArray


def states_of(problem: PlanProblem, frame: Skeleton) -> States:
    """States of the steps that begin in the first `pump_slots` slots of the problem, at least those of the commit window."""
    starts = frame.frame.step_start
    near = np.nonzero(starts < near_slots(problem))[0]
    none = np.zeros(0)
    columns, delivered, least = [none.astype(np.int64)], [none.astype(np.int64)], [none]
    for plug, found in zip(problem.plugs, frame.plant.plugs, strict=True):
        if not len(found.on):
            continue
        rated = np.clip(frame.frame.mean(plug.rated_heat_kw), 0.0, None) / frame.scale.kw
        columns.append(found.on[near])
        delivered.append(found.delivered[near])
        least.append(plug.min_load_fraction * rated[near])
    return States(columns=np.concatenate(columns), delivered=np.concatenate(delivered), least=np.concatenate(least))


def decide(master: Master, relaxed: Solved, states: States, *, with_runs: bool = True) -> Fixed | None:
    """Whole states, which the master's bounds hold from now on; None when there are none.

    Args:
        master: runs to choose from; solved.
        relaxed: its solution.
        states: which states are to be whole.
        with_runs: choose them together with the runs; else, with thousands of runs, for the loads of the relaxation.
    """
    if not len(states.columns):
        return None
    heat = relaxed.plant[states.delivered]
    values: FloatArray | None = (heat > OFF).astype(np.float64)
    if bool((heat[heat > OFF] < states.least[heat > OFF] - OFF).any()) or not _held(master, relaxed, states, values):
        small = pruned(master, relaxed, RUNS_PER_JOB) if with_runs else fixed(master, relaxed)
        whole = small.whole(states.columns, WHOLE_NODES, WHOLE_GAP)
        values = None if whole is None else np.round(whole[states.columns])
    if values is not None:
        master.bound_plant(states.columns, values, values)
    return None if values is None else (states.columns, values)


def _held(master: Master, relaxed: Solved, states: States, values: FloatArray | None) -> bool:
    """True when these states cost next to nothing more than the relaxed ones."""
    assert values is not None
    master.bound_plant(states.columns, values, values)
    found = master.try_solve()
    free(master, states)
    return found is not None and found.objective_eur - relaxed.objective_eur <= NO_RISE * max(1.0, abs(relaxed.objective_eur))


def free(master: Master, states: States) -> None:
    """Let the states go."""
    master.bound_plant(states.columns, np.zeros(len(states.columns)), np.ones(len(states.columns)))
