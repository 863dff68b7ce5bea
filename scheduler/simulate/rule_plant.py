"""The plant under a rule: `plant_rule`, and no needless starts of a pump that demand alone cannot keep at its minimum load."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.core.thermal.plant import PlantMemory, PlantModel, PlantRequest, plant_rule, tank_limits


def calm_plant_rule(
    model: PlantModel, memory: PlantMemory, demand_kw: Sequence[float], margin: float, slot_h: float
) -> PlantRequest:
    """What a rule asks of a plug in one slot.

    Where demand and pipe loss lie below the pump's minimum load, the pump runs until what nobody takes no longer fits into the
    tank, and rests until the tank alone cannot serve the slot. Without that it would stop at a full tank and start again in
    the next slot: twenty to forty starts a day in summer, which no plant would do and which would make any plan look good.
    """
    asked = plant_rule(model, demand_kw, margin)
    wish = sum(max(0.0, min(kw, one.max_heat_kw)) for kw, one in zip(demand_kw, model.offtakes, strict=True))
    surplus = model.min_heat_kw - wish - model.plug.pipe_loss_kw
    if asked.pump_heat_kw <= 0.0 or surplus <= 0.0:
        return asked
    room_kw, reach_kw, _ = tank_limits(model.plug, memory.tank_kwh, slot_h)
    runs = surplus <= room_kw if memory.pump_on else reach_kw < wish
    return asked if runs else PlantRequest(pump_heat_kw=0.0)
