"""All promises of a plug together stay within what it can give, whoever it has as customers (design invariant 5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from forecast_world import history, site, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st
from offered_plan import ADVISE, plan

from scheduler.core.forecast.outlook import outlook
from scheduler.core.publishing.firm import answer, firm_capability_kw, gates_of_day, in_force
from scheduler.core.publishing.promises import promises_of
from scheduler.domain.contract import FirmProduct, FirmRule, Revise
from scheduler.domain.site import Maintenance, Plug, Site
from scheduler.domain.snapshot import Commitment, Snapshot
from scheduler.domain.time import TimeGrid

ZONE = "Europe/Copenhagen"
DAYS = FirmRule(products=(FirmProduct(start_local="11:00", start_day=0, hours=13, revise=Revise.UP),))
AT = gates_of_day(DAYS, ZONE, datetime.fromisoformat("2021-02-01").date())[0].at_utc
QUARTER = timedelta(minutes=15)


def shared(rules: tuple[FirmRule, ...], max_heat_kw: float) -> Site:
    """Customers on one plug that has maintenance for some hours."""
    one = site(firm=DAYS)
    window = Maintenance(start_utc=AT + 4 * QUARTER, end_utc=AT + 16 * QUARTER, available_kw=20.0, reason="valves")
    plug = replace(one.plugs[0], max_heat_kw=max_heat_kw, maintenance=(window,))
    offtakes = tuple(replace(one.offtakes[0], offtake_id=f"c{i}", firm=rule) for i, rule in enumerate(rules))
    return replace(one, plugs=(plug,), offtakes=offtakes)


def at_gate(where: Site) -> Snapshot:
    """The cycle at the gate; each customer alone would take all that comes."""
    past = history()
    demand = {one.offtake_id: past.heat_demand_kw["town"] for one in where.offtakes}
    return replace(snapshot(replace(past, heat_demand_kw=demand)), observed_utc=AT)


def made(where: Site, view: Snapshot, sold_kw: list[float], captured_kw: float) -> tuple[Commitment, ...]:
    ahead = TimeGrid(start_utc=AT.replace(minute=30), slot_s=900, slots=192)
    one = replace(plan(captured_kw), grid=ahead)
    steps = len(one.step_slots)
    sold = {each.offtake_id: np.full(steps, kw) for each, kw in zip(where.offtakes, sold_kw, strict=False)}
    return promises_of(where, view, outlook(where, view, ADVISE, ahead), replace(one, sold_kw=sold), ADVISE)


def exceeded(plug: Plug, promises: tuple[Commitment, ...]) -> float:
    """By how many kW all promises together exceed the plug in the worst quarter hour of a day."""
    starts = [AT + i * QUARTER for i in range(96)]
    limit_kw = firm_capability_kw(plug, starts, [at_utc + QUARTER for at_utc in starts])
    bound = in_force(promises)
    total_kw = [sum(one.firm_kw for one in bound if one.start_utc < at + QUARTER and at < one.end_utc) for at in starts]
    return float(np.max(np.asarray(total_kw) - limit_kw))


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.sampled_from([3600, 1800, 900]), min_size=2, max_size=3),
    st.lists(st.floats(0.0, 30.0), min_size=3, max_size=3),
    st.floats(20.0, 90.0),
    st.floats(0.0, 1.0),
)
def test_promises_of_all_customers_fit_through_the_plug(
    resolutions_s: list[int], sold_kw: list[float], captured_kw: float, before: float
) -> None:
    where = shared(
        tuple(FirmRule(products=(replace(DAYS.products[0], resolution_s=one),)) for one in resolutions_s), max_heat_kw=60.0
    )
    view, plug = at_gate(where), where.plugs[0]
    # An earlier gate gave the last customer a share of what the plug can give.
    rule = where.offtakes[-1].firm
    assert rule is not None
    gate = gates_of_day(rule, ZONE, AT.date())[0]
    limit_kw = firm_capability_kw(plug, [hour[0] for hour in gate.hours], [hour[1] for hour in gate.hours])
    earlier = tuple(
        Commitment(
            offtake_id=where.offtakes[-1].offtake_id, start_utc=start, end_utc=end, firm_kw=before * float(kw),
            gate_utc=AT - timedelta(hours=3),
        )
        for (start, end), kw in zip(gate.hours, limit_kw, strict=True)
    )  # fmt: skip
    found = made(where, replace(view, commitments=answer(gate, earlier, ())), sold_kw, captured_kw)
    assert {one.offtake_id for one in found} == {one.offtake_id for one in where.offtakes}
    assert exceeded(plug, (*earlier, *found)) <= 1e-6


def test_two_who_want_all_of_it_are_not_promised_it_twice() -> None:
    where = shared((DAYS, DAYS), max_heat_kw=60.0)
    found = made(where, at_gate(where), [0.0, 0.0], captured_kw=60.0)
    first, second = (sum(one.firm_kw for one in found if one.offtake_id == name) for name in ("c0", "c1"))
    alone = made(replace(where, offtakes=where.offtakes[:1]), at_gate(where), [0.0], captured_kw=60.0)
    assert 0.0 < first <= sum(one.firm_kw for one in alone) + 1e-6
    # What the first left of the plug is the second's.
    assert second < first
    assert exceeded(where.plugs[0], found) <= 1e-6
