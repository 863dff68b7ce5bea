"""Looks at a small cluster, by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from small_world import DEFERRABLE, INSULATED, PREEMPTIBLE, small_site

from scheduler.core.accounting.draws import DrawRule
from scheduler.core.accounting.metering import MeterRule, Reading
from scheduler.core.accounting.observed import Sample
from scheduler.core.accounting.observing import JobLook, Look, LookRules, Memory, Told, observe
from scheduler.domain.job import Job, JobPhase, JobState
from scheduler.domain.observed import ARRIVED_GPU_H, DELIVERED_KW, INSULATED_GPUS, IT_KW, EndedJob, key_of
from scheduler.domain.time import utc

START = utc("2026-01-14T10:00:00+00:00")
SITE = small_site()
RULES = LookRules(draw=DrawRule(least_samples=3.0), counters={key_of(DELIVERED_KW, "plug"): MeterRule(max_kw=100.0)})


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def job(name: str = "j", class_name: str = "preemptible", **changes: object) -> JobLook:
    declared = Job(job_id=name, class_name=class_name, gpus=8, submit_utc=at(-60), declared_duration_s=7200.0)
    look = JobLook(job_uid=f"uid-{name}", workload="train", state=JobState(job=declared, phase=JobPhase.QUEUED))
    return replace(look, **changes)  # type: ignore[arg-type]  # a test names only fields that exist


def running(look: JobLook, since_s: float, now_s: float, **changes: object) -> JobLook:
    state = replace(
        look.state,
        phase=JobPhase.RUNNING,
        pool_id="pool-0",
        started_utc=at(since_s),
        run_s=now_s - since_s,
        work_done_s=now_s - since_s,
    )
    return replace(look, state=replace(state, **changes))  # type: ignore[arg-type]  # a test names only fields that exist


def ended(look: JobLook, end_s: float, started_s: float | None = None) -> JobLook:
    started = None if started_s is None else at(started_s)
    return replace(look, state=replace(look.state, phase=JobPhase.DONE), started_utc=started, succeeded_utc=at(end_s))


def look(second: float, *jobs: JobLook, memory: Memory | None = None, samples: tuple[Sample, ...] = ()) -> tuple[Memory, Told]:
    return observe(SITE, memory or Memory(), Look(now_utc=at(second), jobs=jobs, samples=samples), RULES)


def test_busy_gpus_of_insulated_running_jobs_are_metered() -> None:
    memory, slots = Memory(), list[float]()
    web, batch = job("web", "insulated"), job("batch")
    for second in range(0, 1000, 60):
        # The insulated one runs from 300 s on.
        now = (running(web, 300, second) if second >= 300 else web, running(batch, 0, second))
        memory, told = look(second, *now, memory=memory)
        slots += [] if INSULATED_GPUS not in told.past.series else told.past.series[INSULATED_GPUS].values.tolist()
    # 8 GPUs for 600 of 900 s.
    assert slots == [pytest.approx(8 * 600 / 900)]


def test_a_job_that_is_capped_stopped_and_resumed_is_followed_to_its_end() -> None:
    plain = job()
    stated = replace(plain, state=replace(plain.state, job=replace(plain.state.job, natural_power_w_per_gpu=593.75)))
    memory, told = look(0, stated)
    assert told.jobs[0].work_done_s == 0.0
    # Started at 20 s, seen at 60 s under a cap of 500 W: 0.95 of the speed (0.8 of its draw).
    memory, told = look(60, running(stated, 20, 60, cap_w=500.0), memory=memory)
    assert told.jobs[0].work_done_s == pytest.approx(40.0)
    memory, told = look(160, running(stated, 20, 160, cap_w=500.0), memory=memory)
    assert told.jobs[0].work_done_s == pytest.approx(40.0 + 95.0)
    for second in range(200, 560, 60):
        memory, told = look(second, running(stated, 20, second), memory=memory)
    # 40 s more at 0.95, then 300 s at full speed to 500 s.
    assert told.jobs[0].work_done_s == pytest.approx(135.0 + 38.0 + 300.0)
    paused = replace(stated.state, phase=JobPhase.PAUSED, preemptions=1, pause_start_utc=at(530))
    memory, told = look(560, replace(stated, state=paused), memory=memory)
    # 30 s more, and 300 s lost with the stop.
    assert told.jobs[0].work_done_s == pytest.approx(473.0 + 30.0 - 300.0)
    memory, told = look(3600, replace(stated, state=paused), memory=memory)
    memory, told = look(3700, running(stated, 3650, 3700, preemptions=1), memory=memory)
    assert told.jobs[0].work_done_s == pytest.approx(203.0 + 50.0)
    memory, told = look(3800, ended(stated, 3750), memory=memory)
    [done] = told.past.ended
    assert done.finished.real_duration_s == pytest.approx(203.0 + 100.0)
    assert (done.job_uid, done.ended_utc, done.workload) == ("uid-j", at(3750), "train")
    assert told.jobs == ()


def test_an_ended_job_is_told_once_for_as_long_as_it_is_listed() -> None:
    memory, _ = look(0, running(job(), 0, 0))
    memory, told = look(100, ended(job(), 90, 0), memory=memory)
    assert len(told.past.ended) == 1
    memory, told = look(200, ended(job(), 90, 0), memory=memory)
    assert told.past.ended == ()
    memory, _ = look(300, memory=memory)
    assert (memory.ended, memory.works) == ((), {})


def test_a_job_that_ended_unseen_teaches_its_whole_run_unless_it_was_stopped() -> None:
    def taught(one: JobLook) -> tuple[EndedJob, ...]:
        return look(5000, one)[1].past.ended

    assert taught(ended(job(), 4000, 400))[0].finished.real_duration_s == 3600.0
    stopped = job(state=replace(job().state, preemptions=1))
    assert taught(ended(stopped, 4000, 400)) == ()
    assert taught(ended(job(), 4000)) == ()
    failed = replace(ended(job(), 4000, 400), succeeded_utc=None)
    assert taught(failed) == ()


def test_a_job_known_from_its_marks_goes_on_from_there() -> None:
    state = replace(job().state, phase=JobPhase.PAUSED, work_done_s=1234.0, preemptions=1)
    memory, told = look(0, job(state=state))
    assert told.jobs[0].work_done_s == 1234.0
    _, told = look(100, running(job(), 40, 100, preemptions=1), memory=memory)
    assert told.jobs[0].work_done_s == 1234.0 + 60.0


def test_draws_are_learned_from_warm_uncapped_jobs_and_given_to_their_like() -> None:
    memory, told = look(0, running(job("a"), -400, 0), job("b"))
    assert told.jobs[1].job.natural_power_w_per_gpu is None
    for second in range(60, 240, 60):
        drawing = replace(running(job("a"), -400, second), draw_w=605.0)
        capped = replace(running(job("c"), -400, second, cap_w=300.0), draw_w=300.0)
        memory, told = look(second, drawing, job("b"), capped, memory=memory)
    assert [one.job.natural_power_w_per_gpu for one in told.jobs] == [pytest.approx(605.0)] * 3
    other = job("d", workload="another")
    _, told = look(300, other, job("e", "deferrable"), memory=memory)
    assert [one.job.natural_power_w_per_gpu for one in told.jobs] == [pytest.approx(605.0), None]
    _, told = look(300, ended(job("a"), 290), memory=memory)
    assert told.past.ended[0].finished.natural_power_w_per_gpu == pytest.approx(605.0)


def test_without_the_whole_list_meters_go_on_and_nobody_is_counted_or_forgotten() -> None:
    memory = Memory()
    for second in range(-240, 720, 60):
        memory, _ = look(second, running(job(), -300, second), memory=memory)
    sample = Sample(key=key_of(IT_KW, "pool-0"), at_utc=at(720), value=5.0)
    after, told = observe(SITE, memory, Look(now_utc=at(720), jobs=None, samples=(sample,)), RULES)
    assert (after.arrivals, after.works, told.jobs, told.past.ended) == (memory.arrivals, memory.works, (), ())
    assert key_of(IT_KW, "pool-0") in after.meters
    late, told = look(1020, running(job(), -300, 1020), memory=after)
    # Seen at 660 s and again at 1020 s: of six minutes three are held, so twelve of the fifteen are covered.
    assert told.past.series[key_of(ARRIVED_GPU_H, "preemptible")].values.tolist() == [0.0]
    assert late.works["uid-j"].work_s == pytest.approx(1320.0)


def test_arrivals_of_the_slot_that_is_just_over_are_fresh_and_later_kept() -> None:
    memory, key = Memory(), key_of(ARRIVED_GPU_H, "preemptible")
    new = job()
    came = replace(new, state=replace(new.state, job=replace(new.state.job, submit_utc=at(840))))
    for second in range(-240, 901, 60):
        memory, told = look(second, *((came,) if second >= 840 else ()), memory=memory)
    assert key not in told.past.series
    # 8 GPUs * 7200 s.
    assert told.fresh.series[key].values.tolist() == [16.0]
    for second in (960, 1020):
        memory, told = look(second, came, memory=memory)
    assert told.past.series[key].values.tolist() == [16.0]
    assert told.fresh.series == {}


def test_counters_are_read_by_their_rule() -> None:
    key, memory, kw = key_of(DELIVERED_KW, "plug"), Memory(), list[float]()
    for second in range(0, 1300, 300):
        # 2 kWh in 300 s: 24 kW.
        readings = {key: (Reading(at_utc=at(second), counter_kwh=second / 150.0),), "unknown": ()}
        memory, told = observe(SITE, memory, Look(now_utc=at(second), jobs=None, counters=readings), RULES)
        kw += [] if key not in told.past.series else told.past.series[key].values.tolist()
    assert kw == [pytest.approx(24.0)]


def test_classes_of_the_small_site_are_what_these_tests_take_them_for() -> None:
    assert {one.name for one in SITE.classes} == {INSULATED.name, DEFERRABLE.name, PREEMPTIBLE.name}
    assert PREEMPTIBLE.checkpoint_s == 300.0
    assert np.interp(0.8, [0.7, 0.8], [0.91, 0.95]) == 0.95
