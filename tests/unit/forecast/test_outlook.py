from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from forecast_world import DAYS, NOW, grid, heat_kw, history, hours, outdoor_c, price, running, series, site, snapshot

from scheduler.core.forecast.outlook import outlook
from scheduler.core.forecast.skill import skills
from scheduler.domain.outlook import Outlook
from scheduler.domain.settings import Settings
from scheduler.domain.site import DemandSource, Site
from scheduler.domain.snapshot import FinishedJob, History, Snapshot

NAN = float("nan")
SETTINGS = Settings()


def ahead(past: History | None = None, where: Site | None = None, **changes: object) -> Outlook:
    return outlook(where or site(), snapshot(past, **changes), SETTINGS, grid())


def test_published_prices_pass_unchanged_and_end_where_they_end() -> None:
    seen = ahead()
    # The series reaches 17 h ahead: 68 quarter hours.
    assert seen.known_price_slots == 68
    assert seen.spot_eur_per_kwh[:68].tolist() == np.repeat(price()[-17:], 4).tolist()
    assert seen.degraded == ()


def test_an_impossible_published_price_is_not_believed() -> None:
    values = price()
    values[-10] = 120.0  # EUR/MWh in a column of EUR/kWh
    seen = ahead(replace(history(), price=series(values, end=NOW + timedelta(hours=17), unit="EUR/kWh")))
    # 17 h are published; the first 7 of them can be, the eighth cannot: it is forecast like an unpublished hour.
    assert seen.known_price_slots == 28
    assert seen.spot_eur_per_kwh.max() < 0.1
    assert seen.degraded == ("price: implausible (1 h)",)


def test_beyond_the_published_hours_the_daily_rhythm_goes_on() -> None:
    seen = ahead()
    t = np.arange(17, 48) + DAYS * 24
    expected = 0.05 + 0.02 * np.sin(2 * np.pi * t / 24)
    assert np.abs(seen.spot_eur_per_kwh[68::4] - expected).mean() < 0.002
    assert seen.tail_spot_eur_per_kwh.shape == (7 * 96,)
    assert np.abs(seen.tail_spot_eur_per_kwh.mean() - 0.05) < 0.002


def test_a_published_price_is_its_own_band_and_a_forecast_one_has_an_honest_one() -> None:
    seen = ahead()
    low, high = seen.spot_p10_eur_per_kwh, seen.spot_p90_eur_per_kwh
    assert low is not None
    assert high is not None
    assert low[:68].tolist() == seen.spot_eur_per_kwh[:68].tolist() == high[:68].tolist()
    assert np.all(low <= seen.spot_eur_per_kwh)
    assert np.all(seen.spot_eur_per_kwh <= high)
    # The noise of the made-up price has a standard deviation of 0.003: 2 * 1.28 of it lie between p10 and p90.
    assert (high - low)[68:].mean() == pytest.approx(2 * 1.28 * 0.003, rel=0.4)


def test_quarter_hour_prices_are_kept() -> None:
    quarters = series(np.linspace(0.0, 0.1, 96), end=NOW + timedelta(hours=12), slot_s=900, unit="EUR/kWh")
    seen = ahead(replace(history(), price=quarters))
    assert seen.spot_eur_per_kwh[:48].tolist() == quarters.values[48:].tolist()


def test_demand_follows_its_rhythm_with_an_honest_band() -> None:
    band = ahead().demand_kw["town"]
    t = np.arange(48)
    now = float(np.mean(heat_kw()[-24:]))
    assert np.abs(band.p50[::4] - (now + 5 * np.sin(2 * np.pi * t / 24))).mean() < 15.0
    assert np.all(band.p10 <= band.p50)
    assert np.all(band.p50 <= band.p90)
    assert (band.p90 - band.p10)[-1] > (band.p90 - band.p10)[0] > 0.0


def test_a_cold_spell_in_the_weather_forecast_raises_demand() -> None:
    plain = ahead()
    told = np.concatenate([outdoor_c(), np.repeat(plain.outdoor_c[::4], 1) - 6.0])
    colder = replace(history(), outdoor=series(told, end=NOW + timedelta(hours=48), unit="degC"))
    seen = ahead(colder)
    assert seen.outdoor_c[::4] == pytest.approx(plain.outdoor_c[::4] - 6.0)
    rise = seen.demand_kw["town"].p50 - plain.demand_kw["town"].p50
    # 4 kW per K and 6 K colder: 24 kW once the buildings have felt it.
    assert rise[-1] == pytest.approx(24.0, abs=5.0)
    assert 0.0 <= rise[0] < rise[-1]


def test_demand_without_any_outdoor_temperature_still_works_and_says_so() -> None:
    seen = ahead(replace(history(), outdoor=series(np.full(48, NAN), unit="degC")))
    assert seen.degraded == ("outdoor: missing",)
    assert np.isnan(seen.outdoor_c).all()
    assert seen.demand_kw["town"].p50.min() > 10.0


def test_the_plant_s_own_forecast_wins_while_it_is_fresh() -> None:
    told = series(np.full(48, 77.0), end=NOW + timedelta(hours=48), issued=True)
    seen = ahead(plant_forecast_kw={"town": told}).demand_kw["town"]
    assert seen.p50.tolist() == [77.0] * 192
    assert seen.p10.min() < 77.0 < seen.p90.max()
    stale = replace(told, issued_utc=NOW - timedelta(hours=7))
    assert ahead(plant_forecast_kw={"town": stale}).demand_kw["town"].p50[0] != 77.0


