"""Meter readings of a virtual run as ledger entries: one per plug and slot, as a real site would book them."""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.core.accounting.booking import heat_entry
from scheduler.core.accounting.entries import entry_id
from scheduler.core.accounting.whole import micro_from_unit, wh_from_kwh, whole
from scheduler.domain.ledger import LedgerEntry, Quality
from scheduler.domain.plan import Plan
from scheduler.domain.settlement import HeatSlot
from scheduler.domain.site import Plug
from scheduler.simulate.world import World
from scheduler.units import W_PER_KW, h_from_s


def slot_entries(world: World, slots: Iterable[int], plan: Plan | None) -> tuple[LedgerEntry, ...]:
    """Entries of all plugs in some slots that have passed; `plan` is the one that was in force in them, None without one."""
    return tuple(slot_entry(world, plug, slot, plan) for slot in slots for plug in world.site.plugs)


def slot_entry(world: World, plug: Plug, slot: int, plan: Plan | None) -> LedgerEntry:
    """One plug in one slot.

    The IT meter is that of the site: with several plugs its share of one of them is not known, and neither are the
    terms that rest on it. Firm heat is settled by the hour and so is not booked by slot.
    """
    slot_s, record = world.clockwork.slot_s, world.record
    one, slot_h = record.plugs[plug.plug_id], h_from_s(world.clockwork.slot_s)
    start_utc = world.truth.grid.time_of(slot)
    it_kw = record.it_kw[slot] if len(world.site.plugs) == 1 else None
    rejected_kw = one.rejected_kw[slot] + one.dumped_kw[slot]
    cooling_kw = plug.rejection_electric_fraction * rejected_kw + plug.room_electric_fraction * one.room_kw[slot]
    all_kw = None if it_kw is None else it_kw * (1.0 + world.site.overhead_fraction_of_it) + one.pump_kw_el[slot] + cooling_kw
    sold_kw = sum(
        record.sold_kw[offtake.offtake_id][slot] for offtake in world.site.offtakes if offtake.plug_id == plug.plug_id
    )
    return LedgerEntry(
        entry_id=entry_id(plug.plug_id, start_utc),
        plug_id=plug.plug_id,
        start_utc=start_utc,
        duration_s=slot_s,
        revision=0,
        plan_id="" if plan is None else plan.plan_id,
        quality=Quality.METERED,
        it_energy_kwh=None if it_kw is None else it_kw * slot_h,
        facility_energy_kwh=None if all_kw is None else all_kw * slot_h,
        heat_captured_kwh=one.captured_kw[slot] * slot_h,
        heat_recovered_kwh=one.recovered_kw[slot] * slot_h,
        heat_sold_kwh=sold_kw * slot_h,
        heat_rejected_kwh=rejected_kw * slot_h,
        heat_planned_kwh=planned_kwh(world, plug, slot, plan),
        heat_firm_kwh=firm_kwh(world, plug, slot),
        tank_level_kwh=one.tank_kwh[slot],
        emissions_g=None if all_kw is None else all_kw * slot_h * float(world.truth.carbon_g_per_kwh[slot]),
        eur=slot_eur(world, plug, slot, it_kw, cooling_kw),
    )


def slot_eur(world: World, plug: Plug, slot: int, it_kw: float | None, cooling_kw: float) -> dict[str, float]:
    """The cash terms of one slot, as `score` adds them up over a run; without IT power those of heat alone."""
    truth, record, slot_h = world.truth, world.record, h_from_s(world.clockwork.slot_s)
    one, spot = record.plugs[plug.plug_id], float(world.truth.energy_eur_per_kwh[slot])
    start_eur = plug.heat_pump.start_cost_eur * one.pump_starts[slot] if plug.heat_pump is not None else 0.0
    terms = {
        "heat_pump": spot * one.pump_kw_el[slot] * slot_h + start_eur,
        "rejection": spot * cooling_kw * slot_h,
        "heat_revenue": -sum(
            record.sold_kw[offtake.offtake_id][slot] * float(truth.heat_eur_per_kwh[offtake.offtake_id][slot]) * slot_h
            for offtake in world.site.offtakes
            if offtake.plug_id == plug.plug_id
        ),
    }
    if it_kw is not None:
        it_with_overhead_kw = it_kw * (1.0 + world.site.overhead_fraction_of_it)
        terms["electricity"] = spot * it_with_overhead_kw * slot_h
        terms["network"] = truth.adder_eur_per_kwh * (it_with_overhead_kw + one.pump_kw_el[slot] + cooling_kw) * slot_h
    return terms


def planned_kwh(world: World, plug: Plug, slot: int, plan: Plan | None) -> float | None:
    """Sale that the plan foresaw for a slot; None when it does not reach there."""
    if plan is None:
        return None
    inside = plan.grid.slot_of(world.truth.grid.time_of(slot))
    if not 0 <= inside < plan.grid.slots or plan.grid.slot_s != world.clockwork.slot_s:
        return None
    step = int((plan.step_start <= inside).sum()) - 1
    mine = [offtake.offtake_id for offtake in world.site.offtakes if offtake.plug_id == plug.plug_id]
    return sum(float(plan.sold_kw[name][step]) for name in mine if name in plan.sold_kw) * plan.grid.slot_h


def firm_kwh(world: World, plug: Plug, slot: int) -> float:
    """Heat promised for a slot."""
    at_utc, slot_h = world.truth.grid.time_of(slot), h_from_s(world.clockwork.slot_s)
    mine = {offtake.offtake_id for offtake in world.site.offtakes if offtake.plug_id == plug.plug_id}
    promises = (one for one in world.promises.commitments if one.offtake_id in mine)
    return sum(one.firm_kw for one in promises if one.start_utc <= at_utc < one.end_utc) * slot_h


def customer_entries(world: World, slots: Iterable[int]) -> tuple[LedgerEntry, ...]:
    """Entries of every customer's own account in some slots that have passed, as his heat meter would have them."""
    return tuple(_customer_entry(world, offtake.offtake_id, slot) for slot in slots for offtake in world.site.offtakes)


def _customer_entry(world: World, offtake_id: str, slot: int) -> LedgerEntry:
    """One customer in one slot."""
    slot_s, start_utc = world.clockwork.slot_s, world.truth.grid.time_of(slot)
    sold_kwh = world.record.sold_kw[offtake_id][slot] * h_from_s(slot_s)
    promises = (one for one in world.promises.commitments if one.offtake_id == offtake_id)
    firm_kw = max((one.firm_kw for one in promises if one.start_utc <= start_utc < one.end_utc), default=0.0)
    metered = HeatSlot(start_utc=start_utc, duration_s=slot_s, heat_wh=wh_from_kwh(sold_kwh), quality=Quality.METERED)
    price = micro_from_unit(float(world.truth.heat_eur_per_kwh[offtake_id][slot]))
    return heat_entry(offtake_id, metered, firm_w=whole(firm_kw, W_PER_KW), price_micro=price)
