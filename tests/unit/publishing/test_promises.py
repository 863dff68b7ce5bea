"""What the gates of a cycle make binding, from plan, forecasts and the past of the plug."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import pytest
from forecast_world import site, snapshot
from offered_plan import ADVISE, plan

from scheduler.core.forecast.outlook import outlook
from scheduler.core.publishing.firm import gates_of_day
from scheduler.core.publishing.promises import gate_steps, promises_of, reserve_of, step_means
from scheduler.domain.contract import FirmProduct, FirmRule, Revise
from scheduler.domain.job import Job, JobPhase, JobState
from scheduler.domain.plan import PlannedJob
from scheduler.domain.site import Site, Tank
from scheduler.domain.snapshot import Commitment, PlantState, Snapshot
from scheduler.domain.time import FloatArray, Series, TimeGrid

RULE = FirmRule()
ZONE = "Europe/Copenhagen"
DAY = date(2021, 2, 1)
AT = gates_of_day(RULE, ZONE, DAY)[0].at_utc
HOUR = timedelta(hours=1)


def at_gate(captured: FloatArray | None = None, **changes: object) -> Snapshot:
    """The cycle at 10:30 local; `captured`: the plug's past in kW, hourly until then."""
    view = snapshot()
    history = view.history
    if captured is not None:
        grid = TimeGrid(start_utc=AT.replace(minute=0) - len(captured) * HOUR, slot_s=3600, slots=len(captured))
        history = replace(history, captured_kw={"plug": Series(grid=grid, values=captured, unit="kW", source="test")})
    return replace(view, observed_utc=AT, history=history, **changes)  # type: ignore[arg-type]  # fields of a snapshot


def promised(view: Snapshot, rule: FirmRule = RULE, where: Site | None = None) -> tuple[Commitment, ...]:
    """Promises from a plan that captures 40 kW all the time, with a demand that is not the limit."""
    where = where or site(firm=rule)
    where = replace(where, offtakes=(replace(where.offtakes[0], firm=rule),))
    ahead = TimeGrid(start_utc=view.observed_utc.replace(minute=30), slot_s=900, slots=192)
    told = outlook(where, view, ADVISE, ahead)
    return promises_of(where, view, told, replace(plan(), grid=ahead), ADVISE)


def total(found: tuple[Commitment, ...]) -> float:
    return sum(one.firm_kw for one in found)


def test_a_gate_makes_a_day_firm_and_only_once() -> None:
    found = promised(at_gate())
    assert [(one.start_utc, one.end_utc) for one in found] == list(gates_of_day(RULE, ZONE, DAY)[0].hours)
    assert all(0.0 < one.firm_kw < 40.0 for one in found)
    assert found == promised(at_gate())
    assert promised(at_gate(commitments=found)) == ()
    assert promised(replace(at_gate(), observed_utc=found[0].start_utc)) == ()


def test_a_cycle_that_comes_late_answers_what_has_not_begun() -> None:
    rule = FirmRule(products=(FirmProduct(start_local="11:00", start_day=0, hours=13),))
    late = replace(at_gate(), observed_utc=AT + timedelta(minutes=45))
    assert len(promised(at_gate(), rule)) == 13
    # 11:15 local: from 12:00 on.
    assert [one.start_utc for one in promised(late, rule)][0] == datetime.fromisoformat("2021-02-01T11:00:00+00:00")
    assert len(promised(late, rule)) == 12


