"""One cycle of a run in the plain numbers that a live view shows."""

from __future__ import annotations

from typing import Any

from scheduler.simulate.planned import Planned
from scheduler.simulate.world import World
from scheduler.units import eur_per_mwh_from_eur_per_kwh


def cycle_numbers(world: World, steering: Planned, period_s: float) -> dict[str, Any]:
    """What happened in the cycle that just ended: at, done and total (seconds), price, heat, GPUs, jobs, one sentence."""
    record, cluster = world.record, world.cluster
    slots = max(1, world.clockwork.cycle_s // world.clockwork.slot_s)
    here = slice(max(0, record.slots - slots), record.slots)
    count = max(1, here.stop - here.start)
    price = world.truth.energy_eur_per_kwh[here].mean()
    running = list(cluster.running.values())
    return {
        "at": f"{world.now_utc:%a %d %b %H:%M}",
        "done": int(min(world.clock.now_s, period_s)),
        "total": int(period_s),
        "price_eur_per_mwh": eur_per_mwh_from_eur_per_kwh(float(price)),
        "demand_kw": sum(sum(one[here]) for one in record.demand_kw.values()) / count,
        "sold_kw": sum(sum(one[here]) for one in record.sold_kw.values()) / count,
        "tank_kwh": sum(one.tank_kwh[-1] for one in record.plugs.values() if one.tank_kwh),
        "gpus_busy": sum(job.gpus for job in running),
        "gpus": sum(cluster.capacity.values()),
        "running": len(running),
        "waiting": len(cluster.flexible_queue) + len(cluster.insulated_queue),
        "capped": sum(1 for job in running if job.speed < 1.0),
        "says": sentence(steering),
    }


def sentence(steering: Planned) -> str:
    """The most telling explanation of the last decision: that of the wait that saves most; empty when nobody waits."""
    decision = steering.decision
    if decision is None:
        return ""
    if decision.plan.degraded_reason:
        return decision.plan.degraded_reason
    told = [one for one in decision.plan.explanations if one.saves_eur > 0.0]
    best = max(told, key=lambda one: one.saves_eur, default=None)
    return "" if best is None else f"{best.job_id}: {best.text}"
