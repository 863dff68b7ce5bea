"""A decision as the DispatchPlan object that people read with `kubectl get plans`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

import numpy as np

from scheduler.domain.action import HoldJob, SetCap, StartJob, StopJob
from scheduler.domain.decision import Decision
from scheduler.domain.observed import SourceReading
from scheduler.domain.plan import Offer, Plan
from scheduler.domain.problem import PlanProblem
from scheduler.domain.settings import Settings
from scheduler.domain.time import FloatArray, TimeGrid
from scheduler.units import S_PER_H, kw_from_w

API_VERSION = "heatdispatch.io/v1alpha1"
MOST_HOURS = 96
OUTLOOK_HOURS = 24
MOST_TERMS = 32
MOST_PARTS = 64
MOST_OTHERS = 8
LONGEST_REASON = 1024
CENT_DIGITS, KW_DIGITS, GAP_DIGITS, PRICE_DIGITS = 2, 1, 5, 4


def instant(at_utc: datetime) -> str:
    """An instant as Kubernetes writes it."""
    return at_utc.strftime("%Y-%m-%dT%H:%M:%SZ")


def plan_object(policy: str, decision: Decision, settings: Settings, baseline_eur: Mapping[str, float]) -> dict[str, Any]:
    """The object without its status: one per policy, under the policy's name."""
    return {
        "apiVersion": API_VERSION,
        "kind": "DispatchPlan",
        "metadata": {"name": policy},
        "spec": {"policyRef": policy},
        "status": plan_status(decision, settings, baseline_eur),
    }


def plan_status(
    decision: Decision, settings: Settings, baseline_eur: Mapping[str, float], problem: PlanProblem | None = None
) -> dict[str, Any]:
    """The plan in numbers, rounded to what they are known to.

    Args:
        decision: what was decided.
        settings: whose mode it was made in.
        baseline_eur: cost by term of the simplest rule on the same problem; empty when it is not known.
        problem: what the plan solves; None for a plan that nobody solved, which is then told without its outlook.
    """
    plan = decision.plan
    counts = {kind: sum(isinstance(action, kind) for action in decision.actions) for kind in COUNTED}
    status: dict[str, Any] = {
        "planId": plan.plan_id,
        "inputDigest": plan.input_digest,
        "mode": settings.mode.value,
        "madeAt": instant(decision.at_utc),
        "planStatus": plan.status.value,
        "degradedReason": plan.degraded_reason[:LONGEST_REASON],
        "objective": terms(plan.cost_eur),
        "baseline": terms(baseline_eur),
        "heat": heat(decision.offers),
        **{name: counts[kind] for kind, name in COUNTED.items()},
    }
    # A plan that proves nothing has no finite gap, and JSON no word for that.
    gaps = {"rollingGap": plan.report.rolling_gap, "planGap": plan.report.rounded_gap}
    status |= {name: round(gap, GAP_DIGITS) for name, gap in gaps.items() if gap is not None and isfinite(gap)}
    if problem is not None:
        status["outlook"] = outlook(plan, problem)
    return status


def signals(readings: Iterable[SourceReading]) -> list[dict[str, Any]]:
    """Who told what a plan rests on; what nobody knows anything of is left out."""
    found = []
    for one in sorted(readings, key=lambda reading: reading.quantity):
        known = np.flatnonzero(np.isfinite(one.series.values))
        if not len(known):
            continue
        others = sorted({part.source for part in one.origins.parts} - {one.source})
        told = {
            "quantity": one.quantity,
            "source": one.source[:LONGEST_REASON],
            "heardAt": instant(one.fetched_utc),
            "knownUntil": instant(one.series.grid.time_of(int(known[-1]) + 1)),
            "assumed": one.assumed,
        }
        found.append({**told, **({"others": [name[:LONGEST_REASON] for name in others[:MOST_OTHERS]]} if others else {})})
    return found[:MOST_TERMS]


COUNTED: dict[type, str] = {HoldJob: "held", StartJob: "started", StopJob: "stopped", SetCap: "capped"}


def terms(cost_eur: Mapping[str, float]) -> list[dict[str, Any]]:
    """Terms that are not zero, in cents, the largest first."""
    found = [(name, round(float(value), CENT_DIGITS)) for name, value in cost_eur.items()]
    ordered = sorted((one for one in found if one[1] != 0.0), key=lambda one: (-abs(one[1]), one[0]))
    return [{"term": name.replace("_", "-"), "eur": value} for name, value in ordered[:MOST_TERMS]]


def heat(offers: tuple[Offer, ...]) -> list[dict[str, Any]]:
    """Heat by plug and hour: the sum of what its customers are offered.

    Bands of several customers of one plug are added up as if they moved together, which keeps the sum on the safe side.
    """
    by_plug: dict[str, list[Offer]] = {}
    for offer in offers:
        by_plug.setdefault(offer.plug_id, []).append(offer)
    return [{"plug": plug, "hours": _hours(group)} for plug, group in sorted(by_plug.items())]


