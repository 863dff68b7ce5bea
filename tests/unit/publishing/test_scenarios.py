from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.forecast.own_heat import PathErrors
from scheduler.core.publishing.scenarios import (
    Draws,
    HeatAhead,
    Risks,
    draw,
    lower_quantile,
    missed,
    not_taken_kw,
    promisable_kw,
    walk,
)
from scheduler.core.publishing.worth import candidates_kw, choose, gain_eur, kept_fraction
from scheduler.domain.contract import FirmRule
from scheduler.domain.site import Tank
from scheduler.domain.snapshot import Band
from scheduler.domain.time import FloatArray

RULE = FirmRule()
TANK = Tank(capacity_kwh=20.0, max_charge_kw=10.0, max_discharge_kw=10.0, loss_per_hour_fraction=0.0)
SURE = Risks(node_down_fraction=0.0, plug_outages_per_year=0.0)


def flat(kw: float, steps: int) -> FloatArray:
    return np.full(steps, kw)


def ahead(load_kw: float = 50.0, steps: int = 3, **changes: object) -> HeatAhead:
    band = Band(p10=flat(100.0, steps), p50=flat(100.0, steps), p90=flat(100.0, steps))
    made = HeatAhead(
        step_h=1.0,
        load_kw=flat(load_kw, steps),
        capability_kw=flat(80.0, steps),
        demand_kw=band,
        held_kw=flat(0.0, steps),
        due=np.full(steps, True),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # fields of HeatAhead


def drawn(load: list[list[float]], demand_kw: float = 100.0) -> Draws:
    rows = np.asarray(load)
    return Draws(load_kw=rows, demand_kw=np.full(rows.shape, demand_kw), capability_kw=np.full(rows.shape, 80.0))


def test_the_tank_carries_a_surplus_to_the_hour_that_lacks_it() -> None:
    # 50 kW promised. 60: 10 into the tank; 45: 5 out of it; 30: 5 are left in it, so 35.
    found = walk(ahead(tank=TANK), drawn([[60.0, 45.0, 30.0]]), flat(50.0, 3))
    assert found.tolist() == [[50.0, 50.0, 35.0]]
    assert walk(ahead(), drawn([[60.0, 45.0, 30.0]]), flat(50.0, 3)).tolist() == [[50.0, 45.0, 30.0]]


def test_the_tank_loses_its_share_and_keeps_to_its_limits() -> None:
    lossy = replace(TANK, loss_per_hour_fraction=0.5, max_charge_kw=8.0)
    # 8 of 20 kW surplus fit into the hour; half of them are left in the next.
    found = walk(ahead(tank=lossy, steps=2), drawn([[70.0, 40.0]]), flat(50.0, 2))
    assert found.tolist() == [[50.0, 44.0]]


def test_a_load_below_the_pump_s_minimum_delivers_nothing_unless_work_in_hand_lifts_it() -> None:
    short = ahead(least_kw=40.0, reserve_kw=15.0, reserve_kwh=20.0)
    rows = drawn([[30.0, 30.0, 30.0]])
    assert walk(short, rows, flat(35.0, 3)).tolist() == [[0.0, 0.0, 0.0]]
    # 10 kW lift the load to 40, twice; then nothing is in hand any more.
    assert walk(short, rows, flat(35.0, 3), replanned=True).tolist() == [[35.0, 35.0, 0.0]]
    # 40 + 5 more of the 15 that fit: 15 kWh in the first hour, the 5 kWh that are left do not lift the load to 40.
    assert walk(short, rows, flat(45.0, 3), replanned=True).tolist() == [[45.0, 0.0, 0.0]]


def test_quantile_of_the_lower_side_has_at_most_its_share_below() -> None:
    values = np.arange(10.0)[:, None]
    assert lower_quantile(values, 0.1).tolist() == [1.0]
    assert lower_quantile(values, 0.0).tolist() == [0.0]
    assert lower_quantile(values, 0.95).tolist() == [9.0]


def test_with_a_tank_more_is_promised_than_hour_by_hour() -> None:
    # Each hour is bad in one of three scenarios, by 6 kW; the hours before it leave a surplus.
    rows = drawn([[60.0, 60.0, 44.0], [60.0, 44.0, 60.0], [60.0, 60.0, 60.0]])
    assert promisable_kw(ahead(), rows, 0.1).tolist() == [60.0, 44.0, 44.0]
    full = replace(ahead(tank=TANK), tank_kwh=20.0)
    found = promisable_kw(full, rows, 0.1)
    assert found[1] > 50.0
    assert np.all(missed(found, walk(full, rows, found)) <= 0.1)


def test_gain_of_a_promise_by_hand() -> None:
    # 100 kW for two hours; one of two scenarios delivers 90 in one hour: short by 0.95 * 100 - 90 = 5 kWh.
    delivered = np.asarray([[100.0, 100.0], [90.0, 100.0]])
    # 0.004 * 200 - 0.16 * (5 / 2) = 0.8 - 0.4.
    assert gain_eur(RULE, flat(100.0, 2), delivered, 1.0) == pytest.approx(0.4)
    # Three of four hours are kept.
    assert kept_fraction(RULE, flat(100.0, 2), delivered) == 0.75
    assert kept_fraction(RULE, flat(0.0, 2), delivered) == 1.0


def test_prices_lower_a_promise_to_the_newsvendor_s_quantile() -> None:
    # Loads of 1 to 100 kW. Losing costs 40 times what promising earns: 2.6 % of the hours may be missed, beyond the tolerance.
    rows = drawn([[float(kw)] for kw in range(1, 101)])
    view = ahead(steps=1)
    found = choose(RULE, view, rows)
    assert found.contract_kw.tolist() == [11.0]
    # Candidates miss 10, 5, 2, 1 and 0 of a hundred: promises of 11, 6, 3, 2 and 1 kW. 3: 0.012 - 0.16 * (1.85 + 0.85) / 100.
    assert found.firm_kw.tolist() == [3.0]
    assert found.gain_eur == pytest.approx(0.012 - 0.16 * 0.027)
    dear = choose(replace(RULE, shortfall_eur_per_kwh=2.0), view, rows)
    assert dear.firm_kw[0] <= 1.0
    free = choose(replace(RULE, shortfall_eur_per_kwh=0.0), view, rows)
    assert free.firm_kw.tolist() == [11.0]


def test_a_promised_availability_lowers_it_further() -> None:
    rows = drawn([[float(kw)] for kw in range(1, 101)])
    found = choose(replace(RULE, shortfall_eur_per_kwh=0.0, kept_fraction=0.995), ahead(steps=1), rows)
    # 1 kW is kept always, 2 kW in 99 % of the hours.
    assert found.firm_kw.tolist() == [1.0]
    assert found.kept_fraction == 1.0


def test_what_the_customer_does_not_take_is_not_owed() -> None:
    rows = drawn([[50.0]], demand_kw=20.0)
    delivered = walk(ahead(steps=1), rows, flat(30.0, 1))
    assert delivered.tolist() == [[20.0]]
    assert (delivered + not_taken_kw(rows, flat(30.0, 1))).tolist() == [[30.0]]


def test_outages_take_heat_away_and_a_seed_draws_the_same() -> None:
    errors = PathErrors(ratio=np.ones((2, 24)), weight=np.ones(2))
    view = ahead(steps=24, nodes=4)
    calm = draw(view, errors, SURE, 50, 1)
    assert np.all(calm.load_kw == 50.0)
    assert np.all(calm.capability_kw == 80.0)
    hard = draw(view, errors, Risks(node_down_fraction=0.5, plug_outages_per_year=365.0, plug_repair_h=6.0), 400, 1)
    # Half of four nodes, one outage of six hours a day: about a fifth of the time at once under way.
    assert hard.load_kw.mean() == pytest.approx(25.0, rel=0.1)
    assert 0.1 < np.mean(hard.capability_kw == 0.0) < 0.3
    again = draw(view, errors, Risks(node_down_fraction=0.5, plug_outages_per_year=365.0, plug_repair_h=6.0), 400, 1)
    assert np.array_equal(hard.load_kw, again.load_kw)
    assert np.array_equal(hard.demand_kw, again.demand_kw)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    quantile=st.sampled_from([0.02, 0.1, 0.3]),
    tank=st.booleans(),
    price=st.floats(0.0, 0.2),
    kept=st.sampled_from([0.0, 0.9, 0.995]),
    least=st.sampled_from([0.0, 30.0]),
)
def test_firm_never_exceeds_the_contract_s_quantile_and_prices_only_lower_it(
    seed: int, quantile: float, tank: bool, price: float, kept: float, least: float
) -> None:
    rng = np.random.default_rng(seed)
    errors = PathErrors(ratio=rng.uniform(0.3, 1.3, (10, 8)), weight=np.ones(10))
    band = Band(p10=flat(30.0, 8), p50=flat(45.0, 8), p90=flat(60.0, 8))
    view = ahead(steps=8, demand_kw=band, tank=TANK if tank else None, tank_kwh=10.0 if tank else 0.0, nodes=3, least_kw=least)
    rule = FirmRule(quantile=quantile, capacity_eur_per_kwh=price, kept_fraction=kept)
    draws = draw(view, errors, Risks(node_down_fraction=0.1), 60, seed)
    found = choose(rule, view, draws)
    assert np.all((found.firm_kw >= 0.0) & (found.firm_kw <= found.contract_kw + 1e-9))
    assert np.all(found.contract_kw <= view.capability_kw)
    # Of the scenarios of deliverable heat, at most the contract's share lies below what may be promised.
    assert np.all(missed(found.contract_kw, walk(view, draws, found.contract_kw)) <= quantile + 1e-9)
    assert np.all(missed(found.firm_kw, walk(view, draws, found.contract_kw)) <= quantile + 1e-9)
    falling = list(candidates_kw(rule, view, draws))
    assert all(np.all(b <= a + 1e-9) for a, b in zip(falling, falling[1:], strict=False))
