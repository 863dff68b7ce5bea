"""Runs that can be made, the plan chosen among them, and the plant's path for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bound_world import brute_optimum_eur, tiny_job, tiny_window

from scheduler.core.planning.bound.foresight import foresight_bound
from scheduler.core.planning.bound.foresight_plan import ForesightPlan, PlanBudget, foresight_plans, without_rests
from scheduler.core.planning.bound.master import Prices, first_prices
from scheduler.core.planning.bound.oracle import Oracle
from scheduler.core.planning.bound.plant_path import mean_draw_kw, plant_path
from scheduler.core.planning.bound.problem import BoundBudget, BoundJob, BoundProblem, RunPoint
from scheduler.core.planning.bound.whole_runs import WholeRun, whole_runs

PRICE = np.array([0.3, 0.1, 0.1, 0.3])
LEVELS = (RunPoint(extra_kw=4.0, speed=1.0), RunPoint(extra_kw=2.5, speed=0.8))


def runs_at(problem: BoundProblem, prices: Prices) -> list[WholeRun]:
    """Every run that the prices suggest."""
    oracle = Oracle(problem)
    oracle(prices.gpu, prices.draw)
    groups = list(oracle.priced(prices.gpu, prices.draw))
    return [run for priced, work_price in groups for run in whole_runs(priced, work_price)]


def planned(problem: BoundProblem) -> ForesightPlan:
    """The cheapest plan from the bound's prices."""
    bound = foresight_bound(problem, BoundBudget(joint_rounds=0))
    found = foresight_plans(problem, Prices(gpu=bound.gpu_eur_per_gpu_h, draw=bound.draw_eur_per_kwh))
    assert len(found) == 2
    return min(found, key=lambda plan: plan.cost_eur)


def stops(run: WholeRun) -> int:
    """Times at which the run is interrupted."""
    return int(np.sum(run.begin_h[1:] > run.begin_h[:-1] + run.hours[:-1] + 1e-9))


def own_eur(job: BoundJob, run: WholeRun) -> float:
    """Waiting, slowdown and lateness of a run, counted anew."""
    end_h = float(run.begin_h[-1] + run.hours[-1])
    on_gpus_h = float(run.hours.sum())
    late_h = 0.0 if job.due_h is None else max(0.0, end_h - max(job.due_h, job.submit_h))
    waited_h = end_h - job.submit_h - on_gpus_h
    slower_h = on_gpus_h - job.work_h
    return job.waiting_eur_per_h * waited_h + job.slowdown_eur_per_h * slower_h + job.lateness_eur_per_h * late_h


@pytest.mark.parametrize("seed", range(6))
def test_every_run_does_its_work_within_its_class(seed: int) -> None:
    """Work, redone work, least run times, stops and costs of every run; none is cheaper than the oracle's value."""
    rng = np.random.default_rng(seed)
    shape = {"points": {0: LEVELS}, "slowdown_eur_per_h": 0.05, "lateness_eur_per_h": 1.0, "waiting_eur_per_h": 0.02}
    jobs = tuple(
        tiny_job(
            f"j{number}",
            submit_h=float(rng.uniform(0.0, 3.0)),
            work_h=float(rng.uniform(0.5, 5.0)),
            due_h=float(rng.uniform(4.0, 14.0)),
            max_pauses=number,
            min_run_h=1.5,
            redo_h=0.1,
            **shape,
        )
        for number in range(3)
    )
    problem = tiny_window(rng.uniform(-0.05, 0.5, size=16), jobs)
    prices = first_prices(problem)
    value_eur = Oracle(problem)(prices.gpu, prices.draw).value_eur
    runs = runs_at(problem, prices)
    assert {run.job for run in runs} == {0, 1, 2}
    for run in runs:
        job = jobs[run.job]
        speed = np.array([LEVELS[level].speed for level in run.level])
        assert float(np.sum(run.hours * speed)) == pytest.approx(job.work_h + 0.1 * stops(run), abs=1e-6)
        assert run.begin_h[0] >= job.submit_h - 1e-9
        assert stops(run) <= job.max_pauses
        begins = np.flatnonzero(np.concatenate([[True], run.begin_h[1:] > run.begin_h[:-1] + run.hours[:-1] + 1e-9]))
        stretches = np.add.reduceat(run.hours, begins)
        assert np.all(stretches[:-1] >= 1.5 - 1e-9)
        assert run.own_eur == pytest.approx(own_eur(job, run), abs=1e-6)
        draw_eur = float(np.sum(run.draw_kwh * prices.draw[0, run.rows_held]))
        assert run.own_eur + draw_eur >= value_eur[run.job] - 1e-6