def test_a_reliable_past_raises_the_promise_and_an_unsteady_one_lowers_it() -> None:
    hours = np.arange(60 * 24)
    steady, wild = np.full(len(hours), 40.0), np.where(hours // 24 % 3 == 0, 8.0, 56.0)
    assert total(promised(at_gate(wild))) < total(promised(at_gate())) < total(promised(at_gate(steady)))
    assert max(one.firm_kw for one in promised(at_gate(steady))) <= 40.0


def test_a_tank_and_an_asked_availability_move_the_promise() -> None:
    hours = np.arange(60 * 24)
    past = 40.0 + 12.0 * np.sin(hours * 2.4) * (hours % 7 < 3)
    where = site(firm=RULE)
    tank = Tank(capacity_kwh=100.0, max_charge_kw=40.0, max_discharge_kw=40.0, loss_per_hour_fraction=0.0)
    stored = replace(where, plugs=(replace(where.plugs[0], tank=tank),))
    plants = (PlantState(plug_id="plug", tank_level_kwh=50.0),)
    plain = total(promised(at_gate(past, plants=plants)))
    assert total(promised(at_gate(past, plants=plants), where=stored)) > plain
    # A tank whose level is not known carries nothing.
    unknown = (PlantState(plug_id="plug", tank_level_kwh=None),)
    assert total(promised(at_gate(past, plants=unknown), where=stored)) == pytest.approx(plain)
    assert total(promised(at_gate(past, plants=plants), replace(RULE, kept_fraction=0.9999))) <= plain


def test_an_intraday_gate_raises_but_never_lowers_what_is_bound() -> None:
    rule = FirmRule(products=(FirmProduct(start_local="11:00", start_day=0, hours=13, revise=Revise.UP),))
    free = promised(at_gate(), rule)
    before = [replace(one, firm_kw=kw, gate_utc=AT - 3 * HOUR) for one, kw in zip(free, [1.0, 39.0] * 6, strict=False)]
    found = promised(at_gate(commitments=tuple(before)), rule)
    assert [one.start_utc for one in found] == [one.start_utc for one in free]
    assert all(one.firm_kw >= old.firm_kw for one, old in zip(found, before, strict=False))
    assert {one.gate_utc for one in found} == {AT}
    assert found[0].firm_kw > 1.0
    assert promised(at_gate(commitments=found), rule) == ()


def test_hours_beyond_the_plan_promise_nothing_and_stay_free() -> None:
    rule = FirmRule(products=(FirmProduct(start_day=2),))
    found = promised(at_gate(), rule)
    # The plan ends 48 hours after 09:30 UTC; the delivery begins after 37.5 h.
    assert [one.firm_kw > 0.0 for one in found] == [True] * 10 + [False] * 14


def test_steps_reach_back_to_now_and_take_the_means_of_their_slots() -> None:
    gate = gates_of_day(RULE, ZONE, DAY)[0]
    steps = gate_steps(gate, AT)
    assert steps[-24:] == gate.hours
    assert steps[0][0] <= AT < steps[0][1]
    assert all(a[1] == b[0] for a, b in zip(steps, steps[1:], strict=False))
    grid = TimeGrid(start_utc=AT, slot_s=900, slots=8)
    # 09:00 to 10:00 takes the two slots from 09:30 on; the last one that is wanted lies beyond the grid.
    assert step_means(np.arange(8.0), grid, steps[:3]).tolist()[:2] == [0.5, 3.5]
    assert np.isnan(step_means(np.arange(8.0), grid, steps[3:4])[0])


def test_work_that_the_plan_leaves_for_later_is_a_reserve_as_far_as_it_fits() -> None:
    where, view = site(firm=RULE), at_gate()
    plug = where.plugs[0]
    job = Job(
        job_id="later", class_name="batch", gpus=40, submit_utc=AT, declared_duration_s=7200.0, natural_power_w_per_gpu=570.0
    )
    waiting = JobState(job=job, phase=JobPhase.QUEUED)
    made = replace(plan(), jobs=(PlannedJob(job_id="later", options=()),))
    # 40 GPUs with 500 W over idle catch 0.9 + 0.3 * 0.32 of 20 kW: 19.92 kW for two hours.
    kw, kwh = reserve_of(where, plug, replace(view, jobs=(waiting,)), made, AT)
    assert [kw, kwh] == pytest.approx([19.92, 39.84])
    full = replace(view, jobs=(waiting,), available_gpus={"pool": 0})
    assert reserve_of(where, plug, full, made, AT)[0] == 0.0
    assert reserve_of(where, plug, replace(view, jobs=(waiting,)), plan(), AT) == (0.0, 0.0)
