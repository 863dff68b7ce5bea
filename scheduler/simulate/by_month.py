"""A run month by month: the total of its score, put where it arose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.domain.time import FloatArray
from scheduler.simulate.record import column
from scheduler.simulate.score import energy_kwh, shadow_eur, tank_deficit_eur
from scheduler.simulate.world import World
from scheduler.units import h_from_s


def month_of_slots(world: World) -> list[str]:
    """Calendar month (UTC) of every slot of a run, such as 2026-01."""
    return [f"{world.truth.grid.time_of(slot):%Y-%m}" for slot in range(world.record.slots)]


def summed(values: FloatArray, months: Sequence[str]) -> dict[str, float]:
    """Sum by month, in order of time."""
    sums: dict[str, float] = {}
    for month, value in zip(months, values.tolist(), strict=True):
        sums[month] = sums.get(month, 0.0) + value
    return sums


def cost_by_slot_eur(world: World) -> FloatArray:
    """Total cost of every slot in EUR, (slots,); its sum is the total of `score`.

    Energy, network, carbon, wear of the pumps and heat are those of the slot; a promise is paid and settled in the first slot
    of its hour; what a job's waits, delays, stops and caps cost counts where it was submitted; a tank that ends too low is the
    last slot's.
    """
    if not world.record.slots:
        return np.zeros(0)
    cost = _energy_eur(world) - sold_eur(world)
    _add_promises(world, cost)
    for job in world.cluster.jobs.values():
        cost[_slot(world, job.submit_s)] += sum(shadow_eur([job]).values())
    cost[-1] += tank_deficit_eur(world)
    return cost


def sold_eur(world: World) -> FloatArray:
    """Heat sold at the tariff of its slot, (slots,)."""
    slots, slot_h = world.record.slots, h_from_s(world.clockwork.slot_s)
    tariffs = world.truth.heat_eur_per_kwh
    return sum((column(sold) * tariffs[name][:slots] * slot_h for name, sold in world.record.sold_kw.items()), np.zeros(slots))


def _energy_eur(world: World) -> FloatArray:
    """All electricity at its price, tariff and carbon, and the wear of pump starts, (slots,)."""
    truth, slots = world.truth, world.record.slots
    kwh = sum(energy_kwh(world).values(), np.zeros(slots))
    cost = kwh * (truth.energy_eur_per_kwh[:slots] + truth.adder_eur_per_kwh + truth.carbon_eur_per_kwh[:slots])
    for plug in world.site.plugs:
        if plug.heat_pump is not None:
            cost += plug.heat_pump.start_cost_eur * column(world.record.plugs[plug.plug_id].pump_starts)
    return np.asarray(cost)


def _add_promises(world: World, cost: FloatArray) -> None:
    """Capacity payments and penalties of the promised hours."""
    rules = {one.offtake_id: one.firm for one in world.site.offtakes}
    for hour in world.promises.settle_hours(world.now_utc, world.sold()):
        rule = rules[hour.offtake_id]
        if rule is not None:
            paid = rule.capacity_eur_per_kwh * hour.promised_kwh
            at_s = (hour.start_utc - world.scenario.start_utc).total_seconds()
            cost[_slot(world, at_s)] += rule.shortfall_eur_per_kwh * hour.shortfall_kwh - paid


def _slot(world: World, at_s: float) -> int:
    """Slot of an instant, within the run."""
    return int(np.clip(at_s // world.clockwork.slot_s, 0, world.record.slots - 1))
