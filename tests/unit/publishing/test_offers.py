from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from forecast_world import NOW, grid, site, snapshot
from offered_plan import ADVISE, plan

from scheduler.core.forecast.outlook import outlook
from scheduler.core.publishing.offers import firm_on_slots, offers_of, shortfall_probability, supply_c
from scheduler.core.publishing.setpoints import setpoints_of
from scheduler.domain.contract import FirmRule
from scheduler.domain.plan import Offer, Plan, PlanStatus
from scheduler.domain.settings import Mode, Settings
from scheduler.domain.site import Cop, CopModel, HeatPump
from scheduler.domain.snapshot import Commitment

RULE = FirmRule()


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


def test_carbon_of_heat_is_that_of_lifting_it_and_not_known_without_a_source() -> None:
    where, view = site(firm=RULE), snapshot()
    told = Cop(model=CopModel.FIXED, source_in_c=40.0, source_out_c=35.0, sink_in_c=50.0, sink_out_c=70.0, fixed_cop=4.0)
    pump = HeatPump(rated_heat_kw=500.0, min_load_fraction=0.0, start_cost_eur=0.0, cop=told)
    lifting = replace(where, plugs=(replace(where.plugs[0], heat_pump=pump),))
    ahead = outlook(where, view, ADVISE, grid())
    assert ahead.carbon_known
    [direct], [lifted] = (offers_of(one, view, ahead, plan(), ADVISE) for one in (where, lifting))
    assert direct.heat_g_per_kwh is not None
    assert lifted.heat_g_per_kwh is not None
    assert set(direct.heat_g_per_kwh.tolist()) == {0.0}
    # As the past has it, between 80 and 120 g/kWh, over a COP of 4.
    assert lifted.heat_g_per_kwh == pytest.approx(ahead.carbon_g_per_kwh[: len(lifted.heat_g_per_kwh)] / 4.0)
    assert 15.0 < lifted.heat_g_per_kwh.min() <= lifted.heat_g_per_kwh.max() < 35.0
    nothing = replace(view.history.carbon, values=np.full_like(view.history.carbon.values, np.nan))
    blind = replace(view, history=replace(view.history, carbon=nothing))
    [unknown] = offers_of(lifting, blind, outlook(lifting, blind, ADVISE, grid()), plan(), ADVISE)
    assert unknown.heat_g_per_kwh is None
