"""Base load, plugs, customers and promises of the planning problem."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from small_world import ACTING, NOW, hourly_series, queued, running, small_site, snapshot

from scheduler.core.forecast.durations import still_running
from scheduler.core.forecast.outlook import outlook
from scheduler.core.planning.plant_rows import outdoor_path
from scheduler.core.planning.problem import build_problem, plan_grid
from scheduler.domain.contract import ElectricityContract, EnergyPriceKind
from scheduler.domain.job import JobState
from scheduler.domain.outlook import DurationModel
from scheduler.domain.problem import PlanProblem
from scheduler.domain.settings import Settings
from scheduler.domain.site import Maintenance
from scheduler.domain.snapshot import Commitment, PlantState, Snapshot

EXACT = DurationModel(probabilities=(0.0, 1.0), ratio_quantiles={"": (1.0, 1.0)}, mean_ratio={"": 1.0})


def build(snap: Snapshot, settings: Settings = ACTING) -> PlanProblem:
    """Problem of a snapshot of the small site with exact durations."""
    site = small_site()
    ahead = outlook(site, snap, settings, plan_grid(snap.observed_utc, settings))
    return build_problem(site, snap, replace(ahead, durations=EXACT), settings)


def free_gpus(*jobs: JobState) -> list[float]:
    """GPUs left for flexible jobs at the start of hours 0 to 8."""
    return [float(gpus) for gpus in build(snapshot(jobs)).pools[0].gpus_free[:36:4]]


def test_an_idle_site_draws_its_base_and_its_idle_gpus() -> None:
    pool = build(snapshot()).pools[0]
    # 64 * 0.125 + 1.32 * 64 * 0.070 = 8 + 5.9136; captured 0.9 * 4.48 + 0.3 * (13.9136 - 4.48)
    assert pool.base_it_kw[0] == pytest.approx(13.9136)
    assert pool.base_captured_kw[0] == pytest.approx(0.9 * 4.48 + 0.3 * 9.4336)
    assert pool.captured_kw_per_draw_kw == pytest.approx(0.9 + 0.3 * 0.32)
    assert pool.gpus_free.tolist() == [64.0] * 192


def test_running_insulated_work_holds_its_gpus_until_it_should_end() -> None:
    assert free_gpus(running("i", "insulated", gpus=24, ran_h=1.0, hours=4.0)) == [40.0] * 3 + [64.0] * 6


def test_queued_insulated_work_starts_when_what_runs_leaves_room() -> None:
    busy = running("r", "deferrable", gpus=60, ran_h=2.0, hours=4.0)  # 2 h at full speed, 2.13 h at its slowest cap
    waiting = queued("i", "insulated", gpus=8, hours=2.0)
    free = build(snapshot((busy, waiting))).pools[0].gpus_free
    start = int(np.flatnonzero(free < 64.0)[0])
    assert 9 <= start <= 11  # after the last slot that the slowest run may touch
    assert free[start : start + 8].tolist() == [56.0] * 8


def test_a_job_of_an_unknown_class_is_load() -> None:
    assert free_gpus(running("u", "who-knows", gpus=10, ran_h=1.0, hours=2.0))[0] == 54.0


def test_failed_gpus_are_not_there_but_draw_idle_power() -> None:
    snap = replace(snapshot(), available_gpus={"pool-0": 40})
    pool = build(snap).pools[0]
    assert pool.gpus_free[0] == 40.0
    assert pool.base_it_kw[0] == pytest.approx(13.9136)


def test_expected_insulated_work_takes_whole_gpus_first_and_spares_the_largest_gang() -> None:
    settings = replace(ACTING, arrival_weight=1.0)
    alone = build(snapshot(), settings).pools[0]
    assert np.all(alone.gpus_free[:24] == np.round(alone.gpus_free[:24]))
    assert alone.gpus_free[-1] < 64.0
    assert alone.base_it_kw[-1] > alone.base_it_kw[0]
    gang = build(snapshot((queued("all", gpus=64),)), settings).pools[0]
    assert np.all(gang.gpus_free == 64.0)


def test_survival_of_a_running_job_falls_from_one_to_zero() -> None:
    model = DurationModel(probabilities=(0.0, 0.5, 1.0), ratio_quantiles={"": (0.5, 1.0, 1.5)}, mean_ratio={"": 1.0})
    ahead = np.asarray([0.0, 1800.0, 3600.0, 7200.0])
    # declared 2 h, done 1 h: ended shares at ratios 0.5, 0.75, 1.0, 1.5 are 0, 0.25, 0.5, 1
    assert still_running(model, "", 7200.0, 3600.0, ahead).tolist() == pytest.approx([1.0, 0.75, 0.5, 0.0])
    beyond = still_running(model, "", 7200.0, 14400.0, ahead)
    assert np.all(np.diff(beyond) < 0.0)
    assert beyond[0] == 1.0


def test_a_tank_whose_level_is_not_known_counts_as_empty() -> None:
    unknown = replace(snapshot(), plants=(PlantState(plug_id="plug", tank_level_kwh=None),))
    assert build(unknown).plugs[0].tank_level_kwh == 0.0
    assert build(snapshot()).plugs[0].tank_level_kwh == pytest.approx(0.4 * 51.2)


def test_maintenance_and_the_plants_word_lower_what_can_be_delivered() -> None:
    site = small_site()
    window = Maintenance(start_utc=NOW + timedelta(hours=2), end_utc=NOW + timedelta(hours=3), available_kw=5.0, reason="valve")
    site = replace(site, plugs=(replace(site.plugs[0], maintenance=(window,)),))
    limited = PlantState(plug_id="plug", tank_level_kwh=10.0, available_heat_kw=30.0)
    snap = replace(snapshot(), plants=(limited,))
    ahead = outlook(site, snap, ACTING, plan_grid(NOW, ACTING))
    rated = build_problem(site, snap, ahead, ACTING).plugs[0].rated_heat_kw
    assert rated[0] == 30.0
    assert rated[8:12].tolist() == [5.0] * 4


def test_a_promise_is_owed_less_tolerance_and_what_was_delivered() -> None:
    promises = (
        Commitment(
            offtake_id="town",
            start_utc=NOW - timedelta(minutes=30),
            end_utc=NOW + timedelta(minutes=30),
            firm_kw=40.0,
            delivered_kwh=15.0,
        ),
        Commitment(offtake_id="town", start_utc=NOW + timedelta(hours=3), end_utc=NOW + timedelta(hours=4), firm_kw=20.0),
        Commitment(offtake_id="town", start_utc=NOW - timedelta(hours=3), end_utc=NOW - timedelta(hours=2), firm_kw=20.0),
        Commitment(offtake_id="nobody", start_utc=NOW, end_utc=NOW + timedelta(hours=1), firm_kw=20.0),
    )
    rows = build(replace(snapshot(), commitments=promises)).commitments
    # 0.95 * 40 kWh - 15 kWh and 0.95 * 20 kWh
    assert [(row.start_slot, row.end_slot) for row in rows] == [(0, 2), (12, 16)]
    assert [row.required_kwh for row in rows] == pytest.approx([23.0, 19.0])


def test_prices_follow_the_contract() -> None:
    site = small_site()
    contract = ElectricityContract(
        kind=EnergyPriceKind.FIXED, fixed_eur_per_kwh=0.2, taxes_eur_per_kwh=0.01, carbon_price_eur_per_tonne=100.0
    )
    site = replace(site, electricity=contract)
    ahead = outlook(site, snapshot(), ACTING, plan_grid(NOW, ACTING))
    problem = build_problem(site, snapshot(), ahead, ACTING)
    assert problem.spot_eur_per_kwh.tolist() == [0.2] * 192
    assert problem.adder_eur_per_kwh.tolist() == [0.01] * 192
    # g/kWh * 100 EUR/t / 1e6
    np.testing.assert_allclose(problem.carbon_eur_per_kwh, ahead.carbon_g_per_kwh * 1e-4)
    np.testing.assert_allclose(problem.tail_eur_per_kwh, 0.21 + problem.carbon_eur_per_kwh.mean())


def test_outdoor_temperature_reaches_back_to_the_day_before() -> None:
    snap = snapshot()
    ahead = outlook(small_site(), snap, ACTING, plan_grid(NOW, ACTING))
    path = outdoor_path(snap, ahead)
    assert path is not None
    assert path.grid.start_utc == NOW - timedelta(days=2)
    assert np.all(np.isfinite(path.values))
    blind = replace(
        snap, history=replace(snap.history, outdoor=hourly_series(np.full(24, np.nan), "degC", NOW - timedelta(days=1)))
    )
    assert outdoor_path(blind, replace(ahead, outdoor_c=np.full(192, np.nan))) is None
