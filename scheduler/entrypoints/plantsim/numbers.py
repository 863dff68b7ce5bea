"""A software plant's state as plain values, for views and for lines in a pipe."""

from __future__ import annotations

from scheduler.core.publishing.message import stamp
from scheduler.simulate.plant.plant import PlantView, SoftwarePlant


def numbers_of(view: PlantView, plant: SoftwarePlant, trouble: str) -> dict[str, object]:
    """One moment of the plant."""
    flows, heartbeat, tank_kwh = view.flows, view.heartbeat, plant.spec.tank.capacity_kwh
    return {
        "at": stamp(view.at_utc),
        "own_clock": stamp(view.own_utc),
        "offtake": plant.spec.offtake_id,
        "mode": view.decided.mode.value,
        "why": view.decided.why,
        "sequence": view.sequence,
        "link_age_s": view.link_age_s,
        "trouble": trouble,
        "counter": None if heartbeat is None else heartbeat.counter,
        "boiler_asked": None if heartbeat is None else heartbeat.boiler_on,
        "alarm": "" if heartbeat is None else heartbeat.alarm_text,
        "planned_kw": view.decided.planned_kw,
        "taken_kw": flows.taken_kw,
        "demand_kw": flows.served_kw + flows.unserved_kw,
        "boiler_kw": flows.boiler_kw,
        "boiler": "off" if not view.store.boiler.wanted else "hot" if view.store.boiler.hot else "starting",
        "dry_cooler_kw": flows.dry_cooler_kw,
        "unserved_kw": flows.unserved_kw,
        "tank_kwh": view.store.level_kwh,
        "tank_fraction": view.store.level_kwh / tank_kwh if tank_kwh else None,
        "outdoor_c": view.weather.outdoor_c,
        "supply_c": view.weather.supply_c,
        "return_c": view.weather.return_c,
        "meter_kwh": view.meter.energy_kwh,
        "accepted": plant.counts.accepted,
        "refused": plant.counts.refused,
        "acknowledged": plant.counts.acknowledged,
        "faults": [kind.value for kind in view.faults],
    }
