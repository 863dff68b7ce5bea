"""Power and heat of pools without meters, and progress between looks: hand-computed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from small_world import NOW, small_site

from scheduler.core.accounting.going import caught_up, going_of
from scheduler.core.accounting.modelled import (
    METER,
    MODEL,
    Busy,
    PoolPower,
    expected_draws_w,
    loop_heat,
    modelled_keys,
    modelled_power,
    pool_powers,
    power_samples,
)
from scheduler.domain.job import Job, JobPhase, JobState
from scheduler.domain.snapshot import FinishedJob

SITE = small_site(gpus=64)
POOL, PLUG = SITE.pools[0], SITE.plugs[0]


def running(gpus: int = 8, *, draw_w: float | None = 500.0, cap_w: float | None = None, job_id: str = "j") -> JobState:
    job = Job(
        job_id=job_id,
        class_name="deferrable",
        gpus=gpus,
        submit_utc=NOW,
        declared_duration_s=3600.0,
        natural_power_w_per_gpu=draw_w,
    )
    return JobState(job=job, phase=JobPhase.RUNNING, pool_id=POOL.pool_id, started_utc=NOW, cap_w=cap_w)


def draw_kw(*states: JobState, **more: dict[str, float]) -> float:
    return modelled_power(SITE.caps, POOL, Busy(states=states, expected_w=more.get("expected_w", {}))).draw_kw


def test_an_idle_pool_draws_idle_power_and_its_nodes_base_and_slope() -> None:
    found = modelled_power(SITE.caps, POOL, Busy())
    # 64 * 70 W = 4.48 kW; wall 64 * 0.125 + 1.32 * 4.48 = 8 + 5.9136.
    assert found.draw_kw == pytest.approx(4.48)
    assert found.it_kw == pytest.approx(13.9136)
    assert found.source == MODEL


def test_busy_gpus_draw_what_is_known_of_their_job_else_what_its_class_drew_else_a_share_of_the_maximum() -> None:
    idle_kw = 56 * 0.07
    assert draw_kw(running()) == pytest.approx(8 * 0.5 + idle_kw)
    assert draw_kw(running(draw_w=None), expected_w={"deferrable": 420.0}) == pytest.approx(8 * 0.42 + idle_kw)
    assert draw_kw(running(draw_w=None)) == pytest.approx(8 * 0.65 * 0.7 + idle_kw)


def test_a_cap_lowers_the_draw_and_never_below_idle() -> None:
    # A cap of 400 W binds at 0.95 of it: 380 W. One above the natural draw changes nothing.
    assert draw_kw(running(cap_w=400.0)) == pytest.approx(8 * 0.38 + 56 * 0.07)
    assert draw_kw(running(cap_w=600.0)) == pytest.approx(8 * 0.5 + 56 * 0.07)
    assert draw_kw(running(cap_w=10.0)) == pytest.approx(64 * 0.07)


def test_only_what_has_started_on_the_pool_draws() -> None:
    waiting = replace(running(), started_utc=None)
    elsewhere = replace(running(), pool_id="another")
    held = replace(running(), phase=JobPhase.QUEUED)
    assert draw_kw(waiting, elsewhere, held) == pytest.approx(64 * 0.07)


def test_pods_of_nobody_draw_like_jobs_of_which_nothing_is_known() -> None:
    found = modelled_power(SITE.caps, POOL, Busy(others_gpus={POOL.pool_id: 16}))
    assert found.draw_kw == pytest.approx(16 * 0.65 * 0.7 + 48 * 0.07)


def test_a_meter_takes_the_place_of_the_model_for_its_pool_alone() -> None:
    two = small_site(gpus=64, pools=2)
    metered = {"pool-0": PoolPower(pool_id="pool-0", draw_kw=20.0, it_kw=34.0, source=METER)}
    powers = pool_powers(two, Busy(), metered)
    assert [(one.pool_id, one.source) for one in powers] == [("pool-0", METER), ("pool-1", MODEL)]
    assert [one.pool_id for one in pool_powers(two, None, metered)] == ["pool-0"]
    heat = loop_heat(two, two.plugs[0], {one.pool_id: one for one in powers}, None, NOW)
    assert heat is not None
    # 0.9 * 20 + 0.3 * 14 = 22.2 and 0.9 * 4.48 + 0.3 * 9.4336 = 6.86208: half of it is only modelled.
    assert heat.captured_kw == pytest.approx(22.2 + 6.86208)
    assert heat.source == MODEL
    assert modelled_keys(powers, [heat]) == {"it_kw pool-1", "captured_kw plug"}
    assert {one.key: one.value for one in power_samples(powers, [heat], NOW)}["it_kw pool-0"] == 34.0


def test_heat_of_a_loop_follows_its_lag_and_is_not_known_while_a_pool_is_not() -> None:
    plug = replace(PLUG, capture_lag_s=600.0)
    site = replace(SITE, plugs=(plug,))
    power = PoolPower(pool_id=POOL.pool_id, draw_kw=10.0, it_kw=20.0, source=MODEL)  # 0.9 * 10 + 0.3 * 10 = 12 kW
    first = loop_heat(site, plug, {POOL.pool_id: power}, None, NOW)
    assert first is not None
    assert first.captured_kw == pytest.approx(12.0)
    twice = replace(power, draw_kw=20.0, it_kw=40.0)
    later = loop_heat(site, plug, {POOL.pool_id: twice}, first, NOW + timedelta(seconds=600))
    assert later is not None
    # 24 + (12 - 24) * exp(-1)
    assert later.captured_kw == pytest.approx(24.0 - 12.0 * 0.36787944)
    assert loop_heat(site, plug, {}, first, NOW) is None


def test_expected_draws_weigh_by_gpu_hours_and_leave_out_what_nobody_measured() -> None:
    def ended(gpus: int, draw_w: float) -> FinishedJob:
        return FinishedJob(
            class_name="deferrable",
            declared_duration_s=3600.0,
            real_duration_s=3600.0,
            gpus=gpus,
            natural_power_w_per_gpu=draw_w,
        )

    # (8 * 400 + 24 * 600) / 32
    assert expected_draws_w([ended(8, 400.0), ended(24, 600.0), ended(64, float("nan"))]) == {"deferrable": 550.0}


def test_progress_goes_on_at_the_speed_of_the_last_look_and_no_longer_than_a_cap_holds() -> None:
    seen = replace(running(cap_w=400.0), work_done_s=1000.0)
    going = going_of(SITE.caps, [seen], NOW)

    def done_s(at_utc: datetime, state: JobState) -> float:
        return caught_up([state], going, at_utc)[0].work_done_s

    # 380 W of 500 W: 0.76, between (0.8, 0.95) and (0.7, 0.91): 0.934. Behind 180 s without a look at full speed.
    marks = replace(seen, work_done_s=4000.0)
    assert done_s(NOW + timedelta(seconds=60), marks) == pytest.approx(1000.0 + 60 * 0.934)
    assert done_s(NOW + timedelta(seconds=240), marks) == pytest.approx(1000.0 + 180 * 0.934 + 60.0)
    assert done_s(NOW, replace(marks, preemptions=1)) == 4000.0
    assert caught_up([replace(seen, job=replace(seen.job, job_id="other"))], going, NOW)[0].work_done_s == 1000.0


def test_a_learned_draw_fills_what_nobody_states() -> None:
    going = going_of(SITE.caps, [running(draw_w=430.0)], NOW)
    learned, stated = caught_up([running(draw_w=None), running(draw_w=510.0)], going, NOW)
    assert (learned.job.natural_power_w_per_gpu, stated.job.natural_power_w_per_gpu) == (430.0, 510.0)
