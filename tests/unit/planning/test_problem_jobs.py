"""Jobs of the planning problem: what is left of them, how long they may wait, what a stop costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from small_world import ACTING, DEFERRABLE, NOW, PREEMPTIBLE, job, queued, running, small_site, snapshot

from scheduler.core.forecast.outlook import outlook
from scheduler.core.planning.expected import expected_jobs, is_expected
from scheduler.core.planning.problem import build_problem, plan_grid, step_slots, stop_doubt_eur_per_kw
from scheduler.core.planning.work import hold_until_utc, release_slot, work_of
from scheduler.domain.job import JobPhase, JobState
from scheduler.domain.outlook import DurationModel, Outlook
from scheduler.domain.problem import PlanProblem
from scheduler.domain.settings import Levers, Settings
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Snapshot
from scheduler.domain.time import TimeGrid, utc

# Real = declared, always: makes every remaining time exact.
EXACT = DurationModel(probabilities=(0.0, 1.0), ratio_quantiles={"": (1.0, 1.0)}, mean_ratio={"": 1.0})


def seen(site: Site, snap: Snapshot, settings: Settings = ACTING) -> Outlook:
    """Outlook on the planning grid."""
    return outlook(site, snap, settings, plan_grid(snap.observed_utc, settings))


def problem_of(*jobs: JobState, settings: Settings = ACTING, site: Site | None = None) -> PlanProblem:
    """The problem of a few jobs with exact durations."""
    site = small_site() if site is None else site
    snap = snapshot(jobs, site=site)
    return build_problem(site, snap, replace(seen(site, snap, settings), durations=EXACT), settings)


def test_the_grid_begins_with_the_slot_that_contains_now() -> None:
    grid = plan_grid(NOW + timedelta(minutes=7), ACTING)
    assert grid.start_utc == NOW
    assert grid.slots == 192


@pytest.mark.parametrize(
    ("start", "fine", "expected_fine"),
    [
        ("2026-01-14T10:00:00+00:00", 24, 24),
        ("2026-01-14T10:15:00+00:00", 24, 27),  # 16:15 + 45 min = 17:00
        ("2026-01-14T10:45:00+00:00", 24, 25),
        ("2026-01-14T10:00:00+00:00", 500, 192),
    ],
)
def test_hourly_steps_begin_on_a_clock_hour(start: str, fine: int, expected_fine: int) -> None:
    grid = TimeGrid(start_utc=utc(start), slot_s=900, slots=192)
    steps = step_slots(grid, fine, "Europe/Copenhagen")
    assert int((steps == 1).sum()) >= expected_fine
    assert steps[:expected_fine].tolist() == [1] * expected_fine
    assert steps.sum() == 192
    if expected_fine < 192:
        assert grid.time_of(expected_fine).minute == 0


def test_in_a_zone_with_half_hours_the_hour_is_the_local_one() -> None:
    grid = TimeGrid(start_utc=NOW, slot_s=900, slots=192)
    steps = step_slots(grid, 24, "Asia/Kolkata")  # +05:30: local hours begin at half past in UTC
    assert steps[:26].tolist() == [1] * 26
    assert steps[26] == 4


def test_remaining_work_is_what_is_declared_less_what_is_done() -> None:
    problem = problem_of(queued("q", hours=4.0), running("r", ran_h=1.0, hours=4.0))
    by_id = {found.job_id: found for found in problem.jobs}
    assert by_id["q"].work_s == pytest.approx(4 * 3600.0)
    assert by_id["r"].work_s == pytest.approx(3 * 3600.0)
    assert by_id["r"].running_pool == 0
    assert by_id["r"].latest_start_slot is None


def test_insulated_unknown_and_owner_suspended_jobs_are_not_in_the_problem() -> None:
    suspended = replace(queued("s"), owner_suspended=True)
    problem = problem_of(queued("i", "insulated"), queued("u", "nobody-knows-me"), suspended, queued("d"))
    assert [found.job_id for found in problem.jobs] == ["d"]


def test_hold_until_is_the_earliest_of_its_ends() -> None:
    settings = replace(ACTING, max_hold_s=100 * 3600.0)
    state = queued("q", hours=4.0)
    # submit + maxDelay = NOW + 48 h
    assert hold_until_utc(state, DEFERRABLE, 0.9, 4 * 3600.0, settings) == NOW + timedelta(hours=48)
    # submit + maxHold = NOW + 10 h
    assert hold_until_utc(state, DEFERRABLE, 0.9, 4 * 3600.0, replace(settings, max_hold_s=36000.0)) == NOW + timedelta(
        hours=10
    )
    # deadline - 4.5 h / 0.9 = NOW + 12 h - 5 h
    due = replace(state, job=replace(state.job, deadline_utc=NOW + timedelta(hours=12)))
    assert hold_until_utc(due, DEFERRABLE, 0.9, 4.5 * 3600.0, settings) == NOW + timedelta(hours=7)
    # the job itself allows no more than 3 h
    bound = replace(due, job=replace(due.job, start_by_utc=NOW + timedelta(hours=3)))
    assert hold_until_utc(bound, DEFERRABLE, 0.9, 4.5 * 3600.0, settings) == NOW + timedelta(hours=3)


def test_a_preemptible_job_keeps_time_for_its_checkpoints_and_pauses_count() -> None:
    settings = replace(ACTING, max_hold_s=100 * 3600.0)
    state = queued("q", "preemptible")
    due = replace(state, job=replace(state.job, deadline_utc=NOW + timedelta(hours=12)))
    # 12 h - 3.5 h / 0.7 - 2 * 300 s = 7 h - 10 min
    assert hold_until_utc(due, PREEMPTIBLE, 0.7, 3.5 * 3600.0, settings) == NOW + timedelta(hours=7, minutes=-10)
    # submit + 72 h - 30 h of pauses
    paused = replace(state, phase=JobPhase.PAUSED, paused_s=30 * 3600.0, pause_start_utc=NOW)
    assert hold_until_utc(paused, PREEMPTIBLE, 0.7, 3600.0, settings) == NOW + timedelta(hours=42)


def test_a_running_preemptible_job_may_be_stopped_after_its_minimum_run_time() -> None:
    fresh, old = running("fresh", "preemptible", ran_h=0.6, hours=9.0), running("old", "preemptible", ran_h=3.0, hours=9.0)
    spent = replace(old, job=replace(old.job, job_id="spent"), preemptions=2)
    elsewhere = replace(old, job=replace(old.job, job_id="elsewhere"), may_stop=False)
    by_id = {found.job_id: found for found in problem_of(fresh, old, spent, elsewhere, running("d")).jobs}
    assert by_id["old"].stoppable
    assert not by_id["elsewhere"].stoppable
    assert by_id["old"].stop_slot == 0
    assert by_id["fresh"].stop_slot == 6  # 1.4 h left of 2 h: 5.6 slots
    assert not by_id["spent"].stoppable
    assert not by_id["d"].stoppable


def test_a_stop_costs_redone_work_and_doubt() -> None:
    problem = problem_of(running("r", "preemptible", ran_h=3.0, hours=9.0))
    all_in = problem.spot_eur_per_kwh + problem.adder_eur_per_kwh + problem.carbon_eur_per_kwh
    spread = float(np.quantile(all_in, 0.9) - np.quantile(all_in, 0.1))
    assert stop_doubt_eur_per_kw(all_in, ACTING) == pytest.approx(1.2 * 6.0 * spread)
    # 8 GPUs * 0.05 EUR * 300 s * 2.2 + 8 * 530 W * doubt
    expected = 8 * 0.05 * (300 / 3600) * 2.2 + 8 * 0.530 * 7.2 * spread
    assert problem.jobs[0].preemption_eur == pytest.approx(expected)
    assert problem.jobs[0].resume_work_s == 300.0


@pytest.mark.parametrize(("cap_w", "point"), [(None, 0), (700.0, 0), (610.0, 0), (595.0, 1), (490.0, 2), (300.0, 2)])
def test_the_power_point_in_force_is_the_fastest_that_the_limit_allows(cap_w: float | None, point: int) -> None:
    capped = replace(running("r"), cap_w=cap_w)  # natural 600 W; points draw 600, 565.25, 465.5 W
    assert problem_of(capped).jobs[0].running_point == point


def test_switched_off_levers_leave_no_choice() -> None:
    jobs = (queued("q"), running("r", "preemptible", ran_h=3.0, hours=9.0))
    off = replace(ACTING, levers=Levers(shifting=False, pausing=False, capping=False))
    q, r = problem_of(*jobs, settings=off).jobs
    assert q.latest_start_slot is not None
    assert q.latest_start_slot < q.release_slot
    assert len(q.points) == len(r.points) == 1
    assert not r.stoppable


def test_a_job_announced_for_later_is_released_then() -> None:
    announced = queued("a", submitted_h=-2.1)
    assert release_slot(announced, plan_grid(NOW, ACTING), NOW) == 9  # 2.1 h = 8.4 slots
    assert problem_of(announced).jobs[0].release_slot == 9


def test_a_job_that_came_in_the_middle_of_the_slot_may_start_in_it() -> None:
    came = queued("a", submitted_h=-0.1)  # six minutes after the slot began
    grid = plan_grid(NOW, ACTING)
    assert release_slot(came, grid, NOW + timedelta(minutes=5)) == 1
    assert release_slot(came, grid, NOW + timedelta(minutes=6)) == 0


def test_a_gang_larger_than_every_pool_has_no_work_in_the_plan() -> None:
    site = small_site(gpus=16)
    state = JobState(job=job("big", gpus=17), phase=JobPhase.QUEUED)
    assert work_of(site, state, EXACT, {}, ACTING) is None


def test_pools_a_job_may_use_follow_its_wish_its_place_and_its_class() -> None:
    site = small_site(pools=2)
    wish = replace(queued("w"), job=replace(queued("w").job, pool_id="pool-1"))
    paused = replace(queued("p", "preemptible"), phase=JobPhase.PAUSED, pool_id="pool-1", pause_start_utc=NOW)
    found = {state.job.job_id: work_of(site, state, EXACT, {}, ACTING) for state in (queued("q"), wish, paused)}
    assert {name: work.pools for name, work in found.items() if work} == {"q": (0, 1), "w": (1,), "p": (1,)}


def test_expected_work_keeps_its_area_and_stays_out_of_the_commit_window() -> None:
    site, settings = small_site(), replace(ACTING, arrival_weight=1.0)
    ahead = seen(site, snapshot(), settings)
    pieces = expected_jobs(site, ahead, settings, commit_slots=4)
    assert pieces
    assert all(is_expected(piece.job_id) and piece.release_slot >= 4 for piece in pieces)
    for name in ("deferrable", "preemptible"):
        mine = sum(piece.gpus * piece.work_s / 3600.0 for piece in pieces if f":{name}:" in piece.job_id)
        assert mine == pytest.approx(float(ahead.arrival_gpus[name].sum()) * 0.25, rel=0.02)
    assert expected_jobs(site, ahead, replace(settings, arrival_weight=0.0), 4) == ()
