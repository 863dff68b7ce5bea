"""What a slot and a job cost, term by term, under the names of the reference site.

Cash: electricity (IT and overhead at the energy price), heat_pump, rejection (dry cooler and room air), network (adder on all
electricity), heat_revenue (negative), capacity_payment (negative), shortfall. Shadow: waiting, lateness, preemption, slowdown,
carbon. The total is the sum of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.core.thermal.plant import PlantFlows
from scheduler.domain.job import JobClass
from scheduler.units import h_from_s

CASH_TERMS = ("electricity", "heat_pump", "rejection", "network", "heat_revenue", "capacity_payment", "shortfall")
SHADOW_TERMS = ("waiting", "lateness", "preemption", "slowdown", "carbon")
TERMS = CASH_TERMS + SHADOW_TERMS


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotPrices:
    """Prices of one slot: energy part, adder and carbon of electricity; heat in the order of the plant's offtakes."""

    energy_eur_per_kwh: float
    adder_eur_per_kwh: float
    carbon_eur_per_kwh: float
    heat_eur_per_kwh: tuple[float, ...]
    pump_start_eur: float = 0.0


def slot_costs(
    flows: PlantFlows, it_kw: float, overhead_fraction: float, prices: SlotPrices, duration_h: float
) -> dict[str, float]:
    """Costs in EUR of one plug in one slot by term; a start of the pump is charged to heat_pump."""
    it_total_kw = it_kw * (1.0 + overhead_fraction)
    cooling_kw = flows.rejection_kw_el + flows.room_kw_el
    all_kw = it_total_kw + flows.pump_kw_el + cooling_kw
    price_h = prices.energy_eur_per_kwh * duration_h
    revenue = sum(sold * price for sold, price in zip(flows.sold_kw, prices.heat_eur_per_kwh, strict=True))
    return {
        "electricity": it_total_kw * price_h,
        "heat_pump": flows.pump_kw_el * price_h + (prices.pump_start_eur if flows.pump_started else 0.0),
        "rejection": cooling_kw * price_h,
        "network": all_kw * prices.adder_eur_per_kwh * duration_h,
        "heat_revenue": -revenue * duration_h,
        "carbon": all_kw * prices.carbon_eur_per_kwh * duration_h,
    }


def facility_kw(flows: PlantFlows, it_kw: float, overhead_fraction: float) -> float:
    """All electricity of a plug's side of the site: IT, overhead, pump, dry cooler, room air."""
    return it_kw * (1.0 + overhead_fraction) + flows.pump_kw_el + flows.rejection_kw_el + flows.room_kw_el


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """What a job went through, in seconds: waited before its first start, paused, ran, ran uncapped-equivalent, redid, late."""

    gpus: int
    waited_s: float
    paused_s: float
    run_s: float
    work_s: float
    redone_s: float
    late_s: float


def job_costs(record: JobRecord, job_class: JobClass) -> dict[str, float]:
    """Shadow costs in EUR of one job.

    waiting = GPU-hours between submit and first start plus pauses; lateness = GPU-hours past the deadline; slowdown = value of
    GPU-hours beyond the uncapped work (redone work aside); preemption = value of redone GPU-hours.
    """
    gpus = float(record.gpus)
    extra_s = max(0.0, record.run_s - record.work_s - record.redone_s)
    return {
        "waiting": job_class.waiting_eur_per_gpu_h * gpus * h_from_s(record.waited_s + record.paused_s),
        "lateness": job_class.lateness_eur_per_gpu_h * gpus * h_from_s(record.late_s),
        "slowdown": job_class.value_eur_per_gpu_h * gpus * h_from_s(extra_s),
        "preemption": job_class.value_eur_per_gpu_h * gpus * h_from_s(record.redone_s),
    }


def add_up(*parts: Mapping[str, float]) -> dict[str, float]:
    """Sum cost terms; every known term is present."""
    total = dict.fromkeys(TERMS, 0.0)
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0.0) + value
    return total


def with_totals(terms: Mapping[str, float]) -> dict[str, float]:
    """Terms with their subtotals `cash`, `shadow` and their sum `total`."""
    cash = sum(terms.get(name, 0.0) for name in CASH_TERMS)
    shadow = sum(terms.get(name, 0.0) for name in SHADOW_TERMS)
    return {**{name: terms.get(name, 0.0) for name in TERMS}, "cash": cash, "shadow": shadow, "total": cash + shadow}
