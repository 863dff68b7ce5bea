"""Problems small enough to solve with a pencil: every default is neutral, so that a test states only what it is about.

One slot is an hour, a GPU draws 1 kW when it runs at full speed and nothing when idle, nothing is captured, no overhead.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from scheduler.domain.problem import PlanCommitment, PlanJob, PlanOfftake, PlanPlug, PlanPool, PlanProblem, PowerPoint
from scheduler.domain.time import FloatArray, TimeGrid
from scheduler.units import S_PER_H, w_from_kw

START_UTC = datetime(2026, 1, 12, 0, tzinfo=UTC)
FULL = PowerPoint(level=1.0, cap_w=w_from_kw(1.0), draw_w=w_from_kw(1.0), speed=1.0)
HALF_POWER = PowerPoint(level=0.5, cap_w=w_from_kw(0.5), draw_w=w_from_kw(0.5), speed=0.75)


def per_slot(values: float | Sequence[float] | FloatArray, slots: int) -> FloatArray:
    """One number for all slots, or one for each."""
    return np.broadcast_to(np.asarray(values, dtype=np.float64), (slots,)).copy()


def toy_job(job_id: str, hours: float = 1.0, gpus: int = 1, **changes: object) -> PlanJob:
    """A job that any pool 0 can run; leaving it out costs 100 EUR."""
    fields: dict[str, object] = {
        "job_id": job_id,
        "gpus": gpus,
        "pools": (0,),
        "work_s": hours * S_PER_H,
        "tail_work_s": hours * S_PER_H,
        "points": (FULL,),
        "unplaced_eur": 100.0,
    }
    return PlanJob(**(fields | changes))  # type: ignore[arg-type]  # field names are checked by the dataclass itself


def toy_pool(slots: int, gpus: float | Sequence[float] = 8.0, **changes: object) -> PlanPool:
    """A pool of eight free GPUs without base load on plug 0 whose draw is all caught."""
    fields: dict[str, object] = {
        "pool_id": "pool",
        "plug": 0,
        "gpus_free": per_slot(gpus, slots),
        "base_it_kw": np.zeros(slots),
        "base_captured_kw": np.zeros(slots),
        "it_kw_per_draw_kw": 1.0,
        "captured_kw_per_draw_kw": 1.0,
        "idle_w": 0.0,
    }
    return PlanPool(**(fields | changes))  # type: ignore[arg-type]  # field names are checked by the dataclass itself


def toy_plug(slots: int, rated_kw: float | Sequence[float] = 0.0, **changes: object) -> PlanPlug:
    """A plug for direct use; at the default rating no heat can be delivered."""
    fields: dict[str, object] = {"plug_id": "plug", "rated_heat_kw": per_slot(rated_kw, slots), "cop": None}
    return PlanPlug(**(fields | changes))  # type: ignore[arg-type]  # field names are checked by the dataclass itself


def toy_offtake(
    slots: int, demand_kw: float | Sequence[float], eur_per_kwh: float | Sequence[float], name: str = "town", priority: int = 1
) -> PlanOfftake:
    """A customer on plug 0."""
    return PlanOfftake(
        offtake_id=name,
        plug=0,
        demand_kw=per_slot(demand_kw, slots),
        price_eur_per_kwh=per_slot(eur_per_kwh, slots),
        priority=priority,
    )


def toy_promise(start_slot: int, end_slot: int, required_kwh: float, eur_per_kwh: float = 0.16) -> PlanCommitment:
    """Firm heat of the first customer."""
    return PlanCommitment(
        offtake=0, start_slot=start_slot, end_slot=end_slot, required_kwh=required_kwh, shortfall_eur_per_kwh=eur_per_kwh
    )


def toy_problem(
    price_eur_per_kwh: Sequence[float] | FloatArray, jobs: Sequence[PlanJob] = (), **changes: object
) -> PlanProblem:
    """One pool, one plug, no customer, all slots integral; after the horizon power costs the mean price."""
    price = np.asarray(price_eur_per_kwh, dtype=np.float64)
    slots = len(price)
    fields: dict[str, object] = {
        "grid": TimeGrid(start_utc=START_UTC, slot_s=int(S_PER_H), slots=slots),
        "step_slots": np.ones(slots, dtype=np.int64),
        "commit_slots": slots,
        "spot_eur_per_kwh": price,
        "adder_eur_per_kwh": np.zeros(slots),
        "carbon_eur_per_kwh": np.zeros(slots),
        "tail_eur_per_kwh": np.full(24, float(price.mean()) if slots else 0.0),
        "overhead_fraction": 0.0,
        "site_limit_kw": np.full(slots, np.inf),
        "pools": (toy_pool(slots),),
        "plugs": (toy_plug(slots),),
        "offtakes": (),
        "jobs": tuple(jobs),
    }
    return PlanProblem(**(fields | changes))  # type: ignore[arg-type]  # field names are checked by the dataclass itself
