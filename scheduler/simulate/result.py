"""A backtest as plain numbers: the JSON that everything downstream reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scheduler.domain.plan import PlanStatus
from scheduler.domain.time import FloatArray
from scheduler.simulate.by_month import cost_by_slot_eur, month_of_slots, summed
from scheduler.simulate.outage_result import outages_json
from scheduler.simulate.planned import Planned
from scheduler.simulate.record import Readings, column
from scheduler.simulate.score import record_series
from scheduler.simulate.strategies import LEVERS, STRATEGIES
from scheduler.simulate.world import World
from scheduler.units import S_PER_H, eur_per_mwh_from_eur_per_kwh, h_from_s

if TYPE_CHECKING:
    from scheduler.simulate.backtest import BacktestResult, Run

# A longer run is shown by the hour: a year of quarter hours would make a file of 11 MB.
MOST_POINTS = 10_000
# A spread between FIFO and the bound below this share of FIFO's cost says nothing about anybody.
LEAST_SPREAD_FRACTION = 0.005
SWITCH_NAMES = (
    "true_prices",
    "true_heat_and_weather",
    "true_durations",
    "known_arrivals",
    "all_known",
    "best_all_known_plan",
    "foresight_plan",
)


def result_json(result: BacktestResult) -> dict[str, Any]:
    """All of a result under the names that `docs/backtest.md` lists."""
    ours = result.runs.get("ours")
    return {
        "scenario": result.scenario.name,
        "start_utc": f"{result.scenario.start_utc:%Y-%m-%dT%H:%M:%SZ}",
        "end_utc": f"{result.end_utc:%Y-%m-%dT%H:%M:%SZ}",
        "days": result.scenario.days,
        "cycles": cycles_of(ours),
        "wall_s": round(result.wall_s, 3),
        "reference": dict(result.reference),
        "strategies": {name: strategy_json(result.runs[name]) for name in STRATEGIES if name in result.runs},
        "candidates_eur": result.candidates_eur,
        "bound": bound_json(result),
        "value_captured": value_captured(result, "fifo"),
        "value_captured_against": {name: value_captured(result, name) for name in ("easy_backfill", "plant_only")},
        "ablation": ablation_json(result),
        "decomposition": decomposition_json(result),
        "outages": outages_json(result),
        "binding_share": {} if ours is None or ours.score is None else ours.score.binding_share,
        "solver": solver_json(ours),
        "invariants": {
            "checked": result.log.checked,
            "violations": result.log.violations,
            "examples": list(result.log.examples),
        },
        "months": months_json(result),
        "series": series_json(result),
    }


def bound_json(result: BacktestResult) -> dict[str, Any]:
    """The proven bound and how far its search had still to go at most."""
    bound = result.bound
    if bound is None:
        return {"cost_eur": None, "method": "not asked for"}
    return {"cost_eur": bound.cost_eur, "method": bound.method, "rounds": bound.rounds, "relaxed_eur": bound.relaxed_eur}


def strategy_json(run: Run) -> dict[str, Any]:
    """One strategy."""
    assert run.score is not None
    return {
        "cost_eur": {name: round(value, 6) for name, value in run.score.cost_eur.items()},
        **{name: round(value, 3) for name, value in run.score.energy.items()},
        "jobs": run.score.jobs,
        "firm": run.score.firm,
        "binding_share": run.score.binding_share,
        "parameter": run.spec.parameter,
        "drained_s": run.score.drained_s,
    }


def value_captured(result: BacktestResult, against: str, key: str = "ours") -> float | None:
    """(baseline - ours) / (baseline - bound); None without a bound, or when the spread says nothing."""
    if result.bound_eur is None or key not in result.runs or against not in result.runs:
        return None
    baseline, ours = result.runs[against].total_eur, result.runs[key].total_eur
    spread = baseline - result.bound_eur
    if spread < LEAST_SPREAD_FRACTION * abs(baseline):
        return None
    return (baseline - ours) / spread


def ablation_json(result: BacktestResult) -> dict[str, float | None]:
    """What each lever is worth: cost without it minus cost with it."""
    ours = result.runs.get("ours")
    worth: dict[str, float | None] = {}
    for lever in LEVERS:
        other = result.runs.get(f"without_{lever}")
        worth[f"{lever}_eur"] = None if ours is None or other is None else other.total_eur - ours.total_eur
    return worth


def decomposition_json(result: BacktestResult) -> dict[str, Any]:
    """The same loop told one truth in advance; empty when not asked for."""
    if not any(name in result.runs for name in SWITCH_NAMES):
        return {}
    keys = [name for name in ("ours", *SWITCH_NAMES) if name in result.runs]
    return {
        key: {"cost_eur": result.runs[key].total_eur, "value_captured": value_captured(result, "fifo", key)} for key in keys
    }


def cycles_of(ours: Run | None) -> int:
    """Cycles that our strategy ran."""
    return len(ours.steering.memory.entries) if ours is not None and isinstance(ours.steering, Planned) else 0


def solver_json(ours: Run | None) -> dict[str, Any]:
    """Times of whole decisions and quality of the plans; times are None when no clock was given."""
    if ours is None or not isinstance(ours.steering, Planned):
        return {"p50_s": None, "p95_s": None, "max_s": None, "rolling_gap_p95": None, "degraded_cycles": None}
    memory = ours.steering.memory
    fresh = [entry for entry in memory.entries if entry.status == PlanStatus.FRESH.value]
    return {
        "p50_s": quantile(memory.wall_s, 0.5),
        "p95_s": quantile(memory.wall_s, 0.95),
        "max_s": max(memory.wall_s, default=None),
        "rolling_gap_p95": quantile([entry.rolling_gap for entry in fresh], 0.95),
        "degraded_cycles": len(memory.entries) - len(fresh),
        "admission_p95_s": quantile(memory.admission_s, 0.95),
        "admission_max_s": max(memory.admission_s, default=None),
    }


def quantile(values: Sequence[float], share: float) -> float | None:
    """Quantile of a list; None when it is empty."""
    return float(np.quantile(np.asarray(values), share)) if values else None


def months_json(result: BacktestResult) -> list[dict[str, Any]]:
    """By calendar month (UTC): mean price, demand, and what each strategy cost and sold; their sums are those of the run."""
    worlds = {name: result.runs[name].world for name in STRATEGIES if name in result.runs}
    if not worlds:
        return []
    some = next(iter(worlds.values()))
    months, slot_h = month_of_slots(some), h_from_s(some.clockwork.slot_s)
    hours = summed(np.full(some.record.slots, slot_h), months)
    price = summed(some.truth.energy_eur_per_kwh[: some.record.slots] * slot_h, months)
    demand = summed(total(some.record.demand_kw, some.record.slots) * slot_h, months)
    cost = {name: summed(cost_by_slot_eur(world), months) for name, world in worlds.items()}
    sold = {name: summed(total(world.record.sold_kw, world.record.slots) * slot_h, months) for name, world in worlds.items()}
    return [
        {
            "month": month,
            "hours": round(hours[month], 2),
            "price_eur_per_mwh": round(eur_per_mwh_from_eur_per_kwh(price[month] / hours[month]), 2),
            "demand_kwh": round(demand[month], 1),
            "strategies": {
                name: {"total_eur": round(cost[name][month], 4), "heat_sold_kwh": round(sold[name][month], 1)}
                for name in worlds
            },
        }
        for month in hours
    ]


def series_json(result: BacktestResult) -> dict[str, Any]:
    """Means per step for plots: price, demand, and by strategy sale, promise, GPUs, IT power, tank."""
    named = [(name, result.runs[name].world) for name in STRATEGIES if name in result.runs]
    if not named:
        return {}
    world = named[0][1]
    slots, grid, slot_s = world.record.slots, world.truth.grid, world.clockwork.slot_s
    many = 1 if slots <= MOST_POINTS else max(1, int(S_PER_H) // slot_s)
    return {
        "step_s": many * slot_s,
        "time_utc": [f"{grid.time_of(slot):%Y-%m-%dT%H:%M:%SZ}" for slot in range(0, slots, many)],
        "price_eur_per_mwh": rounded(coarser(world.truth.energy_eur_per_kwh[:slots], many), eur_per_mwh_from_eur_per_kwh, 2),
        "demand_kw": rounded(coarser(total(world.record.demand_kw, slots), many)),
        "strategies": {name: world_series(one, many) for name, one in named},
    }


def total(columns: Mapping[str, Readings], slots: int) -> FloatArray:
    """All customers together, (slots,)."""
    return sum((column(values) for values in columns.values()), np.zeros(slots))


def coarser(values: FloatArray, many: int) -> FloatArray:
    """Means of `many` values each; the last one may be of fewer."""
    if many == 1 or not len(values):
        return values
    starts = np.arange(0, len(values), many)
    return np.asarray(np.add.reduceat(values, starts) / np.diff([*starts, len(values)]))


def world_series(world: World, many: int) -> dict[str, list[float]]:
    """Columns of one run."""
    columns = record_series(world.record)
    columns["promised_kw"] = promised_kw(world)
    return {name: rounded(coarser(values, many)) for name, values in columns.items()}


def promised_kw(world: World) -> FloatArray:
    """Firm heat per slot, all customers together."""
    grid, out = world.truth.grid, np.zeros(world.record.slots)
    for one in world.promises.commitments:
        out[max(0, grid.slot_of(one.start_utc)) : max(0, grid.slot_of(one.end_utc))] += one.firm_kw
    return out


def rounded(values: FloatArray, unit: Callable[[float], float] = lambda value: value, digits: int = 2) -> list[float]:
    """Plain numbers, short enough to ship."""
    return [round(unit(float(value)), digits) for value in values]