def test_a_fresh_plant_forecast_makes_up_for_missing_history() -> None:
    told = series(np.full(48, 77.0), end=NOW + timedelta(hours=48), issued=True)
    silent = replace(history(), heat_demand_kw={})
    assert ahead(silent, plant_forecast_kw={"town": told}).degraded == ()
    seen = ahead(silent)
    assert seen.degraded == ("heat_demand town: missing",)
    assert seen.demand_kw["town"].p90.max() == 0.0


def test_demand_never_exceeds_the_customer_s_connection() -> None:
    where = site()
    small = replace(where, offtakes=(replace(where.offtakes[0], max_heat_kw=50.0),))
    assert ahead(where=small).demand_kw["town"].p90.max() <= 50.0


def test_constant_demand_is_constant() -> None:
    where = site()
    flat = replace(where.offtakes[0], demand_source=DemandSource.CONSTANT, constant_demand_kw=42.0)
    band = ahead(where=replace(where, offtakes=(flat,))).demand_kw["town"]
    assert band.p10.tolist() == band.p50.tolist() == band.p90.tolist() == [42.0] * 192


def test_missing_price_and_carbon_are_named_never_silent() -> None:
    nothing = series(np.full(48, NAN))
    seen = ahead(replace(history(), price=nothing, carbon=nothing))
    assert seen.degraded == ("price: missing", "carbon: missing")
    assert seen.known_price_slots == 0
    assert np.isfinite(seen.spot_eur_per_kwh).all()


def test_arrivals_without_history_are_zero() -> None:
    assert ahead().arrival_gpus["batch"].tolist() == [0.0] * 192


def arriving(gpu_h_per_h: float, **changes: object) -> Snapshot:
    past = replace(history(), arrived_gpu_h={"batch": series(np.full(28 * 24, gpu_h_per_h), unit="GPU-h")})
    return snapshot(past, **changes)


def test_steady_arrivals_become_as_many_busy_gpus_by_little_s_law() -> None:
    done = tuple(
        FinishedJob(
            class_name="batch", declared_duration_s=7200.0, real_duration_s=7200.0, gpus=1, natural_power_w_per_gpu=500.0
        )
        for _ in range(400)
    )
    view = arriving(10.0)
    seen = outlook(site(), replace(view, history=replace(view.history, finished=done)), SETTINGS, grid())
    # 10 GPU-hours an hour, jobs of 2 h as declared: 10 GPUs once two hours of them have come; half of it after one hour.
    assert seen.arrival_gpus["batch"][-1] == pytest.approx(10.0, rel=0.05)
    assert seen.arrival_gpus["batch"][3] == pytest.approx(5.0 * 7 / 8, rel=0.06)
    assert seen.arrival_draw_w["batch"] == pytest.approx(500.0)


def test_arrivals_are_scaled_by_the_learned_ratio() -> None:
    done = tuple(
        FinishedJob(
            class_name="batch", declared_duration_s=7200.0, real_duration_s=3600.0, gpus=1, natural_power_w_per_gpu=500.0
        )
        for _ in range(400)
    )
    view = arriving(10.0)
    seen = outlook(site(), replace(view, history=replace(view.history, finished=done)), SETTINGS, grid())
    assert seen.arrival_gpus["batch"][-1] == pytest.approx(5.0, rel=0.05)


def test_draw_of_unknown_work_comes_from_running_jobs_or_a_stated_share() -> None:
    assert ahead().arrival_draw_w["batch"] == pytest.approx(0.65 * 700.0)
    assert ahead(jobs=(running("a", 3600.0, 100.0),)).arrival_draw_w["batch"] == pytest.approx(400.0)


def test_a_grid_inside_an_hour_keeps_the_present_for_the_rest_of_it() -> None:
    view = snapshot()
    late = replace(grid(), start_utc=NOW + timedelta(minutes=30))
    seen = outlook(site(), view, SETTINGS, late)
    assert seen.spot_eur_per_kwh[0] == price()[-17]
    assert seen.outdoor_c.shape == (192,)
    assert np.isfinite(seen.outdoor_c).all()


def test_the_same_snapshot_gives_the_same_outlook() -> None:
    one, two = ahead(), ahead()
    assert one.spot_eur_per_kwh.tobytes() == two.spot_eur_per_kwh.tobytes()
    assert one.demand_kw["town"].p10.tobytes() == two.demand_kw["town"].p10.tobytes()


def test_a_single_hour_of_history_is_enough_for_an_outlook() -> None:
    one = History(
        price=series(np.asarray([0.05]), unit="EUR/kWh"),
        carbon=series(np.asarray([100.0])),
        outdoor=series(np.asarray([5.0])),
        heat_demand_kw={"town": series(np.asarray([40.0]))},
    )
    seen = ahead(one)
    assert seen.spot_eur_per_kwh == pytest.approx(np.full(192, 0.05))
    assert seen.demand_kw["town"].p50 == pytest.approx(np.full(192, 40.0))
    assert seen.demand_kw["town"].p10[0] < 40.0


def test_skills_compare_with_both_references_and_are_silent_without_a_past() -> None:
    found = {one.name: one for one in skills(site(), snapshot(), SETTINGS, days=10)}
    assert set(found) == {"price", "outdoor", "carbon", "demand town"}
    against = found["demand town"].against_persistence
    assert against is not None
    assert against > 0.0
    short = History(price=series(price()[:10]), carbon=series(hours(10)), outdoor=series(hours(10)))
    assert all(one.mae is None for one in skills(site(), snapshot(short), SETTINGS, days=3))