def test_a_plan_takes_the_cheap_hours() -> None:
    """As in the bound by hand: base 0.80, the job 4 kW x (0.1 + 0.1) = 0.80, an hour's wait 0.01: 1.61 EUR from hour 1 on."""
    plan = planned(tiny_window(PRICE, (tiny_job(),)))
    assert plan.cost_eur == pytest.approx(1.61, abs=1e-6)
    assert plan.runs[0].begin_h[0] == 1.0
    assert plan.missing_gpus == pytest.approx(0.0, abs=1e-9)


def test_a_job_that_nobody_may_hold_starts_when_it_is_submitted() -> None:
    """Submitted at 0.5 h: half of row 0, row 1 and half of row 2, however dear row 0 is; waiting would be free.

    Base 0.80, draw 4 kW x (0.5 x 0.3 + 0.1 + 0.5 x 0.1) = 1.20: 2.00 EUR. The bound lets it wait for hours 1 and 2: 1.60.
    """
    problem = tiny_window(PRICE, (tiny_job(submit_h=0.5, waiting_eur_per_h=0.0, at_once=True),))
    plan = planned(problem)
    assert plan.runs[0].begin_h.tolist() == [0.5, 1.0, 2.0]
    assert plan.runs[0].hours.tolist() == pytest.approx([0.5, 1.0, 0.5])
    assert plan.cost_eur == pytest.approx(2.0, abs=1e-6)
    assert foresight_bound(problem).cost_eur == pytest.approx(1.6, abs=1e-4)


def test_a_run_takes_part_of_a_stretch_in_the_middle() -> None:
    """Three hours at 0.1, three at 0.2 and three at 0.1 EUR/kWh, dear ones between; seven hours of 4 kW, two stops.

    All of the cheap hours and one in the middle: 6 x 0.4 + 0.8 = 3.2 EUR, what the mixture of six and nine hours costs.
    To walk through all nine and end after seven would cost 3 x 0.4 + 3 x 0.8 + 0.4 = 4.0 EUR.
    """
    price = np.array([0.1] * 3 + [0.5] * 2 + [0.2] * 3 + [0.5] * 2 + [0.1] * 3)
    problem = tiny_window(price, (tiny_job(work_h=7.0, waiting_eur_per_h=0.0, max_pauses=2, min_run_h=1.0),))
    prices = first_prices(problem)
    costs = [run.own_eur + float(np.sum(run.draw_kwh * prices.draw[0, run.rows_held])) for run in runs_at(problem, prices)]
    assert min(costs) == pytest.approx(3.2, abs=1e-6)


def test_jobs_never_share_a_gpu() -> None:
    """Two jobs of four GPUs on four: one after the other, 4.02 EUR as in the bound by hand."""
    plan = planned(tiny_window(PRICE, (tiny_job("a"), tiny_job("b")), gpus=4))
    held = [set(run.rows_held.tolist()) for run in plan.runs]
    assert not held[0] & held[1]
    assert plan.cost_eur == pytest.approx(4.02, abs=1e-6)


def test_a_run_that_ends_inside_a_row_brings_no_steady_heat_there() -> None:
    """1.5 h from 1.0 on: the whole of row 1 at 4 kW, half of row 2: steady there is nothing; over both 6 kWh."""
    plan = planned(tiny_window(PRICE, (tiny_job(work_h=1.5),)))
    run = plan.runs[0]
    assert run.rows_held.tolist() == [1, 2]
    assert run.draw_kwh.tolist() == pytest.approx([4.0, 2.0])
    assert run.steady_kw(np.ones(4)).tolist() == pytest.approx([4.0, 0.0])


