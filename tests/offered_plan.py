"""A plan that sells the same heat all the time, as tests of offers and promises need it."""

from __future__ import annotations

import numpy as np
from forecast_world import NOW, grid

from scheduler.domain.plan import Duals, Plan, PlanStatus, PlugFlows, SolveReport
from scheduler.domain.settings import Mode, Settings
from scheduler.domain.time import FloatArray

ADVISE = Settings(mode=Mode.ADVISE)


def plan(sold_kw: float = 40.0, status: PlanStatus = PlanStatus.FRESH) -> Plan:
    """A plan with four fine slots and hourly steps after them."""
    steps = np.asarray([1] * 4 + [4] * 47)
    flat: FloatArray = np.full(len(steps), sold_kw)
    zero = np.zeros(len(steps))
    flows = PlugFlows(
        plug_id="plug",
        captured_kw=flat,
        recovered_kw=flat,
        delivered_kw=flat + np.arange(len(steps)),
        pump_kw_el=zero,
        charge_kw=zero,
        discharge_kw=zero,
        tank_kwh=zero,
        dumped_kw=zero,
        rejected_kw=zero,
    )
    return Plan(
        plan_id="p1",
        input_digest="d1",
        grid=grid(),
        step_slots=steps,
        commit_slots=4,
        status=status,
        jobs=(),
        flows=(flows,),
        sold_kw={"town": flat},
        it_kw=flat,
        cost_eur={},
        report=SolveReport(method="test", objective_eur=0.0, bound_eur=0.0, rolling_gap=0.0),
        duals=Duals(start_utc=NOW, slot_s=900, gpu_eur_per_gpu_h=np.zeros((1, 192)), draw_eur_per_kwh=np.zeros((1, 192))),
    )
