"""Costs by hand, and terms that add up."""

from __future__ import annotations

import pytest

from scheduler.core.accounting.costs import (
    TERMS,
    JobRecord,
    SlotPrices,
    add_up,
    facility_kw,
    job_costs,
    slot_costs,
    with_totals,
)
from scheduler.core.accounting.settlement import settle, settle_all, take_or_pay_eur
from scheduler.core.thermal.plant import PlantFlows
from scheduler.domain.contract import FirmRule
from scheduler.domain.job import Flexibility, JobClass

FLOWS = PlantFlows(
    captured_kw=80.0,
    recovered_kw=48.0,
    rejected_kw=32.0,
    delivered_kw=60.0,
    pump_kw_el=12.0,
    sold_kw=(60.0,),
    charge_kw=0.0,
    discharge_kw=0.0,
    pipe_loss_kw=0.0,
    dumped_kw=0.0,
    tank_loss_kwh=0.0,
    room_heat_kw=20.0,
    rejection_kw_el=2.56,
    room_kw_el=3.0,
    pump_started=True,
)
PRICES = SlotPrices(
    energy_eur_per_kwh=0.05, adder_eur_per_kwh=0.025, carbon_eur_per_kwh=0.01, heat_eur_per_kwh=(0.04,), pump_start_eur=2.0
)


def test_a_slot_by_hand() -> None:
    """IT 100 kW + 6 %; pump 12; cooling 5.56; quarter of an hour at 50 EUR/MWh, adder 25, carbon 10, heat 40."""
    cost = slot_costs(FLOWS, 100.0, 0.06, PRICES, 0.25)
    assert cost["electricity"] == pytest.approx(106.0 * 0.05 * 0.25)
    assert cost["heat_pump"] == pytest.approx(12.0 * 0.05 * 0.25 + 2.0)
    assert cost["rejection"] == pytest.approx(5.56 * 0.05 * 0.25)
    assert cost["network"] == pytest.approx(123.56 * 0.025 * 0.25)
    assert cost["carbon"] == pytest.approx(123.56 * 0.01 * 0.25)
    assert cost["heat_revenue"] == pytest.approx(-60.0 * 0.04 * 0.25)
    assert facility_kw(FLOWS, 100.0, 0.06) == pytest.approx(123.56)


def test_a_job_by_hand() -> None:
    """4 GPUs; 2 h waited and paused at 0.005; 0.5 h late at 1; 1 h run beyond work and redone 300 s at 0.05."""
    job_class = JobClass(
        name="x",
        flexibility=Flexibility.PREEMPTIBLE,
        waiting_eur_per_gpu_h=0.005,
        lateness_eur_per_gpu_h=1.0,
        value_eur_per_gpu_h=0.05,
    )
    record = JobRecord(gpus=4, waited_s=3600, paused_s=3600, run_s=7200 + 3600 + 300, work_s=7200, redone_s=300, late_s=1800)
    cost = job_costs(record, job_class)
    assert cost["waiting"] == pytest.approx(0.04)
    assert cost["lateness"] == pytest.approx(2.0)
    assert cost["slowdown"] == pytest.approx(0.2)
    assert cost["preemption"] == pytest.approx(4 * 0.05 / 12)


def test_terms_add_up() -> None:
    total = with_totals(add_up(slot_costs(FLOWS, 100.0, 0.06, PRICES, 0.25), {"waiting": 3.0}))
    assert set(TERMS) < set(total)
    assert total["total"] == pytest.approx(sum(total[name] for name in TERMS))
    assert total["shadow"] == pytest.approx(3.0 + total["carbon"])


def test_firm_heat_by_hand() -> None:
    """Promised 100, tolerance 5 %: 90 delivered is 5 short at 160 EUR/MWh; the promise earns 4 EUR/MWh."""
    result = settle(FirmRule(), 100.0, 90.0)
    assert result.shortfall_kwh == pytest.approx(5.0)
    assert result.shortfall_eur == pytest.approx(0.8)
    assert result.capacity_eur == pytest.approx(-0.4)
    assert settle(FirmRule(), 100.0, 96.0).shortfall_kwh == 0.0
    both = settle_all([result, settle(FirmRule(), 50.0, 60.0)])
    assert (both.promised_kwh, both.delivered_kwh, both.shortfall_kwh) == pytest.approx((150.0, 150.0, 5.0))


def test_take_or_pay() -> None:
    assert take_or_pay_eur(1000.0, 800.0, 0.03) == pytest.approx(6.0)
    assert take_or_pay_eur(1000.0, 1200.0, 0.03) == 0.0
