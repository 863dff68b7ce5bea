from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from forecast_world import NOW, grid, site, snapshot

from scheduler.core.forecast.outlook import outlook
from scheduler.core.forecast.own_heat import OwnHeatRecord, PastMedian
from scheduler.core.publishing.firm import gate_of_day
from scheduler.core.publishing.offers import firm_on_slots, offers_of, shortfall_probability, supply_c
from scheduler.core.publishing.promises import promises_of, replayed_record
from scheduler.core.publishing.setpoints import setpoints_of
from scheduler.domain.contract import FirmRule
from scheduler.domain.plan import Duals, Offer, Plan, PlanStatus, PlugFlows, SolveReport
from scheduler.domain.settings import Mode, Settings
from scheduler.domain.snapshot import Commitment, Snapshot
from scheduler.domain.time import FloatArray, Series, TimeGrid

ADVISE = Settings(mode=Mode.ADVISE)
RULE = FirmRule()


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


def promise(firm_kw: float, start_h: int, hours: int = 1) -> Commitment:
    start = NOW + timedelta(hours=start_h)
    return Commitment(offtake_id="town", start_utc=start, end_utc=start + timedelta(hours=hours), firm_kw=firm_kw)


def offer(settings: Settings = ADVISE, made: Plan | None = None, **changes: object) -> Offer:
    where, view = site(firm=RULE), snapshot(**changes)  # type: ignore[arg-type]  # fields of a snapshot
    return offers_of(where, view, outlook(where, view, settings, grid()), made or plan(), settings)[0]


def test_the_supply_temperature_follows_the_customer_s_curve() -> None:
    where, view = site(firm=RULE), snapshot()
    assert set(offer().supply_c.tolist()) == {supply_c(where.plugs[0])}
    curve = ((-100.0, 70.0), (100.0, 50.0))  # one K colder outdoors, a tenth of a K hotter
    asked = replace(where, offtakes=(replace(where.offtakes[0], supply_curve=curve),))
    ahead = outlook(asked, view, ADVISE, grid())
    [found] = offers_of(asked, view, ahead, plan(), ADVISE)
    assert np.ptp(found.supply_c) > 0.0
    # The mean of the last days stands between the extremes of what was and will be.
    seen = np.concatenate([view.history.outdoor.values[-48:], ahead.outdoor_c])
    assert 60.0 - seen.max() / 10.0 <= found.supply_c.min() <= found.supply_c.max() <= 60.0 - seen.min() / 10.0
    unknown = replace(view.history.outdoor, values=np.full_like(view.history.outdoor.values, np.nan))
    blind = replace(view, history=replace(view.history, outdoor=unknown))
    [careful] = offers_of(asked, blind, replace(ahead, outdoor_c=np.full(192, np.nan)), plan(), ADVISE)
    assert set(careful.supply_c.tolist()) == {70.0}


def test_nothing_is_offered_in_observe() -> None:
    where, view = site(firm=RULE), snapshot()
    seen = outlook(where, view, ADVISE, grid())
    assert offers_of(where, view, seen, plan(), Settings(mode=Mode.OBSERVE)) == ()


def test_the_band_opens_with_time_around_the_planned_sale() -> None:
    made = offer()
    assert made.p50_kw.tolist() == [40.0] * 192
    assert np.all((made.p10_kw <= made.p50_kw) & (made.p50_kw <= made.p90_kw))
    # 4 % now; towards the prior's 60 % after two days.
    assert made.p10_kw[0] == pytest.approx(40.0 * 0.96, rel=0.01)
    assert made.p10_kw[-1] == pytest.approx(40.0 * 0.6, rel=0.03)
    assert made.advisory


def test_only_dispatch_is_not_advisory() -> None:
    assert not offer(Settings(mode=Mode.DISPATCH)).advisory


def test_firm_heat_stands_in_its_hours_with_its_risk_and_the_boiler_is_asked_for_what_lacks() -> None:
    made = offer(commitments=(promise(60.0, 0), promise(20.0, 30)))
    assert made.firm_kw[:4].tolist() == [60.0] * 4
    assert made.firm_kw[4:120].tolist() == [0.0] * 116
    assert made.firm_kw[120:124].tolist() == [20.0] * 4
    # 60 kW promised, 40 expected: the boiler has to make 20.
    assert made.boiler_request_kw == 20.0
    assert made.shortfall_probability[0] > 0.99
    assert 0.0 < made.shortfall_probability[120] < 0.2
    assert made.shortfall_probability[10] == 0.0


