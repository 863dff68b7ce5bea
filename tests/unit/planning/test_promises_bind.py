"""What was promised binds later plans at its penalty: heat that earns nothing is delivered because it is owed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
from small_world import ACTING, NOW, running, small_site, snapshot

from scheduler.core.publishing.offers import on_slots
from scheduler.domain.contract import FirmRule, HeatTariff, TariffKind
from scheduler.domain.plan import Plan
from scheduler.domain.snapshot import Commitment
from scheduler.loop.decide import decide

HOUR = timedelta(hours=1)


def planned(firm_kw: float, penalty: float) -> Plan:
    """A plan of a site whose heat earns nothing, so that its heat pump costs more than it brings."""
    where = small_site()
    rule = FirmRule(shortfall_eur_per_kwh=penalty)
    town = replace(where.offtakes[0], tariff=HeatTariff(kind=TariffKind.FIXED, fixed_eur_per_kwh=0.0), firm=rule)
    owed = tuple(
        Commitment(offtake_id="town", start_utc=NOW + i * HOUR, end_utc=NOW + (i + 1) * HOUR, firm_kw=firm_kw, gate_utc=NOW)
        for i in (3, 4)
    )
    view = snapshot((running("busy", "insulated", gpus=48, hours=12.0),))
    return decide(replace(where, offtakes=(town,)), replace(view, commitments=owed), ACTING).plan


def sold_kwh(plan: Plan) -> float:
    """Heat sold in the two promised hours, 13:00 to 15:00."""
    return float(np.sum(on_slots(plan.sold_kw["town"], plan)[12:20])) * plan.grid.slot_h


def test_heat_that_earns_nothing_is_delivered_when_it_is_owed() -> None:
    # Owed of 15 kW over two hours with 5 % tolerance: 28.5 kWh. A kWh from the pump costs about 0.125 / 5 = 0.025 EUR.
    assert sold_kwh(planned(0.0, 0.16)) < 5.0
    plan = planned(15.0, 0.16)
    assert sold_kwh(plan) >= 28.5 - 1e-3
    assert plan.cost_eur["shortfall"] <= 1e-6


def test_a_penalty_below_the_cost_of_the_heat_is_paid() -> None:
    plan = planned(15.0, 0.001)
    assert sold_kwh(plan) < 5.0
    # Most of 28.5 kWh at 0.001 EUR.
    assert 0.02 < plan.cost_eur["shortfall"] <= 0.0285 + 1e-9
