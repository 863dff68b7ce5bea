"""The bound of windows small enough to work out on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bound_world import brute_optimum_eur, tiny_job, tiny_window

from scheduler.core.planning.bound.foresight import foresight_bound
from scheduler.core.planning.bound.problem import BoundBudget, BoundOfftake, RunPoint, SaleHour
from scheduler.domain.errors import Misconfigured

PRICE = np.array([0.3, 0.1, 0.1, 0.3])
EXACT = BoundBudget(rounds=40, stop_fraction=1e-6)


def test_one_job_waits_for_the_cheap_hours() -> None:
    """Base 1 kW x (0.3 + 0.1 + 0.1 + 0.3) = 0.80; the job 4 kW x (0.1 + 0.1) = 0.80, waiting 1 h x 0.01: 1.61 EUR."""
    bound = foresight_bound(tiny_window(PRICE, (tiny_job(),)), EXACT)
    assert bound.cost_eur == pytest.approx(1.61, abs=1e-4)


def test_two_jobs_on_half_the_gpus_share_the_hours() -> None:
    """Each needs all 4 GPUs for 2 h: together every hour. Base 0.80, draw 4 kW x 0.8 EUR/kW = 3.20, one waits 2 h: 4.02."""
    window = tiny_window(PRICE, (tiny_job("a"), tiny_job("b")), gpus=4)
    assert brute_optimum_eur(window) == pytest.approx(4.02, abs=1e-9)
    bound = foresight_bound(window, EXACT)
    assert bound.cost_eur == pytest.approx(4.02, abs=0.01)
    assert bound.cost_eur <= 4.02


def test_heat_is_sold_when_the_pump_earns_more_than_it_draws() -> None:
    """Running hours catch 0.5 + 0.9 x 4 = 4.1 kW, delivered 4.1 x 5/4 = 5.125 kW at 0.2 EUR/kWh; the pump draws 1.025 kW.

    Idle hours catch 0.5 kW, under the least load 2 kW of the pump. Best start: hour 1. Cost 1.61 - 2 x 5.125 x 0.2
    + 2 x 1.025 x 0.1 = 1.61 - 2.05 + 0.205 = -0.235 EUR. One row may be run in part, so the relaxation may earn a little
    more: the pump needs an hour's mean of 2 kW only while it runs.
    """
    window = tiny_window(PRICE, (tiny_job(),), heat_eur_per_kwh=0.2)
    assert brute_optimum_eur(window) <= -0.235 + 1e-9
    bound = foresight_bound(window, EXACT)
    assert bound.cost_eur <= brute_optimum_eur(window) + 1e-9


def test_idle_heat_below_the_least_load_is_worth_nothing_even_to_a_pump_that_is_half_on() -> None:
    """No job: 0.5 kW is caught, and the pump needs 2 kW x 4/5 = 1.6 kW while it runs. Its cost is that of the base load, 0.80.

    By the hour's mean alone it would run for 0.5 / 1.6 = 0.3125 of every hour and sell 0.625 kW at 0.2 EUR/kWh, drawing
    0.125 kW: 0.80 - 4 x 0.125 + 0.125 x 0.8 = 0.40 EUR. But while it runs for a share s of an hour only 0.5 s is caught, less
    than 1.6 s.
    """
    window = tiny_window(PRICE, (), heat_eur_per_kwh=0.2)
    relaxed = foresight_bound(window, replace(EXACT, plant_nodes=0))
    assert relaxed.cost_eur == pytest.approx(0.8, abs=1e-5)


def test_a_loop_with_a_lag_may_bring_heat_of_earlier() -> None:
    """What a loop holds back is not bound to the row, so there the mean of a row decides: less than 0.80 EUR, as said above."""
    window = tiny_window(PRICE, (), heat_eur_per_kwh=0.2)
    slow = replace(window, plugs=(replace(window.plugs[0], lag_h=0.1),))
    assert foresight_bound(slow, replace(EXACT, plant_nodes=0)).cost_eur < 0.7


def test_a_dear_start_keeps_the_pump_off_only_if_it_is_whole() -> None:
    """A start for 10 EUR never pays for heat worth 2 EUR; half a start must not pay either."""
    window = tiny_window(PRICE, (tiny_job(),), heat_eur_per_kwh=0.2, start_eur=10.0)
    assert foresight_bound(window, EXACT).cost_eur == pytest.approx(1.61, abs=1e-3)


def test_whole_pump_states_never_lower_the_bound() -> None:
    """Branching only removes operations that no pump can do."""
    jobs = (tiny_job("a"), tiny_job("b", submit_h=0.4, work_h=1.0))
    window = tiny_window(PRICE, jobs, heat_eur_per_kwh=0.15, start_eur=0.8)
    relaxed = foresight_bound(window, BoundBudget(rounds=20, plant_nodes=0))
    whole = foresight_bound(window, BoundBudget(rounds=20, plant_nodes=500, joint_rounds=0))
    joint = foresight_bound(window, BoundBudget(rounds=20, plant_nodes=500))
    assert joint.cost_eur >= whole.cost_eur >= relaxed.cost_eur
    assert joint.cost_eur <= brute_optimum_eur(window) + 1e-9


def test_states_that_are_whole_together_with_the_jobs_close_the_gap() -> None:
    """A start for 1.50 EUR, heat at 0.20 EUR/kWh; the job in hours 1 and 2 as before, 1.61 EUR without the pump.

    A pump that is on by s recovers 0.5 s + 3.6 kW and delivers at most 8 s kW: 1.25 (0.5 s + 3.6) = 8 s at s = 0.6102, so
    4.8814 kW in both hours for 0.6102 starts: 1.61 - 2 x 4.8814 x (0.2 - 0.1 / 5) + 0.6102 x 1.5 = 0.768 EUR. One that is on
    delivers 5.125 kW for a whole start: 1.61 - 2 x 5.125 x 0.18 + 1.5 = 1.265 EUR, which no schedule can beat.
    """
    window = tiny_window(PRICE, (tiny_job(),), heat_eur_per_kwh=0.2, start_eur=1.5)
    relaxed, joint = (foresight_bound(window, one) for one in (replace(EXACT, plant_nodes=0), EXACT))
    assert relaxed.cost_eur == pytest.approx(0.768, abs=1e-3)
    assert joint.cost_eur == pytest.approx(1.265, abs=1e-3)
    assert brute_optimum_eur(window) == pytest.approx(1.265, abs=1e-6)
    assert "jointly" in joint.method
    assert "jointly" not in foresight_bound(window, replace(EXACT, joint_rounds=0)).method


def test_more_rounds_never_lower_the_bound() -> None:
    """The best prices are kept, whatever comes after them."""
    points = (RunPoint(extra_kw=4.0, speed=1.0), RunPoint(extra_kw=2.5, speed=0.8))
    jobs = tuple(tiny_job(name, points={0: points}, slowdown_eur_per_h=0.05) for name in "abc")
    window = tiny_window(np.array([0.3, 0.05, 0.2, 0.1, 0.4, 0.1, 0.2]), jobs, gpus=4, heat_eur_per_kwh=0.1)
    found = [foresight_bound(window, BoundBudget(rounds=rounds, stop_fraction=0.0, plant_nodes=0)) for rounds in (1, 3, 8, 20)]
    costs = [one.cost_eur for one in found]
    assert costs == sorted(costs)
    assert list(found[-1].history_eur) == sorted(found[-1].history_eur)


def test_the_best_possible_promise_is_paid() -> None:
    """No job: 0.5 kW never reaches the pump's least load, so a promise of p kWh falls 0.95 p short.

    A promise earns 0.01 and costs 0.95 x 0.1 = 0.095 EUR/kWh: none is made. With a shortfall of 0.005 EUR/kWh it earns
    0.01 - 0.00475 on each of 6 kWh: 0.0315 EUR off the base of 0.80.
    """
    window = tiny_window(PRICE, ())
    town = replace(
        window.offtakes[0],
        sale_hours=(SaleHour(first=1, last=2, most_kwh=6.0),),
        capacity_eur_per_kwh=0.01,
        shortfall_eur_per_kwh=0.1,
        tolerance_fraction=0.05,
    )
    dear, cheap = (cost_without_jobs(window, one) for one in (town, replace(town, shortfall_eur_per_kwh=0.005)))
    assert dear == pytest.approx(0.8, abs=1e-5)
    assert cheap == pytest.approx(0.8 - 0.0315, abs=1e-5)


def cost_without_jobs(window: object, town: BoundOfftake) -> float:
    """Bound of the empty window with another contract."""
    problem = replace(window, offtakes=(town,))  # type: ignore[type-var]  # a window is a dataclass
    return float(foresight_bound(problem, EXACT).cost_eur)  # type: ignore[arg-type]  # see above


def test_the_method_says_what_was_done() -> None:
    """Whole pump states are named only where they were used."""
    window = tiny_window(PRICE, (tiny_job(),), heat_eur_per_kwh=0.2)
    assert "whole pump states" in foresight_bound(window, EXACT).method
    assert "whole pump states" not in foresight_bound(window, replace(EXACT, plant_nodes=0)).method


def test_a_job_that_cannot_end_inside_the_window_is_named() -> None:
    """Five hours of work do not fit four hours."""
    with pytest.raises(Misconfigured, match="cannot end"):
        foresight_bound(tiny_window(PRICE, (tiny_job(work_h=5.0),)))