@pytest.mark.parametrize("seed", range(4))
def test_a_plan_lies_between_the_bound_and_twice_the_way_to_the_best(seed: int) -> None:
    """Never below the bound; with sale and starts of the pump close to what trying everything gives."""
    rng = np.random.default_rng(seed)
    jobs = (tiny_job("a", points={0: LEVELS}, slowdown_eur_per_h=0.02), tiny_job("b", submit_h=1.0, work_h=1.0))
    problem = tiny_window(rng.uniform(0.0, 0.4, size=5), jobs, heat_eur_per_kwh=0.15, start_eur=0.2)
    bound, best, plan = foresight_bound(problem).cost_eur, brute_optimum_eur(problem), planned(problem)
    assert plan.cost_eur >= bound - 1e-6
    assert plan.cost_eur <= best + max(0.02, best - bound)


@pytest.mark.parametrize("seed", range(3))
def test_searching_part_by_part_only_makes_a_plan_cheaper(seed: int) -> None:
    """Half a day with six jobs in parts of four hours: never dearer than the plan it began from, what is held stays possible.

    Half a day suffices: parts overlap by half, so seven are searched in the first sweep, cut elsewhere in the second, and
    every job lies on the edge of one of them.
    """
    rng = np.random.default_rng(seed)
    jobs = tuple(
        tiny_job(f"j{number}", submit_h=float(2 * number), work_h=1.5, points={0: LEVELS}, slowdown_eur_per_h=0.02)
        for number in range(6)
    )
    problem = tiny_window(rng.uniform(0.0, 0.4, size=12), jobs, heat_eur_per_kwh=0.15, start_eur=0.2)
    whole, parts = (
        min(foresight_plans(problem, first_prices(problem), budget), key=lambda plan: plan.cost_eur)
        for budget in (PlanBudget(nodes=1, sweeps=0), PlanBudget(nodes=1, sweeps=2, part_h=4.0))
    )
    assert parts.cost_eur <= whole.cost_eur + 1e-6
    assert parts.cost_eur >= foresight_bound(problem).cost_eur - 1e-6
    assert [run.job for run in parts.runs] == list(range(6))
    assert parts.missing_gpus == pytest.approx(0.0, abs=1e-9)


def test_short_rests_are_run_through() -> None:
    """On in rows 1, 2, 4 and 8, started in 1, 4 and 8: the rest of one row goes with its start, that of three stays."""
    after, starts = np.zeros(10), np.zeros(10)
    after[[1, 2, 4, 8]], starts[[1, 4, 8]] = 1.0, 1.0
    found = without_rests(np.concatenate([after, starts]), 10, longest=2)
    assert np.flatnonzero(found[:10]).tolist() == [1, 2, 3, 4, 8]
    assert np.flatnonzero(found[10:]).tolist() == [1, 8]


def test_the_path_of_the_plant_runs_its_pump_on_whole_rows() -> None:
    """4 kW in hours 1 and 2: caught 0.5 + 3.6 = 4.1 kW, delivered 5.125 kW, none in idle hours; cost as in the bound by hand.

    Base 0.80 + draw 0.80 + pump 2 x 1.025 x 0.1 = 0.205, less 2 x 5.125 x 0.2 = 2.05: -0.245 EUR without the job's waiting.
    """
    problem = tiny_window(PRICE, (tiny_job(),), heat_eur_per_kwh=0.2)
    path = plant_path(problem, np.array([[0.0, 4.0, 4.0, 0.0]]))
    assert path is not None
    assert path.delivered_kw[0].tolist() == pytest.approx([0.0, 5.125, 5.125, 0.0], abs=1e-6)
    assert path.sold_kw[0].tolist() == pytest.approx([0.0, 5.125, 5.125, 0.0], abs=1e-6)
    assert path.cost_eur == pytest.approx(-0.245, abs=1e-6)


def test_draw_on_shorter_rows() -> None:
    """1.5 h of 4 kW from hour 1 on, on rows of half an hour: 4 kW in three of them."""
    problem = tiny_window(PRICE, (tiny_job(work_h=1.5),))
    plan = planned(problem)
    halves = replace(problem, edges_h=np.arange(0.0, 4.5, 0.5), price_eur_per_kwh=np.repeat(PRICE, 2))
    assert mean_draw_kw(halves, plan.runs)[0].tolist() == pytest.approx([0.0, 0.0, 4.0, 4.0, 4.0, 0.0, 0.0, 0.0])