def _hours(offers: list[Offer]) -> list[dict[str, Any]]:
    """Hourly means of the offers' sum."""
    grid = offers[0].grid
    rows = {
        "p50Kw": hourly(sum((one.p50_kw for one in offers), np.zeros(grid.slots)), grid),
        "p10Kw": hourly(sum((one.p10_kw for one in offers), np.zeros(grid.slots)), grid),
        "p90Kw": hourly(sum((one.p90_kw for one in offers), np.zeros(grid.slots)), grid),
        "firmKw": hourly(sum((one.firm_kw for one in offers), np.zeros(grid.slots)), grid),
    }
    first = grid.start_utc.replace(minute=0, second=0, microsecond=0)
    count = min(MOST_HOURS, min(len(values) for values in rows.values()))
    return [
        {
            "start": instant(first + timedelta(seconds=hour * S_PER_H)),
            **{name: round(max(0.0, float(values[hour])), KW_DIGITS) for name, values in rows.items()},
        }
        for hour in range(count)
    ]


def hourly(values_kw: FloatArray, grid: TimeGrid) -> FloatArray:
    """Means over clock hours; the first and the last may hold fewer slots. NaN (not known) counts as nothing offered."""
    offset = int((grid.start_utc - grid.start_utc.replace(minute=0, second=0, microsecond=0)).total_seconds()) // grid.slot_s
    hour = (np.arange(grid.slots) + offset) // max(1, int(S_PER_H) // grid.slot_s)
    known = np.nan_to_num(np.asarray(values_kw, dtype=np.float64))
    sums = np.bincount(hour, weights=known)
    means: FloatArray = sums / np.bincount(hour)
    return means


def outlook(plan: Plan, problem: PlanProblem) -> dict[str, Any]:
    """The plan's next day by clock hour: price of power, GPUs and power by pool, heat against demand by customer.

    The power of a pool is that of its other load and, for each GPU of a planned job, its draw above an idle one:
    it_kw = base_it_kw + it_kw_per_draw_kw * sum of gpus * (draw_w - idle_w).
    """
    grid = plan.grid
    first = grid.start_utc.replace(minute=0, second=0, microsecond=0)
    price = problem.spot_eur_per_kwh + problem.adder_eur_per_kwh + problem.carbon_eur_per_kwh
    gpus, draw_kw = _planned(plan, problem)
    pools = [
        {
            "pool": pool.pool_id,
            "gpus": _shown(gpus[index], grid, KW_DIGITS),
            "itKw": _shown(pool.base_it_kw + pool.it_kw_per_draw_kw * draw_kw[index], grid, KW_DIGITS),
        }
        for index, pool in enumerate(problem.pools[:MOST_PARTS])
    ]
    nothing = np.zeros(len(plan.step_slots))
    offtakes = [
        {
            "offtake": one.offtake_id,
            "heatKw": _shown(np.repeat(plan.sold_kw.get(one.offtake_id, nothing), plan.step_slots), grid, KW_DIGITS),
            "demandKw": _shown(one.demand_kw, grid, KW_DIGITS),
            "eurPerKwh": _shown(one.price_eur_per_kwh, grid, PRICE_DIGITS),
        }
        for one in problem.offtakes[:MOST_PARTS]
    ]
    return {"start": instant(first), "eurPerKwh": _shown(price, grid, PRICE_DIGITS), "pools": pools, "offtakes": offtakes}


def _planned(plan: Plan, problem: PlanProblem) -> tuple[FloatArray, FloatArray]:
    """(GPUs, draw above idle in kW) of planned jobs by pool and slot, shape [pools, slots]; mixtures by their weights."""
    jobs = {job.job_id: job for job in problem.jobs}
    gpus = np.zeros((len(problem.pools), plan.grid.slots))
    draw_kw = np.zeros_like(gpus)
    for planned in plan.jobs:
        job = jobs.get(planned.job_id)
        for option in () if job is None else planned.options:
            assert job is not None
            draws_w = np.array([point.draw_w for point in job.points]) - problem.pools[option.pool].idle_w
            share = np.full(len(option.points), option.weight)
            share[-1] *= option.last_slot_fraction
            last = min(option.end_slot, plan.grid.slots)
            span = slice(option.start_slot, last)
            kept = slice(0, last - option.start_slot)
            gpus[option.pool, span] += job.gpus * share[kept]
            draw_kw[option.pool, span] += kw_from_w(1.0) * job.gpus * (share * draws_w[option.points])[kept]
    return gpus, draw_kw


def _shown(values: FloatArray, grid: TimeGrid, digits: int) -> list[float]:
    """The first hours of a series."""
    return [round(float(one), digits) for one in hourly(values, grid)[:OUTLOOK_HOURS]]
