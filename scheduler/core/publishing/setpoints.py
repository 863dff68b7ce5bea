"""What we ask of our own side of a plug until the next cycle: heat pump, tank and sale, slot by slot."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from scheduler.domain.decision import PlantSetpoint
from scheduler.domain.plan import Plan
from scheduler.domain.settings import Settings
from scheduler.domain.site import Site
from scheduler.domain.time import FloatArray


def setpoints_of(site: Site, plan: Plan, settings: Settings, now_utc: datetime) -> tuple[PlantSetpoint, ...]:
    """Wishes for every plug and slot in [now, now + cycle), in order of time; none where the plan does not reach.

    An older plan is read at its own slots, so the last good plan goes on where it stands.
    """
    grid = plan.grid
    first = max(0, grid.slot_of(now_utc))
    last = min(grid.slots, grid.slot_of(now_utc + timedelta(seconds=settings.cycle_s - 1)) + 1)
    step_of = np.repeat(np.arange(len(plan.step_slots)), plan.step_slots)
    sold = {plug.plug_id: sold_kw(site, plan, plug.plug_id) for plug in site.plugs}
    return tuple(
        PlantSetpoint(
            plug_id=flow.plug_id,
            at_utc=grid.time_of(slot),
            duration_s=grid.slot_s,
            pump_heat_kw=float(flow.delivered_kw[step_of[slot]]),
            charge_kw=float(flow.charge_kw[step_of[slot]]),
            discharge_kw=float(flow.discharge_kw[step_of[slot]]),
            sell_kw=float(sold[flow.plug_id][step_of[slot]]),
        )
        for slot in range(first, last)
        for flow in plan.flows
    )


def sold_kw(site: Site, plan: Plan, plug_id: str) -> FloatArray:
    """Planned sale to all customers of a plug per step, (steps,)."""
    names = [offtake.offtake_id for offtake in site.offtakes if offtake.plug_id == plug_id]
    return np.asarray(sum((plan.sold_kw[name] for name in names if name in plan.sold_kw), np.zeros(len(plan.step_slots))))
