"""Arrivals, ended jobs and natural draws, by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler.adapters.record.codec import decode, encode
from scheduler.core.accounting.arrived import Arrival, Arrivals, arrival_of, arrived, unsettled
from scheduler.core.accounting.draws import (
    DrawHistogram,
    DrawRule,
    DrawSample,
    learned,
    natural_draw_w,
    natural_draws_w,
    quantile_w,
    shows_natural_draw,
)
from scheduler.core.accounting.ended import ended_job, found_running, speed_under, stopped, worked
from scheduler.core.accounting.observed import SampleRule
from scheduler.domain.job import Job, JobPhase, JobState
from scheduler.domain.time import Series, utc
from scheduler.simulate.demo_site import CAPS

START = utc("2026-01-14T10:00:00+00:00")
RULE = SampleRule()
DRAWS = DrawRule(least_samples=4.0, half_samples=40.0, max_workloads=3)


def came(uid: str, second: float, gpu_h: float = 8.0, class_name: str = "batch") -> Arrival:
    return Arrival(job_uid=uid, class_name=class_name, submit_utc=START + timedelta(seconds=second), gpu_h=gpu_h)


def watch(
    jobs: list[Arrival], first_s: int, last_s: int, state: Arrivals | None = None
) -> tuple[Arrivals, dict[str, list[Series]]]:
    state, found = state or Arrivals(), dict[str, list[Series]]()
    for second in range(first_s, last_s + 1, 60):
        now = START + timedelta(seconds=second)
        there = [one for one in jobs if one.submit_utc <= now]
        state, told = arrived(state, there, now, ("batch", "web"), RULE)
        for key, series in told.items():
            found.setdefault(key, []).append(series)
    return state, found


def job(**changes: object) -> Job:
    plain = Job(job_id="j", class_name="batch", gpus=4, submit_utc=START, declared_duration_s=7200.0)
    return replace(plain, **changes)  # type: ignore[arg-type]  # a test names only fields that exist


def test_gpu_hours_of_a_slot_are_summed_by_class() -> None:
    jobs = [came("a", 10), came("b", 899, 2.5), came("c", 900, 3.0), came("d", 20, 1.0, "web")]
    _, found = watch(jobs, -300, 1100)
    # Settled at 900 + 120 s: the slot from 0 to 900 with 8 + 2.5 GPU-hours, and 1 of the other class.
    assert [series.values.tolist() for series in found["arrived_gpu_h batch"]] == [[10.5]]
    assert [series.values.tolist() for series in found["arrived_gpu_h web"]] == [[1.0]]
    assert found["arrived_gpu_h batch"][0].grid.start_utc == START
    assert found["arrived_gpu_h batch"][0].unit == "GPU-h"


def test_a_slot_without_arrivals_had_none() -> None:
    _, found = watch([], -300, 1100)
    assert found["arrived_gpu_h batch"][0].values.tolist() == [0.0]


def test_jobs_from_before_the_watch_never_count() -> None:
    _, found = watch([came("old", -4000), came("new", 30)], 0, 1100)
    assert [series.values.tolist() for series in found["arrived_gpu_h batch"]] == [[8.0]]


def test_a_restart_counts_nobody_twice_and_what_came_meanwhile_once() -> None:
    jobs = [came("a", 100), came("b", 400, 1.0), came("c", 1000, 2.0)]
    state, found = watch(jobs, -300, 300)
    assert found == {}
    again: Arrivals = decode(Arrivals, encode(Arrivals, state))
    # Away from 300 to 420: b came meanwhile.
    _, found = watch(jobs, 420, 2100, again)
    assert [series.values.tolist() for series in found["arrived_gpu_h batch"]] == [[9.0], [2.0]]


def test_an_outage_is_not_known_and_its_jobs_are_in_no_other_slot() -> None:
    jobs = [came("a", 100), came("lost", 1500, 5.0), came("c", 4000, 2.0)]
    state, found = watch(jobs, -300, 900)
    _, more = watch(jobs, 3600, 5000, state)
    slots = found.get("arrived_gpu_h batch", []) + more["arrived_gpu_h batch"]
    assert [series.values.tolist() for series in slots] == [[8.0], [2.0]]


def test_a_slot_that_is_over_can_be_looked_at_before_it_is_settled() -> None:
    names = ("batch", "web")
    state, found = watch([came("a", 100), came("b", 890, 1.0)], -300, 900)
    assert found == {}
    now = START + timedelta(seconds=900)
    fresh = unsettled(state, now, names, RULE)
    assert {key: series.values.tolist() for key, series in fresh.items()} == {
        "arrived_gpu_h batch": [9.0],
        "arrived_gpu_h web": [0.0],
    }
    assert fresh["arrived_gpu_h batch"].grid.start_utc == START
    # Once told it is looked at no more, and nothing is before it is over.
    assert unsettled(state, now - timedelta(seconds=1), names, RULE) == {}
    state, found = watch([], 960, 1020, state)
    assert found["arrived_gpu_h batch"][0].values.tolist() == [9.0]
    assert unsettled(state, START + timedelta(seconds=1020), names, RULE) == {}
    # Nor one that was hardly watched.
    state, _ = watch([came("a", 100)], 700, 900)
    assert unsettled(state, now, names, RULE) == {}
    assert unsettled(Arrivals(), now, names, RULE) == {}


def test_what_is_counted_of_a_job_is_what_it_declares() -> None:
    # 4 GPUs * 7200 s = 8 GPU-h.
    assert arrival_of("u", job()) == came("u", 0, 8.0)


def test_uncapped_seconds_of_a_job_that_was_capped_and_stopped() -> None:
    work = found_running(START - timedelta(hours=1), START)
    work = worked(work, START + timedelta(seconds=100), 0.5)
    # 3600 + 100 at full speed, then 200 s at half: hold long enough.
    work = worked(work, START + timedelta(seconds=300), 1.0, hold_s=600.0)
    assert work.work_s == 3600.0 + 100.0 + 100.0
    work = stopped(work, START + timedelta(seconds=400), 300.0)
    assert work.work_s == 3800.0 + 100.0 - 300.0
    # Stopped for an hour, then 50 s more.
    work = worked(work, START + timedelta(seconds=4000), 1.0)
    ended = ended_job(job(), "uid", "train", work, START + timedelta(seconds=4050))
    assert ended.finished.real_duration_s == 3600.0 + 50.0
    assert ended.finished.declared_duration_s == 7200.0


def test_nobody_keeps_a_cap_while_nobody_looks() -> None:
    work = worked(found_running(START, START), START, 0.5)
    # 180 s at half speed, then the lease is over: 90 + 820.
    assert worked(work, START + timedelta(seconds=1000), 1.0).work_s == 90.0 + 820.0


def test_a_clock_that_falls_back_takes_no_work_away() -> None:
    work = worked(found_running(START - timedelta(seconds=500), START), START - timedelta(hours=1), 1.0)
    assert work.work_s == 500.0
    assert worked(work, START + timedelta(seconds=10), 1.0).work_s == 510.0


def test_draw_of_an_ended_job_is_measured_else_stated_else_not_known() -> None:
    work = found_running(START, START)
    drawn = [
        ended_job(one, "u", "w", work, START, measured).finished.natural_power_w_per_gpu
        for one, measured in ((job(natural_power_w_per_gpu=400.0), 512.0), (job(natural_power_w_per_gpu=400.0), None))
    ]
    assert drawn == [512.0, 400.0]
    unknown = ended_job(job(), "u", "w", work, START).finished.natural_power_w_per_gpu
    assert unknown != unknown  # NaN


def test_speed_under_a_cap() -> None:
    # A cap of 500 W binds at 0.95 * 500 = 475 W; 475 / 593.75 = 0.8 of the draw, where the curve says 0.95.
    assert speed_under(CAPS, 500.0, 593.75) == pytest.approx(0.95)
    assert speed_under(CAPS, None, 600.0) == speed_under(CAPS, 700.0, 600.0) == speed_under(CAPS, 300.0, None) == 1.0


def drawn(watts: list[float], workload: str = "train") -> list[DrawSample]:
    return [DrawSample(class_name="batch", workload=workload, draw_w=one) for one in watts]


def test_the_draw_of_a_workload_is_a_quantile_of_enough_samples() -> None:
    draws = learned({}, drawn([401.0, 402.0, 403.0]), START, DRAWS)
    assert natural_draw_w(natural_draws_w(draws, DRAWS), "batch", "train") is None
    draws = learned(draws, drawn([455.0]), START, DRAWS)
    # Three of four in [400, 410): half of them is two thirds into it.
    assert natural_draw_w(natural_draws_w(draws, DRAWS), "batch", "train") == pytest.approx(400.0 + 10.0 * 2 / 3)
    assert natural_draw_w(natural_draws_w(draws, DRAWS), "web", "train") is None


def test_a_workload_that_is_not_known_yet_draws_what_its_class_does() -> None:
    draws = learned({}, drawn([405.0] * 3, "a") + drawn([605.0] * 5, "b"), START, DRAWS)
    assert natural_draw_w(natural_draws_w(draws, DRAWS), "batch", "b") == pytest.approx(605.0, abs=1.0)
    # Of the eight of the class the median is the first of b.
    assert natural_draw_w(natural_draws_w(draws, DRAWS), "batch", "a") == pytest.approx(602.0)
    assert natural_draw_w(natural_draws_w(draws, DRAWS), "batch", "never seen") == pytest.approx(602.0)


def test_old_draws_fade() -> None:
    draws: dict[str, dict[str, DrawHistogram]] = {}
    for watts in [405.0] * 10 + [605.0] * 20:
        draws = learned(draws, drawn([watts] * 10), START, DRAWS)
    assert float(draws["batch"]["train"].counts.sum()) <= DRAWS.half_samples
    assert natural_draw_w(natural_draws_w(draws, DRAWS), "batch", "train") == pytest.approx(605.0, abs=2.0)


def test_impossible_draws_teach_nothing() -> None:
    assert learned({}, drawn([float("nan"), -5.0, 0.0, 1e6, float("inf")]), START, DRAWS) == {}


def test_workloads_are_forgotten_in_order_of_silence() -> None:
    draws: dict[str, dict[str, DrawHistogram]] = {}
    for minute, name in enumerate("abcda"):
        draws = learned(draws, drawn([405.0], name), START + timedelta(minutes=minute), DRAWS)
    assert draws["batch"].keys() == {"", "c", "d", "a"}


def test_draws_survive_being_written_down() -> None:
    draws = learned({}, drawn([401.0, 477.0]), START, DRAWS)
    again = decode(dict[str, dict[str, DrawHistogram]], encode(dict[str, dict[str, DrawHistogram]], draws))
    assert again["batch"]["train"].counts.tolist() == draws["batch"]["train"].counts.tolist()
    assert again["batch"]["train"].seen_utc == START


def test_quantiles_of_one_bin() -> None:
    draws = learned({}, drawn([405.0] * 4), START, DRAWS)
    counts = draws["batch"]["train"].counts
    assert [quantile_w(counts, share) for share in (0.25, 0.5, 1.0)] == [402.5, 405.0, 410.0]


def test_only_a_warm_uncapped_running_job_shows_its_draw() -> None:
    plain = JobState(job=job(), phase=JobPhase.RUNNING, run_s=600.0)
    others = [replace(plain, cap_w=500.0), replace(plain, run_s=60.0), replace(plain, phase=JobPhase.PAUSED)]
    assert [shows_natural_draw(one) for one in (plain, *others)] == [True, False, False, False]