def test_a_let_go_withdraws_the_offer_and_calls_the_boiler() -> None:
    made = offer(made=plan(status=PlanStatus.LET_GO), commitments=(promise(20.0, 0),))
    assert made.p50_kw.max() == made.p90_kw.max() == made.firm_kw.max() == 0.0
    assert made.boiler_request_kw > 20.0


def test_shortfall_probability_reads_the_band() -> None:
    band = (np.full(3, 8.0), np.full(3, 10.0), np.full(3, 14.0))
    found = shortfall_probability(np.asarray([8.0, 10.0, 14.0]), *band)
    assert found == pytest.approx([0.1, 0.5, 0.9], abs=1e-6)


def test_firm_on_slots_ignores_other_customers_and_other_times() -> None:
    other = replace(promise(50.0, 1), offtake_id="pool")
    assert firm_on_slots((other, promise(9.0, -2), promise(9.0, 100)), "town", grid()).max() == 0.0


def test_setpoints_cover_the_cycle_and_follow_the_steps() -> None:
    settings = replace(ADVISE, cycle_s=3600)
    found = setpoints_of(site(), plan(), settings, NOW)
    assert [one.pump_heat_kw for one in found] == [40.0, 41.0, 42.0, 43.0]
    # An hour later the hourly step 4 covers all four quarters.
    later = setpoints_of(site(), plan(), settings, NOW + timedelta(hours=1))
    assert [one.pump_heat_kw for one in later] == [44.0] * 4
    assert [one.at_utc for one in later] == [NOW + timedelta(minutes=60 + 15 * i) for i in range(4)]
    assert setpoints_of(site(), plan(), settings, NOW + timedelta(days=3)) == ()


def at_gate(delivered: Series | None = None, **changes: object) -> Snapshot:
    view = snapshot()
    history = view.history if delivered is None else replace(view.history, delivered_kw={"plug": delivered})
    at = gate_of_day(RULE, "Europe/Copenhagen", date(2021, 2, 1)).at_utc
    return replace(view, observed_utc=at, history=history, **changes)  # type: ignore[arg-type]  # fields of a snapshot


def promised(view: Snapshot, record: OwnHeatRecord | None = None) -> tuple[Commitment, ...]:
    where = site(firm=RULE)
    ahead = TimeGrid(start_utc=view.observed_utc.replace(minute=30), slot_s=900, slots=192)
    seen = outlook(where, view, ADVISE, ahead)
    made = replace(plan(), grid=ahead)
    return promises_of(where, view, seen, made, ADVISE, None if record is None else {"town": record})


def test_a_gate_makes_a_day_firm_and_only_once() -> None:
    found = promised(at_gate())
    assert len(found) == 24
    # The prior: 40 % of 40 kW at the newsvendor's 2.6 % quantile, over 0.95.
    assert found[0].firm_kw == pytest.approx(40.0 * 0.405 / 0.95, rel=0.02)
    assert promised(at_gate(commitments=found)) == ()
    assert promised(replace(at_gate(), observed_utc=found[0].start_utc)) == ()


def test_a_reliable_past_raises_the_promise_up_to_the_plan() -> None:
    steady = OwnHeatRecord(entries=tuple(PastMedian(hour=i, median_kw=40.0, delivered_kw=40.0) for i in range(2000)))
    assert promised(at_gate(), steady)[0].firm_kw > 30.0
    assert max(one.firm_kw for one in promised(at_gate(), steady)) <= 40.0


def test_experience_is_replayed_from_delivered_heat() -> None:
    hours = 20 * 24
    at = gate_of_day(RULE, "Europe/Copenhagen", date(2021, 2, 1))
    end = at.at_utc.replace(minute=0)
    values = np.full(hours, 50.0)
    delivered = Series(
        grid=TimeGrid(start_utc=end - timedelta(hours=hours), slot_s=3600, slots=hours), values=values, unit="kW", source="t"
    )
    record = replayed_record(delivered, at, "Europe/Copenhagen")
    settled = [one for one in record.entries if one.delivered_kw is not None]
    assert len(settled) >= 13 * 24
    assert {round(one.median_kw, 6) for one in settled} == {50.0}
    assert replayed_record(None, at, "Europe/Copenhagen") == OwnHeatRecord()
    assert promised(at_gate(delivered))[0].firm_kw > promised(at_gate())[0].firm_kw
